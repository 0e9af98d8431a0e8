package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/control"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/store"
)

func TestMasterKeysOfManyTerminalsTravelFromDrawingToLoading(t *testing.T) {
	cfg := keyDesk(t)
	list := filepath.Join(t.TempDir(), "terminals.csv")
	rows := "# new shops\nid,merchant,city\n"
	for i := range 120 {
		rows += fmt.Sprintf("T%07d,898210157220001,210100\n", i)
	}
	require.NoError(t, os.WriteFile(list, []byte(rows), 0o600))
	keysAct(t, "", "generate", "kbpk/vendor", "--algorithm", "aes")
	made := keysAct(t, "", "generate", "--terminals", list, "--algorithm", "3des")["keys"].([]any)
	require.Len(t, made, 120)
	kcvs := map[string]string{}
	for _, k := range made {
		k := k.(map[string]any)
		kcvs[k["label"].(string)] = k["kcv"].(string)
	}
	s, err := store.Open(keyStore(cfg))
	require.NoError(t, err)
	acts := s.Audit(8)
	require.Len(t, acts, 120, "an act for each")
	require.Equal(t, []string{"generate", "tmk/T0000119", "陈 Chen", "Wang", "of a list of 120"},
		[]string{acts[119].Act, acts[119].Label, acts[119].By, acts[119].Second, acts[119].Detail})

	code, out, errs := keysRun(t, "", "export", "--terminals", list, "--under", "kbpk/vendor", "--by", "Chen", "--reason", "key loading")
	require.Zero(t, code, errs)
	blocks, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{"label", "generation", "kcv", "block"}, blocks[0])
	require.Len(t, blocks, 121)
	for i, row := range blocks[1:] {
		require.Equal(t, fmt.Sprintf("tmk/T%07d", i), row[0])
		require.Equal(t, []string{"1", kcvs[row[0]]}, row[1:3])
		require.Equal(t, "D", row[3][:1])
	}
	// Loaded elsewhere, the block is the key.
	got := keyOf(keysAct(t, blocks[120][3]+"\n", "import", "tmk/group/other", "--algorithm", "3des", "--under", "kbpk/vendor", "--block", "-"))
	require.Equal(t, kcvs["tmk/T0000119"], got["kcv"])

	for _, act := range []string{"rotate", "export --under kbpk/vendor", "activate", "retire --generation 1"} {
		args := append(strings.Fields(act), "--terminals", list)
		require.Len(t, keysAct(t, "", args...)["keys"], 120, act)
	}
	s, err = store.Open(keyStore(cfg))
	require.NoError(t, err)
	require.Len(t, s.Audit(8), 120+120+1+4*120)
	r, ok := s.FindRecord("tmk/T0000007")
	require.True(t, ok)
	require.Equal(t, 2, r.Generation)
}

func TestAListOfTerminalsIsDoneWholeOrNotAtAll(t *testing.T) {
	cfg := keyDesk(t)
	acts := func() int {
		s, err := store.Open(keyStore(cfg))
		require.NoError(t, err)
		return len(s.Audit(0))
	}
	keysAct(t, "", "generate", "tmk/21010003", "--algorithm", "3des")
	require.Equal(t, 8, acts())
	by := []string{"--by", "Chen", "--reason", "new shops"}
	for name, c := range map[string]struct {
		in   string
		args []string
		code int
		says string
	}{
		"one has a key":        {"", []string{"generate", "tmk/21010001", "--count", "5", "--algorithm", "3des"}, 1, "tmk/21010003: refused: it has a key"},
		"named twice":          {"21010001\n21010002\n21010001\n", []string{"generate", "--terminals", "-", "--algorithm", "3des"}, 2, "line 3: terminal 21010001 is in line 1"},
		"no terminal's id":     {"21010001\n2101000a\n", []string{"generate", "--terminals", "-", "--algorithm", "3des"}, 2, "line 2: its first column"},
		"nobody":               {"# none yet\nid,merchant\n", []string{"generate", "--terminals", "-", "--algorithm", "3des"}, 2, "no terminal in it"},
		"both":                 {"", []string{"generate", "tmk/21010001", "--terminals", "-", "--algorithm", "3des"}, 2, "not both"},
		"neither":              {"", []string{"generate", "--algorithm", "3des"}, 2, "one label, or --terminals"},
		"list and count":       {"21010001\n", []string{"generate", "--terminals", "-", "--count", "2", "--algorithm", "3des"}, 2, "exclude each other"},
		"a group":              {"", []string{"generate", "tmk/group/shops", "--count", "2", "--algorithm", "3des"}, 2, "8 characters"},
		"past the last":        {"", []string{"generate", "tmk/2101999A", "--count", "2", "--algorithm", "3des"}, 2, "at most 1"},
		"past nine":            {"", []string{"generate", "tmk/2101AAA8", "--count", "3", "--algorithm", "3des"}, 2, "at most 2"},
		"none":                 {"", []string{"generate", "tmk/21010001", "--count", "0", "--algorithm", "3des"}, 2, "takes 1 to"},
		"no algorithm":         {"", []string{"generate", "tmk/21010001", "--count", "2"}, 2, "--algorithm is missing"},
		"rotate: one has none": {"21010003\n21010004\n", []string{"rotate", "--terminals", "-"}, 1, "tmk/21010004: no such key"},
		"activate: none due":   {"21010003\n", []string{"activate", "--terminals", "-"}, 1, "no pending key"},
		"export: no wrapper":   {"21010003\n", []string{"export", "--terminals", "-", "--under", "kbpk/x"}, 1, "is not in use"},
	} {
		code, out, errs := keysRun(t, c.in, append(c.args, by...)...)
		require.Equal(t, c.code, code, name)
		require.Contains(t, errs, c.says, name)
		require.Empty(t, out, name)
		require.Equal(t, 8, acts(), name)
	}
	code, _, errs := keysRun(t, "21010001\n", "generate", "--terminals", "-", "--algorithm", "3des", "--by", "Chen", "--second", "chen", "--reason", "x")
	require.Equal(t, 2, code)
	require.Contains(t, errs, "the same person")

	made := keysAct(t, "", "generate", "tmk/21010001", "--count", "5", "--missing", "--algorithm", "3des")["keys"].([]any)
	require.Len(t, made, 4)
	require.Equal(t, 12, acts())
	again := keysAct(t, "", "generate", "tmk/21010001", "--count", "5", "--missing", "--algorithm", "3des")["keys"].([]any)
	require.Empty(t, again)
	require.Equal(t, 12, acts(), "what was done already is no act")
	one := keysAct(t, "", "generate", "tmk/2102000Z", "--count", "1", "--algorithm", "sm4")["keys"].([]any)
	require.Len(t, one, 1)
	require.Equal(t, "tmk/2102000Z", one[0].(map[string]any)["label"], "and of no other terminal")
}

func TestARunningSwitchTakesManyKeysOver(t *testing.T) {
	cfg := testConfig(t, t.TempDir(), "127.0.0.1:1", "HUANXIN_DATABASE_ENABLED=false")
	sw := startReady(t, cfg)
	const n = 2*actsAtOnce + 5 // more than one input of the engine carries
	labels, err := countUp("tmk/00000001", n)
	require.NoError(t, err)
	editKeys(t, keyStore(cfg), func(e *store.Edit) error {
		for _, label := range labels {
			if _, err := e.Generate(store.Wanted{Label: label, Algorithm: hsm.TDES, Exportable: true}); err != nil {
				return err
			}
		}
		return nil
	})
	client, err := control.NewClient(cfg.Path(cfg.Control.Socket))
	require.NoError(t, err)
	done, err := client.ReloadKeys(t.Context())
	require.NoError(t, err)
	require.Equal(t, n, done.Acts)
	require.EqualValues(t, 7+n, keyActsOf(t, sw.Switch).Number)
	for _, label := range labels {
		_, ok := sw.keys.Find(label)
		require.True(t, ok, label)
	}
	sw.end(t)
	sw = startReady(t, cfg)
	require.EqualValues(t, 7+n, keyActsOf(t, sw.Switch).Number)
	sw.end(t)
}

func FuzzReadTerminals(f *testing.F) {
	f.Add("id,merchant\n21010001,898210157220001\n")
	f.Add("\ufeff# x\n\n\"T0000001\",y\nT0000001\n")
	f.Fuzz(func(t *testing.T, text string) {
		labels, err := readTerminals(strings.NewReader(text))
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, label := range labels {
			_, err := store.PurposeOf(label)
			require.NoError(t, err)
			require.Len(t, label, len("tmk/")+8)
			require.False(t, seen[label])
			seen[label] = true
		}
		require.NotEmpty(t, labels)
	})
}
