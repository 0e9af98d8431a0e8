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
	postings, err := AppendCapture(nil, at, Subsidy{7, "898210157220001", 119_980, []Part{{"central", 101_983}, {"local", 17_997}}, false})
	require.NoError(t, err)
	day := DayOf(at)
	require.Equal(t, "2026-11-24", day.String())
	require.Equal(t, []Posting{
		{7, day, Account{Receivable, "central"}, 101_983, false},
		{7, day, Account{Receivable, "local"}, 17_997, false},
		{7, day, Account{Payable, "898210157220001"}, -119_980, false},
	}, postings)
}

func TestPartsThatDoNotSumAreNotPosted(t *testing.T) {
	for _, s := range []Subsidy{
		{1, "m", 100, []Part{{"central", 85}}, false},
		{1, "m", 100, []Part{{"central", 185}, {"local", -85}}, false},
		{1, "m", 100, nil, false},
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
	_, err := Net([]Posting{{1, 0, Account{Payable, "m"}, -5, false}})
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

// ending is what a purchase has when everything has happened to it.
type ending struct {
	merchant string
	subsidy  money.Amount
	manual   bool
	parts    map[string]money.Amount
}

// live plays the life of one purchase: a capture or a record by hand, refunds in part, each by parts of its own, and perhaps
// an end that takes all the rest back. It returns the postings and what the purchase ends with.
func live(t *rapid.T, dst []Posting, id uint64) ([]Posting, ending) {
	payers := []string{"central", "province", "city", "district"}[:rapid.IntRange(1, 4).Draw(t, "payers")]
	weights := make([]int64, len(payers))
	for i := range weights {
		weights[i] = rapid.Int64Range(1, 90).Draw(t, "weight")
	}
	share := func(amount money.Amount, weights []int64) (parts []Part) {
		split := make([]money.Amount, len(weights))
		if amount > 0 {
			var err error
			split, err = amount.Split(nil, weights)
			require.NoError(t, err)
		}
		for i, payer := range payers {
			parts = append(parts, Part{payer, split[i]})
		}
		return parts
	}
	at := rapid.Int64Range(0, 1e18).Draw(t, "captured")
	left := money.Amount(rapid.Int64Range(0, 200_000).Draw(t, "subsidy"))
	parts := share(left, weights)
	merchant := rapid.SampledFrom([]string{"m1", "m2", "m3"}).Draw(t, "merchant")
	manual := rapid.Bool().Draw(t, "by hand")
	dst, err := AppendCapture(dst, at, Subsidy{id, merchant, left, parts, manual})
	require.NoError(t, err)
	later := func() int64 {
		at += rapid.Int64Range(0, 40*86_400e9).Draw(t, "later")
		return at
	}
	for range rapid.IntRange(0, 4).Draw(t, "refunds") {
		returned := money.Amount(rapid.Int64Range(0, int64(left)).Draw(t, "returned"))
		had := make([]int64, len(parts)) // nobody gets back more than he has given
		for i := range parts {
			had[i] = int64(parts[i].Amount)
		}
		back := share(returned, had)
		dst, err = AppendReturn(dst, later(), Subsidy{id, merchant, returned, back, manual})
		require.NoError(t, err)
		left -= returned
		for i := range parts {
			parts[i].Amount -= back[i].Amount
			require.GreaterOrEqual(t, parts[i].Amount, money.Amount(0))
		}
	}
	if rapid.Bool().Draw(t, "taken back") { // voided or reversed
		dst, err = AppendReturn(dst, later(), Subsidy{id, merchant, left, parts, manual})
		require.NoError(t, err)
		left, parts = 0, nil
	}
	e := ending{merchant: merchant, subsidy: left, manual: manual, parts: map[string]money.Amount{}}
	for _, p := range parts {
		e.parts[p.Payer] = p.Amount
	}
	return dst, e
}

// Whatever happens to a purchase, its postings sum to what it ended with, for its merchant and for each payer; each
// merchant's balance is the subsidies that stand, and what is payable is what is receivable.
func TestPostingsSumToWhatThePurchaseEndedWith(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var postings []Posting
		payable, receivable := map[string]money.Amount{}, map[string]money.Amount{}
		byHand := map[Account]money.Amount{}
		for id := range rapid.Uint64Range(1, 20).Draw(t, "purchases") {
			begin := len(postings)
			var e ending
			postings, e = live(t, postings, id)
			of := map[Account]money.Amount{}
			for _, p := range postings[begin:] {
				require.Equal(t, id, p.Purchase)
				of[p.Account] += p.Amount
			}
			require.Equal(t, -e.subsidy, of[Account{Payable, e.merchant}])
			for account, sum := range of {
				if account.Kind == Receivable {
					require.Equal(t, e.parts[account.Party], sum)
				}
			}
			payable[e.merchant] += e.subsidy
			for payer, amount := range e.parts {
				receivable[payer] += amount
			}
			if e.manual {
				byHand[Account{Payable, e.merchant}] -= e.subsidy
				for payer, amount := range e.parts {
					byHand[Account{Receivable, payer}] += amount
				}
			}
		}
		balances, err := Net(postings)
		require.NoError(t, err)
		var owed, claimed money.Amount
		for _, b := range balances {
			require.Equal(t, byHand[b.Account], b.Manual, "what was recorded by hand stands apart")
			if b.Account.Kind == Payable {
				require.Equal(t, -payable[b.Account.Party], b.Amount)
				owed -= b.Amount
			} else {
				require.Equal(t, receivable[b.Account.Party], b.Amount)
				claimed += b.Amount
			}
		}
		require.Equal(t, owed, claimed)
	})
}
