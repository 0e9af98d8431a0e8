package projection

import (
	"time"

	"huanxin/internal/money"
)

// OperatorAct is one fact that a person has ordered, with the reason and the paper. Rows are never changed.
type OperatorAct struct {
	Seq      uint64
	Kind     string // pause, budget-release, reversal-resolved …
	Actor    string
	Second   string // the second person, where two are demanded
	Reason   string
	Document string
	Account  string // of the machine that spoke over the control socket
	What     string // what it was done to: words of the form name=value
	Purchase uint64 // 0 when it is about none
	ActedAt  Instant
}

// Supplement is a subsidy that was recorded by hand for a purchase that had been captured without one. It is posted as a
// capture is, on its own day, and stands out in every report. Rows are never changed.
type Supplement struct {
	Seq            uint64
	Month          time.Time
	Purchase       uint64
	Entitlement    uint64
	City           string
	Merchant       string
	Category       string
	Leaf           string
	Price          money.Amount
	Amount         money.Amount // what the payer was charged
	Subsidy        money.Amount
	Funders        []string
	FunderParts    []int64
	CaseID         string
	Evidence       string
	Actor          string
	Second         string
	Reason         string
	Document       string
	SupplementedAt Instant
}

// Pause is a scope in which reserves, quotes and claims are refused, from FromAt to ToAt (0 = open). Empty fields mean all.
type Pause struct {
	ID             uint64
	City           string
	Category       string
	Channel        string
	FromAt         Instant
	ToAt           Instant
	SetAt          Instant
	SetBy          string
	Reason         string
	Document       string
	LiftedAt       Instant // when it was ordered to end
	LiftedBy       string
	LiftedReason   string
	LiftedDocument string
	Seq            uint64
}

// KillSwitch says whether a merchant or a terminal (one is set) is stopped, and who has said so.
type KillSwitch struct {
	Merchant  string
	Terminal  string
	Stopped   bool
	ChangedAt Instant
	ChangedBy string
	Reason    string
	Document  string
	Seq       uint64
}

// Request is an idempotency key of a caller with what came of it. Rows are never changed.
type Request struct {
	Seq       uint64
	Month     time.Time
	Request   []byte // keyed hash of caller and key
	Content   []byte // hash of what was asked
	Kind      string // reserve, commit, cancel, refund
	Purchase  uint64
	Operation uint64
	Reasons   []int32 // of a refusal
	Price     money.Amount
	KeptAt    Instant
}
