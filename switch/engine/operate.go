package engine

import (
	"huanxin/internal/money"
	"huanxin/switch/event"
)

// Operate is one act of an operator on the running switch. Everybody who does something is named, with the reason and the
// number of a document; an act that would break an invariant is refused as a whole. With DryRun nothing happens and the
// answer holds the events that would.
type Operate struct {
	Token  Token
	By     event.Authority
	DryRun bool
	Act    any // one of the types below, by value
}

// The acts.
type (
	// ApplyPolicy makes a rule bundle current. Forward only: what the rules in force say about any instant up to now must
	// stand in the new ones just so.
	ApplyPolicy struct{ Files map[string][]byte }
	// ReleaseBudget puts Amount more at a paced leaf's disposal, beyond its plan.
	ReleaseBudget struct {
		Path   string
		Amount money.Amount
	}
	// TransferBudget moves allocation from one node to another, and on the way up and down between them.
	TransferBudget struct {
		From, To string
		Amount   money.Amount
	}
	// LowerBudget takes Amount off a node's allocation; it goes to its parent's unassigned part, from the root out of the
	// programme.
	LowerBudget struct {
		Path   string
		Amount money.Amount
	}
	// Pause refuses reserves, quotes and claims in a scope as PAUSED; empty fields mean all. FromAt 0 = now.
	Pause struct {
		City, Category, Channel string
		FromAt                  int64
	}
	// Resume lifts every pause with just this scope. FromAt 0 = now.
	Resume Pause
	// Kill stops a merchant or a terminal (one is set), or with Off lets it go again.
	Kill struct {
		Merchant, Terminal string
		Off                bool
	}
	// ChangeRows adds or changes merchants and terminals, at most 1000 rows. Rows equal to the current ones make no event.
	ChangeRows struct {
		Merchants, Terminals [][]string
		AddOnly              bool // a row whose id is known is a problem
		ChangeOnly           bool // a row whose id is not known is a problem
	}
	// SetState suspends merchants and terminals, or makes them active.
	SetState struct {
		Merchant, Terminal string
		State              string // active, suspended
	}
	// ReleaseHold lets go of a purchase that holds a subsidy and does not come to an end. It takes two persons: the first
	// act proposes, the same act of somebody else within a quarter of an hour carries it out.
	ReleaseHold struct{ Purchase uint64 }
	// Supplement records by hand the subsidy of a purchase that was captured without one.
	Supplement struct {
		Purchase    uint64
		Entitlement uint64
		Barcode     string
		Serial      Hash
		SerialMask  string
		SerialOK    bool
		SerialIMEI  bool
		OldItem     string
		CaseID      string
		Evidence    string
	}
	// RetryItem has a dead or refused reversal sent again; ID as SAFView has it.
	RetryItem struct{ ID string }
	// ResolveItem settles an item by what the clearing file or the inquiry has shown. Outcome: of a reversal "returned"
	// (default: nothing is charged) or "charged"; of a refund "confirmed" or "failed", which must be given; a work item has none.
	ResolveItem struct {
		ID      string
		Outcome string
	}
)

// Look reads the engine's state for operators. It changes nothing. What says which AdminReply.Result is wanted.
type Look struct {
	Token Token
	What  any // one of the types below, by value
}

// What can be looked at.
type (
	// LookSAF: []SAFView of everything on its way to a host or waiting for a person. ID "" = all; State "" = any; at most Limit.
	LookSAF struct {
		ID    string
		State string
		Limit int
	}
	// LookBudget: []subsidy.NodeView below and with a path.
	LookBudget struct{ Path string }
	// LookHolds: []HoldView of purchases that lock a subsidy and have no end, oldest first.
	LookHolds struct {
		OlderThan int64 // nanoseconds
		Limit     int
	}
	// LookPurchase: *PurchaseView.
	LookPurchase struct{ ID uint64 }
	// LookPauses: []PauseView.
	LookPauses struct{}
	// LookKills: []KillView of merchants and terminals that are stopped.
	LookKills struct{}
	// LookRows: *RowsView of registry rows.
	LookRows struct{ Merchant, Terminal string }
	// LookPolicy: *PolicyView of the rules in force.
	LookPolicy struct{}
)

// SAFView is one thing that is on its way to a host, or waits for a person. Its ID is a letter and a number: R a
// reversal, F a refund, Q a wallet payment whose end is not known, W a work item.
type SAFView struct {
	ID        string
	Kind      string // reversal, void-reversal, cancel, refund, query, or the kind of a work item
	State     string // queued, waiting, unknown, dead, refused, open
	Purchase  uint64
	Operation uint64
	Terminal  string
	Merchant  string
	Host      string
	RRN       string
	Amount    money.Amount
	Attempts  uint32
	QueuedAt  int64
	NextAt    int64 // 0 while it waits behind another or is sent no more
	ExpiresAt int64 // clearing cut-off
	Response  string
	Detail    string
}

// HoldView is one purchase that locks a subsidy and has no end yet.
type HoldView struct {
	Purchase   uint64
	State      PurchaseState
	Subsidy    money.Amount
	Leaf       string
	Since      int64 // when it came into its state
	ReservedAt int64
	ExpiresAt  int64
	Merchant   string
	Terminal   string
	Proposed   *event.Authority // of the first of two persons, while it is good
}

// PauseView is one pause that is in force or will be.
type PauseView struct {
	ID                      uint64
	City, Category, Channel string
	FromAt, ToAt            int64 // ToAt 0 = open
	By                      *event.Authority
}

// KillView is a merchant or terminal that is stopped.
type KillView struct {
	Merchant, Terminal string
	Since              int64
	By                 *event.Authority
}

// RowsView are registry rows, by the columns of the tables.
type RowsView struct{ Merchants, Terminals [][]string }

// PolicyView is the rule bundle in force.
type PolicyView struct {
	Programme string
	Versions  []string
	Files     map[string][]byte
}

// Vitals are the figures that the shell shows as metrics. They are cheap to read.
type Vitals struct {
	Queued       int // reversals and queries on their way to hosts
	Unknown      int // refunds and wallet payments whose end is not known
	Dead         int // dead letters
	WorkItems    int // open
	OpenHolds    int
	Pauses       int
	Kills        int
	LastDead     string // id of the newest dead letter, "" = none: the shell raises an alarm when it changes
	LastWorkItem uint64
}
