// Package secret is the keys of simulated terminals and of the simulated card network, and what they do with them. The keys are
// for tests and demonstrations and lie in a file in clear; nothing of the product reads it.
//
// It keeps no log and prints no key. Nothing here is shared with the switch but the ciphers: sign-on, key delivery and MAC are done as
// a terminal does them (pos-dialect §5 to §7), so that a mistake of the switch shows.
package secret

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"

	"huanxin/switch/keys/block"
	"huanxin/switch/keys/mac"
	"huanxin/switch/keys/pinblock"
)

// Book is a file of keys.
type Book struct {
	Terminals map[string]Terminal `yaml:"terminals"` // by DE41
	Network   *Network            `yaml:"network"`
}

// Terminal is what is injected into a terminal in a safe room.
type Terminal struct {
	Cipher string `yaml:"cipher"` // des, 3des, sm4
	Master Key    `yaml:"master"`
	Serial string `yaml:"serial"` // DE62 of its sign-on
}

// Network is what the card network and the switch have agreed on.
type Network struct {
	MAC    string `yaml:"mac"` // algorithm, by the names of huanxin keys mac
	MACKey Key    `yaml:"mac_key"`
	PIN    string `yaml:"pin"`    // format: iso-0, iso-3, iso-4, iso-0-wide
	Cipher string `yaml:"cipher"` // of the PIN key
	PINKey Key    `yaml:"pin_key"`
}

// Key is a key in clear.
type Key []byte

// Format prints no key, whatever the verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// UnmarshalYAML reads hexadecimal digits.
func (k *Key) UnmarshalYAML(node *yaml.Node) error {
	raw, err := hex.DecodeString(node.Value)
	if err != nil || len(raw) == 0 {
		return fmt.Errorf("line %d: a key is hexadecimal digits", node.Line)
	}
	*k = raw
	return nil
}

// MarshalYAML writes them.
func (k Key) MarshalYAML() (any, error) { return fmt.Sprintf("%X", []byte(k)), nil }

// ErrBook is returned for a file of keys that cannot be used.
var ErrBook = errors.New("file of test keys")

// Open reads a file. An empty path is a book without keys.
func Open(path string) (*Book, error) {
	b := new(Book)
	if path == "" {
		return b, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBook, err)
	}
	if err := yaml.Unmarshal(text, b); err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrBook, path, err)
	}
	for id, t := range b.Terminals {
		if _, err := newPinpad(t); err != nil {
			return nil, fmt.Errorf("%w %s: terminal %s: %w", ErrBook, path, id, err)
		}
	}
	if b.Network != nil {
		if _, err := NewDesk(*b.Network); err != nil {
			return nil, fmt.Errorf("%w %s: network: %w", ErrBook, path, err)
		}
	}
	return b, nil
}

// Write makes a file that only its owner can read.
func (b *Book) Write(path string) error {
	text, err := yaml.Marshal(b)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBook, err)
	}
	return os.WriteFile(path, text, 0o600)
}

// Pinpads are one for each terminal of the book.
func (b *Book) Pinpads() (map[string]*Pinpad, error) {
	pads := make(map[string]*Pinpad, len(b.Terminals))
	for id, t := range b.Terminals {
		p, err := newPinpad(t)
		if err != nil {
			return nil, fmt.Errorf("%w: terminal %s: %w", ErrBook, id, err)
		}
		pads[id] = p
	}
	return pads, nil
}

// Desk is the security of the simulated network: it checks and makes MACs, and opens PIN blocks as an issuer's module does.
type Desk struct {
	mac    *mac.Key
	format pinblock.Format
	pin    *sealed
}

// NewDesk prepares the keys of a network.
func NewDesk(n Network) (*Desk, error) {
	d := &Desk{}
	if n.MAC != "" {
		algorithm, err := mac.ParseAlgorithm(n.MAC)
		if err != nil {
			return nil, err
		}
		if d.mac, err = mac.New(mac.Config{Algorithm: algorithm}, n.MACKey); err != nil {
			return nil, err
		}
	}
	if n.PIN != "" {
		var err error
		if d.format, err = pinblock.ParseFormat(n.PIN); err != nil {
			return nil, err
		}
		cipher, err := block.ParseCipher(n.Cipher)
		if err != nil {
			return nil, err
		}
		if d.pin, err = newSealed(cipher, n.PINKey); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// MACSize is how much of a MAC a line carries, in bytes.
const MACSize = 8

// Authenticates reports whether messages carry MACs.
func (d *Desk) Authenticates() bool { return d != nil && d.mac != nil }

// MAC is the code of a message.
func (d *Desk) MAC(covered []byte) [MACSize]byte {
	return [MACSize]byte(d.mac.Append(nil, covered)[:MACSize])
}

// PIN opens the PIN block of a card. "" and an error: it is none under this key.
func (d *Desk) PIN(pinBlock []byte, pan string) (string, error) {
	if d == nil || d.pin == nil {
		return "", pinblock.ErrBlock
	}
	pin, err := pinblock.Decipher(nil, d.format, d.pin.block, pinBlock, []byte(pan))
	return string(pin), err
}
