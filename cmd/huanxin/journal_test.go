package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/event"
	"huanxin/switch/journal"
)

// writeJournal makes a journal of three batches and leaves its owner running.
func writeJournal(t *testing.T, dir string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(context.Background(), journal.Config{Programme: "liaoning-test", Dir: dir, MinFree: -1})
	require.NoError(t, err)
	t.Cleanup(func() { j.Close() })
	at := int64(1750212000123000000) // 2025-06-18 10:00:00.123 +08:00
	for _, ev := range []*event.Event{
		{Seq: 1, At: at, Body: &event.Event_PolicyApplied{PolicyApplied: &event.PolicyApplied{Files: map[string][]byte{"policy.yaml": []byte("caps: []")}}}},
		{Seq: 2, At: at, Body: &event.Event_SaleSent{SaleSent: &event.SaleSent{Purchase: 7, Amount: 479920,
			Card: &event.Card{Token: make([]byte, 16), Mask: "622202******4321", KeyId: "k1", Envelope: []byte("sealed-and-secret")}}}},
		{Seq: 3, At: at, Body: &event.Event_HoldExpired{HoldExpired: &event.HoldExpired{Purchase: 8}}},
	} {
		var d journal.Draft
		require.NoError(t, d.Add(ev))
		_, err := j.Append(context.Background(), &d)
		require.NoError(t, err)
	}
	return j
}

func huanxin(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e strings.Builder
	cmd := newJournalCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	cmd.SetOut(&o)
	cmd.SetErr(&e)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		return 1, o.String(), err.Error()
	}
	return 0, o.String(), e.String()
}

func TestJournalCatPrintsMaskedLinesBesideARunningOwner(t *testing.T) {
	dir := t.TempDir()
	writeJournal(t, dir)
	code, out, errs := huanxin(t, "cat", "--dir", dir)
	require.Zero(t, code, errs)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 3)
	var first, second struct {
		Seq, Position uint64
		At, Type      string
		Body          map[string]any
	}
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &first))
	require.Equal(t, "PolicyApplied", first.Type)
	require.Equal(t, map[string]any{"policy.yaml": "8 bytes"}, first.Body["files"])
	require.NoError(t, json.Unmarshal([]byte(lines[1]), &second))
	require.EqualValues(t, 2, second.Seq)
	require.EqualValues(t, 2, second.Position)
	require.Equal(t, "2025-06-18T10:00:00.123+08:00", second.At)
	require.Equal(t, "SaleSent", second.Type)
	require.Equal(t, "479920", second.Body["amount"])
	card := second.Body["card"].(map[string]any)
	require.Equal(t, "622202******4321", card["mask"])
	require.Equal(t, "17 bytes", card["envelope"])

	_, out, _ = huanxin(t, "cat", "--dir", dir, "--from", "2", "--to", "2")
	require.Equal(t, lines[1]+"\n", out)
}

func TestJournalVerifyNamesThePositionOfDamage(t *testing.T) {
	dir := t.TempDir()
	j := writeJournal(t, dir)
	code, out, errs := huanxin(t, "verify", "--dir", dir)
	require.Zero(t, code, errs)
	require.Contains(t, out, "positions  1–3 (3 batches")
	require.Contains(t, out, "chain      whole")
	require.NoError(t, j.Close())

	files, err := journal.FilesOf(dir)
	require.NoError(t, err)
	raw, err := os.ReadFile(files.Open)
	require.NoError(t, err)
	second := bytes.Index(raw, []byte("622202******4321"))
	raw[second] ^= 1
	require.NoError(t, os.WriteFile(files.Open, raw, 0o600))
	code, out, errs = huanxin(t, "verify", "--dir", dir)
	require.Equal(t, 1, code)
	require.Contains(t, out, "BROKEN after position 1")
	require.Contains(t, errs, "position 2: batch damaged")
}

func TestJournalExportIsReadBackWhole(t *testing.T) {
	dir := t.TempDir()
	writeJournal(t, dir)
	name := filepath.Join(t.TempDir(), "journal.golden")
	code, _, errs := huanxin(t, "export", "--dir", dir, name)
	require.Zero(t, code, errs)
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	report, err := journal.ReadExport(f, nil)
	require.NoError(t, err)
	require.EqualValues(t, 3, report.Events)
	code, _, _ = huanxin(t, "export", "--dir", dir, name)
	require.Equal(t, 1, code, "an export is never overwritten")
}

func TestJournalCommandsRefuseAFolderWithoutAJournal(t *testing.T) {
	for _, args := range [][]string{{"cat"}, {"verify"}, {"export", "-"}} {
		code, _, errs := huanxin(t, append(args, "--dir", t.TempDir())...)
		require.Equal(t, 1, code)
		require.Contains(t, errs, "no journal in")
	}
	code, _, errs := huanxin(t, "verify", "--url", "nats://127.0.0.1:1")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "--programme")
}
