package control

import (
	"encoding/hex"

	"huanxin/internal/money"
	"huanxin/subsidy"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/trail"
)

// SAFItem is one thing on its way to a host, or waiting for a person. See engine.SAFView.
type SAFItem struct {
	ID        string        `json:"id"`
	Kind      string        `json:"kind"`
	State     string        `json:"state"`
	Purchase  uint64        `json:"purchase,omitempty"`
	Operation uint64        `json:"operation,omitempty"`
	Terminal  string        `json:"terminal,omitempty"`
	Merchant  string        `json:"merchant,omitempty"`
	Host      string        `json:"host,omitempty"`
	RRN       string        `json:"rrn,omitempty"`
	Amount    money.Amount  `json:"amount_fen"`
	Attempts  uint32        `json:"attempts"`
	QueuedAt  trail.Instant `json:"queued_at"`
	NextAt    trail.Instant `json:"next_at"`
	ExpiresAt trail.Instant `json:"expires_at"`
	Response  string        `json:"response,omitempty"`
	Detail    string        `json:"detail,omitempty"`
}

func safItem(v engine.SAFView) SAFItem {
	return SAFItem{
		ID: v.ID, Kind: v.Kind, State: v.State, Purchase: v.Purchase, Operation: v.Operation, Terminal: v.Terminal, Merchant: v.Merchant,
		Host: v.Host, RRN: v.RRN, Amount: v.Amount, Attempts: v.Attempts, QueuedAt: trail.Instant(v.QueuedAt),
		NextAt: trail.Instant(v.NextAt), ExpiresAt: trail.Instant(v.ExpiresAt), Response: v.Response, Detail: v.Detail,
	}
}

// BudgetNode is one node of the budget. See subsidy.NodeView.
type BudgetNode struct {
	Path       string       `json:"path"`
	Allocated  money.Amount `json:"allocated_fen"`
	Held       money.Amount `json:"held_fen"`
	Spent      money.Amount `json:"spent_fen"`
	Free       money.Amount `json:"free_fen"`
	Released   money.Amount `json:"released_fen"`
	Paced      bool         `json:"paced"`
	ReleasedOn string       `json:"released_on,omitempty"`
	Manual     money.Amount `json:"manual_fen"`
	Closed     bool         `json:"closed"`
	Leaf       bool         `json:"leaf"`
}

func budgetNode(v subsidy.NodeView) BudgetNode {
	return BudgetNode{
		Path: v.Path, Allocated: v.Allocated, Held: v.Held, Spent: v.Spent, Free: v.Free, Released: v.Released, Paced: v.Paced,
		ReleasedOn: v.ReleasedOn, Manual: v.Manual, Closed: v.Closed, Leaf: v.Leaf,
	}
}

// Hold is a purchase that locks a subsidy and has no end yet.
type Hold struct {
	Purchase  uint64           `json:"purchase"`
	State     string           `json:"state"`
	Subsidy   money.Amount     `json:"subsidy_fen"`
	Leaf      string           `json:"leaf"`
	Since     trail.Instant    `json:"since"` // when it came into its state
	ExpiresAt trail.Instant    `json:"expires_at"`
	Merchant  string           `json:"merchant,omitempty"`
	Terminal  string           `json:"terminal,omitempty"`
	Proposed  *event.Authority `json:"proposed,omitempty"` // by the first of two persons
}

func hold(v engine.HoldView) Hold {
	return Hold{
		Purchase: v.Purchase, State: v.State.String(), Subsidy: v.Subsidy, Leaf: v.Leaf, Since: trail.Instant(v.Since),
		ExpiresAt: trail.Instant(v.ExpiresAt), Merchant: v.Merchant, Terminal: v.Terminal, Proposed: v.Proposed,
	}
}

// Pause is in force, or will be.
type Pause struct {
	ID       uint64           `json:"id"`
	City     string           `json:"city,omitempty"`
	Category string           `json:"category,omitempty"`
	Channel  string           `json:"channel,omitempty"`
	From     trail.Instant    `json:"from"`
	To       trail.Instant    `json:"to"` // "" = open
	By       *event.Authority `json:"by,omitempty"`
}

func pause(v engine.PauseView) Pause {
	return Pause{ID: v.ID, City: v.City, Category: v.Category, Channel: v.Channel, From: trail.Instant(v.FromAt),
		To: trail.Instant(v.ToAt), By: v.By}
}

// Stop is a merchant or terminal that is stopped.
type Stop struct {
	Merchant string           `json:"merchant,omitempty"`
	Terminal string           `json:"terminal,omitempty"`
	Since    trail.Instant    `json:"since"`
	By       *event.Authority `json:"by,omitempty"`
}

func stop(v engine.KillView) Stop {
	return Stop{Merchant: v.Merchant, Terminal: v.Terminal, Since: trail.Instant(v.Since), By: v.By}
}

// Registry are rows by the columns of the tables.
type Registry struct {
	Merchants [][]string `json:"merchants"`
	Terminals [][]string `json:"terminals"`
}

// Policy is the rule bundle in force. Files is empty before the first one.
type Policy struct {
	Programme string            `json:"programme"`
	Digest    string            `json:"digest"`
	Versions  []string          `json:"versions"`
	Files     map[string][]byte `json:"files,omitempty"`
}

// Story is how a purchase stands now, as far as the engine still knows it, and everything that has happened to it.
type Story struct {
	Now *Purchase `json:"now,omitempty"`
	trail.Trail
}

// Purchase is how a purchase stands.
type Purchase struct {
	State         string        `json:"state"`
	Ordinary      bool          `json:"ordinary,omitempty"`
	Manual        bool          `json:"manual,omitempty"`
	Merchant      string        `json:"merchant,omitempty"`
	Terminal      string        `json:"terminal,omitempty"`
	Batch         uint32        `json:"batch,omitempty"`
	STAN          uint32        `json:"stan,omitempty"`
	Caller        string        `json:"caller,omitempty"`
	Price         money.Amount  `json:"price_fen"`
	Subsidy       money.Amount  `json:"subsidy_fen"`
	Payable       money.Amount  `json:"payable_fen"`
	Amount        money.Amount  `json:"amount_fen"`
	Refunded      money.Amount  `json:"refunded_fen"`
	Returned      money.Amount  `json:"returned_fen"`
	Refunding     money.Amount  `json:"refunding_fen"`
	ReservedAt    trail.Instant `json:"reserved_at"`
	SentAt        trail.Instant `json:"sent_at"`
	Host          string        `json:"host,omitempty"`
	RRN           string        `json:"rrn,omitempty"`
	CardMask      string        `json:"card_mask,omitempty"`
	Category      string        `json:"category,omitempty"`
	Barcode       string        `json:"barcode,omitempty"`
	SerialMask    string        `json:"serial_mask,omitempty"`
	Order         string        `json:"order,omitempty"`
	PolicyVersion string        `json:"policy_version,omitempty"`
	Marks         []string      `json:"marks,omitempty"`
}

func purchase(v *engine.PurchaseView) *Purchase {
	if v == nil {
		return nil
	}
	return &Purchase{
		State: v.State.String(), Ordinary: v.Ordinary, Manual: v.Manual, Merchant: v.Merchant, Terminal: v.Terminal, Batch: v.Batch,
		STAN: v.STAN, Caller: v.Caller, Price: v.Price, Subsidy: v.Subsidy, Payable: v.Payable, Amount: v.Amount, Refunded: v.Refunded,
		Returned: v.Returned, Refunding: v.Refunding, ReservedAt: trail.Instant(v.ReservedAt), SentAt: trail.Instant(v.SentAt),
		Host: v.Host, RRN: v.RRN, CardMask: v.CardMask, Category: v.Category, Barcode: v.Barcode, SerialMask: v.SerialMask,
		Order: v.Order, PolicyVersion: v.PolicyVersion, Marks: v.Marks,
	}
}

// FindRequest names a purchase by what is known of it; everything that is given must be so.
type FindRequest struct {
	Terminal string `json:"terminal,omitempty"`
	STAN     uint32 `json:"stan,omitempty"`
	RRN      string `json:"rrn,omitempty"`
	Card     string `json:"card,omitempty"`   // token, hexadecimal
	Serial   string `json:"serial,omitempty"` // in clear; hashed by the switch
	Person   string `json:"person,omitempty"` // token, hexadecimal
	Limit    int    `json:"limit,omitempty"`  // default 50, at most 1000
}

// Finding is what was found, the newest first.
type Finding struct {
	Purchases  []trail.Found `json:"purchases"`
	More       bool          `json:"more,omitempty"` // there are more than the limit
	Incomplete string        `json:"incomplete,omitempty"`
}

func digestText(sum [32]byte) string { return hex.EncodeToString(sum[:]) }

// each converts a list.
func each[A, B any](list []A, convert func(A) B) []B {
	out := make([]B, len(list))
	for i := range list {
		out[i] = convert(list[i])
	}
	return out
}
