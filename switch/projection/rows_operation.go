package projection

import (
	"time"

	"huanxin/internal/money"
)

// The kinds of an operation.
const (
	OperationVoid   = "void"
	OperationRefund = "refund"
)

// The states of an operation.
const (
	OperationSent      = "sent"
	OperationApproved  = "approved"
	OperationDeclined  = "declined"
	OperationUnknown   = "unknown"   // no answer in time: only the host or the clearing can tell
	OperationReversing = "reversing" // a void that is taken back
	OperationReversed  = "reversed"
)

// Operation is a void or a refund of a captured purchase. Month is that of its sending.
type Operation struct {
	ID            uint64
	Month         time.Time
	Purchase      uint64
	Kind          string
	State         string
	Merchant      string // of the purchase
	Terminal      string // that asked; "" over HTTP
	TerminalBatch uint32
	STAN          uint32
	Caller        string // who asked over HTTP
	Reference     string // of a refund that the caller has paid itself
	Host          string
	HostSTAN      uint32
	RRN           string
	Wallet        bool
	CardMask      string
	Amount        money.Amount // what the payer is given back
	Activated     bool         // the merchant says that the goods were activated
	Whole         bool         // approved: nothing is kept
	Returned      money.Amount // approved: of the subsidy, to the budget …
	Funders       []string     // … and of whose part …
	FunderParts   []int64      // … how much, fen
	KeptPrice     money.Amount
	Restores      bool    // the person may use the entitlement again …
	RestoreAt     Instant // … from then on
	Response      string  // DE39 of the host's answer
	Approval      string
	ClearingDate  string
	DeclineCause  string
	LateResponse  string
	LateAt        Instant
	SettledBy     string // the operator who has told how it ended
	SentAt        Instant
	Deadline      Instant
	ExpiresAt     Instant // unknown: clearing cut-off, from which on it is a dead letter
	EndedAt       Instant // approved or declined
	Queries       uint32
	QueryAt       Instant
	QuarantineAt  Instant // a void: ends then at the latest
	ReleasedAt    Instant // a void: what it frees is free
	ReleaseCause  string  // message, batch, time
	Reversal      uint64  // the last one queued
	ChangedAt     Instant
	Seq           uint64
}

// settled reports whether nothing more need happen to o.
func (o *Operation) settled() bool {
	return o.State == OperationApproved || o.State == OperationDeclined || o.State == OperationReversed
}
