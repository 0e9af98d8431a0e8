package drill

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"huanxin/internal/simulator/secret"
	"huanxin/subsidy/policy"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/store"
)

// crew is the terminals of one kind of line, which one load generator plays.
type crew struct {
	name        string
	address     string
	dialect     string
	share       float64 // of the messages
	connections int
	seed        uint64 // so that no two crews have the same buyers
	cipher      string // of the terminals' keys; "" where there are none
	group       string // whose master key they have
	first, end  int    // of the drill's terminals
}

const plainCrew = "plain"

// keyedTills is how many terminals speak over each line with keys.
const keyedTills = 8

// tillKeys is the file with the master keys that are injected into the terminals with keys.
const tillKeys = "till-keys.yaml"

// crews are those of a site: where it has lines with keys, an eighth of the messages goes over each.
func (s *Site) crews() []crew {
	plain := crew{name: plainCrew, address: s.Ports.CUP, dialect: "cup", share: 1, connections: 8, end: drillTerminals}
	if !s.Keyed {
		return []crew{plain}
	}
	plain.share, plain.connections, plain.end = 0.75, 6, drillTerminals-2*keyedTills
	return []crew{
		plain,
		{
			name: "secure", address: s.Ports.Secure, dialect: "cup", share: 0.125, connections: 2, seed: 1000, cipher: "3des", group: "demo",
			first: plain.end, end: plain.end + keyedTills,
		},
		{
			name: "sm", address: s.Ports.SM, dialect: "cup-sm4", share: 0.125, connections: 2, seed: 2000, cipher: "sm4", group: "demo-sm4",
			first: plain.end + keyedTills, end: drillTerminals,
		},
	}
}

// terminalNumber is DE41 of the drill's n-th terminal.
func terminalNumber(n int) string { return fmt.Sprintf("2101%04d", 9000+n) }

func (s *Site) tillsFile(c crew) string { return s.file("tills-" + c.name + ".csv") }

// writeCrews says which terminals are in which crew: the sample's own are in the plain one.
func (s *Site) writeCrews() error {
	text, err := os.ReadFile(filepath.Join(s.Programme, policy.FileTerminals))
	if err != nil {
		return err
	}
	for _, c := range s.crews() {
		var out bytes.Buffer
		for line := range strings.Lines(string(text)) {
			number, _, _ := strings.Cut(line, ",")
			_, notNumber := strconv.ParseUint(number, 10, 32)
			mine := number >= terminalNumber(c.first) && number < terminalNumber(c.end)
			others := number < terminalNumber(0) || number >= terminalNumber(drillTerminals)
			if notNumber != nil || mine || others && c.name == plainCrew { // the header and remarks are everybody's
				out.WriteString(line)
			}
		}
		if err := os.WriteFile(s.tillsFile(c), out.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// drawTillKeys draws master keys of the terminals with keys, those that network and switch share, and writes them down for the
// simulators.
func (s *Site) drawTillKeys() error {
	book := &secret.Book{Terminals: map[string]secret.Terminal{}, Network: sharedKeys(drawKey(), drawKey())}
	s.handed = ofNetwork(book.Network)
	for _, c := range s.crews() {
		if c.cipher == "" {
			continue
		}
		algorithm := hsm.TDES
		if c.cipher == "sm4" {
			algorithm = hsm.SM4
		}
		master := drawKey()
		s.handed = append(s.handed, handed{"tmk/group/" + c.group, algorithm, master})
		for n := c.first; n < c.end; n++ {
			book.Terminals[terminalNumber(n)] = secret.Terminal{Cipher: c.cipher, Master: master}
		}
	}
	return book.Write(s.file(tillKeys))
}

// keyTerminals puts the keys into the switch's store, once, after the first start, which makes the store. The switch is started again:
// it has read its store.
func (s *Site) keyTerminals(ctx context.Context) error {
	if len(s.handed) == 0 {
		return nil
	}
	by := store.Authority{By: "drill", Second: "drill's other half", Reason: "terminals and network with keys"}
	if _, err := s.handOver(by, s.handed); err != nil {
		return fmt.Errorf("keys of terminals and network: %w", err)
	}
	s.handed = nil
	if err := s.Serve.Stop(stopLimit); err != nil {
		return err
	}
	if err := s.launch(); err != nil {
		return err
	}
	return s.ready(ctx)
}
