// Package keys protects what the switch must know but nobody may read: persons and serials become keyed hashes, card
// data becomes sealed envelopes, and the keys for both live in one file that only the process owner can open.
//
// It does no terminal keys, MACs or PIN blocks, and it is no HSM: the keys are in the memory of the process. See README.md
// for what that protects against and what it does not.
//
// The contract:
//
//   - Load reads the key file once at start, or says why it refuses it. Create makes a new one and never overwrites.
//   - A Hasher and a Vault are safe for concurrent use. Their results are the same for the same file for ever, and worthless
//     with another: the programme pins Set.PersonKeyCheck in its journal, and a process with another key must not run.
//   - No key, card number or identity number comes out of any String, Format, Marshal or error of this package.
package keys

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
)

// KeySize is the length in bytes of every key of the file.
const KeySize = 32

// secret is one key. It prints as [redacted] wherever fmt reaches it.
type secret [KeySize]byte

// redacted is what every type that holds key material prints.
const redacted = "[redacted]"

func (secret) Format(f fmt.State, _ rune)   { writeRedacted(f) }
func (secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Set is the content of a key file.
type Set struct {
	hash    [purposeCount]secret
	current string // id of the card key that seals
	card    map[string]secret
}

// Format prints no key, whatever the verb: fields that are not exported would bypass their own methods.
func (Set) Format(f fmt.State, _ rune) { writeRedacted(f) }

// MarshalText prints no key; encoders of JSON and YAML use it.
func (Set) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// PersonKeyCheck identifies the person key without giving it away: the first 8 bytes of
// HMAC-SHA-256(person key, "huanxin person key check"). The journal pins it (event ProgrammePinned).
func (s *Set) PersonKeyCheck() [8]byte {
	mac := hmac.New(sha256.New, s.hash[purposePerson][:])
	mac.Write([]byte("huanxin person key check"))
	return [8]byte(mac.Sum(nil))
}

// CardKeyID is the id of the key that seals new envelopes.
func (s *Set) CardKeyID() string { return s.current }

// Generate draws a new set of keys from rand, with one card key called c1.
func Generate(rand io.Reader) (*Set, error) {
	s := &Set{current: "c1", card: map[string]secret{}}
	var k secret
	for p := range s.hash {
		if _, err := io.ReadFull(rand, s.hash[p][:]); err != nil {
			return nil, fmt.Errorf("draw hash key: %w", err)
		}
	}
	if _, err := io.ReadFull(rand, k[:]); err != nil {
		return nil, fmt.Errorf("draw card key: %w", err)
	}
	s.card[s.current] = k
	return s, nil
}

func writeRedacted(w io.Writer) { _, _ = io.WriteString(w, redacted) }
