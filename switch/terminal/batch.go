package terminal

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"huanxin/internal/money"
	"huanxin/subsidy/label"
	"huanxin/switch/engine"
)

// DE48 of a settlement, 62 digits (pos-dialect §2): of domestic cards and then of foreign ones
//
//	debit amount n12 | debit count n3 | credit amount n12 | credit count n3 | reconciliation code n1
//
// The switch does not tell domestic from foreign cards, so it compares the sums of both halves.
const (
	totalsSize = 62
	halfSize   = totalsSize / 2
	codeAt     = halfSize - 1 // of the reconciliation code, in each half
)

// Reconciliation codes.
const (
	totalsEqual  = '1'
	totalsDiffer = '2'
)

// DE48 of an upload: count n2, and for each record
//
//	card type n2 | STAN n6 | card number n20, right-justified, zeros before it | amount n12
//
// of an upload's end: the number of records sent, n4.
const (
	countSize  = 2
	recordSize = 40
	maxRecords = 8
	cardAt     = 8
	cardSize   = 20
	amountAt   = 28
	endSize    = 4
)

// maxReportDetail is the longest DE62 of a report that is taken, in bytes.
const maxReportDetail = 128

// settlement reads 0500 / 60.3 201.
func (r *reader) settlement() (any, *refusal) {
	in := &engine.SettlementRequest{Token: r.token()}
	if no := r.key(&in.Key, '5'); no != nil {
		return nil, no
	}
	if r.m.Len(48) != totalsSize {
		return nil, wrong(field(48))
	}
	for at := 0; at < totalsSize; at += halfSize {
		var v [4]uint64
		for i, part := range [...]struct{ at, size int }{{0, 12}, {12, 3}, {15, 12}, {27, 3}} {
			n, ok := r.m.SubUint(48, at+part.at, part.size)
			if _, code := r.m.SubUint(48, at+codeAt, 1); !ok || !code {
				return nil, wrong(field(48))
			}
			v[i] = n
		}
		in.Totals.Debit += money.Amount(v[0])
		in.Totals.DebitCount += uint32(v[1])
		in.Totals.Credit += money.Amount(v[2])
		in.Totals.CreditCount += uint32(v[3])
	}
	if no := r.subsidyTotals(in); no != nil {
		return nil, no
	}
	in.Content = r.batchContent()
	return in, nil
}

// subsidyTotals reads SJ and SK, which come together or not at all. A DE59 of another make says nothing of them.
func (r *reader) subsidyTotals(in *engine.SettlementRequest) *refusal {
	if !r.m.Has(59) {
		return nil
	}
	value := r.canonical(59)
	if no := r.tags.read(value); no != nil {
		if mentions(value, tagSubsidyCount) || mentions(value, tagSubsidySum) {
			return no
		}
		r.tags.reset()
		return nil
	}
	t := &r.tags
	switch {
	case t.subsidyCount == nil && t.subsidySum == nil:
		return nil
	case t.subsidyCount == nil:
		return missing(tag59(tagSubsidyCount))
	case t.subsidySum == nil:
		return missing(tag59(tagSubsidySum))
	}
	count, sum := number(t.subsidyCount), amount(t.subsidySum)
	if count < 0 || len(t.subsidyCount) != 3 {
		return wrong(tag59(tagSubsidyCount))
	}
	if sum < 0 || len(t.subsidySum) != 12 {
		return wrong(tag59(tagSubsidySum))
	}
	in.Subsidy, in.Totals.SubsidyCount, in.Totals.Subsidy = true, uint32(count), money.Amount(sum)
	return nil
}

// upload reads 0320 / 60.3 201: up to eight records of a batch. Of a card number only its hash leaves this function.
func (r *reader) upload() (any, *refusal) {
	in := &engine.UploadRequest{Token: r.token()}
	if no := r.key(&in.Key, '3'); no != nil {
		return nil, no
	}
	count, ok := r.m.SubUint(48, 0, countSize)
	if !ok || count < 1 || count > maxRecords || r.m.Len(48) != countSize+int(count)*recordSize {
		return nil, wrong(field(48))
	}
	in.Records = make([]engine.UploadRecord, count)
	for i := range in.Records {
		if !r.record48(&in.Records[i], countSize+i*recordSize) {
			return nil, wrong(field(48))
		}
	}
	in.Content = r.batchContent()
	return in, nil
}

// record48 reads one record of an upload. A payment whose code has letters, or no digits at all, has zeros for its number:
// its token is zero.
func (r *reader) record48(to *engine.UploadRecord, at int) bool {
	_, kind := r.m.SubUint(48, at, 2)
	stan, ok := r.m.SubUint(48, at+2, 6)
	sum, also := r.m.SubUint(48, at+amountAt, 12)
	if !kind || !ok || !also {
		return false
	}
	to.STAN, to.Amount = uint32(stan), money.Amount(sum)
	from := len(r.scratch)
	r.scratch, _ = r.m.AppendSub(r.scratch, 48, at+cardAt, cardSize)
	number := r.scratch[from:]
	if !allDigits(number) {
		return false
	}
	for len(number) > 0 && number[0] == '0' {
		number = number[1:]
	}
	if len(number) == 0 {
		return true
	}
	to.Card = engine.Hash(r.front.cfg.Hasher.Card(number))
	return len(number) >= minPAN
}

// uploadEnd reads 0320 / 60.3 202 or 207.
func (r *reader) uploadEnd() (any, *refusal) {
	in := &engine.UploadEndRequest{Token: r.token()}
	if no := r.key(&in.Key, '3'); no != nil {
		return nil, no
	}
	count, ok := r.m.Uint(48)
	if !ok || r.m.Len(48) != endSize {
		return nil, wrong(field(48))
	}
	in.Count, in.Equal = uint32(count), r.code603() == 207
	in.Content = r.batchContent()
	return in, nil
}

func (r *reader) code603() uint64 {
	code, _ := r.m.SubUint(60, 8, 3)
	return code
}

// batchContent hashes what makes a resend the same message about a batch.
func (r *reader) batchContent() engine.Hash {
	r.collect(48, 59, 60)
	return r.hashCollected()
}

// report reads what a terminal tells without asking for anything: a script result (0620), a certificate (0320 / 60.3 203
// to 206), its state (0820 / 60.3 360 to 362).
func (r *reader) report() (any, *refusal) {
	in := &engine.ReportRequest{Token: r.token()}
	var class byte
	switch r.m.MTI() &^ 0x000F {
	case 0x0620:
		class, in.Kind = '6', "script"
		if no := r.require(55); no != nil { // the result of the script stands there
			return nil, no
		}
	case 0x0320:
		class, in.Kind = '3', "certificate"
	default:
		class, in.Kind = '8', "status"
		if no := r.require(62); no != nil {
			return nil, no
		}
	}
	if no := r.key(&in.Key, class); no != nil {
		return nil, no
	}
	if no := r.named(&in.Original, &in.RRN); no != nil {
		return nil, no
	}
	kept, _, no := r.keptICC(in.Kind == "certificate")
	if no != nil {
		return nil, no
	}
	in.ICC = append([]byte(nil), kept...) // scratch is wiped
	if r.m.Len(62) > maxReportDetail {
		return nil, wrong(field(62))
	}
	in.Detail = reportDetail(r.canonical(62))
	r.collect(37, 55, 60, 61, 62)
	in.Content = r.hashCollected()
	return in, nil
}

// reportDetail is what is kept of DE62: its text, or its bytes in hexadecimal. It goes to the journal in clear, so what
// could be a card number in it is masked; bytes that are long enough to hold one in BCD are named by their hash only.
func reportDetail(codes []byte) string {
	switch {
	case printable(codes):
		return label.Reference(codes)
	case len(codes) <= 6:
		return hex.EncodeToString(codes)
	}
	sum := sha256.Sum256(codes)
	return fmt.Sprintf("%d bytes, SHA-256 %x", len(codes), sum[:8])
}
