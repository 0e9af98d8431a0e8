package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"huanxin/config"
	"huanxin/config/programmes"
	"huanxin/switch/journal"
	"huanxin/switch/trail"
)

// programmeFolder copies the sample programme, changed by edit, and returns the folder.
func programmeFolder(t *testing.T, edit func(name string, data []byte) []byte) string {
	t.Helper()
	source, err := programmes.Open("liaoning-2025")
	require.NoError(t, err)
	files, err := programmes.Load(source)
	require.NoError(t, err)
	folder := t.TempDir()
	for name, data := range files {
		if edit != nil {
			data = edit(name, data)
		}
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), data, 0o600))
	}
	return folder
}

// replaced changes the first occurrence of old in one file; the test fails when there is none.
func replaced(t *testing.T, file, old, with string) func(string, []byte) []byte {
	return func(name string, data []byte) []byte {
		if name != file {
			return data
		}
		require.Contains(t, string(data), old)
		return bytes.Replace(data, []byte(old), []byte(with), 1)
	}
}

// eventsOf counts the events of a journal by name.
func eventsOf(t *testing.T, cfg *config.Config) map[string]int {
	t.Helper()
	folder, err := journal.OpenFolder(cfg.Path(cfg.Journal.Folder), "")
	require.NoError(t, err)
	counts := map[string]int{}
	require.NoError(t, folder.Replay(1, 0, func(b *journal.Batch) error {
		for _, ev := range b.Events {
			line, err := trail.AppendLine(nil, b.Position, ev)
			require.NoError(t, err)
			_, kind, _ := bytes.Cut(line, []byte(`"type":"`))
			name, _, _ := bytes.Cut(kind, []byte(`"`))
			counts[string(name)]++
		}
		return nil
	}))
	return counts
}

// runOnce starts a switch until it serves, stops it, and returns its warnings.
func runOnce(t *testing.T, cfg *config.Config) []observer.LoggedEntry {
	t.Helper()
	core, logs := observer.New(zap.WarnLevel)
	sw, err := newSwitch(t.Context(), cfg, "", zap.New(core))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	s := &testSwitch{Switch: sw, stop: cancel, ended: make(chan error, 1)}
	go func() { s.ended <- sw.Run(ctx) }()
	t.Cleanup(cancel)
	s.ready(t, func(_ int, parts map[string]bool) bool { return parts["programme"] })
	s.end(t)
	return logs.AllUntimed()
}

func TestTheFolderIsPutIntoForceAtTheFirstStartOnly(t *testing.T) {
	cfg := testConfig(t, t.TempDir(), "127.0.0.1:1")
	cfg.Programme = programmeFolder(t, nil)
	runOnce(t, cfg)
	first := eventsOf(t, cfg)
	require.Equal(t, 1, first["PolicyApplied"])
	require.Positive(t, first["MerchantSet"])
	require.Positive(t, first["ProductSet"])

	// The same folder again: nothing but the take-over.
	for _, line := range runOnce(t, cfg) {
		require.NotContains(t, line.Message, "huanxin policy apply")
	}
	second := eventsOf(t, cfg)
	require.Equal(t, first["OwnershipTaken"]+1, second["OwnershipTaken"])
	delete(first, "OwnershipTaken")
	delete(second, "OwnershipTaken")
	require.Equal(t, first, second)

	// Other rules: they stay out, and one line says how to apply them.
	cfg.Programme = programmeFolder(t, replaced(t, "policy.yaml", "item_cap: 500.00", "item_cap: 400.00"))
	said := 0
	for _, line := range runOnce(t, cfg) {
		if bytes.Contains([]byte(line.Message), []byte("huanxin policy apply "+cfg.Programme)) {
			said++
		}
	}
	require.Equal(t, 1, said)
	third := eventsOf(t, cfg)
	delete(third, "OwnershipTaken")
	require.Equal(t, first, third)
}

func TestProductsFollowTheFolderWhoseRulesAreInForce(t *testing.T) {
	cfg := testConfig(t, t.TempDir(), "127.0.0.1:1")
	cfg.Programme = programmeFolder(t, nil)
	runOnce(t, cfg)
	first := eventsOf(t, cfg)
	path := filepath.Join(cfg.Programme, "products.csv")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := bytes.SplitAfter(text, []byte("\n"))
	require.NoError(t, os.WriteFile(path, bytes.Join(lines[:len(lines)-2], nil), 0o600)) // one row less is no change
	runOnce(t, cfg)
	second := eventsOf(t, cfg)
	require.Equal(t, first["ProductSet"], second["ProductSet"])
	require.NoError(t, os.WriteFile(path, bytes.Replace(text, []byte("6901234567892"), []byte("6901234000016"), 1), 0o600))
	runOnce(t, cfg)
	require.Equal(t, first["ProductSet"]+1, eventsOf(t, cfg)["ProductSet"])
}
