package engine

import (
	"fmt"
	"slices"

	"huanxin/internal/money"
	"huanxin/switch/event"
)

// Terminal settlement: at the end of its day a terminal sends the sums of its batch (0500). The switch compares them with
// its own, closes the batch either way and opens the next; then the terminal may send its records one by one (0320), and
// what differs becomes a work item.

// closedBatch is the batch that a terminal has settled last, while its records may still come.
type closedBatch struct {
	batch    uint32
	settled  *event.BatchSettled
	items    []target
	named    []uint32 // STANs of the switch that were sent, ascending
	uploaded uint32   // records that were sent
	differed uint32   // of them, those that the switch has otherwise or not at all
	ended    bool
}

func (c *closedBatch) names(stan uint32) bool {
	_, ok := slices.BinarySearch(c.named, stan)
	return ok
}

// line is one record of a batch as a terminal would print it.
type line struct {
	stan    uint32
	amount  money.Amount
	card    []byte
	credit  bool
	subsidy money.Amount
}

// line returns the record of one item of a batch. counts is false for what was never made: declined, reversed, voided.
// open is true while its end is not known.
func (e *Engine) line(t target) (l line, counts, open bool) {
	p := e.purchase(t.purchase)
	if p == nil {
		return l, false, false
	}
	if t.operation != 0 {
		o := e.operation(t.operation)
		l = line{stan: o.refund.Key.Stan, amount: o.amount(), card: o.refund.Card.GetToken(), credit: true}
		return l, o.state == opApproved, o.state == opSent
	}
	l = line{stan: p.sale.Key.Stan, amount: money.Amount(p.sale.Amount), card: p.sale.Card.GetToken()}
	if p.reserved != nil && !p.manual {
		l.subsidy = money.Amount(p.reserved.Subsidy)
	}
	switch p.sale.Kind {
	case event.SaleKind_SALE_KIND_PREAUTH, event.SaleKind_SALE_KIND_PREAUTH_VOID:
		return l, false, p.state == Sent
	case event.SaleKind_SALE_KIND_COMPLETION_VOID:
		l.credit = true
	}
	switch p.state {
	case Captured, Refunding, Refunded:
		return l, true, false
	case Sent, Unknown, Voiding:
		return l, false, true
	}
	return l, false, false
}

// totals sums a batch. A void that is netted, and a reversal that is still in the queue, leave nothing.
func (e *Engine) totals(items []target) (sum Totals, open bool) {
	for _, t := range items {
		l, counts, pending := e.line(t)
		open = open || pending
		switch {
		case !counts:
		case l.credit:
			sum.Credit += l.amount
			sum.CreditCount++
		default:
			sum.Debit += l.amount
			sum.DebitCount++
			if l.subsidy > 0 {
				sum.Subsidy += l.subsidy
				sum.SubsidyCount++
			}
		}
	}
	return sum, open
}

// settle is 0500.
func (e *Engine) settle(in *SettlementRequest) {
	if !e.recognised(in.Token, in.Key) || e.repeated(in.Token, in.Key, in.Content, exchangeSettlement) {
		return
	}
	if !e.inSession(in.Token, in.Key) {
		return
	}
	t := e.session(in.Key.Terminal)
	kept, open := e.totals(t.items)
	if open {
		e.reply(Reply{Token: in.Token, Response: rc("96"), Text: "有交易处理中，请稍后结算"})
		return
	}
	e.endQuarantine(t, event.QuarantineEnd_QUARANTINE_END_BATCH)
	claimed := in.Totals
	if !in.Subsidy {
		claimed.Subsidy, claimed.SubsidyCount = kept.Subsidy, kept.SubsidyCount
	}
	e.emit(&event.Event{Body: &event.Event_BatchSettled{BatchSettled: &event.BatchSettled{
		Key: in.Key.event(), Content: bytesOf(in.Content), Claimed: claimed.event(), Kept: kept.event(), Equal: claimed == kept,
		NextBatch: t.batch%maxBatch + 1,
	}}})
	e.replySettled(in.Token, e.exchanges.settled[in.Key])
}

// maxBatch is the largest DE60.2; after it comes 1.
const maxBatch = 999_999

func (e *Engine) replySettled(token Token, m *event.BatchSettled) {
	kept := totalsOf(m.Kept)
	e.reply(Reply{Token: token, Response: rc("00"), Totals: &kept, Equal: m.Equal})
}

// upload is 0320 with records: each is compared with the switch's own.
func (e *Engine) upload(in *UploadRequest) {
	c := e.uploading(in.Token, in.Key, in.Content, exchangeUpload)
	if c == nil {
		return
	}
	m := &event.BatchUploaded{Key: in.Key.event(), Content: bytesOf(in.Content)}
	var differing []difference
	for _, record := range in.Records {
		switch d, known := e.compare(c, record); {
		case d.detail != "":
			differing = append(differing, d)
			if known {
				m.DifferingKnown = append(m.DifferingKnown, record.STAN)
			}
		case !c.names(record.STAN) && !slices.Contains(m.Matched, record.STAN):
			m.Matched = append(m.Matched, record.STAN)
		}
	}
	m.Differing = uint32(len(differing))
	before := int(c.differed)
	e.emit(&event.Event{Body: &event.Event_BatchUploaded{BatchUploaded: m}})
	e.differ(in.Key, differing, before)
	e.reply(Reply{Token: in.Token, Response: rc("00")})
}

// difference is one record of a batch that terminal and switch do not have alike.
type difference struct {
	of     target // zero when the switch knows no such record
	detail string
}

// compare says how a record of the terminal differs from the switch's; the detail is empty when it does not. known is
// true when the switch has a standing record of that number.
func (e *Engine) compare(c *closedBatch, record UploadRecord) (d difference, known bool) {
	detail := fmt.Sprintf("the terminal has %s, the switch knows no such record", record.Amount)
	for _, t := range c.items {
		l, counts, _ := e.line(t)
		if l.stan != record.STAN {
			continue
		}
		d.of, known, detail = t, counts, ""
		switch {
		case !counts:
			detail = fmt.Sprintf("the terminal has %s, the switch has no standing record", record.Amount)
		case l.amount != record.Amount:
			detail = fmt.Sprintf("the terminal has %s, the switch %s", record.Amount, l.amount)
		case record.Card != (Hash{}) && !slices.Equal(record.Card[:], l.card):
			detail = "another card"
		}
		break
	}
	if detail != "" {
		d.detail = fmt.Sprintf("STAN %06d: %s", record.STAN, detail)
	}
	return d, known
}

// maxDifferences bounds the work items that the records of one upload, and its end, open: a terminal that sends another
// batch altogether is one thing to look at, not thousands.
const maxDifferences = 200

// differ opens a work item for each difference; before is how many there have been of the same kind.
func (e *Engine) differ(key Key, list []difference, before int) {
	for i, d := range list {
		switch n := before + i; {
		case n < maxDifferences:
			e.batchItem(key, d)
		case n == maxDifferences:
			e.batchItem(key, difference{detail: fmt.Sprintf("more than %d differences, the others are not listed", maxDifferences)})
			return
		default:
			return
		}
	}
}

// endUpload is 0320 with 202 or 207: what the switch has and the terminal did not send is a difference. After equal totals
// (207) a terminal may leave its records out.
func (e *Engine) endUpload(in *UploadEndRequest) {
	c := e.uploading(in.Token, in.Key, in.Content, exchangeUpload)
	if c == nil {
		return
	}
	var missing []difference
	for _, t := range c.items {
		if l, counts, _ := e.line(t); counts && !c.names(l.stan) && (!in.Equal || c.uploaded > 0) {
			missing = append(missing, difference{t, fmt.Sprintf("STAN %06d: the switch has %s, the terminal did not send it", l.stan, l.amount)})
		}
	}
	e.emit(&event.Event{Body: &event.Event_BatchUploadEnded{BatchUploadEnded: &event.BatchUploadEnded{
		Key: in.Key.event(), Content: bytesOf(in.Content), Claimed: in.Count, Missing: uint32(len(missing)),
	}}})
	if in.Count != c.uploaded {
		e.batchItem(in.Key, difference{detail: fmt.Sprintf("the terminal says it has sent %d records, %d came", in.Count, c.uploaded)})
	}
	e.differ(in.Key, missing, 0)
	e.reply(Reply{Token: in.Token, Response: rc("00")})
}

// uploading admits a message about a closed batch.
func (e *Engine) uploading(token Token, key Key, content Hash, kind exchangeKind) *closedBatch {
	if !e.recognised(token, key) || e.repeated(token, key, content, kind) {
		return nil
	}
	if c := e.session(key.Terminal).closed; c != nil && c.batch == key.Batch && !c.ended {
		return c
	}
	e.reply(Reply{Token: token, Response: rc("77"), Text: "该批次未结算或已上送完毕"})
	return nil
}

func (e *Engine) batchItem(key Key, d difference) {
	e.openItem(&event.WorkItemOpened{
		Kind: "batch-difference", Detail: fmt.Sprintf("batch %06d, %s", key.Batch, d.detail), Terminal: text(key.Terminal[:]),
		Merchant: text(key.Merchant[:]), Purchase: d.of.purchase, Operation: d.of.operation,
	})
}

func (t Totals) event() *event.BatchTotals {
	return &event.BatchTotals{
		DebitAmount: int64(t.Debit), DebitCount: t.DebitCount, CreditAmount: int64(t.Credit), CreditCount: t.CreditCount,
		SubsidyAmount: int64(t.Subsidy), SubsidyCount: t.SubsidyCount,
	}
}

func totalsOf(m *event.BatchTotals) Totals {
	return Totals{
		Debit: money.Amount(m.GetDebitAmount()), DebitCount: m.GetDebitCount(), Credit: money.Amount(m.GetCreditAmount()),
		CreditCount: m.GetCreditCount(), Subsidy: money.Amount(m.GetSubsidyAmount()), SubsidyCount: m.GetSubsidyCount(),
	}
}

func (e *Engine) applyBatchSettled(m *event.BatchSettled) {
	key := keyOf(m.Key)
	t := e.touch(key.Terminal)
	e.remember(key, exchange{content: hash(m.Content), kind: exchangeSettlement}) // while its batch is the open one
	t.closed = &closedBatch{batch: key.Batch, settled: m, items: t.items}
	t.items, t.batch = nil, m.NextBatch
	e.exchanges.settled[key] = m
}

func (e *Engine) applyBatchUploaded(m *event.BatchUploaded) {
	key := keyOf(m.Key)
	if c := e.touch(key.Terminal).closed; c != nil && c.batch == key.Batch {
		c.named = append(append(c.named, m.Matched...), m.DifferingKnown...)
		slices.Sort(c.named)
		c.named = slices.Compact(c.named)
		c.uploaded += uint32(len(m.Matched)) + m.Differing
		c.differed += m.Differing
	}
	e.remember(key, exchange{content: hash(m.Content), kind: exchangeUpload})
}

func (e *Engine) applyBatchUploadEnded(m *event.BatchUploadEnded) {
	key := keyOf(m.Key)
	if c := e.touch(key.Terminal).closed; c != nil && c.batch == key.Batch {
		c.ended, c.items, c.named = true, nil, nil
	}
	e.remember(key, exchange{content: hash(m.Content), kind: exchangeUpload})
}
