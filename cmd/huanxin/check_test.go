package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/internal/bench/seed"
	"huanxin/switch/check"
)

// checked runs the command and returns its exit code and what it printed.
func checked(t *testing.T, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = run(t.Context(), append([]string{"check", "--quiet"}, args...), nil, &o, &e)
	return code, o.String(), e.String()
}

func TestCheckSaysByItsExitCodeWhetherAnythingDiffers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s, err := seed.New(t.Context(), dir, seed.Programme{Terminals: 4})
	require.NoError(t, err)
	require.NoError(t, s.Crowd(20))
	_, err = s.Snapshot()
	require.NoError(t, err)
	require.NoError(t, s.Close())
	journal := filepath.Join(dir, "journal")

	code, out, errs := checked(t, "--dir", journal, "--no-database")
	require.Zero(t, code, out+errs)
	require.Contains(t, out, "一致 clean")
	require.Contains(t, out, "entitlements  20, 0 used")

	code, out, _ = checked(t, "--dir", journal, "--no-database", "--json")
	require.Zero(t, code)
	var report check.Report
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.EqualValues(t, 20, report.Totals.Entitlements)
	require.Empty(t, report.Differences)

	archive := filepath.Join(t.TempDir(), "archive")
	require.Zero(t, run(t.Context(), []string{"journal", "export", "--dir", journal, archive}, nil, new(bytes.Buffer), new(bytes.Buffer)))
	code, out, errs = checked(t, "--dir", journal, "--no-database", archive)
	require.Zero(t, code, out+errs)
	code, out, errs = checked(t, "--alone", archive)
	require.Zero(t, code, out+errs)

	segment := filepath.Join(journal, "log", "00000001.seg")
	b, err := os.ReadFile(segment)
	require.NoError(t, err)
	b[4096+100] ^= 1
	require.NoError(t, os.WriteFile(segment, b, 0o600))
	code, out, _ = checked(t, "--dir", journal, "--no-database")
	require.Equal(t, 1, code)
	require.Contains(t, out, "journal, chain: position 1 ")
	require.Contains(t, out, "不一致 DIFFERENT")

	for _, args := range [][]string{
		{"--dir", filepath.Join(dir, "nothing"), "--no-database"}, {"--alone"}, {"--alone", archive, "--dir", journal}, {"--limit", "0"}, {"--bogus"},
		{"--dir", journal, "--no-database", "--programme", "another"}, {"--alone", filepath.Join(dir, "nothing")},
	} {
		code, out, errs := checked(t, args...)
		require.Equal(t, 2, code, "%v: %s%s", args, out, errs)
	}
}
