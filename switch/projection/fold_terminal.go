package projection

import (
	"fmt"

	"huanxin/internal/money"
	"huanxin/switch/event"
)

func (f *fold) applyTerminal(ev *event.Event) error {
	switch b := ev.Body.(type) {
	case *event.Event_TerminalSignedOn:
		m := b.TerminalSignedOn
		t := f.terminal(m.Terminal)
		t.Merchant, t.Batch, t.SignedOn, t.SignedOnAt = text(m.Merchant), m.Batch, true, f.at
	case *event.Event_TerminalSignedOff:
		t := f.terminal(b.TerminalSignedOff.Terminal)
		t.Merchant, t.SignedOn, t.SignedOffAt = text(b.TerminalSignedOff.Merchant), false, f.at
	case *event.Event_BatchSettled:
		f.batchSettled(b.BatchSettled)
	case *event.Event_BatchUploaded:
		m := b.BatchUploaded
		t, err := f.upload(m.Key, UploadOpen)
		if err != nil {
			return err
		}
		t.Matched += uint32(len(m.Matched))
		t.Differing += m.Differing
	case *event.Event_BatchUploadEnded:
		m := b.BatchUploadEnded
		t, err := f.upload(m.Key, UploadEnded)
		if err != nil {
			return err
		}
		t.Sent, t.Missing = m.Claimed, m.Missing
	case *event.Event_TerminalReported:
		f.reported(b.TerminalReported)
	case *event.Event_InquirySent:
		f.inquirySent(b.InquirySent)
	case *event.Event_InquiryEnded:
		return f.inquiryEnded(b.InquiryEnded)
	}
	return nil
}

func (f *fold) terminal(id string) *Terminal {
	id = text(id)
	t := f.terminals[id]
	if t == nil {
		t = &Terminal{ID: id}
		f.terminals[id] = t
	}
	t.Seq = f.seq
	f.touched.terminals[id] = t
	return t
}

func batchKey(k *event.ExchangeKey) BatchKey {
	return BatchKey{Terminal: text(k.GetTerminal()), Merchant: text(k.GetMerchant()), Batch: k.GetBatch()}
}

func totals(t *event.BatchTotals) BatchTotals {
	return BatchTotals{
		Debit: money.Amount(t.GetDebitAmount()), DebitCount: t.GetDebitCount(), Credit: money.Amount(t.GetCreditAmount()),
		CreditCount: t.GetCreditCount(), Subsidy: money.Amount(t.GetSubsidyAmount()), SubsidyCount: t.GetSubsidyCount(),
	}
}

// batchSettled closes a batch; the next one is open from here on.
func (f *fold) batchSettled(m *event.BatchSettled) {
	b := &TerminalBatch{
		ID: f.seq, Month: f.month.date, Key: batchKey(m.Key), STAN: m.Key.GetStan(), NextBatch: m.NextBatch,
		Claimed: totals(m.Claimed), Kept: totals(m.Kept), Equal: m.Equal, Upload: UploadNone, SettledAt: f.at, Seq: f.seq,
	}
	f.batches[b.Key], f.touched.batches[b.ID] = b, b
	t := f.terminal(b.Key.Terminal)
	t.Merchant, t.Batch = b.Key.Merchant, m.NextBatch
}

// upload is the settled batch that a terminal sends its records of.
func (f *fold) upload(key *event.ExchangeKey, state string) (*TerminalBatch, error) {
	b := f.batches[batchKey(key)]
	if b == nil {
		return nil, fmt.Errorf("batch %d of terminal %s was not settled", key.GetBatch(), key.GetTerminal())
	}
	b.Upload, b.UploadedAt, b.Seq = state, f.at, f.seq
	f.touched.batches[b.ID] = b
	return b, nil
}

func (f *fold) reported(m *event.TerminalReported) {
	f.trail(m.Purchase)
	f.out.Reports = append(f.out.Reports, TerminalReport{
		Seq: f.seq, Month: f.month.date, Terminal: text(m.Key.GetTerminal()), Merchant: text(m.Key.GetMerchant()),
		TerminalBatch: m.Key.GetBatch(), STAN: m.Key.GetStan(), Kind: text(m.Kind), Purchase: m.Purchase, ICC: octets(m.Icc),
		Detail: text(m.Detail), ReportedAt: f.at,
	})
}

func (f *fold) inquirySent(m *event.InquirySent) {
	i := &Inquiry{
		ID: f.seq, Month: f.month.date, Terminal: text(m.Key.GetTerminal()), Merchant: text(m.Key.GetMerchant()),
		TerminalBatch: m.Key.GetBatch(), STAN: m.Key.GetStan(), Host: text(m.Host), HostSTAN: m.HostStan, RRN: text(m.Rrn),
		SentAt: f.at, Seq: f.seq,
	}
	f.inquiries[i.RRN], f.touched.inquiries[i.ID] = i, i
}

func (f *fold) inquiryEnded(m *event.InquiryEnded) error {
	rrn := text(m.Rrn)
	i := f.inquiries[rrn]
	if i == nil {
		return fmt.Errorf("inquiry %s is not open", rrn)
	}
	i.Response, i.EndedAt, i.Seq = text(m.Response), f.at, f.seq
	f.touched.inquiries[i.ID] = i
	delete(f.inquiries, rrn)
	return nil
}
