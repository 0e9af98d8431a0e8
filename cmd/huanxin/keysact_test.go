package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/config"
	"huanxin/switch/keys"
	"huanxin/switch/keys/soft"
	"huanxin/switch/keys/store"
)

// keyDesk is a state folder with a key store and no running switch; commands find it by the environment.
func keyDesk(t *testing.T) *config.Config {
	t.Helper()
	t.Chdir(t.TempDir())
	t.Setenv("HUANXIN_STATE", filepath.Join(t.TempDir(), "state"))
	require.NoError(t, os.MkdirAll(os.Getenv("HUANXIN_STATE"), 0o755))
	cfg, _, err := config.Load("", os.Environ())
	require.NoError(t, err)
	_, err = keys.Create(keyStore(cfg), keys.Options{By: bySwitch("test")})
	require.NoError(t, err)
	return cfg
}

// act runs a command that must succeed, with two persons and a reason, and gives its JSON.
func keysAct(t *testing.T, in string, args ...string) map[string]any {
	t.Helper()
	code, out, errs := keysRun(t, in, append(args, "--by", "陈 Chen", "--second", "Wang", "--reason", "test", "--json")...)
	require.Zero(t, code, errs)
	var answer map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &answer), out)
	return answer
}

func keyOf(answer map[string]any) map[string]any { return answer["key"].(map[string]any) }

func TestCeremonyFormsTheKeyOfItsComponents(t *testing.T) {
	cfg := keyDesk(t)
	// The master key of pos-dialect §5 in two components.
	one, two := "0123456789ABCDEFFEDCBA9876543210", "CB7E163E0521869BB0ADEECE9CF65BF9"
	code, out, errs := keysRun(t, one+"\n"+two+"\n", "ceremony", "tmk/10000001", "--algorithm", "3des", "--by", "Chen", "--second", "Wang", "--reason", "new terminal")
	require.Zero(t, code, errs)
	require.Contains(t, errs, "Chen：请输入第 1/2 分量")
	require.Contains(t, errs, "Wang：请输入第 2/2 分量")
	require.Contains(t, errs, "check value of component 1: 08D7B4FB")
	require.NotContains(t, out+errs, one)
	require.NotContains(t, out+errs, two)
	s, err := store.Open(keyStore(cfg))
	require.NoError(t, err)
	r, ok := s.FindRecord("tmk/10000001")
	require.True(t, ok)
	require.Contains(t, out, r.KCV)
	last := s.Audit(7)
	require.Len(t, last, 1)
	require.Equal(t, []string{"ceremony", "Chen", "Wang", "2 components"}, []string{last[0].Act, last[0].By, last[0].Second, last[0].Detail})

	for name, c := range map[string]struct {
		in   string
		args []string
		says string
	}{
		"one person":      {one + "\n" + two + "\n", []string{"--by", "Chen"}, "--second is missing"},
		"the same person": {one + "\n" + two + "\n", []string{"--by", "Chen", "--second", "chen"}, "the same person"},
		"wrong length":    {one[2:] + "\n" + two + "\n", []string{"--by", "Chen", "--second", "Wang"}, "want 32 hexadecimal digits"},
		"wrong paper":     {one + " AAAAAAAA\n" + two + "\n", []string{"--by", "Chen", "--second", "Wang"}, "not the one of the paper"},
		"one component":   {one + "\n", []string{"--by", "Chen", "--second", "Wang"}, "component 2"},
		"zeros":           {one + "\n" + one + "\n", []string{"--by", "Chen", "--second", "Wang"}, "weak key"},
	} {
		code, out, errs := keysRun(t, c.in, append([]string{"ceremony", "tmk/10000002", "--algorithm", "3des", "--reason", "x"}, c.args...)...)
		require.NotZero(t, code, name)
		require.Contains(t, errs, c.says, name)
		require.NotContains(t, out+errs, one[2:], name)
	}
	s, err = store.Open(keyStore(cfg))
	require.NoError(t, err)
	require.Len(t, s.Audit(0), 8, "what was refused is no act")
}

func TestKeysTravelAsKeyBlocks(t *testing.T) {
	keyDesk(t)
	keysAct(t, "", "generate", "kbpk/vendor", "--algorithm", "aes")
	keysAct(t, "", "generate", "kbpk/old", "--algorithm", "3des", "--length", "24")
	made := keyOf(keysAct(t, "", "generate", "tmk/group/shops", "--algorithm", "3des"))
	for under, version := range map[string]string{"kbpk/vendor": "D", "kbpk/old": "B"} {
		sent := keysAct(t, "", "export", "tmk/group/shops", "--under", under)
		require.Equal(t, made["kcv"], sent["kcv"])
		block := sent["block"].(string)
		require.Equal(t, version, block[:1])
		label := "tmk/" + strings.ReplaceAll(under, "kbpk/", "group/")
		got := keyOf(keysAct(t, block+"\n", "import", label, "--algorithm", "3des", "--under", under, "--wrap", "tr31-"+strings.ToLower(version), "--block", "-"))
		require.Equal(t, made["kcv"], got["kcv"])
		changed := strings.Replace(block, "K0TB", "K0TN", 1)
		code, _, errs := keysRun(t, changed+"\n", "import", "tmk/group/x", "--algorithm", "3des", "--under", under, "--wrap", "tr31-"+strings.ToLower(version),
			"--block", "-", "--by", "Chen", "--reason", "x")
		require.Equal(t, 1, code)
		require.Contains(t, errs, "wrapped key does not open")
	}
	// A link's keys travel as cryptograms.
	keysAct(t, "", "generate", "host/unionpay/zmk", "--algorithm", "sm4")
	zpk := keyOf(keysAct(t, "", "generate", "host/unionpay/zpk", "--algorithm", "sm4"))
	sent := keysAct(t, "", "export", "host/unionpay/zpk", "--under", "host/unionpay/zmk")
	require.Len(t, sent["block"], 32)
	again := keyOf(keysAct(t, "", "import", "host/unionpay/zpk", "--algorithm", "sm4", "--under", "host/unionpay/zmk", "--wrap", "ecb", "--kcv", sent["kcv"].(string),
		"--block", sent["block"].(string)))
	require.Equal(t, zpk["kcv"], again["kcv"])
	require.EqualValues(t, 2, again["generation"])
	for _, label := range []string{"hash/person", "card/c1"} {
		code, _, errs := keysRun(t, "", "export", label, "--under", "kbpk/vendor", "--by", "Chen", "--reason", "x")
		require.Equal(t, 2, code)
		require.Contains(t, errs, "does not wrap")
	}
}

func TestKeysRotateRetireAndAreListed(t *testing.T) {
	cfg := keyDesk(t)
	keysAct(t, "", "generate", "tmk/10000001", "--algorithm", "sm4")
	next := keyOf(keysAct(t, "", "rotate", "tmk/10000001"))
	require.Equal(t, "pending", next["state"])
	keysAct(t, "", "activate", "tmk/10000001")
	keysAct(t, "", "retire", "tmk/10000001", "--generation", "1")
	card := keyOf(keysAct(t, "", "rotate", "card", "--algorithm", "sm4"))
	require.Equal(t, "card/c2", card["label"])

	before, err := os.ReadFile(cfg.Path(cfg.Keys.LMKFile))
	require.NoError(t, err)
	keysAct(t, "", "rotate", "lmk", "--national")
	after, err := os.ReadFile(cfg.Path(cfg.Keys.LMKFile))
	require.NoError(t, err)
	require.NotEqual(t, before, after)
	require.Equal(t, 1, strings.Count(string(after), "sm4-gcm:"))
	code, _, errs := keysRun(t, "", "rotate", "lmk", "--by", "Chen", "--reason", "x")
	require.Equal(t, 2, code)
	require.Contains(t, errs, "two persons")

	for _, args := range [][]string{{"rotate", "hash/person"}, {"retire", "hash/person"}, {"retire", "card/c1"}} {
		code, _, errs := keysRun(t, "", append(args, "--by", "Chen", "--reason", "x")...)
		require.Equal(t, 1, code, args)
		require.Regexp(t, "fresh quota|envelopes of the journal", errs, args)
	}
	code, out, errs := keysRun(t, "", "list", "tmk/")
	require.Zero(t, code, errs)
	require.Contains(t, out, "retired")
	require.Contains(t, out, "active")
	code, out, errs = keysRun(t, "", "list", "--json")
	require.Zero(t, code, errs)
	var list []keyView
	require.NoError(t, json.Unmarshal([]byte(out), &list))
	require.Len(t, list, 6+2+2+1)
	code, out, errs = keysRun(t, "", "audit", "--after", "7")
	require.Zero(t, code, errs)
	for i, act := range []string{"generate", "rotate", "activate", "retire", "rotate", "rotate-lmk"} {
		require.Contains(t, strings.Split(out, "\n")[i], act)
		require.Contains(t, strings.Split(out, "\n")[i], "陈 Chen + Wang")
	}
}

func TestMasterKeyOfTheEnvironmentIsDrawnAndTaken(t *testing.T) {
	cfg := keyDesk(t)
	code, out, errs := keysRun(t, "", "lmk", "--national")
	require.Zero(t, code)
	require.Contains(t, errs, "in clear")
	lmk, err := soft.ParseLMK(strings.TrimSpace(out))
	require.NoError(t, err)
	require.Equal(t, soft.National, lmk.Mode())

	text, err := os.ReadFile(cfg.Path(cfg.Keys.LMKFile))
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	require.NoError(t, os.Remove(cfg.Path(cfg.Keys.LMKFile)))
	code, _, errs = keysRun(t, "", "list")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "no local master key")
	t.Setenv("HUANXIN_LMK", lines[len(lines)-1])
	t.Setenv("HUANXIN_LMK_NEXT", strings.TrimSpace(out))
	keysAct(t, "", "rotate", "lmk")
	t.Setenv("HUANXIN_LMK", strings.TrimSpace(out))
	t.Setenv("HUANXIN_LMK_NEXT", "")
	code, out, errs = keysRun(t, "", "list", "lmk/")
	require.Zero(t, code, errs)
	require.Contains(t, out, "former")
}
