package store

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/soft"
)

var chen = Authority{By: "Chen", Second: "Wang", Reason: "test", Document: "T-1"}

func testConfig(t testing.TB) Config {
	dir := filepath.Join(t.TempDir(), "keys")
	return Config{
		Path: filepath.Join(dir, "keys.yaml"), LMK: Source{File: filepath.Join(dir, "lmk")}, Rand: rand.Reader,
		Now: func() time.Time { return time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC) },
	}
}

func testStore(t testing.TB) *Store {
	s, err := Create(testConfig(t), New{
		Mode: soft.International, Hash: hsm.HMACSHA256, By: chen, Act: "create",
		Draw: []Wanted{{Label: "hash/person", Algorithm: hsm.HMAC}, {Label: "card/c1", Algorithm: hsm.AES, Length: 32}},
	})
	require.NoError(t, err)
	return s
}

func edit(t testing.TB, s *Store, f func(*Edit) error) {
	t.Helper()
	require.NoError(t, s.Edit(chen, f))
}

func generate(t testing.TB, s *Store, label string, a hsm.Algorithm) (r Record) {
	t.Helper()
	edit(t, s, func(e *Edit) (err error) {
		r, err = e.Generate(Wanted{Label: label, Algorithm: a, Exportable: true})
		return err
	})
	return r
}

func reopen(t testing.TB, s *Store) *Store {
	t.Helper()
	again, err := Open(s.cfg)
	require.NoError(t, err)
	return again
}

func TestStoreReopensWithTheSameKeys(t *testing.T) {
	s := testStore(t)
	r := generate(t, s, "tmk/10000001", hsm.TDES)
	again := reopen(t, s)
	require.Equal(t, s.Records(), again.Records())
	require.Equal(t, s.Audit(0), again.Audit(0))
	require.Len(t, again.Audit(0), 3)
	require.Len(t, again.Audit(2), 1)
	require.Empty(t, again.Audit(3))
	k, ok := again.Find("tmk/10000001")
	require.True(t, ok)
	kcv := k.Info().KCV
	require.Equal(t, r.KCV, strings.ToUpper(fmt.Sprintf("%x", kcv[:])))
	_, ok = again.Find("tmk/10000002")
	require.False(t, ok)
	for name, mode := range map[string]fs.FileMode{s.cfg.Path: 0o600, s.cfg.LMK.File: 0o600, filepath.Dir(s.cfg.Path): 0o700} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), name)
	}
	_, err := Create(s.cfg, New{Mode: soft.International, Hash: hsm.HMACSHA256, By: chen, Act: "create"})
	require.ErrorIs(t, err, fs.ErrExist)
}

func TestEveryChangeOfTheFileIsFound(t *testing.T) {
	s := testStore(t)
	good, err := os.ReadFile(s.cfg.Path)
	require.NoError(t, err)
	for i := 0; i < len(good); i++ {
		changed := bytes.Clone(good)
		changed[i] ^= 1
		require.NoError(t, os.WriteFile(s.cfg.Path, changed, 0o600))
		_, err := Open(s.cfg)
		require.Error(t, err, "byte %d", i)
		require.True(t, errors.Is(err, ErrForged) || errors.Is(err, ErrFormat) || errors.Is(err, ErrNoLMK), "byte %d: %v", i, err)
	}
	for i := range bytes.Split(good, []byte("\n")) {
		lines := bytes.Split(good, []byte("\n"))
		lines = append(lines[:i], lines[i+1:]...)
		require.NoError(t, os.WriteFile(s.cfg.Path, bytes.Join(lines, []byte("\n")), 0o600))
		_, err := Open(s.cfg)
		require.Error(t, err, "without line %d", i+1)
	}
}

// Whoever has the MAC key could still not move a token to another record: the tokens are bound one by one.
func TestATokenIsBoundToItsRecord(t *testing.T) {
	s := testStore(t)
	generate(t, s, "tmk/10000001", hsm.TDES)
	generate(t, s, "tmk/10000002", hsm.TDES)
	for name, spoil := range map[string]func(c *contents){
		"swapped": func(c *contents) {
			n := len(c.records)
			c.records[n-1].Token, c.records[n-2].Token = c.records[n-2].Token, c.records[n-1].Token
		},
		"another state":  func(c *contents) { c.records[len(c.records)-1].State = Former },
		"another date":   func(c *contents) { c.records[len(c.records)-1].Created = "2026-03-02T08:00:00Z" },
		"another label":  func(c *contents) { c.records[len(c.records)-1].Label = "tmk/10000009" },
		"another KCV":    func(c *contents) { c.records[len(c.records)-1].KCV = "00000000" },
		"another length": func(c *contents) { c.records[len(c.records)-1].Length = 24 },
		"exportable":     func(c *contents) { c.records[len(c.records)-1].Exportable = false },
	} {
		v := s.view.Load()
		c := contents{lmk: v.lmk, hash: v.hash, records: append([]Record(nil), v.records...), audit: v.audit}
		spoil(&c)
		text, err := c.appendFile(nil, s.module.LMK())
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(s.cfg.Path, text, 0o600))
		_, err = Open(s.cfg)
		require.Error(t, err, name)
		require.True(t, errors.Is(err, hsm.ErrToken) || errors.Is(err, ErrFormat), "%s: %v", name, err)
	}
}

func TestAnOlderCopyIsFound(t *testing.T) {
	s := testStore(t)
	old, err := os.ReadFile(s.cfg.Path)
	require.NoError(t, err)
	generate(t, s, "tmk/10000001", hsm.TDES)
	seen := s.Audit(0)[2]
	require.NoError(t, reopen(t, s).Continues(seen.Seq, seen.Chain))

	require.NoError(t, os.WriteFile(s.cfg.Path, old, 0o600))
	back := reopen(t, s)
	require.ErrorIs(t, back.Continues(seen.Seq, seen.Chain), ErrRolledBack)
	generate(t, back, "tmk/10000002", hsm.TDES)
	require.ErrorIs(t, back.Continues(seen.Seq, seen.Chain), ErrRolledBack, "the list has forked")
	require.NoError(t, back.Continues(0, ""))
}

func TestMissingMasterKeyIsSaid(t *testing.T) {
	s := testStore(t)
	text, err := os.ReadFile(s.cfg.LMK.File)
	require.NoError(t, err)
	require.NoError(t, os.Remove(s.cfg.LMK.File))
	_, err = Open(s.cfg)
	require.ErrorIs(t, err, ErrNoLMK)

	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	cfg := s.cfg
	cfg.LMK.Env = lines[len(lines)-1]
	_, err = Open(cfg)
	require.NoError(t, err, "from the environment")

	other, err := soft.GenerateLMK(soft.International, rand.Reader)
	require.NoError(t, err)
	cfg.LMK.Env = string(other.AppendSecret(nil))
	_, err = Open(cfg)
	require.ErrorIs(t, err, ErrNoLMK)
	require.ErrorContains(t, err, other.ID().String())
	require.ErrorContains(t, err, s.LMK().String())

	require.NoError(t, os.WriteFile(s.cfg.LMK.File, text, 0o644))
	require.NoError(t, os.Chmod(s.cfg.LMK.File, 0o644))
	_, err = Open(s.cfg)
	require.ErrorIs(t, err, ErrUnsafe)
	require.NotContains(t, err.Error(), lines[len(lines)-1][12:40])
}

func TestHashKeysNeverChange(t *testing.T) {
	s := testStore(t)
	before := s.Records()
	for name, f := range map[string]func(*Edit) error{
		"rotate": func(e *Edit) error { _, err := e.Rotate("hash/person", 0, false); return err },
		"retire": func(e *Edit) error { _, err := e.Retire("hash/person", 0); return err },
		"generate": func(e *Edit) error {
			_, err := e.Generate(Wanted{Label: "hash/person", Algorithm: hsm.HMAC})
			return err
		},
		"ceremony": func(e *Edit) error {
			_, err := e.Form(Wanted{Label: "hash/person", Algorithm: hsm.HMAC}, bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32))
			return err
		},
	} {
		err := s.Edit(chen, f)
		require.ErrorIs(t, err, ErrAct, name)
		require.ErrorContains(t, err, "fresh quota", name)
	}
	require.Equal(t, before, s.Records())
	require.Equal(t, before, reopen(t, s).Records())
	require.Len(t, s.Audit(0), 2)
}

func TestCardKeyRotatesAndTheOldOneOpens(t *testing.T) {
	s := testStore(t)
	running := reopen(t, s)
	old, _ := running.Find("card/c1")
	sealed, err := running.Module().Seal(nil, old, []byte("card"), []byte("place"))
	require.NoError(t, err)

	edit(t, s, func(e *Edit) error { _, err := e.Rotate("card", hsm.SM4, false); return err })
	changed, err := running.Reload()
	require.NoError(t, err)
	require.True(t, changed)
	now, ok := running.Find("card/c2")
	require.True(t, ok)
	require.Equal(t, hsm.SM4, now.Info().Algorithm)
	_, ok = running.Find("card/c1")
	require.False(t, ok, "it does not seal")
	former := running.Former("card/c1")
	require.Len(t, former, 1)
	plain, err := running.Module().Open(nil, former[0], sealed, []byte("place"))
	require.NoError(t, err)
	require.Equal(t, "card", string(plain))
	err = s.Edit(chen, func(e *Edit) error { _, err := e.Retire("card/c1", 0); return err })
	require.ErrorIs(t, err, ErrAct)
	changed, err = running.Reload()
	require.NoError(t, err)
	require.False(t, changed)
}

func TestTerminalMasterKeyIsPendingUntilTheTerminalHasIt(t *testing.T) {
	s := testStore(t)
	first := generate(t, s, "tmk/group/shops", hsm.TDES)
	var second Record
	edit(t, s, func(e *Edit) (err error) { second, err = e.Rotate("tmk/group/shops", 0, true); return err })
	require.Equal(t, 2, second.Generation)
	r, _ := s.FindRecord("tmk/group/shops")
	require.Equal(t, first.KCV, r.KCV)
	_, newest, err := s.Generation("tmk/group/shops", 0)
	require.NoError(t, err)
	require.Equal(t, second.KCV, newest.KCV)

	edit(t, s, func(e *Edit) error { _, err := e.Activate("tmk/group/shops"); return err })
	r, _ = reopen(t, s).FindRecord("tmk/group/shops")
	require.Equal(t, second.KCV, r.KCV)
	require.Len(t, s.Former("tmk/group/shops"), 1)
	require.ErrorIs(t, s.Edit(chen, func(e *Edit) error { _, err := e.Activate("tmk/group/shops"); return err }), ErrNoKey)
	require.ErrorIs(t, s.Edit(chen, func(e *Edit) error { _, err := e.Retire("tmk/group/shops", 0); return err }), ErrAct)
	edit(t, s, func(e *Edit) error { _, err := e.Retire("tmk/group/shops", 1); return err })
	again := reopen(t, s)
	require.Empty(t, again.Former("tmk/group/shops"))
	require.Equal(t, Retired, again.Records()[len(again.Records())-2].State)
	require.Empty(t, again.Records()[len(again.Records())-2].Token)
}

func TestExportAndImportAreActs(t *testing.T) {
	s := testStore(t)
	generate(t, s, "kbpk/vendor", hsm.AES)
	made := generate(t, s, "tmk/10000001", hsm.TDES)
	var block []byte
	edit(t, s, func(e *Edit) (err error) {
		block, err = e.Export("tmk/10000001", 0, "kbpk/vendor", hsm.WrapTR31D)
		return err
	})
	kbpk, _ := s.Find("kbpk/vendor")
	var back Record
	edit(t, s, func(e *Edit) (err error) {
		back, err = e.Import(Wanted{Label: "tmk/10000002", Algorithm: hsm.TDES}, kbpk, hsm.WrapTR31D, block, nil)
		return err
	})
	require.Equal(t, made.KCV, back.KCV)
	acts := s.Audit(4)
	require.Equal(t, "export", acts[0].Act)
	require.Equal(t, "tr31-d under kbpk/vendor", acts[0].Detail)
	require.Equal(t, made.KCV, acts[0].KCV)
	require.Equal(t, "import", acts[1].Act)
	require.Equal(t, []string{"Chen", "Wang", "test", "T-1"}, []string{acts[1].By, acts[1].Second, acts[1].Reason, acts[1].Document})

	err := s.Edit(chen, func(e *Edit) error { _, err := e.Export("hash/person", 0, "kbpk/vendor", hsm.WrapTR31D); return err })
	require.ErrorIs(t, err, hsm.ErrPurpose)
	require.Len(t, s.Audit(0), 6, "a refused act is none")
}

func TestAnImportIsAsLongAsWhatComes(t *testing.T) {
	s := testStore(t)
	edit(t, s, func(e *Edit) error {
		_, err := e.Generate(Wanted{Label: "kbpk/vendor", Algorithm: hsm.AES})
		return err
	})
	edit(t, s, func(e *Edit) error {
		_, err := e.Generate(Wanted{Label: "tmk/10000001", Algorithm: hsm.TDES, Length: 24, Exportable: true})
		return err
	})
	kbpk, _ := s.Find("kbpk/vendor")
	var block []byte
	edit(t, s, func(e *Edit) (err error) {
		block, err = e.Export("tmk/10000001", 0, "kbpk/vendor", hsm.WrapTR31D)
		return err
	})
	for length, good := range map[int]bool{0: true, 24: true, 16: false} {
		err := s.Edit(chen, func(e *Edit) error {
			r, err := e.Import(Wanted{Label: "tmk/10000002", Algorithm: hsm.TDES, Length: length}, kbpk, hsm.WrapTR31D, block, nil)
			require.True(t, err != nil || r.Length == 24)
			return err
		})
		require.Equal(t, good, err == nil, "%d: %v", length, err)
	}
}

func TestMasterKeyRotatesUnderARunningSwitch(t *testing.T) {
	s := testStore(t)
	generate(t, s, "tmk/10000001", hsm.TDES)
	running := reopen(t, s)
	spec := hsm.Spec{Bind: "terminal/10000001/mak", Purpose: hsm.MAK, Algorithm: hsm.TDES}
	working, journaled, err := running.Module().Generate(spec)
	require.NoError(t, err)
	before := s.Records()
	was := s.LMK()

	edit(t, s, func(e *Edit) error { _, err := e.RotateLMK(soft.National); return err })
	require.NotEqual(t, was, s.LMK())
	for i, r := range s.Records() {
		for _, old := range before {
			if old.Label == r.Label {
				require.NotEqual(t, old.Token, r.Token, "%d", i)
				require.Equal(t, old.KCV, r.KCV)
			}
		}
	}
	handle, _ := running.Find("tmk/10000001")
	changed, err := running.Reload()
	require.NoError(t, err)
	require.True(t, changed)
	require.Equal(t, s.LMK(), running.LMK())
	now, _ := running.Find("tmk/10000001")
	require.Equal(t, handle.Info(), now.Info())
	_, err = running.Module().Load(spec.Bind, journaled)
	require.NoError(t, err)

	require.NoError(t, s.SettleLMK())
	later := reopen(t, s)
	got, err := later.Module().Load(spec.Bind, journaled)
	require.NoError(t, err, "what lies in the journal is under the key before, which the store keeps")
	require.Equal(t, working.Info(), got.Info())
	edit(t, s, func(e *Edit) error { _, err := e.Retire("lmk/"+was.String(), 0); return err })
	_, err = reopen(t, s).Module().Load(spec.Bind, journaled)
	require.ErrorIs(t, err, hsm.ErrToken, "until that is retired")
	_, err = running.Reload()
	require.NoError(t, err)
	_, err = running.Module().Load(spec.Bind, journaled)
	require.ErrorIs(t, err, hsm.ErrToken, "a running switch forgets it, too, and does not wait for its next start to say so")
}

// A rotation writes the key file, the store, and the key file once more. Wherever the process ends, the store opens.
func TestInterruptedRotationLeavesAStoreThatOpens(t *testing.T) {
	const places = 4 // written and named, of the key file and of the store
	for ends := 1; ends <= places; ends++ {
		s := testStore(t)
		generate(t, s, "tmk/10000001", hsm.TDES)
		kcv := s.Records()[len(s.Records())-1].KCV
		was := s.LMK()
		dying := reopen(t, s)
		seen := 0
		dying.cfg.Place = func(string) {
			if seen++; seen == ends {
				panic("the power fails")
			}
		}
		require.PanicsWithValue(t, "the power fails", func() {
			_ = dying.Edit(chen, func(e *Edit) error { _, err := e.RotateLMK(soft.International); return err })
		}, "place %d", ends)
		again := reopen(t, s)
		require.Equal(t, ends < places, was == again.LMK(), "place %d", ends)
		leftovers := filepath.Join(filepath.Dir(s.cfg.Path), ".keys-*")
		left, err := filepath.Glob(leftovers)
		require.NoError(t, err)
		require.Empty(t, left, "a panic cleans up, a kill does not")
		for _, path := range []string{s.cfg.Path, s.cfg.LMK.File} {
			require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), temporary(path)+"1"), []byte("half"), 0o600))
		}
		require.NoError(t, again.SettleLMK())
		left, err = filepath.Glob(leftovers)
		require.NoError(t, err)
		require.Empty(t, left, "what lay in a half-written file may have been a master key")
		r, ok := reopen(t, s).FindRecord("tmk/10000001")
		require.True(t, ok)
		require.Equal(t, kcv, r.KCV)
		list, err := s.cfg.LMK.load()
		require.NoError(t, err)
		require.Len(t, list, 1)

		edit(t, again, func(e *Edit) error { _, err := e.RotateLMK(soft.International); return err })
		require.NotEqual(t, was, reopen(t, s).LMK(), "before the file is settled")
	}
}

// sight is everything of a store that an act may change.
type sight struct {
	file, lmkFile string
	view          *view
	lmk           soft.LMKID
}

func look(t *testing.T, s *Store) sight {
	t.Helper()
	file, err := os.ReadFile(s.cfg.Path)
	require.NoError(t, err)
	lmkFile, err := os.ReadFile(s.cfg.LMK.File)
	require.NoError(t, err)
	return sight{string(file), string(lmkFile), s.view.Load(), s.module.LMK().ID()}
}

// require.Equal would print what lies in the files.
func (a sight) same(b sight) bool {
	return a.file == b.file && a.lmkFile == b.lmkFile && a.lmk == b.lmk && len(a.view.audit) == len(b.view.audit) && len(a.view.records) == len(b.view.records)
}

func TestAFailingActLeavesMemoryAndFilesAsTheyWere(t *testing.T) {
	rotate := func(e *Edit) error { _, err := e.RotateLMK(soft.National); return err }
	make16 := func(e *Edit) error {
		_, err := e.Generate(Wanted{Label: "zmk/x", Algorithm: hsm.TDES})
		return err
	}
	stop := errors.New("no")
	for name, c := range map[string]struct {
		act    func(*Edit) error
		breaks int // the file that cannot get its name, counted from 1; 0: none
	}{
		"refused at its end":                {func(e *Edit) error { return errors.Join(make16(e), stop) }, 0},
		"not written":                       {make16, 1},
		"rotation refused at its end":       {func(e *Edit) error { return errors.Join(rotate(e), stop) }, 0},
		"two rotations at once":             {func(e *Edit) error { return errors.Join(rotate(e), rotate(e)) }, 0},
		"rotation without a key file":       {rotate, 1},
		"rotation that cannot write":        {rotate, 2},
		"rotation and a key, not written":   {func(e *Edit) error { return errors.Join(rotate(e), make16(e)) }, 2},
		"rotation and an act with no label": {func(e *Edit) error { _, err := e.Retire("x", 0); return errors.Join(rotate(e), err) }, 0},
	} {
		s := testStore(t)
		generate(t, s, "tmk/10000001", hsm.TDES)
		before := look(t, s)
		written := 0
		s.cfg.Place = func(place string) {
			if place != PlaceWritten {
				return
			}
			if written++; written == c.breaks {
				left, err := filepath.Glob(filepath.Join(filepath.Dir(s.cfg.Path), ".keys-*"))
				require.NoError(t, err)
				require.Len(t, left, 1)
				require.NoError(t, os.Remove(left[0]))
			}
		}
		require.Error(t, s.Edit(chen, c.act), name)
		require.True(t, before.same(look(t, s)), name)
		_, err := reopen(t, s).Reload()
		require.NoError(t, err, name)
		left, err := filepath.Glob(filepath.Join(filepath.Dir(s.cfg.Path), ".keys-*"))
		require.NoError(t, err)
		require.Empty(t, left, name)
		s.cfg.Place = nowhere
		edit(t, s, rotate)
		require.NotEqual(t, before.lmk, s.LMK(), name)
	}
}

// A reload reads everything before it takes anything: also the master key under which the file lies.
func TestARefusedReloadLeavesTheMasterKeyAsItWas(t *testing.T) {
	s := testStore(t)
	behind := reopen(t, s)
	generate(t, s, "tmk/10000001", hsm.TDES)
	running := reopen(t, s)
	before := look(t, running)

	other := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.Mkdir(other, 0o700))
	text, err := behind.view.Load().contents.appendFile(nil, behind.module.LMK())
	require.NoError(t, err)
	behind.cfg.Path = filepath.Join(other, "keys.yaml")
	require.NoError(t, os.WriteFile(behind.cfg.Path, text, 0o600))
	edit(t, behind, func(e *Edit) error { _, err := e.RotateLMK(soft.International); return err })
	forked, err := os.ReadFile(behind.cfg.Path)
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(running.cfg.Path, forked, 0o600))
	_, err = running.Reload()
	require.ErrorIs(t, err, ErrRolledBack)
	require.Equal(t, before.lmk, running.module.LMK().ID())
	require.Same(t, before.view, running.view.Load())
	_, token, err := running.Module().Generate(hsm.Spec{Bind: "x", Purpose: hsm.MAK, Algorithm: hsm.TDES})
	require.NoError(t, err)
	id, err := soft.TokenLMK(token)
	require.NoError(t, err)
	require.Equal(t, before.lmk, id)
}

// The folder goes away between the name and its sync: the disk has not said that the file stays.
func TestWhatTheDiskDoesNotConfirmIsSaid(t *testing.T) {
	s := testStore(t)
	dir := filepath.Dir(s.cfg.Path)
	named := 0
	s.cfg.Place = func(place string) {
		if place != PlaceNamed {
			return
		}
		if named++; named == 2 { // of the store; the master key's file is first
			require.NoError(t, os.Rename(dir, dir+"-away"))
		}
	}
	err := s.Edit(chen, func(e *Edit) error { _, err := e.RotateLMK(soft.International); return err })
	require.ErrorIs(t, err, ErrUnsure)
	require.NoError(t, os.Rename(dir+"-away", dir))
	list, err := s.cfg.LMK.load()
	require.NoError(t, err)
	require.Len(t, list, 2, "either file of the store opens")
	s.cfg.Place = nowhere
	changed, err := s.Reload()
	require.NoError(t, err)
	require.True(t, changed)
	require.Equal(t, list[0].ID(), s.LMK())
}

func TestAStoreThatWouldNotOpenIsNotWritten(t *testing.T) {
	s := testStore(t)
	before := look(t, s)
	for name, act := range map[string]func(*Edit) error{
		"a record that its label does not allow": func(e *Edit) error {
			e.contents.records[0].Label = "tmk/x"
			return e.act("generate", nil, "")
		},
		"a token of another place": func(e *Edit) error {
			e.contents.records[0].Created = "2026-03-02T08:00:00Z"
			return e.act("generate", nil, "")
		},
		"a list that forks": func(e *Edit) error {
			e.contents.audit = chained(e.contents.audit[:1:1], e.contents.audit[1])
			e.contents.audit[1].By = "Li"
			return e.act("generate", nil, "")
		},
	} {
		require.Error(t, s.Edit(chen, act), name)
		require.True(t, before.same(look(t, s)), name)
		reopen(t, s)
	}
}

// What these would make could not be opened again, or not be taken away.
func TestWhatIsNotAddedByHandIsRefused(t *testing.T) {
	s := testStore(t)
	before := look(t, s)
	for label, want := range map[string]Wanted{
		"card/Main":              {Algorithm: hsm.AES},
		"card/with_line":         {Algorithm: hsm.AES},
		"card/more-than-16-long": {Algorithm: hsm.AES},
		"card/c9":                {Algorithm: hsm.SM4, Length: 32},
		"tmk/10000001":           {Algorithm: hsm.SM4, Length: 32},
		"kbpk/vendor":            {Algorithm: hsm.SM4},
		"lmk/deadbeef":           {Algorithm: hsm.AES},
		"hash/other":             {Algorithm: hsm.HMAC},
	} {
		want.Label = label
		for _, pending := range []bool{false, true} {
			want.Pending = pending
			err := s.Edit(chen, func(e *Edit) error { _, err := e.Generate(want); return err })
			require.True(t, errors.Is(err, ErrAct) || errors.Is(err, ErrLabel) || errors.Is(err, hsm.ErrAlgorithm), "%s: %v", label, err)
		}
	}
	require.True(t, before.same(look(t, s)))
	edit(t, s, func(e *Edit) error { _, err := e.Generate(Wanted{Label: "card/c-2", Algorithm: hsm.AES}); return err })
	edit(t, s, func(e *Edit) error {
		_, err := e.Generate(Wanted{Label: "host/x/zak", Algorithm: hsm.SM4, Length: 32})
		return err
	})
}

// The next key of the environment takes over by a rotation and by nothing else: a start without it must find its store.
func TestANewStoreIsUnderTheMasterKeyInUse(t *testing.T) {
	cfg := testConfig(t)
	one, err := soft.GenerateLMK(soft.International, rand.Reader)
	require.NoError(t, err)
	two, err := soft.GenerateLMK(soft.International, rand.Reader)
	require.NoError(t, err)
	cfg.LMK = Source{Env: string(one.AppendSecret(nil)), Next: string(two.AppendSecret(nil))}
	s, err := Create(cfg, New{Hash: hsm.HMACSM3, By: chen, Act: ActCreate})
	require.NoError(t, err)
	require.Equal(t, one.ID(), s.LMK())
	s.cfg.LMK.Next = ""
	reopen(t, s)
}

func TestRotationOfAMasterKeyFromTheEnvironment(t *testing.T) {
	cfg := testConfig(t)
	one, err := soft.GenerateLMK(soft.International, rand.Reader)
	require.NoError(t, err)
	two, err := soft.GenerateLMK(soft.International, rand.Reader)
	require.NoError(t, err)
	cfg.LMK = Source{Env: string(one.AppendSecret(nil))}
	s, err := Create(cfg, New{Hash: hsm.HMACSM3, By: chen, Act: "create", Draw: []Wanted{{Label: "card/c1", Algorithm: hsm.SM4}}})
	require.NoError(t, err)
	rotate := func(e *Edit) error { _, err := e.RotateLMK(soft.International); return err }
	require.ErrorContains(t, s.Edit(chen, rotate), EnvNextLMK)

	running := reopen(t, s)
	cfg.LMK.Next = string(two.AppendSecret(nil))
	operator, err := Open(cfg)
	require.NoError(t, err)
	require.NoError(t, operator.Edit(chen, rotate))
	require.Equal(t, two.ID(), operator.LMK())
	_, err = running.Reload()
	require.ErrorIs(t, err, ErrNoLMK, "a process without the new key says so, and goes on with what it has")
	_, ok := running.Find("card/c1")
	require.True(t, ok)
	cfg.LMK = Source{Env: string(two.AppendSecret(nil))}
	_, err = Open(cfg)
	require.NoError(t, err)
}

func TestAnActIsRefusedWithoutNameOrReason(t *testing.T) {
	s := testStore(t)
	for name, by := range map[string]Authority{
		"nobody":             {Reason: "why"},
		"no reason":          {By: "Chen"},
		"one person twice":   {By: "Chen", Second: "Chen", Reason: "why"},
		"no UTF-8":           {By: "Chen", Reason: "wh\xffy"},
		"a line of its own":  {By: "Chen", Reason: "why\n     9  2026-03-01T08:00:00Z  retire"},
		"a terminal's code":  {By: "Chen\x1b[2J", Reason: "why"},
		"no UTF-8, second":   {By: "Chen", Second: "\xe9\x99", Reason: "why"},
		"no UTF-8, document": {By: "Chen", Reason: "why", Document: "\xc3("},
		"a very long reason": {By: "Chen", Reason: strings.Repeat("x", maxReason+1)},
	} {
		err := s.Edit(by, func(e *Edit) error { _, err := e.Generate(Wanted{Label: "zmk/x", Algorithm: hsm.TDES}); return err })
		require.ErrorIs(t, err, ErrAct, name)
	}
	require.Len(t, s.Audit(0), 2)
	require.Len(t, reopen(t, s).Audit(0), 2)
}

func TestLabelsSayThePurpose(t *testing.T) {
	for label, want := range map[string]hsm.Purpose{
		"hash/person": hsm.Hash, "card/c1": hsm.Card, "tmk/10000001": hsm.TMK, "tmk/group/shops": hsm.TMK, "zmk/bank": hsm.ZMK,
		"host/unionpay/zmk": hsm.ZMK, "host/unionpay/zpk": hsm.ZPK, "host/unionpay/zak": hsm.ZAK, "kbpk/vendor": hsm.KBPK, "lmk/00aa11bb": hsm.LMK,
	} {
		got, err := PurposeOf(label)
		require.NoError(t, err, label)
		require.Equal(t, want, got, label)
	}
	for _, label := range []string{"", "tmk", "tmk/", "/tmk/1", "tmk//1", "tmk/a/b", "host/x/mak", "host/x", "mak/1", "tmk/1 ", "tmk/终端", strings.Repeat("x", 81)} {
		_, err := PurposeOf(label)
		require.ErrorIs(t, err, ErrLabel, label)
	}
}

func TestNothingOfARecordPrintsItsToken(t *testing.T) {
	s := testStore(t)
	r := s.Records()[0]
	require.NotEmpty(t, r.Token)
	text := fmt.Sprintf("%v %+v %#v %s", r, r, r, r)
	require.Less(t, len(text), 200)
}

// The MAC is over the bytes, so that bytes which mean the same must be the same.
func TestTheMasterKeysNameHasOneWriting(t *testing.T) {
	const text = "format: 2\nlmk: %s\nhash: hmac-sm3\nkeys:\naudit:\n"
	c, err := parseFile(fmt.Appendf(nil, text, "a0000000"))
	require.NoError(t, err)
	require.Equal(t, "a0000000", c.lmk.String())
	for _, id := range []string{"A0000000", "a000000", "a00000000", "a000000g"} {
		_, err = parseFile(fmt.Appendf(nil, text, id))
		require.ErrorIs(t, err, ErrFormat, id)
	}
}

func fuzzBody(f *testing.F) []byte {
	s := testStore(f)
	generate(f, s, "tmk/10000001", hsm.TDES)
	edit(f, s, func(e *Edit) error {
		for _, label := range []string{"host/unionpay/zpk", "kbpk/vendor", "zmk/bank"} {
			if _, err := e.Generate(Wanted{Label: label, Algorithm: hsm.AES}); err != nil {
				return err
			}
		}
		if _, err := e.Rotate("tmk/10000001", hsm.SM4, true); err != nil {
			return err
		}
		_, err := e.Retire("zmk/bank", 1)
		return err
	})
	text, err := os.ReadFile(s.cfg.Path)
	require.NoError(f, err)
	body, err := authentic(text, s.module.LMK())
	require.NoError(f, err)
	return body
}

// FuzzParseFile takes what the MAC would have kept out: the parser must stand without it.
func FuzzParseFile(f *testing.F) {
	body := fuzzBody(f)
	f.Add(body)
	f.Add(body[:len(body)/2])
	f.Add([]byte("format: 2\nlmk: 00000000\nhash: hmac-sm3\nkeys:\naudit:\n"))
	lmk, err := soft.GenerateLMK(soft.International, rand.Reader)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseFile(b)
		if err != nil {
			require.True(t, errors.Is(err, ErrFormat) || errors.Is(err, ErrChain), "%v", err)
			return
		}
		text, err := c.appendFile(nil, lmk)
		require.NoError(t, err)
		again, err := authentic(text, lmk)
		require.NoError(t, err)
		require.True(t, bytes.HasSuffix(b, again[len(fileHead):]), "one store has one writing")
		_, err = parseFile(again)
		require.NoError(t, err)
	})
}

// FuzzRecords is FuzzParseFile without the list of acts, whose chain stops nearly every change: what is read is written back as it
// was, and what a record says agrees with its label.
func FuzzRecords(f *testing.F) {
	body := fuzzBody(f)
	head, rest, ok := bytes.Cut(body, []byte("keys:\n"))
	require.True(f, ok)
	keys, _, ok := bytes.Cut(rest, []byte("audit:\n"))
	require.True(f, ok)
	f.Add(keys)
	for line := range bytes.Lines(keys) {
		f.Add(line)
	}
	f.Add([]byte(`- {"label":"hash/a","generation":1,"purpose":"hash","algorithm":"hmac","length":32,"kcv":"","created":"","state":"active","token":"AA=="}` + "\n"))
	f.Fuzz(func(t *testing.T, keys []byte) {
		body := slices.Concat(head, []byte("keys:\n"), keys, []byte("audit:\n"))
		c, err := parseFile(body)
		if err != nil {
			require.ErrorIs(t, err, ErrFormat)
			return
		}
		var again []byte
		for i := range c.records {
			r := &c.records[i]
			again, err = appendItem(again, r)
			require.NoError(t, err)
			purpose, err := PurposeOf(r.Label)
			require.NoError(t, err)
			require.Equal(t, purpose.String(), r.Purpose)
		}
		require.Equal(t, string(keys), string(again))
	})
}

// FuzzAudit: whatever is done to one entry of the list is found.
func FuzzAudit(f *testing.F) {
	f.Add(uint64(1), "at", "generate", "tmk/1", 1, "chen", "reason")
	f.Fuzz(func(t *testing.T, seq uint64, at, act, label string, generation int, by, reason string) {
		var list []Entry
		for _, l := range []string{"a", "b", "c"} {
			list = chained(list, Entry{At: "now", Act: "generate", Label: l, By: "Chen", Reason: "why"})
		}
		require.NoError(t, checkChain(list))
		forged := Entry{Seq: seq, At: at, Act: act, Label: label, Generation: generation, By: by, Reason: reason, Chain: list[1].Chain}
		if forged == list[1] {
			return
		}
		list[1] = forged
		require.ErrorIs(t, checkChain(list), ErrChain)
	})
}

func FuzzParseLMKFile(f *testing.F) {
	lmk, err := soft.GenerateLMK(soft.National, rand.Reader)
	require.NoError(f, err)
	f.Add(appendLMKFile(nil, lmk))
	f.Add([]byte("# nothing\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseLMKFile(b)
		if err != nil {
			require.ErrorIs(t, err, soft.ErrLMK)
			return
		}
		again, err := parseLMKFile(appendLMKFile(nil, list...))
		require.NoError(t, err)
		require.Len(t, again, len(list))
	})
}

// The rotation has written its next master key beside the present one, and not yet the store: a switch that starts, or the
// end of another rotation, must not take that key away again.
func TestNobodySettlesTheMasterKeyFileDuringARotation(t *testing.T) {
	s := testStore(t)
	generate(t, s, "tmk/10000001", hsm.TDES)
	starting := reopen(t, s)
	edit(t, s, func(e *Edit) error {
		_, err := e.RotateLMK(soft.International)
		require.NoError(t, err)
		require.NoError(t, starting.SettleLMK())
		return err
	})
	require.NoError(t, starting.SettleLMK(), "which has not heard of the rotation yet")
	_, err := Open(s.cfg)
	require.NoError(t, err)
}
