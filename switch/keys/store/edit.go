package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/soft"
)

// Authority is who orders an act, and why.
type Authority struct {
	By       string
	Second   string // the second person, where two are demanded
	Reason   string
	Document string
	Account  string // of the machine
}

// Edit is one edit of the store, inside Store.Edit. Its methods change nothing on disk; the end of the edit does.
type Edit struct {
	store    *Store
	masters  *soft.Masters // that the edit wraps under: another one than the module's in a rotation
	contents contents
	by       Authority
	places   map[string][]int // of contents.records by label, oldest first; made when it is first asked for
	lmkFile  []byte           // what was in the master key file before a rotation wrote the next one into it; nil without
}

// Edit carries out one edit and writes it. The function sees the file as it is now, under the lock. With an error, its own
// or that of the disk, nothing has changed, in memory or on disk – except ErrUnsure, which says so.
func (s *Store) Edit(by Authority, f func(*Edit) error) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	guard, err := lock(s.cfg.Path, syscall.LOCK_EX)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, guard.Close()) }()
	if _, err := s.reload(); err != nil {
		return err
	}
	v := s.view.Load()
	e := &Edit{store: s, by: by, masters: s.module.Masters(), contents: contents{
		lmk: v.lmk, hash: v.hash, records: append([]Record(nil), v.records...), audit: append([]Entry(nil), v.audit...),
	}}
	defer func() { err = errors.Join(err, e.leave(err)) }()
	before := len(e.contents.audit)
	if err := f(e); err != nil {
		return err
	}
	if len(e.contents.audit) == before {
		return nil // nothing was done
	}
	return e.write()
}

// leave puts the master key file back as it was before an edit that came to nothing.
func (e *Edit) leave(because error) error {
	defer clear(e.lmkFile)
	if e.lmkFile == nil || because == nil || errors.Is(because, ErrUnsure) {
		return nil
	}
	if err := replace(e.store.cfg.LMK.File, e.lmkFile, e.store.cfg.Place); err != nil {
		return fmt.Errorf("the master key file keeps a second key, which the next start takes out: %w", err)
	}
	return nil
}

// write makes the edit durable and visible. What is going to be in the file is read as a start would read it before it
// replaces what is there: a store that does not open is never written.
func (e *Edit) write() error {
	s := e.store
	sortRecords(e.contents.records)
	lmk := e.masters.LMK()
	text, err := e.contents.appendFile(nil, lmk)
	if err != nil {
		return err
	}
	if len(text) > maxFile {
		return fmt.Errorf("%w: the file would have more than %d bytes", ErrAct, maxFile)
	}
	r, err := s.read(text, lmk)
	if err != nil {
		return fmt.Errorf("this would be no key store: %w", err)
	}
	if err := replace(s.cfg.Path, text, s.cfg.Place); err != nil {
		return fmt.Errorf("write key store: %w", err)
	}
	s.accept(r)
	return nil
}

// act enters one act.
func (e *Edit) act(act string, r *Record, detail string) error {
	entry := Entry{
		At: e.store.now(), Act: act, By: strings.TrimSpace(e.by.By), Second: strings.TrimSpace(e.by.Second), Reason: strings.TrimSpace(e.by.Reason),
		Document: strings.TrimSpace(e.by.Document), Account: e.by.Account, Detail: detail,
	}
	if r != nil {
		entry.Label, entry.Generation, entry.Purpose, entry.Algorithm, entry.KCV = r.Label, r.Generation, r.Purpose, r.Algorithm, r.KCV
	}
	if err := entry.check(); err != nil {
		return err
	}
	e.contents.audit = chained(e.contents.audit, entry)
	return nil
}

// Wanted says what key is put into the store.
type Wanted struct {
	Label      string
	Algorithm  hsm.Algorithm
	Length     int // bytes; 0 is the algorithm's usual one
	Exportable bool
	Pending    bool // not in use until Activate
	Detail     string
}

// add puts a key into the store as the newest generation of its label: make gives handle and token for a spec. What was
// in use becomes former, unless the new key is pending.
func (e *Edit) add(act string, w Wanted, make func(hsm.Spec) (hsm.Key, []byte, error)) (Record, error) {
	purpose, err := PurposeOf(w.Label)
	if err != nil {
		return Record{}, err
	}
	if err := e.mayAdd(act, w.Label, purpose); err != nil {
		return Record{}, err
	}
	spec, err := hsm.Spec{Purpose: purpose, Algorithm: w.Algorithm, Length: w.Length, Exportable: w.Exportable}.Check()
	if err != nil {
		return Record{}, err
	}
	r := Record{
		Label: w.Label, Generation: e.generations(w.Label) + 1, Purpose: purpose.String(), Algorithm: spec.Algorithm.String(), Length: spec.Length,
		Exportable: spec.Exportable, Created: e.store.now(), State: Active,
	}
	if w.Pending {
		r.State = Pending
	}
	// The check value is part of the bind, and known only when the key is there: it is made under a passing one.
	const passing = "huanxin key in the making"
	spec.Bind = passing
	k, token, err := make(spec)
	if err != nil {
		return Record{}, err
	}
	defer k.Release()
	info := k.Info()
	r.Algorithm, r.Length, r.Exportable = info.Algorithm.String(), info.Length, info.Exportable
	r.KCV = strings.ToUpper(hex.EncodeToString(info.KCV[:]))
	if r.Token, err = e.masters.Rewrap(passing, r.bind(), token); err != nil {
		return Record{}, err
	}
	if !w.Pending {
		if err := e.stepBack(w.Label, purpose); err != nil {
			return Record{}, err
		}
	}
	e.put(r)
	return r, e.act(act, &r, w.Detail)
}

// put appends a record. They are brought into order when the edit ends, since one edit may make a hundred thousand.
func (e *Edit) put(r Record) {
	list := e.of(r.Label)
	e.places[r.Label] = append(list, len(e.contents.records))
	e.contents.records = append(e.contents.records, r)
}

// mayAdd refuses labels under which nothing is added by hand.
func (e *Edit) mayAdd(act, label string, purpose hsm.Purpose) error {
	switch purpose {
	case hsm.Hash:
		if act != ActCreate && act != ActMigrate || len(e.of(label)) > 0 {
			return fmt.Errorf("%w: hash keys are made with the programme. %s", ErrAct, WhyHashKeysStay)
		}
	case hsm.LMK:
		return fmt.Errorf("%w: a master key comes into the store by: huanxin keys rotate lmk", ErrAct)
	case hsm.Card:
		if !CardID(strings.TrimPrefix(label, "card/")) {
			return fmt.Errorf("%w: a card key is card/ and 1 to %d of a-z, 0-9 and -, which stand in its envelopes", ErrLabel, MaxCardID)
		}
	}
	return nil
}

// MaxCardID is the longest id of a card key in bytes.
const MaxCardID = 16

// CardID reports whether envelopes can name a card key so.
func CardID(id string) bool {
	for i := range len(id) {
		if c := id[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return len(id) >= 1 && len(id) <= MaxCardID
}

// of are the places of a label's records, oldest first.
func (e *Edit) of(label string) []int {
	if e.places == nil {
		e.places = make(map[string][]int, len(e.contents.records))
		for i := range e.contents.records {
			name := e.contents.records[i].Label
			e.places[name] = append(e.places[name], i)
		}
	}
	return e.places[label]
}

func (e *Edit) generations(label string) int { return len(e.of(label)) }

// Has reports whether there is a key of that label, in whatever state, that is not retired.
func (e *Edit) Has(label string) bool {
	return slices.ContainsFunc(e.of(label), func(i int) bool { return e.contents.records[i].State != Retired })
}

// stepBack makes the key in use former: of its label, of card keys whichever seals.
func (e *Edit) stepBack(label string, purpose hsm.Purpose) error {
	if purpose == hsm.Card {
		for i := range e.contents.records {
			if r := &e.contents.records[i]; r.Purpose == hsm.Card.String() && r.State == Active {
				return e.move(r, Former)
			}
		}
		return nil
	}
	for _, i := range e.of(label) {
		if r := &e.contents.records[i]; r.State == Active {
			return e.move(r, Former)
		}
	}
	return nil
}

// move gives a record another state, and with it another token.
func (e *Edit) move(r *Record, to State) (err error) {
	bind := r.bind()
	r.State = to
	if to == Retired {
		r.Token = nil
		return nil
	}
	r.Token, err = e.masters.Rewrap(bind, r.bind(), r.Token)
	return err
}

// Generate draws a key.
func (e *Edit) Generate(w Wanted) (Record, error) {
	return e.add("generate", w, e.store.module.Generate)
}

// Form makes a key of components, which the caller wipes.
func (e *Edit) Form(w Wanted, components ...[]byte) (Record, error) {
	return e.add("ceremony", w, func(spec hsm.Spec) (hsm.Key, []byte, error) {
		return e.store.module.Form(spec, components...)
	})
}

// Import takes in a key that lies wrapped under a key of the store.
func (e *Edit) Import(w Wanted, under hsm.Key, wrapping hsm.Wrapping, wrapped, check []byte) (Record, error) {
	return e.add("import", w, func(spec hsm.Spec) (hsm.Key, []byte, error) {
		spec.Length = w.Length // 0: what comes says how long it is
		return e.store.module.Import(spec, under, wrapping, wrapped, check)
	})
}

// Export wraps a key of the store under another one.
func (e *Edit) Export(label string, generation int, under string, wrapping hsm.Wrapping) ([]byte, error) {
	k, r, err := e.store.Generation(label, generation)
	if err != nil {
		return nil, err
	}
	wrapper, ok := e.store.Find(under)
	if !ok {
		return nil, fmt.Errorf("%w: %s is not in use", ErrNoKey, under)
	}
	wrapped, err := e.store.module.Export(k, wrapper, wrapping)
	if err != nil {
		return nil, err
	}
	return wrapped, e.act("export", &r, fmt.Sprintf("%s under %s", wrapping, under))
}

// WhyHashKeysStay is why a hash key is not changed.
const WhyHashKeysStay = "A hash key stays for the life of a programme: under another one every person would have another hash, which is a fresh quota, " +
	"and every card, serial and code would be unknown. A new programme begins with new keys"

// Rotate draws a new key in the place of one, of the same kind unless w says otherwise. A terminal's master key is pending
// until it is activated, since the terminal must be loaded with it first; a card key seals from now on.
func (e *Edit) Rotate(label string, algorithm hsm.Algorithm, pending bool) (Record, error) {
	if label == "card" {
		return e.rotateCard(algorithm)
	}
	purpose, err := PurposeOf(label)
	if err != nil {
		return Record{}, err
	}
	switch purpose {
	case hsm.Hash:
		return Record{}, fmt.Errorf("%w: %s", ErrAct, WhyHashKeysStay)
	case hsm.Card:
		return Record{}, fmt.Errorf("%w: card keys rotate together: huanxin keys rotate card", ErrAct)
	case hsm.LMK:
		return Record{}, fmt.Errorf("%w: the master key rotates as: huanxin keys rotate lmk", ErrAct)
	}
	list := e.of(label)
	if len(list) == 0 {
		return Record{}, fmt.Errorf("%w: %s", ErrNoKey, label)
	}
	old := e.contents.records[list[len(list)-1]]
	spec, err := old.spec()
	if err != nil {
		return Record{}, err
	}
	w := Wanted{Label: label, Algorithm: spec.Algorithm, Length: spec.Length, Exportable: spec.Exportable, Pending: pending}
	if algorithm != 0 && algorithm != spec.Algorithm {
		w.Algorithm, w.Length = algorithm, 0
	}
	return e.add("rotate", w, e.store.module.Generate)
}

// rotateCard draws a new card key, which seals from now on. All of before open.
func (e *Edit) rotateCard(algorithm hsm.Algorithm) (Record, error) {
	w := Wanted{Algorithm: algorithm}
	n := 0
	for i := range e.contents.records {
		r := &e.contents.records[i]
		if r.Purpose != hsm.Card.String() {
			continue
		}
		n++
		if r.State == Active && algorithm == 0 {
			spec, err := r.spec()
			if err != nil {
				return Record{}, err
			}
			w.Algorithm, w.Length = spec.Algorithm, spec.Length
		}
	}
	if n == 0 {
		return Record{}, fmt.Errorf("%w: card", ErrNoKey)
	}
	for id := n + 1; ; id++ {
		if w.Label = fmt.Sprintf("card/c%d", id); len(e.of(w.Label)) == 0 {
			return e.add("rotate", w, e.store.module.Generate)
		}
	}
}

// Activate puts the newest pending key of a label in use.
func (e *Edit) Activate(label string) (Record, error) {
	purpose, err := PurposeOf(label)
	if err != nil {
		return Record{}, err
	}
	list := e.of(label)
	for at := len(list) - 1; at >= 0; at-- {
		r := &e.contents.records[list[at]]
		if r.State != Pending {
			continue
		}
		if err := e.stepBack(label, purpose); err != nil {
			return Record{}, err
		}
		if err := e.move(r, Active); err != nil {
			return Record{}, err
		}
		return *r, e.act("activate", r, "")
	}
	return Record{}, fmt.Errorf("%w: %s has no pending key", ErrNoKey, label)
}

// Restore says that this store is an older copy with which the operator goes on: what was done to the keys since is lost.
// seen is the act that the journal ends with.
func (e *Edit) Restore(seen uint64) error {
	return e.act("restore", nil, fmt.Sprintf("the journal has seen act %d", seen))
}

// Retire destroys a key. Generation 0 is the only one that is not retired.
func (e *Edit) Retire(label string, generation int) (Record, error) {
	purpose, err := PurposeOf(label)
	if err != nil {
		return Record{}, err
	}
	switch purpose {
	case hsm.Hash:
		return Record{}, fmt.Errorf("%w: %s", ErrAct, WhyHashKeysStay)
	case hsm.Card:
		return Record{}, fmt.Errorf("%w: a card key opens envelopes of the journal, for as long as the journal is kept; rotate it instead", ErrAct)
	}
	var found *Record
	for _, i := range e.of(label) {
		r := &e.contents.records[i]
		if r.State == Retired || generation != 0 && r.Generation != generation {
			continue
		}
		if found != nil {
			return Record{}, fmt.Errorf("%w: %s has several keys: which generation?", ErrAct, label)
		}
		found = r
	}
	if found == nil {
		return Record{}, fmt.Errorf("%w: %s", ErrNoKey, label)
	}
	was := found.State
	if err := e.move(found, Retired); err != nil {
		return Record{}, err
	}
	return *found, e.act("retire", found, "was "+string(was))
}

// RotateLMK wraps everything under a new master key: of the source's environment, or drawn and written to its file. The key
// before stays in the store, wrapped under the new one: tokens that lie in the journal are under it.
func (e *Edit) RotateLMK(mode soft.Mode) (Record, error) {
	s := e.store
	old := e.masters.LMK()
	if old.ID() != s.module.LMK().ID() {
		return Record{}, fmt.Errorf("%w: one rotation of the master key at a time", ErrAct)
	}
	next, err := e.nextLMK(mode, old)
	if err != nil {
		return Record{}, err
	}
	masters := s.module.Adopting(next, old)
	for i := range e.contents.records {
		k := &e.contents.records[i]
		if k.Purpose == hsm.LMK.String() && k.State != Retired { // what they have wrapped opens on
			if _, err := masters.AddFormer(k.bind(), k.Token); err != nil {
				return Record{}, err
			}
		}
	}
	e.masters = masters
	r := Record{
		Label: "lmk/" + old.ID().String(), Purpose: hsm.LMK.String(), Algorithm: old.Mode().Algorithm().String(), Length: soft.LMKSize,
		KCV: strings.ToUpper(old.ID().String()), Created: s.now(), State: Former,
	}
	r.Generation = e.generations(r.Label) + 1
	if r.Token, err = masters.WrapFormer(r.bind(), old); err != nil {
		return Record{}, err
	}
	for i := range e.contents.records {
		k := &e.contents.records[i]
		if k.State == Retired {
			continue
		}
		if k.Token, err = masters.Rewrap(k.bind(), k.bind(), k.Token); err != nil {
			return Record{}, err
		}
	}
	e.put(r)
	e.contents.lmk = next.ID()
	return r, e.act("rotate-lmk", &r, fmt.Sprintf("%s follows %s", next.ID(), old.ID()))
}

// nextLMK is the key that takes over. Of a file both are in it before the store is written, the new one alone afterwards
// (Settle): whenever the process ends, the file has the key that the store is under.
func (e *Edit) nextLMK(mode soft.Mode, old *soft.LMK) (*soft.LMK, error) {
	s := e.store
	if s.cfg.LMK.Env != "" {
		if s.cfg.LMK.Next == "" {
			return nil, fmt.Errorf("%w: the master key comes from %s, so the next one must be in %s (huanxin keys lmk draws one)", ErrAct, EnvLMK, EnvNextLMK)
		}
		next, err := soft.ParseLMK(s.cfg.LMK.Next)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", EnvNextLMK, err)
		}
		if next.ID() == old.ID() {
			return nil, fmt.Errorf("%w: %s holds the key that is in use", ErrAct, EnvNextLMK)
		}
		return next, nil
	}
	next, err := soft.GenerateLMK(mode, s.cfg.Rand)
	if err != nil {
		return nil, err
	}
	before, err := ReadGuarded(s.cfg.LMK.File, maxLMKFile)
	if err != nil {
		return nil, err
	}
	text := appendLMKFile(nil, next, old)
	defer clear(text)
	e.lmkFile = before
	if err := replace(s.cfg.LMK.File, text, s.cfg.Place); err != nil {
		return nil, fmt.Errorf("write master key file: %w", err)
	}
	return next, nil
}

// SettleLMK takes keys that the store is no longer under out of the master key file, after a rotation. It is also the end
// of a rotation that was interrupted, whose half-written files it removes. While another process edits the store it leaves everything as it is: that may be a
// rotation, whose next key stands in the file and not yet in the store.
func (s *Store) SettleLMK() (err error) {
	if s.cfg.LMK.Env != "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	guard, err := lock(s.cfg.Path, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, guard.Close()) }()
	if _, err := s.reload(); err != nil {
		return err
	}
	if err := errors.Join(sweep(s.cfg.Path), sweep(s.cfg.LMK.File)); err != nil {
		return fmt.Errorf("remove what an interrupted act has left: %w", err)
	}
	list, err := s.cfg.LMK.load()
	if err != nil {
		return err
	}
	if len(list) == 1 {
		return nil
	}
	// What the store was named last may not be durable: were it the former one again after a loss of power, nothing would open it.
	if err := syncFolder(filepath.Dir(s.cfg.Path)); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsure, err)
	}
	own, err := pick(list, s.view.Load().lmk)
	if err != nil {
		return err
	}
	text := appendLMKFile(nil, own)
	defer clear(text)
	if err := replace(s.cfg.LMK.File, text, s.cfg.Place); err != nil {
		return fmt.Errorf("write master key file: %w", err)
	}
	return nil
}

// Known is a key that is known in clear and brought into a new store: those of the first format.
type Known struct {
	Wanted Wanted
	State  State
	Secret []byte // the caller wipes it
}

// The acts that begin a store.
const (
	ActCreate  = "create"
	ActMigrate = "migrate"
)

// New says what a new store begins with.
type New struct {
	Mode  soft.Mode        // of the master key, when one must be made
	Hash  hsm.MACAlgorithm // of look-up hashes, for the life of the programme
	By    Authority
	Act   string // ActCreate or ActMigrate
	Known []Known
	Draw  []Wanted
	Over  bool // over an existing file, which the caller has kept a copy of
}

// Create makes a store, and a file with a new master key when the source is a file that is not there. Without New.Over it
// never overwrites: an existing store is an error that is fs.ErrExist.
func Create(cfg Config, n New) (*Store, error) {
	lmk, err := cfg.LMK.loadOrMake(n.Mode, cfg)
	if err != nil {
		return nil, err
	}
	module, err := soft.New(soft.Config{LMK: lmk, Rand: cfg.Rand})
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg.told(), module: module}
	e := &Edit{store: s, by: n.By, masters: module.Masters(), contents: contents{lmk: lmk.ID(), hash: n.Hash}}
	for _, k := range n.Known {
		r, err := e.add(n.Act, k.Wanted, func(spec hsm.Spec) (hsm.Key, []byte, error) {
			return module.Form(spec, k.Secret, make([]byte, len(k.Secret)))
		})
		if err != nil {
			return nil, err
		}
		if k.State != Former {
			continue
		}
		for i := range e.contents.records {
			if o := &e.contents.records[i]; o.Label == r.Label && o.State == Active {
				if err := e.move(o, Former); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, w := range n.Draw {
		if _, err := e.add(n.Act, w, module.Generate); err != nil {
			return nil, err
		}
	}
	sortRecords(e.contents.records)
	text, err := e.contents.appendFile(nil, lmk)
	if err != nil {
		return nil, err
	}
	r, err := s.read(text, lmk)
	if err != nil {
		return nil, fmt.Errorf("this would be no key store: %w", err)
	}
	put := WriteOnce
	if n.Over {
		put = func(path string, text []byte) error { return replace(path, text, s.cfg.Place) }
	}
	if err := put(cfg.Path, text); err != nil {
		return nil, fmt.Errorf("create key store: %w", err)
	}
	s.accept(r)
	return s, nil
}

// loadOrMake is the master key of the source that is in use; one is drawn when its file is not there.
func (s Source) loadOrMake(mode soft.Mode, cfg Config) (*soft.LMK, error) {
	list, err := s.load()
	if err == nil {
		if s.Env != "" {
			return list[len(list)-1], nil // the next one has not taken over
		}
		return list[0], nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	lmk, err := soft.GenerateLMK(mode, cfg.Rand)
	if err != nil {
		return nil, err
	}
	text := appendLMKFile(nil, lmk)
	defer clear(text)
	if err := WriteOnce(s.File, text); err != nil {
		return nil, fmt.Errorf("create master key file: %w", err)
	}
	return lmk, nil
}
