package keys

import (
	"encoding/binary"
	"errors"
	"fmt"

	"huanxin/switch/event"
	"huanxin/switch/iso8583"
)

// CardRecord is what the switch keeps of a card so that a reversal can be built without the terminal, also after a
// restart. There is no track, no PIN block and no CVN in it, and there never may be (PCI DSS 3.3).
//
// Encoding: the version byte 1, then every field in the order of the struct, each led by its length: one byte, for POSData
// two bytes big-endian.
type CardRecord struct {
	PAN       []byte // DE2, 8 to 19 digits; empty in a QR payment
	Expiry    []byte // DE14, YYMM, or empty
	Sequence  []byte // DE23, 3 digits, or empty
	EntryMode []byte // DE22, 3 digits
	Condition []byte // DE25, 2 digits
	Currency  []byte // DE49, 3 digits
	QRCode    []byte // payment code of DE59 tag A3, at most 64 letters or digits, or empty
	ICC       []byte // DE55 tags 95 9F1E 9F10 9F36 DF31 as BER-TLV, at most 255 bytes, or empty
	POSData   []byte // DE60, at most 999 digits
}

const (
	cardRecordVersion = 1
	maxQRCode         = 64
	maxICC            = 255
	maxPOSData        = 999
	// maxCardRecord is the longest encoding: what is wiped never lies in an array that was outgrown.
	maxCardRecord = 1 + 8 + 19 + 4 + 3 + 3 + 2 + 3 + maxQRCode + maxICC + 2 + maxPOSData
)

// ErrCardRecord is returned for a record that breaks the limits of its fields. The error names the field, never the value.
var ErrCardRecord = errors.New("card record")

// Check reports the first field that breaks its limits.
func (r *CardRecord) Check() error {
	for _, f := range []struct {
		name     string
		value    []byte
		min, max int
		empty    bool
	}{
		{"PAN", r.PAN, 8, 19, true},
		{"expiry", r.Expiry, 4, 4, true},
		{"sequence", r.Sequence, 3, 3, true},
		{"entry mode", r.EntryMode, 3, 3, false},
		{"condition", r.Condition, 2, 2, true},
		{"currency", r.Currency, 3, 3, true},
		{"POS data", r.POSData, 1, maxPOSData, true},
	} {
		if len(f.value) == 0 && f.empty {
			continue
		}
		if len(f.value) < f.min || len(f.value) > f.max {
			return fmt.Errorf("%w: %s has %d digits", ErrCardRecord, f.name, len(f.value))
		}
		if !allDigits(f.value) {
			return fmt.Errorf("%w: %s is not digits", ErrCardRecord, f.name)
		}
	}
	if len(r.QRCode) > maxQRCode || !allAlnum(r.QRCode) {
		return fmt.Errorf("%w: QR code is not at most %d letters or digits", ErrCardRecord, maxQRCode)
	}
	if len(r.ICC) > maxICC {
		return fmt.Errorf("%w: ICC data has %d bytes", ErrCardRecord, len(r.ICC))
	}
	if (len(r.PAN) == 0) == (len(r.QRCode) == 0) {
		return fmt.Errorf("%w: want either a PAN or a QR code", ErrCardRecord)
	}
	return nil
}

// short are the fields with a length of one byte, in the order of the encoding.
func (r *CardRecord) short() [8]*[]byte {
	return [...]*[]byte{&r.PAN, &r.Expiry, &r.Sequence, &r.EntryMode, &r.Condition, &r.Currency, &r.QRCode, &r.ICC}
}

// Append appends the encoding of r, which must pass Check.
func (r *CardRecord) Append(dst []byte) []byte {
	dst = append(dst, cardRecordVersion)
	for _, f := range r.short() {
		dst = append(dst, byte(len(*f)))
		dst = append(dst, *f...)
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.POSData)))
	return append(dst, r.POSData...)
}

// ParseCardRecord reads what Append wrote. The fields are slices of b: wiping b wipes them.
func ParseCardRecord(b []byte) (CardRecord, error) {
	var r CardRecord
	if len(b) == 0 || b[0] != cardRecordVersion {
		return CardRecord{}, fmt.Errorf("%w: unknown version", ErrCardRecord)
	}
	rest := b[1:]
	for _, f := range r.short() {
		if len(rest) < 1 || len(rest)-1 < int(rest[0]) {
			return CardRecord{}, fmt.Errorf("%w: truncated", ErrCardRecord)
		}
		n := int(rest[0])
		*f, rest = rest[1:1+n:1+n], rest[1+n:]
	}
	if len(rest) < 2 || len(rest)-2 != int(binary.BigEndian.Uint16(rest)) {
		return CardRecord{}, fmt.Errorf("%w: wrong length", ErrCardRecord)
	}
	r.POSData = rest[2:]
	if err := r.Check(); err != nil {
		return CardRecord{}, err
	}
	return r, nil
}

// Wipe overwrites the bytes behind every field with zeros. A record whose fields point into a received message wipes that
// message too.
func (r *CardRecord) Wipe() {
	for _, f := range r.short() {
		clear(*f)
	}
	clear(r.POSData)
}

// Mask is what may be shown: the first six and last four digits of the PAN or QR code, by the rule for DE2.
func (r *CardRecord) Mask() string { return iso8583.Mask(2, string(r.number())) }

// number is the PAN or, in a QR payment, the payment code.
func (r *CardRecord) number() []byte {
	if len(r.PAN) > 0 {
		return r.PAN
	}
	return r.QRCode
}

// Format prints the mask only.
func (r CardRecord) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("card " + r.Mask())) }

// MarshalText prints the mask only.
func (r CardRecord) MarshalText() ([]byte, error) { return []byte("card " + r.Mask()), nil }

// SealCard makes the card that goes into an event: look-up token, mask, key id and envelope. The envelope is bound to its
// token. The caller may Wipe r afterwards.
func (v *Vault) SealCard(r *CardRecord) (*event.Card, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	d := v.desks.Get().(*desk)
	defer v.desks.Put(d)
	d.plain = r.Append(d.plain[:0])
	defer clear(d.plain)
	hash := v.hasher.Card(r.number())
	// Token and envelope live as long as each other: in one piece of memory.
	cards := v.set.cards.Load() // one moment's: the id beside the envelope is the id in it
	both := append(make([]byte, 0, len(hash)+sealedSize(cards.current, len(d.plain))), hash[:]...)
	both, err := v.seal(cards, both, d.plain, both)
	if err != nil {
		return nil, err
	}
	token, envelope := both[:len(hash):len(hash)], both[len(hash):]
	return &event.Card{Token: token, Mask: r.Mask(), KeyId: cards.current, Envelope: envelope}, nil
}

// OpenCard reads the record in card. The caller wipes it after use.
func (v *Vault) OpenCard(card *event.Card) (CardRecord, error) {
	plain, err := v.Open(nil, card.GetEnvelope(), card.GetToken())
	if err != nil {
		return CardRecord{}, err
	}
	return ParseCardRecord(plain)
}

func allDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

func allAlnum(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}
