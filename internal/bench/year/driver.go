package year

import (
	"errors"
	"fmt"
	"time"

	"huanxin/internal/bench/seed"
	"huanxin/internal/money"
	"huanxin/risk/geo"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/journal"
)

// host is the card network of a year, as the switch's configuration names it.
const host = "unionpay"

// post is one terminal and what it has done since it last settled.
type post struct {
	id       [8]byte
	merchant [15]byte
	batch    uint32
	stan     uint32
	totals   engine.Totals
}

// driver takes the engine through the year. It reads what was decided from the facts alone: nobody waits, so no answers
// are made.
type driver struct {
	plan
	*seed.Seeder
	say   func(format string, args ...any)
	tills []post

	today    int // day of the last wave
	refunds  int
	returns  map[int][]purchase // by the day on which they are given back
	snapshot journal.Snapshot
	made     []purchase // in the wave under way
	begun    time.Time

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

func newDriver(cfg Config, p plan, s *seed.Seeder) *driver {
	d := &driver{plan: p, Seeder: s, say: cfg.Log, returns: map[int][]purchase{}, begun: time.Now()}
	for n := FirstTerminal; n < cfg.Terminals; n++ {
		d.tills = append(d.tills, post{id: [8]byte([]byte(seed.Terminal(n))), merchant: [15]byte([]byte(seed.Merchant(n))), batch: 1})
	}
	return d
}

// errPlan is returned when the engine has decided otherwise than the plan expects.
var errPlan = errors.New("not decided as planned")

func otherwise(what string, n int, out engine.Output) error {
	return fmt.Errorf("%w: %s of purchase %d: events %v", errPlan, what, n, out.Events)
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
	for i := range w.buyers {
		d.made = append(d.made, purchase{terminal: d.terminal(w.first + i)})
	}
	for _, stage := range []func(n int, b *buyer, p *purchase) error{d.claim, d.show, d.reserve, d.pay, d.approve} {
		d.SetNow(at)
		for i := range w.buyers {
			if err := stage(w.first+i, &w.buyers[i], &d.made[i]); err != nil {
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

func (d *driver) claim(n int, b *buyer, p *purchase) error {
	in := &d.in.claim
	*in = engine.ClaimRequest{
		Request: b.claim, Content: b.claimed, Person: b.person, IDKind: "id-card", Category: seed.Category, City: seed.City, Channel: seed.Channel,
	}
	out, err := d.Step(in)
	if err != nil {
		return err
	}
	if len(out.Events) != 1 || out.Events[0].GetEntitlementClaimed() == nil {
		return otherwise("claim", n, out)
	}
	p.entitlement = out.Events[0].GetEntitlementClaimed().Entitlement
	return nil
}

// shop window of all terminals: the middle of Shenyang.
var place = engine.Position{Given: true, At: geo.Point{Lon: 123_431_500, Lat: 41_805_700}, CRS: geo.WGS84, Age: 3}

func (d *driver) show(n int, b *buyer, p *purchase) error {
	in := &d.in.code
	*in = engine.ShowCodeRequest{Entitlement: p.entitlement, Person: b.person, Code: b.code, Position: place}
	out, err := d.Step(in)
	if err != nil {
		return err
	}
	if len(out.Events) != 1 || out.Events[0].GetCodeShown() == nil {
		return otherwise("code", n, out)
	}
	return nil
}

// key is that of the next message of a terminal.
func (d *driver) key(class byte, terminal int) engine.Key {
	t := &d.tills[terminal]
	t.stan++
	return engine.Key{Class: class, Terminal: t.id, Merchant: t.merchant, Batch: t.batch, STAN: t.stan}
}

func (d *driver) reserve(n int, b *buyer, p *purchase) error {
	in := &d.in.reserve
	*in = engine.ReserveRequest{
		Key: d.key('1', p.terminal), Content: b.reserve, Price: seed.Price, Code: b.code, Barcode: b.barcode,
		Serial: b.serial, SerialMask: b.mask, SerialOK: true, Order: b.order,
	}
	out, err := d.Step(in)
	if err != nil {
		return err
	}
	if len(out.Events) != 1 || out.Events[0].GetReserved() == nil {
		return otherwise("reserve", n, out)
	}
	m := out.Events[0].GetReserved()
	p.hold, p.payable, p.subsidy = m.Purchase, money.Amount(m.Payable), money.Amount(m.Subsidy)
	return nil
}

func (d *driver) pay(n int, b *buyer, p *purchase) error {
	in := &d.in.sale
	*in = engine.SaleRequest{
		Key: d.key('2', p.terminal), Content: b.sale, Hold: p.hold, Amount: p.payable, ICCAmount: p.payable, Host: host,
		EntryMode: [3]byte{'0', '5', '1'}, Card: b.card,
	}
	p.batch, p.stan, p.card = in.Key.Batch, in.Key.STAN, b.card
	out, err := d.Step(in)
	if err != nil {
		return err
	}
	if len(out.Events) != 1 || out.Events[0].GetSaleSent() == nil {
		return otherwise("sale", n, out)
	}
	p.rrn = out.Events[0].GetSaleSent().Rrn
	return nil
}

// answered is what the network says to a charge or a refund.
func (d *driver) answered(n int, rrn string, amount money.Amount) *engine.HostAnswered {
	in, now := &d.in.answer, time.Unix(0, d.Now()).In(china)
	*in = engine.HostAnswered{Host: host, Kind: engine.HostSale, RRN: rrn}
	in.Answer.Response, in.Answer.Approval, in.Answer.ClearingDate = "00", fmt.Sprintf("%06d", n%1_000_000), now.Format("0102")
	in.Answer.LocalDate, in.Answer.LocalTime = in.Answer.ClearingDate, now.Format("150405")
	in.Answer.Institutions, in.Answer.Network, in.Answer.Amount, in.Answer.Acquirer = institutions, network, int64(amount), "48022100"
	return in
}

var institutions, network = []byte("01020000   48022100   "), []byte("CUP")

func (d *driver) approve(n int, _ *buyer, p *purchase) error {
	out, err := d.Step(d.answered(n, p.rrn, p.payable))
	if err != nil {
		return err
	}
	if len(out.Events) != 1 || out.Events[0].GetSaleApproved() == nil {
		return otherwise("approval", n, out)
	}
	t := &d.tills[p.terminal].totals
	t.Debit += p.payable
	t.DebitCount++
	t.Subsidy += p.subsidy
	t.SubsidyCount++
	return nil
}

// turn ends a day and begins another: what trades settles in the evening, and what is given back comes before the shops
// open.
func (d *driver) turn(day int) error {
	if err := d.settle(); err != nil {
		return err
	}
	d.today = day
	if purchases := day * d.perDay; day%10 == 0 {
		d.say("day %d: %d purchases, %.0f/s", day, purchases, float64(purchases)/time.Since(d.begun).Seconds())
	}
	for _, p := range d.returns[day] {
		d.SetNow(d.begins.AddDate(0, 0, day).Add(refunds).UnixNano())
		if err := d.giveBack(p); err != nil {
			return err
		}
	}
	delete(d.returns, day)
	return nil
}

func (d *driver) giveBack(p purchase) error {
	out, err := d.Step(&engine.RefundRequest{
		Key: d.key('2', p.terminal), Amount: p.payable, RRN: p.rrn, Original: engine.Original{Batch: p.batch, STAN: p.stan}, Card: p.card,
	})
	if err != nil {
		return err
	}
	if len(out.Events) != 1 || out.Events[0].GetRefundSent() == nil {
		return otherwise("refund", int(p.hold), out)
	}
	if out, err = d.Step(d.answered(d.refunds, out.Events[0].GetRefundSent().Rrn, p.payable)); err != nil {
		return err
	}
	if len(out.Events) == 0 || out.Events[0].GetRefundApproved() == nil {
		return otherwise("approval of the refund", int(p.hold), out)
	}
	d.refunds++
	// The sale's own batch is settled, so the credit is all that the open one sees of it.
	t := &d.tills[p.terminal].totals
	t.Credit += p.payable
	t.CreditCount++
	return nil
}

// settle closes the batch of every terminal that has something in it.
func (d *driver) settle() error {
	d.SetNow(d.begins.AddDate(0, 0, d.today).Add(settles).UnixNano())
	for terminal := range d.tills {
		t := &d.tills[terminal]
		if t.stan == 0 {
			continue
		}
		out, err := d.Step(&engine.SettlementRequest{Key: d.key('5', terminal), Totals: t.totals, Subsidy: true})
		if err != nil {
			return err
		}
		if len(out.Events) == 0 || !out.Events[len(out.Events)-1].GetBatchSettled().GetEqual() {
			return fmt.Errorf("%w: settlement of terminal %s: %v", errPlan, t.id, out.Events)
		}
		t.batch, t.stan, t.totals = out.Events[len(out.Events)-1].GetBatchSettled().NextBatch, 0, engine.Totals{}
	}
	return nil
}

// save writes the snapshot that the tail follows.
func (d *driver) save() (err error) {
	d.snapshot, err = d.Snapshot()
	d.say("snapshot at event %d", d.snapshot.Seq)
	return err
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
	if err := d.Engine().CheckInvariants(); err != nil {
		return journal.Mark{}, err
	}
	return d.Append()
}
