package engine_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/risk/geo"
	"huanxin/switch/engine"
	"huanxin/switch/event"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the transcripts; read the difference before you commit it")

// A transcript is a story: blocks of commands, a line of four dashes, and everything the engine said. Its file name
// states the rule that it holds.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "transcripts", "*.txt"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			want := string(raw)
			got := play(t, newLab(t), want)
			if *rewrite {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
				return
			}
			require.Equal(t, want, got)
		})
	}
}

// A rule without a story, or a story that nobody finds, is of no use: the README names every transcript, and no other.
func TestTheReadmeNamesEveryTranscript(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	named := map[string]bool{}
	for _, row := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(row, "| ") {
			last := row[strings.LastIndex(strings.TrimSuffix(row, " |"), "|"):]
			for _, m := range regexp.MustCompile("`([a-z0-9-]+)`").FindAllStringSubmatch(last, -1) {
				named[m[1]] = true
			}
		}
	}
	told := map[string]bool{}
	files, err := filepath.Glob(filepath.Join("testdata", "transcripts", "*.txt"))
	require.NoError(t, err)
	for _, file := range files {
		told[strings.TrimSuffix(filepath.Base(file), ".txt")] = true
	}
	require.Equal(t, told, named)
}

// play runs the commands of a transcript and returns it with the output that they give now.
func play(t testing.TB, l *lab, text string) string {
	s := &story{lab: l, t: t}
	var b strings.Builder
	for i, block := range strings.Split(strings.TrimRight(text, "\n"), "\n\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		commands, _, _ := strings.Cut(block+"\n", "----\n")
		b.WriteString(commands)
		var said strings.Builder
		ran := false
		for _, line := range strings.Split(strings.TrimRight(commands, "\n"), "\n") {
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			ran = true
			s.run(&said, line)
		}
		if ran {
			b.WriteString("----\n")
			b.WriteString(said.String())
		}
	}
	return b.String()
}

type story struct {
	*lab
	t    testing.TB
	rrn  string // of the last host request
	args map[string]string
}

func (s *story) arg(name, otherwise string) string {
	if v, ok := s.args[name]; ok {
		return v
	}
	return otherwise
}

func (s *story) number(name string, otherwise uint64) uint64 {
	n, err := strconv.ParseUint(s.arg(name, strconv.FormatUint(otherwise, 10)), 10, 64)
	require.NoError(s.t, err, name)
	return n
}

func hashOf(text string) (h engine.Hash) {
	copy(h[:], text)
	return h
}

func (s *story) key(class byte) engine.Key {
	k := engine.Key{Class: class, Batch: uint32(s.number("batch", 1)), STAN: uint32(s.number("stan", 0))}
	copy(k.Terminal[:], s.arg("t", "21010001"))
	copy(k.Merchant[:], s.arg("m", "898210157220001"))
	return k
}

func (s *story) party() (terminal [8]byte, merchant [15]byte) {
	k := s.key('8')
	return k.Terminal, k.Merchant
}

// run carries out one command line: a verb and name=value arguments.
func (s *story) run(b *strings.Builder, line string) {
	words := strings.Fields(line)
	s.args = map[string]string{}
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		s.args[name] = value
	}
	var out engine.Output
	switch words[0] {
	case "clock":
		d, err := time.ParseDuration(strings.TrimPrefix(words[1], "+"))
		require.NoError(s.t, err)
		s.now += int64(d)
		for s.live.NextDeadline() <= s.now {
			describe(b, s.step(&engine.Tick{}))
		}
		return
	case "back": // the machine's clock is set back
		d, err := time.ParseDuration(words[1])
		require.NoError(s.t, err)
		s.now -= int64(d)
		return
	case "restart":
		out = s.restart()
	case "balances":
		s.balances(b)
		return
	case "saf":
		s.saf(b)
		return
	case "late", "shed": // it waited too long for its turn, for its terminal or for the switch
		out = s.step(&engine.TurnAway{Body: s.input(words[1]), Stale: words[0] == "late"})
	default:
		out = s.step(s.input(words[0]))
	}
	for _, send := range out.Sends {
		if send.Host != nil {
			s.rrn = send.Host.RRN
		}
	}
	describe(b, out)
}

func (s *story) input(verb string) any {
	t, m := s.party()
	switch verb {
	case "signon":
		return s.signOn(t, m)
	case "proved":
		return &engine.KeysProved{Terminal: t, Generation: uint32(s.number("generation", 1))}
	case "keyact":
		n := s.number("number", 1)
		return &engine.RecordKeyActs{Token: 1, Restored: s.arg("restored", "") != "", Acts: []*event.KeyActRecorded{{
			Number: n, Chain: bytes.Repeat([]byte{byte(n)}, int(s.number("hash", 32))), Act: s.arg("act", "generate"), Label: s.arg("label", "tmk/21010001"), Generation: 1,
			Purpose: "TMK", Algorithm: "3des", Kcv: "8D0A74B8", ActedAt: s.now, By: &event.Authority{Actor: s.arg("by", "chen"), Second: s.arg("second", ""), Reason: "new terminal"},
		}}}
	case "signoff":
		return &engine.SignOffRequest{Token: s.nextToken(), Key: s.key('8')}
	case "echo":
		return &engine.EchoRequest{Token: s.nextToken(), Terminal: t, Merchant: m}
	case "claim":
		return &engine.ClaimRequest{Token: s.nextToken(), Person: hashOf(s.arg("p", "p1")), IDKind: s.arg("id", "id-card"),
			Category: s.arg("cat", "A01"), City: s.arg("city", "210100"), Channel: s.arg("chan", "store"),
			Request: hashOf(s.arg("req", "")), Content: hashOf(s.arg("content", "same"))}
	case "show":
		return &engine.ShowCodeRequest{Token: s.nextToken(), Entitlement: s.number("e", 1), Person: hashOf(s.arg("p", "p1")),
			Code: hashOf(s.arg("code", "c1")), Position: s.position(s.arg("at", "W123.4315,41.8057,5"))}
	case "entitlement":
		return &engine.EntitlementRequest{Token: s.nextToken(), Entitlement: s.number("e", 1), Person: hashOf(s.arg("p", "p1"))}
	case "return":
		return &engine.ReturnRequest{Token: s.nextToken(), Entitlement: s.number("e", 1), Person: hashOf(s.arg("p", "p1"))}
	case "quote":
		return &engine.QuoteRequest{Token: s.nextToken(), Entitlement: s.number("e", 0), Person: hashOf(s.arg("p", "p1")),
			Merchant: m, Channel: "store", Barcode: s.arg("barcode", "6901234567892"), Price: fen(s.t, s.arg("price", "5000"))}
	case "reserve":
		return s.reserve()
	case "cancel":
		return &engine.CancelRequest{Token: s.nextToken(), Key: s.key('1'), Content: hashOf("cancel" + s.arg("hold", "1")), Hold: s.number("hold", 1)}
	case "sale":
		return s.sale()
	case "reverse":
		return &engine.ReversalRequest{Token: s.nextToken(), Original: s.key(s.arg("class", "2")[0]), Content: hashOf("r"),
			Amount: fen(s.t, s.arg("amount", "4000")), Cause: [2]byte([]byte(s.arg("cause", "98")))}
	case "host":
		return s.hostAnswer(engine.HostSale)
	case "host-reversal":
		return s.hostAnswer(engine.HostReversal)
	case "host-query":
		return s.hostAnswer(engine.HostQuery)
	case "unsent":
		return &engine.HostUnsent{Kind: engine.HostSale, Purchase: s.number("purchase", 1), Operation: s.number("op", 0)}
	case "up":
		return &engine.HostUp{Host: "cup"}
	case "tick":
		return &engine.Tick{}
	}
	return s.afterSale(verb)
}

func (s *story) signOn(t [8]byte, m [15]byte) *engine.SignOnRequest {
	in := &engine.SignOnRequest{Token: s.nextToken(), Terminal: t, Merchant: m}
	if serial := s.arg("serial", ""); serial != "" {
		in.Serial = hashOf(serial)
	}
	if keys := s.arg("keys", ""); keys != "" {
		in.Keys = &engine.NewKeys{
			Kind: uint32(s.number("kind", 1)), Wrapped: []byte(keys), Checks: []byte{1, 2, 3, 4},
			Master: [4]byte{byte(s.number("master", 7))}, Spoilt: uint32(s.number("spoilt", 0)),
		}
	}
	return in
}

func (s *story) position(text string) engine.Position {
	if text == "none" {
		return engine.Position{}
	}
	at, crs, age, err := geo.ParsePosition([]byte(text))
	if err != nil {
		return engine.Position{Malformed: true}
	}
	return engine.Position{Given: true, At: at, CRS: crs, Age: age}
}

func (s *story) reserve() *engine.ReserveRequest {
	serial := s.arg("serial", "s1")
	in := &engine.ReserveRequest{Token: s.nextToken(), Key: s.key('1'), Price: fen(s.t, s.arg("price", "5000")),
		Code: hashOf(s.arg("code", "c1")), Barcode: s.arg("barcode", "6901234567892"), SerialMask: "***", SerialOK: serial != "bad",
		Position: s.position(s.arg("at", "none")), Order: s.arg("order", "")}
	if serial != "none" {
		in.Serial = hashOf(serial)
	}
	in.Content = hashOf(s.arg("content", fmt.Sprint(in.Price, s.arg("code", "c1"))))
	return in
}

func (s *story) sale() *engine.SaleRequest {
	in := &engine.SaleRequest{Token: s.nextToken(), Key: s.key('2'), Hold: s.number("hold", 0), Host: s.arg("host", "cup"),
		Amount: fen(s.t, s.arg("amount", "4000")), ICCAmount: -1, EntryMode: [3]byte([]byte("051")), Card: s.card(), Kind: s.saleKind()}
	if icc := s.arg("icc", ""); icc != "" {
		in.ICCAmount = fen(s.t, icc)
	}
	in.Content = hashOf(s.arg("content", fmt.Sprint(in.Amount, in.Hold)))
	return in
}

func (s *story) hostAnswer(kind engine.HostKind) *engine.HostAnswered {
	in := &engine.HostAnswered{Host: s.arg("host", "cup"), Kind: kind, RRN: s.arg("rrn", s.rrn), Pending: s.arg("pending", "") != ""}
	in.Balance = []byte(s.arg("balance", ""))
	in.Answer.Response = s.arg("rc", "00")
	if in.Answer.Response == "00" || in.Answer.Response == "10" {
		in.Answer.Approval = s.arg("approval", "A00001")
		in.Answer.ClearingDate = s.arg("clearing", "0302")
	}
	if amount := s.arg("amount", ""); amount != "" {
		in.Answer.Amount = int64(fen(s.t, amount))
	}
	return in
}
