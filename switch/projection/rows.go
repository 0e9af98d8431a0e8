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
)

// Purchase is one purchase, subsidised or ordinary. Month is that of its first event and never changes.
type Purchase struct {
	ID            uint64
	Month         time.Time
	State         string
	Ordinary      bool // without a subsidy
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
	Barcode       string
	SerialMask    string
	OrderRef      string
	Price         money.Amount
	Base          money.Amount
	Subsidy       money.Amount
	Payable       money.Amount
	Amount        money.Amount // what the payer is charged: the payable, then DE4 of the sale
	FromClaim     money.Amount // part of the subsidy that the claim had taken
	Leaf          string
	PolicyVersion string
	Marks         []string
	Funders       []string // who pays the subsidy …
	FunderParts   []int64  // … and how much of it each, fen
	ItemsBefore   uint32
	ReservedAt    Instant
	ExpiresAt     Instant
	SentAt        Instant
	ChangedAt     Instant
	Host          string
	HostSTAN      uint32
	RRN           string
	CardMask      string
	EntryMode     string
	Response      string // DE39 of the host's answer
	Approval      string
	ClearingDate  string
	DeclineCause  string
	LateResponse  string
	LateAt        Instant
	Reversal      uint64 // the last one queued
	Seq           uint64 // last event
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
	Cause       string // of the release: expired, cancelled, declined, reversed
	Entitlement uint64
	Leaf        string
	Subsidy     money.Amount
	TakenAt     Instant
	ExpiresAt   Instant
	EndedAt     Instant
	Seq         uint64
}

// Capture is an approved sale: the payer was charged, and the subsidy spent. Rows are never changed.
type Capture struct {
	Purchase     uint64
	Month        time.Time // of the capture
	Ordinary     bool
	City         string
	Merchant     string
	Terminal     string
	Category     string
	Leaf         string
	Amount       money.Amount
	Subsidy      money.Amount
	Host         string
	RRN          string
	Response     string
	Approval     string
	ClearingDate string
	CapturedAt   Instant
	Seq          uint64
}

// Refund is what undid a capture: the payer gets Amount back, the programme Subsidy. Rows are never changed.
type Refund struct {
	Seq        uint64
	Month      time.Time
	Purchase   uint64
	Kind       string // reversal
	Cause      string
	Reversal   uint64
	Leaf       string
	Amount     money.Amount
	Subsidy    money.Amount
	RefundedAt Instant
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
	Paced      bool
	ReleasedOn string
	Closed     bool
	ChangedAt  Instant
	Seq        uint64
}

// The states of a reversal.
const (
	ReversalWaiting = "waiting"
	ReversalDone    = "done"
	ReversalRefused = "refused"
)

// Reversal is one store-and-forward reversal towards a host. Month is that of its queueing.
type Reversal struct {
	ID        uint64
	Month     time.Time
	Purchase  uint64
	State     string
	Cause     string
	Reason    string // DE39
	Host      string
	Amount    money.Amount
	Attempts  uint32
	NextAt    Instant
	Response  string
	QueuedAt  Instant
	ChangedAt Instant
	Seq       uint64
}

// WorkItem is something that a person must look at.
type WorkItem struct {
	ID       uint64
	Kind     string
	Purchase uint64
	Reversal uint64
	Response string
	Detail   string
	OpenedAt Instant
	Seq      uint64
}

// Refusal is a request that the switch itself refused: a reserve with its reasons, a sale or a reversal with its DE39.
// Rows are never changed.
type Refusal struct {
	Seq           uint64
	Month         time.Time
	Kind          string // reserve, sale, reversal
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

// Changes are the rows that a run of events leads to. Purchases to WorkItems below are new or replace the row with the
// same id; Captures, Refunds, Movements and Refusals are always new, and a store refuses one that is there already.
type Changes struct {
	Purchases    []*Purchase
	Holds        []*Hold
	Entitlements []*Entitlement
	Reversals    []*Reversal
	WorkItems    []*WorkItem
	Terminals    []*Terminal
	Nodes        []*Node
	Programme    *Programme // nil: unchanged

	Captures  []*Capture
	Refunds   []*Refund
	Movements []*Movement
	Refusals  []*Refusal

	// Months are those that the rows lie in, ascending.
	Months []time.Time
}
