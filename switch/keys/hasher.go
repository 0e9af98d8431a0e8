package keys

import (
	"encoding/binary"
	"fmt"
	"sync"
)

// purpose says what a hash stands for. Every purpose has its own key and its own label inside the message, so a hash
// made for one can never meet a hash made for another.
type purpose int

const (
	purposePerson purpose = iota
	purposeCard
	purposeSerial
	purposeCode
	purposeContent
	purposeRequest
	purposeCount
)

// purposeNames are the labels and the names in the key file. They are part of every hash: never change one.
var purposeNames = [purposeCount]string{"person", "card", "serial", "code", "content", "request"}

// maxScratch is how much of a message buffer is kept between hashes.
const maxScratch = 4096

// Hasher makes keyed hashes: HMAC-SHA-256, or HMAC-SM3 in a national programme, cut to its first 16 bytes over
//
//	"huanxin " purpose 0x00 { length, 4 bytes big-endian | bytes } …
//
// The lengths keep ("ab", "c") and ("a", "bc") apart. It allocates nothing in steady state and is safe for concurrent
// use. An empty or absent field hashes as length 0.
type Hasher struct {
	set   *Set
	pools [purposeCount]sync.Pool
}

// Hasher returns the hasher of these keys.
func (s *Set) Hasher() *Hasher {
	h := &Hasher{set: s}
	for p := range h.pools {
		label := "huanxin " + purposeNames[p] + "\x00"
		h.pools[p].New = func() any { return &macState{label: label} }
	}
	return h
}

// Format prints no key.
func (*Hasher) Format(f fmt.State, _ rune) { writeRedacted(f) }

// MarshalText prints no key.
func (*Hasher) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Person hashes an identity document: its kind ("ID", …) and number, letters upper-cased. Name and phone are no part of
// it: they change, the person's quota must not.
func (h *Hasher) Person(kind, number string) [16]byte {
	m := h.begin(purposePerson)
	add(m, kind)
	addUpper(m, number)
	return h.end(purposePerson, m)
}

// Card hashes a card number or, for a QR payment, the payment code. It is for look-up only.
func (h *Hasher) Card(number []byte) [16]byte {
	m := h.begin(purposeCard)
	add(m, number)
	return h.end(purposeCard, m)
}

// Serial hashes a serial number or IMEI. Lower-case letters count as upper-case: a serial typed twice in two ways is
// still one item.
func (h *Hasher) Serial(serial []byte) [16]byte {
	m := h.begin(purposeSerial)
	addUpper(m, serial)
	return h.end(purposeSerial, m)
}

// Code hashes a one-time entitlement code.
func (h *Hasher) Code(code []byte) [16]byte {
	m := h.begin(purposeCode)
	add(m, code)
	return h.end(purposeCode, m)
}

// Content hashes the fields that make two requests the same request (for a terminal DE2, 3, 4, 22 and 59), in the order
// given; pass an absent field as nil.
func (h *Hasher) Content(fields ...[]byte) [16]byte {
	m := h.begin(purposeContent)
	for _, f := range fields {
		add(m, f)
	}
	return h.end(purposeContent, m)
}

// Request hashes an idempotency key within the scope of the caller that sent it: two callers may use the same key.
func (h *Hasher) Request(caller, key string) [16]byte {
	m := h.begin(purposeRequest)
	add(m, caller)
	add(m, key)
	return h.end(purposeRequest, m)
}

// macState is one reusable hash computation. The message is collected first and wiped afterwards.
type macState struct {
	label string
	msg   []byte
	sum   [32]byte
}

func (h *Hasher) begin(p purpose) *macState {
	m := h.pools[p].Get().(*macState)
	m.msg = append(m.msg[:0], m.label...)
	return m
}

func (h *Hasher) end(p purpose, m *macState) [16]byte {
	sum, err := h.set.module.MAC(m.sum[:0], h.set.hash[p], h.set.by, m.msg)
	if err != nil {
		panic("keys: a hash key does not hash: " + err.Error()) // a person without a hash would be a fresh quota
	}
	out := [16]byte(sum)
	clear(m.msg)
	if cap(m.msg) > maxScratch {
		m.msg = nil
	}
	h.pools[p].Put(m)
	return out
}

// add appends one field with its length before it.
func add[T string | []byte](m *macState, field T) {
	m.msg = binary.BigEndian.AppendUint32(m.msg, uint32(len(field)))
	m.msg = append(m.msg, field...)
}

// addUpper is add with the letters a to z upper-cased.
func addUpper[T string | []byte](m *macState, field T) {
	add(m, field)
	for i := len(m.msg) - len(field); i < len(m.msg); i++ {
		if c := m.msg[i]; c >= 'a' && c <= 'z' {
			m.msg[i] = c - 'a' + 'A'
		}
	}
}
