package load

import (
	"context"
	"fmt"
	"slices"

	"huanxin/internal/money"
	"huanxin/internal/simulator/till"
)

// ---- Purchases ------------------------------------------------------------------------------------------------------

func (w *worker) buy(soft, hard context.Context) {
	if a := w.reserve(soft, hard); a != nil {
		w.pay(soft, hard, a)
	}
}

func (w *worker) giveUp(soft, hard context.Context) {
	if a := w.reserve(soft, hard); a != nil {
		w.cancel(soft, hard, a)
	}
}

func (w *worker) abandon(soft, hard context.Context) { w.reserve(soft, hard) }

func (w *worker) plain(soft, hard context.Context) { w.ordinary(soft, hard) }

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
	r.MTI, r.Kind, r.Amount = 0x0100, till.KindReserve, one.goods.Price
	r.Tags = []till.Tag{{Name: "S1", Value: one.code}, {Name: "S2", Value: one.goods.Barcode}, {Name: "S3", Value: w.run.serial(&one.goods)}}
	if one.goods.OldItem != "" {
		r.Tags = append(r.Tags, till.Tag{Name: "SE", Value: one.goods.OldItem})
	}
	a := w.exchange(hard, Reserve, &r, due)
	if a == nil || a.Refused() {
		return nil
	}
	return a
}

// serial is a number that no other item has.
func (r *run) serial(goods *Goods) string {
	n := r.serials.Add(1)
	if goods.IMEI {
		return till.NewIMEI(n)
	}
	return till.NewSerial(n)
}

func (w *worker) pay(soft, hard context.Context, hold *till.Answer) {
	r, err := w.request()
	if err != nil {
		w.run.fail(err)
		return
	}
	r.MTI, r.Kind, r.Amount, r.Card = 0x0200, till.KindSale, hold.Payable, w.card()
	r.PIN = w.types(r.Card)
	r.Tags = holdTags(hold.Hold)
	a, _ := w.ask(soft, hard, Sale, &r, true) // the buyer is at the till: what was begun is finished
	w.remember(&r, a, hold.Subsidy)
}

func holdTags(hold uint64) []till.Tag {
	return []till.Tag{{Name: "S7", Value: fmt.Sprintf("%012d", hold)}}
}

func (w *worker) cancel(soft, hard context.Context, hold *till.Answer) {
	r, err := w.request()
	if err != nil {
		w.run.fail(err)
		return
	}
	r.MTI, r.Kind, r.Amount, r.Tags = 0x0100, till.KindCancel, hold.Price, holdTags(hold.Hold)
	w.ask(soft, hard, Cancel, &r, true)
}

// stuck is the ending, in fen, by which the simulated network never answers.
const stuck = 34

// ordinary returns the purchase, nil when there is none.
func (w *worker) ordinary(soft, hard context.Context) *bought {
	r, err := w.request()
	if err != nil {
		w.run.fail(err)
		return nil
	}
	r.MTI, r.Kind, r.Card = 0x0200, till.KindSale, w.card()
	r.PIN = w.types(r.Card)
	r.Amount = w.run.cfg.Ordinary + money.Amount(100*w.dice.IntN(100))
	if r.Card.Code == "" && w.dice.Float64() < w.run.cfg.Stuck {
		r.Amount += stuck
	}
	a, ok := w.ask(soft, hard, Ordinary, &r, false)
	if !ok {
		return nil
	}
	return w.remember(&r, a, 0)
}

// remember enters an approved payment into the batch and into the terminal's memory; nil when it was not approved.
func (w *worker) remember(r *till.Request, a *till.Answer, subsidy money.Amount) *bought {
	if a == nil || a.Refused() {
		return nil
	}
	b := &bought{request: *r, answer: *a}
	w.run.cfg.State.Enter(w.till.Terminal, till.RecordOf(r, subsidy))
	w.last = b
	if len(w.sold) == memory {
		w.sold = slices.Delete(w.sold, 0, 1)
	}
	w.sold = append(w.sold, b)
	return b
}

// ---- What takes back ------------------------------------------------------------------------------------------------

// some picks a purchase that nothing has happened to yet, of the open batch only when a void is meant, and makes one when
// there is none.
func (w *worker) some(soft, hard context.Context, open bool) *bought {
	var list []*bought
	for _, b := range w.sold {
		if !b.done && (!open || b.request.Batch == w.batch && b.refunded == 0) {
			list = append(list, b)
		}
	}
	if len(list) == 0 {
		return w.ordinary(soft, hard)
	}
	return list[w.dice.IntN(len(list))]
}

// about begins a message about a purchase.
func (w *worker) about(b *bought) (till.Request, error) {
	r, err := w.request()
	r.Card, r.Amount, r.RRN, r.Approval = b.request.Card, b.request.Amount, b.answer.RRN, b.answer.Approval
	r.Original = &till.Original{Batch: b.request.Batch, STAN: b.request.STAN}
	return r, err
}

func (w *worker) takeBack(soft, hard context.Context) { w.void(soft, hard) }

// void returns the void and its answer, nil when there was none.
func (w *worker) void(soft, hard context.Context) (*bought, *till.Request) {
	b := w.some(soft, hard, true)
	if b == nil {
		return nil, nil
	}
	r, err := w.about(b)
	if err != nil {
		w.run.fail(err)
		return nil, nil
	}
	r.MTI, r.Kind = 0x0200, till.KindVoid
	a, ok := w.ask(soft, hard, Void, &r, false)
	if !ok || a == nil || a.Refused() {
		return nil, nil
	}
	b.done = true
	w.run.cfg.State.Void(w.till.Terminal, b.request.STAN, false)
	return b, &r
}

// takeBackAndUndo voids, and takes the void back: the printer has failed. A wallet has paid back for good.
func (w *worker) takeBackAndUndo(soft, hard context.Context) {
	b, r := w.void(soft, hard)
	if b == nil || r.Card.Code != "" {
		return
	}
	if a := w.undo(hard, r, "96"); a != nil && a.Response == "00" {
		b.done = false
		w.run.cfg.State.Void(w.till.Terminal, b.request.STAN, true)
	}
}

// sellAndUndo sells and reverses: the card has refused the answer.
func (w *worker) sellAndUndo(soft, hard context.Context) {
	if b := w.ordinary(soft, hard); b != nil {
		w.reverseSale(hard, b, "06")
	}
}

func (w *worker) reverseSale(hard context.Context, b *bought, cause string) {
	if a := w.undo(hard, &b.request, cause); a != nil && a.Response == "00" {
		b.done, b.reversed = true, true
		w.run.cfg.State.Remove(w.till.Terminal, b.request.STAN)
	}
}

func (w *worker) refundAll(soft, hard context.Context) {
	if b := w.some(soft, hard, false); b != nil {
		w.refund(soft, hard, b, b.request.Amount-b.refunded, Refund)
	}
}

// refundPart gives back a part in whole yuan, less than what is left.
func (w *worker) refundPart(soft, hard context.Context) {
	b := w.some(soft, hard, false)
	if b == nil {
		return
	}
	if left := int64(b.request.Amount-b.refunded-1) / 100; left > 0 {
		w.refund(soft, hard, b, money.Amount(100*(1+w.dice.Int64N(left))), Refund)
	}
}

func (w *worker) refund(soft, hard context.Context, b *bought, amount money.Amount, kind Kind) {
	r, err := w.about(b)
	if err != nil {
		w.run.fail(err)
		return
	}
	r.MTI, r.Kind, r.Amount, r.Original.Date = 0x0220, till.KindRefund, amount, b.answer.At.Format("0102")
	a, ok := w.ask(soft, hard, kind, &r, false)
	switch {
	case !ok:
	case a == nil || a.Response == "98" || a.Response == "68":
		b.done = true // nobody knows how it has ended
	case !a.Refused():
		b.refunded += amount
		b.done = b.refunded == b.request.Amount
		w.run.cfg.State.Enter(w.till.Terminal, till.RecordOf(&r, 0))
	}
}

// ---- The rest of a terminal's day -----------------------------------------------------------------------------------

// authorise sets an amount aside, and lets it go or completes it; a completion may be voided.
func (w *worker) authorise(soft, hard context.Context) {
	card := w.card()
	if card.Code != "" { // wallets set nothing aside
		w.ordinary(soft, hard)
		return
	}
	amount := w.run.cfg.Ordinary + money.Amount(100*w.dice.IntN(100))
	send := func(kind int, class uint16, of *bought) *bought {
		r, err := w.request()
		if err != nil {
			w.run.fail(err)
			return nil
		}
		r.MTI, r.Kind, r.Card, r.Amount = 0x0200, kind, card, amount
		if class == 1 {
			r.MTI = 0x0100
		}
		if kind == till.KindPreauth {
			r.PIN = w.types(card)
		}
		if of != nil {
			r.Approval = of.answer.Approval
			r.Original = &till.Original{Batch: of.request.Batch, STAN: of.request.STAN, Date: of.answer.At.Format("0102")}
		}
		if kind == till.KindCompletionVoid {
			r.RRN = of.answer.RRN
		}
		a, ok := w.ask(soft, hard, Preauth, &r, false)
		if !ok || a == nil || a.Refused() {
			return nil
		}
		return &bought{request: r, answer: *a}
	}
	first := send(till.KindPreauth, 1, nil)
	if first == nil {
		return
	}
	choice := w.dice.IntN(3)
	if choice == 0 {
		send(till.KindPreauthVoid, 1, first)
		return
	}
	done := send(till.KindCompletion, 2, first)
	if done == nil {
		return
	}
	w.run.cfg.State.Enter(w.till.Terminal, till.RecordOf(&done.request, 0))
	if choice == 1 {
		if void := send(till.KindCompletionVoid, 2, done); void != nil {
			w.run.cfg.State.Enter(w.till.Terminal, till.RecordOf(&void.request, 0))
		}
	}
}

// closeBatch settles, and uploads when the totals differ; now and then also when they agree.
func (w *worker) closeBatch(soft, hard context.Context) {
	w.settle(soft, hard, 0)
}

// settle closes the batch with so much too much in its debit.
func (w *worker) settle(soft, hard context.Context, off money.Amount) {
	totals := till.Sum(w.run.cfg.State.Records(w.till.Terminal))
	totals.Debit += off
	stan, err := w.nextSTAN()
	if err != nil {
		w.run.fail(err)
		return
	}
	r := till.SettleRequest(w.till, w.batch, stan, &totals)
	a, ok := w.ask(soft, hard, Settle, &r, false)
	if !ok || a == nil || a.Refused() {
		return
	}
	closed := w.batch
	records, err := w.run.cfg.State.CloseBatch(w.till.Terminal, closed)
	if err != nil {
		w.run.fail(err)
		return
	}
	w.batch, w.last = w.run.cfg.State.Batch(w.till.Terminal, w.till.Batch), nil
	if equal := a.Recon == '1'; !equal || w.dice.IntN(2) == 0 {
		w.upload(soft, hard, closed, till.Uploaded(records), equal)
	}
}

// upload sends the records of a closed batch, and their end.
func (w *worker) upload(soft, hard context.Context, batch uint32, records []till.Record, equal bool) {
	for sent := 0; hard.Err() == nil; {
		stan, err := w.nextSTAN()
		if err != nil {
			w.run.fail(err)
			return
		}
		group := records[sent:min(sent+till.UploadRecords, len(records))]
		r := till.UploadEndRequest(w.till, batch, stan, len(records), equal)
		if len(group) > 0 {
			r = till.UploadRequest(w.till, batch, stan, group)
		}
		a, _ := w.ask(soft, hard, Upload, &r, true)
		if sent += len(group); len(group) == 0 || a == nil || a.Refused() {
			return
		}
	}
}

func (w *worker) askBalance(soft, hard context.Context) {
	r, err := w.request()
	if err != nil {
		w.run.fail(err)
		return
	}
	pan := till.NewPAN(w.dice.Uint64N(1_000_000))
	r.MTI, r.Kind, r.Card = 0x0200, till.KindBalance, &till.Card{PAN: pan, Expiry: "3012", Track2: pan + "D301222010000000000"}
	r.PIN = w.types(r.Card)
	w.ask(soft, hard, Balance, &r, false)
}

// askStatus asks for a purchase that this terminal remembers.
func (w *worker) askStatus(soft, hard context.Context) {
	if len(w.sold) == 0 {
		return
	}
	r, err := w.request()
	if err != nil {
		w.run.fail(err)
		return
	}
	r.MTI, r.Kind, r.RRN = 0x0100, till.KindStatus, w.sold[w.dice.IntN(len(w.sold))].answer.RRN
	w.ask(soft, hard, Status, &r, false)
}

// certify sends the certificate of a chip transaction.
func (w *worker) certify(soft, hard context.Context) {
	b := w.some(soft, hard, false)
	if b == nil {
		return
	}
	stan, err := w.nextSTAN()
	if err != nil {
		w.run.fail(err)
		return
	}
	r := till.CertificateRequest(w.till, w.batch, stan, &b.request, &b.answer)
	w.ask(soft, hard, Certificate, &r, false)
}
