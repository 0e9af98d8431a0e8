package wallet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"huanxin/internal/money"
	"huanxin/switch/event"
)

// Status is how a payment or a refund stands. Pending is the only one that changes by itself.
type Status string

// A payment is paid, pending, declined or closed; a refund done, pending, refused or closed.
const (
	Paid     Status = "paid"     // the payer was charged; what was given back by refunds is told beside it
	Pending  Status = "pending"  // the payer has not confirmed yet, or the money is on its way
	Declined Status = "declined" // final: the payer was not charged
	Closed   Status = "closed"   // final: nothing is charged, or nothing given back, and never will be under this number
	Done     Status = "done"     // the payer has the refund
	Refused  Status = "refused"  // final: nothing was given back
)

// PaymentOrder asks the wallet to charge the owner of a payment code.
type PaymentOrder struct {
	Payment  string       `json:"payment"` // RRN of the switch: 12 digits
	Amount   money.Amount `json:"amount_fen"`
	Code     string       `json:"code"`
	Merchant string       `json:"merchant"`
	Terminal string       `json:"terminal"`
	At       string       `json:"at"` // RFC 3339, +08:00
}

// RefundOrder asks the wallet to give back a payment or a part of it.
type RefundOrder struct {
	Refund string       `json:"refund"` // RRN of the switch for the refund
	Amount money.Amount `json:"amount_fen"`
}

// Payment is how a payment stands: the answer to a payment, a query and a cancellation.
type Payment struct {
	Payment  string       `json:"payment"`
	Status   Status       `json:"status"`
	Amount   money.Amount `json:"amount_fen"`
	Refunded money.Amount `json:"refunded_fen,omitempty"`
	Trade    string       `json:"trade,omitempty"`   // the wallet's own number, at most 64 printable ASCII characters
	Reason   string       `json:"reason,omitempty"`  // of a payment that is not paid: A–Z, 0–9 and _
	PaidAt   string       `json:"paid_at,omitempty"` // RFC 3339
}

// Refund is how a refund stands.
type Refund struct {
	Refund     string       `json:"refund"`
	Payment    string       `json:"payment"`
	Status     Status       `json:"status"`
	Amount     money.Amount `json:"amount_fen"`
	Trade      string       `json:"trade,omitempty"`
	Reason     string       `json:"reason,omitempty"`
	RefundedAt string       `json:"refunded_at,omitempty"`
}

// Notification is what a wallet tells without being asked: one of the two.
type Notification struct {
	Payment *Payment `json:"payment,omitempty"`
	Refund  *Refund  `json:"refund,omitempty"`
}

// Problem is the body of an answer from status 400 on.
type Problem struct {
	Error string `json:"error"`
}

// Words of Problem.Error.
const (
	ErrorMalformed = "MALFORMED" // 400
	ErrorSignature = "SIGNATURE" // 401
	ErrorNotFound  = "NOT_FOUND" // 404: no payment or refund of this number
	ErrorConflict  = "CONFLICT"  // 409: the number is known with other content; nothing was done
	ErrorBusy      = "BUSY"      // 503
)

// Limits of what is read.
const (
	maxBody   = 16 << 10        // bytes of an answer or a notification
	maxTrade  = 64              // characters
	rrnSize   = 12              // digits
	maxAmount = 999_999_999_999 // n12
)

// errMalformed is returned for an answer or notification that does not say what it must.
var errMalformed = errors.New("malformed")

// reasons are the DE39 of a payment that is declined or a refund that is refused. An unknown reason is 05.
var reasons = map[string]string{
	"INSUFFICIENT_BALANCE": "51",
	"CODE_INVALID":         "14",
	"CODE_USED":            "14",
	"CODE_EXPIRED":         "54",
	"WRONG_PASSWORD":       "55",
	"PASSWORD_LOCKED":      "75",
	"AMOUNT_LIMIT":         "61",
	"COUNT_LIMIT":          "65",
	"ACCOUNT_RESTRICTED":   "62",
	"NOT_ALLOWED":          "57",
	"MERCHANT_INVALID":     "03",
	"SUSPECTED_FRAUD":      "34",
	"SYSTEM_ERROR":         "96",
	"PAYER_CANCELLED":      "05",

	// Of refunds.
	"REFUND_EXCEEDS":  "64",
	"NOT_PAID":        "22",
	"UNKNOWN_PAYMENT": "25",
	"REFUND_CLOSED":   "22",
}

// Responses that are not looked up.
const (
	responseApproved    = "00"
	responseNotCharged  = "12" // final, nothing is charged or given back
	responseDefault     = "05"
	responseLater       = "96" // to a cancellation: not yet, try again
	responseUnsupported = "40" // to a cancellation: it cannot be done; a person must look
)

func responseOf(reason string) string {
	if code, ok := reasons[reason]; ok {
		return code
	}
	return responseDefault
}

var shanghai = time.FixedZone("+08:00", 8*3600)

// decode reads one JSON object and nothing after it. Members that it does not know are passed over: an answer may grow.
func decode(body []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("%w: not the object that was expected", errMalformed) // the error of json repeats what was sent
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows the object", errMalformed)
	}
	return nil
}

// check holds a payment to what the switch relies on. rrn is the one that was asked about, "" for any.
func (p *Payment) check(rrn string) error {
	switch p.Status {
	case Pending, Declined, Closed:
	case Paid:
		if p.Amount <= 0 || p.Amount > maxAmount {
			return fmt.Errorf("%w: paid, and the amount is none", errMalformed)
		}
	default:
		return fmt.Errorf("%w: status", errMalformed)
	}
	return checkRRN(p.Payment, rrn)
}

func (r *Refund) check(rrn string) error {
	switch r.Status {
	case Pending, Refused, Closed:
	case Done:
		if r.Amount <= 0 || r.Amount > maxAmount {
			return fmt.Errorf("%w: done, and the amount is none", errMalformed)
		}
	default:
		return fmt.Errorf("%w: status", errMalformed)
	}
	return checkRRN(r.Refund, rrn)
}

func checkRRN(got, want string) error {
	if len(got) != rrnSize || strings.Trim(got, "0123456789") != "" {
		return fmt.Errorf("%w: want a number of %d digits", errMalformed, rrnSize)
	}
	if want != "" && got != want {
		return fmt.Errorf("%w: about another number than was asked", errMalformed)
	}
	return nil
}

// approve fills in the answer of a payment that was paid, or of a refund that was done. The wallet's day is the clearing
// date. A number or an instant that cannot be used is left out: the money does not depend on it.
func approve(a *event.HostAnswer, amount money.Amount, trade, at string) {
	a.Response, a.Amount = responseApproved, int64(amount)
	if len(trade) <= maxTrade && printable(trade) {
		a.Network = []byte(trade)
	}
	if instant, err := time.Parse(time.RFC3339, at); err == nil {
		instant = instant.In(shanghai)
		a.LocalTime, a.LocalDate = instant.Format("150405"), instant.Format("0102")
		a.ClearingDate = a.LocalDate
	}
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// appendPaymentOrder writes a PaymentOrder. The code goes from the card record into dst and nowhere else: an encoder
// would leave copies of it behind. It consists of letters and digits.
func appendPaymentOrder(dst []byte, rrn string, amount money.Amount, code []byte, merchant, terminal string, at time.Time) []byte {
	dst = fmt.Appendf(dst, `{"payment":%s,"amount_fen":%d,"code":"`, quoted(rrn), int64(amount))
	dst = append(dst, code...)
	return fmt.Appendf(dst, `","merchant":%s,"terminal":%s,"at":"%s"}`, quoted(merchant), quoted(terminal),
		at.In(shanghai).Format(time.RFC3339))
}

func appendRefundOrder(dst []byte, rrn string, amount money.Amount) []byte {
	return fmt.Appendf(dst, `{"refund":%s,"amount_fen":%d}`, quoted(rrn), int64(amount))
}

// quoted is a JSON string.
func quoted(s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic("a string is always JSON: " + err.Error())
	}
	return text
}
