// Package sim plays the whole switch – terminals, shops, operators, engine, loop, journal, projection, hosts – under one seeded scheduler
// with a clock of its own, breaks what can break, and checks every invariant on the way. README.md says what is real, what goes
// wrong, and what is checked.
package sim

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"time"

	"huanxin/switch/check"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/journal"
	"huanxin/switch/ledger"
	"huanxin/switch/projection"
	"huanxin/switch/projection/projectiontest"
)

// Result is how one history has ended.
type Result struct {
	Seed    uint64
	Failure *Failure // nil: every invariant held
	Stats   Stats
	Hash    uint64   // of the history
	History []string // where it was asked for
}

// Failure is a broken invariant.
type Failure struct {
	Invariant string
	Detail    string
	After     int // operations
}

func (f *Failure) String() string {
	return fmt.Sprintf("after operation %d: %s: %s", f.After, f.Invariant, f.Detail)
}

// panicked is the invariant that nobody panics: neither the switch nor who watches it.
const panicked = "nobody panics"

// place says where the panic that is being recovered comes from: the innermost functions of ours, without what changes from run to run.
func place() string {
	var callers [64]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers[:])])
	var names []string
	for len(names) < 4 {
		f, more := frames.Next()
		if name, ours := strings.CutPrefix(f.Function, "huanxin/"); ours && !strings.HasSuffix(name, ".place") {
			names = append(names, fmt.Sprintf("%s:%d", name, f.Line))
		}
		if !more {
			break
		}
	}
	return strings.Join(names, " < ")
}

// Play plays the operations of a seed. keep has the result hold the history.
func Play(seed uint64, ops []Operation, keep bool) (r Result) {
	w := newWorld(seed, len(ops), keep)
	done := 0
	defer func() {
		r = Result{Seed: seed, Stats: w.stats, Hash: w.history.hash, History: w.history.lines}
		r.Stats.Seeds = 1
		switch broken := recover().(type) {
		case nil:
		case violation:
			r.Failure = &Failure{broken.kind, broken.detail, done}
		default: // of an observer, or of the simulation itself
			r.Failure = &Failure{panicked, fmt.Sprintf("%v, in %s", broken, place()), done}
		}
	}()
	w.genesis()
	for i, op := range ops {
		w.write("%d %s", i, kindNames[op.Kind])
		w.do(op)
		done = i + 1
	}
	w.rng = rand.New(rand.NewPCG(seed, 0x656e64))
	w.finish()
	return r
}

// beginnings are the moments at which a history begins: a plain Monday, the evening before the round turns, and shortly before
// the clearing cut-off.
var beginnings = []time.Time{
	time.Date(2026, 3, 2, 10, 0, 0, 0, shanghai), time.Date(2026, 6, 30, 20, 0, 0, 0, shanghai), time.Date(2026, 5, 8, 21, 30, 0, 0, shanghai),
}

func newWorld(seed uint64, ops int, keep bool) *world {
	rng := rand.New(rand.NewPCG(seed, 0x776f726c64))
	w := &world{
		seed: seed, rng: rng, keep: keep, stats: Stats{Seen: map[string]int{}}, calls: map[engine.Token]*call{}, asked: map[engine.Token]*call{}, hosts: map[string]*host{},
		letters: map[string]int{}, reversed: map[engine.Key]bool{}, cold: &coldFile{}, files: programmeFiles(), quiet: true, rows: projectiontest.NewStore(), ledger: ledger.New(),
	}
	w.now = beginnings[rng.IntN(len(beginnings))].UnixNano()
	w.born = w.now - 1
	w.cluster = rng.IntN(4) == 0
	w.log, w.mark, w.stream = newFile(w, "log", int64(1<<20+2048*ops)), newFile(w, "mark", 8192), &stream{w: w}
	w.snaps = &snapshots{w: w, cold: w.cold}
	w.model = newModel(w)
	follower, err := engine.New(engine.Config{Map: province(), Hosts: hostProfiles, Cold: &coldFile{}})
	if err != nil {
		panic(err)
	}
	w.follower = follower
	for _, name := range hostNames {
		w.hosts[name] = newHost(w, name)
	}
	for _, row := range terminalRows {
		t := &till{id: row[0], merchant: row[1], city: row[2], categories: []string{"A01", "A04", "A04"}, batch: 1}
		if t.city == "210200" {
			t.categories = []string{"A02"}
		}
		if row[7] != "1" {
			t.batch = 999_998
		}
		w.tills = append(w.tills, t)
	}
	w.shops = []*shop{{caller: "shop", merchant: "898210157220001", city: "210100"}, {caller: "mall", merchant: "898210157220002", city: "210100"}}
	for i := range 24 {
		w.persons = append(w.persons, &person{hash: hashOf("person %d", i), entitlements: map[string]uint64{}})
	}
	return w
}

// genesis begins a programme, without faults.
func (w *world) genesis() {
	p := w.newProcess()
	w.proc = p
	w.guard(p, func() error { return p.start(true) })
	for _, body := range []any{
		&engine.ApplyProgramme{Token: 1, Files: w.files, Actor: "setup", Reason: "start"},
		&engine.SetRows{Token: 2, Merchants: merchantRows, Terminals: terminalRows, Products: productRows},
	} {
		if !w.submit(body) {
			w.fail("the programme begins", "%T is not taken", body)
		}
	}
	w.advance(time.Second)
	w.tokens = 1000
	w.quiet = false
	w.noise = oneOf(w, noise{lost: 10, doubled: 10, slow: 5}, noise{lost: 60, doubled: 30, slow: 30}, noise{lost: 150, doubled: 80, slow: 80})
}

// finish ends the faults, lets everything come to its end, and holds the books against each other.
func (w *world) finish() {
	w.write("the faults stop")
	w.quiet, w.noise, w.armed, w.full, w.skew = true, noise{}, nil, false, 0
	w.log.short, w.log.noSync, w.log.badSync, w.stream.refuse, w.stream.silent = false, false, false, false, false
	for _, t := range w.tills { // nobody stays stopped
		w.act("li", engine.Kill{Terminal: t.id, Off: true}, nil)
	}
	w.advance(30 * time.Minute)
	for range 2000 {
		w.advance(time.Minute)
		w.settleItems(false)
		if w.settled() {
			break
		}
	}
	w.advance(20 * time.Minute)
	w.settleItems(false)
	w.advance(time.Minute)
	w.check()
}

// settled reports whether nothing is expected of anybody any more.
func (w *world) settled() bool {
	v := w.follower.Vitals()
	if w.proc == nil || w.stale != nil || v.Queued+v.Unknown+v.Dead+v.OpenHolds > 0 {
		return false
	}
	for _, n := range w.letters {
		if n > 0 {
			return false
		}
	}
	return len(w.model.quarantine) == 0
}

// check is the end of a history: nothing is open, and everybody's books agree.
func (w *world) check() {
	p := w.proc
	if p == nil || !p.ready {
		w.fail("the switch comes back", "nobody runs")
	}
	w.guard(p, p.drain)
	v := p.eng.Vitals()
	if v.OpenHolds != 0 {
		w.fail("no orphan hold", "%d holds are open", v.OpenHolds)
	}
	if v.Queued+v.Unknown+v.Dead != 0 {
		w.fail("no unresolved purchase", "%+v", v)
	}
	var spent int64
	for _, f := range w.model.sorted() {
		w.checkPurchase(p, f)
		if f.spent {
			spent += f.subsidy
		}
	}
	w.checkTold()
	w.checkPromises()
	if err := p.eng.CheckInvariants(); err != nil {
		w.fail("invariant of the engine", "%v", err)
	}
	if err := p.eng.CheckCold(); err != nil {
		w.fail("invariant of the engine", "cold: %v", err)
	}
	w.model.compare(w.follower)
	w.model.compareSerials(w.follower)
	w.compareLedger()
	root, _ := p.eng.Book().Budget.Find("")
	if got := p.eng.Book().Budget.View(root); int64(got.Spent) != spent || got.Held != 0 {
		w.fail("books equal the model", "the budget has spent %s and holds %s, the captured subsidies are %d", got.Spent, got.Held, spent)
	}
	p.eng.sameAsFollower("replay equals live state")
	w.replayAll(p)
	w.project(projectiontest.Works)
	w.checkRows()
}

// compareLedger holds all that the engine keeps against a second reading of the facts, as `huanxin check` does.
func (w *world) compareLedger() {
	if sums, _ := w.ledger.Check(1); len(sums) > 0 {
		w.fail("the ledger's books add up", "%s", sums[0])
	}
	w.agree(func(say func(check.Difference)) error { return check.CompareState(w.ledger, w.follower, "state", say) })
}

// agree fails with the first of the differences that compare tells.
func (w *world) agree(compare func(say func(check.Difference)) error) {
	var list []string
	if err := compare(func(d check.Difference) { list = append(list, d.String()) }); err != nil {
		w.fail("the ledger can be compared", "%v", err)
	}
	if len(list) > 0 {
		w.fail("the ledger says the same", "%s (%d differences)", slices.Min(list), len(list)) // parts are compared side by side
	}
}

// checkPurchase holds one purchase against its host's ledger and against what the engine says of it.
func (w *world) checkPurchase(p *process, f *purchaseFact) {
	out := p.eng.Engine.Step(engine.Input{At: w.now, Body: &engine.Look{Token: 1, What: engine.LookPurchase{ID: f.id}}})
	view, _ := out.Sends[0].Admin.Result.(*engine.PurchaseView)
	if view != nil {
		switch view.State {
		case engine.Sent, engine.Unknown, engine.Reversing, engine.Voiding, engine.Refunding:
			w.fail("no unresolved purchase", "purchase %d is %s", f.id, view.State)
		}
		if (view.State == engine.Captured) != f.captured {
			w.fail("books equal the model", "purchase %d is %s, captured in the model: %t", f.id, view.State, f.captured)
		}
	}
	if f.rrn == "" || f.host == engine.ExternalHost {
		return
	}
	want := int64(0)
	if f.captured {
		want = f.amount - f.refunded
	}
	switch f.kind { // what a pre-authorisation blocks and its void frees is no charge of a purchase
	case event.SaleKind_SALE_KIND_UNSPECIFIED, event.SaleKind_SALE_KIND_COMPLETION:
	default:
		return
	}
	got := w.hosts[f.host].charged[f.rrn]
	unheard := func(rrn string) bool { return !w.model.late[rrn] }
	if got != want && slices.ContainsFunc(w.hosts[f.host].overtaken[f.rrn], unheard) {
		w.count("limit: overtaken by its reversal, and the answer died with a process")
		return
	}
	if got != want {
		w.fail("the host's own ledger agrees", "purchase %d, %s: the host charges %d, the books say %d", f.id, f.rrn, got, want)
	}
}

// checkTold holds what buyers were told against the books: who has left with the goods has paid, and who was told no has not.
func (w *world) checkTold() {
	for _, s := range w.slips {
		p := w.model.purchases[w.model.bySale[s.rrn]]
		switch {
		case s.undone || w.reversed[s.key] || !s.ok && !s.no:
		case p == nil:
			w.fail("what was answered is in the books", "no purchase %q", s.rrn)
		case s.ok != p.captured && (s.ok || !w.hosts[p.host].wallet): // a wallet may say later that it was paid after all
			w.fail("what was answered is in the books", "purchase %d was answered 00: %t, and is captured: %t", p.id, s.ok, p.captured)
		}
	}
	for _, shop := range w.shops {
		for _, o := range shop.bought {
			if o.paid && !o.undone && !w.model.purchases[o.id].captured {
				w.fail("what was answered is in the books", "purchase %d was paid online and is not captured", o.id)
			}
		}
	}
}

// replayAll replays the whole journal into a new engine.
func (w *world) replayAll(p *process) {
	fresh, err := engine.New(engine.Config{Map: province(), Hosts: hostProfiles, Cold: &coldFile{}})
	if err != nil {
		panic(err)
	}
	err = p.j.Replay(context.Background(), 1, func(b *journal.Batch) error {
		for _, ev := range b.Events {
			fresh.Apply(ev)
		}
		return nil
	})
	if err != nil {
		w.fail("the journal can be read", "%v", err)
	}
	if a, b := stateOf(fresh), stateOf(w.follower); !bytes.Equal(a, b) {
		w.fail("replay equals live state", "a replay from the beginning differs from byte %d", firstDifference(a, b))
	}
}

// checkRows holds the rows of the projection against the model.
func (w *world) checkRows() {
	rows := w.rows.Rows()
	if rows.At.Batch != w.followed.Position {
		w.fail("rows follow the journal", "they are at batch %d of %d", rows.At.Batch, w.followed.Position)
	}
	for _, path := range slices.Sorted(keysOf(w.model.nodes)) {
		n, row := w.model.nodes[path], rows.Nodes[path]
		if int64(row.Allocated) != n.allocated || int64(row.Held) != n.held || int64(row.Spent) != n.spent {
			w.fail("rows equal the model", "node %q: %+v", path, row)
		}
	}
	for _, f := range w.model.sorted() {
		row, ok := rows.Purchases[f.id]
		if !ok {
			w.fail("rows equal the model", "purchase %d has no row", f.id)
		}
		if (row.State == projection.Captured) != f.captured || int64(row.Refunded) != f.refunded {
			w.fail("rows equal the model", "purchase %d is %s with %s refunded, captured in the model: %t, refunded %d", f.id, row.State,
				row.Refunded, f.captured, f.refunded)
		}
	}
	w.agree(func(say func(check.Difference)) error {
		_, err := check.CompareRows(context.Background(), w.ledger, projectiontest.Frozen{Rows: rows}, 10, say)
		return err
	})
}
