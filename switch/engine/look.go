package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"huanxin/internal/money"
	"huanxin/subsidy"
)

// look answers what an operator wants to see. Nothing changes.
func (e *Engine) look(in *Look) {
	r := &AdminReply{Token: in.Token}
	switch what := in.What.(type) {
	case LookSAF:
		r.Result = e.lookSAF(what)
	case LookBudget:
		r.Result, r.Problems = e.lookBudget(what.Path)
	case LookHolds:
		r.Result = e.lookHolds(what)
	case LookPurchase:
		r.Result = e.viewOf(what.ID)
	case LookPauses:
		r.Result = e.lookPauses()
	case LookKills:
		list := []KillView{}
		for _, k := range e.sortedKills() {
			list = append(list, KillView{Merchant: k.merchant, Terminal: k.terminal, Since: e.kills[k].at, By: e.kills[k].set.By})
		}
		r.Result = list
	case LookKeyActs:
		r.Result = KeyActsView{e.keyActs.number, e.keyActs.chain}
	case LookKeys:
		r.Result = e.lookKeys()
	case LookRows:
		r.Result = e.lookRows(what)
	case LookPolicy:
		v := &PolicyView{Programme: e.programmeID, Files: e.files}
		if e.policy != nil {
			for i := range e.policy.Versions {
				v.Versions = append(v.Versions, e.policy.Versions[i].ID)
			}
		}
		r.Result = v
	default:
		r.Problems = []string{fmt.Sprintf("nothing is known of %T", in.What)}
	}
	e.out.Sends = append(e.out.Sends, Send{Admin: r})
}

// itemID takes the id of a SAFView apart.
func itemID(id string) (kind byte, number uint64, ok bool) {
	if len(id) < 2 || !strings.Contains("RFQW", id[:1]) {
		return 0, 0, false
	}
	n, err := strconv.ParseUint(id[1:], 10, 64)
	return id[0], n, err == nil && n > 0
}

// defaultLook bounds a list for which no limit was given.
const defaultLook = 1000

func (e *Engine) lookSAF(what LookSAF) []SAFView {
	list := []SAFView{}
	if what.ID != "" {
		if kind, id, ok := itemID(what.ID); ok {
			list = e.appendSAF(list, kind, id)
		}
		return list
	}
	limit := what.Limit
	if limit <= 0 {
		limit = defaultLook
	}
	one := []SAFView{}
	for _, of := range []struct {
		kind byte
		ids  []uint64
	}{
		{'R', slices.Sorted(maps.Keys(e.reversals))}, {'F', slices.Sorted(maps.Keys(e.unsettled))},
		{'Q', slices.Sorted(maps.Keys(e.asking))}, {'W', slices.Sorted(maps.Keys(e.items))},
	} {
		for _, id := range of.ids {
			if len(list) == limit {
				return list
			}
			if one = e.appendSAF(one[:0], of.kind, id); len(one) > 0 && (what.State == "" || what.State == one[0].State) {
				list = append(list, one[0])
			}
		}
	}
	return list
}

// appendSAF adds the item of that kind and number, if there is one to see.
func (e *Engine) appendSAF(list []SAFView, kind byte, id uint64) []SAFView {
	switch kind {
	case 'R':
		if r := e.reversals[id]; r != nil {
			return append(list, e.viewReversal(r))
		}
	case 'F': // a void that a card network has not answered yet ends by itself
		if o := e.operation(id); o != nil && o.isUnsettled() && (o.state == opUnknown || o.refund != nil) {
			return append(list, e.viewOperation(o))
		}
	case 'Q':
		if p := e.purchase(id); p != nil && p.state == Unknown {
			v := e.viewRequest(p, p.sale, SAFView{ID: fmt.Sprintf("Q%d", id), Kind: "query", State: "unknown", QueuedAt: p.changed})
			v.Attempts, v.NextAt = p.queries, p.queryAt
			return append(list, v)
		}
	case 'W':
		if e.items[id].opened != nil {
			return append(list, e.viewItem(id))
		}
	}
	return list
}

// viewRequest fills in what a request to a host says.
func (e *Engine) viewRequest(p *purchase, r request, v SAFView) SAFView {
	terminal := p.terminal()
	v.Purchase, v.Terminal, v.Merchant = p.id, strings.Trim(string(terminal[:]), " \x00"), p.merchant()
	v.Host, v.RRN = r.GetHost(), r.GetRrn()
	if v.Amount == 0 {
		v.Amount = money.Amount(r.GetAmount())
	}
	return v
}

func (e *Engine) viewReversal(r *reversal) SAFView {
	p := e.purchase(r.purchase)
	v := SAFView{
		ID: fmt.Sprintf("R%d", r.id), Kind: "reversal", State: r.state.String(), Operation: r.operation, Amount: r.amount,
		Attempts: r.attempt, QueuedAt: r.queuedAt, NextAt: r.nextAt, ExpiresAt: r.expiresAt, Response: r.response, Detail: r.reason,
	}
	switch {
	case r.operation != 0:
		v.Kind = "void-reversal"
	case p.sale.Wallet:
		v.Kind = "cancel"
	}
	if r.state == reversalQueued && r.waits() {
		v.State = "waiting"
	}
	return e.viewRequest(p, e.requestOf(p, r.operation), v)
}

func (e *Engine) viewOperation(o *operation) SAFView {
	v := SAFView{
		ID: fmt.Sprintf("F%d", o.id), Kind: "refund", State: o.state.String(), Operation: o.id, Attempts: o.queries,
		QueuedAt: o.changed, NextAt: o.queryAt, ExpiresAt: o.expiresAt,
	}
	if o.void != nil {
		v.Kind = "void"
	}
	if o.item != 0 {
		v.State = "dead"
	}
	return e.viewRequest(e.purchase(o.purchase), o.request(), v)
}

func (e *Engine) viewItem(id uint64) SAFView {
	item := e.items[id]
	m := item.opened
	v := SAFView{
		ID: fmt.Sprintf("W%d", id), Kind: m.Kind, State: "open", Purchase: m.Purchase, Operation: m.Operation, Terminal: m.Terminal,
		Merchant: m.Merchant, QueuedAt: item.at, Response: m.Response, Detail: m.Detail,
	}
	if p := e.purchase(m.Purchase); p != nil && p.sale != nil {
		v = e.viewRequest(p, e.requestOf(p, m.Operation), v)
	}
	return v
}

func (e *Engine) lookBudget(path string) ([]subsidy.NodeView, []string) {
	tree := e.book.Budget
	if _, ok := tree.Find(path); !ok {
		return nil, []string{fmt.Sprintf("no budget node %q", path)}
	}
	list := []subsidy.NodeView{}
	for id := range tree.Len() {
		v := tree.View(subsidy.NodeID(id))
		if path == "" || v.Path == path || strings.HasPrefix(v.Path, path+"/") {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, func(a, b subsidy.NodeView) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}

// lookHolds lists the oldest first. Of those that are open no more are unpacked than are shown.
func (e *Engine) lookHolds(what LookHolds) []HoldView {
	type hold struct {
		since int64
		id    uint64
	}
	var all []hold
	for since, id := range e.open() {
		if e.now-since >= what.OlderThan {
			all = append(all, hold{since, id})
		}
	}
	slices.SortFunc(all, func(a, b hold) int { return cmp.Or(cmp.Compare(a.since, b.since), cmp.Compare(a.id, b.id)) })
	if what.Limit <= 0 {
		what.Limit = defaultLook
	}
	list := []HoldView{}
	for _, h := range all[:min(what.Limit, len(all))] {
		list = append(list, e.viewHold(e.purchase(h.id)))
	}
	return list
}

func (e *Engine) viewHold(p *purchase) HoldView {
	v := HoldView{
		Purchase: p.id, State: p.state, Subsidy: p.subsidy, Leaf: e.book.Budget.Path(p.leaf), Since: p.changed,
		ReservedAt: p.reservedAt, ExpiresAt: p.reserved.ExpiresAt, Merchant: p.merchant(),
	}
	if !p.overHTTP() {
		terminal := p.terminal()
		v.Terminal = text(terminal[:])
	}
	if e.proposed(p) {
		v.Proposed = p.proposal.By
	}
	return v
}

func (e *Engine) lookPauses() []PauseView {
	list := []PauseView{}
	for _, id := range slices.Sorted(maps.Keys(e.pauses)) {
		p := e.pauses[id]
		if p.to != 0 && p.to <= e.now {
			continue
		}
		list = append(list, PauseView{
			ID: id, City: p.set.City, Category: p.set.Category, Channel: p.set.Channel, FromAt: p.set.FromAt, ToAt: p.to, By: p.set.By,
		})
	}
	return list
}

func (e *Engine) lookRows(what LookRows) *RowsView {
	v := &RowsView{}
	for m := range e.registry.Merchants() {
		if what.Terminal == "" && (what.Merchant == "" || what.Merchant == m.ID) {
			v.Merchants = append(v.Merchants, m.Record())
		}
	}
	for t := range e.registry.Terminals() {
		if what.Terminal == t.ID || what.Terminal == "" && (what.Merchant == "" || what.Merchant == t.Merchant) {
			v.Terminals = append(v.Terminals, t.Record())
		}
	}
	return v
}

// Vitals are the figures that the shell shows as metrics.
func (e *Engine) Vitals() Vitals {
	return Vitals{
		Queued: e.queued, Unknown: len(e.asking) + e.unknown, Dead: e.dead, WorkItems: len(e.items), OpenHolds: e.book.OpenHolds(),
		Pauses: len(e.pauses), Kills: len(e.kills), LastDead: e.lastDead, LastWorkItem: e.lastItem,
	}
}

// proposed reports whether the first of two persons wants the hold released, not too long ago.
func (e *Engine) proposed(p *purchase) bool { return p.proposal != nil && e.now < p.proposal.ExpiresAt }
