package keys

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/soft"
	"huanxin/switch/keys/store"
)

// appendFile writes a file of the first format, as its last release did.
func (p *plain) appendFile(dst []byte) []byte {
	dst = append(dst, "# Keys of one Huanxin programme.\nformat: 1\nhash:\n"...)
	for i, name := range purposeNames {
		dst = append(dst, "  "+name+": "...)
		dst = append(hex.AppendEncode(dst, p.hash[i][:]), '\n')
	}
	dst = append(dst, "# Card keys: `current` seals, all of them open.\n"...)
	dst = append(dst, "card:\n  current: "+p.current+"\n  keys:\n"...)
	for _, id := range p.cardKeyIDs() {
		key := p.card[id]
		dst = append(dst, "    "+id+": "...)
		dst = append(hex.AppendEncode(dst, key[:]), '\n')
	}
	sum := p.sum()
	dst = append(dst, "check: "...)
	return append(hex.AppendEncode(dst, sum[:]), '\n')
}

func testPlain(t testing.TB) *plain {
	p, err := drawPlain(&counter{})
	require.NoError(t, err)
	return p
}

func testConfig(t testing.TB) store.Config {
	dir := filepath.Join(t.TempDir(), "keys")
	return Config(filepath.Join(dir, "keys.yaml"), filepath.Join(dir, "lmk"), func(string) string { return "" })
}

var byTest = store.Authority{By: "test", Reason: "test"}

// writeFormat1 leaves a file of the first format at the path of cfg.
func writeFormat1(t testing.TB, cfg store.Config, p *plain) []byte {
	text := p.appendFile(nil)
	require.NoError(t, os.MkdirAll(filepath.Dir(cfg.Path), 0o700))
	require.NoError(t, os.WriteFile(cfg.Path, text, 0o600))
	return text
}

func TestFirstFormatIsBroughtOverWithoutChangingAKey(t *testing.T) {
	for _, national := range []bool{false, true} {
		cfg := testConfig(t)
		p := testPlain(t)
		p.card["old-1"] = secret{7}
		text := writeFormat1(t, cfg, p)
		before, err := p.set(rand.Reader)
		require.NoError(t, err)
		r := testRecord()
		card, err := before.Vault().SealCard(&r)
		require.NoError(t, err)

		s, backup, err := Open(cfg, Options{National: national, By: byTest})
		require.NoError(t, err)
		require.Equal(t, cfg.Path+".format1", backup)
		kept, err := os.ReadFile(backup)
		require.NoError(t, err)
		require.Equal(t, text, kept)
		info, err := os.Stat(backup)
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
		raw, err := os.ReadFile(cfg.Path)
		require.NoError(t, err)
		for _, key := range p.hash {
			require.NotContains(t, string(raw), hex.EncodeToString(key[:8]))
		}

		again, backup, err := Open(cfg, Options{By: byTest})
		require.NoError(t, err)
		require.Empty(t, backup, "it is brought over once")
		require.Equal(t, s.Records(), again.Records())
		require.Len(t, again.Audit(0), 8)
		require.Equal(t, "migrate", again.Audit(0)[0].Act)
		set, err := FromStore(again)
		require.NoError(t, err)
		require.Equal(t, before.PersonKeyCheck(), set.PersonKeyCheck())
		require.Equal(t, "9b87058455aeb129", fmt.Sprintf("%x", set.PersonKeyCheck()))
		require.Equal(t, before.Hasher().Person("ID", "11010519491231002X"), set.Hasher().Person("ID", "11010519491231002X"))
		require.Equal(t, before.Hasher().Request("a", "b"), set.Hasher().Request("a", "b"))
		require.Equal(t, "c1", set.CardKeyID())
		opened, err := set.Vault().OpenCard(card)
		require.NoError(t, err)
		require.Equal(t, r.PAN, opened.PAN)
		require.Len(t, again.Former("card/old-1"), 1)
	}
}

// A start that ended between the copy and the store is repeated by the next one.
func TestBringingOverMayBeInterrupted(t *testing.T) {
	cfg := testConfig(t)
	text := writeFormat1(t, cfg, testPlain(t))
	require.NoError(t, os.WriteFile(cfg.Path+".format1", text, 0o600))
	_, _, err := Open(cfg, Options{By: byTest})
	require.NoError(t, err)

	cfg = testConfig(t)
	writeFormat1(t, cfg, testPlain(t))
	require.NoError(t, os.WriteFile(cfg.Path+".format1", []byte("other"), 0o600))
	_, _, err = Open(cfg, Options{By: byTest})
	require.ErrorContains(t, err, "holds other keys")
}

func TestCreatedStoreOpensToTheSameKeys(t *testing.T) {
	for _, national := range []bool{false, true} {
		cfg := testConfig(t)
		made, err := Create(cfg, Options{National: national, By: byTest})
		require.NoError(t, err)
		_, err = Create(cfg, Options{By: byTest})
		require.ErrorIs(t, err, fs.ErrExist)
		s, _, err := Open(cfg, Options{By: byTest})
		require.NoError(t, err)
		one, err := FromStore(made)
		require.NoError(t, err)
		two, err := FromStore(s)
		require.NoError(t, err)
		require.Equal(t, one.PersonKeyCheck(), two.PersonKeyCheck())
		want, mode, card := hsm.HMACSHA256, soft.International, hsm.AES
		if national {
			want, mode, card = hsm.HMACSM3, soft.National, hsm.SM4
		}
		require.Equal(t, want, s.Hash())
		require.Equal(t, mode, s.Module().LMK().Mode())
		require.Equal(t, card, two.cards.Load().all["c1"].Info().Algorithm)
		h := two.Hasher().Person("ID", "11010519491231002X")
		require.Equal(t, one.Hasher().Person("ID", "11010519491231002X"), h)
		code, err := s.Module().MAC(nil, two.hash[purposePerson], want, []byte("huanxin person\x00\x00\x00\x00\x02ID\x00\x00\x00\x1211010519491231002X"))
		require.NoError(t, err)
		require.Equal(t, code[:16], h[:])
	}
}

func TestMissingFileIsToldApart(t *testing.T) {
	_, _, err := Open(testConfig(t), Options{By: byTest})
	require.ErrorIs(t, err, fs.ErrNotExist)
	cfg := testConfig(t)
	require.NoError(t, os.Mkdir(filepath.Dir(cfg.Path), 0o700))
	_, _, err = Open(cfg, Options{By: byTest})
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestUnsafeFilesAreRefusedWithTheReason(t *testing.T) {
	move := func(p string) error {
		if err := os.Rename(p, p+".real"); err != nil {
			return err
		}
		return os.Symlink(p+".real", p)
	}
	for name, c := range map[string]struct {
		spoil func(path string) error
		says  string
	}{
		"file readable by the group":   {func(p string) error { return os.Chmod(p, 0o640) }, "has mode 0640, want 0600"},
		"file readable by others":      {func(p string) error { return os.Chmod(p, 0o604) }, "has mode 0604, want 0600"},
		"folder readable by others":    {func(p string) error { return os.Chmod(filepath.Dir(p), 0o755) }, "has mode 0755, want 0700"},
		"folder writable by the group": {func(p string) error { return os.Chmod(filepath.Dir(p), 0o720) }, "has mode 0720, want 0700"},
		"symbolic link":                {move, "is a symbolic link"},
		"folder in its place": {func(p string) error {
			if err := os.Remove(p); err != nil {
				return err
			}
			return os.Mkdir(p, 0o700)
		}, "is no regular file"},
		"master key readable by others": {func(p string) error { return os.Chmod(filepath.Join(filepath.Dir(p), "lmk"), 0o644) }, "has mode 0644, want 0600"},
		"master key a symbolic link":    {func(p string) error { return move(filepath.Join(filepath.Dir(p), "lmk")) }, "is a symbolic link"},
	} {
		cfg := testConfig(t)
		_, err := Create(cfg, Options{By: byTest})
		require.NoError(t, err)
		require.NoError(t, c.spoil(cfg.Path))
		_, _, err = Open(cfg, Options{By: byTest})
		require.ErrorIs(t, err, store.ErrUnsafe, name)
		require.ErrorContains(t, err, c.says, name)
	}
}

func TestCreateRefusesAnOpenFolder(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	cfg := Config(filepath.Join(dir, "keys.yaml"), filepath.Join(dir, "lmk"), func(string) string { return "" })
	_, err := Create(cfg, Options{By: byTest})
	require.ErrorIs(t, err, store.ErrUnsafe)
}

func TestMalformedFilesAreRefusedWithoutQuotingThem(t *testing.T) {
	good := string(testPlain(t).appendFile(nil))
	hexRun := regexp.MustCompile(`[0-9a-f]{8}`)
	replace := func(old, by string) string {
		require.Contains(t, good, old)
		return strings.Replace(good, old, by, 1)
	}
	for name, c := range map[string]struct{ text, says string }{
		"empty":              {"", "no YAML document"},
		"not YAML":           {"\tformat: 1", "no YAML document"},
		"list":               {"- 1", "file is no mapping"},
		"later format":       {replace("format: 1", "format: 2"), "want format 1"},
		"unknown key":        {good + "extra: 1\n", "unknown key in file"},
		"missing hash":       {replace("  serial:", "  #serial:"), "hash.serial is missing"},
		"given twice":        {good + "format: 1\n", "a key of file is given twice"},
		"short key":          {replace("person: 01", "person: "), "hash.person has 62 characters, want 64"},
		"not hex":            {replace("person: 01", "person: zz"), "hash.person is not hex"},
		"changed hash key":   {replace("person: 01", "person: 02"), "a hash key was changed"},
		"unknown current":    {replace("current: c1", "current: c9"), "card.current names no key"},
		"bad key id":         {replace("    c1:", "    C1:"), "an id is 1 to 16"},
		"alias":              {replace("current: c1", "current: &a c1") + "x: *a\n", "unknown key in file"},
		"value is a list":    {replace("current: c1", "current: [c1]"), "card.current is no single value"},
		"key of zeros":       {regexp.MustCompile(`(?m)^    c1: .*$`).ReplaceAllString(good, "    c1: "+strings.Repeat("0", 64)), "is all zeros"},
		"unknown in between": {replace("\ncard:", "\ny: 1\ncard:"), "unknown key in file"},
	} {
		_, err := parseFormat1([]byte(c.text))
		require.ErrorIs(t, err, store.ErrFormat, name)
		require.ErrorContains(t, err, c.says, name)
		require.NotRegexp(t, hexRun, err.Error(), name)
	}
}

func FuzzParseFormat1(f *testing.F) {
	good := testPlain(f).appendFile(nil)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte("format: 1\nhash: {}\ncard: {}\ncheck: 00"))
	f.Add([]byte("&a [*a, *a]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseFormat1(b)
		if err != nil {
			require.ErrorIs(t, err, store.ErrFormat)
			return
		}
		again, err := parseFormat1(s.appendFile(nil))
		require.NoError(t, err)
		require.Equal(t, s.hash, again.hash)
		require.Equal(t, s.card, again.card)
	})
}
