package programmes

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/subsidy/catalogue"
	"huanxin/subsidy/policy"
	"huanxin/subsidy/reason"
	"huanxin/subsidy/registry"
)

func liaoning(t *testing.T) *policy.Programme {
	t.Helper()
	folder, err := Open("liaoning-2025")
	require.NoError(t, err)
	files, err := Load(folder)
	require.NoError(t, err)
	p, err := policy.Compile(files)
	require.NoError(t, err)
	return p
}

func instant(t *testing.T, text string) int64 {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return at.UnixNano()
}

func TestEveryEmbeddedProgrammeCompilesAndPassesItsGoldenCases(t *testing.T) {
	require.Contains(t, Names(), "liaoning-2025")
	for _, name := range Names() {
		folder, err := Open(name)
		require.NoError(t, err)
		files, err := Load(folder)
		require.NoError(t, err)
		p, err := policy.Compile(files)
		require.NoError(t, err)
		for _, r := range p.RunGolden() {
			require.Empty(t, r.Failures, r.Name)
		}
	}
}

func TestTheEmbeddedCopyIsTheFolder(t *testing.T) {
	folder, err := Open("liaoning-2025")
	require.NoError(t, err)
	embedded, err := Load(folder)
	require.NoError(t, err)
	onDisk, err := Load(os.DirFS("liaoning-2025"))
	require.NoError(t, err)
	require.Equal(t, onDisk, embedded)
}

// The sample has what a demonstration shows; a change that takes one of these away must be meant.
func TestTheSampleShowsEachKindOfRefusalNow(t *testing.T) {
	p := liaoning(t)
	now := instant(t, "2026-11-23T20:00:00+08:00")
	require.GreaterOrEqual(t, len(p.Merchants), 12)
	require.GreaterOrEqual(t, len(p.Terminals), 20)
	require.GreaterOrEqual(t, len(p.Products), 30)
	require.GreaterOrEqual(t, len(p.Persons), 10)

	cities, suspendedMerchant, suspendedTerminal := map[string]bool{}, false, false
	for i := range p.Merchants {
		cities[p.Merchants[i].City] = true
		suspendedMerchant = suspendedMerchant || p.Merchants[i].State == registry.Suspended
	}
	for i := range p.Terminals {
		suspendedTerminal = suspendedTerminal || p.Terminals[i].State == registry.Suspended
	}
	require.GreaterOrEqual(t, len(cities), 4)
	require.True(t, suspendedMerchant && suspendedTerminal)
	require.False(t, p.Merchants[0].AdmittedFor("B01", "digital"))

	categories, withdrawn, gradeThree, aboveCeiling := map[string]bool{}, false, false, false
	for i := range p.Products {
		product := &p.Products[i]
		categories[product.Category] = true
		withdrawn = withdrawn || product.State == catalogue.Withdrawn
		gradeThree = gradeThree || product.Grade == 3
		aboveCeiling = aboveCeiling || product.Category == "B01" && product.GuidePrice > 600000
	}
	require.Len(t, categories, len(p.Categories), "a product in every category")
	require.True(t, withdrawn && gradeThree && aboveCeiling)

	for i := range p.Categories {
		leaf, code := p.Budget.LeafAt("210100", "store", p.Categories[i].Code, now)
		require.Equal(t, reason.None, code)
		require.GreaterOrEqual(t, int64(leaf.Amount), int64(90_000_000_00))
	}
	small, _ := p.Budget.LeafAt("211400", "store", "A10", now)
	require.Equal(t, "1500.00", small.Amount.String(), "two dishwashers of 4999 yuan exhaust it")
	_, code := p.Budget.LeafAt("211400", "store", "A12", now)
	require.Equal(t, reason.RoundClosed, code)
	_, code = p.Budget.LeafAt("211400", "store", "A11", now)
	require.Equal(t, reason.RoundClosed, code, "its round is still to come")
}

func TestWhatWasReadInNoSourceIsTaggedAsAssumption(t *testing.T) {
	p := liaoning(t)
	for _, s := range []policy.Setting{policy.SetFunding, policy.SetRefund, policy.SetClaimValidity, policy.SetPlace, policy.SetRounding} {
		require.Equal(t, policy.Assumption, p.Rule("ln-2025-1", "210100", "store", "A01", "").Origin(s).Status, s.String())
	}
	for _, category := range []string{"A01", "B01"} {
		for _, s := range []policy.Setting{policy.SetRates, policy.SetItemCap, policy.SetQuota} {
			require.Equal(t, policy.Verified, p.Rule("ln-2025-1", "210100", "store", category, "").Origin(s).Status, s.String())
		}
	}
	require.Equal(t, policy.Assumption, p.Rule("ln-2025-1", "210100", "store", "H01", "").Origin(policy.SetRates).Status)
}

func TestLoadTakesYAMLAndCSVOfTheFolderOnly(t *testing.T) {
	files, err := Load(fstest.MapFS{
		"policy.yaml": {Data: []byte("a")}, "x.csv": {Data: []byte("b")}, "README.md": {Data: []byte("c")}, "sub/policy.yaml": {Data: []byte("d")},
	})
	require.NoError(t, err)
	require.Equal(t, map[string][]byte{"policy.yaml": []byte("a"), "x.csv": []byte("b")}, files)
}

func TestLoadIsBounded(t *testing.T) {
	many := fstest.MapFS{}
	for i := range MaxFiles + 1 {
		many["f"+strings.Repeat("x", i)+".csv"] = &fstest.MapFile{}
	}
	_, err := Load(many)
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = read(fstest.MapFS{"a.csv": {Data: []byte("12345")}}, "a.csv", 4)
	require.ErrorIs(t, err, ErrTooLarge)
}

func TestResolveTakesAPathAFolderOfTheWorkingDirectoryThenTheEmbeddedCopy(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	_, where, err := Resolve("liaoning-2025")
	require.NoError(t, err)
	require.Equal(t, "embedded:liaoning-2025", where)

	mine := filepath.Join(Folder, "liaoning-2025")
	require.NoError(t, os.MkdirAll(mine, 0o755))
	folder, where, err := Resolve("liaoning-2025")
	require.NoError(t, err)
	require.Equal(t, mine, where)
	entries, err := fs.ReadDir(folder, ".")
	require.NoError(t, err)
	require.Empty(t, entries)

	require.NoError(t, os.Mkdir("own", 0o755))
	for _, name := range []string{"own", "./own", filepath.Join(dir, "own"), "."} {
		_, _, err = Resolve(name)
		require.NoError(t, err, name)
	}
	require.NoError(t, os.WriteFile("file", nil, 0o644))
	for _, name := range []string{"", "nobody", "./nobody", "./file", "file"} {
		_, _, err = Resolve(name)
		require.ErrorIs(t, err, ErrUnknown, name)
	}
	_, err = Open("nobody")
	require.ErrorIs(t, err, ErrUnknown)
	require.True(t, slices.IsSorted(Names()))
}
