package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"huanxin/config"
	"huanxin/switch/engine"
	"huanxin/switch/host"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/store"
	"huanxin/switch/terminal"
)

// terminalLine is how the messages of a listener with keys are secured. The error begins with the key.
func terminalLine(c *config.TerminalKeys) (*terminal.Line, error) {
	l := &terminal.Line{
		KeyLength: c.Length, MACKeyLength: c.MACLength, Group: c.Group, Compact: c.Form == "compact", Overlap: c.Overlap, KeyAge: c.Age,
	}
	var err error
	if l.Cipher, err = hsm.ParseAlgorithm(c.Cipher); err != nil {
		return nil, fmt.Errorf("cipher: %w", err)
	}
	if l.MAC, err = hsm.ParseMAC(c.MAC); err != nil {
		return nil, fmt.Errorf("mac: %w", err)
	}
	for _, p := range []struct {
		key, name string
		to        *terminal.Proof
	}{
		{"settlement", c.Settlement, &l.Settlement}, {"upload", c.Upload, &l.Upload}, {"report", c.Report, &l.Report},
		{"sign-off", c.SignOff, &l.SignOff},
	} {
		if *p.to, err = terminal.ParseProof(p.name); err != nil {
			return nil, fmt.Errorf("%s: %w", p.key, err)
		}
	}
	for _, f := range c.PINFormats {
		digit, name, _ := strings.Cut(f, "=")
		format, err := hsm.ParsePIN(name)
		if err != nil || len(digit) != 1 {
			return nil, fmt.Errorf("pin-formats: %q: %w", f, err)
		}
		if l.PINFormats == nil {
			l.PINFormats = map[byte]hsm.PINFormat{}
		}
		l.PINFormats[digit[0]] = format
	}
	return l, nil
}

// terminalKeys is what listeners with keys need of the key store, and for PIN blocks of the hosts.
func (s *Switch) terminalKeys(profiles []host.Config) *terminal.Keys {
	return &terminal.Keys{
		Module: s.keys.Module(), Masters: masters{s.keys},
		PINs: pins{host.NewTranslator(profiles, s.keys.Module(), s.keys)},
	}
}

// masters finds the master keys of terminals in the store.
type masters struct{ store *store.Store }

func (m masters) Master(id [8]byte, group string) (hsm.Key, error) {
	name := strings.TrimRight(string(id[:]), " ")
	if strings.Contains(name, "/") { // tmk/group/x is no terminal's
		return nil, terminal.ErrNoMaster
	}
	if key, ok := m.store.Find("tmk/" + name); ok {
		return key, nil
	}
	if group != "" {
		if key, ok := m.store.Find("tmk/group/" + group); ok {
			return key, nil
		}
	}
	return nil, terminal.ErrNoMaster
}

// pins translates PIN blocks for hosts.
type pins struct{ hosts *host.Translator }

func (p pins) TranslatePIN(dst []byte, name string, from hsm.PIN, block []byte) ([]byte, error) {
	out, err := p.hosts.TranslatePIN(dst, name, from, block)
	if errors.Is(err, host.ErrNoPIN) {
		err = terminal.ErrNoPINKey
	}
	return out, err
}

// loadTerminalKeys gives the terminal ports the working keys that the journal holds: after a restart no terminal need sign on.
func (s *Switch) loadTerminalKeys(ctx context.Context) error {
	reply, err := s.ask(ctx, "working keys of terminals", func(t engine.Token) any {
		return &engine.Look{Token: t, What: engine.LookKeys{}}
	})
	if err != nil {
		return err
	}
	list, ok := reply.Result.([]engine.TerminalKeys)
	if !ok {
		return fmt.Errorf("working keys of terminals: the engine answered with a %T", reply.Result)
	}
	s.front.LoadKeys(list)
	return nil
}
