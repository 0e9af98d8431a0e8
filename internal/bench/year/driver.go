package year

import (
	"fmt"
	"time"

	"huanxin/internal/money"
	"huanxin/risk/geo"
	"huanxin/subsidy/policy"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/journal"
)

// driver takes the engine through the year. It reads what was decided from the facts alone: nobody waits, so no answers
// are made.
type driver struct {
	plan
	*world
	eng *engine.Engine
	out *writer
	say func(format string, args ...any)

	now      int64
	today    int // day of the last wave
	refunds  int
	returns  map[int][]purchase // by the day on which they are given back
	snapshot journal.Snapshot
	trading  map[int]struct{} // terminals whose open batch has something in it
	made     []purchase       // in the wave under way
	journal  *journal.Journal
	begun    time.Time
	probe    func(*engine.Engine)

	// Inputs are reused from step to step; the engine keeps none.
	in struct {
		claim   engine.ClaimRequest
		code    engine.ShowCodeRequest
		reserve engine.ReserveRequest
		sale    engine.SaleRequest
		answer  engine.HostAnswered
	}
}

// purchase is what is known of one while it is made, and later to give it back.
type purchase struct {
	entitlement, hold uint64
	payable           money.Amount
	subsidy           money.Amount
	rrn               string
	batch, stan       uint32
	terminal          int
	card              *event.Card
}

// step decides one input, after the deadlines that have passed.
func (d *driver) step(at int64, body any) (engine.Output, error) {
	d.now = max(d.now, at)
	for d.eng.NextDeadline() <= d.now {
		if err := d.out.add(d.eng.Step(engine.Input{At: d.now, Body: &engine.Tick{}})); err != nil {
			return engine.Output{}, err
		}
	}
	out := d.eng.Step(engine.Input{At: d.now, Body: body})
	return out, d.out.add(out)
}

// begin puts the programme and the year's rows into force.
func (d *driver) begin(personKey [8]byte, files map[string][]byte) error {
	d.begun = time.Now()
	d.returns, d.trading = map[int][]purchase{}, map[int]struct{}{}
	at := d.begins.UnixNano()
	admin := func(body any) error {
		out, err := d.step(at, body)
		if err != nil {
			return err
		}
		for _, s := range out.Sends {
			if s.Admin != nil && len(s.Admin.Problems) > 0 {
				return fmt.Errorf("%T: %q", body, s.Admin.Problems)
			}
		}
		return nil
	}
	const actor, why = "bench", "a year of history"
	err := admin(&engine.TakeOwnership{Owner: actor, Software: "bench", Programme: d.programme.ID, PersonKeyCheck: personKey})
	if err != nil {
		return err
	}
	const rowsAtOnce = 1000
	merchants, terminals, products := d.merchants, d.terminals, d.products
	for len(merchants)+len(terminals)+len(products) > 0 {
		take := func(list *[][]string, n int) (taken [][]string) {
			n = min(n, len(*list))
			taken, *list = (*list)[:n], (*list)[n:]
			return taken
		}
		rows := &engine.SetRows{Token: 1}
		rows.Merchants = take(&merchants, rowsAtOnce)
		rows.Terminals = take(&terminals, rowsAtOnce-len(rows.Merchants))
		rows.Products = take(&products, rowsAtOnce-len(rows.Merchants)-len(rows.Terminals))
		if err := admin(rows); err != nil {
			return err
		}
	}
	d.world.merchants, d.world.terminals, d.world.products = nil, nil, nil // the engine has read them
	return admin(&engine.ApplyProgramme{Token: 1, Files: policy.Rules(files), Actor: actor, Reason: why})
}

// shop is one wave: all claim, all show their codes, all reserve, all pay, and all are approved.
func (d *driver) shop(w *wave) error {
	if day := w.first / d.perDay; day != d.today {
		if err := d.turn(day); err != nil {
			return err
		}
	}
	if w.first >= d.plan.snapshot && d.snapshot.Position == 0 {
		if err := d.save(); err != nil {
			return err
		}
	}
	at := d.at(w.first).UnixNano()
	d.made = d.made[:0]
	for _, stage := range []func(n int, b *buyer, p *purchase, at int64) error{d.claim, d.show, d.reserve, d.pay, d.approve} {
		for i := range w.buyers {
			n := w.first + i
			if i == len(d.made) {
				d.made = append(d.made, purchase{terminal: d.terminal(n)})
			}
			if err := stage(n, &w.buyers[i], &d.made[i], at); err != nil {
				return err
			}
		}
		at += int64(stepOfPurchase)
	}
	for i := range w.buyers {
		if refunded(w.first + i) {
			day := d.today + refundAfter
			d.returns[day] = append(d.returns[day], d.made[i])
		}
	}
	return nil
}

func (d *driver) article(n int) *article { return &d.goods[n%len(d.goods)] }

func (d *driver) claim(n int, b *buyer, p *purchase, at int64) error {
	in := &d.in.claim
	*in = engine.ClaimRequest{
		Request: b.claim, Content: b.claimed, Person: b.person, IDKind: "id-card", Category: d.article(n).category,
		City: d.cities[d.tills[p.terminal].city].code, Channel: "store",
	}
	out, err := d.step(at, in)
	if err != nil {
		return err
	}
	if len(out.Events) != 1 || out.Events[0].GetEntitlementClaimed() == nil {
		return refusedAs("claim", n, out)
	}
	p.entitlement = out.Events[0].GetEntitlementClaimed().Entitlement
	return nil
}

func (d *driver) show(n int, b *buyer, p *purchase, at int64) error {
	in := &d.in.code
	*in = engine.ShowCodeRequest{Entitlement: p.entitlement, Person: b.person, Code: b.code, Position: engine.Position{
		Given: true, At: d.cities[d.tills[p.terminal].city].at, CRS: geo.WGS84, Age: 3,
	}}
	out, err := d.step(at, in)
	if err != nil {
		return err
	}
	if len(out.Events) != 1 || out.Events[0].GetCodeShown() == nil {
		return refusedAs("code", n, out)
	}
	return nil
}

// key is that of the next message of a terminal.
func (d *driver) key(class byte, terminal int) engine.Key {
	t := &d.tills[terminal]
	t.stan++
	d.trading[terminal] = struct{}{}
	return engine.Key{Class: class, Terminal: t.id, Merchant: t.merchant, Batch: t.batch, STAN: t.stan}
}

func (d *driver) reserve(n int, b *buyer, p *purchase, at int64) error {
	a, in := d.article(n), &d.in.reserve
	*in = engine.ReserveRequest{
		Key: d.key('1', p.terminal), Content: b.reserve, Price: money.Amount(a.price), Code: b.code, Barcode: a.barcode, Serial: b.serial,
		SerialMask: b.mask, SerialOK: true,
	}
	out, err := d.step(at, in)
	if err != nil {
		return err
	}
	if len(out.Events) != 1 || out.Events[0].GetReserved() == nil {
		return refusedAs("reserve", n, out)
	}
	m := out.Events[0].GetReserved()
	p.hold, p.payable, p.subsidy = m.Purchase, money.Amount(m.Payable), money.Amount(m.Subsidy)
	return nil
}

func (d *driver) pay(n int, b *buyer, p *purchase, at int64) error {
	in := &d.in.sale
	*in = engine.SaleRequest{
		Key: d.key('2', p.terminal), Content: b.sale, Hold: p.hold, Amount: p.payable, ICCAmount: p.payable, Host: host,
		EntryMode: [3]byte{'0', '5', '1'}, Card: b.card,
	}
	p.batch, p.stan, p.card = in.Key.Batch, in.Key.STAN, b.card
	out, err := d.step(at, in)
	if err != nil {
		return err
	}
	if len(out.Events) != 1 || out.Events[0].GetSaleSent() == nil {
		return refusedAs("sale", n, out)
	}
	p.rrn = out.Events[0].GetSaleSent().Rrn
	return nil
}

// answered is what the network says to a charge.
func (d *driver) answered(n int, rrn string, amount money.Amount) *engine.HostAnswered {
	in, day := &d.in.answer, d.day(n)
	*in = engine.HostAnswered{Host: host, Kind: engine.HostSale, RRN: rrn}
	in.Answer.Response, in.Answer.Approval, in.Answer.ClearingDate = "00", fmt.Sprintf("%06d", n%1_000_000), day.Format("0102")
	in.Answer.LocalDate, in.Answer.LocalTime = day.Format("0102"), time.Unix(0, d.now).In(china).Format("150405")
	in.Answer.Institutions, in.Answer.Network, in.Answer.Amount, in.Answer.Acquirer = institutions, network, int64(amount), "48022100"
	return in
}

var institutions, network = []byte("01020000   48022100   "), []byte("CUP")

func (d *driver) approve(n int, _ *buyer, p *purchase, at int64) error {
	out, err := d.step(at, d.answered(n, p.rrn, p.payable))
	if err != nil {
		return err
	}
	if len(out.Events) != 1 || out.Events[0].GetSaleApproved() == nil {
		return refusedAs("approval", n, out)
	}
	t := &d.tills[p.terminal].totals
	t.Debit += p.payable
	t.DebitCount++
	t.Subsidy += p.subsidy
	t.SubsidyCount++
	return nil
}

// turn ends a day and begins another: all terminals with something in their batch settle, and what is given back comes
// before the shops open.
func (d *driver) turn(day int) error {
	if err := d.settle(); err != nil {
		return err
	}
	d.today = day
	d.say("day %d, purchase %d: %.0f purchases/s", day, day*d.perDay, float64(day*d.perDay)/time.Since(d.begun).Seconds())
	at := d.begins.AddDate(0, 0, day).Add(refunds).UnixNano()
	for _, p := range d.returns[day] {
		if err := d.giveBack(p, at); err != nil {
			return err
		}
	}
	delete(d.returns, day)
	return nil
}

func (d *driver) giveBack(p purchase, at int64) error {
	key := d.key('2', p.terminal)
	out, err := d.step(at, &engine.RefundRequest{
		Key: key, Amount: p.payable, RRN: p.rrn, Original: engine.Original{Batch: p.batch, STAN: p.stan}, Card: p.card,
	})
	if err != nil {
		return err
	}
	if len(out.Events) != 1 || out.Events[0].GetRefundSent() == nil {
		return refusedAs("refund", int(p.hold), out)
	}
	if out, err = d.step(at+int64(stepOfPurchase), d.answered(d.today*d.perDay, out.Events[0].GetRefundSent().Rrn, p.payable)); err != nil {
		return err
	}
	if len(out.Events) == 0 || out.Events[0].GetRefundApproved() == nil {
		return refusedAs("approval of the refund", int(p.hold), out)
	}
	d.refunds++
	t := &d.tills[p.terminal].totals
	t.Credit += p.payable
	t.CreditCount++
	// The sale's own batch is settled, so the credit is all that this one sees of it.
	return nil
}

// settle closes the batch of every terminal that has something in it, in the order of the table.
func (d *driver) settle() error {
	at := d.begins.AddDate(0, 0, d.today).Add(settles).UnixNano()
	for terminal := range d.tills {
		if _, ok := d.trading[terminal]; !ok {
			continue
		}
		t := &d.tills[terminal]
		key := d.key('5', terminal)
		out, err := d.step(at, &engine.SettlementRequest{Key: key, Totals: t.totals, Subsidy: true})
		if err != nil {
			return err
		}
		if len(out.Events) == 0 || !out.Events[len(out.Events)-1].GetBatchSettled().GetEqual() {
			return fmt.Errorf("%w: settlement of terminal %s: %v", errRefused, t.id, out.Events)
		}
		t.batch, t.stan, t.totals = out.Events[len(out.Events)-1].GetBatchSettled().NextBatch, 0, engine.Totals{}
	}
	clear(d.trading)
	return nil
}

// save writes the snapshot that the tail follows.
func (d *driver) save() error {
	end, err := d.out.sync()
	if err != nil {
		return err
	}
	d.snapshot = journal.Snapshot{Position: end.Position, Hash: end.Hash, Seq: d.eng.Seq()}
	d.say("snapshot at event %d", d.snapshot.Seq)
	return d.journal.Snapshots().Save(d.snapshot, d.eng.WriteState)
}

// finish settles the last day. The invariants hold over the whole year, or it is none.
func (d *driver) finish() (journal.Mark, error) {
	if err := d.settle(); err != nil {
		return journal.Mark{}, err
	}
	if d.snapshot.Position == 0 {
		if err := d.save(); err != nil {
			return journal.Mark{}, err
		}
	}
	if d.probe != nil {
		d.probe(d.eng)
	}
	if err := d.eng.CheckInvariants(); err != nil {
		return journal.Mark{}, err
	}
	return d.out.sync()
}
