package till

import (
	"context"
	"errors"
	"fmt"

	"huanxin/internal/money"
	"huanxin/internal/receipt"
)

// SettleRequest is the 0500 of a batch with these totals.
func SettleRequest(t Till, batch, stan uint32, totals *Totals) Request {
	return Request{
		MTI: 0x0500, Kind: KindManagement, Net: NetSettle, Terminal: t.Terminal, Merchant: t.Merchant, Batch: batch, STAN: stan,
		Details: totals.settlementDetails(), Tags: totals.subsidyTags(),
	}
}

// UploadRequest is a 0320 with records of a closed batch, at most UploadRecords.
func UploadRequest(t Till, batch, stan uint32, records []Record) Request {
	return Request{
		MTI: 0x0320, Kind: KindManagement, Net: NetSettle, Terminal: t.Terminal, Merchant: t.Merchant, Batch: batch, STAN: stan,
		Details: uploadDetails(records),
	}
}

// UploadEndRequest is the 0320 that ends an upload of so many records.
func UploadEndRequest(t Till, batch, stan uint32, records int, equal bool) Request {
	net := NetEndDiffers
	if equal {
		net = NetEndEqual
	}
	return Request{
		MTI: 0x0320, Kind: KindManagement, Net: net, Terminal: t.Terminal, Merchant: t.Merchant, Batch: batch, STAN: stan,
		Details: fmt.Sprintf("%04d", records),
	}
}

// Uploaded are the records of a batch that an upload names: what was taken back is not in it.
func Uploaded(records []Record) []Record {
	var list []Record
	for _, r := range records {
		if !r.Void {
			list = append(list, r)
		}
	}
	return list
}

func (p *Player) settle(ctx context.Context, s *story, step *Step) error {
	fresh, err := p.request(s, false, 0)
	if err != nil {
		return err
	}
	totals := Sum(p.State.Records(s.till.Terminal))
	totals.Debit += money.Amount(step.Settle.Off)
	r := SettleRequest(s.till, fresh.Batch, fresh.STAN, &totals)
	a, err := p.tell(ctx, &r)
	if err != nil {
		return err
	}
	if a.Refused() {
		p.say("结算 %s %s", a.Response, refusalText(a))
		return step.Expect.terminalAnswer(a)
	}
	records, err := p.State.CloseBatch(s.till.Terminal, r.Batch)
	if err != nil {
		return err
	}
	equal := a.Recon == '1'
	p.closed[s.till.Terminal] = settled{batch: r.Batch, records: records, equal: equal}
	word := "对账不平"
	if equal {
		word = "对账平"
	}
	p.say("结算 %s %s", a.Response, word)
	p.print(&receipt.Settlement{
		Merchant: s.till.Name, DE42: s.till.Merchant, Terminal: s.till.Terminal, Batch: r.Batch, STAN: r.STAN, At: a.At,
		Till: totals.sums(), Switch: a.Totals.sums(), Equal: equal,
	})
	return step.Expect.terminalAnswer(a)
}

func (t *Totals) sums() receipt.Sums {
	return receipt.Sums{
		Debit: t.Debit, DebitCount: t.DebitCount, Credit: t.Credit, CreditCount: t.CreditCount, Subsidy: t.Subsidy,
		SubsidyCount: t.SubsidyCount,
	}
}

// upload sends the records of the batch that was closed last, in groups, then the end.
func (p *Player) upload(ctx context.Context, s *story, step *Step) error {
	batch, known := p.closed[s.till.Terminal]
	if !known {
		return errors.New("no batch was settled")
	}
	records := Uploaded(batch.records)
	records = records[min(step.Upload.Forget, len(records)):]
	if n := len(records); n > 0 {
		records[n-1].Amount += money.Amount(step.Upload.Off)
	}
	var last *Answer
	for sent := 0; ; {
		fresh, err := p.request(s, false, batch.batch)
		if err != nil {
			return err
		}
		r := UploadEndRequest(s.till, batch.batch, fresh.STAN, len(records), batch.equal)
		group := records[sent:min(sent+UploadRecords, len(records))]
		if len(group) > 0 {
			r = UploadRequest(s.till, batch.batch, fresh.STAN, group)
		}
		if last, err = p.tell(ctx, &r); err != nil {
			return err
		}
		if sent += len(group); len(group) == 0 || last.Refused() {
			break
		}
	}
	p.say("批上送 %d 笔 %s %s", len(records), last.Response, refusalText(last))
	return step.Expect.terminalAnswer(last)
}
