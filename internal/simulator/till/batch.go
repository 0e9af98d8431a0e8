package till

import (
	"fmt"
	"strconv"

	"huanxin/internal/money"
	"huanxin/switch/iso8583"
)

// Totals are the sums of one batch: what the payers were charged and given back, and the subsidy of what was charged. A
// payment that was taken back counts as never made.
type Totals struct {
	Debit        money.Amount `json:"debit_fen"`
	DebitCount   uint32       `json:"debit_count"`
	Credit       money.Amount `json:"credit_fen"`
	CreditCount  uint32       `json:"credit_count"`
	Subsidy      money.Amount `json:"subsidy_fen"`
	SubsidyCount uint32       `json:"subsidy_count"`
}

// Record is one line of a till's batch.
type Record struct {
	STAN    uint32       `json:"stan"`
	Card    string       `json:"card"` // number or payment code; a simulated one
	QR      bool         `json:"qr,omitempty"`
	Amount  money.Amount `json:"amount_fen"`
	Subsidy money.Amount `json:"subsidy_fen,omitempty"`
	Credit  bool         `json:"credit,omitempty"` // it gave back
	Void    bool         `json:"void,omitempty"`   // taken back, but the void may itself be reversed
}

// RecordOf is the line of the till's batch for a payment or what gives back: a refund, or the void of a completion.
func RecordOf(r *Request, subsidy money.Amount) Record {
	line := Record{
		STAN: r.STAN, Card: r.Card.PAN, Amount: r.Amount, Subsidy: subsidy, Credit: r.Kind == KindRefund || r.Kind == KindCompletionVoid,
	}
	if r.Card.Code != "" {
		line.Card, line.QR = r.Card.Code, true
	}
	return line
}

// Sum adds records up.
func Sum(records []Record) (t Totals) {
	for _, r := range records {
		switch {
		case r.Void:
		case r.Credit:
			t.Credit += r.Amount
			t.CreditCount++
		default:
			t.Debit += r.Amount
			t.DebitCount++
			if r.Subsidy > 0 {
				t.Subsidy += r.Subsidy
				t.SubsidyCount++
			}
		}
	}
	return t
}

// The lengths of DE48 (pos-dialect §2): five values for domestic cards, five for foreign ones; an upload's record.
const (
	totalsDigits  = 62
	halfDigits    = 31
	recordDigits  = 2 + 6 + 20 + 12
	UploadRecords = 8 // at most, in one message
)

// settlementDetails is DE48 of 0500: domestic totals, nothing for foreign cards, reconciliation codes 0.
func (t *Totals) settlementDetails() string {
	return fmt.Sprintf("%012d%03d%012d%03d0%031d", t.Debit, t.DebitCount, t.Credit, t.CreditCount, 0)
}

// subsidyTags are the subsidy totals of 0500.
func (t *Totals) subsidyTags() []Tag {
	return []Tag{
		{"SJ", fmt.Sprintf("%03d", t.SubsidyCount)},
		{"SK", fmt.Sprintf("%012d", t.Subsidy)},
	}
}

// uploadDetails is DE48 of 0320: the number of records, then card type, STAN, card number and amount of each.
func uploadDetails(records []Record) string {
	text := fmt.Sprintf("%02d", len(records))
	for _, r := range records {
		kind := "00"
		if r.QR {
			kind = "01"
		}
		text += fmt.Sprintf("%s%06d%020s%012d", kind, r.STAN, r.Card, r.Amount)
	}
	return text
}

// readTotals takes DE48 of 0510 apart.
func (a *Answer) readTotals(m *iso8583.Message) error {
	text := string(m.AppendField(nil, 48))
	if len(text) != totalsDigits {
		return fmt.Errorf("%w: DE48 of a settlement has %d digits", ErrAnswer, len(text))
	}
	var err error
	number := func(from, size int) uint64 {
		n, e := strconv.ParseUint(text[from:from+size], 10, 64)
		if err == nil {
			err = e
		}
		return n
	}
	a.Totals.Debit, a.Totals.DebitCount = money.Amount(number(0, 12)), uint32(number(12, 3))
	a.Totals.Credit, a.Totals.CreditCount = money.Amount(number(15, 12)), uint32(number(27, 3))
	a.Recon = text[halfDigits-1]
	if err != nil || a.Recon < '1' || a.Recon > '3' {
		return fmt.Errorf("%w: DE48 of a settlement is %q", ErrAnswer, text)
	}
	return nil
}
