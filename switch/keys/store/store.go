// Package store keeps the keys of a switch in one file: wrapped under a local master key, with what is known of each and a
// list of every act that was ever done to them.
//
// The keys themselves are in a software module (switch/keys/soft) and are handed out as handles. What the store guarantees:
//
//   - The file is worth nothing without the master key, which is never in it and never a setting (Source).
//   - A change by hand is found: a MAC is over the whole file, and each token is bound to its record.
//   - The audit list is chained. Whoever has a copy of an older end (the journal of the switch has) finds a file that was put
//     back to an older state, or whose list forks (Continues).
//   - An edit is one step: a lock that other programs respect, a temporary file, sync, rename. After a crash either the
//     whole edit is there or none of it, with its act in the list.
//   - A running switch takes over an edit by Reload, without a restart; handles that it has stay good.
//
// A Store is safe for concurrent use.
package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/soft"
)

// What a store refuses.
var (
	// ErrForged is returned when the MAC of the file is not the right one: it was changed by something else than this
	// program, or belongs to another master key.
	ErrForged = errors.New("the key store was changed by hand or is damaged: its MAC is not right; restore it from its copy")
	// ErrLabel is returned for a label that is none.
	ErrLabel = errors.New("not a label of the key store")
	// ErrNoKey is returned when the store has no such key.
	ErrNoKey = errors.New("no such key in the store")
	// ErrAct is returned for an act that the store does not do; the text says why.
	ErrAct = errors.New("refused")
	// ErrRolledBack is returned by Continues when the store is older than what was seen of it, or another one.
	ErrRolledBack = errors.New("the key store is an older copy, or another one")
)

// Config is what a store needs.
type Config struct {
	Path string // of the file
	LMK  Source
	Rand io.Reader        // crypto/rand.Reader
	Now  func() time.Time // time.Now
	// Place is told when a file comes to one of the places. For drills only; nil: nobody.
	Place func(place string)
}

// told has somebody be told of places, if only nobody.
func (c Config) told() Config {
	if c.Place == nil {
		c.Place = nowhere
	}
	return c
}

// Store is an open key store.
type Store struct {
	cfg    Config
	module *soft.Module
	mu     sync.Mutex // one edit or reload at a time
	view   atomic.Pointer[view]
}

// view is the store as it was read at one moment. It is never changed, only replaced.
type view struct {
	contents
	text   [sha256.Size]byte   // hash of the file
	keys   []hsm.Key           // of contents.records; nil when retired
	labels map[string][]int    // indices of records, oldest first
	active map[string]*holding // by label
}

type holding struct {
	record *Record
	key    hsm.Key
}

// Open reads the store. A missing file is an error that is fs.ErrNotExist.
func Open(cfg Config) (*Store, error) {
	s := &Store{cfg: cfg.told()}
	text, err := ReadGuarded(cfg.Path, maxFile)
	if err != nil {
		return nil, err
	}
	if IsFormat1(text) {
		clear(text)
		return nil, fmt.Errorf("%w: %s is of format 1, which the switch brings over at its next start", ErrFormat, cfg.Path)
	}
	if err := s.take(text); err != nil {
		return nil, fmt.Errorf("key store %s: %w", cfg.Path, err)
	}
	return s, nil
}

// IsFormat1 reports whether text is a key file of the first format, whose keys are in clear.
func IsFormat1(text []byte) bool {
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return line == "format: 1"
		}
	}
	return false
}

// reading is a file that was read and found good, and of which nothing is in use yet.
type reading struct {
	view    *view
	masters *soft.Masters
	module  *soft.Module
}

// take makes the text of a file the present view. With an error nothing has changed.
func (s *Store) take(text []byte) error {
	now := s.view.Load()
	if now != nil && now.text == sha256.Sum256(text) && now.lmk == s.module.LMK().ID() {
		return nil // it has been read
	}
	r, err := s.read(text, nil)
	if err != nil {
		return err
	}
	s.accept(r)
	return nil
}

// read looks at the whole of a file and changes nothing: neither the view nor the master keys of the module. next is the
// master key of a rotation, whose file this is going to be.
func (s *Store) read(text []byte, next *soft.LMK) (*reading, error) {
	id, err := fileLMK(text)
	if err != nil {
		return nil, err
	}
	lmk, beside, err := s.masterKey(id, next)
	if err != nil {
		return nil, err
	}
	body, err := authentic(text, lmk)
	if err != nil {
		return nil, err
	}
	c, err := parseFile(body)
	if err != nil {
		return nil, err
	}
	if now := s.view.Load(); now != nil {
		if n := len(now.audit); n > 0 && (len(c.audit) < n || c.audit[n-1].Chain != now.audit[n-1].Chain) {
			return nil, fmt.Errorf("%w: act %d of its list is gone", ErrRolledBack, n)
		}
	}
	r := &reading{module: s.module}
	if r.module == nil {
		if r.module, err = soft.New(soft.Config{LMK: lmk, Rand: s.cfg.Rand}); err != nil {
			return nil, err
		}
	}
	r.masters = r.module.Adopting(lmk, beside...)
	if r.view, err = newView(c, r.masters, s.view.Load()); err != nil {
		return nil, err
	}
	r.view.text = sha256.Sum256(text)
	return r, nil
}

// accept puts what was read in use. It cannot fail.
func (s *Store) accept(r *reading) {
	r.module.Take(r.masters)
	if s.module == nil { // written once, by whoever opens: Module is read without the lock
		s.module = r.module
	}
	s.view.Store(r.view)
}

// masterKey is the one of that id: next, what the module has already, or what the source has.
func (s *Store) masterKey(id soft.LMKID, next *soft.LMK) (lmk *soft.LMK, beside []*soft.LMK, err error) {
	if next != nil && next.ID() == id {
		return next, nil, nil
	}
	if s.module != nil && s.module.LMK().ID() == id {
		return s.module.LMK(), nil, nil
	}
	list, err := s.cfg.LMK.load()
	if err != nil {
		return nil, nil, err
	}
	if lmk, err = pick(list, id); err != nil {
		return nil, nil, err
	}
	return lmk, list, nil
}

// newView opens every token. Handles of the view before are kept where the record is the same key.
func newView(c *contents, masters *soft.Masters, before *view) (*view, error) {
	v := &view{contents: *c, labels: map[string][]int{}, active: map[string]*holding{}}
	v.keys = make([]hsm.Key, len(c.records))
	for i := range c.records {
		r := &c.records[i]
		v.labels[r.Label] = append(v.labels[r.Label], i)
		if r.State == Retired {
			continue
		}
		spec, err := r.spec()
		if err != nil {
			return nil, err
		}
		if spec.Purpose == hsm.LMK {
			if _, err := masters.AddFormer(r.bind(), r.Token); err != nil {
				return nil, fmt.Errorf("key %d of the store: %w", i+1, err)
			}
			continue
		}
		if k := before.same(r); k != nil {
			v.keys[i] = k
		} else if v.keys[i], err = masters.Load(r.bind(), r.Token); err != nil {
			return nil, fmt.Errorf("key %d of the store: %w", i+1, err)
		}
		info := v.keys[i].Info()
		if info.Purpose != spec.Purpose || info.Algorithm != spec.Algorithm || info.Length != spec.Length || info.Exportable != spec.Exportable ||
			strings.ToUpper(hex.EncodeToString(info.KCV[:])) != r.KCV {
			return nil, fmt.Errorf("%w: key %d is not what its record says", ErrFormat, i+1)
		}
		if r.State == Active {
			v.active[r.Label] = &holding{r, v.keys[i]}
		}
	}
	return v, nil
}

// same is the handle of a record whose token has not changed.
func (v *view) same(r *Record) hsm.Key {
	if v == nil {
		return nil
	}
	for _, i := range v.labels[r.Label] {
		old := &v.records[i]
		if old.Generation == r.Generation && old.bind() == r.bind() && slices.Equal(old.Token, r.Token) {
			return v.keys[i]
		}
	}
	return nil
}

// Module is where the keys are.
func (s *Store) Module() *soft.Module { return s.module }

// Path is the file's.
func (s *Store) Path() string { return s.cfg.Path }

// Hash is the algorithm of look-up hashes. It is chosen with the programme's keys and never changes.
func (s *Store) Hash() hsm.MACAlgorithm { return s.view.Load().hash }

// LMK is the id of the master key that the file is wrapped under.
func (s *Store) LMK() soft.LMKID { return s.view.Load().lmk }

// Records are all keys, in the order of their making within a label.
func (s *Store) Records() []Record { return slices.Clone(s.view.Load().records) }

// Audit are the acts after the one of number seq.
func (s *Store) Audit(after uint64) []Entry {
	list := s.view.Load().audit
	if after >= uint64(len(list)) {
		return nil
	}
	return slices.Clone(list[after:])
}

// Continues reports with ErrRolledBack when the audit list does not go on from an end that was seen: the number of an act
// and its hash (hex). Number 0 is the beginning.
func (s *Store) Continues(seq uint64, chain string) error {
	list := s.view.Load().audit
	switch {
	case seq == 0:
		return nil
	case uint64(len(list)) < seq:
		return fmt.Errorf("%w: it ends at act %d, and act %d was seen", ErrRolledBack, len(list), seq)
	case list[seq-1].Chain != chain:
		return fmt.Errorf("%w: its act %d is not the one that was seen", ErrRolledBack, seq)
	}
	return nil
}

// Find is the key of a label that is in use.
func (s *Store) Find(label string) (hsm.Key, bool) {
	h := s.view.Load().active[label]
	if h == nil {
		return nil, false
	}
	return h.key, true
}

// FindRecord is the record of the key of a label that is in use.
func (s *Store) FindRecord(label string) (Record, bool) {
	h := s.view.Load().active[label]
	if h == nil {
		return Record{}, false
	}
	return *h.record, true
}

// Generation is the handle of one generation of a label, whatever its state; 0 is the newest that is not retired.
func (s *Store) Generation(label string, generation int) (hsm.Key, Record, error) {
	v := s.view.Load()
	for _, i := range slices.Backward(v.labels[label]) {
		r := v.records[i]
		if r.State != Retired && v.keys[i] != nil && (generation == 0 || generation == r.Generation) {
			return v.keys[i], r, nil
		}
	}
	return nil, Record{}, fmt.Errorf("%w: %s", ErrNoKey, label)
}

// Former are the keys of a label that are still accepted, newest first.
func (s *Store) Former(label string) (keys []hsm.Key) {
	v := s.view.Load()
	for _, i := range slices.Backward(v.labels[label]) {
		if v.records[i].State == Former && v.keys[i] != nil {
			keys = append(keys, v.keys[i])
		}
	}
	return keys
}

// Below calls f for every key that is not retired and whose label begins with prefix, until it returns false.
func (s *Store) Below(prefix string, f func(Record, hsm.Key) bool) {
	v := s.view.Load()
	for i := range v.records {
		if v.keys[i] != nil && strings.HasPrefix(v.records[i].Label, prefix) && !f(v.records[i], v.keys[i]) {
			return
		}
	}
}

// Reload reads the file again and reports whether it has changed. With an error everything stays as it was.
func (s *Store) Reload() (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reload()
}

func (s *Store) reload() (changed bool, err error) {
	text, err := ReadGuarded(s.cfg.Path, maxFile)
	if err != nil {
		return false, err
	}
	before := s.view.Load()
	if err := s.take(text); err != nil {
		return false, fmt.Errorf("key store %s: %w", s.cfg.Path, err)
	}
	now := s.view.Load()
	return len(now.audit) != len(before.audit) || now.lmk != before.lmk, nil
}

// lock keeps other programs from editing, as how of flock(2) says. The file stays.
func lock(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock key store: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		return nil, errors.Join(fmt.Errorf("lock key store: %w", err), f.Close())
	}
	return f, nil
}

// Exists reports whether there is a file at path, of whatever format.
func Exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// now is the time as records have it.
func (s *Store) now() string { return s.cfg.Now().UTC().Format(time.RFC3339) }
