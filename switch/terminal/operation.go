package terminal

import (
	"bytes"

	"huanxin/internal/money"
	"huanxin/switch/engine"
)

// DE61, the original: batch n6, STAN n6, date MMDD n4; behind them the authorisation's mode and institution, which are
// not read. 12 digits are an original without its date.
const (
	originalSize      = 12
	datedOriginalSize = 16
	maxOriginal       = 29
)

// rrnSize is that of DE37, an12.
const rrnSize = 12

// original reads DE61. Absent is the zero Original.
func (r *reader) original(to *engine.Original) *refusal {
	if !r.m.Has(61) {
		return nil
	}
	n := r.m.Len(61)
	batch, ok := r.m.SubUint(61, 0, 6)
	stan, also := r.m.SubUint(61, 6, 6)
	if !ok || !also || n > maxOriginal || n != originalSize && n < datedOriginalSize {
		return wrong(field(61))
	}
	to.Batch, to.STAN = uint32(batch), uint32(stan)
	if n == originalSize {
		return nil
	}
	date, ok := r.m.SubUint(61, 12, 4)
	if month, day := date/100, date%100; !ok || month < 1 || month > 12 || day < 1 || day > 31 {
		return wrong(field(61))
	}
	var digits [4]byte
	text, _ := r.m.AppendSub(digits[:0], 61, 12, 4)
	to.Date = string(text)
	return nil
}

// rrn reads DE37: the switch's number of the original. Absent is "".
func (r *reader) rrn(to *string) *refusal {
	if !r.m.Has(37) {
		return nil
	}
	var text [rrnSize]byte
	if r.m.CopyField(text[:], 37) != len(text) {
		return wrong(field(37))
	}
	for _, c := range text {
		if !alnum(c) {
			return wrong(field(37))
		}
	}
	*to = string(text[:])
	return nil
}

// void reads 0200 / 200000 / 60.1 23. Chip data is kept as for a sale, in case the void itself is reversed; its 9F02 is
// not compared with anything: nothing is charged.
func (r *reader) void() (any, *refusal) {
	in := &engine.VoidRequest{Token: r.token()}
	sale := engine.SaleRequest{ICCAmount: -1}
	if no := r.payment(&sale, '2'); no != nil {
		return nil, no
	}
	in.Key, in.Amount = sale.Key, sale.Amount
	if no := r.named(&in.Original, &in.RRN); no != nil {
		return nil, no
	}
	if r.m.Has(59) {
		_, no := r.refundTags(sale.EntryMode)
		if no != nil {
			return nil, no
		}
	}
	if no := r.charge(&sale); no != nil {
		return nil, no
	}
	in.Card = sale.Card
	in.Content = r.operationContent()
	return in, nil
}

// refund reads 0220 / 200000 / 60.1 25.
func (r *reader) refund() (any, *refusal) {
	in := &engine.RefundRequest{Token: r.token()}
	sale := engine.SaleRequest{ICCAmount: -1}
	if no := r.payment(&sale, '2'); no != nil {
		return nil, no
	}
	in.Key, in.Amount = sale.Key, sale.Amount
	if no := r.named(&in.Original, &in.RRN); no != nil {
		return nil, no
	}
	if in.Original.Date == "" {
		return nil, missing("原交易日期（域61）")
	}
	if r.m.Has(59) {
		activated, no := r.refundTags(sale.EntryMode)
		if no != nil {
			return nil, no
		}
		in.Activated = activated
	}
	if no := r.charge(&sale); no != nil {
		return nil, no
	}
	in.Card = sale.Card
	in.Content = r.operationContent()
	return in, nil
}

// named reads what names the purchase that a void or refund is about.
func (r *reader) named(original *engine.Original, rrn *string) *refusal {
	if no := r.original(original); no != nil {
		return no
	}
	return r.rrn(rrn)
}

// refundTags reads DE59 of a void or refund: the payment code, and SO, goods activated. A DE59 of another make is passed
// over, unless it may have been meant to say the one or the other.
func (r *reader) refundTags(entry [3]byte) (activated bool, no *refusal) {
	value := r.canonical(59)
	if no := r.tags.read(value); no != nil {
		if mentions(value, tagActivated) || entry[0] == '0' && entry[1] == '3' {
			return false, no
		}
		r.tags.reset()
		return false, nil
	}
	switch {
	case r.tags.activated == nil, bytes.Equal(r.tags.activated, []byte("0")):
		return false, nil
	case bytes.Equal(r.tags.activated, []byte("1")):
		return true, nil
	}
	return false, wrong(tag59(tagActivated))
}

// operationContent hashes what makes a resend the same void or refund.
func (r *reader) operationContent() engine.Hash {
	r.collect(37, 61)
	r.collectUse()
	return r.hashContent()
}

// balance reads 0200 / 310000 / 60.1 01.
func (r *reader) balance() (any, *refusal) {
	in := &engine.InquiryRequest{Token: r.token()}
	sale := engine.SaleRequest{ICCAmount: money.Amount(-1)}
	if no := r.key(&in.Key, '2'); no != nil {
		return nil, no
	}
	if no := r.entryMode(&sale.EntryMode); no != nil {
		return nil, no
	}
	if r.m.Has(59) {
		if _, no := r.refundTags(sale.EntryMode); no != nil {
			return nil, no
		}
	}
	if no := r.charge(&sale); no != nil {
		return nil, no
	}
	in.Card, in.Host = sale.Card, sale.Host
	r.collectUse()
	in.Content = r.hashContent()
	return in, nil
}

// status reads 0100 / 390000 / 60.1 98: how does a purchase stand? S7, DE37 and DE61 may each name it.
func (r *reader) status() (any, *refusal) {
	in := &engine.StatusRequest{Token: r.token()}
	if no := r.key(&in.Key, '1'); no != nil {
		return nil, no
	}
	if no := r.named(&in.Original, &in.RRN); no != nil {
		return nil, no
	}
	if !r.m.Has(59) {
		return in, nil
	}
	if no := r.tags.read(r.canonical(59)); no != nil {
		return nil, no
	}
	if r.tags.hold != nil {
		if in.Hold = r.tags.holdID(); in.Hold == 0 {
			return nil, wrong(tag59(tagHold))
		}
	}
	return in, nil
}
