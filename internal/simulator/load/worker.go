package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"huanxin/internal/money"
	"huanxin/internal/simulator/till"
)

// worker is one terminal.
type worker struct {
	run   *run
	till  till.Till
	trunk *trunk
	dice  *rand.Rand
	batch uint32

	stan, left uint32 // the last STAN used, and how many of the block are left
}

// stanBlock is how many STANs a terminal takes from its state at once; a block is on disk before it is used, so that a
// load generator that is killed does not use a STAN twice.
const stanBlock = 1000

func (w *worker) nextSTAN() (uint32, error) {
	if w.left == 0 {
		w.stan = w.run.cfg.State.TakeSTANs(w.till.Terminal, stanBlock)
		w.left = stanBlock
		if err := w.run.cfg.State.Save(); err != nil {
			return 0, err
		}
	}
	w.left--
	w.stan = w.stan%999999 + 1
	return w.stan, nil
}

func (w *worker) signOn(ctx context.Context) error {
	stan, err := w.nextSTAN()
	if err != nil {
		return err
	}
	r := till.Request{
		MTI: 0x0800, Kind: till.KindManagement, Net: till.NetSignOn, Terminal: w.till.Terminal, Merchant: w.till.Merchant,
		Batch: w.run.cfg.State.Batch(w.till.Terminal, w.till.Batch), STAN: stan,
	}
	line, err := w.trunk.get(ctx)
	if err != nil {
		return err
	}
	a, err := line.Ask(ctx, &r)
	if err != nil {
		return err
	}
	if a.Refused() {
		return fmt.Errorf("answer %s %s", a.Response, a.Text)
	}
	w.batch = a.Batch
	return nil
}

// work plays stories until the run is over. hard ends it in the middle of one.
func (w *worker) work(soft, hard context.Context) {
	for soft.Err() == nil && hard.Err() == nil {
		switch w.run.cfg.Mix.draw(w.dice) {
		case buy:
			if a := w.reserve(soft, hard); a != nil {
				w.pay(soft, hard, a)
			}
		case giveUp:
			if a := w.reserve(soft, hard); a != nil {
				w.cancel(soft, hard, a)
			}
		case abandon:
			w.reserve(soft, hard)
		case plain:
			w.ordinary(soft, hard)
		}
	}
}

func (w *worker) request() (till.Request, error) {
	stan, err := w.nextSTAN()
	return till.Request{Terminal: w.till.Terminal, Merchant: w.till.Merchant, Batch: w.batch, STAN: stan}, err
}

// reserve returns the hold, nil when there is none.
func (w *worker) reserve(soft, hard context.Context) *till.Answer {
	due, ok := w.run.schedule.ticket(soft)
	if !ok {
		return nil
	}
	one, ok := w.run.code(soft)
	if !ok {
		return nil
	}
	r, err := w.request()
	if err != nil {
		w.run.fail(err)
		return nil
	}
	n := w.run.serials.Add(1)
	serial := till.NewSerial(n)
	if one.goods.IMEI {
		serial = till.NewIMEI(n)
	}
	r.MTI, r.Kind, r.Amount = 0x0100, till.KindReserve, one.goods.Price
	r.Tags = []till.Tag{{Name: "S1", Value: one.code}, {Name: "S2", Value: one.goods.Barcode}, {Name: "S3", Value: serial}}
	if one.goods.OldItem != "" {
		r.Tags = append(r.Tags, till.Tag{Name: "SE", Value: one.goods.OldItem})
	}
	a := w.exchange(hard, Reserve, &r, due)
	if a == nil || a.Refused() {
		return nil
	}
	return a
}

func (w *worker) pay(soft, hard context.Context, hold *till.Answer) {
	due, ok := w.run.schedule.ticket(soft)
	if !ok {
		due = w.run.cfg.Now() // the buyer is at the till: what was begun is finished
	}
	r, err := w.request()
	if err != nil {
		w.run.fail(err)
		return
	}
	r.MTI, r.Kind, r.Amount, r.Card = 0x0200, till.KindSale, hold.Payable, w.card()
	r.Tags = []till.Tag{{Name: "S7", Value: fmt.Sprintf("%012d", hold.Hold)}}
	w.exchange(hard, Sale, &r, due)
}

func (w *worker) cancel(soft, hard context.Context, hold *till.Answer) {
	due, ok := w.run.schedule.ticket(soft)
	if !ok {
		due = w.run.cfg.Now()
	}
	r, err := w.request()
	if err != nil {
		w.run.fail(err)
		return
	}
	r.MTI, r.Kind, r.Amount = 0x0100, till.KindCancel, hold.Price
	r.Tags = []till.Tag{{Name: "S7", Value: fmt.Sprintf("%012d", hold.Hold)}}
	w.exchange(hard, Cancel, &r, due)
}

func (w *worker) ordinary(soft, hard context.Context) {
	due, ok := w.run.schedule.ticket(soft)
	if !ok {
		return
	}
	r, err := w.request()
	if err != nil {
		w.run.fail(err)
		return
	}
	r.MTI, r.Kind, r.Card = 0x0200, till.KindSale, w.card()
	r.Amount = w.run.cfg.Ordinary + money.Amount(100*w.dice.IntN(100))
	w.exchange(hard, Ordinary, &r, due)
}

func (w *worker) card() *till.Card {
	pan := till.NewPAN(w.dice.Uint64N(1_000_000))
	return &till.Card{PAN: pan, Expiry: "3012", Track2: pan + "D301222010000000000"}
}

// exchange sends a request and reads its answer; nil when none came, after the reversal of the request is through.
func (w *worker) exchange(ctx context.Context, kind Kind, r *till.Request, due time.Time) *till.Answer {
	if w.run.schedule.rate == 0 {
		due = w.run.cfg.Now()
	}
	line, err := w.trunk.get(ctx)
	if err != nil {
		// It was never sent, so there is nothing to reverse.
		if ctx.Err() == nil {
			w.run.tally.failed(kind, err)
			pause(ctx, again)
		}
		return nil
	}
	a, err := line.Ask(ctx, r)
	if err != nil {
		w.run.tally.count(&w.run.tally.unanswered)
		if !errors.Is(err, till.ErrLost) {
			w.run.tally.failed(kind, err)
		}
		w.reverse(ctx, r)
		return nil
	}
	w.acknowledge(kind, r, a, due)
	return a
}

// acknowledge records an answer before the terminal goes on, then counts it.
func (w *worker) acknowledge(kind Kind, r *till.Request, a *till.Answer, due time.Time) {
	now := w.run.cfg.Now()
	err := w.run.record.write(&Acknowledged{
		MTI: r.MTI.String(), Cancel: r.Kind == till.KindCancel, Terminal: r.Terminal, Merchant: r.Merchant, Batch: r.Batch,
		STAN: r.STAN, Class: classOf(r.MTI, r.Kind), Response: a.Response, Hold: a.Hold, RRN: a.RRN, Amount: int64(r.Amount),
		Subsidy: int64(a.Subsidy), Payable: int64(a.Payable), At: now.Format(time.RFC3339Nano),
	})
	if err != nil {
		w.run.fail(err)
	}
	detail := ""
	if len(a.Reasons) > 0 {
		detail = a.Reasons[0]
	}
	w.run.tally.answered(kind, a.Response, detail, now.Sub(due), func() string {
		return fmt.Sprintf("terminal %s STAN %06d amount %s hold %d rrn %s %s", r.Terminal, r.STAN, r.Amount, a.Hold, a.RRN, a.Text)
	})
}

// reverse sends 0400 for an unanswered request until it is answered (pos-dialect §3): nothing financial may come before.
func (w *worker) reverse(ctx context.Context, original *till.Request) {
	r := *original
	r.MTI, r.Cause, r.Tags = 0x0400, "98", nil
	for ctx.Err() == nil {
		line, err := w.trunk.get(ctx)
		if err != nil {
			pause(ctx, again)
			continue
		}
		begin := w.run.cfg.Now()
		a, err := line.Ask(ctx, &r)
		if err != nil {
			pause(ctx, again)
			continue
		}
		w.acknowledge(Reversal, &r, a, begin)
		if a.Response != "96" { // 96: nothing was done, the switch is busy
			return
		}
		pause(ctx, again)
	}
	w.run.tally.count(&w.run.tally.open)
}
