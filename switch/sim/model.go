package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"huanxin/internal/money"
	"huanxin/subsidy"
	"huanxin/switch/engine"
	"huanxin/switch/event"
)

// model is what must be, worked out from the facts alone with plain maps, by somebody who has read the rules and not the
// engine. It reads what is durable, in order, and says which fact must not be.
type model struct {
	w          *world
	at         int64
	purchases  map[uint64]*purchaseFact
	bySale     map[string]uint64 // RRN → purchase
	ops        map[uint64]*operationFact
	serials    map[string]uint64 // live purchase of a serial
	items      map[string]int    // live items by person and category
	nodes      map[string]*nodeFact
	claims     map[uint64]*event.EntitlementClaimed
	using      map[uint64]uint64          // entitlement → purchase that has it
	keys       map[string]int64           // key of a reserve, sale, void or refund → when it was first decided on
	undone     map[string]bool            // keys whose 0400 was answered 00 or 25
	pauses     map[uint64]*event.PauseSet // open
	lifted     map[uint64]int64
	kills      map[string]bool
	opened     map[uint64]*event.WorkItemOpened
	quarantine map[uint64]bool
	late       map[string]bool      // numbers of requests of which a late answer is recorded
	working    map[string]*keyFacts // keys, by terminal
	epoch      uint64
	sessions   map[string]*session
	days       map[string]string // the clearing day that a host is on
	targets    map[string]target // of a till's key
	requests   map[string]int64  // over HTTP → when it was decided on
}

// purchaseFact is one purchase as the facts have it.
type purchaseFact struct {
	id                      uint64
	person, serial          string
	entitlement             uint64
	leaf, version           string
	price, subsidy, payable int64
	granted                 int64 // the subsidy at first
	held, spent             bool  // what it has of the budget
	owns                    bool  // serial, item and entitlement
	kind                    event.SaleKind
	rrn, host               string
	amount, refunded        int64
	refunding               int                // refunds without an end
	whole                   bool               // all of it is refunded
	underWay                bool               // sent, and not answered
	key                     *event.ExchangeKey // of the sale; none over HTTP
	card                    string
	date                    string // DE15
	expires                 int64  // of the hold
	captured, pending       bool
	keeps                   bool // a wallet's: let go when the reversal is done
	voidedBy                uint64
	manual                  bool
}

type operationFact struct {
	purchase uint64
	void     bool
	rrn      string
	amount   int64
	approved bool
	declined bool
	settled  bool // by a person: a void that was to be taken back stands
}

type nodeFact struct {
	allocated, held, spent int64
	closed                 bool
}

func newModel(w *world) *model {
	return &model{
		w: w, purchases: map[uint64]*purchaseFact{}, bySale: map[string]uint64{}, ops: map[uint64]*operationFact{},
		serials: map[string]uint64{}, items: map[string]int{}, nodes: map[string]*nodeFact{}, keys: map[string]int64{},
		claims: map[uint64]*event.EntitlementClaimed{}, using: map[uint64]uint64{}, undone: map[string]bool{},
		pauses: map[uint64]*event.PauseSet{}, lifted: map[uint64]int64{}, kills: map[string]bool{},
		late: map[string]bool{}, working: map[string]*keyFacts{}, opened: map[uint64]*event.WorkItemOpened{}, quarantine: map[uint64]bool{},
		sessions: map[string]*session{}, days: map[string]string{}, targets: map[string]target{}, requests: map[string]int64{},
	}
}

// must fails when a fact breaks a rule.
func (m *model) must(ok bool, rule, format string, args ...any) {
	if !ok {
		m.w.fail(rule, format, args...)
	}
}

func keyText(k *event.ExchangeKey) string {
	if k.GetTerminal() == "" {
		return ""
	}
	return fmt.Sprintf("%d/%s/%s/%d/%d", k.Class, k.Terminal, k.Merchant, k.Batch, k.Stan)
}

// once says that a key was decided on. Within 48 hours the same message is the same purchase, midnight or not.
func (m *model) once(k *event.ExchangeKey, what string) {
	key := keyText(k)
	if key == "" {
		return
	}
	first, known := m.keys[key]
	m.must(!known || m.at-first >= int64(48*time.Hour), "a message is decided once", "%s under key %s, which was decided before", what, key)
	m.must(!m.undone[key] || m.at-first >= int64(48*time.Hour), "what was reversed never happens", "%s under key %s", what, key)
	m.keys[key] = m.at
}

// read takes the next fact.
func (m *model) read(ev *event.Event) {
	m.must(ev.At >= m.at, "time does not go back", "event %d", ev.Seq)
	m.at = ev.At
	switch b := ev.Body.(type) {
	case *event.Event_OwnershipTaken:
		m.must(b.OwnershipTaken.Epoch == m.epoch+1, "one owner at a time", "epoch %d follows %d", b.OwnershipTaken.Epoch, m.epoch)
		m.epoch = b.OwnershipTaken.Epoch
	case *event.Event_EntitlementClaimed:
		m.claims[b.EntitlementClaimed.Entitlement] = b.EntitlementClaimed
	case *event.Event_Reserved:
		m.reserved(b.Reserved)
	case *event.Event_SaleSent:
		m.saleSent(b.SaleSent)
	case *event.Event_SaleApproved:
		m.saleApproved(b.SaleApproved)
	case *event.Event_SaleDeclined:
		m.purchases[b.SaleDeclined.Purchase].underWay = false
		m.letGo(b.SaleDeclined.Purchase)
	case *event.Event_ReserveRefused:
		m.went(b.ReserveRefused.Key)
	case *event.Event_SaleRefused:
		m.went(b.SaleRefused.Key)
	case *event.Event_RequestKept:
		m.requestKept(b.RequestKept)
	case *event.Event_HoldExpired:
		m.w.count("turn: hold expired")
		m.letGo(b.HoldExpired.Purchase)
	case *event.Event_HoldCancelled:
		if b.HoldCancelled.Cause == event.CancelCause_CANCEL_CAUSE_OPERATOR {
			m.w.count("turn: hold released by two")
			by := b.HoldCancelled.By
			m.must(by.GetActor() != "" && by.GetSecond() != "" && by.GetActor() != by.GetSecond(), "two persons release a hold", "purchase %d", b.HoldCancelled.Purchase)
		}
		m.letGo(b.HoldCancelled.Purchase)
	case *event.Event_ReversalAnswered:
		if r := b.ReversalAnswered; r.Response == "00" || r.Response == "25" {
			key := keyText(r.Key)
			m.undone[key] = true
			m.keys[key] = m.at
		}
	case *event.Event_ReversalQueued:
		m.reversalQueued(b.ReversalQueued)
	case *event.Event_ReversalDead:
		m.w.count("turn: dead letter")
	case *event.Event_LateAnswer:
		m.w.count("turn: late answer recorded")
		rrn := m.purchases[b.LateAnswer.Purchase].rrn
		if o := m.ops[b.LateAnswer.Operation]; o != nil {
			rrn = o.rrn
		}
		m.late[rrn] = true
	case *event.Event_PaymentUnknown:
		m.w.count("turn: wallet is asked")
	case *event.Event_ReversalDone:
		m.reversalEnds(b.ReversalDone.Purchase)
	case *event.Event_ReversalResolved:
		m.w.count("turn: settled by a person")
		m.reversalResolved(b.ReversalResolved)
	default:
		m.readOperation(ev)
	}
}

func (m *model) readOperation(ev *event.Event) {
	switch b := ev.Body.(type) {
	case *event.Event_VoidSent:
		v := b.VoidSent
		m.once(v.Key, "a void is sent")
		p := m.purchases[v.Purchase]
		m.must(p.captured && p.refunded == 0 && p.refunding == 0 && v.Amount == p.amount, "a void is of a whole captured sale", "void %d of purchase %d",
			v.Operation, p.id)
		m.must(string(v.Card.GetToken()) == p.card && v.Key.Terminal == p.key.GetTerminal(), "who paid is given back", "void %d of purchase %d", v.Operation, p.id)
		m.sameDay(p, m.went(v.Key), "a void")
		m.targets[keyText(v.Key)] = target{p.id, v.Operation}
		m.ops[v.Operation] = &operationFact{purchase: v.Purchase, void: true, rrn: v.Rrn, amount: v.Amount}
		p.voidedBy = v.Operation
	case *event.Event_VoidDeclined:
		m.purchases[b.VoidDeclined.Purchase].voidedBy = 0
	case *event.Event_VoidApproved:
		p := m.purchases[b.VoidApproved.Purchase]
		m.ops[b.VoidApproved.Operation].approved = true
		m.day(p.host, b.VoidApproved.Answer)
		m.must(p.captured, "a void is of a captured sale", "purchase %d", p.id)
		p.captured, m.quarantine[p.id] = false, true
	case *event.Event_VoidReleased:
		p := m.purchases[b.VoidReleased.Purchase]
		m.must(!p.captured && m.quarantine[p.id], "what a void frees is not charged any more", "purchase %d", p.id)
		delete(m.quarantine, p.id)
		if b.VoidReleased.Cause == event.QuarantineEnd_QUARANTINE_END_TIME {
			m.w.count("turn: quarantine ended by time")
		}
		m.letGo(p.id)
	case *event.Event_RefundSent:
		r := b.RefundSent
		m.once(r.Key, "a refund is sent")
		m.ops[r.Operation] = &operationFact{purchase: r.Purchase, rrn: r.Rrn, amount: r.Amount}
		p := m.purchases[r.Purchase]
		m.must(p.captured && p.voidedBy == 0, "a refund is of a captured sale", "purchase %d", r.Purchase)
		m.must(r.Card == nil || string(r.Card.Token) == p.card, "who paid is given back", "refund %d of purchase %d", r.Operation, p.id)
		p.refunding++
		if s := m.went(r.Key); s != nil {
			s.refunds = append(s.refunds, r.Operation)
			m.targets[keyText(r.Key)] = target{p.id, r.Operation}
		}
	case *event.Event_RefundApproved:
		m.refundApproved(b.RefundApproved)
	case *event.Event_RefundDeclined:
		m.ops[b.RefundDeclined.Operation].declined = true
		m.purchases[b.RefundDeclined.Purchase].refunding--
	case *event.Event_RefundUnknown:
		m.w.count("turn: refund without an answer")
	case *event.Event_EntitlementRestored:
		m.disown(m.purchases[b.EntitlementRestored.Purchase])
	case *event.Event_BatchSettled:
		m.batchSettled(b.BatchSettled)
	case *event.Event_TerminalSignedOn:
		if s := m.sessions[b.TerminalSignedOn.Terminal]; s != nil {
			m.must(s.batch == b.TerminalSignedOn.Batch, "batches follow each other", "%s signs on into %d, has %d", b.TerminalSignedOn.Terminal,
				b.TerminalSignedOn.Batch, s.batch)
		}
		if s := b.TerminalSignedOn; s.Keys != nil {
			m.keysDelivered(s.Terminal, s.Keys)
		}
	case *event.Event_TerminalKeysProved:
		m.keysProved(b.TerminalKeysProved)
	default:
		m.readOperator(ev)
	}
}

// keyFacts are the working keys of one terminal.
type keyFacts struct {
	last            uint32 // generation
	pending, active map[uint32]*event.WorkingKeys
}

// keysDelivered: pending keys are delivered again, and only another master key has others take their place; those of another kind are
// none of their business. A sign-on that is sent again after its keys are proved is told the same keys.
func (m *model) keysDelivered(terminal string, keys *event.WorkingKeys) {
	k := m.working[terminal]
	if k == nil {
		k = &keyFacts{pending: map[uint32]*event.WorkingKeys{}, active: map[uint32]*event.WorkingKeys{}}
		m.working[terminal] = k
	}
	pending := k.pending[keys.Kind]
	if len(keys.Wrapped) == 0 {
		m.must(pending.GetGeneration() == keys.Generation || pending == nil && k.active[keys.Kind].GetGeneration() == keys.Generation,
			"only pending keys are delivered again", "%s: generation %d", terminal, keys.Generation)
		return
	}
	m.must(keys.Generation == k.last+1, "working keys are delivered in order", "%s: generation %d after %d", terminal, keys.Generation, k.last)
	m.must(pending == nil || string(pending.Master) != string(keys.Master), "pending keys are not replaced", "%s: generation %d", terminal, keys.Generation)
	k.last, k.pending[keys.Kind] = keys.Generation, keys
	if pending != nil {
		m.w.count("turn: pending keys replaced")
	}
}

func (m *model) keysProved(proved *event.TerminalKeysProved) {
	m.w.count("turn: working keys proved")
	k := m.working[proved.Terminal]
	for kind, p := range k.pending {
		if p.Generation == proved.Generation {
			k.active[kind] = p
			delete(k.pending, kind)
			return
		}
	}
	m.must(false, "only pending keys are proved, once", "%s: generation %d", proved.Terminal, proved.Generation)
}

func (m *model) readOperator(ev *event.Event) {
	switch b := ev.Body.(type) {
	case *event.Event_BudgetNodeSet:
		if b.BudgetNodeSet.Actor != "setup" {
			m.w.count("turn: budget changed")
		}
		m.node(b.BudgetNodeSet.Path).allocated = b.BudgetNodeSet.Amount
	case *event.Event_BudgetRoundClosed:
		m.w.count("turn: round closed")
		n := m.node(b.BudgetRoundClosed.Path)
		m.must(b.BudgetRoundClosed.Returned == n.allocated-n.held-n.spent, "a closed round gives back what is free", "%s", b.BudgetRoundClosed.Path)
		n.allocated, n.closed = n.allocated-b.BudgetRoundClosed.Returned, true
	case *event.Event_BudgetReleased:
		if b.BudgetReleased.By != nil {
			m.w.count("turn: budget changed")
		}
	case *event.Event_PolicyApplied:
		if len(b.PolicyApplied.Versions) > 1 {
			m.w.count("turn: policy changed")
		}
	case *event.Event_PauseSet:
		m.w.count("turn: paused")
		m.pauses[b.PauseSet.Pause] = b.PauseSet
	case *event.Event_PauseLifted:
		m.lifted[b.PauseLifted.Pause] = b.PauseLifted.FromAt
	case *event.Event_KillSwitchSet:
		m.w.count("turn: stopped")
		m.kills[b.KillSwitchSet.Merchant+b.KillSwitchSet.Terminal] = b.KillSwitchSet.On
	case *event.Event_Supplemented:
		m.w.count("turn: supplement by hand")
		f := b.Supplemented.Facts
		p := m.purchases[f.Purchase]
		m.must(p.captured && p.subsidy == 0 && p.person == "" && p.refunded == 0, "a supplement is for a captured sale without a subsidy", "purchase %d", p.id)
		m.takes(p, f)
		p.held, p.spent, p.manual = false, true, true
		m.move(p.leaf, 0, p.subsidy)
	case *event.Event_WorkItemOpened:
		m.opened[b.WorkItemOpened.Item] = b.WorkItemOpened
	case *event.Event_WorkItemClosed:
		// A charge that stands is paid back by other means: the bank does it when the item is closed.
		if o := m.opened[b.WorkItemClosed.Item]; o.GetKind() == "repayment" {
			p := m.purchases[o.Purchase]
			m.w.hosts[p.host].charged[p.rrn] = 0
		}
	}
}

func (m *model) node(path string) *nodeFact {
	if m.nodes[path] == nil {
		m.nodes[path] = &nodeFact{}
	}
	return m.nodes[path]
}

// move changes what a leaf, and every node above it, holds and has spent. What comes free on a closed leaf is its parent's.
func (m *model) move(leaf string, held, spent int64) {
	if n := m.node(leaf); n.closed && held+spent < 0 {
		n.allocated += held + spent
	}
	for path := leaf; ; path = path[:max(0, strings.LastIndexByte(path, '/'))] {
		n := m.node(path)
		n.held, n.spent = n.held+held, n.spent+spent
		m.must(n.held >= 0 && n.spent >= 0 && n.held+n.spent <= n.allocated, "spent + held + free = allocated",
			"node %q: held %d, spent %d, allocated %d", path, n.held, n.spent, n.allocated)
		if path == "" {
			return
		}
	}
}

// rates are the subsidies of grade 1 by policy version, in per cent; the cap is 2000.
var rates = map[string]int64{"t-1": 20, "t-2": 10}

// quotas are the items of a category that a person may have.
var quotas = map[string]int{"A01": 1, "A02": 1, "A04": 3}

// takes enters what a purchase has of person, serial and budget.
func (m *model) takes(p *purchaseFact, f *event.Reserved) {
	p.person, p.serial, p.entitlement, p.leaf = string(f.Person)+f.Category, string(f.Serial), f.Entitlement, f.Leaf
	p.version = f.PolicyVersion
	p.price, p.subsidy, p.granted, p.payable = f.Price, f.Subsidy, f.Subsidy, f.Payable
	m.must(m.serials[p.serial] == 0, "a serial belongs to one live purchase", "purchase %d takes that of purchase %d", p.id, m.serials[p.serial])
	m.must(m.items[p.person] < quotas[f.Category], "no person gets more items than the quota", "purchase %d", p.id)
	m.must(m.using[p.entitlement] == 0, "an entitlement is one purchase", "purchase %d takes that of purchase %d", p.id, m.using[p.entitlement])
	c := m.claims[p.entitlement]
	m.must(c != nil && c.Category == f.Category && string(c.Person) == string(f.Person), "an entitlement is its person's", "purchase %d", p.id)
	want := min(f.Price*rates[f.PolicyVersion]/100, 200_000)
	m.must(f.Subsidy == want && f.Subsidy > 0, "the subsidy is the policy's", "purchase %d over %d gets %d, not %d", p.id, f.Price, f.Subsidy, want)
	var parts int64
	for _, part := range f.Parts {
		parts += part.Amount
	}
	m.must(parts == f.Subsidy, "the payers' parts are the subsidy", "purchase %d", p.id)
	m.serials[p.serial], m.using[p.entitlement], p.owns = p.id, p.id, true
	m.items[p.person]++
}

func (m *model) reserved(f *event.Reserved) {
	m.once(f.Key, "a reserve")
	m.must(m.purchases[f.Purchase] == nil, "purchases are numbered once", "%d", f.Purchase)
	m.must(f.Price == f.Subsidy+f.Payable, "price = subsidy + payable", "purchase %d", f.Purchase)
	for id, pause := range m.pauses {
		lifted := m.lifted[id]
		in := pause.FromAt <= m.at && (lifted == 0 || m.at < lifted)
		m.must(!in || pause.City != "" && pause.City != f.City || pause.Category != "" && pause.Category != f.Category ||
			pause.Channel != "" && pause.Channel != f.Channel, "nothing is granted while it is paused", "purchase %d", f.Purchase)
	}
	m.must(!m.kills[strings.TrimSpace(f.Key.Merchant)] && !m.kills[strings.TrimSpace(f.Key.Terminal)] || f.Key.Merchant == "", "nothing new for who is stopped", "purchase %d", f.Purchase)
	p := &purchaseFact{id: f.Purchase, expires: f.ExpiresAt}
	m.purchases[p.id] = p
	if m.went(f.Key) != nil {
		m.targets[keyText(f.Key)] = target{purchase: p.id}
	}
	m.takes(p, f)
	p.held = true
	m.must(!m.node(p.leaf).closed, "nothing is taken from a closed round", "purchase %d", p.id)
	m.move(p.leaf, p.subsidy, 0)
	m.w.stats.Purchases++
}

func (m *model) saleSent(s *event.SaleSent) {
	m.once(s.Key, "a sale is sent")
	p := m.purchases[s.Purchase]
	if s.Ordinary {
		m.must(p == nil, "purchases are numbered once", "%d", s.Purchase)
		p = &purchaseFact{id: s.Purchase}
		m.purchases[p.id] = p
		m.w.stats.Purchases++
	} else {
		m.must(p != nil && p.held && p.rrn == "", "a hold carries one sale", "purchase %d", s.Purchase)
		m.must(m.at < p.expires, "a sale comes before its hold ends", "purchase %d", s.Purchase)
		m.must(s.Amount == p.payable, "what is charged is the payable", "purchase %d", s.Purchase)
	}
	m.must(m.bySale[s.Rrn] == 0, "a host request has a number of its own", "%s", s.Rrn)
	p.rrn, p.host, p.amount, p.kind, p.card, p.underWay = s.Rrn, s.Host, s.Amount, s.Kind, string(s.Card.GetToken()), true
	if session := m.went(s.Key); session != nil {
		session.sales = append(session.sales, p.id)
		m.targets[keyText(s.Key)] = target{purchase: p.id}
		p.key = s.Key
	}
	m.bySale[s.Rrn] = p.id
}

func (m *model) saleApproved(a *event.SaleApproved) {
	p := m.purchases[a.Purchase]
	m.must(!p.captured && !p.pending && p.rrn != "", "only a sale under way is captured", "purchase %d", p.id)
	if p.host != engine.ExternalHost {
		m.must(m.w.hosts[p.host].gross[p.rrn] == p.amount, "nothing is subsidised without a charge",
			"purchase %d over %d is captured, the host has charged %d", p.id, p.amount, m.w.hosts[p.host].gross[p.rrn])
	}
	if p.held {
		m.move(p.leaf, -p.subsidy, p.subsidy)
		p.held, p.spent = false, true
	}
	p.captured, p.underWay, p.date = true, false, a.Answer.GetClearingDate()
	m.day(p.host, a.Answer)
	m.w.stats.Captured++
}

// letGo gives back all that a purchase has.
func (m *model) letGo(id uint64) {
	p := m.purchases[id]
	switch {
	case p.held:
		m.move(p.leaf, -p.subsidy, 0)
	case p.spent:
		m.move(p.leaf, 0, -p.subsidy)
	}
	p.held, p.spent, p.captured = false, false, false
	m.disown(p)
}

// disown frees serial, item and entitlement.
func (m *model) disown(p *purchaseFact) {
	if !p.owns {
		return
	}
	m.must(m.serials[p.serial] == p.id && m.using[p.entitlement] == p.id, "a serial is freed by its own purchase", "purchase %d", p.id)
	delete(m.serials, p.serial)
	delete(m.using, p.entitlement)
	m.items[p.person]--
	p.owns = false
}

func (m *model) reversalQueued(r *event.ReversalQueued) {
	p := m.purchases[r.Purchase]
	if r.Operation != 0 { // a void is taken back
		m.ops[r.Operation].approved = false
		if p.voidedBy == r.Operation {
			m.must(p.captured || m.quarantine[p.id], "a void is taken back while its purchase still has everything", "purchase %d", p.id)
			delete(m.quarantine, p.id)
			p.captured, p.voidedBy = true, 0
		}
		return
	}
	m.must(p.refunded == 0 && p.refunding == 0, "what is refunded is never reversed", "purchase %d", p.id)
	if p.captured && r.Cause == event.ReversalCause_REVERSAL_CAUSE_TERMINAL {
		s := m.sessions[p.key.GetTerminal()]
		m.must(s != nil && s.last == keyText(p.key), "a sale is reversed before the next message of its till", "purchase %d", p.id)
		m.sameDay(p, s, "a reversal")
	}
	p.underWay = false
	m.must(r.KeepsHold || r.By != nil || !hostProfiles[p.host].Wallet || !p.held && !p.spent, "what a wallet may still charge keeps its hold",
		"purchase %d", p.id)
	p.pending, p.captured = true, false
	if p.keeps = r.KeepsHold; !p.keeps {
		m.letGo(p.id)
	}
}

func (m *model) reversalEnds(id uint64) {
	if p := m.purchases[id]; p.keeps {
		p.keeps = false
		m.letGo(id)
	}
}

func (m *model) reversalResolved(r *event.ReversalResolved) {
	p := m.purchases[r.Purchase]
	if r.Operation != 0 {
		if r.Outcome == "returned" { // the void stands
			m.must(p.captured, "a void that stands is of a captured sale", "purchase %d", p.id)
			o := m.ops[r.Operation]
			o.approved, o.settled, p.voidedBy = true, true, r.Operation
			m.w.hosts[p.host].giveBack(o.rrn, p.rrn, o.amount)
			m.letGo(p.id)
		}
		return
	}
	m.reversalEnds(p.id)
}

func (m *model) refundApproved(r *event.RefundApproved) {
	o, p := m.ops[r.Operation], m.purchases[r.Purchase]
	m.must(p.captured, "a refund is of a captured sale", "purchase %d", p.id)
	if !o.declined {
		p.refunding--
	}
	o.approved = true
	m.day(p.host, r.Answer)
	p.refunded += o.amount
	if r.By != nil { // by the clearing file; what the host has not given back, the bank does
		m.w.hosts[p.host].giveBack(o.rrn, p.rrn, o.amount)
	}
	m.must(p.refunded <= p.amount, "never more is refunded than was paid", "purchase %d: %d of %d", p.id, p.refunded, p.amount)
	var parts int64
	for _, part := range r.Parts {
		m.must(part.Amount >= 0, "a payer gets back what it paid", "purchase %d", p.id)
		parts += part.Amount
	}
	m.must(parts == r.Returned && r.Returned <= p.subsidy, "the payers' parts are what is returned", "purchase %d", p.id)
	if p.spent && r.Returned > 0 {
		m.move(p.leaf, 0, -r.Returned)
	}
	p.subsidy -= r.Returned
	if p.spent && !r.Whole {
		want := p.amount - p.refunded // what is still paid, and the subsidy that is due on top of that
		if rate := rates[p.version]; p.manual {
			want = want * rate / 100
		} else {
			want = want * rate / (100 - rate)
		}
		m.must(p.subsidy <= want+1 && (p.subsidy >= want-1 || p.subsidy == 0), "what is kept has the subsidy of what is kept",
			"purchase %d of %d keeps %d after a refund, not %d", p.id, p.amount, p.subsidy, want)
	}
	if r.Whole {
		m.must(p.subsidy == 0 || p.person == "", "of what is given back as a whole no subsidy stays", "purchase %d keeps %d", p.id, p.subsidy)
		p.captured, p.spent, p.whole = false, false, true
	}
}

// requestKept: within 35 days a request over HTTP is decided once.
func (m *model) requestKept(r *event.RequestKept) {
	first, known := m.requests[string(r.Request)]
	m.must(!known || m.at-first >= int64(35*24*time.Hour), "a message is decided once", "request %x over HTTP, which was decided before", r.Request)
	m.requests[string(r.Request)] = m.at
}

// compare holds the budget, the holds and what is taken against an engine that is equally far.
func (m *model) compare(e *engine.Engine) {
	tree := e.Book().Budget
	for _, path := range slices.Sorted(keysOf(m.nodes)) {
		n := m.nodes[path]
		id, ok := tree.Find(path)
		m.must(ok, "books equal the model", "no budget node %q", path)
		v := tree.View(id)
		m.must(v.Allocated == money.Amount(n.allocated) && v.Held == money.Amount(n.held) && v.Spent == money.Amount(n.spent),
			"books equal the model", "node %q: allocated %s, held %s, spent %s; the model has %d, %d, %d", path, v.Allocated, v.Held, v.Spent,
			n.allocated, n.held, n.spent)
	}
	held := 0
	for _, p := range m.purchases {
		if p.held {
			held++
		}
	}
	m.must(held == e.Book().OpenHolds(), "open holds = held", "the book counts %d, the model %d", e.Book().OpenHolds(), held)
}

// compareSerials is the slower half of compare, for the end of a history.
func (m *model) compareSerials(e *engine.Engine) {
	for _, serial := range slices.Sorted(keysOf(m.serials)) {
		id := m.serials[serial]
		m.must(e.Book().SerialHolder(engine.Hash([]byte(serial))) == id, "a used serial belongs to one live purchase", "purchase %d", id)
	}
	for _, id := range slices.Sorted(keysOf(m.using)) {
		p := m.using[id]
		en, ok := e.Book().Entitlement(id)
		m.must(ok && en.Purchase == p && (en.State == subsidy.Held || en.State == subsidy.Used), "an entitlement is one purchase", "entitlement %d", id)
	}
}

// checkBudget is the law of the budget on every node.
func checkBudget(e *engine.Engine) error {
	tree := e.Book().Budget
	for id := range tree.Len() {
		if v := tree.View(subsidy.NodeID(id)); v.Spent+v.Held+v.Free != v.Allocated || v.Free < 0 || v.Held < 0 || v.Spent < 0 {
			return fmt.Errorf("node %q: spent %s, held %s, free %s, allocated %s", v.Path, v.Spent, v.Held, v.Free, v.Allocated)
		}
	}
	return nil
}

// sorted are the purchases by number.
func (m *model) sorted() []*purchaseFact {
	list := make([]*purchaseFact, 0, len(m.purchases))
	for _, id := range slices.Sorted(keysOf(m.purchases)) {
		list = append(list, m.purchases[id])
	}
	return list
}
