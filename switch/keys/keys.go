// Package keys protects what the switch must know but nobody may read: persons and serials become keyed hashes, card
// data becomes sealed envelopes. The keys for both are in a module (switch/keys/hsm) and lie wrapped in a store
// (switch/keys/store), which this package creates, and brings over from the first format, whose keys were in clear.
//
// Keys, MACs and PIN blocks of terminals and links are not here: see switch/keys/hsm.
//
// The contract:
//
//   - A Hasher and a Vault are safe for concurrent use. Their results are the same for the same keys for ever, and worthless
//     with others: the programme pins Set.PersonKeyCheck in its journal, and a process with another key must not run.
//   - Hash keys stay for the life of a programme. Card keys rotate: Set.Follow takes over a new one while Vaults are in use.
//   - No key, card number or identity number comes out of any String, Format, Marshal or error of this package.
package keys

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/soft"
	"huanxin/switch/keys/store"
)

// KeySize is the length in bytes of hash keys, and of card keys for AES.
const KeySize = 32

// redacted is what every type that holds key material prints.
const redacted = "[redacted]"

// Set are the keys of one programme's data at rest, as handles of a module.
type Set struct {
	module hsm.Sealer
	by     hsm.MACAlgorithm // of hashes: HMACSHA256 or HMACSM3
	hash   [purposeCount]hsm.Key
	cards  atomic.Pointer[cardKeys]
}

// cardKeys are the card keys of one moment. It is never changed, only replaced.
type cardKeys struct {
	current string // id of the one that seals
	all     map[string]hsm.Key
}

// Format prints no key, whatever the verb: fields that are not exported would bypass their own methods.
func (*Set) Format(f fmt.State, _ rune) { writeRedacted(f) }

// MarshalText prints no key; encoders of JSON and YAML use it.
func (*Set) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// ErrIncomplete is returned for a store that has not all keys of a programme.
var ErrIncomplete = errors.New("the key store has not all keys of a programme")

// FromStore takes the keys of a programme from its store.
func FromStore(s *store.Store) (*Set, error) {
	set := &Set{module: s.Module(), by: s.Hash()}
	for p, name := range purposeNames {
		k, ok := s.Find("hash/" + name)
		if !ok {
			return nil, fmt.Errorf("%w: hash/%s", ErrIncomplete, name)
		}
		set.hash[p] = k
	}
	return set, set.Follow(s)
}

// Follow takes over the card keys that the store has now. Hash keys never change.
func (s *Set) Follow(from *store.Store) error {
	next := &cardKeys{all: map[string]hsm.Key{}}
	from.Below("card/", func(r store.Record, k hsm.Key) bool {
		id := strings.TrimPrefix(r.Label, "card/")
		next.all[id] = k
		if r.State == store.Active {
			next.current = id
		}
		return true
	})
	if next.current == "" {
		return fmt.Errorf("%w: no card key seals", ErrIncomplete)
	}
	if !store.CardID(next.current) { // of a release that made such keys: what it seals would never open
		return fmt.Errorf("%w: card/%s cannot be named in an envelope: huanxin keys rotate card", ErrIncomplete, next.current)
	}
	s.cards.Store(next)
	return nil
}

// PersonKeyCheck identifies the person key without giving it away: the first 8 bytes of
// HMAC(person key, "huanxin person key check"). The journal pins it (event ProgrammePinned).
func (s *Set) PersonKeyCheck() [8]byte {
	code, err := s.module.MAC(nil, s.hash[purposePerson], s.by, []byte("huanxin person key check"))
	if err != nil {
		panic("keys: the person key does not hash: " + err.Error())
	}
	return [8]byte(code)
}

// CardKeyID is the id of the key that seals new envelopes.
func (s *Set) CardKeyID() string { return s.cards.Load().current }

// Options say how a programme's keys are made.
type Options struct {
	// National takes SM4-GCM for the store and for card data and HMAC-SM3 for hashes, instead of AES-256-GCM and
	// HMAC-SHA-256. It is chosen once: the hashes of a programme never change.
	National bool
	By       store.Authority
}

func (o Options) mode() soft.Mode {
	if o.National {
		return soft.National
	}
	return soft.International
}

func (o Options) hash() hsm.MACAlgorithm {
	if o.National {
		return hsm.HMACSM3
	}
	return hsm.HMACSHA256
}

// wanted are the keys of a new programme.
func (o Options) wanted() (list []store.Wanted) {
	for _, name := range purposeNames {
		list = append(list, store.Wanted{Label: "hash/" + name, Algorithm: hsm.HMAC, Length: KeySize})
	}
	card := store.Wanted{Label: "card/c1", Algorithm: hsm.AES, Length: KeySize}
	if o.National {
		card.Algorithm, card.Length = hsm.SM4, 0
	}
	return append(list, card)
}

// Create draws the keys of a new programme and writes the store, with a master key if its file is not there. It never
// overwrites: an existing store is an error that is fs.ErrExist. After a crash either the whole store is there or none.
func Create(cfg store.Config, o Options) (*store.Store, error) {
	return store.Create(cfg, store.New{Mode: o.mode(), Hash: o.hash(), By: o.By, Act: store.ActCreate, Draw: o.wanted()})
}

// Generate draws keys that are in memory only, for tests and measurements.
func Generate(rand io.Reader) (*Set, error) {
	plain, err := drawPlain(rand)
	if err != nil {
		return nil, err
	}
	defer plain.wipe()
	return plain.set(rand)
}

// Config is where the store of a switch lies: beside the master key's file, unless the environment has the master key.
func Config(path, lmkFile string, getenv func(string) string) store.Config {
	return store.Config{
		Path: path, LMK: store.Source{File: lmkFile, Env: getenv(store.EnvLMK), Next: getenv(store.EnvNextLMK)},
		Rand: rand.Reader, Now: time.Now,
	}
}

func writeRedacted(w io.Writer) { _, _ = io.WriteString(w, redacted) }
