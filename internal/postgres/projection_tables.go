package postgres

import "huanxin/switch/projection"

// The tables of the projection: column by column beside the field that is written to it and read from it.

var purchaseTable = &table[projection.Purchase]{
	name: "purchases",
	key:  []string{"id", "month"},
	id:   "id",
	columns: []string{
		"id", "month", "state", "kind", "ordinary", "manual", "entitlement", "person", "category", "city",
		"paying_city", "located_city", "channel", "merchant", "terminal", "terminal_batch", "stan", "reserve_batch",
		"reserve_stan", "caller", "reference", "barcode", "grade", "label", "attributes", "old_item", "serial_mask",
		"serial_hash", "order_ref", "price", "base", "subsidy", "payable", "amount", "refunded", "returned",
		"refunding", "refunds_open", "kept_price", "from_claim", "leaf", "policy_version", "marks", "funders",
		"funder_parts", "items_before", "reserved_at", "expires_at", "sent_at", "captured_at", "quarantine_at",
		"restored_at", "changed_at", "wallet", "queries", "query_at", "host", "host_stan", "rrn", "card_mask",
		"card_token", "entry_mode", "response", "approval", "clearing_date", "decline_cause", "late_response",
		"late_at", "reversal", "reserved_in", "sent_in", "ended_in", "seq",
	},
	fields: func(to []any, p *projection.Purchase) []any {
		return append(to,
			&p.ID, &p.Month, &p.State, &p.Kind, &p.Ordinary, &p.Manual, &p.Entitlement, &p.Person, &p.Category, &p.City,
			&p.PayingCity, &p.LocatedCity, &p.Channel, &p.Merchant, &p.Terminal, &p.TerminalBatch, &p.STAN, &p.ReserveBatch,
			&p.ReserveSTAN, &p.Caller, &p.Reference, &p.Barcode, &p.Grade, &p.Label, &p.Attributes, &p.OldItem, &p.SerialMask,
			&p.SerialHash, &p.OrderRef, &p.Price, &p.Base, &p.Subsidy, &p.Payable, &p.Amount, &p.Refunded, &p.Returned,
			&p.Refunding, &p.RefundsOpen, &p.KeptPrice, &p.FromClaim, &p.Leaf, &p.PolicyVersion, &p.Marks, &p.Funders,
			&p.FunderParts, &p.ItemsBefore, &p.ReservedAt, &p.ExpiresAt, &p.SentAt, &p.CapturedAt, &p.QuarantineAt,
			&p.RestoredAt, &p.ChangedAt, &p.Wallet, &p.Queries, &p.QueryAt, &p.Host, &p.HostSTAN, &p.RRN, &p.CardMask,
			&p.CardToken, &p.EntryMode, &p.Response, &p.Approval, &p.ClearingDate, &p.DeclineCause, &p.LateResponse,
			&p.LateAt, &p.Reversal, &p.ReservedIn, &p.SentIn, &p.EndedIn, &p.Seq,
		)
	},
}

var holdTable = &table[projection.Hold]{
	name: "holds",
	key:  []string{"purchase", "month"},
	id:   "purchase",
	columns: []string{
		"purchase", "month", "state", "cause", "entitlement", "leaf", "subsidy", "taken_at", "expires_at", "ended_at",
		"seq",
	},
	fields: func(to []any, h *projection.Hold) []any {
		return append(to,
			&h.Purchase, &h.Month, &h.State, &h.Cause, &h.Entitlement, &h.Leaf, &h.Subsidy, &h.TakenAt, &h.ExpiresAt,
			&h.EndedAt, &h.Seq,
		)
	},
}

var captureTable = &table[projection.Capture]{
	name: "captures",
	columns: []string{
		"purchase", "month", "kind", "ordinary", "city", "merchant", "terminal", "category", "leaf", "amount", "subsidy",
		"funders", "funder_parts", "caller", "reference", "host", "rrn", "response", "approval", "clearing_date",
		"captured_at", "seq",
	},
	fields: func(to []any, c *projection.Capture) []any {
		return append(to,
			&c.Purchase, &c.Month, &c.Kind, &c.Ordinary, &c.City, &c.Merchant, &c.Terminal, &c.Category, &c.Leaf, &c.Amount,
			&c.Subsidy, &c.Funders, &c.FunderParts, &c.Caller, &c.Reference, &c.Host, &c.RRN, &c.Response, &c.Approval,
			&c.ClearingDate, &c.CapturedAt, &c.Seq,
		)
	},
}

var refundTable = &table[projection.Refund]{
	name: "refunds",
	columns: []string{
		"seq", "month", "purchase", "kind", "sale_kind", "cause", "reversal", "operation", "merchant", "leaf", "amount",
		"subsidy", "funders", "funder_parts", "refunded_at",
	},
	fields: func(to []any, r *projection.Refund) []any {
		return append(to,
			&r.Seq, &r.Month, &r.Purchase, &r.Kind, &r.SaleKind, &r.Cause, &r.Reversal, &r.Operation, &r.Merchant, &r.Leaf,
			&r.Amount, &r.Subsidy, &r.Funders, &r.FunderParts, &r.RefundedAt,
		)
	},
}

var entitlementTable = &table[projection.Entitlement]{
	name: "entitlements",
	key:  []string{"id", "month"},
	id:   "id",
	columns: []string{
		"id", "month", "state", "person", "category", "city", "channel", "id_kind", "policy_version", "reserved",
		"leaf", "purchase", "claimed_at", "expires_at", "changed_at", "seq",
	},
	fields: func(to []any, e *projection.Entitlement) []any {
		return append(to,
			&e.ID, &e.Month, &e.State, &e.Person, &e.Category, &e.City, &e.Channel, &e.IDKind, &e.PolicyVersion,
			&e.Reserved, &e.Leaf, &e.Purchase, &e.ClaimedAt, &e.ExpiresAt, &e.ChangedAt, &e.Seq,
		)
	},
}

var movementTable = &table[projection.Movement]{
	name: "budget_movements",
	columns: []string{
		"seq", "path", "month", "kind", "allocated", "held", "spent", "released", "purchase", "entitlement",
		"moved_at",
	},
	fields: func(to []any, m *projection.Movement) []any {
		return append(to,
			&m.Seq, &m.Path, &m.Month, &m.Kind, &m.Allocated, &m.Held, &m.Spent, &m.Released, &m.Purchase,
			&m.Entitlement, &m.MovedAt,
		)
	},
}

var nodeTable = &table[projection.Node]{
	name: "budget_nodes",
	key:  []string{"path"},
	columns: []string{
		"path", "parent", "root", "allocated", "held", "spent", "released", "manual", "paced", "released_on",
		"closed", "changed_at", "seq",
	},
	fields: func(to []any, n *projection.Node) []any {
		return append(to,
			&n.Path, &n.Parent, &n.Root, &n.Allocated, &n.Held, &n.Spent, &n.Released, &n.Manual, &n.Paced,
			&n.ReleasedOn, &n.Closed, &n.ChangedAt, &n.Seq,
		)
	},
}

var reversalTable = &table[projection.Reversal]{
	name: "reversals",
	key:  []string{"id", "month"},
	id:   "id",
	columns: []string{
		"id", "month", "purchase", "operation", "state", "cause", "reason", "host", "amount", "keeps_hold", "captured",
		"attempts", "querying", "next_at", "expires_at", "dead_at", "response", "outcome", "settled_by", "queued_at",
		"changed_at", "seq",
	},
	fields: func(to []any, r *projection.Reversal) []any {
		return append(to,
			&r.ID, &r.Month, &r.Purchase, &r.Operation, &r.State, &r.Cause, &r.Reason, &r.Host, &r.Amount, &r.KeepsHold,
			&r.Captured, &r.Attempts, &r.Querying, &r.NextAt, &r.ExpiresAt, &r.DeadAt, &r.Response, &r.Outcome, &r.SettledBy,
			&r.QueuedAt, &r.ChangedAt, &r.Seq,
		)
	},
}

var operationTable = &table[projection.Operation]{
	name: "operations",
	key:  []string{"id", "month"},
	id:   "id",
	columns: []string{
		"id", "month", "purchase", "kind", "state", "merchant", "terminal", "terminal_batch", "stan", "caller",
		"reference", "host", "host_stan", "rrn", "wallet", "card_mask", "amount", "activated", "whole", "returned",
		"funders", "funder_parts", "kept_price", "restores", "restore_at", "response", "approval", "clearing_date",
		"decline_cause", "late_response", "late_at", "settled_by", "sent_at", "deadline", "expires_at", "ended_at",
		"queries", "query_at", "quarantine_at", "released_at", "release_cause", "reversal", "changed_at", "seq",
	},
	fields: func(to []any, o *projection.Operation) []any {
		return append(to,
			&o.ID, &o.Month, &o.Purchase, &o.Kind, &o.State, &o.Merchant, &o.Terminal, &o.TerminalBatch, &o.STAN, &o.Caller,
			&o.Reference, &o.Host, &o.HostSTAN, &o.RRN, &o.Wallet, &o.CardMask, &o.Amount, &o.Activated, &o.Whole, &o.Returned,
			&o.Funders, &o.FunderParts, &o.KeptPrice, &o.Restores, &o.RestoreAt, &o.Response, &o.Approval, &o.ClearingDate,
			&o.DeclineCause, &o.LateResponse, &o.LateAt, &o.SettledBy, &o.SentAt, &o.Deadline, &o.ExpiresAt, &o.EndedAt,
			&o.Queries, &o.QueryAt, &o.QuarantineAt, &o.ReleasedAt, &o.ReleaseCause, &o.Reversal, &o.ChangedAt, &o.Seq,
		)
	},
}

var workItemTable = &table[projection.WorkItem]{
	name: "work_items",
	key:  []string{"id"},
	columns: []string{
		"id", "state", "kind", "purchase", "operation", "reversal", "terminal", "merchant", "response", "detail",
		"opened_at", "closed_at", "closed_by", "seq",
	},
	fields: func(to []any, w *projection.WorkItem) []any {
		return append(to,
			&w.ID, &w.State, &w.Kind, &w.Purchase, &w.Operation, &w.Reversal, &w.Terminal, &w.Merchant, &w.Response, &w.Detail,
			&w.OpenedAt, &w.ClosedAt, &w.ClosedBy, &w.Seq,
		)
	},
}

var refusalTable = &table[projection.Refusal]{
	name: "refusals",
	columns: []string{
		"seq", "month", "kind", "caller", "terminal", "merchant", "terminal_batch", "stan", "response", "reasons", "purchase",
		"entitlement", "price", "category", "city", "channel", "barcode", "policy_version", "refused_at",
	},
	fields: func(to []any, r *projection.Refusal) []any {
		return append(to,
			&r.Seq, &r.Month, &r.Kind, &r.Caller, &r.Terminal, &r.Merchant, &r.TerminalBatch, &r.STAN, &r.Response, &r.Reasons,
			&r.Purchase, &r.Entitlement, &r.Price, &r.Category, &r.City, &r.Channel, &r.Barcode, &r.PolicyVersion,
			&r.RefusedAt,
		)
	},
}
