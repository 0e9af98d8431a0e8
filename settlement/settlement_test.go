package settlement

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/internal/money"
)

func TestACaptureOwesTheMerchantWhatThePayersOwe(t *testing.T) {
	at := time.Date(2026, 11, 23, 16, 30, 0, 0, time.UTC).UnixNano() // 00:30 on the 24th in Shanghai
	postings, err := AppendCapture(nil, at, Subsidy{7, "898210157220001", 119_980, []Part{{"central", 101_983}, {"local", 17_997}}})
	require.NoError(t, err)
	day := DayOf(at)
	require.Equal(t, "2026-11-24", day.String())
	require.Equal(t, []Posting{
		{7, day, Account{Receivable, "central"}, 101_983},
		{7, day, Account{Receivable, "local"}, 17_997},
		{7, day, Account{Payable, "898210157220001"}, -119_980},
	}, postings)
}

func TestPartsThatDoNotSumAreNotPosted(t *testing.T) {
	for _, s := range []Subsidy{
		{1, "m", 100, []Part{{"central", 85}}},
		{1, "m", 100, []Part{{"central", 185}, {"local", -85}}},
		{1, "m", 100, nil},
	} {
		postings, err := AppendCapture(nil, 0, s)
		require.ErrorIs(t, err, ErrUnbalanced)
		require.Empty(t, postings)
	}
}

func TestAnOrdinarySaleIsNotPosted(t *testing.T) {
	postings, err := AppendCapture(nil, 0, Subsidy{Purchase: 1, Merchant: "m"})
	require.NoError(t, err)
	require.Empty(t, postings)
}

func TestNetRefusesPostingsThatDoNotBalance(t *testing.T) {
	_, err := Net([]Posting{{1, 0, Account{Payable, "m"}, -5}})
	require.ErrorIs(t, err, ErrUnbalanced)
}

func TestDaysBeginAtMidnightInShanghai(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.Int64Range(-1e18, 4e18).Draw(t, "at")
		want := time.Unix(0, at).In(shanghai)
		d := DayOf(at)
		require.Equal(t, want.Format(time.DateOnly), d.String())
		require.False(t, d.Start().After(want))
		require.True(t, (d + 1).Start().After(want))
	})
}

// Whatever is captured and reversed, each merchant's balance is the subsidies that stand, and all balances sum to zero.
func TestBalancesAreTheSubsidiesThatStand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var postings []Posting
		standing := map[string]money.Amount{}
		for id := range rapid.Uint64Range(1, 40).Draw(t, "purchases") {
			amount := money.Amount(rapid.Int64Range(0, 200_000).Draw(t, "amount"))
			split, err := amount.Split(nil, []int64{85, 15})
			require.NoError(t, err)
			s := Subsidy{id, rapid.SampledFrom([]string{"m1", "m2", "m3"}).Draw(t, "merchant"), amount,
				[]Part{{"central", split[0]}, {"local", split[1]}}}
			postings, err = AppendCapture(postings, int64(id), s)
			require.NoError(t, err)
			if rapid.Bool().Draw(t, "reversed") {
				postings, err = AppendReversal(postings, int64(id)+1, s)
				require.NoError(t, err)
			} else {
				standing[s.Merchant] += amount
			}
		}
		balances, err := Net(postings)
		require.NoError(t, err)
		var total money.Amount
		for _, b := range balances {
			total += b.Amount
			if b.Account.Kind == Payable {
				require.Equal(t, -standing[b.Account.Party], b.Amount)
			}
		}
		require.Zero(t, total)
	})
}
