package postgres

import "huanxin/switch/projection"

// The tables of the projection: column by column beside the field that is written to it and read from it.

var purchaseTable = &table[projection.Purchase]{
	name: "purchases",
	key:  []string{"id", "month"},
	id:   "id",
	columns: []string{
		"id", "month", "state", "ordinary", "entitlement", "person", "category", "city", "paying_city",
		"located_city", "channel", "merchant", "terminal", "terminal_batch", "stan", "barcode", "serial_mask",
		"order_ref", "price", "base", "subsidy", "payable", "amount", "from_claim", "leaf", "policy_version", "marks",
		"funders", "funder_parts", "items_before", "reserved_at", "expires_at", "sent_at", "changed_at", "host", "host_stan", "rrn", "card_mask",
		"entry_mode", "response", "approval", "clearing_date", "decline_cause", "late_response", "late_at",
		"reversal", "seq",
	},
	fields: func(p *projection.Purchase) []any {
		return []any{
			&p.ID, &p.Month, &p.State, &p.Ordinary, &p.Entitlement, &p.Person, &p.Category, &p.City, &p.PayingCity,
			&p.LocatedCity, &p.Channel, &p.Merchant, &p.Terminal, &p.TerminalBatch, &p.STAN, &p.Barcode,
			&p.SerialMask, &p.OrderRef, &p.Price, &p.Base, &p.Subsidy, &p.Payable, &p.Amount, &p.FromClaim, &p.Leaf,
			&p.PolicyVersion, &p.Marks, &p.Funders, &p.FunderParts, &p.ItemsBefore, &p.ReservedAt, &p.ExpiresAt, &p.SentAt, &p.ChangedAt, &p.Host,
			&p.HostSTAN, &p.RRN, &p.CardMask, &p.EntryMode, &p.Response, &p.Approval, &p.ClearingDate,
			&p.DeclineCause, &p.LateResponse, &p.LateAt, &p.Reversal, &p.Seq,
		}
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
	fields: func(h *projection.Hold) []any {
		return []any{
			&h.Purchase, &h.Month, &h.State, &h.Cause, &h.Entitlement, &h.Leaf, &h.Subsidy, &h.TakenAt, &h.ExpiresAt,
			&h.EndedAt, &h.Seq,
		}
	},
}

var captureTable = &table[projection.Capture]{
	name: "captures",
	columns: []string{
		"purchase", "month", "ordinary", "city", "merchant", "terminal", "category", "leaf", "amount", "subsidy",
		"host", "rrn", "response", "approval", "clearing_date", "captured_at", "seq",
	},
	fields: func(c *projection.Capture) []any {
		return []any{
			&c.Purchase, &c.Month, &c.Ordinary, &c.City, &c.Merchant, &c.Terminal, &c.Category, &c.Leaf, &c.Amount,
			&c.Subsidy, &c.Host, &c.RRN, &c.Response, &c.Approval, &c.ClearingDate, &c.CapturedAt, &c.Seq,
		}
	},
}

var refundTable = &table[projection.Refund]{
	name: "refunds",
	columns: []string{
		"seq", "month", "purchase", "kind", "cause", "reversal", "leaf", "amount", "subsidy", "refunded_at",
	},
	fields: func(r *projection.Refund) []any {
		return []any{
			&r.Seq, &r.Month, &r.Purchase, &r.Kind, &r.Cause, &r.Reversal, &r.Leaf, &r.Amount, &r.Subsidy,
			&r.RefundedAt,
		}
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
	fields: func(e *projection.Entitlement) []any {
		return []any{
			&e.ID, &e.Month, &e.State, &e.Person, &e.Category, &e.City, &e.Channel, &e.IDKind, &e.PolicyVersion,
			&e.Reserved, &e.Leaf, &e.Purchase, &e.ClaimedAt, &e.ExpiresAt, &e.ChangedAt, &e.Seq,
		}
	},
}

var movementTable = &table[projection.Movement]{
	name: "budget_movements",
	columns: []string{
		"seq", "path", "month", "kind", "allocated", "held", "spent", "released", "purchase", "entitlement",
		"moved_at",
	},
	fields: func(m *projection.Movement) []any {
		return []any{
			&m.Seq, &m.Path, &m.Month, &m.Kind, &m.Allocated, &m.Held, &m.Spent, &m.Released, &m.Purchase,
			&m.Entitlement, &m.MovedAt,
		}
	},
}

var nodeTable = &table[projection.Node]{
	name: "budget_nodes",
	key:  []string{"path"},
	columns: []string{
		"path", "parent", "root", "allocated", "held", "spent", "released", "paced", "released_on", "closed",
		"changed_at", "seq",
	},
	fields: func(n *projection.Node) []any {
		return []any{
			&n.Path, &n.Parent, &n.Root, &n.Allocated, &n.Held, &n.Spent, &n.Released, &n.Paced, &n.ReleasedOn,
			&n.Closed, &n.ChangedAt, &n.Seq,
		}
	},
}

var reversalTable = &table[projection.Reversal]{
	name: "reversals",
	key:  []string{"id", "month"},
	id:   "id",
	columns: []string{
		"id", "month", "purchase", "state", "cause", "reason", "host", "amount", "attempts", "next_at", "response",
		"queued_at", "changed_at", "seq",
	},
	fields: func(r *projection.Reversal) []any {
		return []any{
			&r.ID, &r.Month, &r.Purchase, &r.State, &r.Cause, &r.Reason, &r.Host, &r.Amount, &r.Attempts, &r.NextAt,
			&r.Response, &r.QueuedAt, &r.ChangedAt, &r.Seq,
		}
	},
}

var workItemTable = &table[projection.WorkItem]{
	name: "work_items",
	columns: []string{
		"id", "kind", "purchase", "reversal", "response", "detail", "opened_at", "seq",
	},
	fields: func(w *projection.WorkItem) []any {
		return []any{
			&w.ID, &w.Kind, &w.Purchase, &w.Reversal, &w.Response, &w.Detail, &w.OpenedAt, &w.Seq,
		}
	},
}

var refusalTable = &table[projection.Refusal]{
	name: "refusals",
	columns: []string{
		"seq", "month", "kind", "terminal", "merchant", "terminal_batch", "stan", "response", "reasons", "purchase",
		"entitlement", "price", "category", "city", "channel", "barcode", "policy_version", "refused_at",
	},
	fields: func(r *projection.Refusal) []any {
		return []any{
			&r.Seq, &r.Month, &r.Kind, &r.Terminal, &r.Merchant, &r.TerminalBatch, &r.STAN, &r.Response, &r.Reasons,
			&r.Purchase, &r.Entitlement, &r.Price, &r.Category, &r.City, &r.Channel, &r.Barcode, &r.PolicyVersion,
			&r.RefusedAt,
		}
	},
}

var terminalTable = &table[projection.Terminal]{
	name: "terminals",
	key:  []string{"id"},
	columns: []string{
		"id", "merchant", "batch", "signed_on", "signed_on_at", "signed_off_at", "seq",
	},
	fields: func(t *projection.Terminal) []any {
		return []any{
			&t.ID, &t.Merchant, &t.Batch, &t.SignedOn, &t.SignedOnAt, &t.SignedOffAt, &t.Seq,
		}
	},
}

var programmeTable = &table[projection.Programme]{
	name: "programme",
	key:  []string{"one"},
	columns: []string{
		"name", "person_key_check", "epoch", "owner", "software", "policy_digest", "policy_versions", "policy_at",
		"seq",
	},
	fields: func(p *projection.Programme) []any {
		return []any{
			&p.Name, &p.PersonKeyCheck, &p.Epoch, &p.Owner, &p.Software, &p.PolicyDigest, &p.PolicyVersions,
			&p.PolicyAt, &p.Seq,
		}
	},
}
