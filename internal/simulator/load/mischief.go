package load

import (
	"context"
	"fmt"

	"huanxin/internal/simulator/till"
)

// misbehave does one thing that a terminal should not, for a purchase that it remembers. What is answered is counted under
// Mischief, by what was done and DE39.
func (w *worker) misbehave(hard context.Context) {
	if len(w.sold) == 0 {
		return
	}
	b := w.sold[w.dice.IntN(len(w.sold))]
	switch w.dice.IntN(5) {
	case 0:
		w.resend(hard, b)
	case 1:
		w.reverseLate(hard, b)
	case 2:
		w.repeat(hard, b, "void twice", 0x0200, till.KindVoid)
	case 3:
		w.repeat(hard, b, "refund twice", 0x0220, till.KindRefund)
	case 4:
		w.settle(hard, hard, 100) // a yuan too much
	}
}

// resend sends a sale again that was answered long ago. The answer must be the same; of one that was reversed since it is
// 94. A switch may have forgotten a settled batch: 77.
func (w *worker) resend(hard context.Context, b *bought) {
	r := b.request
	a := w.mischief(hard, "resend", &r, func(a *till.Answer) string {
		switch {
		case r.Batch != w.batch && a.Response == "77":
			return "closed"
		case b.reversed && a.Response == "94", !b.reversed && a.Response == b.answer.Response && a.RRN == b.answer.RRN:
			return "same"
		}
		return "other"
	})
	if a != nil && a.MTI == 0x0410 && a.Response == "00" { // no answer came, and it was reversed
		b.done, b.reversed = true, true
		w.run.cfg.State.Remove(w.till.Terminal, b.request.STAN)
	}
}

// reverseLate reverses a sale after others have followed it. It is too late for that (22), unless nothing came between.
func (w *worker) reverseLate(hard context.Context, b *bought) {
	if b.request.Batch != w.batch || b == w.last {
		return
	}
	r := b.request
	r.MTI, r.Cause, r.Tags = 0x0400, "96", nil
	a := w.mischief(hard, "reverse late", &r, nil)
	if a != nil && a.Response == "00" {
		b.done, b.reversed = true, true
		w.run.cfg.State.Remove(w.till.Terminal, b.request.STAN)
	}
}

// repeat voids or refunds a purchase that was voided or refunded already, under a new STAN.
func (w *worker) repeat(hard context.Context, b *bought, name string, mti uint16, kind int) {
	if !b.done {
		return
	}
	r, err := w.about(b)
	if err != nil {
		w.run.fail(err)
		return
	}
	r.Kind = kind
	if r.MTI = 0x0200; mti == 0x0220 {
		r.MTI, r.Original.Date = 0x0220, b.answer.At.Format("0102")
	}
	a := w.mischief(hard, name, &r, nil)
	if a != nil && a.Response == "00" && a.MTI == 0x0230 {
		// The first one had not been approved after all.
		b.refunded = b.request.Amount
		w.run.cfg.State.Enter(w.till.Terminal, till.RecordOf(&r, 0))
	}
}

// mischief sends a request and counts its answer by what was done. It is written down under its proper kind, so that the
// books must account for it. When no answer came, what can be reversed is, and its answer is that of the reversal; nil
// when the run is over.
func (w *worker) mischief(hard context.Context, name string, r *till.Request, word func(*till.Answer) string) *till.Answer {
	kinds := map[int]Kind{till.KindSale: Ordinary, till.KindVoid: Void, till.KindRefund: Refund}
	kind := kinds[r.Kind]
	if r.MTI == 0x0400 {
		kind = Reversal
	}
	w.last = nil
	line, err := w.trunk.get(hard)
	if err != nil {
		pause(hard, again)
		return &till.Answer{} // never sent
	}
	a, err := line.Ask(hard, r)
	if err != nil {
		w.run.tally.count(&w.run.tally.unanswered)
		if r.MTI == 0x0200 {
			return w.reverse(hard, r)
		}
		if a = w.insist(hard, r); a == nil {
			return nil
		}
	}
	code := a.Response
	if word != nil {
		code = word(a)
	}
	w.keep(kind, r, a)
	w.run.tally.answered(Mischief, name+" "+code, "", 0, func() string {
		return fmt.Sprintf("terminal %s STAN %06d rrn %s: %s %s", r.Terminal, r.STAN, r.RRN, a.Response, a.Text)
	})
	return a
}
