package host

import (
	"cmp"
	"errors"
	"fmt"

	"huanxin/switch/engine"
	"huanxin/switch/iso8583"
	"huanxin/switch/keys/hsm"
)

// MAC is how requests and answers of a link are authenticated. Management messages carry none.
type MAC struct {
	// Algorithm makes the code; a link that carries 8 bytes takes the first ones of a longer one (pos-dialect §7.4).
	Algorithm hsm.MACAlgorithm
	// Key is the label of the key, of purpose ZAK. Default host/NAME/zak. Answers under a former key of the label are accepted, so that both sides need not
	// change in the same instant.
	Key string
}

// PIN is how PIN blocks go to a host.
type PIN struct {
	// Format of DE52: ISO0, ISO3, ISO4 or ISO0SM4.
	Format hsm.PINFormat
	// Key is the label of the key, of purpose ZPK. Default host/NAME/zpk.
	Key string
	// Control is DE53 of a message with a PIN, 16 digits. Default: 2, then the cipher (0 DES, 6 3DES, 3 SM4, 4 AES), then zeros
	// (pos-dialect §2).
	Control string
	// Capture is DE26 of a message with a PIN, 2 digits. Default 12 under SM4 and AES, else 06.
	Capture string
}

// of is the profile of a host's PIN blocks, with the label of their key.
func (p PIN) of(host string) PIN {
	p.Key = cmp.Or(p.Key, "host/"+host+"/zpk")
	return p
}

// Keys finds the keys of links. Labels are those of the key store. It is safe for concurrent use.
type Keys interface {
	// Find is the key of a label that is in use.
	Find(label string) (hsm.Key, bool)
	// Former are those of a label that are still accepted.
	Former(label string) []hsm.Key
}

// PINs gives the translated PIN block of a request that waits for its answer, nil without one. It is read before Send returns.
type PINs interface {
	PIN(engine.Token) []byte
}

// macSize is how much of a MAC a link carries, in bytes.
const macSize = 8

// What is wrong with the MAC of an answer: it is none then, whatever it says.
var (
	errMACMissing = errors.New("answer without a MAC")
	errMACWrong   = errors.New("MAC of an answer is wrong")
)

// errKeyGone is returned when a key that the profile names is not in use any more.
var errKeyGone = errors.New("no key of that label is in use")

// seal makes and checks the MACs of one link.
type seal struct {
	mac    MAC
	module hsm.Module
	keys   Keys
	codec  *iso8583.Codec
}

func newSeal(cfg *Config, module hsm.Module, keys Keys) (*seal, error) {
	if cfg.MAC == nil {
		return nil, nil
	}
	s := &seal{mac: *cfg.MAC, module: module, keys: keys, codec: cfg.Codec}
	info, found, err := keyOf(module, keys, s.mac.Key)
	if err == nil && found {
		err = hsm.AllowMAC(info, hsm.OpMAC, s.mac.Algorithm)
	}
	if err != nil {
		return nil, fmt.Errorf("MAC key %q: %w", s.mac.Key, err)
	}
	for _, field := range []int{64, 128} {
		if !s.codec.Defines(field) && field == 128 {
			continue
		}
		// Any eight bytes may be a MAC.
		if _, err := s.codec.AppendValue(nil, field, []byte("\x00\x80\xff\x1f ~\x7f\xaa")); err != nil || s.codec.WireSize(field) == 0 {
			return nil, fmt.Errorf("dialect %s has no field %d that holds a MAC", s.codec.Name(), field)
		}
	}
	return s, nil
}

// keyOf is what is known of a key. One that is not there may still come, without a restart: until then no request can leave.
func keyOf(module hsm.Module, keys Keys, label string) (info hsm.Info, found bool, err error) {
	if module == nil || keys == nil {
		return hsm.Info{}, false, errors.New("there is no key store")
	}
	k, found := keys.Find(label)
	if found {
		info = k.Info()
	}
	return info, found, nil
}

// reserve puts a MAC field of zeros behind everything else of a message, so that the bitmap under the MAC is the one that is sent.
func (s *seal) reserve(b *iso8583.Builder) (field int) {
	field = 64
	for n := 65; n <= s.codec.LastField(); n++ {
		if b.Has(n) {
			field = 128
			break
		}
	}
	var none [macSize]byte
	b.Set(field, none[:])
	return field
}

// append fills the reserved field at the end of body, over all that stands before it. room is for the code.
func (s *seal) append(body []byte, field int, room []byte) ([]byte, error) {
	key, ok := s.keys.Find(s.mac.Key)
	if !ok {
		return body, fmt.Errorf("MAC key %q: %w", s.mac.Key, errKeyGone)
	}
	covered := body[:len(body)-s.codec.WireSize(field)]
	code, err := s.module.MAC(room[:0], key, s.mac.Algorithm, covered)
	if err != nil {
		return body, fmt.Errorf("MAC: %w", err)
	}
	return s.codec.AppendValue(covered, field, code[:macSize])
}

// check verifies the MAC of a received message over its own bytes, from the MTI to the field before the MAC. code is room
// for what the message says.
func (s *seal) check(m *iso8583.Message, code *[macSize]byte) error {
	field := 64
	if m.Has(128) {
		field = 128
	}
	switch {
	case !m.Has(field):
		return errMACMissing
	case m.Next(field) != 0: // a field behind the MAC is not under it
		return errMACWrong
	case m.CopyField(code[:], field) != macSize:
		return errMACWrong
	}
	covered := m.RawUpTo(field)
	if key, ok := s.keys.Find(s.mac.Key); ok {
		if err := s.module.Verify(key, s.mac.Algorithm, covered, code[:]); err == nil || !errors.Is(err, hsm.ErrMAC) {
			return err
		}
	}
	for _, key := range s.keys.Former(s.mac.Key) {
		if s.module.Verify(key, s.mac.Algorithm, covered, code[:]) == nil {
			return nil
		}
	}
	return errMACWrong
}

// pinWords are what a message with a PIN says about it.
type pinWords struct {
	PIN
	keys Keys
}

func newPINWords(cfg *Config, module hsm.Module, keys Keys) (*pinWords, error) {
	p := cfg.PIN
	if p == nil {
		return nil, nil
	}
	info, found, err := keyOf(module, keys, p.Key)
	if err == nil && found {
		err = hsm.Allow(info, hsm.OpPINTo)
	}
	if err != nil {
		return nil, fmt.Errorf("PIN key %q: %w", p.Key, err)
	}
	if found && !fits(p.Format, info.Algorithm) || !p.Format.WithPAN() {
		return nil, fmt.Errorf("PIN format %s is not one under a %s key", p.Format, info.Algorithm)
	}
	if _, err := cfg.Codec.AppendValue(nil, 52, make([]byte, p.Format.Size())); err != nil {
		return nil, fmt.Errorf("dialect %s has no field 52 of %d bytes, which PIN format %s takes", cfg.Codec.Name(), p.Format.Size(), p.Format)
	}
	return &pinWords{*p, keys}, nil
}

// say is DE53 and DE26, by the cipher of the key that the block is under.
func (w *pinWords) say() (control, capture string) {
	key, ok := w.keys.Find(w.Key)
	if !ok {
		return w.Control, w.Capture
	}
	control, capture = "2600000000000000", "06"
	switch key.Info().Algorithm {
	case hsm.DES:
		control = "2000000000000000"
	case hsm.SM4:
		control, capture = "2300000000000000", "12"
	case hsm.AES:
		control, capture = "2400000000000000", "12"
	}
	return cmp.Or(w.Control, control), cmp.Or(w.Capture, capture)
}

// fits tells whether blocks of a format go to a host under a cipher. Without the card number none does.
func fits(f hsm.PINFormat, cipher hsm.Algorithm) bool {
	switch f {
	case hsm.ISO0, hsm.ISO3:
		return cipher == hsm.DES || cipher == hsm.TDES
	case hsm.ISO4:
		return cipher == hsm.AES || cipher == hsm.SM4
	case hsm.ISO0SM4:
		return cipher == hsm.SM4
	}
	return false
}

// ErrNoPIN is returned by Translator for a host that takes no PIN blocks.
var ErrNoPIN = errors.New("no PIN key is agreed with the host")

// Translator enciphers PIN blocks for hosts. It is safe for concurrent use.
type Translator struct {
	hosts  map[string]PIN
	module hsm.Module
	keys   Keys
}

// NewTranslator translates for the hosts whose profile says how.
func NewTranslator(profiles []Config, module hsm.Module, keys Keys) *Translator {
	t := &Translator{hosts: map[string]PIN{}, module: module, keys: keys}
	for _, p := range profiles {
		if p.PIN != nil {
			t.hosts[p.Name] = p.PIN.of(p.Name)
		}
	}
	return t
}

// TranslatePIN appends a block to dst, deciphered as from says and enciphered for the host, inside the module. ErrNoPIN: the host
// takes none. Other errors are the module's.
func (t *Translator) TranslatePIN(dst []byte, host string, from hsm.PIN, block []byte) ([]byte, error) {
	p, ok := t.hosts[host]
	if !ok {
		return dst, ErrNoPIN
	}
	key, ok := t.keys.Find(p.Key)
	if !ok {
		return dst, fmt.Errorf("PIN key %q: %w", p.Key, errKeyGone)
	}
	return t.module.TranslatePIN(dst, from, hsm.PIN{Key: key, Format: p.Format, PAN: from.PAN}, block)
}
