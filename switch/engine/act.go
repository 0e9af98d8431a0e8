package engine

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"huanxin/internal/money"
	"huanxin/subsidy"
	"huanxin/subsidy/policy"
	"huanxin/subsidy/reason"
	"huanxin/subsidy/registry"
	"huanxin/switch/event"
)

// plan is what an act would do: the facts, in order, or what stands against it. What the engine then does by itself, such
// as sending a reversal that was put back, is in after.
type plan struct {
	problems []string
	events   []*event.Event
	after    func()
}

func (p *plan) problem(format string, args ...any) {
	p.problems = append(p.problems, fmt.Sprintf(format, args...))
}

func (p *plan) add(events ...*event.Event) { p.events = append(p.events, events...) }

// operate carries out one act of an operator. Everything is judged before the first fact; a dry run stops there.
func (e *Engine) operate(in *Operate) {
	var p plan
	e.judgeAuthority(in, &p)
	if len(p.problems) == 0 {
		e.plan(in, &p)
	}
	r := &AdminReply{Token: in.Token, Problems: p.problems}
	if len(p.problems) == 0 {
		r.Events = p.events
		if !in.DryRun {
			before := len(e.out.Events)
			for _, ev := range p.events {
				e.emit(ev)
			}
			if p.after != nil {
				p.after()
			}
			r.Events = slices.Clone(e.out.Events[before:])
			r.Changed = len(r.Events)
		}
	}
	e.out.Sends = append(e.out.Sends, Send{Admin: r})
}

// Limits of what is written down about an act, in bytes.
const (
	maxActor    = 64
	maxReason   = 400
	maxDocument = 100
)

// judgeAuthority demands a name, a reason and, but for the settling of items on their way to hosts, a document.
func (e *Engine) judgeAuthority(in *Operate, p *plan) {
	by := &in.By
	document := true
	switch in.Act.(type) {
	case RetryItem, ResolveItem:
		document = false
	}
	switch {
	case strings.TrimSpace(by.Actor) == "":
		p.problem("nobody is named: by whom?")
	case strings.TrimSpace(by.Reason) == "":
		p.problem("no reason is given")
	case document && strings.TrimSpace(by.Document) == "":
		p.problem("no document number is given")
	case len(by.Actor) > maxActor || len(by.Reason) > maxReason || len(by.Document) > maxDocument:
		p.problem("name, reason or document is longer than %d, %d and %d bytes", maxActor, maxReason, maxDocument)
	}
}

func (e *Engine) plan(in *Operate, p *plan) {
	switch act := in.Act.(type) {
	case ApplyPolicy:
		e.planPolicy(in, act, p)
	case ReleaseBudget:
		e.planRelease(in, act, p)
	case TransferBudget:
		e.planTransfer(in, act, p)
	case LowerBudget:
		e.planLower(in, act, p)
	case Pause:
		e.planPause(in, act, p)
	case Resume:
		e.planResume(in, act, p)
	case Kill:
		e.planKill(in, act, p)
	case ChangeRows:
		e.planRows(in, act, p)
	case SetState:
		e.planState(in, act, p)
	case ReleaseHold:
		e.planReleaseHold(in, act, p)
	case Supplement:
		e.planSupplement(in, act, p)
	case RetryItem:
		e.planRetry(in, act, p)
	case ResolveItem:
		e.planResolve(in, act, p)
	default:
		p.problem("no act of type %T", in.Act)
	}
}

// ---- Policy and budget ----------------------------------------------------------------------------------------------

func (e *Engine) planPolicy(in *Operate, act ApplyPolicy, p *plan) {
	next, err := policy.Compile(act.Files)
	if err != nil {
		p.problems = strings.Split(err.Error(), "\n")
		return
	}
	if e.policy != nil {
		p.problems = policy.Forward(e.policy, next, e.now)
	}
	if p.problems = append(p.problems, e.judgeProgramme(next)...); len(p.problems) > 0 || bytes.Equal(e.digest, next.Digest[:]) {
		return
	}
	m := &event.PolicyApplied{
		Digest: next.Digest[:], Files: policy.Rules(act.Files), Actor: in.By.Actor, Reason: in.By.Reason, Document: in.By.Document,
		Account: in.By.Account,
	}
	for i := range next.Versions {
		m.Versions = append(m.Versions, next.Versions[i].ID)
	}
	p.add(&event.Event{Body: &event.Event_PolicyApplied{PolicyApplied: m}})
	changes, _ := e.budgetChanges(next) // judged above
	for _, c := range changes {
		p.add(in.allocate(c.Path, money.Amount(c.Amount)))
	}
	p.after = e.budgetDue
}

// allocate is the fact that a node has an allocation by the operator's order.
func (in *Operate) allocate(path string, amount money.Amount) *event.Event {
	return &event.Event{Body: &event.Event_BudgetNodeSet{BudgetNodeSet: &event.BudgetNodeSet{
		Path: path, Amount: int64(amount), Actor: in.By.Actor, Reason: in.By.Reason, Document: in.By.Document, Account: in.By.Account,
	}}}
}

// node finds an open budget node for an act.
func (e *Engine) node(path string, p *plan) (subsidy.NodeView, bool) {
	id, ok := e.book.Budget.Find(path)
	if !ok {
		p.problem("no budget node %q", path)
		return subsidy.NodeView{}, false
	}
	v := e.book.Budget.View(id)
	if v.Closed {
		p.problem("budget node %q: its round is over", path)
	}
	return v, !v.Closed
}

func (e *Engine) planRelease(in *Operate, act ReleaseBudget, p *plan) {
	v, ok := e.node(act.Path, p)
	switch {
	case !ok:
	case act.Amount <= 0:
		p.problem("the amount must be above zero")
	case !v.Leaf || !v.Paced:
		p.problem("budget node %q has no release plan: all of it is at disposal", act.Path)
	case act.Amount > v.Allocated-v.Released:
		p.problem("budget node %q: %s more wanted, %s of %s are released", act.Path, act.Amount, v.Released, v.Allocated)
	default:
		p.add(&event.Event{Body: &event.Event_BudgetReleased{BudgetReleased: &event.BudgetReleased{
			Path: act.Path, Amount: int64(act.Amount), Released: int64(v.Released + act.Amount), Day: v.ReleasedOn,
			Manual: int64(v.Manual + act.Amount), By: &in.By,
		}}})
	}
}

// planTransfer moves allocation from one node to another. Every node between either of them and their nearest common
// ancestor moves with it, in an order in which each step is legal: what shrinks from below, what grows from above.
func (e *Engine) planTransfer(in *Operate, act TransferBudget, p *plan) {
	from, okFrom := e.node(act.From, p)
	to, okTo := e.node(act.To, p)
	if !okFrom || !okTo {
		return
	}
	if act.Amount <= 0 || from.Path == to.Path {
		p.problem("want an amount above zero and two nodes")
		return
	}
	var changes []*event.BudgetNodeSet
	up, down := ancestry(from.Path), ancestry(to.Path)
	for _, path := range up {
		if !slices.Contains(down, path) {
			changes = append(changes, e.moved(path, -act.Amount))
		}
	}
	for i := len(down) - 1; i >= 0; i-- {
		if !slices.Contains(up, down[i]) {
			changes = append(changes, e.moved(down[i], act.Amount))
		}
	}
	e.planAllocations(in, changes, p)
}

// ancestry is a path and all paths above it, the root last.
func ancestry(path string) []string {
	list := []string{path}
	for path != "" {
		path = path[:max(0, strings.LastIndexByte(path, '/'))]
		list = append(list, path)
	}
	return list
}

func (e *Engine) moved(path string, by money.Amount) *event.BudgetNodeSet {
	id, _ := e.book.Budget.Find(path)
	return &event.BudgetNodeSet{Path: path, Amount: int64(e.book.Budget.View(id).Allocated + by)}
}

func (e *Engine) planLower(in *Operate, act LowerBudget, p *plan) {
	if _, ok := e.node(act.Path, p); !ok {
		return
	}
	if act.Amount <= 0 {
		p.problem("the amount must be above zero")
		return
	}
	e.planAllocations(in, []*event.BudgetNodeSet{e.moved(act.Path, -act.Amount)}, p)
}

func (e *Engine) planAllocations(in *Operate, changes []*event.BudgetNodeSet, p *plan) {
	if err := e.rehearse(changes); err != nil {
		p.problem("%v", err)
		return
	}
	for _, c := range changes {
		p.add(in.allocate(c.Path, money.Amount(c.Amount)))
	}
	p.after = e.budgetDue
}

// ---- Stops ----------------------------------------------------------------------------------------------------------

// maxStops bounds pauses and kill switches: every reserve asks them all.
const maxStops = 1000

func (e *Engine) planPause(in *Operate, act Pause, p *plan) {
	e.judgeScope(act, p)
	if len(e.pauses) >= maxStops {
		p.problem("%d pauses are in force, no more are taken", len(e.pauses))
	}
	if act.FromAt != 0 && act.FromAt < e.now {
		p.problem("a pause cannot begin in the past")
	}
	p.add(&event.Event{Body: &event.Event_PauseSet{PauseSet: &event.PauseSet{
		Pause: e.lastPause + 1, City: act.City, Category: act.Category, Channel: act.Channel, FromAt: max(act.FromAt, e.now), By: &in.By,
	}}})
}

// judgeScope demands that a scope names what the programme knows: a pause of a misspelt city would pause nobody.
func (e *Engine) judgeScope(act Pause, p *plan) {
	if e.policy == nil {
		p.problem("no policy is in force")
		return
	}
	if _, ok := e.policy.CityIndex(act.City); !ok && act.City != "" {
		p.problem("no city %q in the programme", act.City)
	}
	if _, ok := e.policy.CategoryIndex(act.Category); !ok && act.Category != "" {
		p.problem("no category %q in the programme", act.Category)
	}
	if _, ok := e.policy.ChannelIndex(act.Channel); !ok && act.Channel != "" {
		p.problem("no channel %q in the programme", act.Channel)
	}
}

func (e *Engine) planResume(in *Operate, act Resume, p *plan) {
	if act.FromAt != 0 && act.FromAt < e.now {
		p.problem("a pause cannot end in the past")
	}
	for _, v := range e.lookPauses() {
		if v.City == act.City && v.Category == act.Category && v.Channel == act.Channel && (v.ToAt == 0 || act.FromAt < v.ToAt) {
			p.add(&event.Event{Body: &event.Event_PauseLifted{PauseLifted: &event.PauseLifted{
				Pause: v.ID, FromAt: max(act.FromAt, e.now), By: &in.By,
			}}})
		}
	}
	if len(p.events) == 0 {
		p.problem("no pause with just this scope is in force")
	}
}

func (e *Engine) planKill(in *Operate, act Kill, p *plan) {
	known := e.registry.Merchant(act.Merchant) != nil
	if act.Terminal != "" {
		known = e.registry.Terminal(act.Terminal) != nil
	}
	stopped := e.kills[killKey{act.Merchant, act.Terminal}] != nil
	switch {
	case (act.Merchant == "") == (act.Terminal == ""):
		p.problem("want a merchant or a terminal")
	case !known:
		p.problem("no such merchant or terminal: %s%s", act.Merchant, act.Terminal)
	case stopped != act.Off:
		p.problem("%s%s is %s", act.Merchant, act.Terminal, map[bool]string{true: "stopped already", false: "not stopped"}[stopped])
	case !act.Off && len(e.kills) >= maxStops:
		p.problem("%d merchants and terminals are stopped, no more are taken", len(e.kills))
	}
	p.add(&event.Event{Body: &event.Event_KillSwitchSet{KillSwitchSet: &event.KillSwitchSet{
		Merchant: act.Merchant, Terminal: act.Terminal, On: !act.Off, By: &in.By,
	}}})
}

// ---- Registry -------------------------------------------------------------------------------------------------------

func (e *Engine) planRows(in *Operate, act ChangeRows, p *plan) {
	if n := len(act.Merchants) + len(act.Terminals); n == 0 || n > maxRows {
		p.problem("%d rows, want 1 to %d", n, maxRows)
		return
	}
	merchants, seen := map[string]bool{}, map[string]bool{}
	known := func(kind, id string, is bool) {
		switch name := kind + " " + id; {
		case seen[name]:
			p.problem("%s stands twice", name)
		case is && act.AddOnly:
			p.problem("%s %s is there already", kind, id)
		case !is && act.ChangeOnly:
			p.problem("no %s %s", kind, id)
		}
		seen[kind+" "+id] = true
	}
	for _, row := range act.Merchants {
		m, err := registry.ParseMerchant(row)
		if err != nil {
			p.problem("merchant %s: %v", first(row), err)
			continue
		}
		old := e.registry.Merchant(m.ID)
		known("merchant", m.ID, old != nil)
		merchants[m.ID] = true
		if e.policy != nil {
			if _, ok := e.policy.CityIndex(m.City); !ok {
				p.problem("merchant %s: no city %s in the programme", m.ID, m.City)
			}
		}
		if old == nil || !slices.Equal(old.Record(), m.Record()) {
			p.add(&event.Event{Body: &event.Event_MerchantSet{MerchantSet: &event.MerchantSet{Columns: m.Record(), By: &in.By}}})
		}
	}
	for _, row := range act.Terminals {
		t, err := registry.ParseTerminal(row)
		if err != nil {
			p.problem("terminal %s: %v", first(row), err)
			continue
		}
		if _, ok := t.SerialHash(); !ok {
			p.problem("terminal %s: %s", t.ID, clearSerial)
			continue
		}
		old := e.registry.Terminal(t.ID)
		known("terminal", t.ID, old != nil)
		if e.registry.Merchant(t.Merchant) == nil && !merchants[t.Merchant] {
			p.problem("terminal %s: no merchant %s", t.ID, t.Merchant)
		}
		if old != nil && old.Merchant != t.Merchant {
			if s := e.terminals[terminalID(t.ID)]; s != nil && (len(s.items) > 0 || len(s.pending) > 0) {
				p.problem("terminal %s has an open batch with merchant %s: settle it first", t.ID, old.Merchant)
			}
		}
		if old == nil || *old != t {
			p.add(&event.Event{Body: &event.Event_TerminalSet{TerminalSet: &event.TerminalSet{Columns: t.Record(), By: &in.By}}})
		}
	}
}

func (e *Engine) planState(in *Operate, act SetState, p *plan) {
	state := registry.State(act.State)
	m, t := e.registry.Merchant(act.Merchant), e.registry.Terminal(act.Terminal)
	switch {
	case state != registry.Active && state != registry.Suspended:
		p.problem("state %q: want active or suspended", act.State)
	case (act.Merchant == "") == (act.Terminal == ""):
		p.problem("want a merchant or a terminal")
	case act.Merchant != "" && m == nil || act.Terminal != "" && t == nil:
		p.problem("no such merchant or terminal: %s%s", act.Merchant, act.Terminal)
	case m != nil && m.State == state || t != nil && t.State == state:
		p.problem("%s%s is %s already", act.Merchant, act.Terminal, state)
	case m != nil:
		row := *m
		row.State = state
		p.add(&event.Event{Body: &event.Event_MerchantSet{MerchantSet: &event.MerchantSet{Columns: row.Record(), By: &in.By}}})
	default:
		row := *t
		row.State = state
		p.add(&event.Event{Body: &event.Event_TerminalSet{TerminalSet: &event.TerminalSet{Columns: row.Record(), By: &in.By}}})
	}
}

// ---- Purchases ------------------------------------------------------------------------------------------------------

// proposalLife is how long the word of the first of two persons is good.
const proposalLife = int64(15 * time.Minute)

func (e *Engine) planReleaseHold(in *Operate, act ReleaseHold, p *plan) {
	held := e.purchase(act.Purchase)
	if held == nil || held.reserved == nil {
		p.problem("no subsidised purchase %d", act.Purchase)
		return
	}
	switch held.state {
	case Reserved, Sent, Unknown:
	case Voiding, Voided:
		p.problem("purchase %d is %s: it ends by itself", held.id, held.state)
		return
	case Refunding, Reversing:
		p.problem("purchase %d is %s: settle its item with `saf resolve`", held.id, held.state)
		return
	default:
		p.problem("purchase %d is %s and holds nothing open", held.id, held.state)
		return
	}
	if !e.proposed(held) {
		p.add(&event.Event{Body: &event.Event_HoldReleaseProposed{HoldReleaseProposed: &event.HoldReleaseProposed{
			Purchase: held.id, By: &in.By, ExpiresAt: e.now + proposalLife,
		}}})
		return
	}
	if first := held.proposal.By; strings.EqualFold(strings.TrimSpace(first.Actor), strings.TrimSpace(in.By.Actor)) {
		p.problem("%s has proposed it: somebody else must release it", first.Actor)
		return
	}
	by := event.Authority{
		Actor: held.proposal.By.Actor, Second: in.By.Actor, Reason: in.By.Reason, Document: in.By.Document, Account: in.By.Account,
	}
	if held.state == Reserved {
		p.add(&event.Event{Body: &event.Event_HoldCancelled{HoldCancelled: &event.HoldCancelled{
			Purchase: held.id, Cause: event.CancelCause_CANCEL_CAUSE_OPERATOR, By: &by,
		}}})
		p.after = func() { e.expireIfReleased(held) }
		return
	}
	m := &event.ReversalQueued{
		Reversal: e.lastReversal + 1, Purchase: held.id, Cause: event.ReversalCause_REVERSAL_CAUSE_OPERATOR, Reason: "06",
		HostStan: held.sale.HostStan, TransmittedAt: held.sale.TransmittedAt, Amount: held.sale.Amount, FirstAttemptAt: e.now, By: &by,
	}
	if !held.sale.Wallet {
		m.ExpiresAt = e.expiry(held.sale.Host, "", held.sale.TransmittedAt)
	}
	p.add(&event.Event{Body: &event.Event_ReversalQueued{ReversalQueued: m}})
	p.after = func() {
		e.start(held, m.Reversal)
		e.expireIfReleased(held)
		e.answerWaiting(waitPurchase(held.id))
	}
}

// planSupplement computes by the rules at the sale what its subsidy would have been, and takes it now.
func (e *Engine) planSupplement(in *Operate, act Supplement, p *plan) {
	paid := e.purchase(act.Purchase)
	switch {
	case strings.TrimSpace(act.CaseID) == "" || strings.TrimSpace(act.Evidence) == "":
		p.problem("a supplement by hand needs a case id and a reference of the evidence")
	case len(act.CaseID) > maxDocument || len(act.Evidence) > maxReason:
		p.problem("case id or evidence is longer than %d and %d bytes", maxDocument, maxReason)
	case paid == nil || paid.sale == nil || paid.reserved != nil || paid.state != Captured || paid.refunded != 0 ||
		paid.sale.Kind != event.SaleKind_SALE_KIND_UNSPECIFIED || e.voidInReversal(paid):
		p.problem("purchase %d is no captured ordinary sale", act.Purchase)
	case e.policy == nil:
		p.problem("no policy is in force")
	}
	if len(p.problems) > 0 {
		return
	}
	merchant := e.registry.Merchant(paid.merchant())
	if merchant == nil {
		p.problem("the merchant of purchase %d is gone", paid.id)
		return
	}
	c := considered{city: merchant.City, channel: paid.sale.Channel, leaf: subsidy.NoNode}
	who := party{merchant: merchant, terminal: &registry.Terminal{}}
	request := &ReserveRequest{
		Barcode: act.Barcode, Serial: act.Serial, SerialMask: act.SerialMask, SerialOK: act.SerialOK, SerialIMEI: act.SerialIMEI,
		OldItem: act.OldItem, Price: money.Amount(paid.sale.Amount),
	}
	en, ok := e.book.Entitlement(act.Entitlement)
	if !ok {
		c.refuse(reason.EntitlementUnknown)
	} else {
		c.entitlement, c.person, c.category = en, e.book.PersonOf(en), e.book.CategoryOf(en)
		if why := e.unusable(en); why != reason.None {
			c.refuse(why)
		}
	}
	e.considerProduct(request, &c, who)
	e.decide(&c, policyQuestion{price: request.Price, oldItem: act.OldItem, merchant: merchant.ID, at: paid.sale.TransmittedAt})
	e.considerSerial(request, &c)
	e.considerBudget(&c, who, "")
	for _, why := range ascending(c.refused) {
		p.problem("%s %s (%s)", why, why.Text().ZH, why.Text().EN)
	}
	if len(p.problems) > 0 {
		return
	}
	p.add(&event.Event{Body: &event.Event_Supplemented{Supplemented: &event.Supplemented{
		Facts: e.supplement(paid, request, &c), CaseId: act.CaseID, Evidence: act.Evidence, By: &in.By,
	}}})
}

// supplement are the facts of a subsidy that was recorded by hand.
func (e *Engine) supplement(paid *purchase, in *ReserveRequest, c *considered) *event.Reserved {
	d := c.decision
	m := &event.Reserved{
		Purchase: paid.id, Key: paid.sale.Key, Entitlement: c.entitlement.ID, Person: bytesOf(c.person), Category: c.category,
		City: c.city, PayingCity: c.payingCity, Channel: c.channel, Barcode: in.Barcode, Serial: bytesOf(in.Serial),
		SerialMask: in.SerialMask, Price: int64(in.Price), Base: int64(d.Base), Subsidy: int64(d.Subsidy), Payable: int64(in.Price),
		Leaf: e.book.Budget.Path(c.leaf), PolicyVersion: d.Version, FromClaim: int64(c.fromClaim), Marks: []string{"MANUAL"},
		ItemsBefore: uint32(e.book.UsageOf(c.person, c.category).Items), OldItem: in.OldItem,
	}
	for _, part := range d.Parts {
		m.Parts = append(m.Parts, &event.FundingPart{Payer: part.Payer, Amount: int64(part.Amount)})
	}
	describe(m, c.product)
	return m
}

func (e *Engine) applySupplemented(m *event.Supplemented) {
	p := e.mustPurchase(m.Facts.Purchase)
	leaf, ok := e.book.Budget.Find(m.Facts.Leaf)
	if !ok || p.reserved != nil || p.state != Captured {
		panic(fmt.Sprintf("purchase %d is supplemented and cannot be", p.id))
	}
	p.take(m.Facts, string(e.scratch.pack(m.Facts)), e.now)
	p.leaf, p.manual, p.changed = leaf, true, e.now
	h, _ := p.hold()
	e.book.Reserve(h)
	e.book.Use(h)
}

// ---- Items on their way to hosts ------------------------------------------------------------------------------------

func (e *Engine) planRetry(in *Operate, act RetryItem, p *plan) {
	kind, id, ok := itemID(act.ID)
	r := e.reversals[id]
	switch {
	case !ok || kind != 'R' || r == nil:
		p.problem("no reversal %q", act.ID)
	case r.state == reversalQueued:
		p.problem("reversal %s is on its way already", act.ID)
	default:
		of := e.purchase(r.purchase)
		m := &event.ReversalRequeued{Reversal: id, By: &in.By}
		if !of.sale.Wallet {
			m.ExpiresAt = e.expiry(of.sale.Host, "", e.now)
		}
		p.add(&event.Event{Body: &event.Event_ReversalRequeued{ReversalRequeued: m}})
		p.after = func() {
			e.start(of, id)
		}
	}
}

func (e *Engine) planResolve(in *Operate, act ResolveItem, p *plan) {
	kind, id, ok := itemID(act.ID)
	switch {
	case ok && kind == 'R' && e.reversals[id] != nil:
		e.planResolveReversal(in, e.reversals[id], act.Outcome, p)
	case ok && kind == 'F' && e.operation(id) != nil && e.operation(id).refund != nil:
		e.planResolveRefund(in, e.operation(id), act.Outcome, p)
	case ok && kind == 'W' && e.items[id].opened != nil:
		if act.Outcome != "" {
			p.problem("a work item has no outcome")
			return
		}
		if e.items[id].opened.Kind == itemRefundUnknown {
			p.problem("settle the refund itself: F%d", e.items[id].opened.Operation)
			return
		}
		if r := e.reversals[e.items[id].opened.Reversal]; r != nil && r.state == reversalRefused {
			p.problem("settle the reversal itself: R%d", r.id)
			return
		}
		p.add(&event.Event{Body: &event.Event_WorkItemClosed{WorkItemClosed: &event.WorkItemClosed{Item: id, By: &in.By}}})
	default:
		p.problem("no open item %q", act.ID)
	}
}

func (e *Engine) planResolveReversal(in *Operate, r *reversal, outcome string, p *plan) {
	if outcome == "" {
		outcome = outcomeReturned
	}
	if outcome != outcomeReturned && outcome != outcomeCharged {
		p.problem("outcome %q: want %s or %s", outcome, outcomeReturned, outcomeCharged)
		return
	}
	// It may still get through: a charge would be paid back twice, a void that stands be charged anew.
	if r.state == reversalQueued && (outcome == outcomeCharged || r.operation != 0) {
		p.problem("reversal %d is on its way to the host", r.id)
		return
	}
	of := e.purchase(r.purchase)
	doubt := ""
	if stands := (outcome == outcomeCharged) != (r.operation != 0); !stands {
		doubt = e.doubt(of, r)
	}
	if !judgeDoubt(in, doubt, p) {
		return
	}
	if r.operation != 0 && outcome == outcomeReturned && (of.state != Captured || of.refunded > 0) {
		p.problem("purchase %d is %s: its void can no longer stand", of.id, of.state)
		return
	}
	p.add(&event.Event{Body: &event.Event_ReversalResolved{ReversalResolved: &event.ReversalResolved{
		Reversal: r.id, Purchase: r.purchase, Operation: r.operation, Outcome: outcome, By: &in.By,
	}}})
	p.after = func() {
		if doubt != "" {
			e.openItem(&event.WorkItemOpened{
				Kind: itemAgainstHost, Purchase: of.id, Operation: r.operation, Reversal: r.id, Detail: "settled as " + outcome + ", but " + doubt,
			})
		}
		if r.operation == 0 && outcome == outcomeCharged {
			e.openItem(&event.WorkItemOpened{
				Kind: "repayment", Purchase: of.id, Detail: fmt.Sprintf("%s was charged and cannot be reversed: pay it back by other means", r.amount),
			})
		}
		e.expireIfReleased(of)
		e.next(of)
	}
}

// itemAgainstHost is the kind of the work item by which a second look is asked for at what an operator has settled.
const itemAgainstHost = "settled-against-host"

// doubt is what speaks against an operator's word that nothing has come of the request that a reversal takes back, "" for
// nothing.
func (e *Engine) doubt(of *purchase, r *reversal) string {
	switch l := e.legOf(of, r.operation); {
	case l.charged != 0 || l.answer != nil: // a request that was declined is taken back only when it was approved as well
		return "the host has approved it"
	case of.sale.Wallet && r.state == reversalQueued:
		return "the wallet has not said how it ended, and is asked no more"
	}
	return ""
}

// refundDoubt is what speaks against an operator's word that a refund has failed.
func (e *Engine) refundDoubt(o *operation) string {
	switch item := e.items[o.item].opened; {
	case movesMoney(item.GetResponse()):
		return "the host was " + item.Detail
	case item == nil && e.atWallet(o):
		return "the wallet has not said how it ended, and is asked no more"
	}
	return ""
}

// judgeDoubt demands the document by which an operator knows better than what is recorded. That it is right is for a second
// person to see: the money may have moved.
func judgeDoubt(in *Operate, doubt string, p *plan) bool {
	if doubt == "" || strings.TrimSpace(in.By.Document) != "" {
		return true
	}
	p.problem("%s: name the document that shows this outcome", doubt)
	return false
}

func (e *Engine) planResolveRefund(in *Operate, o *operation, outcome string, p *plan) {
	switch {
	case o.state != opUnknown:
		p.problem("refund %d is %s", o.id, o.state)
	case outcome == outcomeConfirmed:
		e.planApproved(in, o, p)
	case outcome == outcomeFailed:
		doubt := e.refundDoubt(o)
		if !judgeDoubt(in, doubt, p) {
			return
		}
		p.add(&event.Event{Body: &event.Event_RefundDeclined{RefundDeclined: &event.RefundDeclined{
			Operation: o.id, Purchase: o.purchase, By: &in.By,
		}}})
		if doubt != "" {
			p.after = func() { e.openOperationItem(itemAgainstHost, o, "", "settled as failed, but "+doubt) }
		}
	default:
		p.problem("outcome %q: want %s or %s", outcome, outcomeConfirmed, outcomeFailed)
	}
}

// planApproved is approveRefund by the word of an operator.
func (e *Engine) planApproved(in *Operate, o *operation, p *plan) {
	m := e.approval(o, nil, &in.By)
	p.add(&event.Event{Body: &event.Event_RefundApproved{RefundApproved: m}})
	p.after = func() { e.afterApproval(m) }
}
