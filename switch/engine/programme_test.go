package engine_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/internal/money"
	"huanxin/subsidy"
	"huanxin/subsidy/policy"
	"huanxin/switch/engine"
	"huanxin/switch/event"
)

// plan replaces one amount of the test programme's budget.
func plan(t *testing.T, old, new string) map[string][]byte {
	files := labFiles(t)
	text := strings.Replace(string(files["budget.yaml"]), old, new, 1)
	require.NotEqual(t, string(files["budget.yaml"]), text)
	files["budget.yaml"] = []byte(text)
	return files
}

func problems(out engine.Output) []string {
	for _, s := range out.Sends {
		if s.Admin != nil {
			return s.Admin.Problems
		}
	}
	return nil
}

func (l *lab) allocated(path string) money.Amount {
	id, ok := l.live.Book().Budget.Find(path)
	require.True(l.t, ok)
	return l.live.Book().Budget.View(id).Allocated
}

func TestAPlanChangeMovesANodeByTheDifferenceOfThePlans(t *testing.T) {
	l := newLab(t)
	l.now = time.Date(2026, 7, 1, 0, 0, 0, 0, time.FixedZone("+08:00", 8*3600)).UnixNano()
	l.step(&engine.Tick{}) // r1 ends: its 10000.00 are carried over to r2, which had 5000.00
	require.Equal(t, money.Amount(1_500_000), l.allocated("210100/A01/r2"))

	out := l.step(&engine.ApplyProgramme{Files: plan(t, `"210100/A01/r2", amount: 5000.00`, `"210100/A01/r2", amount: 6000.00`)})
	require.Empty(t, problems(out))
	require.Equal(t, money.Amount(1_600_000), l.allocated("210100/A01/r2"), "what was carried over stays")
}

func TestAPlanThatBreaksTheBudgetIsRefusedAsAWhole(t *testing.T) {
	l := newLab(t)
	before := stateOf(t, l.live)
	for _, files := range []map[string][]byte{
		plan(t, `{path: "", amount: 100000.00}`, `{path: "", amount: 50000.00}`),
		plan(t, `{path: "210100", amount: 50000.00}`, `{path: "210100", amount: 95000.00}`),
	} {
		require.NotEmpty(t, problems(l.step(&engine.ApplyProgramme{Files: files})))
		require.Equal(t, before, stateOf(t, l.live), "a rejected input changes nothing")
	}
}

func TestTheAllocationOfAClosedRoundNoLongerChanges(t *testing.T) {
	l := newLab(t)
	l.now = time.Date(2026, 7, 1, 0, 0, 0, 0, time.FixedZone("+08:00", 8*3600)).UnixNano()
	l.step(&engine.Tick{})
	out := l.step(&engine.ApplyProgramme{Files: plan(t, `"210100/A01/r1", amount: 10000.00`, `"210100/A01/r1", amount: 11000.00`)})
	require.Contains(t, strings.Join(problems(out), "\n"), "210100/A01/r1")
}

func TestApplyingTheSameProgrammeTwiceChangesNothing(t *testing.T) {
	l := newLab(t)
	before := stateOf(t, l.live)
	require.Empty(t, l.step(&engine.ApplyProgramme{Files: labFiles(t)}).Events)
	require.Empty(t, l.step(&engine.SetRows{Merchants: labMerchants, Terminals: labTerminals, Products: labProducts}).Events)
	require.Equal(t, before, stateOf(t, l.live))
}

func TestAnotherProgrammeOrPersonKeyMustNotRun(t *testing.T) {
	l := newLab(t)
	for _, in := range []*engine.TakeOwnership{
		{Owner: "test", Programme: "other", PersonKeyCheck: [8]byte{1}},
		{Owner: "test", Programme: "test", PersonKeyCheck: [8]byte{2}},
	} {
		out := l.step(in)
		require.Empty(t, out.Events)
		require.NotEmpty(t, problems(out))
	}
}

// A follower applies for months and never ticks; deadlines that nothing takes away would fill its memory.
func TestAnEngineThatOnlyFollowsKeepsNoDeadlines(t *testing.T) {
	l := newLab(t)
	play(t, l, "claim\nshow\nreserve stan=1\nsale stan=2 hold=1\n")
	require.Less(t, l.live.NextDeadline(), int64(math.MaxInt64))
	require.Equal(t, int64(math.MaxInt64), l.shadow.NextDeadline())
}

func TestAnEngineThatBeginsToDecideFindsWhatIsDue(t *testing.T) {
	l := newLab(t)
	play(t, l, "claim\nshow\nreserve stan=1\n")
	l.restart()
	l.now += int64(180 * time.Second)
	for l.live.NextDeadline() <= l.now {
		l.step(&engine.Tick{})
	}
	require.Zero(t, l.live.Book().OpenHolds())
}

// A category that was claimed once is kept for the life of the programme, and a book has room for so many. No change of the
// rules, over however many years, can add up to more: a bundle names no more, and none takes a known one away.
func TestTheCategoriesOfAllYearsHaveRoomInABook(t *testing.T) {
	require.Equal(t, policy.MaxCategories, subsidy.MaxCategories)
	l := newLab(t)
	play(t, l, "claim cat=A04\n")
	list := func(n int) map[string][]byte {
		files := labFiles(t)
		var text strings.Builder
		for line := range strings.Lines(string(files["programme.yaml"])) {
			text.WriteString(line)
			if strings.Contains(line, "code: A04") {
				for i := range n - 3 {
					fmt.Fprintf(&text, "  - {code: X%02d, group: appliance, zh: 新, en: new, label: energy, source: test, status: assumption}\n", i)
				}
			}
		}
		files["programme.yaml"] = []byte(text.String())
		return files
	}
	apply := func(files map[string][]byte) string {
		return strings.Join(problems(l.step(&engine.Operate{
			Token: 1, By: event.Authority{Actor: "wang", Reason: "a new year", Document: "D-1"}, Act: engine.ApplyPolicy{Files: files},
		})), "\n")
	}
	require.Contains(t, apply(list(policy.MaxCategories+1)), "categories")
	require.Empty(t, problems(l.step(&engine.ApplyProgramme{Files: list(policy.MaxCategories)})))
	require.Contains(t, apply(list(policy.MaxCategories-1)), "category X60 is gone")
}
