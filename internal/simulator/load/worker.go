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

	sold []*bought // the last few purchases that were approved
	last *bought   // the last financial message, when it was an approved payment
}

// bought is a purchase that this terminal remembers.
type bought struct {
	request  till.Request
	answer   till.Answer
	refunded money.Amount
	done     bool // voided, reversed, refunded, or in a refund whose end is not known
	reversed bool
}

// memory is how many purchases a terminal remembers.
const memory = 8

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
		draw(w.run.stories, w.dice)(w, soft, hard)
		if w.dice.Float64() < w.run.cfg.Unfriendly {
			w.misbehave(hard)
		}
	}
}

func (w *worker) request() (till.Request, error) {
	stan, err := w.nextSTAN()
	return till.Request{Terminal: w.till.Terminal, Merchant: w.till.Merchant, Batch: w.batch, STAN: stan}, err
}

// card is what a payer pays with: a card, or a payment code.
func (w *worker) card() *till.Card {
	n := w.dice.Uint64N(1_000_000)
	if w.dice.Float64() < w.run.cfg.Wallet {
		return &till.Card{Code: payCode(n)}
	}
	pan := till.NewPAN(n)
	return &till.Card{PAN: pan, Expiry: "3012", Track2: pan + "D301222010000000000"}
}

// types is the PIN that the payer types for a card, "" for none: at a terminal without keys there is nowhere to type it.
func (w *worker) types(card *till.Card) string {
	if w.run.cfg.Typed == 0 || card.Code != "" || !w.run.cfg.Line.Pinpads[w.till.Terminal].Ready() || w.dice.Float64() >= w.run.cfg.Typed {
		return ""
	}
	return w.run.cfg.PIN
}

// payCode is a payment code of 18 digits.
func payCode(n uint64) string { return fmt.Sprintf("622048%012d", n) }

// ask takes the time of a message and sends it. finish sends it also when the run is over, because it belongs to what was
// begun; otherwise ok is false then.
func (w *worker) ask(soft, hard context.Context, kind Kind, r *till.Request, finish bool) (a *till.Answer, ok bool) {
	due, ok := w.run.schedule.ticket(soft)
	if !ok && !finish {
		return nil, false
	}
	if !ok {
		due = w.run.cfg.Now()
	}
	return w.exchange(hard, kind, r, due), true
}

// exchange sends a request and reads its answer; nil when none came, after the reversal of the request is through. What
// cannot be reversed is sent again until it is answered, and a question is left alone.
func (w *worker) exchange(ctx context.Context, kind Kind, r *till.Request, due time.Time) *till.Answer {
	if w.run.schedule.rate == 0 {
		due = w.run.cfg.Now()
	}
	if r.Kind != till.KindManagement && r.Kind != till.KindStatus {
		w.last = nil
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
		switch {
		case r.Kind == till.KindBalance || r.Kind == till.KindStatus:
			return nil
		case r.MTI == 0x0100 || r.MTI == 0x0200:
			w.reverse(ctx, r)
			return nil
		}
		if a = w.insist(ctx, r); a == nil {
			w.run.tally.count(&w.run.tally.open)
			return nil
		}
	}
	w.acknowledge(kind, r, a, due)
	if a.Response == "77" || a.Response == badMAC || a.Renew { // the open batch is another: the switch says which; or it is time for keys
		if err := w.signOn(ctx); err != nil && ctx.Err() == nil {
			w.run.tally.failed(kind, err)
		}
	}
	return a
}

// badMAC is what a terminal is answered whose MAC is wrong, or which has no keys: it must sign on.
const badMAC = "A0"

// insist sends a request again until it is answered; nil when the run is over.
func (w *worker) insist(ctx context.Context, r *till.Request) *till.Answer {
	for ctx.Err() == nil {
		line, err := w.trunk.get(ctx)
		if err == nil {
			var a *till.Answer
			if a, err = line.Ask(ctx, r); err == nil {
				return a
			}
		}
		pause(ctx, again)
	}
	return nil
}

// acknowledge records an answer before the terminal goes on, then counts it.
func (w *worker) acknowledge(kind Kind, r *till.Request, a *till.Answer, due time.Time) {
	now := w.run.cfg.Now()
	w.keep(kind, r, a)
	if r.PIN != "" && r.MTI != 0x0400 && !a.Refused() {
		w.run.tally.count(&w.run.tally.typed)
	}
	detail := ""
	if len(a.Reasons) > 0 {
		detail = a.Reasons[0]
	}
	code := a.Response
	switch {
	case kind == Settle && a.Recon == '1':
		code += " equal"
	case kind == Settle && a.Recon != 0:
		code += " differs"
	}
	w.run.tally.answered(kind, code, detail, now.Sub(due), func() string {
		return fmt.Sprintf("terminal %s STAN %06d amount %s hold %d rrn %s %s", r.Terminal, r.STAN, r.Amount, a.Hold, a.RRN, a.Text)
	})
}

// keep writes an answer down.
func (w *worker) keep(kind Kind, r *till.Request, a *till.Answer) {
	err := w.run.record.write(&Acknowledged{
		Kind: kind, MTI: r.MTI.String(), Cancel: r.Kind == till.KindCancel, Terminal: r.Terminal, Merchant: r.Merchant,
		Batch: r.Batch, STAN: r.STAN, Class: classOf(r.MTI, r.Kind), Response: a.Response, Hold: a.Hold, RRN: a.RRN,
		Amount: int64(r.Amount), Subsidy: int64(a.Subsidy), Payable: int64(a.Payable), Returned: int64(a.Returned),
		Equal: a.Recon == '1', At: w.run.cfg.Now().Format(time.RFC3339Nano),
	})
	if err != nil {
		w.run.fail(err)
	}
}

// reverse sends 0400 for an unanswered request until it is answered (pos-dialect §3): nothing financial may come before.
func (w *worker) reverse(ctx context.Context, original *till.Request) *till.Answer {
	return w.undo(ctx, original, "98")
}

// undo sends 0400 for a request, answered or not, until it is answered.
func (w *worker) undo(ctx context.Context, original *till.Request, cause string) *till.Answer {
	r := *original
	r.MTI, r.Cause, r.Tags = 0x0400, cause, nil
	w.last = nil
	for ctx.Err() == nil {
		begin := w.run.cfg.Now()
		a := w.insist(ctx, &r)
		if a == nil {
			break
		}
		w.acknowledge(Reversal, &r, a, begin)
		switch a.Response {
		case badMAC: // nothing was done, before there are new keys
			if err := w.signOn(ctx); err != nil && ctx.Err() == nil {
				w.run.tally.failed(Reversal, err)
			}
		case "96": // nothing was done, the switch is busy
		default:
			return a
		}
		pause(ctx, again)
	}
	w.run.tally.count(&w.run.tally.open)
	return nil
}
