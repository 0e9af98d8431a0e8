package secret

import (
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"

	"huanxin/switch/keys/block"
	"huanxin/switch/keys/mac"
	"huanxin/switch/keys/pinblock"
)

// Pinpad is the security module of one terminal: its master key and serial number, and the working keys that its sign-ons have
// brought. It is safe for concurrent use.
type Pinpad struct {
	cipher block.Cipher
	net    int // 60.3 of its sign-on
	serial string
	master *sealed

	keys atomic.Pointer[working]
}

// working are the keys of one sign-on.
type working struct {
	mac    *mac.Key
	pin    *sealed
	before *working // an answer that was under way when new keys came is still under these
}

// sealed is a key in use.
type sealed struct{ block cipher.Block }

func newSealed(c block.Cipher, key []byte) (*sealed, error) {
	b, err := block.New(c, key)
	if err != nil {
		return nil, err
	}
	return &sealed{b}, nil
}

// codes of 60.3 that ask for keys of one length, two and SM4 (pos-dialect §2).
var signOnCodes = map[string]int{"des": 1, "3des": 3, "sm4": 5}

func newPinpad(t Terminal) (*Pinpad, error) {
	c, err := block.ParseCipher(t.Cipher)
	if err != nil {
		return nil, err
	}
	code, ok := signOnCodes[t.Cipher]
	if !ok {
		return nil, fmt.Errorf("%w: %q for a terminal", block.ErrCipher, t.Cipher)
	}
	p := &Pinpad{cipher: c, net: code, serial: t.Serial}
	p.master, err = newSealed(c, t.Master)
	return p, err
}

// SignOn is 60.3 and DE62 of a sign-on.
func (p *Pinpad) SignOn() (code int, field62 string) {
	if p.serial == "" {
		return p.net, ""
	}
	return p.net, fmt.Sprintf("Sequence No%02d%s", len(p.serial), p.serial)
}

// ErrKeys is returned for a key delivery that the terminal cannot take.
var ErrKeys = errors.New("working keys were not delivered as they should be")

// layouts of DE62 by its length: bytes of a key's place, of its check value, and how many keys there are (pos-dialect §5).
var layouts = map[int]struct{ place, check, keys int }{
	24: {8, 4, 2}, 40: {16, 4, 2}, 60: {16, 4, 3}, 56: {24, 4, 2}, 84: {24, 4, 3}, 57: {16, 3, 3},
}

// Take opens the working keys of a sign-on's answer, and uses them from now on. Every check value must be right.
func (p *Pinpad) Take(field62 []byte) error {
	l, ok := layouts[len(field62)]
	if !ok {
		return fmt.Errorf("%w: DE62 has %d bytes", ErrKeys, len(field62))
	}
	var clear [3][]byte
	for i := range l.keys {
		one := field62[i*(l.place+l.check):]
		cryptogram, check := one[:l.place], one[l.place:l.place+l.check]
		if i == 1 && p.cipher == block.DES && l.place == 16 && string(cryptogram[8:]) == "\x00\x00\x00\x00\x00\x00\x00\x00" {
			cryptogram = cryptogram[:8] // a MAC key of one length beside keys of two
		}
		key, err := block.AppendECBOpened(nil, p.master.block, cryptogram)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrKeys, err)
		}
		if !block.Checks(p.cipher, key, check) {
			return fmt.Errorf("%w: the check value of key %d is wrong", ErrKeys, i+1)
		}
		clear[i] = key
	}
	algorithm := mac.CUPECB
	if p.cipher == block.SM4 {
		algorithm = mac.CUPECBSM4
	}
	made, err := mac.New(mac.Config{Algorithm: algorithm}, clear[1])
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKeys, err)
	}
	pin, err := newSealed(p.cipher, clear[0])
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKeys, err)
	}
	before := p.keys.Load()
	if before != nil {
		before = &working{mac: before.mac, pin: before.pin}
	}
	p.keys.Store(&working{mac: made, pin: pin, before: before})
	return nil
}

// Ready reports whether a sign-on has brought keys.
func (p *Pinpad) Ready() bool { return p != nil && p.keys.Load() != nil }

// MAC appends DE64 of a message.
func (p *Pinpad) MAC(dst, covered []byte) []byte { return p.keys.Load().mac.Append(dst, covered) }

// Verify reports whether code is DE64 of a message that came.
func (p *Pinpad) Verify(covered, code []byte) bool {
	k := p.keys.Load()
	return k != nil && (k.mac.Verify(covered, code) || k.before != nil && k.before.mac.Verify(covered, code))
}

// PIN is DE52 and DE53 for a PIN that was typed for a card (pos-dialect §6).
func (p *Pinpad) PIN(pin, pan string) (pinBlock []byte, control, capture string, err error) {
	format, control, capture := pinblock.ISO0, "2600000000000000", "06"
	if p.cipher == block.SM4 {
		format, control, capture = pinblock.Wide0, "2300000000000000", "12"
	} else if p.net == signOnCodes["des"] {
		control = "2000000000000000"
	}
	k := p.keys.Load()
	if k == nil {
		return nil, "", "", fmt.Errorf("%w: there are none", ErrKeys)
	}
	pinBlock, err = pinblock.Encipher(nil, format, k.pin.block, []byte(pin), []byte(pan), pinblock.RandomFill(rand.Reader))
	return pinBlock, control, capture, err
}
