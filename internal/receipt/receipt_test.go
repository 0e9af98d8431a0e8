package receipt_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/internal/money"
	"huanxin/internal/receipt"
)

var rewrite = flag.Bool("rewrite", false, "write the golden slips instead of comparing them")

func TestSlipsLookAsPrinted(t *testing.T) {
	at := time.Date(2025, 6, 18, 2, 5, 12, 0, time.UTC)
	slips := map[string]receipt.Slip{
		"subsidised": {
			Kind: receipt.SubsidisedSale, Merchant: "沈阳和平家电城有限公司", DE42: "898210000000001", Terminal: "10000001",
			Operator: "001", Batch: 1, STAN: 3, RRN: "516910000031", Approval: "123456", Card: "6224240000000017", At: at,
			Product: "示范牌十字对开门冰箱 BCD-500W 一级能效 500升 风冷无霜", Serial: "SN20250618000123", Hold: 123,
			Price: 599900, Subsidy: 119980, Paid: 479920,
		},
		"ordinary": {
			Kind: receipt.OrdinarySale, Merchant: "大连中山数码", DE42: "898210000000002", Terminal: "10000002", Batch: 1,
			STAN: 4, RRN: "516910000032", Card: "6224240000000017", At: at, Paid: 1250,
		},
		"qr": {
			Kind: receipt.SubsidisedSale, Merchant: "大连中山数码", DE42: "898210000000002", Terminal: "10000002", Batch: 1,
			STAN: 5, RRN: "516910000033", Card: "6220485073630469936", QR: true, At: at,
			Product: "手机", Serial: "860000001234567", Hold: 124, Price: 399900, Subsidy: 50000, Paid: 349900,
		},
		"reversal": {
			Kind: receipt.Reversal, Merchant: "大连中山数码", DE42: "898210000000002", Terminal: "10000002", Batch: 1,
			STAN: 5, Card: "6224240000000017", At: at, Hold: 124, Subsidy: 50000, Paid: 349900,
		},
		"refusal": {
			Kind: receipt.Refusal, Merchant: "大连中山数码", DE42: "898210000000002", Terminal: "10000002", Batch: 1, STAN: 6,
			At: at, Product: "手机", Serial: "860000001234567", Price: 699900, Response: "57",
			Reasons: []string{"商品成交价超过补贴限价", "该序列号已享受过补贴"},
		},
		"void": {
			Kind: receipt.Void, Merchant: "大连中山数码", DE42: "898210000000002", Terminal: "10000002", Batch: 1, STAN: 7,
			RRN: "516910000034", Card: "6224240000000017", At: at, OriginalSTAN: 5, OriginalRRN: "516910000033",
			Product: "手机", Serial: "860000001234567", Hold: 124, Subsidy: 50000, Paid: 349900,
		},
		"void-reversal": {
			Kind: receipt.VoidReversal, Merchant: "大连中山数码", DE42: "898210000000002", Terminal: "10000002", Batch: 1,
			STAN: 7, Card: "6224240000000017", At: at, OriginalSTAN: 5, Hold: 124, Paid: 349900,
		},
		"refund": {
			Kind: receipt.Refund, Merchant: "大连中山数码", DE42: "898210000000002", Terminal: "10000002", Batch: 2, STAN: 8,
			RRN: "516910000035", Card: "6224240000000017", At: at, OriginalBatch: 1, OriginalSTAN: 5, OriginalRRN: "516910000033",
			Product: "布艺沙发", Hold: 125, Paid: 85000, Returned: 15000, Kept: 59985,
		},
		"ordinary-refund": {
			Kind: receipt.Refund, Merchant: "大连中山数码", DE42: "898210000000002", Terminal: "10000002", Batch: 2, STAN: 9,
			RRN: "516910000036", Card: "6224240000000017", At: at, OriginalBatch: 1, OriginalSTAN: 4, Paid: 1250,
		},
		"reprint": {
			Kind: receipt.Reprint, Merchant: "大连中山数码", DE42: "898210000000002", Terminal: "10000002", Batch: 2, STAN: 10,
			Card: "622424******0017", At: at, OriginalBatch: 1, OriginalSTAN: 5, OriginalRRN: "516910000033", Hold: 125,
			Price: 499900, Subsidy: 59985, Paid: 424915, Refunded: 85000, State: "captured",
		},
		"completion": {
			Kind: receipt.Completion, Merchant: "大连中山数码", DE42: "898210000000002", Terminal: "10000002", Batch: 2, STAN: 11,
			RRN: "516910000037", Card: "6224240000000017", At: at, OriginalSTAN: 10, Paid: 30000,
		},
		"void-refused": {
			Kind: receipt.Refusal, Merchant: "大连中山数码", DE42: "898210000000002", Terminal: "10000002", Batch: 2, STAN: 12,
			At: at, OriginalSTAN: 5, Response: "12", Reasons: []string{"已过撤销时限，请办理退货"}, Back: true,
		},
		"refund-pending": {
			Kind: receipt.Refusal, Merchant: "大连中山数码", DE42: "898210000000002", Terminal: "10000002", Batch: 2, STAN: 13,
			At: at, OriginalSTAN: 5, Response: "98", Back: true,
		},
	}
	for name, slip := range slips {
		t.Run(name, func(t *testing.T) {
			got := slip.AppendText(nil)
			file := filepath.Join("testdata", name+".txt")
			if *rewrite {
				require.NoError(t, os.WriteFile(file, got, 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got))
		})
	}
}

func TestNoLineIsWiderThanThePaper(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune("沈阳…×AB12\n\t\x1b"))))
		slip := receipt.Slip{
			Kind:     receipt.Kind(rapid.IntRange(1, 12).Draw(t, "kind")),
			Merchant: text.Draw(t, "merchant"), DE42: text.Draw(t, "de42"), Terminal: text.Draw(t, "terminal"),
			RRN: text.Draw(t, "rrn"), Card: text.Draw(t, "card"), Product: text.Draw(t, "product"),
			Serial: text.Draw(t, "serial"), Reasons: []string{text.Draw(t, "reason")}, Hold: 7,
			OriginalRRN: text.Draw(t, "original"), State: text.Draw(t, "state"), Returned: 1, Refunded: 1,
			Price: money.Amount(rapid.Int64().Draw(t, "price")), Subsidy: 1, Paid: money.Amount(rapid.Int64().Draw(t, "paid")),
		}
		out := string(slip.AppendText(nil))
		require.True(t, strings.HasSuffix(out, "\n"))
		for line := range strings.Lines(out) {
			line = strings.TrimSuffix(line, "\n")
			require.LessOrEqual(t, receipt.Width(line), receipt.Columns, "%q", line)
			require.False(t, strings.ContainsFunc(line, unicode.IsControl), "%q", line)
		}
	})
}

func TestWidthCountsChineseTwice(t *testing.T) {
	require.Equal(t, 10, receipt.Width("商品成交价"))
	require.Equal(t, 8, receipt.Width("￥5999.0"))
	require.Equal(t, 2, receipt.Width("…"))
	require.Equal(t, 5, receipt.Width("A1国C"))
}

func TestMasksKeepOnlyTheEnds(t *testing.T) {
	require.Equal(t, "622424******0017", receipt.MaskCard("6224240000000017"))
	require.Equal(t, "622424*********0197", receipt.MaskCard("6224240000000000197"))
	require.Equal(t, "*********", receipt.MaskCard("123456789"))
	require.Equal(t, "622424******0017", receipt.MaskCard("622424******0017"))
	require.Equal(t, "860********4567", receipt.MaskSerial("860000001234567"))
	require.Equal(t, "S*****78", receipt.MaskSerial("SN345678"))
	require.Equal(t, "SN*****890", receipt.MaskSerial("SN34567890"))
	require.Equal(t, "*****", receipt.MaskSerial("12345"))
}

func TestYuanPrintsFen(t *testing.T) {
	require.Equal(t, "￥0.05", receipt.Yuan(5))
	require.Equal(t, "-￥1199.80", receipt.Yuan(-119980))
	require.Equal(t, "-￥92233720368547758.08", receipt.Yuan(-1<<63))
}

func TestSettlementSlipShowsBothSidesOnlyWhenTheyDiffer(t *testing.T) {
	slip := receipt.Settlement{
		Merchant: "沈阳和平家电城有限公司", DE42: "898210000000001", Terminal: "10000001", Batch: 1, STAN: 99,
		At:     time.Date(2025, 6, 18, 13, 30, 0, 0, time.UTC),
		Till:   receipt.Sums{Debit: 1234567890, DebitCount: 321, Credit: 85000, CreditCount: 1, Subsidy: 119980, SubsidyCount: 1},
		Switch: receipt.Sums{Debit: 1234567790, DebitCount: 321, Credit: 85000, CreditCount: 1, Subsidy: 119980, SubsidyCount: 1},
	}
	for name, equal := range map[string]bool{"settlement-equal": true, "settlement-differs": false} {
		slip.Equal = equal
		got := slip.AppendText(nil)
		file := filepath.Join("testdata", name+".txt")
		if *rewrite {
			require.NoError(t, os.WriteFile(file, got, 0o644))
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
		require.Equal(t, !equal, strings.Contains(string(got), "12345677.90"))
		for line := range strings.Lines(string(got)) {
			require.LessOrEqual(t, receipt.Width(strings.TrimSuffix(line, "\n")), receipt.Columns)
		}
	}
}
