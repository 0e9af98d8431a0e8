package engine

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"huanxin/internal/money"
	"huanxin/internal/mutant"
	"huanxin/risk"
	"huanxin/subsidy"
	"huanxin/subsidy/catalogue"
	"huanxin/subsidy/policy"
	"huanxin/subsidy/registry"
	"huanxin/switch/event"
)

// takeOwnership is the first input of a run. Every sale, void and refund that was sent and not answered becomes unknown:
// whether the request left before the crash cannot be known, so it is never sent again; a sale or void is reversed, a
// wallet asked, a refund left to the clearing.
func (e *Engine) takeOwnership(in *TakeOwnership) {
	if problems := e.judgeOwner(in); problems != nil {
		e.out.Sends = append(e.out.Sends, Send{Admin: &AdminReply{Problems: problems}})
		return
	}
	e.emit(&event.Event{Body: &event.Event_OwnershipTaken{OwnershipTaken: &event.OwnershipTaken{
		Epoch: e.epoch + 1, Owner: in.Owner, Software: in.Software,
	}}})
	if e.programmeID == "" {
		e.emit(&event.Event{Body: &event.Event_ProgrammePinned{ProgrammePinned: &event.ProgrammePinned{
			Programme: in.Programme, PersonKeyCheck: in.PersonKeyCheck[:],
		}}})
	}
	for _, p := range e.purchases.hot.all() { // others may go cold meanwhile
		if p != nil && p.state == Sent {
			if mutant.SaleResentAfterRestart {
				e.sendSale(0, p)
				continue
			}
			e.giveUp(p, event.ReversalCause_REVERSAL_CAUSE_RESTART)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(e.purchases.operations)) {
		if o := e.purchases.operations[id]; o != nil && o.state == opSent {
			e.giveUpOperation(o, event.ReversalCause_REVERSAL_CAUSE_RESTART)
		}
	}
	e.out.Sends = append(e.out.Sends, Send{Admin: &AdminReply{}})
}

func (e *Engine) judgeOwner(in *TakeOwnership) (problems []string) {
	if e.programmeID == "" {
		return nil
	}
	if e.programmeID != in.Programme {
		problems = append(problems, fmt.Sprintf("the journal is of programme %s, not of %s", e.programmeID, in.Programme))
	}
	if !bytes.Equal(e.personKeyCheck, in.PersonKeyCheck[:]) {
		problems = append(problems, "the person key is not the one this programme began with: every person would get a fresh quota")
	}
	return problems
}

// applyProgramme makes a rule bundle current, with the allocations of its budget plan. It is refused as a whole.
func (e *Engine) applyProgramme(in *ApplyProgramme) {
	next, err := policy.Compile(in.Files)
	if err != nil {
		e.admin(in.Token, 0, strings.Split(err.Error(), "\n"))
		return
	}
	if problems := e.judgeProgramme(next); problems != nil {
		e.admin(in.Token, 0, problems)
		return
	}
	if bytes.Equal(e.digest, next.Digest[:]) {
		e.admin(in.Token, 0, nil)
		return
	}
	before := e.seq
	changes, _ := e.budgetChanges(next) // judged above
	versions := make([]string, len(next.Versions))
	for i := range next.Versions {
		versions[i] = next.Versions[i].ID
	}
	e.emit(&event.Event{Body: &event.Event_PolicyApplied{PolicyApplied: &event.PolicyApplied{
		Digest: next.Digest[:], Versions: versions, Files: policy.Rules(in.Files), Actor: in.Actor, Reason: in.Reason,
	}}})
	for _, c := range changes {
		c.Actor, c.Reason = in.Actor, in.Reason
		e.emit(&event.Event{Body: &event.Event_BudgetNodeSet{BudgetNodeSet: c}})
	}
	e.budgetDue()
	e.admin(in.Token, int(e.seq-before), nil)
}

// judgeProgramme says what stands against a bundle.
func (e *Engine) judgeProgramme(next *policy.Programme) (problems []string) {
	if e.programmeID != "" && next.ID != e.programmeID {
		problems = append(problems, fmt.Sprintf("the bundle is of programme %s, the journal of %s", next.ID, e.programmeID))
	}
	changes, unchangeable := e.budgetChanges(next)
	problems = append(problems, unchangeable...)
	if err := e.rehearse(changes); err != nil {
		problems = append(problems, err.Error())
	}
	return problems
}

// budgetChanges are the allocations that turn the plan in force into next's, in an order in which each is legal by
// itself: what shrinks first, children before parents; then what grows, parents before children. A node moves by the
// difference of the plans, so that what was carried over to it, or moved by the operator, stays; one that the plans
// agree on is left alone.
func (e *Engine) budgetChanges(next *policy.Programme) (changes []*event.BudgetNodeSet, problems []string) {
	planned := map[string]money.Amount{}
	if e.policy != nil {
		for i := range e.policy.Budget.Nodes {
			n := &e.policy.Budget.Nodes[i]
			planned[n.Path] = n.Amount
		}
	}
	var grow, shrink []*event.BudgetNodeSet
	for i := range next.Budget.Nodes {
		n := &next.Budget.Nodes[i]
		was, known := planned[n.Path]
		if known && n.Amount == was {
			continue
		}
		c := &event.BudgetNodeSet{Path: n.Path, Amount: int64(n.Amount)}
		if id, exists := e.book.Budget.Find(n.Path); exists && known {
			v := e.book.Budget.View(id)
			if v.Closed {
				problems = append(problems, fmt.Sprintf("budget node %q: its round is over, its allocation can no longer change", n.Path))
				continue
			}
			c.Amount = int64(v.Allocated + n.Amount - was)
		}
		if known && n.Amount < was {
			shrink = append(shrink, c)
		} else {
			grow = append(grow, c)
		}
	}
	slices.Reverse(shrink)
	return append(shrink, grow...), problems
}

// rehearse tries allocations on a copy of the tree.
func (e *Engine) rehearse(changes []*event.BudgetNodeSet) error {
	tree := e.book.Budget.Clone()
	for _, c := range changes {
		if err := tree.Set(c.Path, money.Amount(c.Amount)); err != nil {
			return err
		}
	}
	return nil
}

// maxRows bounds one SetRows, so that a table of 500 000 products does not hold up a sale.
const maxRows = 1000

// setRows brings registry rows to the given values. All rows are read before the first takes effect.
func (e *Engine) setRows(in *SetRows) {
	if n := len(in.Merchants) + len(in.Terminals) + len(in.Products); n > maxRows {
		e.admin(in.Token, 0, []string{fmt.Sprintf("%d rows at once, at most %d", n, maxRows)})
		return
	}
	var problems []string
	var changes []*event.Event
	for _, row := range in.Merchants {
		m, err := registry.ParseMerchant(row)
		if err != nil {
			problems = append(problems, fmt.Sprintf("merchant %s: %v", first(row), err))
			continue
		}
		if old := e.registry.Merchant(m.ID); old == nil || !slices.Equal(old.Record(), m.Record()) {
			changes = append(changes, &event.Event{Body: &event.Event_MerchantSet{MerchantSet: &event.MerchantSet{Columns: m.Record()}}})
		}
	}
	for _, row := range in.Terminals {
		t, err := registry.ParseTerminal(row)
		if err != nil {
			problems = append(problems, fmt.Sprintf("terminal %s: %v", first(row), err))
			continue
		}
		if _, ok := t.SerialHash(); !ok {
			problems = append(problems, fmt.Sprintf("terminal %s: %s", t.ID, clearSerial))
			continue
		}
		if old := e.registry.Terminal(t.ID); old == nil || *old != t {
			changes = append(changes, &event.Event{Body: &event.Event_TerminalSet{TerminalSet: &event.TerminalSet{Columns: t.Record()}}})
		}
	}
	for _, row := range in.Products {
		p, err := catalogue.ParseProduct(row)
		if err != nil {
			problems = append(problems, fmt.Sprintf("product %s: %v", first(row), err))
			continue
		}
		if old := e.catalogue.Get(p.Barcode); old == nil || !slices.Equal(old.Record(), p.Record()) {
			changes = append(changes, &event.Event{Body: &event.Event_ProductSet{ProductSet: &event.ProductSet{Columns: p.Record()}}})
		}
	}
	if problems != nil {
		e.admin(in.Token, 0, problems)
		return
	}
	for _, c := range changes {
		e.emit(c)
	}
	e.admin(in.Token, len(changes), nil)
}

func first(row []string) string {
	if len(row) == 0 {
		return ""
	}
	return row[0]
}

func (e *Engine) admin(token Token, changed int, problems []string) {
	e.out.Sends = append(e.out.Sends, Send{Admin: &AdminReply{Token: token, Changed: changed, Problems: problems}})
}

// budgetDue carries out what the budget plan says for now: rounds that have ended are closed and carried over, releases
// that have come are made. It schedules itself for the plan's next instant.
func (e *Engine) budgetDue() {
	if e.policy == nil {
		return
	}
	plan := &e.policy.Budget
	for i := range plan.Nodes {
		n := &plan.Nodes[i]
		id, ok := e.book.Budget.Find(n.Path)
		if !ok || !n.Leaf || n.Round < 0 {
			continue
		}
		if plan.Rounds[n.Round].Close <= e.now {
			e.closeRound(plan, n, id)
		} else {
			e.release(plan, n, id)
		}
	}
	if at := plan.NextInstant(e.now); at != math.MaxInt64 {
		e.remind(deadline{at: at, kind: budgetDeadline})
	}
}

func (e *Engine) closeRound(plan *policy.Budget, n *policy.BudgetNode, id subsidy.NodeID) {
	v := e.book.Budget.View(id)
	if v.Closed {
		return
	}
	e.emit(&event.Event{Body: &event.Event_BudgetRoundClosed{BudgetRoundClosed: &event.BudgetRoundClosed{
		Path: n.Path, Returned: int64(v.Free),
	}}})
	if !plan.Rounds[n.Round].CarryOver || n.Round+1 >= len(plan.Rounds) || v.Free == 0 {
		return
	}
	heir := n.Path[:strings.LastIndexByte(n.Path, '/')+1] + plan.Rounds[n.Round+1].ID
	if to, ok := e.book.Budget.Find(heir); ok {
		if next := e.book.Budget.View(to); !next.Closed {
			e.emit(&event.Event{Body: &event.Event_BudgetNodeSet{BudgetNodeSet: &event.BudgetNodeSet{
				Path: heir, Amount: int64(next.Allocated + v.Free), Actor: "plan", Reason: "carried over from " + n.Path,
			}}})
		}
	}
}

// release puts at a leaf's disposal what its plan has released by now, and what was carried over to it.
func (e *Engine) release(plan *policy.Budget, n *policy.BudgetNode, id subsidy.NodeID) {
	if len(n.Releases) == 0 && n.Daily == nil {
		return
	}
	v := e.book.Budget.View(id)
	carried := max(0, v.Allocated-n.Amount) + v.Manual
	released := plan.ReleasedAt(n, e.now)
	today := ""
	if n.Daily != nil {
		today = time.Unix(n.Daily.Day(e.now)*86400, 0).UTC().Format(time.DateOnly)
		if !n.Daily.CarryOver && released > 0 { // what yesterday left over is taken back, however it was released
			released = v.Held + v.Spent + n.Daily.Amount
			if v.ReleasedOn != "" {
				carried = 0
			}
		}
	}
	if v.Paced && (today != "" && v.ReleasedOn == today) {
		return // today's is made; another leaf's instant brought us here
	}
	released = money.Min(released+carried, v.Allocated)
	if v.Paced && released == v.Released && today == "" {
		return
	}
	e.emit(&event.Event{Body: &event.Event_BudgetReleased{BudgetReleased: &event.BudgetReleased{
		Path: n.Path, Amount: int64(released - v.Released), Released: int64(released), Day: today,
	}}})
}

func (e *Engine) applyOwnershipTaken(m *event.OwnershipTaken) {
	if m.Epoch != e.epoch+1 {
		panic(fmt.Sprintf("ownership epoch %d follows %d", m.Epoch, e.epoch))
	}
	e.epoch = m.Epoch
	for id := range e.inquiries { // who asked is gone with the process that asked
		e.forgetInquiry(id)
	}
}

func (e *Engine) applyPinned(m *event.ProgrammePinned) {
	e.programmeID, e.personKeyCheck = m.Programme, m.PersonKeyCheck
}

func (e *Engine) applyPolicy(m *event.PolicyApplied) {
	if err := e.loadPolicy(m.Files); err != nil {
		panic(fmt.Sprintf("the journal holds a rule bundle that does not compile: %v", err))
	}
	if !bytes.Equal(e.digest, m.Digest) {
		panic(fmt.Sprintf("rule bundle %s has digest %s now", hex.EncodeToString(m.Digest), hex.EncodeToString(e.digest)))
	}
	e.remind(deadline{at: e.policy.Budget.NextInstant(e.now), kind: budgetDeadline})
}

// loadPolicy compiles a bundle and everything that is derived from it.
func (e *Engine) loadPolicy(files map[string][]byte) error {
	p, err := policy.Compile(files)
	if err != nil {
		return err
	}
	e.files, e.policy, e.digest = files, p, p.Digest[:]
	e.places = map[*policy.PlaceRule]*risk.PlaceRule{}
	return nil
}

// placeRule is the rule of a policy in the form that package risk judges by, nil when no position is asked for.
func (e *Engine) placeRule(r *policy.PlaceRule) *risk.PlaceRule {
	if r == nil || r.Position == policy.NotAsked {
		return nil
	}
	if rule := e.places[r]; rule != nil {
		return rule
	}
	rule := &risk.PlaceRule{
		Required: r.Position == policy.Required, MaxAge: r.MaxAge,
		OnMissing: risk.Action(r.Missing), OnStale: risk.Action(r.Stale),
		OnOutside: risk.Action(r.Outside), OnOtherCity: risk.Action(r.OtherCity),
	}
	switch r.Cities {
	case policy.AnyCity:
		rule.Cities = risk.AnyCity
	case policy.MerchantCity:
		rule.Cities = risk.MerchantCity
	case policy.ListedCities:
		rule.Cities, rule.Listed = risk.ListedCities, r.Listed
	}
	e.places[r] = rule
	return rule
}

func (e *Engine) applyMerchantSet(m *event.MerchantSet) {
	row, err := registry.ParseMerchant(m.Columns)
	if err != nil {
		panic(fmt.Sprintf("the journal holds a merchant row that does not parse: %v", err))
	}
	e.registry.SetMerchant(row)
}

func (e *Engine) applyTerminalSet(m *event.TerminalSet) {
	row, err := registry.ParseTerminal(m.Columns)
	if err != nil {
		panic(fmt.Sprintf("the journal holds a terminal row that does not parse: %v", err))
	}
	e.registry.SetTerminal(row)
}

func (e *Engine) applyProductSet(m *event.ProductSet) {
	row, err := catalogue.ParseProduct(m.Columns)
	if err != nil {
		panic(fmt.Sprintf("the journal holds a product row that does not parse: %v", err))
	}
	e.catalogue.Set(row)
}

func (e *Engine) applyBudgetNodeSet(m *event.BudgetNodeSet) {
	if err := e.book.Budget.Set(m.Path, money.Amount(m.Amount)); err != nil {
		panic(fmt.Sprintf("the journal holds an allocation that does not fit: %v", err))
	}
}

func (e *Engine) applyRoundClosed(m *event.BudgetRoundClosed) {
	if got := e.book.Budget.Close(e.mustNode(m.Path)); int64(got) != m.Returned {
		panic(fmt.Sprintf("closing budget node %q returned %d, the journal says %d", m.Path, got, m.Returned))
	}
}

func (e *Engine) applyBudgetReleased(m *event.BudgetReleased) {
	e.book.Budget.SetReleased(e.mustNode(m.Path), money.Amount(m.Released), m.Day)
	if m.By != nil {
		e.book.Budget.SetManual(e.mustNode(m.Path), money.Amount(m.Manual))
	}
}

func (e *Engine) mustNode(path string) subsidy.NodeID {
	id, ok := e.book.Budget.Find(path)
	if !ok {
		panic(fmt.Sprintf("the journal names budget node %q, which does not exist", path))
	}
	return id
}
