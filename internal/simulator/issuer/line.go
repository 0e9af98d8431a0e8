package issuer

import "huanxin/internal/money"

// Type is what a request asks of the network.
type Type string

// The types of requests. Sales are the empty one: ledgers were written before there was any other.
const (
	TypeSale           Type = ""
	TypeVoid           Type = "void"
	TypeRefund         Type = "refund"
	TypeInquiry        Type = "inquiry" // moves no money and has no ledger line
	TypePreauth        Type = "preauth"
	TypePreauthVoid    Type = "preauth-void"
	TypeCompletion     Type = "completion"
	TypeCompletionVoid Type = "completion-void"
)

// String is the name, "sale" for a sale.
func (t Type) String() string {
	if t == TypeSale {
		return "sale"
	}
	return string(t)
}

// isVoid reports whether a request takes back a whole other one.
func (t Type) isVoid() bool {
	return t == TypeVoid || t == TypePreauthVoid || t == TypeCompletionVoid
}

// Kind says what a ledger line records.
type Kind string

const (
	// Charge: the card was charged Amount. Asked is more when the approval was partial. A completion names its
	// pre-authorisation in Original.
	Charge Kind = "charge"
	// Return: the charge of RRN was reversed.
	Return Kind = "return"
	// Void: the whole charge of Original was taken back by the void RRN.
	Void Kind = "void"
	// Unvoid: the void RRN was reversed, and the charge of Original stands again. Void and Unvoid of a charge alternate.
	Unvoid Kind = "unvoid"
	// Refund: Amount of the charge of Original was given back by the refund RRN. It is never undone.
	Refund Kind = "refund"
	// Preauth: Amount was set aside. Nothing is charged.
	Preauth Kind = "preauth"
	// PreauthReturn: the pre-authorisation RRN was reversed.
	PreauthReturn Kind = "preauth-return"
	// PreauthVoid: the pre-authorisation Original was let go by the void RRN.
	PreauthVoid Kind = "preauth-void"
	// PreauthUnvoid: that void was reversed, and the pre-authorisation Original stands again.
	PreauthUnvoid Kind = "preauth-unvoid"
	// Decline: a request was refused with Response; no money has moved.
	Decline Kind = "decline"
	// Tombstone: a reversal named an RRN that the network had not seen. Its original must not be carried out any more.
	Tombstone Kind = "tombstone"
	// Repeat: a request came again under an RRN that was already decided. It was refused with 94. The switch never resends
	// a request, so any such line is a defect of the switch.
	Repeat Kind = "repeat"
	// Overtaken: a request came after its own reversal. It was refused with 94. On one link this is a defect of the switch.
	Overtaken Kind = "overtaken"
)

// Line is one line of a ledger file: a JSON object.
type Line struct {
	Seq      uint64       `json:"seq"` // from 1, without gaps
	At       string       `json:"at"`  // RFC 3339, +08:00
	Day      string       `json:"day,omitempty"`
	Kind     Kind         `json:"kind"`
	Type     Type         `json:"type,omitempty"` // what was asked
	RRN      string       `json:"rrn"`
	Original string       `json:"original,omitempty"` // RRN of what it is about, where the network has found it
	STAN     string       `json:"stan"`
	Card     string       `json:"card,omitempty"` // token, never the number
	Terminal string       `json:"terminal,omitempty"`
	Merchant string       `json:"merchant,omitempty"`
	Amount   money.Amount `json:"amount_fen"`
	Asked    money.Amount `json:"asked_fen,omitempty"`
	Response string       `json:"response"`
	Approval string       `json:"approval,omitempty"`
	Reason   string       `json:"reason,omitempty"` // DE39 of a reversal request
}

// Moves says what a line does to a charge: its RRN, and by how much more (or, negative, less) its payer is charged from
// here on. The sum over all lines of a ledger is what each payer has paid in the end.
func (l *Line) Moves() (rrn string, amount money.Amount) {
	switch l.Kind {
	case Charge:
		return l.RRN, l.Amount
	case Return:
		return l.RRN, -l.Amount
	case Void, Refund:
		return l.Original, -l.Amount
	case Unvoid:
		return l.Original, l.Amount
	}
	return "", 0
}

// Entry is what the network knows of one RRN.
type Entry struct {
	Line       Line         // that decided it: Charge, Preauth, Void, PreauthVoid, Refund or Decline; zero with Tomb
	Tomb       bool         // only its reversal has come
	Returned   bool         // it was reversed
	Void       string       // of a charge or pre-authorisation: RRN of the void that stands, "" = none
	Completion string       // of a pre-authorisation: RRN of the last completion, "" = none
	Refunded   money.Amount // of a charge: sum of its refunds
	Net        money.Amount // of a charge: what its payer is still charged
}

// stands reports whether a charge or pre-authorisation was neither reversed nor voided.
func (e *Entry) stands() bool { return !e.Returned && e.Void == "" }

// Outcome is what really happened to one request, as a clearing file or an inquiry at the network would tell it.
type Outcome struct {
	RRN      string       `json:"rrn"`
	Type     string       `json:"type"`     // sale, void, refund, preauth, …
	Known    bool         `json:"known"`    // the request itself has arrived; without it nothing was ever done
	Done     bool         `json:"done"`     // it was carried out, and not undone since
	Response string       `json:"response"` // DE39 of its answer
	Original string       `json:"original,omitempty"`
	Day      string       `json:"day,omitempty"` // clearing day YYYY-MM-DD
	Amount   money.Amount `json:"amount_fen"`    // that was charged, taken back or given back at first
	Net      money.Amount `json:"net_fen"`       // what the payer is charged in the end, of the charge itself or of the one it is about
}
