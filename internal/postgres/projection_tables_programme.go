package postgres

import "huanxin/switch/projection"

// The tables of the projection that are not about one purchase: terminals, operators, the programme itself.

var terminalTable = &table[projection.Terminal]{
	name: "terminals",
	key:  []string{"id"},
	columns: []string{
		"id", "merchant", "batch", "signed_on", "signed_on_at", "signed_off_at", "seq",
	},
	fields: func(to []any, t *projection.Terminal) []any {
		return append(to,
			&t.ID, &t.Merchant, &t.Batch, &t.SignedOn, &t.SignedOnAt, &t.SignedOffAt, &t.Seq,
		)
	},
}

var programmeTable = &table[projection.Programme]{
	name: "programme",
	key:  []string{"one"},
	columns: []string{
		"name", "person_key_check", "epoch", "owner", "software", "policy_digest", "policy_versions", "policy_at",
		"seq",
	},
	fields: func(to []any, p *projection.Programme) []any {
		return append(to,
			&p.Name, &p.PersonKeyCheck, &p.Epoch, &p.Owner, &p.Software, &p.PolicyDigest, &p.PolicyVersions,
			&p.PolicyAt, &p.Seq,
		)
	},
}

var terminalBatchTable = &table[projection.TerminalBatch]{
	name: "batches",
	key:  []string{"id", "month"},
	columns: []string{
		"id", "month", "terminal", "merchant", "batch", "stan", "next_batch", "equal", "claimed_debit",
		"claimed_debit_count", "claimed_credit", "claimed_credit_count", "claimed_subsidy", "claimed_subsidy_count",
		"kept_debit", "kept_debit_count", "kept_credit", "kept_credit_count", "kept_subsidy", "kept_subsidy_count",
		"upload", "matched", "differing", "sent", "missing", "settled_at", "uploaded_at", "seq",
	},
	fields: func(to []any, b *projection.TerminalBatch) []any {
		c, k := &b.Claimed, &b.Kept
		return append(to,
			&b.ID, &b.Month, &b.Key.Terminal, &b.Key.Merchant, &b.Key.Batch, &b.STAN, &b.NextBatch, &b.Equal, &c.Debit,
			&c.DebitCount, &c.Credit, &c.CreditCount, &c.Subsidy, &c.SubsidyCount,
			&k.Debit, &k.DebitCount, &k.Credit, &k.CreditCount, &k.Subsidy, &k.SubsidyCount,
			&b.Upload, &b.Matched, &b.Differing, &b.Sent, &b.Missing, &b.SettledAt, &b.UploadedAt, &b.Seq,
		)
	},
}

var reportTable = &table[projection.TerminalReport]{
	name: "terminal_reports",
	columns: []string{
		"seq", "month", "terminal", "merchant", "terminal_batch", "stan", "kind", "purchase", "icc", "detail",
		"reported_at",
	},
	fields: func(to []any, r *projection.TerminalReport) []any {
		return append(to,
			&r.Seq, &r.Month, &r.Terminal, &r.Merchant, &r.TerminalBatch, &r.STAN, &r.Kind, &r.Purchase, &r.ICC, &r.Detail,
			&r.ReportedAt,
		)
	},
}

var inquiryTable = &table[projection.Inquiry]{
	name: "inquiries",
	key:  []string{"id", "month"},
	columns: []string{
		"id", "month", "terminal", "merchant", "terminal_batch", "stan", "host", "host_stan", "rrn", "response",
		"sent_at", "ended_at", "seq",
	},
	fields: func(to []any, i *projection.Inquiry) []any {
		return append(to,
			&i.ID, &i.Month, &i.Terminal, &i.Merchant, &i.TerminalBatch, &i.STAN, &i.Host, &i.HostSTAN, &i.RRN, &i.Response,
			&i.SentAt, &i.EndedAt, &i.Seq,
		)
	},
}

var requestTable = &table[projection.Request]{
	name: "requests",
	columns: []string{
		"seq", "month", "request", "content", "kind", "purchase", "operation", "reasons", "price", "kept_at",
	},
	fields: func(to []any, r *projection.Request) []any {
		return append(to,
			&r.Seq, &r.Month, &r.Request, &r.Content, &r.Kind, &r.Purchase, &r.Operation, &r.Reasons, &r.Price, &r.KeptAt,
		)
	},
}

var pauseTable = &table[projection.Pause]{
	name: "pauses",
	key:  []string{"id"},
	columns: []string{
		"id", "city", "category", "channel", "from_at", "to_at", "set_at", "set_by", "reason", "document", "lifted_at",
		"lifted_by", "lifted_reason", "lifted_document", "seq",
	},
	fields: func(to []any, p *projection.Pause) []any {
		return append(to,
			&p.ID, &p.City, &p.Category, &p.Channel, &p.FromAt, &p.ToAt, &p.SetAt, &p.SetBy, &p.Reason, &p.Document, &p.LiftedAt,
			&p.LiftedBy, &p.LiftedReason, &p.LiftedDocument, &p.Seq,
		)
	},
}

var killSwitchTable = &table[projection.KillSwitch]{
	name:    "kill_switches",
	key:     []string{"merchant", "terminal"},
	columns: []string{"merchant", "terminal", "stopped", "changed_at", "changed_by", "reason", "document", "seq"},
	fields: func(to []any, k *projection.KillSwitch) []any {
		return append(to, &k.Merchant, &k.Terminal, &k.Stopped, &k.ChangedAt, &k.ChangedBy, &k.Reason, &k.Document, &k.Seq)
	},
}

var actTable = &table[projection.OperatorAct]{
	name: "operator_acts",
	columns: []string{
		"seq", "kind", "actor", "second", "reason", "document", "account", "what", "purchase", "acted_at",
	},
	fields: func(to []any, a *projection.OperatorAct) []any {
		return append(to,
			&a.Seq, &a.Kind, &a.Actor, &a.Second, &a.Reason, &a.Document, &a.Account, &a.What, &a.Purchase, &a.ActedAt,
		)
	},
}

var supplementTable = &table[projection.Supplement]{
	name: "supplements",
	columns: []string{
		"seq", "month", "purchase", "entitlement", "city", "merchant", "category", "leaf", "price", "amount", "subsidy",
		"funders", "funder_parts", "case_id", "evidence", "actor", "second", "reason", "document", "supplemented_at",
	},
	fields: func(to []any, s *projection.Supplement) []any {
		return append(to,
			&s.Seq, &s.Month, &s.Purchase, &s.Entitlement, &s.City, &s.Merchant, &s.Category, &s.Leaf, &s.Price, &s.Amount,
			&s.Subsidy, &s.Funders, &s.FunderParts, &s.CaseID, &s.Evidence, &s.Actor, &s.Second, &s.Reason, &s.Document,
			&s.SupplementedAt,
		)
	},
}

var trailTable = &table[projection.Trail]{
	name:    "purchase_positions",
	columns: []string{"purchase", "position", "month"},
	fields:  func(to []any, t *projection.Trail) []any { return append(to, &t.Purchase, &t.Position, &t.Month) },
}
