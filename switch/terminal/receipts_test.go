package terminal

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/internal/money"
	"huanxin/internal/receipt"
)

const (
	shopName = "沈阳和平电器商店（演示）"
	goods    = "对开门冰箱 510升"
)

var slipOf = regexp.MustCompile("The slip of example \\[`([a-z-]+)`\\][^\n]*\n\n```text\n((?:[^`]*\n)?)```\n")

// The slips of the document are what a till prints from the fields of their examples.
func TestDocumentReceiptsAreThoseOfTheirExamples(t *testing.T) {
	raw, err := os.ReadFile(documentPath)
	require.NoError(t, err)
	text := string(raw)
	by := map[string]example{}
	for _, ex := range readExamples(t, strings.Split(text, "\n")) {
		by[ex.name] = ex
	}
	slips := map[string]string{
		"sale-chip":          saleSlip(t, by["sale-chip"], by["reserve"]),
		"void":               voidSlip(t, by["void"], by["reserve-second"]),
		"refund":             refundSlip(t, by["refund"], by["reserve-second"]),
		"settlement-unequal": settlementSlip(t, by["settlement-unequal"]),
	}
	found := map[string]bool{}
	for _, m := range slipOf.FindAllStringSubmatch(text, -1) {
		want, known := slips[m[1]]
		require.True(t, known, m[1])
		found[m[1]] = true
		if *rewrite {
			text = strings.Replace(text, m[0], m[0][:len(m[0])-len(m[2])-len("```\n")]+want+"```\n", 1)
			continue
		}
		require.Equal(t, want, m[2], m[1])
		require.NotContains(t, m[2], pan)
	}
	require.Len(t, found, len(slips))
	if *rewrite {
		require.NoError(t, os.WriteFile(documentPath, []byte(text), 0o644))
	}
}

// figure reads a number of n digits; 0 for none.
func figure(t *testing.T, text string) uint64 {
	if text == "" {
		return 0
	}
	v, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err)
	return v
}

// tagFigure reads a number from DE59, 0 when the tag is not there.
func tagFigure(t *testing.T, f fields, name string) uint64 {
	for _, v := range tag59Of(f, name) {
		return figure(t, v)
	}
	return 0
}

// slip is what all slips have.
func slip(t *testing.T, k receipt.Kind, ex example) receipt.Slip {
	request, answer := ex.request.fields, ex.answer.fields
	clock := at(t, ex.at[:5]+answer[13][:2]+"-"+answer[13][2:]+" "+answer[12][:2]+":"+answer[12][2:4]+":"+answer[12][4:])
	return receipt.Slip{
		Kind: k, Merchant: shopName, DE42: answer[42], Terminal: answer[41], Batch: uint32(figure(t, answer[60][2:8])),
		STAN: uint32(figure(t, answer[11])), RRN: answer[37], Approval: answer[38], Card: request[2], At: clock,
		Hold: tagFigure(t, answer, tagHold), Paid: money.Amount(figure(t, answer[4])), Response: answer[39],
	}
}

func saleSlip(t *testing.T, ex, reserve example) string {
	s := slip(t, receipt.SubsidisedSale, ex)
	s.Product, s.Serial = goods, tag59Of(reserve.request.fields, tagSerial)[0]
	s.Price = money.Amount(tagFigure(t, ex.answer.fields, tagPrice))
	s.Subsidy = money.Amount(tagFigure(t, ex.answer.fields, tagSubsidy))
	s.Paid = money.Amount(tagFigure(t, ex.answer.fields, tagPayable))
	return string(s.AppendText(nil))
}

// about puts the original in, from the request.
func about(t *testing.T, s *receipt.Slip, request fields) {
	s.OriginalBatch, s.OriginalSTAN = uint32(figure(t, request[61][:6])), uint32(figure(t, request[61][6:12]))
	s.OriginalRRN = request[37]
}

func voidSlip(t *testing.T, ex, reserve example) string {
	s := slip(t, receipt.Void, ex)
	s.Product, s.Serial = goods, tag59Of(reserve.request.fields, tagSerial)[0]
	s.Subsidy = money.Amount(tagFigure(t, ex.answer.fields, tagSubsidy))
	about(t, &s, ex.request.fields)
	return string(s.AppendText(nil))
}

func refundSlip(t *testing.T, ex, reserve example) string {
	s := slip(t, receipt.Refund, ex)
	s.Product, s.Serial = goods, tag59Of(reserve.request.fields, tagSerial)[0]
	s.Returned = money.Amount(tagFigure(t, ex.answer.fields, tagReturned))
	s.Kept = money.Amount(tagFigure(t, ex.answer.fields, tagSubsidy))
	about(t, &s, ex.request.fields)
	return string(s.AppendText(nil))
}

func settlementSlip(t *testing.T, ex example) string {
	request, answer := ex.request.fields, ex.answer.fields
	base := slip(t, 0, ex)
	sums := func(f fields) receipt.Sums {
		return receipt.Sums{
			Debit: money.Amount(figure(t, f[48][:12])), DebitCount: uint32(figure(t, f[48][12:15])),
			Credit: money.Amount(figure(t, f[48][15:27])), CreditCount: uint32(figure(t, f[48][27:30])),
			Subsidy: money.Amount(tagFigure(t, f, tagSubsidySum)), SubsidyCount: uint32(tagFigure(t, f, tagSubsidyCount)),
		}
	}
	s := receipt.Settlement{
		Merchant: shopName, DE42: base.DE42, Terminal: base.Terminal, Batch: base.Batch, STAN: base.STAN, At: base.At,
		Till: sums(request), Switch: sums(answer), Equal: answer[48][codeAt] == totalsEqual,
	}
	return string(s.AppendText(nil))
}
