package terminal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"

	"huanxin/switch/engine"
	"huanxin/switch/keys/hsm"
)

// Masters finds the master key of a terminal: its own, or that of its group. It is safe for concurrent use, and knows of a
// change of the key store at once.
type Masters interface {
	// Master returns ErrNoMaster when there is none. The key is the store's; it is not released here.
	Master(terminal [8]byte, group string) (hsm.Key, error)
}

// ErrNoMaster is returned by Masters for a terminal that has no master key.
var ErrNoMaster = errors.New("terminal has no master key")

// The working keys of a terminal, in the order in which they are kept and delivered.
const (
	pinKey = iota
	macKey
	dataKey
	maxKeys
)

var (
	keyPurposes = [maxKeys]hsm.Purpose{hsm.PIK, hsm.MAK, hsm.TDK}
	keyNames    = [maxKeys]string{"pik", "mak", "tdk"}
)

// ErrWorkingKeys is returned for kept working keys that are none.
var ErrWorkingKeys = errors.New("working keys are malformed")

// sort is which working keys a line has.
type sort struct {
	cipher    hsm.Algorithm
	length    int
	macCipher hsm.Algorithm
	macLength int
	data      bool // there is a data key
}

func (l *Line) sort() sort {
	return sort{l.Cipher, l.KeyLength, l.macCipher(), l.MACKeyLength, l.Cipher != hsm.DES}
}

// kind is what is kept with the keys of a line, to tell them from those of another: a hash of their sort and of the group under
// whose master key they are sent. Where two lines have groups of their own a terminal has keys for each, or a sign-on at the one
// would bring it keys that replace those of the other.
func (l *Line) kind() uint32 {
	s := l.sort()
	h := fnv.New32a()
	_, _ = h.Write([]byte{byte(s.cipher), byte(s.length), byte(s.macCipher), byte(s.macLength)})
	_, _ = h.Write([]byte(l.Group))
	return h.Sum32()
}

func (s sort) count() int {
	if s.data {
		return maxKeys
	}
	return dataKey
}

func (s sort) spec(terminal [8]byte, i int) hsm.Spec {
	spec := hsm.Spec{Bind: bind(terminal, i), Purpose: keyPurposes[i], Algorithm: s.cipher, Length: s.length, Exportable: true}
	if i == macKey {
		spec.Algorithm, spec.Length = s.macCipher, s.macLength
	}
	return spec
}

// bind ties a kept key to its terminal and its use.
func bind(terminal [8]byte, i int) string {
	return "terminal/" + string(terminal[:]) + "/" + keyNames[i]
}

// keySet are working keys in the hands of this process: handles, and the tokens under which they are kept.
type keySet struct {
	keys    [maxKeys]hsm.Key
	wrapped []byte // token after token, each behind its length
}

// generate makes new working keys.
func generate(m hsm.Module, terminal [8]byte, s sort) (set keySet, err error) {
	for i := range s.count() {
		key, token, err := m.Generate(s.spec(terminal, i))
		if err != nil {
			set.release()
			return keySet{}, fmt.Errorf("generate %s: %w", keyPurposes[i], err)
		}
		set.keys[i] = key
		set.wrapped = append(binary.AppendUvarint(set.wrapped, uint64(len(token))), token...)
	}
	return set, nil
}

// tokens takes what generate has kept apart.
func tokens(wrapped []byte) (list [maxKeys][]byte, err error) {
	for i := range list {
		if len(wrapped) == 0 && i >= dataKey {
			return list, nil
		}
		n, size := binary.Uvarint(wrapped)
		if size <= 0 || n == 0 || n > uint64(len(wrapped)-size) {
			return list, ErrWorkingKeys
		}
		list[i] = wrapped[size : size+int(n)]
		wrapped = wrapped[size+int(n):]
	}
	if len(wrapped) > 0 {
		return list, ErrWorkingKeys
	}
	return list, nil
}

// open loads all of the kept keys.
func open(m hsm.Module, terminal [8]byte, wrapped []byte) (set keySet, err error) {
	list, err := tokens(wrapped)
	if err != nil {
		return set, err
	}
	for i, token := range list {
		if token == nil {
			continue
		}
		if set.keys[i], err = m.Load(bind(terminal, i), token); err != nil {
			set.release()
			return keySet{}, fmt.Errorf("load %s: %w", keyPurposes[i], err)
		}
	}
	set.wrapped = wrapped
	return set, nil
}

// opensNever tells what is wrong with kept keys from what is wrong with a module.
func opensNever(err error) bool {
	return errors.Is(err, hsm.ErrToken) || errors.Is(err, ErrWorkingKeys)
}

// openOne loads one of the kept keys.
func openOne(m hsm.Module, terminal [8]byte, wrapped []byte, i int) (hsm.Key, error) {
	list, err := tokens(wrapped)
	if err != nil {
		return nil, err
	}
	if list[i] == nil {
		return nil, ErrWorkingKeys
	}
	key, err := m.Load(bind(terminal, i), list[i])
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", keyPurposes[i], err)
	}
	return key, nil
}

func (s *keySet) release() {
	for i, k := range s.keys {
		if k != nil {
			k.Release()
			s.keys[i] = nil
		}
	}
}

// checks are the check values, 4 bytes a key.
func (s *keySet) checks() (list []byte) {
	for _, k := range s.keys {
		if k != nil {
			kcv := k.Info().KCV
			list = append(list, kcv[:]...)
		}
	}
	return list
}

// form is one layout of DE62 (pos-dialect §5): for each key its cryptogram under the master key, filled with zeros to the
// length of the line's keys, then the beginning of its check value.
//
//	24  PIN 8+4   MAC 8+4                  60.3 = 001, DES
//	40  PIN 16+4  MAC 16+4 (or 8, 8 zeros) 60.3 = 003; SM4 005 too
//	60  the same and data 16+4             60.3 = 004; SM4 006 too
//	56  PIN 24+4  MAC 24+4                 60.3 = 003, keys of 24 bytes
//	84  the same and data 24+4             60.3 = 004, keys of 24 bytes
//	57  PIN 16+3  MAC 16+3  data 16+3      compact
type form struct {
	place int // of each key, in bytes
	check int
	keys  int
}

// form is what a sign-on with a code of 60.3 is answered with; ok is false for a code of another cipher.
func (l *Line) form(code uint64) (f form, ok bool) {
	f = form{place: l.KeyLength, check: hsm.KCVSize, keys: dataKey}
	switch l.Cipher {
	case hsm.DES:
		return f, code == 1
	case hsm.TDES:
		ok = code == 3 || code == 4
	case hsm.SM4:
		ok = code >= 3 && code <= 6
	}
	if code == 4 || code == 6 {
		f.keys = maxKeys
	}
	if l.Compact {
		f.check, f.keys, ok = 3, maxKeys, code >= 3 && code <= 6
	}
	return f, ok
}

// append writes DE62.
func (f form) append(dst []byte, m hsm.Module, set *keySet, master hsm.Key) ([]byte, error) {
	for i := range f.keys {
		key := set.keys[i]
		if key == nil {
			return nil, ErrWorkingKeys
		}
		cryptogram, err := m.Export(key, master, hsm.WrapECB)
		if err != nil {
			return nil, fmt.Errorf("export %s: %w", keyPurposes[i], err)
		}
		if len(cryptogram) > f.place {
			return nil, ErrWorkingKeys
		}
		dst = append(dst, cryptogram...)
		dst = append(dst, make([]byte, f.place-len(cryptogram))...)
		kcv := key.Info().KCV
		dst = append(dst, kcv[:f.check]...)
	}
	return dst, nil
}

// delivery is what a sign-on will be answered with if the engine takes the keys that it was given.
type delivery struct {
	form    form
	group   string
	kind    uint32
	wrapped []byte
	field62 []byte
}

// prepare makes the keys of a sign-on ready: those that are pending, or new ones. Which of them the terminal has in the end the
// engine says.
func (f *Front) prepare(terminal [8]byte, l *Line, layout form) (*delivery, *engine.NewKeys, error) {
	master, err := f.cfg.Keys.Masters.Master(terminal, l.Group)
	if err != nil {
		return nil, nil, err
	}
	s := l.sort()
	keys := &engine.NewKeys{Kind: l.keys, Master: master.Info().KCV}
	set, err := f.again(terminal, keys)
	if err == nil && set.wrapped == nil {
		set, err = generate(f.cfg.Keys.Module, terminal, s)
	}
	if err != nil {
		return nil, nil, err
	}
	defer set.release()
	keys.Wrapped, keys.Checks = set.wrapped, set.checks()
	d := &delivery{form: layout, group: l.Group, kind: keys.Kind, wrapped: set.wrapped}
	if d.field62, err = layout.append(nil, f.cfg.Keys.Module, &set, master); err != nil {
		return nil, nil, err
	}
	return d, keys, nil
}

// again opens the pending keys that a sign-on will be delivered once more; none when there are none, or when they were sent under
// another master key. Those that do not open – their local master key is retired, or the key store is not the one that they were
// kept under – are of no use to anybody, and are spoilt.
func (f *Front) again(terminal [8]byte, keys *engine.NewKeys) (keySet, error) {
	p := f.ring.pending(ringKey{terminal, keys.Kind})
	if p == nil || p.Master != keys.Master {
		return keySet{}, nil
	}
	set, err := open(f.cfg.Keys.Module, terminal, []byte(p.Wrapped))
	if err != nil && opensNever(err) {
		f.keyFailed(err)
		keys.Spoilt = p.Generation
		return keySet{}, nil
	}
	return set, err
}

// field62 is DE62 of a sign-on's answer: prepared, unless the engine delivers other keys, those of a sign-on that was faster.
func (f *Front) field62(terminal [8]byte, d *delivery, keys *engine.KeyPair) ([]byte, error) {
	if keys.Wrapped == string(d.wrapped) {
		return d.field62, nil
	}
	master, err := f.cfg.Keys.Masters.Master(terminal, d.group)
	if err != nil {
		return nil, err
	}
	set, err := open(f.cfg.Keys.Module, terminal, []byte(keys.Wrapped))
	if err != nil {
		return nil, err
	}
	defer set.release()
	return d.form.append(nil, f.cfg.Keys.Module, &set, master)
}
