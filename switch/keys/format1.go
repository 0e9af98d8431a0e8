package keys

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/soft"
	"huanxin/switch/keys/store"
)

// The first format of the key file had the keys in clear:
//
//	format: 1
//	hash:            # 32 bytes of hex each
//	  person: …
//	  card: … serial: … code: … content: … request: …
//	card:
//	  current: c1    # seals; all of them open
//	  keys:
//	    c1: …
//	check: …         # over the hash keys
//
// Open brings it over into a store, without changing a key.

// secret is one key in clear. It prints as [redacted] wherever fmt reaches it.
type secret [KeySize]byte

func (secret) Format(f fmt.State, _ rune)   { writeRedacted(f) }
func (secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// plain is the content of a file of the first format.
type plain struct {
	hash    [purposeCount]secret
	current string // id of the card key that seals
	card    map[string]secret
}

// Format prints no key.
func (*plain) Format(f fmt.State, _ rune) { writeRedacted(f) }

func (p *plain) wipe() {
	clear(p.hash[:])
	clear(p.card)
}

// Bounds of the file in bytes, and of the card keys in it.
const (
	maxFile     = 64 << 10
	maxCardKeys = 64
)

// Open opens the store of cfg. A file of the first format is brought over first: the keys stay what they are, wrapped under
// a master key, and the file itself is kept as backup, whose path is returned.
func Open(cfg store.Config, o Options) (s *store.Store, backup string, err error) {
	s, err = store.Open(cfg)
	if err == nil || !errors.Is(err, store.ErrFormat) {
		return s, "", err
	}
	text, readErr := store.ReadGuarded(cfg.Path, maxFile)
	defer clear(text)
	if readErr != nil || !store.IsFormat1(text) {
		return nil, "", err
	}
	p, err := parseFormat1(text)
	if err != nil {
		return nil, "", fmt.Errorf("load key file %s: %w", cfg.Path, err)
	}
	defer p.wipe()
	backup = cfg.Path + ".format1"
	if err := keep(backup, text); err != nil {
		return nil, "", fmt.Errorf("keep a copy of the key file: %w", err)
	}
	s, err = store.Create(cfg, store.New{
		// The hashes are what they were, whatever is asked for.
		Mode: o.mode(), Hash: hsm.HMACSHA256, By: o.By, Act: store.ActMigrate, Known: p.known(), Over: true,
	})
	return s, backup, err
}

// keep writes the copy. One of an earlier start that did not come to its end is good if it is the same.
func keep(path string, text []byte) error {
	err := store.WriteOnce(path, text)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	there, err := store.ReadGuarded(path, maxFile)
	defer clear(there)
	if err == nil && !bytes.Equal(there, text) {
		err = fmt.Errorf("%s is there and holds other keys", path)
	}
	return err
}

// known are the keys as a store takes them. The slices are those of p.
func (p *plain) known() (list []store.Known) {
	for i, name := range purposeNames {
		list = append(list, store.Known{
			Wanted: store.Wanted{Label: "hash/" + name, Algorithm: hsm.HMAC, Length: KeySize}, State: store.Active, Secret: p.hash[i][:],
		})
	}
	for _, id := range p.cardKeyIDs() {
		key, state := p.card[id], store.Former
		if id == p.current {
			state = store.Active
		}
		list = append(list, store.Known{
			Wanted: store.Wanted{Label: "card/" + id, Algorithm: hsm.AES, Length: KeySize}, State: state, Secret: key[:],
		})
	}
	// The one that seals comes last: it makes those before it former.
	at := slices.IndexFunc(list, func(k store.Known) bool { return k.Wanted.Label == "card/"+p.current })
	list = append(slices.Delete(slices.Clone(list), at, at+1), list[at])
	return list
}

// drawPlain draws the keys of a programme.
func drawPlain(rand io.Reader) (*plain, error) {
	p := &plain{current: "c1", card: map[string]secret{}}
	var k secret
	for i := range p.hash {
		if _, err := io.ReadFull(rand, p.hash[i][:]); err != nil {
			return nil, fmt.Errorf("draw hash key: %w", err)
		}
	}
	if _, err := io.ReadFull(rand, k[:]); err != nil {
		return nil, fmt.Errorf("draw card key: %w", err)
	}
	p.card[p.current] = k
	return p, nil
}

// set puts the keys into a software module that is in memory only.
func (p *plain) set(rand io.Reader) (*Set, error) {
	lmk, err := soft.GenerateLMK(soft.International, rand)
	if err != nil {
		return nil, err
	}
	module, err := soft.New(soft.Config{LMK: lmk, Rand: rand})
	if err != nil {
		return nil, err
	}
	s := &Set{module: module, by: hsm.HMACSHA256}
	form := func(spec hsm.Spec, key []byte) (hsm.Key, error) {
		k, _, err := module.Form(spec, key, make([]byte, len(key)))
		return k, err
	}
	for i := range p.hash {
		if s.hash[i], err = form(hsm.Spec{Purpose: hsm.Hash, Algorithm: hsm.HMAC}, p.hash[i][:]); err != nil {
			return nil, err
		}
	}
	cards := &cardKeys{current: p.current, all: map[string]hsm.Key{}}
	for id, key := range p.card {
		if cards.all[id], err = form(hsm.Spec{Purpose: hsm.Card, Algorithm: hsm.AES}, key[:]); err != nil {
			return nil, err
		}
	}
	s.cards.Store(cards)
	return s, nil
}

// sum is a check over the hash keys, which stay the same for the life of a programme. They are random, so that it tells
// nothing about them.
func (p *plain) sum() [8]byte {
	h := sha256.New()
	h.Write([]byte("huanxin key file check\x00"))
	for i := range p.hash {
		h.Write(p.hash[i][:])
	}
	return [8]byte(h.Sum(nil))
}

func (p *plain) cardKeyIDs() []string {
	ids := make([]string, 0, len(p.card))
	for id := range p.card {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// parseFormat1 walks the YAML tree itself: the decoder's own errors quote values, and here every value is a secret.
func parseFormat1(text []byte) (*plain, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil || len(doc.Content) != 1 {
		return nil, fmt.Errorf("%w: no YAML document", store.ErrFormat)
	}
	top, err := mapping(doc.Content[0], "file", []string{"format", "hash", "card", "check"})
	if err != nil {
		return nil, err
	}
	format, err := scalar(top["format"], "format")
	if err != nil {
		return nil, err
	}
	if format != strconv.Itoa(1) {
		return nil, fmt.Errorf("%w: line %d: format: want format 1", store.ErrFormat, top["format"].Line)
	}
	s := &plain{card: map[string]secret{}}
	hashes, err := mapping(top["hash"], "hash", purposeNames[:])
	if err != nil {
		return nil, err
	}
	for p, name := range purposeNames {
		if err := key(hashes[name], "hash."+name, s.hash[p][:]); err != nil {
			return nil, err
		}
	}
	if err := s.parseCard(top["card"]); err != nil {
		return nil, err
	}
	var check [8]byte
	if err := key(top["check"], "check", check[:]); err != nil {
		return nil, err
	}
	if check != s.sum() {
		return nil, fmt.Errorf("%w: check: a hash key was changed; restore the file from its copy", store.ErrFormat)
	}
	return s, nil
}

func (s *plain) parseCard(node *yaml.Node) error {
	card, err := mapping(node, "card", []string{"current", "keys"})
	if err != nil {
		return err
	}
	if s.current, err = scalar(card["current"], "card.current"); err != nil {
		return err
	}
	list, err := mapping(card["keys"], "card.keys", nil)
	if err != nil {
		return err
	}
	if len(list) > maxCardKeys {
		return fmt.Errorf("%w: card.keys: more than %d keys", store.ErrFormat, maxCardKeys)
	}
	for id, value := range list {
		if !store.CardID(id) {
			return fmt.Errorf("%w: line %d: card.keys: an id is 1 to %d of a-z, 0-9 and -", store.ErrFormat, value.Line, MaxKeyID)
		}
		var k secret
		if err := key(value, "card.keys."+id, k[:]); err != nil {
			return err
		}
		s.card[id] = k
	}
	if _, ok := s.card[s.current]; !ok {
		return fmt.Errorf("%w: line %d: card.current names no key of card.keys", store.ErrFormat, card["current"].Line)
	}
	return nil
}

// mapping returns the entries of a mapping. With names, exactly those must be there.
func mapping(node *yaml.Node, path string, names []string) (map[string]*yaml.Node, error) {
	if node.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%w: line %d: %s is no mapping", store.ErrFormat, node.Line, path)
	}
	entries := make(map[string]*yaml.Node, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		name := node.Content[i]
		if name.Kind != yaml.ScalarNode || names != nil && !slices.Contains(names, name.Value) {
			return nil, fmt.Errorf("%w: line %d: unknown key in %s", store.ErrFormat, name.Line, path)
		}
		if entries[name.Value] != nil {
			return nil, fmt.Errorf("%w: line %d: a key of %s is given twice", store.ErrFormat, name.Line, path)
		}
		entries[name.Value] = node.Content[i+1]
	}
	for _, name := range names {
		if entries[name] == nil {
			return nil, fmt.Errorf("%w: line %d: %s.%s is missing", store.ErrFormat, node.Line, path, name)
		}
	}
	return entries, nil
}

func scalar(node *yaml.Node, path string) (string, error) {
	if node.Kind != yaml.ScalarNode {
		return "", fmt.Errorf("%w: line %d: %s is no single value", store.ErrFormat, node.Line, path)
	}
	return node.Value, nil
}

// key decodes exactly len(dst) bytes of hex. A key of zeros is refused: it is what a failed generator leaves.
func key(node *yaml.Node, path string, dst []byte) error {
	value, err := scalar(node, path)
	if err != nil {
		return err
	}
	if len(value) != 2*len(dst) {
		return fmt.Errorf("%w: line %d: %s has %d characters, want %d of hex", store.ErrFormat, node.Line, path, len(value), 2*len(dst))
	}
	if _, err := hex.Decode(dst, []byte(value)); err != nil {
		return fmt.Errorf("%w: line %d: %s is not hex", store.ErrFormat, node.Line, path)
	}
	if len(dst) == KeySize && secret(dst) == (secret{}) {
		return fmt.Errorf("%w: line %d: %s is all zeros", store.ErrFormat, node.Line, path)
	}
	return nil
}
