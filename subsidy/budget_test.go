package subsidy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/internal/money"
)

func tree(t require.TestingT, nodes ...any) *Budget {
	b := NewBudget()
	for i := 0; i < len(nodes); i += 2 {
		require.NoError(t, b.Set(nodes[i].(string), money.Amount(nodes[i+1].(int))))
	}
	return b
}

func leaf(t require.TestingT, b *Budget, path string) NodeID {
	id, ok := b.Find(path)
	require.True(t, ok, path)
	return id
}

func TestTakingCountsAtEveryNodeAbove(t *testing.T) {
	b := tree(t, "", 1000, "sy", 600, "sy/A01", 400, "sy/A01/r1", 300)
	id := leaf(t, b, "sy/A01/r1")
	require.NoError(t, b.Take(id, 200))
	for _, path := range []string{"", "sy", "sy/A01", "sy/A01/r1"} {
		require.Equal(t, money.Amount(200), b.View(leaf(t, b, path)).Held, path)
	}
	require.ErrorIs(t, b.Take(id, 101), ErrExhausted)
	b.Capture(id, 150)
	b.Release(id, 50)
	root := b.View(leaf(t, b, ""))
	require.Equal(t, money.Amount(150), root.Spent)
	require.Equal(t, money.Amount(850), root.Free)
	require.NoError(t, b.Check())
}

func TestMoneyMovesOnLeavesOnly(t *testing.T) {
	b := tree(t, "", 1000, "sy", 600)
	require.ErrorIs(t, b.Take(leaf(t, b, ""), 1), ErrNotLeaf)
	require.NoError(t, b.Take(leaf(t, b, "sy"), 1))
	require.ErrorIs(t, b.Set("sy/A01", 10), ErrNotLeaf, "a leaf in use cannot become an inner node")
}

func TestLoweringBelowUseIsRefused(t *testing.T) {
	b := tree(t, "", 1000, "sy", 600, "sy/A01", 400)
	id := leaf(t, b, "sy/A01")
	require.NoError(t, b.Take(id, 300))
	b.Capture(id, 100)
	require.ErrorIs(t, b.Set("sy/A01", 299), ErrBelowUse)
	require.NoError(t, b.Set("sy/A01", 300))
	require.ErrorIs(t, b.Set("sy", 299), ErrBelowUse, "what the children were given counts")
	require.ErrorIs(t, b.Set("", -1), ErrBelowUse)
	require.NoError(t, b.Check())
}

func TestChildrenNeverGetMoreThanTheirParent(t *testing.T) {
	b := tree(t, "", 1000, "sy", 600)
	require.ErrorIs(t, b.Set("dl", 401), ErrParentShort)
	require.NoError(t, b.Set("dl", 400))
	require.ErrorIs(t, b.Set("nowhere/x", 1), ErrNodeUnknown)
}

func TestWhatAClosedRoundLeavesGoesToItsParent(t *testing.T) {
	b := tree(t, "", 1000, "r1", 600, "r2", 100)
	r1 := leaf(t, b, "r1")
	require.NoError(t, b.Take(r1, 250))
	require.Equal(t, money.Amount(350), b.Close(r1))
	require.Equal(t, money.Amount(0), b.Close(r1), "closing twice gives back nothing")
	require.Equal(t, money.Amount(250), b.View(r1).Allocated)
	require.ErrorIs(t, b.Take(r1, 1), ErrNodeClosed)
	require.NoError(t, b.Set("r2", 450), "the parent can give it to the next round")

	b.Capture(r1, 100)
	b.Release(r1, 150) // a hold that outlived its round
	require.Equal(t, money.Amount(100), b.View(r1).Allocated)
	b.Restore(r1, 100) // a refund after the round
	require.Equal(t, money.Amount(0), b.View(r1).Allocated)
	require.NoError(t, b.Set("r2", 700))
	require.NoError(t, b.Check())
}

func TestPacedLeafGivesWhatIsReleased(t *testing.T) {
	b := tree(t, "", 1000, "r1", 600)
	id := leaf(t, b, "r1")
	b.SetReleased(id, 100, "2026-11-23")
	require.ErrorIs(t, b.Take(id, 101), ErrExhausted)
	require.NoError(t, b.Take(id, 100))
	b.SetReleased(id, 150, "2026-11-24")
	require.Equal(t, money.Amount(50), b.Available(id))
}

// Any order of legal moves keeps allocated = free + held + spent at every node, and a refused move changes nothing.
func TestBudgetInvariantsHoldUnderAnyMoves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := tree(t, "", 100_000, "a", 50_000, "a/x", 20_000, "a/y", 20_000, "b", 30_000)
		leaves := []string{"a/x", "a/y", "b"}
		type sum struct{ held, spent money.Amount }
		want := map[string]sum{}
		for range rapid.IntRange(1, 60).Draw(t, "moves") {
			path := rapid.SampledFrom(leaves).Draw(t, "leaf")
			id := leaf(t, b, path)
			amount := money.Amount(rapid.IntRange(0, 9000).Draw(t, "amount"))
			w := want[path]
			before := b.View(id)
			switch rapid.IntRange(0, 5).Draw(t, "move") {
			case 0:
				if b.Take(id, amount) == nil {
					w.held += amount
				} else {
					require.Equal(t, before, b.View(id))
				}
			case 1:
				amount = min(amount, w.held)
				b.Capture(id, amount)
				w.held, w.spent = w.held-amount, w.spent+amount
			case 2:
				amount = min(amount, w.held)
				b.Release(id, amount)
				w.held -= amount
			case 3:
				amount = min(amount, w.spent)
				b.Restore(id, amount)
				w.spent -= amount
			case 4:
				if b.Set(path, amount*3) != nil {
					require.Equal(t, before, b.View(id))
				}
			case 5:
				if rapid.IntRange(0, 9).Draw(t, "close") == 0 {
					b.Close(id)
				}
			}
			want[path] = w
			require.NoError(t, b.Check())
			for p, w := range want {
				v := b.View(leaf(t, b, p))
				require.Equal(t, w, sum{v.Held, v.Spent}, p)
				require.Equal(t, v.Allocated, v.Free+v.Held+v.Spent, p)
			}
		}
		total := sum{}
		for _, w := range want {
			total.held += w.held
			total.spent += w.spent
		}
		root := b.View(leaf(t, b, ""))
		require.Equal(t, total, sum{root.Held, root.Spent})
		require.Equal(t, money.Amount(100_000), root.Allocated, strings.Join(leaves, " "))
	})
}
