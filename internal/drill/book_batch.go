package drill

import (
	"fmt"

	"huanxin/switch/event"
)

// item is one payment or, with operation, refund of a terminal's batch.
type item struct{ purchase, operation uint64 }

func (b *Book) applyBatch(ev *event.Event) {
	switch body := ev.Body.(type) {
	case *event.Event_BatchSettled:
		b.settled(body.BatchSettled)
	case *event.Event_BatchUploaded:
		b.Batches[keyOf(body.BatchUploaded.Key)] = Exchange{Response: "00"}
	case *event.Event_BatchUploadEnded:
		b.Batches[keyOf(body.BatchUploadEnded.Key)] = Exchange{Response: "00"}
	case *event.Event_TerminalReported:
		b.Batches[keyOf(body.TerminalReported.Key)] = Exchange{Response: "00"}
	}
}

// settled adds the batch up anew and holds it against what the switch has counted.
func (b *Book) settled(m *event.BatchSettled) {
	key := keyOf(m.Key)
	own := event.BatchTotals{}
	for _, one := range b.batch[key.Terminal] {
		b.count(&own, one)
	}
	delete(b.batch, key.Terminal)
	b.Batches[key] = Exchange{Response: "00", Equal: m.Equal}
	if text, kept := totalsText(&own), totalsText(m.Kept); text != kept {
		b.Miscounted = append(b.Miscounted, fmt.Sprintf("batch %d of terminal %s was settled with %s, its records give %s",
			key.Batch, key.Terminal, kept, text))
	}
	if claimed := totalsText(m.Claimed) == totalsText(m.Kept); claimed != m.Equal {
		b.Miscounted = append(b.Miscounted, fmt.Sprintf("batch %d of terminal %s: equal is %v, the totals say %v",
			key.Batch, key.Terminal, m.Equal, claimed))
	}
}

// count adds one item: a payment that stands to the debit, a refund that was made to the credit. What was voided or is
// being reversed was never made.
func (b *Book) count(t *event.BatchTotals, one item) {
	p := b.Purchases[one.purchase]
	if one.operation != 0 {
		if o := b.Operations[one.operation]; o.State == "approved" {
			t.CreditAmount += o.Amount
			t.CreditCount++
		}
		return
	}
	switch p.State {
	case Captured, Refunding, Refunded:
	default:
		return
	}
	switch p.Kind {
	case event.SaleKind_SALE_KIND_PREAUTH, event.SaleKind_SALE_KIND_PREAUTH_VOID:
	case event.SaleKind_SALE_KIND_COMPLETION_VOID:
		t.CreditAmount += p.Amount
		t.CreditCount++
	default:
		t.DebitAmount += p.Amount
		t.DebitCount++
		if p.Promised > 0 {
			t.SubsidyAmount += p.Promised
			t.SubsidyCount++
		}
	}
}

func totalsText(t *event.BatchTotals) string {
	return fmt.Sprintf("debit %d×%d credit %d×%d subsidy %d×%d", t.GetDebitCount(), t.GetDebitAmount(), t.GetCreditCount(),
		t.GetCreditAmount(), t.GetSubsidyCount(), t.GetSubsidyAmount())
}
