package policy

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/internal/money"
)

// readBundle reads a folder of testdata, or the sample programme.
func readBundle(t testing.TB, folder string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	files := map[string][]byte{}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext != ".yaml" && ext != ".csv" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(folder, e.Name()))
		require.NoError(t, err)
		files[e.Name()] = data
	}
	return files
}

const liaoning = "../../config/programmes/liaoning-2025"

func small(t testing.TB) map[string][]byte { return readBundle(t, "testdata/small") }

// edit replaces the first occurrence of old in a file; the test fails when there is none.
func edit(t testing.TB, files map[string][]byte, file, old, with string) map[string][]byte {
	t.Helper()
	require.Contains(t, string(files[file]), old)
	out := maps.Clone(files)
	out[file] = []byte(strings.Replace(string(files[file]), old, with, 1))
	return out
}

// withRules adds entries to version v1 of the small programme.
func withRules(t testing.TB, rules string) map[string][]byte {
	return edit(t, small(t), FilePolicy, "      # EXTRA\n", indent(rules, 6))
}

func indent(text string, n int) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(text) + "\n") {
		b.WriteString(strings.Repeat(" ", n) + line)
	}
	return b.String()
}

func compile(t testing.TB, files map[string][]byte) *Programme {
	t.Helper()
	p, err := Compile(files)
	require.NoError(t, err)
	return p
}

func at(t testing.TB, text string) int64 {
	t.Helper()
	v, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return v.UnixNano()
}

// fridge is a plain request that the small programme grants.
func fridge(t testing.TB, price money.Amount) Request {
	return Request{
		At: at(t, "2025-06-18T10:00:00+08:00"), City: "210100", Channel: "store", Category: "A01", Grade: 1, Label: "energy", Price: price,
	}
}

func decide(p *Programme, r Request) *Decision {
	var d Decision
	p.Decide(&r, &d)
	return &d
}
