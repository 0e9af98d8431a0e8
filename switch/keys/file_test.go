package keys

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func keyPath(t testing.TB) string {
	return filepath.Join(t.TempDir(), "keys", "keys.yaml")
}

func TestCreatedFileLoadsToTheSameKeys(t *testing.T) {
	path := keyPath(t)
	made, err := Create(path, &counter{})
	require.NoError(t, err)
	loaded, err := Load(path)
	require.NoError(t, err)
	require.Equal(t, made.hash, loaded.hash)
	require.Equal(t, made.card, loaded.card)
	require.Equal(t, "c1", loaded.CardKeyID())
	require.Equal(t, made.PersonKeyCheck(), loaded.PersonKeyCheck())

	for name, mode := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), name)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file stays behind")
}

func TestCreateNeverOverwrites(t *testing.T) {
	path := keyPath(t)
	_, err := Create(path, &counter{})
	require.NoError(t, err)
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	_, err = Create(path, &counter{n: 77})
	require.ErrorIs(t, err, fs.ErrExist)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func TestMissingFileIsToldApart(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o700))
	_, err := Load(filepath.Join(dir, "keys.yaml"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = Load(filepath.Join(dir, "none", "keys.yaml"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestUnsafeFilesAreRefusedWithTheReason(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(path string) error
		says  string
	}{
		"file readable by the group":   {func(p string) error { return os.Chmod(p, 0o640) }, "has mode 0640, want 0600"},
		"file readable by others":      {func(p string) error { return os.Chmod(p, 0o604) }, "has mode 0604, want 0600"},
		"folder readable by others":    {func(p string) error { return os.Chmod(filepath.Dir(p), 0o755) }, "has mode 0755, want 0700"},
		"folder writable by the group": {func(p string) error { return os.Chmod(filepath.Dir(p), 0o720) }, "has mode 0720, want 0700"},
		"symbolic link": {func(p string) error {
			if err := os.Rename(p, p+".real"); err != nil {
				return err
			}
			return os.Symlink(p+".real", p)
		}, "is a symbolic link"},
		"folder in its place": {func(p string) error {
			if err := os.Remove(p); err != nil {
				return err
			}
			return os.Mkdir(p, 0o700)
		}, "is no regular file"},
	} {
		path := keyPath(t)
		_, err := Create(path, &counter{})
		require.NoError(t, err)
		require.NoError(t, c.spoil(path))
		_, err = Load(path)
		require.ErrorIs(t, err, ErrUnsafe, name)
		require.ErrorContains(t, err, c.says, name)
	}
}

func TestCreateRefusesAnOpenFolder(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	_, err := Create(filepath.Join(dir, "keys.yaml"), &counter{})
	require.ErrorIs(t, err, ErrUnsafe)
}

func TestMalformedFilesAreRefusedWithoutQuotingThem(t *testing.T) {
	good := string(testSet(t).appendFile(nil))
	hexRun := regexp.MustCompile(`[0-9a-f]{8}`)
	replace := func(old, by string) string {
		require.Contains(t, good, old)
		return strings.Replace(good, old, by, 1)
	}
	for name, c := range map[string]struct{ text, says string }{
		"empty":              {"", "no YAML document"},
		"not YAML":           {"\tformat: 1", "no YAML document"},
		"list":               {"- 1", "file is no mapping"},
		"later format":       {replace("format: 1", "format: 2"), "this program reads format 1"},
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
		_, err := parseFile([]byte(c.text))
		require.ErrorIs(t, err, ErrFormat, name)
		require.ErrorContains(t, err, c.says, name)
		require.NotRegexp(t, hexRun, err.Error(), name)
	}
}

func TestOversizedFileIsRefused(t *testing.T) {
	path := keyPath(t)
	_, err := Create(path, &counter{})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, make([]byte, maxFile+1), 0o600))
	_, err = Load(path)
	require.ErrorIs(t, err, ErrFormat)
}

func FuzzParseFile(f *testing.F) {
	good := testSet(f).appendFile(nil)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte("format: 1\nhash: {}\ncard: {}\ncheck: 00"))
	f.Add([]byte("&a [*a, *a]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseFile(b)
		if err != nil {
			require.ErrorIs(t, err, ErrFormat)
			return
		}
		again, err := parseFile(s.appendFile(nil))
		require.NoError(t, err)
		require.Equal(t, s.hash, again.hash)
		require.Equal(t, s.card, again.card)
	})
}
