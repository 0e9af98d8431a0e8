package projection

import (
	"time"

	"huanxin/internal/money"
)

// The states of a purchase, as the database names them.
const (
	Reserved  = "reserved"
	Sent      = "sent"
	Captured  = "captured"
	Declined  = "declined"
	Reversing = "reversing"
	Reversed  = "reversed"
	Expired   = "expired"
	Cancelled = "cancelled"
	Unknown   = "unknown" // a wallet has not said how the payment ended
	Voiding   = "voiding"
	Voided    = "voided"
	Refunding = "refunding"
	Refunded  = "refunded"
)

// The kinds of a purchase: what its payment is to the network. Sales and completions charge; the others only pass.
const (
	KindSale           = "sale"
	KindPreauth        = "preauth"
	KindPreauthVoid    = "preauth_void"
	KindCompletion     = "completion"
	KindCompletionVoid = "completion_void" // gives a completion back
)

// Purchase is one purchase, subsidised or ordinary. Month is that of its first event and never changes.
type Purchase struct {
	ID            uint64
	Month         time.Time
	State         string
	Kind          string
	Ordinary      bool // without a subsidy
	Manual        bool // the subsidy was recorded by hand: see Supplement
	Entitlement   uint64
	Person        []byte
	Category      string
	City          string
	PayingCity    string
	LocatedCity   string
	Channel       string
	Merchant      string
	Terminal      string
	TerminalBatch uint32
	STAN          uint32 // of the last exchange: reserve, then sale
	ReserveBatch  uint32
	ReserveSTAN   uint32
	Caller        string // who made it over HTTP
	Reference     string // of a payment that the caller has collected itself
	Barcode       string
	Grade         uint32 // of the product, with Label, Attributes (name=value) and OldItem as they were decided on
	Label         string
	Attributes    []string
	OldItem       string
	SerialMask    string
	SerialHash    []byte // keyed hash, empty without a serial number
	OrderRef      string
	Price         money.Amount
	Base          money.Amount
	Subsidy       money.Amount // what it has now: less after a refund, none after a whole one
	Payable       money.Amount
	Amount        money.Amount // what the payer is charged: the payable, then DE4 of the sale
	Refunded      money.Amount // given back to the payer by refunds
	Returned      money.Amount // of the subsidy, given back to the budget by refunds
	Refunding     money.Amount // in refunds without an end …
	RefundsOpen   uint32       // … which are so many
	KeptPrice     money.Amount // of what refunds have left
	FromClaim     money.Amount // part of the subsidy that the claim had taken
	Leaf          string
	PolicyVersion string
	Marks         []string
	Funders       []string // who pays the subsidy as it is now …
	FunderParts   []int64  // … and how much of it each, fen
	ItemsBefore   uint32
	ReservedAt    Instant
	ExpiresAt     Instant
	SentAt        Instant
	CapturedAt    Instant
	QuarantineAt  Instant // voided: what it has is kept back until then at the longest
	RestoredAt    Instant // refunded: when the entitlement could be used again
	ChangedAt     Instant
	Wallet        bool // the host is a wallet
	Queries       uint32
	QueryAt       Instant // the wallet is asked next
	Host          string
	HostSTAN      uint32
	RRN           string
	CardMask      string
	CardToken     []byte // keyed hash
	EntryMode     string
	Response      string // DE39 of the host's answer
	Approval      string
	ClearingDate  string
	DeclineCause  string
	LateResponse  string
	LateAt        Instant
	Reversal      uint64 // the last one queued
	ReservedIn    uint64 // the batches of the journal in which it was reserved, sent …
	SentIn        uint64
	EndedIn       uint64 // … and approved or declined; Trail has the others
	Seq           uint64 // last event
}

// settled reports whether nothing more need happen to p.
func (p *Purchase) settled() bool {
	switch p.State {
	case Captured, Declined, Expired, Cancelled, Reversed, Voided, Refunded:
		return true
	}
	return false
}

// The states of a hold.
const (
	HoldOpen     = "open"
	HoldSpent    = "spent"
	HoldReleased = "released"
)

// Hold is what a subsidised purchase takes from budget, quota and serial numbers.
type Hold struct {
	Purchase    uint64
	Month       time.Time
	State       string
	Cause       string // of the release: expired, cancelled, declined, reversed, voided, refunded
	Entitlement uint64
	Leaf        string
	Subsidy     money.Amount
	TakenAt     Instant
	ExpiresAt   Instant
	EndedAt     Instant
	Seq         uint64
}

// Capture is an approved sale: the payer was charged, and the subsidy spent. Rows are never changed: subsidy and parts are
// those of the instant of the capture, whatever is refunded later.
type Capture struct {
	Purchase     uint64
	Month        time.Time // of the capture
	Kind         string    // of the purchase
	Ordinary     bool
	City         string
	Merchant     string
	Terminal     string
	Category     string
	Leaf         string
	Amount       money.Amount
	Subsidy      money.Amount
	Funders      []string
	FunderParts  []int64
	Caller       string
	Reference    string
	Host         string
	RRN          string
	Response     string
	Approval     string
	ClearingDate string
	CapturedAt   Instant
	Seq          uint64
}

// The kinds of a Refund row.
const (
	ByReversal = "reversal"
	ByVoid     = "void"
	ByRefund   = "refund"
)

// Refund is what undid a capture or a part of it: the payer gets Amount back, the programme Subsidy, in the parts of its
// payers. A void is entered when its quarantine ends: until then it may itself be undone. Rows are never changed.
type Refund struct {
	Seq         uint64
	Month       time.Time
	Purchase    uint64
	Kind        string
	SaleKind    string // of the purchase
	Cause       string
	Reversal    uint64
	Operation   uint64
	Merchant    string
	Leaf        string
	Amount      money.Amount
	Subsidy     money.Amount
	Funders     []string
	FunderParts []int64
	RefundedAt  Instant
}

// The states of an entitlement.
const (
	EntitlementClaimed  = "claimed"
	EntitlementHeld     = "held"
	EntitlementUsed     = "used"
	EntitlementExpired  = "expired"
	EntitlementReturned = "returned"
)

// Entitlement is one claimed entitlement. Month is that of the claim.
type Entitlement struct {
	ID            uint64
	Month         time.Time
	State         string
	Person        []byte
	Category      string
	City          string
	Channel       string
	IDKind        string
	PolicyVersion string
	Reserved      money.Amount // of the claim, not handed to a purchase
	Leaf          string
	Purchase      uint64 // holder while held or used
	ClaimedAt     Instant
	ExpiresAt     Instant
	ChangedAt     Instant
	Seq           uint64
}

// settled reports whether nothing more need happen to e.
func (e *Entitlement) settled() bool {
	return e.State != EntitlementClaimed && e.State != EntitlementHeld
}

// Movement is a change of one budget node by one event. For a leaf the deltas count at every node above it too; no
// separate rows say so. Rows are never changed.
type Movement struct {
	Seq         uint64
	Path        string
	Month       time.Time
	Kind        string
	Allocated   money.Amount // deltas
	Held        money.Amount
	Spent       money.Amount
	Released    money.Amount
	Purchase    uint64
	Entitlement uint64
	MovedAt     Instant
}

// Node is one node of the budget tree as it stands: Allocated = free + Held + Spent.
type Node struct {
	Path       string
	Parent     string
	Root       bool
	Allocated  money.Amount
	Held       money.Amount
	Spent      money.Amount
	Released   money.Amount // of the allocation, usable by now; counts where Paced
	Manual     money.Amount // part of Released that operators have released beyond the plan
	Paced      bool
	ReleasedOn string
	Closed     bool
	ChangedAt  Instant
	Seq        uint64
}

// The states of a reversal.
const (
	ReversalWaiting  = "waiting"
	ReversalDone     = "done"
	ReversalRefused  = "refused"
	ReversalDead     = "dead"     // the clearing cut-off came first: only the clearing file can tell
	ReversalResolved = "resolved" // by an operator
)

// Reversal is one store-and-forward reversal towards a host. Month is that of its queueing.
type Reversal struct {
	ID        uint64
	Month     time.Time
	Purchase  uint64
	Operation uint64 // the void that is reversed, 0 = the sale
	State     string
	Cause     string
	Reason    string // DE39
	Host      string
	Amount    money.Amount
	KeepsHold bool // what the purchase has stays taken until this has ended
	Captured  bool // the purchase was captured when it was queued
	Attempts  uint32
	Querying  bool // a wallet is asked how its cancellation ended
	NextAt    Instant
	ExpiresAt Instant // clearing cut-off
	DeadAt    Instant
	Response  string
	Outcome   string // resolved: returned or charged
	SettledBy string // the operator
	QueuedAt  Instant
	ChangedAt Instant
	Seq       uint64
}

// The states of a work item.
const (
	ItemOpen   = "open"
	ItemClosed = "closed"
)

// ItemRefundUnknown is the kind of the work item by which a refund without an answer becomes a dead letter.
const ItemRefundUnknown = "refund-unknown"

// WorkItem is something that a person must look at, or has.
type WorkItem struct {
	ID        uint64
	State     string
	Kind      string
	Purchase  uint64
	Operation uint64
	Reversal  uint64
	Terminal  string
	Merchant  string
	Response  string
	Detail    string
	OpenedAt  Instant
	ClosedAt  Instant
	ClosedBy  string
	Seq       uint64
}

// Refusal is a request that the switch itself refused: a reserve with its reasons, anything else with its DE39.
// Rows are never changed.
type Refusal struct {
	Seq           uint64
	Month         time.Time
	Kind          string // reserve, sale, void, refund, reversal
	Caller        string // over HTTP
	Terminal      string
	Merchant      string
	TerminalBatch uint32
	STAN          uint32
	Response      string
	Reasons       []int32 // codes of package reason
	Purchase      uint64
	Entitlement   uint64
	Price         money.Amount
	Category      string
	City          string
	Channel       string
	Barcode       string
	PolicyVersion string
	RefusedAt     Instant
}

// Terminal is the session of one terminal.
type Terminal struct {
	ID          string
	Merchant    string
	Batch       uint32
	SignedOn    bool
	SignedOnAt  Instant
	SignedOffAt Instant
	Seq         uint64
}

// Programme is whose rows these are.
type Programme struct {
	Name           string
	PersonKeyCheck []byte
	Epoch          uint64 // of the last taking of ownership
	Owner          string
	Software       string
	PolicyDigest   []byte
	PolicyVersions []string
	PolicyAt       Instant
	Seq            uint64
}

// Trail says that a batch of the journal has events of a purchase, where the purchase's own row does not. Rows are never
// changed.
type Trail struct {
	Purchase uint64
	Position uint64 // of the batch
	Month    time.Time
}

// Rows are those of one table that a run of events leads to.
type Rows[T any] struct {
	New     []*T // not there yet: a store refuses one that is
	Changed []*T // replace the row with the same key, and may be new as well
}

// Changes are the rows that a run of events leads to. Those of the first parts are new or replace the row with the same
// key; those of the last are always new, and a store refuses one that is there already.
type Changes struct {
	Purchases    Rows[Purchase]
	Holds        Rows[Hold]
	Entitlements Rows[Entitlement]
	Reversals    Rows[Reversal]
	Operations   Rows[Operation]

	WorkItems       []*WorkItem
	TerminalBatches []*TerminalBatch
	Inquiries       []*Inquiry
	Terminals       []*Terminal
	Pauses          []*Pause
	KillSwitches    []*KillSwitch
	Nodes           []*Node
	Programme       *Programme // nil: unchanged

	Captures    []Capture
	Supplements []Supplement
	Refunds     []Refund
	Movements   []Movement
	Refusals    []Refusal
	Reports     []TerminalReport
	Requests    []Request
	Acts        []OperatorAct
	Trails      []Trail

	// Months are those of the events, ascending: the new rows lie in them.
	Months []time.Time
}

// reset empties c and keeps the memory of what is filled anew.
func (c *Changes) reset() {
	*c = Changes{
		Captures: c.Captures[:0], Supplements: c.Supplements[:0], Refunds: c.Refunds[:0], Movements: c.Movements[:0],
		Refusals: c.Refusals[:0], Reports: c.Reports[:0], Requests: c.Requests[:0], Acts: c.Acts[:0], Trails: c.Trails[:0],
		Months: c.Months[:0],
	}
}
