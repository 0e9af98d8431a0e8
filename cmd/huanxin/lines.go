package main

import (
	"fmt"
	"strings"

	"huanxin/config"
	"huanxin/switch/keys/hsm"
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
