package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// policyCommand runs `huanxin policy` with args and returns its exit code and output.
func policyCommand(t *testing.T, args ...string) (code int, out, text string) {
	t.Helper()
	cmd := newPolicyCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	var buffer bytes.Buffer
	cmd.SetOut(&buffer)
	cmd.SetErr(&buffer)
	cmd.SetArgs(args)
	err := cmd.Execute()
	if err == nil {
		return 0, buffer.String(), ""
	}
	var coded interface{ ExitCode() int }
	require.True(t, errors.As(err, &coded), err)
	return coded.ExitCode(), buffer.String(), err.Error()
}

func explainArgs(more ...string) []string {
	return append([]string{
		"explain", "--programme", "liaoning-2025", "--city", "210100", "--category", "A01", "--grade", "1", "--price", "5999.00",
		"--at", "2025-06-18T10:00:00+08:00",
	}, more...)
}

func TestExplainJSONIsTheDocumentedObject(t *testing.T) {
	code, out, _ := policyCommand(t, explainArgs("--json")...)
	require.Zero(t, code)
	require.Equal(t, `{"subsidy_fen":119980,"payable_fen":479920,"refused":[],"policy_version":"ln-2025-1"}`+"\n", out)
}

func TestExplainNamesEveryReasonAndExitsZero(t *testing.T) {
	code, out, _ := policyCommand(t, explainArgs("--json", "--grade", "3", "--used", "1")...)
	require.Zero(t, code)
	var answer explainJSON
	require.NoError(t, json.Unmarshal([]byte(out), &answer))
	require.EqualValues(t, 0, answer.Subsidy)
	require.EqualValues(t, 599900, answer.Payable)
	require.Equal(t, []explainReason{
		{"GRADE_NOT_ELIGIBLE", "能效或水效等级不符合补贴标准", "the efficiency grade is not eligible"},
		{"QUOTA_USED", "该品类补贴件数已用完", "no items are left in this category"},
	}, answer.Refused)
}

func TestExplainDecidesByTheInstantWhateverItsZone(t *testing.T) {
	for at, open := range map[string]bool{"2025-01-19T16:00:00Z": true, "2025-01-19T15:59:59Z": false, "2025-01-20T00:00:00.000+08:00": true} {
		code, out, text := policyCommand(t, explainArgs("--json", "--category", "B01", "--grade", "none", "--at", at)...)
		require.Zero(t, code, text)
		require.Equal(t, open, strings.Contains(out, `"refused":[]`), at)
	}
	code, out, _ := policyCommand(t, explainArgs("--json", "--at", "2024-06-18T10:00:00+08:00")...)
	require.Zero(t, code)
	require.Contains(t, out, `"PROGRAMME_NOT_OPEN"`)
	require.Contains(t, out, `"policy_version":""`)
}

func TestExplainTakesChannelLabelMerchantAttributesAndOldItem(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"--channel", "online"}, `"subsidy_fen":119980`},
		{[]string{"--label", "none"}, `"GRADE_NOT_ELIGIBLE"`},
		{[]string{"--city", "210700", "--merchant", "898210757220001", "--category", "B01", "--price", "3999"}, `"MERCHANT_NOT_IN_SCHEME"`},
		{[]string{"--city", "210200", "--category", "E01", "--price", "2399"}, `"OLD_ITEM_MISSING"`},
		{[]string{"--city", "210200", "--category", "E01", "--price", "2399", "--old-item", "ebike-lithium", "--attr", "battery=lead-acid"}, `"subsidy_fen":47980`},
		{[]string{"--category", "A04", "--used", "2"}, `"subsidy_fen":119980`},
		{[]string{"--category", "A04", "--used", "3"}, `"QUOTA_USED"`},
	} {
		code, out, text := policyCommand(t, explainArgs(append(tc.args, "--json")...)...)
		require.Zero(t, code, text)
		require.Contains(t, out, tc.want, tc.args)
	}
}

func TestExplainRefusesBadInputWithCodeTwo(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"--city", "110100"}, "--city"}, {[]string{"--city", "210102"}, "--city"}, {[]string{"--city", ""}, "--city is missing"},
		{[]string{"--city", "沈阳"}, "--city"}, {[]string{"--category", "Z01"}, "--category"}, {[]string{"--category", ""}, "--category is missing"},
		{[]string{"--grade", ""}, "--grade"}, {[]string{"--grade", "6"}, "--grade"}, {[]string{"--grade", "first"}, "--grade"},
		{[]string{"--price", "-1"}, "--price"}, {[]string{"--price", "5999.001"}, "--price"}, {[]string{"--price", "abc"}, "--price"},
		{[]string{"--price", ""}, "--price is missing"}, {[]string{"--price", "99999999999"}, "--price"}, {[]string{"--price", "1e3"}, "--price"},
		{[]string{"--at", "2025-06-18T10:00:00"}, "with zone"}, {[]string{"--at", "yesterday"}, "with zone"}, {[]string{"--at", ""}, "--at is missing"},
		{[]string{"--used", "-1"}, "--used"}, {[]string{"--used", "one"}, "--used"}, {[]string{"--channel", "kiosk"}, "--channel"},
		{[]string{"--label", "heat"}, "--label"}, {[]string{"--merchant", "898000000000000"}, "--merchant"}, {[]string{"--attr", "kind"}, "--attr"},
		{[]string{"--old-item", "boat"}, "--old-item"}, {[]string{"--programme", "nobody"}, "nobody"}, {[]string{"--colour", "red"}, "--colour"},
		{[]string{"now"}, "unexpected argument"},
	} {
		code, out, text := policyCommand(t, explainArgs(append(tc.args, "--json")...)...)
		require.Equal(t, 2, code, tc.args)
		require.Contains(t, text, tc.want)
		require.Empty(t, out)
	}
}

func TestExplainInWordsShowsEachStepWithItsSource(t *testing.T) {
	code, out, _ := policyCommand(t, explainArgs()...)
	require.Zero(t, code)
	for _, want := range []string{"政策版本 ln-2025-1", "补贴标准：20%，得 1199.80 元", "每件上限：2000.00 元", "〔已核实〕", "商办流通函〔2025〕6号", "出资：central 1019.83 元，local 179.97 元", "实付金额   4799.20 元"} {
		require.Contains(t, out, want)
	}
	_, out, _ = policyCommand(t, explainArgs("--category", "B01", "--grade", "none", "--price", "8999")...)
	require.Contains(t, out, "结论 不予补贴")
	require.Contains(t, out, "PRICE_ABOVE_CEILING 商品成交价超过补贴限价")
	_, out, _ = policyCommand(t, explainArgs("--at", "2024-01-01T00:00:00Z")...)
	require.Contains(t, out, "该时间没有生效的政策版本")
}

// copyProgramme puts the sample programme in a temporary folder.
func copyProgramme(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("../../config/programmes/liaoning-2025")))
	return dir
}

func changeFile(t *testing.T, path, old, with string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(data), old)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(data), old, with, 1)), 0o644))
}

func TestCheckPassesTheSample(t *testing.T) {
	for _, name := range []string{copyProgramme(t), "liaoning-2025"} {
		code, out, text := policyCommand(t, "check", name)
		require.Zero(t, code, text)
		require.Regexp(t, `golden cases: \d{2,} passed, 0 failed`, out)
	}
}

func TestCheckPrintsProblemsWithFileAndLine(t *testing.T) {
	dir := copyProgramme(t)
	changeFile(t, filepath.Join(dir, "policy.yaml"), "mode: till", "mood: till")
	changeFile(t, filepath.Join(dir, "products.csv"), "6901234567892", "6901234567893")
	code, out, text := policyCommand(t, "check", dir)
	require.Equal(t, 1, code)
	require.Regexp(t, `policy\.yaml:\d+: the file: unknown key|policy\.yaml:\d+: .*unknown key "mood"`, out)
	require.Regexp(t, `products\.csv:3: .*wrong check digit`, out)
	require.Contains(t, text, "problems")
}

func TestCheckFailsWhenAGoldenCaseDoes(t *testing.T) {
	dir := copyProgramme(t)
	changeFile(t, filepath.Join(dir, "policy.yaml"), "percent: 20", "percent: 19")
	code, out, _ := policyCommand(t, "check", dir)
	require.Equal(t, 1, code)
	require.Regexp(t, `golden\.yaml:\d+: .*subsidy is 1139\.81, want 1199\.80`, out)
	require.NotContains(t, out, " 0 failed")
}

func TestCheckOfNothingIsBadInput(t *testing.T) {
	for _, args := range [][]string{{"check"}, {"check", "a", "b"}, {"check", "nobody"}, {"check", "--fast", "x"}} {
		code, _, _ := policyCommand(t, args...)
		require.Equal(t, 2, code, args)
	}
}

func TestExplainOfABrokenProgrammeNamesItsFirstProblem(t *testing.T) {
	dir := copyProgramme(t)
	changeFile(t, filepath.Join(dir, "policy.yaml"), "mode: till", "mood: till")
	code, _, text := policyCommand(t, explainArgs("--programme", dir)...)
	require.Equal(t, 2, code)
	require.Contains(t, text, "policy.yaml:")
}

func TestCheckListsWhatIsAssumed(t *testing.T) {
	_, out, _ := policyCommand(t, "check", "liaoning-2025")
	require.Regexp(t, `取值 values: \d+ verified 已核实, \d+ assumption 假设`, out)
	require.NotContains(t, out, "假设 policy.yaml")
	code, out, _ := policyCommand(t, "check", "--assumptions", "liaoning-2025")
	require.Zero(t, code)
	require.Regexp(t, `假设 policy\.yaml:\d+: to: 政策原文至2025-12-31`, out)
	require.NotRegexp(t, `假设 policy\.yaml:\d+: item_cap: 商办流通函〔2025〕6号`, out)
}

func TestCheckWarnsOfAFolderWithoutGoldenCases(t *testing.T) {
	folder := programmeFolder(t, func(name string, data []byte) []byte {
		if name == "golden.yaml" {
			return []byte("source: test\nstatus: assumption\ncases: []\n")
		}
		return data
	})
	code, out, text := policyCommand(t, "check", folder)
	require.Zero(t, code, text)
	require.Contains(t, out, "warning: 没有对照案例")
	code, out, _ = policyCommand(t, "check", programmeFolder(t, nil))
	require.Zero(t, code)
	require.NotContains(t, out, "warning")
}
