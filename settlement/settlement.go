// Package settlement turns what happened at the till into what is owed: double-entry postings for every captured
// purchase and for everything that takes one back, and the net position of each party (P6).
//
// It keeps no state and does no I/O. A merchant has advanced the subsidy – the buyer paid the price less the subsidy –
// so each capture owes the merchant that sum and claims it from the payers who fund it, in the parts that were fixed
// when the subsidy was reserved. Batches, cut-over, the exchange of files and the payout itself build on these postings.
//
// What is posted when:
//
//	captured                        + subsidy, by its parts
//	recorded by hand                + subsidy, like a capture, on the day of the record
//	refunded, in part or whole      − what the refund returned, by parts of its own
//	void out of quarantine          − all that is left of the subsidy
//	captured sale reversed          − all that is left of the subsidy
//
// The contract: the postings of one fact sum to zero, whatever happens to a purchase nets to what it ended as – for its
// merchant and for each payer – and a fact is posted on the business day (Asia/Shanghai) on which it happened, never on
// the day of the sale it corrects.
package settlement

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"huanxin/internal/money"
)

// ErrUnbalanced is returned when the parts of a subsidy do not sum to it: such a fact must not be posted.
var ErrUnbalanced = errors.New("funding parts do not sum to the subsidy")

// Account names one side of what is owed. Parties are merchants (DE42) and payers (central, local …).
type Account struct {
	Kind  Kind
	Party string
}

// Kind of an account.
type Kind uint8

const (
	// Payable is owed to a merchant who has advanced a subsidy: its postings are negative (credit).
	Payable Kind = iota + 1
	// Receivable is claimed from a payer who funds it: its postings are positive (debit).
	Receivable
)

// String returns the name that reports show.
func (k Kind) String() string {
	switch k {
	case Payable:
		return "payable"
	case Receivable:
		return "receivable"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Part is one payer's part of a subsidy.
type Part struct {
	Payer  string
	Amount money.Amount
}

// Subsidy is the money side of one fact about a purchase: what was captured, or what is taken back of it.
type Subsidy struct {
	Purchase uint64
	Merchant string
	Amount   money.Amount
	Parts    []Part
	Manual   bool // recorded by hand, or taken back of what was
}

// Posting is one line of the journal of accounts. Debit is positive, credit negative.
type Posting struct {
	Purchase uint64
	Day      Day
	Account  Account
	Amount   money.Amount
	Manual   bool // of a subsidy that was recorded by hand
}

// Day is a business day in Shanghai, counted from 1970-01-01.
type Day int32

var shanghai = time.FixedZone("+08:00", 8*60*60)

// DayOf returns the business day of an instant (Unix nanoseconds).
func DayOf(at int64) Day {
	const day = int64(24 * time.Hour)
	shifted := at + int64(8*time.Hour)
	d := shifted / day
	if shifted%day < 0 {
		d--
	}
	return Day(d)
}

// String returns the day as YYYY-MM-DD.
func (d Day) String() string {
	return time.Unix(int64(d)*86400, 0).UTC().Format(time.DateOnly)
}

// Start returns the instant at which the day begins.
func (d Day) Start() time.Time {
	return time.Unix(int64(d)*86400, 0).Add(-8 * time.Hour).In(shanghai)
}

// AppendCapture appends the postings of a captured purchase, or of a subsidy that was recorded by hand for one: the payers
// owe their parts, the merchant is owed the sum. A purchase without a subsidy makes none.
func AppendCapture(dst []Posting, at int64, s Subsidy) ([]Posting, error) {
	return appendPostings(dst, at, s, 1)
}

// AppendReturn appends what takes a capture, or a part of it, back: lines with the other sign, on the day of the reversal,
// refund or end of quarantine. s is what is taken back.
func AppendReturn(dst []Posting, at int64, s Subsidy) ([]Posting, error) {
	return appendPostings(dst, at, s, -1)
}

func appendPostings(dst []Posting, at int64, s Subsidy, sign money.Amount) ([]Posting, error) {
	var sum money.Amount
	for _, p := range s.Parts {
		var err error
		if sum, err = sum.Add(p.Amount); err != nil {
			return dst, fmt.Errorf("purchase %d: %w", s.Purchase, err)
		}
		if p.Amount < 0 {
			return dst, fmt.Errorf("purchase %d: %w: %s has a negative part", s.Purchase, ErrUnbalanced, p.Payer)
		}
	}
	if sum != s.Amount {
		return dst, fmt.Errorf("purchase %d: %w: %s and %s", s.Purchase, ErrUnbalanced, sum, s.Amount)
	}
	day := DayOf(at)
	for _, p := range s.Parts {
		if p.Amount != 0 {
			dst = append(dst, Posting{s.Purchase, day, Account{Receivable, p.Payer}, sign * p.Amount, s.Manual})
		}
	}
	if s.Amount != 0 {
		dst = append(dst, Posting{s.Purchase, day, Account{Payable, s.Merchant}, -sign * s.Amount, s.Manual})
	}
	return dst, nil
}

// Balance is the net of one account.
type Balance struct {
	Account Account
	Amount  money.Amount
	Manual  money.Amount // the part of Amount that was recorded by hand; the rest was captured at a till
	Lines   int
}

// Net sums postings by account, in the order of kind and party. All balances together are zero when every fact was
// posted whole; Net returns ErrUnbalanced when they are not.
func Net(postings []Posting) ([]Balance, error) {
	at := map[Account]int{}
	var balances []Balance
	var total money.Amount
	for _, p := range postings {
		i, ok := at[p.Account]
		if !ok {
			i = len(balances)
			at[p.Account] = i
			balances = append(balances, Balance{Account: p.Account})
		}
		sum, err := balances[i].Amount.Add(p.Amount)
		if err != nil {
			return nil, fmt.Errorf("account %s %s: %w", p.Account.Kind, p.Account.Party, err)
		}
		balances[i].Amount = sum
		if p.Manual {
			if balances[i].Manual, err = balances[i].Manual.Add(p.Amount); err != nil {
				return nil, fmt.Errorf("account %s %s by hand: %w", p.Account.Kind, p.Account.Party, err)
			}
		}
		balances[i].Lines++
		total += p.Amount
	}
	if total != 0 {
		return nil, fmt.Errorf("%w: the postings sum to %s", ErrUnbalanced, total)
	}
	slices.SortFunc(balances, func(a, b Balance) int {
		return cmp.Or(cmp.Compare(a.Account.Kind, b.Account.Kind), cmp.Compare(a.Account.Party, b.Account.Party))
	})
	return balances, nil
}
