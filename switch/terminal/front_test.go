package terminal

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"huanxin/internal/money"
	"huanxin/risk/geo"
	"huanxin/subsidy/policy"
	"huanxin/subsidy/reason"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/iso8583"
	"huanxin/switch/stage"
	"huanxin/switch/wire"
)

// testNow is 2025-06-18 10:30:05 in Shenyang.
var testNow = time.Date(2025, 6, 18, 2, 30, 5, 0, time.UTC).UnixNano()

func fixedClock() time.Time { return time.Unix(0, testNow) }

const (
	pan     = "6224240000000017"
	track2  = "6224240000000017D301222010000000000"
	payment = "62280000000000000017"
	chip    = "9F26086FD62985CAAE75899F360200659505008004E0009F02060000004799209F1E083132333435363738"
)

var (
	signOn = fields{0: "0800", 11: "000001", 41: "21010001", 42: "898210157220001", 60: "00000001003", 63: "001"}
	echo   = fields{0: "0820", 11: "000002", 41: "21010001", 42: "898210157220001", 60: "00000001301"}

	reserveTags = []string{"S1", "12345678", "S2", "6901234567892", "S3", "cd-510w/0001", "S4", "ORDER-1",
		"S5", "W123.431500,41.805700,12", "S6", "merchant=20000", "S6", "trade-in=10000", "SD", "210102", "SE", "fridge"}
	reserve = fields{0: "0100", 3: "390000", 4: "000000599900", 11: "000003", 22: "012", 25: "00", 41: "21010001",
		42: "898210157220001", 49: "156", 59: text59(reserveTags...), 60: "96000001000"}
	cancel = fields{0: "0100", 3: "390000", 11: "000004", 41: "21010001", 42: "898210157220001",
		59: text59("S7", "000000000042"), 60: "97000001000"}
	sale = fields{0: "0200", 2: pan, 3: "000000", 4: "000000479920", 11: "000005", 14: "3012", 22: "051", 23: "001",
		25: "00", 35: track2, 41: "21010001", 42: "898210157220001", 49: "156", 55: chip,
		59: text59("S7", "000000000042"), 60: "22000001000501"}
	qrSale = fields{0: "0200", 3: "000000", 4: "000000479920", 11: "000006", 22: "032", 25: "00", 41: "21010001",
		42: "898210157220001", 49: "156", 59: text59("A3", payment, "S7", "000000000042"), 60: "22000001000601"}
	reversal = fields{0: "0400", 2: pan, 3: "000000", 4: "000000479920", 11: "000005", 22: "051", 25: "00", 39: "98",
		41: "21010001", 42: "898210157220001", 49: "156", 60: "22000001000501"}
)

func key(class byte, stan uint32) engine.Key {
	return engine.Key{Class: class, Terminal: [8]byte([]byte("21010001")), Merchant: [15]byte([]byte("898210157220001")),
		Batch: 1, STAN: stan}
}

func TestSessionMessagesReachTheEngine(t *testing.T) {
	b := newBench(t, nil)
	b.engine.setScript(func(body any) *engine.Reply { return &engine.Reply{Response: approved, Batch: 7} })

	got := b.ask(signOn)
	require.Equal(t, fields{0: "0810", 11: "000001", 12: "103005", 13: "0618", 39: "00", 41: "21010001",
		42: "898210157220001", 60: "00000007003"}, got, "60.2 is the open batch")
	require.Equal(t, "21010001", string(b.engine.last().(*engine.SignOnRequest).Terminal[:]))

	got = b.ask(echo)
	require.Equal(t, fields{0: "0830", 11: "000002", 12: "103005", 13: "0618", 39: "00", 41: "21010001",
		42: "898210157220001", 60: "00000001301"}, got)
	require.IsType(t, &engine.EchoRequest{}, b.engine.last())
	require.Equal(t, "0830", b.ask(echo.with(fields{11: ""}))[0], "an echo needs no STAN")
	require.Equal(t, "0810", b.ask(echo.with(fields{0: "0800"}))[0])

	require.Equal(t, "00", b.ask(signOn.with(fields{0: "0820", 60: "00000001002"}))[39])
	require.IsType(t, &engine.SignOffRequest{}, b.engine.last())
}

func TestReserveCarriesEverythingAndAnswersForTheReceipt(t *testing.T) {
	b := newBench(t, nil)
	b.engine.setScript(func(body any) *engine.Reply {
		return &engine.Reply{Response: approved, Hold: 42, Price: 599900, Subsidy: 119980, Payable: 479920,
			ExpiresAt: testNow + int64(3*time.Minute)}
	})
	got := b.ask(reserve)
	require.Equal(t, fields{0: "0110", 3: "390000", 4: "000000599900", 11: "000003", 12: "103005", 13: "0618", 25: "00",
		39: "00", 41: "21010001", 42: "898210157220001", 49: "156", 60: "96000001000",
		59: text59("S7", "000000000042", "SG", "000000599900", "S8", "000000119980", "S9", "000000479920",
			"SA", "20250618103305")}, got)

	in := *b.engine.last().(*engine.ReserveRequest)
	require.NotZero(t, in.Content)
	in.Content, in.Token = engine.Hash{}, 0
	require.Equal(t, engine.ReserveRequest{
		Key: key('1', 3), Price: 599900, Code: testHasher{}.Code([]byte("12345678")), Barcode: "6901234567892",
		Serial: testHasher{}.Serial([]byte("CD510W0001")), SerialMask: "CD*******001", SerialOK: true, Order: "ORDER-1",
		Components: []policy.Component{{Kind: "merchant", Amount: 20000}, {Kind: "trade-in", Amount: 10000}},
		OldItem:    "fridge", Delivery: "210102",
		Position: engine.Position{Given: true, At: geo.Point{Lon: 123431500, Lat: 41805700}, CRS: geo.WGS84, Age: 12},
	}, in)
}

func TestRefusalNamesReasonsAndShowsTheirTextToTheCashier(t *testing.T) {
	b := newBench(t, nil)
	b.engine.setScript(func(body any) *engine.Reply {
		return &engine.Reply{Response: [2]byte{'5', '7'}, Reasons: []reason.Code{reason.PriceAboveCeiling, reason.CodeExpired}}
	})
	got := b.ask(reserve)
	require.Equal(t, "57", got[39])
	require.Equal(t, []string{"PRICE_ABOVE_CEILING", "CODE_EXPIRED"}, tag59Of(got, "SB"))
	require.Equal(t, []string{"商品成交价超过补贴限价；资格码已失效，请刷新"}, tag59Of(got, "SC"))
}

func TestAnswerFitsItsFieldWhateverWasFound(t *testing.T) {
	b := newBench(t, nil)
	b.engine.setScript(func(body any) *engine.Reply {
		return &engine.Reply{Response: [2]byte{'5', '7'}, Reasons: reason.All(), Hold: 1, Price: 1, Subsidy: 1, Payable: 1,
			ExpiresAt: testNow}
	})
	got := b.ask(reserve)
	require.Equal(t, "57", got[39])
	require.Equal(t, reason.All()[0].String(), tag59Of(got, "SB")[0])
	require.NotEmpty(t, tag59Of(got, "SC"))
	require.Zero(t, b.metric("huanxin_terminal_minimal_answers_total"))
}

func TestCancelNamesItsHold(t *testing.T) {
	b := newBench(t, nil)
	b.engine.setScript(func(body any) *engine.Reply { return &engine.Reply{Response: approved, Hold: 42} })
	got := b.ask(cancel)
	require.Equal(t, "00", got[39])
	require.Equal(t, []string{"000000000042"}, tag59Of(got, "S7"))
	in := b.engine.last().(*engine.CancelRequest)
	require.Equal(t, uint64(42), in.Hold)
	require.Equal(t, key('1', 4), in.Key)
	require.NotZero(t, in.Content)
}

func TestChipSaleReachesTheEngineSealed(t *testing.T) {
	b := newBench(t, nil)
	b.engine.setScript(func(body any) *engine.Reply {
		return &engine.Reply{Response: approved, Hold: 42, Price: 599900, Subsidy: 119980, Payable: 479920, RRN: "516900000001",
			Answer: &event.HostAnswer{Response: "00", Approval: "123456", ClearingDate: "0618", LocalTime: "103006",
				LocalDate: "0618", Institutions: []byte("48020000   48982210   "), Icc: []byte{0x91, 2, 0x30, 0x30, 0x72, 1, 0xFF},
				Network: []byte("CUP"), Acquirer: "48982210"}}
	})
	got := b.ask(sale)
	require.Equal(t, fields{0: "0210", 3: "000000", 4: "000000479920", 11: "000005", 12: "103006", 13: "0618", 15: "0618",
		25: "00", 32: "48982210", 37: "516900000001", 38: "123456", 39: "00", 41: "21010001", 42: "898210157220001",
		44: "48020000   48982210   ", 49: "156", 55: "910230307201FF", 60: "22000001000501", 63: "CUP",
		59: text59("S7", "000000000042", "SG", "000000599900", "S8", "000000119980", "S9", "000000479920")}, got)

	in := *b.engine.last().(*engine.SaleRequest)
	require.NotZero(t, in.Content)
	require.Equal(t, "622424******0017", in.Card.Mask)
	in.Content, in.Token, in.Card = engine.Hash{}, 0, nil
	require.Equal(t, engine.SaleRequest{Key: key('2', 5), Hold: 42, Amount: 479920, ICCAmount: 479920, Host: "unionpay",
		EntryMode: [3]byte([]byte("051"))}, in)

	record, err := parseRecord(b.vault.records[0])
	require.NoError(t, err)
	require.Equal(t, pan, string(record.PAN))
	require.Equal(t, "3012", string(record.Expiry))
	require.Equal(t, "001", string(record.Sequence))
	require.Equal(t, "051", string(record.EntryMode))
	require.Equal(t, "00", string(record.Condition))
	require.Equal(t, "156", string(record.Currency))
	require.Equal(t, "22000001000501", string(record.POSData))
	require.Equal(t, "9F360200659505008004E0009F1E083132333435363738", fmt.Sprintf("%X", record.ICC), "no cryptogram, no amount")
}

// The amount is found wherever the chip data has it, and as often as it says the same.
func TestChipAmountIsReadFromTemplatesToo(t *testing.T) {
	b := newBench(t, nil)
	for _, data := range []string{
		chip, chip + "9F0206000000479920", chip + "77099F0206000000479920", "77099F0206000000479920",
		"9505008004E000" + "E10B70099F0206000000479920" + "9F0206000000479920",
	} {
		require.Equal(t, "00", b.ask(sale.with(fields{55: data}))[39], data)
		require.Equal(t, money.Amount(479920), b.engine.last().(*engine.SaleRequest).ICCAmount, data)
	}
	require.Equal(t, "00", b.ask(sale.with(fields{55: "9505008004E000" + "77029500"}))[39])
	require.Equal(t, money.Amount(-1), b.engine.last().(*engine.SaleRequest).ICCAmount, "none given")
}

func TestOrdinaryAndQRSales(t *testing.T) {
	b := newBench(t, nil)
	require.Equal(t, "00", b.ask(qrSale)[39])
	in := b.engine.last().(*engine.SaleRequest)
	require.True(t, in.QR)
	require.Equal(t, "wallet", in.Host)
	require.Equal(t, uint64(42), in.Hold)
	require.Equal(t, money.Amount(-1), in.ICCAmount)
	record, err := parseRecord(b.vault.records[0])
	require.NoError(t, err)
	require.Equal(t, payment, string(record.QRCode))
	require.Empty(t, record.PAN)

	magstripe := fields{2: "", 23: "", 55: "", 59: "", 22: "021"}
	require.Equal(t, "00", b.ask(sale.with(magstripe))[39], "the number is in track 2")
	in = b.engine.last().(*engine.SaleRequest)
	require.Zero(t, in.Hold)
	require.False(t, in.QR)
	require.Equal(t, "622424******0017", in.Card.Mask)

	foreign := magstripe.with(fields{59: "1228986061708BD30.621555,114.361954A2600102020216"})
	require.Equal(t, "00", b.ask(sale.with(foreign))[39], "another maker's DE59 passes")
	require.Zero(t, b.engine.last().(*engine.SaleRequest).Hold)
}

func TestReversalsCarryTheKeyOfTheirOriginal(t *testing.T) {
	b := newBench(t, nil)
	require.Equal(t, "00", b.ask(reversal)[39])
	in := b.engine.last().(*engine.ReversalRequest)
	require.Equal(t, key('2', 5), in.Original)
	require.Equal(t, money.Amount(479920), in.Amount)
	require.Equal(t, [2]byte{'9', '8'}, in.Cause)
	require.NotZero(t, in.Content)

	ofReserve := fields{2: "", 3: "390000", 4: "000000599900", 11: "000003", 39: "96", 60: "96000001000"}
	require.Equal(t, "00", b.ask(reversal.with(ofReserve))[39])
	require.Equal(t, key('1', 3), b.engine.last().(*engine.ReversalRequest).Original)

	for sent, want := range map[string]string{"98": "98", "96": "96", "A0": "A0", "06": "06", "68": "98", "Q8": "98", "17": "06"} {
		b.ask(reversal.with(fields{39: sent}))
		cause := b.engine.last().(*engine.ReversalRequest).Cause
		require.Equal(t, want, string(cause[:]), "DE39 %s", sent)
	}
}

func TestContentHashSeesExactlyTheFiveFields(t *testing.T) {
	b := newBench(t, nil)
	content := func(change fields) engine.Hash {
		b.ask(sale.with(change))
		return b.engine.last().(*engine.SaleRequest).Content
	}
	same := content(nil)
	for _, other := range []fields{{11: "000099"}, {14: "3101"}, {55: ""}, {25: "06"}, {2: ""}, {35: ""}} {
		require.Equal(t, same, content(other), "%v", other)
	}
	another := fields{2: "6224240000000025", 35: ""}
	for _, other := range []fields{{4: "000000479921"}, {22: "052"}, {59: ""}, another} {
		require.NotEqual(t, same, content(other), "%v", other)
	}
}

// A STAN used again with another card is no resend, whichever way the card is read.
func TestContentHashSeesTheCardHoweverItIsRead(t *testing.T) {
	b := newBench(t, nil)
	content := func(f fields) engine.Hash {
		require.Equal(t, "00", b.ask(f)[39])
		return b.engine.last().(*engine.SaleRequest).Content
	}
	stripe := sale.with(fields{2: "", 23: "", 55: "", 22: "021"})
	require.Equal(t, content(stripe), content(stripe))
	require.Equal(t, content(stripe), content(stripe.with(fields{35: pan + "D3012220199999"})), "the same card, its track read anew")
	require.NotEqual(t, content(stripe), content(stripe.with(fields{35: "6224240000000025D301222010000000000"})))
	require.Equal(t, content(qrSale), content(qrSale))
	require.NotEqual(t, content(qrSale), content(qrSale.with(fields{59: text59("A3", "62280000000000000025", "S7", "000000000042")})))
}

func TestBadMessagesGetTheirExactCode(t *testing.T) {
	tags := func(pairs ...string) fields { return fields{59: text59(pairs...)} }
	tests := []refused{
		{"reserve without STAN", reserve.with(fields{11: ""}), "30", "报文缺少域11"},
		{"reserve without terminal", reserve.with(fields{41: ""}), "30", "报文缺少域41"},
		{"reserve without merchant", reserve.with(fields{42: ""}), "30", "报文缺少域42"},
		{"reserve without processing code", reserve.with(fields{3: ""}), "30", "报文缺少域3"},
		{"reserve without price", reserve.with(fields{4: ""}), "30", "报文缺少域4"},
		{"reserve without DE59", reserve.with(fields{59: ""}), "30", "报文缺少域59"},
		{"reserve without DE60", reserve.with(fields{60: ""}), "30", "报文缺少域60"},
		{"DE60 too short", reserve.with(fields{60: "9600000"}), "30", "报文域60格式错误"},
		{"reserve without code", reserve.with(tags("S2", "6901234567892")), "30", "报文缺少域59标签S1"},
		{"reserve without barcode", reserve.with(tags("S1", "12345678")), "30", "报文缺少域59标签S2"},
		{"barcode is a one-time code", reserve.with(tags("S1", "12345678", "S2", "912345678901234567")), "30", "报文域59标签S2格式错误"},
		{"code is no digits", reserve.with(tags("S1", "1234567X", "S2", "6901234567892")), "30", "报文域59标签S1格式错误"},
		{"empty code", reserve.with(tags("S1", "", "S2", "6901234567892")), "30", "报文域59标签S1格式错误"},
		{"tag twice", reserve.with(tags("S1", "1", "S1", "2", "S2", "6901234567892")), "30", "报文域59标签S1格式错误"},
		{"no tags", reserve.with(fields{59: "hello world"}), "30", "报文域59格式错误"},
		{"tag longer than the field", reserve.with(fields{59: "S1099123"}), "30", "报文域59格式错误"},
		{"component without amount", reserve.with(tags("S1", "1", "S2", "6901234567892", "S6", "merchant")), "30", "报文域59标签S6格式错误"},
		{"component of yuan", reserve.with(tags("S1", "1", "S2", "6901234567892", "S6", "merchant=1.50")), "30", "报文域59标签S6格式错误"},
		{"delivery is no division", reserve.with(tags("S1", "1", "S2", "6901234567892", "SD", "2101")), "30", "报文域59标签SD格式错误"},
		{"order is not plain", reserve.with(tags("S1", "1", "S2", "6901234567892", "S4", "订单")), "30", "报文域59标签S4格式错误"},
		{"other currency", reserve.with(fields{49: "840"}), "40", "仅支持人民币交易"},
		{"cancel without hold", cancel.with(tags("S1", "1")), "30", "报文缺少域59标签S7"},
		{"hold of eleven digits", cancel.with(tags("S7", "00000000042")), "30", "报文域59标签S7格式错误"},
		{"hold zero", cancel.with(tags("S7", "000000000000")), "30", "报文域59标签S7格式错误"},
		{"sale without entry mode", sale.with(fields{22: ""}), "30", "报文缺少域22"},
		{"sale without condition", sale.with(fields{25: ""}), "30", "报文缺少域25"},
		{"sale without currency", sale.with(fields{49: ""}), "30", "报文缺少域49"},
		{"sale in dollars", sale.with(fields{49: "840"}), "40", "仅支持人民币交易"},
		{"sale of zero", sale.with(fields{4: "000000000000"}), "13", "金额不能为零"},
		{"sale without amount", sale.with(fields{4: ""}), "30", "报文缺少域4"},
		{"sale without card", sale.with(fields{2: "", 35: ""}), "30", "报文缺少卡号（域2或域35）"},
		{"magstripe with a payment code", sale.with(fields{2: "", 35: "", 22: "021", 59: text59("A3", payment)}), "30",
			"报文缺少卡号（域2或域35）"},
		{"QR without payment code", qrSale.with(fields{59: ""}), "30", "报文缺少域59标签A3"},
		{"QR payment code too short", qrSale.with(tags("A3", "123")), "30", "报文域59标签A3格式错误"},
		{"QR with unreadable DE59", qrSale.with(fields{59: "A3019"}), "30", "报文域59格式错误"},
		{"cards differ", sale.with(fields{2: "6224240000000025"}), "30", "域2与域35卡号不一致"},
		{"card number too short", sale.with(fields{2: "622424", 35: ""}), "30", "报文域2格式错误"},
		{"track without separator", sale.with(fields{2: "", 35: pan}), "30", "报文域35格式错误"},
		{"chip data is no TLV", sale.with(fields{55: "9F02"}), "30", "报文域55格式错误"},
		{"9F02 of five bytes", sale.with(fields{55: "9F02050000004799"}), "30", "报文域55标签9F02格式错误"},
		{"two 9F02 that differ", sale.with(fields{55: chip + "9F0206000000479921"}), "30", "报文域55标签9F02格式错误"},
		{"9F02 in a template differs", sale.with(fields{55: chip + "77099F0206000000479921"}), "30", "报文域55标签9F02格式错误"},
		{"9F02 in templates differ", sale.with(fields{55: "77099F0206000000479920" + "FF810F0B70099F0206000000479921"}), "30",
			"报文域55标签9F02格式错误"},
		{"template is no TLV", sale.with(fields{55: chip + "77039F0206"}), "30", "报文域55格式错误"},
		{"templates without end", sale.with(fields{55: "700A700870067004700270009500"}), "30", "报文域55格式错误"},
		{"hold tag cut off", sale.with(fields{59: "S7012000000000"}), "30", "报文域59格式错误"},
		{"hold tag behind something unreadable", sale.with(fields{59: "xS7012000000000042"}), "30", "报文域59格式错误"},
		{"code in a sale, no hold", sale.with(tags("S1", "12345678", "S2", "6901234567892")), "30", "报文缺少域59标签S7"},
		{"component in a sale, no hold", sale.with(tags("A1", "x", "S6", "merchant=1")), "30", "报文缺少域59标签S7"},
		{"code in a sale, cut off", sale.with(fields{59: "S1008123456"}), "30", "报文域59格式错误"},
		{"PIN", sale.with(fields{26: "06", 52: "FA36989B212B5950"}), "40", pinRefused},
		{"sale type with reserve code", sale.with(fields{3: "390000"}), "40", "不支持的交易类型"},
		{"reserve with sale type", reserve.with(fields{60: "22000001000"}), "40", "不支持的交易类型"},
		{"sale as a notice", sale.with(fields{0: "0220"}), "40", "不支持的交易类型"},
		{"offline sale", sale.with(fields{0: "0220", 60: "30000001000"}), "40", "不支持离线消费"},
		{"offline adjustment", sale.with(fields{0: "0220", 60: "32000001000", 61: "000001000003"}), "40", "不支持离线调整"},
		{"tip", sale.with(fields{0: "0220", 60: "34000001000", 61: "000001000003"}), "40", "不支持小费"},
		{"completion as a notice", completion.with(fields{0: "0220", 60: "24000001000"}), "40", "不支持预授权完成通知，请联机完成"},
		{"an authorisation advice", sale.with(fields{0: "0120"}), "40", "不支持的报文类型"},
		{"parameter load", signOn.with(fields{60: "00000001360"}), "40", "不支持的管理交易"},
		{"sign-on without code", signOn.with(fields{60: "00000001"}), "30", "报文域60格式错误"},
		{"sign-on without DE60", signOn.with(fields{60: ""}), "30", "报文缺少域60"},
		{"reversal without cause", reversal.with(fields{39: ""}), "30", "报文缺少域39"},
		{"reversal without amount", reversal.with(fields{4: ""}), "30", "报文缺少域4"},
		{"reversal of a batch that is none", reversal.with(fields{60: "2200001"}), "30", "报文域60格式错误"},
	}
	requireRefused(t, tests)
}

// refused is a message that the front answers by itself.
type refused struct {
	name string
	in   fields
	code string
	text string
}

// requireRefused demands the exact code and text, the echo of the request's fields, and that nothing else happens.
func requireRefused(t *testing.T, tests []refused) {
	b := newBench(t, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := b.ask(tt.in)
			require.Equal(t, tt.code, got[39])
			require.Equal(t, []string{tt.text}, tag59Of(got, "SC"))
			require.Equal(t, mtiOf(t, tt.in[0]).Response().String(), got[0])
			for _, n := range echoed {
				require.Equal(t, tt.in[n], got[n], "field %d is echoed", n)
			}
			require.Empty(t, got[2], "no card number in an answer")
		})
	}
	require.Zero(t, b.engine.count(), "nothing of it reaches the engine")
	require.Empty(t, b.vault.records)
	require.Zero(t, b.front.Pending())
}

// Dialects whose numbers are text let through what is no number; the front does not.
func TestFieldsThatAreNoNumbersOrNames(t *testing.T) {
	codec := loadCodec(t, "iso87a")
	b := newBench(t, func(c *Config) { c.Ports[0].Codec = codec })
	b.codec = codec
	for _, tt := range []struct {
		in   fields
		text string
	}{
		{sale.with(fields{41: "2101\x01001"}), "报文域41格式错误"},
		{sale.with(fields{42: "8982101572200\x011"}), "报文域42格式错误"},
		{signOn.with(fields{42: "8982101572200\x011"}), "报文域42格式错误"},
		{sale.with(fields{60: "22x00001000501"}), "报文域60格式错误"},
		{sale.with(fields{60: "2200000x000501"}), "报文域60格式错误"},
		{reserve.with(fields{60: "9600001"}), "报文域60格式错误"},
		{sale.with(fields{60: "22000001000x01"}), "报文域60格式错误"},
		{signOn.with(fields{60: "00000001x03"}), "报文域60格式错误"},
	} {
		c := b.dial()
		_, err := c.Write(frameOf(t, wire.CUP, encode(t, codec, tt.in)))
		require.NoError(t, err)
		_, message := b.receiveFrame(c)
		var m iso8583.Message
		require.NoError(t, codec.Parse(message, &m))
		require.True(t, m.Equal(39, "30"), tt.text)
		require.Contains(t, string(m.AppendField(nil, 59)), string(gbk(tt.text)))
	}
	require.Zero(t, b.engine.count())
}

func gbk(text string) []byte {
	out, _ := iso8583.AppendGBK(nil, text)
	return out
}

func TestPlacesThatOnlyConcernTheSubsidyAreTheEnginesToRefuse(t *testing.T) {
	b := newBench(t, nil)
	ask := func(change fields) *engine.ReserveRequest {
		require.Equal(t, "00", b.ask(reserve.with(change))[39])
		return b.engine.last().(*engine.ReserveRequest)
	}
	base := text59("S1", "1", "S2", "6901234567892")
	shop := geo.Point{Lon: 123431500, Lat: 41805700}
	tests := []struct {
		name string
		in   fields
		want engine.Position
	}{
		{"none", fields{59: base}, engine.Position{}},
		{"malformed", fields{59: base + text59("S5", "123,41")}, engine.Position{Given: true, Malformed: true}},
		{"Baidu in front of an A tag", fields{59: "BD41.805700,123.431500" + text59("A1", "x") + base},
			engine.Position{Given: true, At: shop, CRS: geo.BD09}},
		{"Baidu in front of an A2 of two digits", fields{59: "BD41.8057,123.4315A206010203" + base},
			engine.Position{Given: true, At: shop, CRS: geo.BD09}},
		{"Baidu without comma", fields{59: "BD41.805700" + base}, engine.Position{Given: true, Malformed: true}},
		{"field 58", fields{59: base, 58: "GA010123.431500GB00941.805700"},
			engine.Position{Given: true, At: shop, CRS: geo.GCJ02}},
		{"field 58 of another use", fields{59: base, 58: "something else"}, engine.Position{}},
		{"S5 without an age", fields{59: base + text59("S5", "W123.4315,41.8057")}, engine.Position{Given: true, Malformed: true}},
		{"S5 of this moment", fields{59: base + text59("S5", "W123.4315,41.8057,0")},
			engine.Position{Given: true, At: shop, CRS: geo.WGS84}},
		{"Baidu with a third number", fields{59: "BD41.8057,123.4315,0" + base}, engine.Position{Given: true, Malformed: true}},
		{"S5 comes first", fields{59: "BD30.1,114.3" + base + text59("S5", "G123.4315,41.8057,0"), 58: "GA0011GB0011"},
			engine.Position{Given: true, At: shop, CRS: geo.GCJ02}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { require.Equal(t, tt.want, ask(tt.in).Position) })
	}
	require.False(t, ask(fields{59: base + text59("S3", "0")}).SerialOK)
	require.Zero(t, ask(fields{59: base}).Serial, "none given")
	require.Zero(t, ask(fields{59: base, 4: "000000000000"}).Price)
}

// One label, typed with its marks, without them, or in small letters, is one serial: it is subsidised once.
func TestSerialIsOneHoweverItsMarksAreTyped(t *testing.T) {
	b := newBench(t, nil)
	read := func(serial string) engine.ReserveRequest {
		b.ask(reserve.with(fields{59: text59("S1", "1", "S2", "6901234567892", "S3", serial)}))
		return *b.engine.last().(*engine.ReserveRequest)
	}
	plain := read("SN1B69")
	require.Equal(t, engine.Hash(testHasher{}.Serial([]byte("SN1B69"))), plain.Serial)
	for _, same := range []string{"SN1B-69", "sn1b69", "S/N1B.69", "SN1B-69-", "SN1B 69"} {
		require.Equal(t, plain.Serial, read(same).Serial, same)
	}
	require.NotEqual(t, plain.Serial, read("SN1B-68").Serial)
	require.Equal(t, "S****69", read("sn1b-69").SerialMask, "the mask is of what was sent")
	require.False(t, read("SN1B 69").SerialOK, "and so is the check of the form")
	require.False(t, read("49-015420-323751-8").SerialIMEI)
	require.NotEqual(t, read("SN1B-69").Content, plain.Content, "a resend repeats its bytes")
}

func TestUnreadableMessages(t *testing.T) {
	b := newBench(t, nil)
	good := encode(t, b.codec, sale)
	t.Run("bitmap does not fit the body", func(t *testing.T) {
		c := b.dial()
		_, err := c.Write(frameOf(t, wire.CUP, append(bytes.Clone(good), 0, 1, 0x10, 0, 0, 1, 0, 0, 0x42)))
		require.NoError(t, err)
		got := b.receive(c)
		require.Equal(t, "30", got[39])
		require.Equal(t, "000005", got[11], "what could be read is echoed")
		require.Equal(t, []string{"报文位图格式错误"}, tag59Of(got, "SC"))
		b.send(c, echo)
		require.Equal(t, "00", b.receive(c)[39], "the frames are in step: the connection goes on")
	})
	t.Run("message ends in a field", func(t *testing.T) {
		c := b.dial()
		_, err := c.Write(frameOf(t, wire.CUP, good[:len(good)-3]))
		require.NoError(t, err)
		got := b.receive(c)
		require.Equal(t, "30", got[39])
		require.Equal(t, []string{"报文域60格式错误"}, tag59Of(got, "SC"))
	})
	closing := map[string][]byte{
		"no MTI":           frameOf(t, wire.CUP, []byte{0xAB}),
		"MTI is no digits": frameOf(t, wire.CUP, bytes.Repeat([]byte{0xEE}, 40)),
		"an answer":        frameOf(t, wire.CUP, encode(t, b.codec, fields{0: "0210", 11: "000001", 39: "00"})),
		"another version":  frameOf(t, wire.CUP, encode(t, b.codec, fields{0: "1200", 11: "000001"})),
		"64 KiB":           append([]byte{0xFF, 0xFF}, make([]byte, 0xFFFF)...),
		"no TPDU":          {0, 20, 0x61},
		"HTTP":             []byte("GET / HTTP/1.1\r\n\r\n"),
	}
	other := b.dial()
	for name, raw := range closing {
		t.Run(name, func(t *testing.T) {
			c := b.dial()
			_, _ = c.Write(raw) // the switch may have closed before all of it is written
			got, _ := io.ReadAll(c)
			require.Empty(t, got)
			b.send(other, echo)
			require.Equal(t, "00", b.receive(other)[39], "no other connection is harmed")
		})
	}
	require.Equal(t, 4.0, b.metric("huanxin_terminal_unanswerable_total"))
	require.Equal(t, 4.0, b.metric("huanxin_wire_closes_total", "refused"))
	require.Equal(t, 2.0, b.metric("huanxin_wire_closes_total", "oversized"), "GE is a length of 18 245")
	require.Equal(t, 1.0, b.metric("huanxin_wire_closes_total", "garbage"))
}

// Whoever reaches the port can send rubbish for ever; what he makes is counted and not written to the disk.
func TestUnreadableMessagesDoNotFillTheLog(t *testing.T) {
	b := newBench(t, nil)
	good := encode(t, b.codec, sale)
	for range 20 {
		for _, message := range [][]byte{{0xAB}, bytes.Repeat([]byte{0xEE}, 40), good[:len(good)-3]} {
			c := b.dial()
			_, err := c.Write(frameOf(t, wire.CUP, message))
			require.NoError(t, err)
			require.NoError(t, c.CloseWrite())
			_, err = io.ReadAll(c)
			require.NoError(t, err)
		}
	}
	require.Equal(t, 40.0, b.metric("huanxin_terminal_unanswerable_total"))
	require.Equal(t, 20.0, b.metric("huanxin_terminal_answers_total", "30"))
	for line := range strings.Lines(b.logged()) {
		require.Contains(t, line, `"level":"debug"`)
	}
}

func TestTruncatedFrameIsClosedUnanswered(t *testing.T) {
	b := newBench(t, nil)
	c := b.dial()
	frame := frameOf(t, wire.CUP, encode(t, b.codec, sale))
	_, err := c.Write(frame[:len(frame)/2])
	require.NoError(t, err)
	require.NoError(t, c.CloseWrite())
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Empty(t, got)
	require.Zero(t, b.engine.count())
}

func TestOverloadIsAnsweredAtOnce(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MaxPending = 2 })
	b.engine.setFull(true)
	got := b.ask(sale)
	require.Equal(t, "96", got[39])
	require.Equal(t, []string{"系统繁忙，请稍后重试"}, tag59Of(got, "SC"))
	b.engine.setFull(false)

	held := make(chan any, 2)
	b.engine.setScript(func(body any) *engine.Reply { held <- body; return nil })
	c := b.dial()
	b.send(c, sale)
	b.send(c, sale)
	first, second := <-held, <-held
	require.Equal(t, 2, b.front.Pending())
	require.Equal(t, "96", b.ask(sale)[39], "the table is full")
	require.Equal(t, "30", b.ask(sale.with(fields{11: ""}))[39], "what is malformed is still told so")
	for _, body := range []any{first, second} {
		b.deliver(&engine.Reply{Token: tokenOf(body), Response: approved, At: testNow})
		require.Equal(t, "00", b.receive(c)[39])
	}
	require.Zero(t, b.front.Pending())
}

func TestSealingFailureDeclinesTheSale(t *testing.T) {
	b := newBench(t, nil)
	b.vault.fail = io.ErrUnexpectedEOF
	require.Equal(t, "96", b.ask(sale)[39])
	require.Zero(t, b.engine.count())
}

func TestManyInFlightAreAnsweredInAnyOrder(t *testing.T) {
	b := newBench(t, nil)
	const n = 64
	held := make(chan any, n)
	b.engine.setScript(func(body any) *engine.Reply { held <- body; return nil })
	c := b.dial()
	for i := range n {
		b.send(c, sale.with(fields{11: fmt.Sprintf("%06d", i+1)}))
	}
	var bodies []*engine.SaleRequest
	for range n {
		bodies = append(bodies, (<-held).(*engine.SaleRequest))
	}
	for i := n - 1; i >= 0; i-- {
		b.deliver(&engine.Reply{Token: bodies[i].Token, Response: approved, At: testNow,
			RRN: fmt.Sprintf("%012d", bodies[i].Key.STAN)})
	}
	for i := n; i > 0; i-- {
		got := b.receive(c)
		require.Equal(t, fmt.Sprintf("%06d", i), got[11])
		require.Equal(t, fmt.Sprintf("%012d", i), got[37])
	}
}

func TestShortConnectionIsAnsweredAfterItsHalfClose(t *testing.T) {
	b := newBench(t, nil)
	held := make(chan any, 1)
	b.engine.setScript(func(body any) *engine.Reply { held <- body; return nil })
	c := b.dial()
	b.send(c, sale)
	require.NoError(t, c.CloseWrite())
	b.deliver(&engine.Reply{Token: tokenOf(<-held), Response: approved, At: testNow})
	require.Equal(t, "00", b.receive(c)[39])
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

func TestOriginalIsThereUntilTheAnswerAndWipedAfterIt(t *testing.T) {
	b := newBench(t, nil)
	held := make(chan any, 1)
	b.engine.setScript(func(body any) *engine.Reply { held <- body; return nil })
	c := b.dial()
	b.send(c, sale)
	token := tokenOf(<-held)
	m, codec, ok := b.front.Original(token)
	require.True(t, ok)
	require.Same(t, b.codec, codec)
	require.True(t, m.Equal(2, pan))
	require.True(t, m.Equal(35, track2))
	raw := m.Bytes()
	require.Equal(t, encode(t, b.codec, sale), raw)

	b.deliver(&engine.Reply{Token: token, Response: approved, At: testNow})
	b.receive(c)
	require.Equal(t, make([]byte, len(raw)), raw, "the buffer is zeroed")
	_, _, ok = b.front.Original(token)
	require.False(t, ok)
	b.deliver(&engine.Reply{Token: token, Response: approved, At: testNow})
	b.deliver(&engine.Reply{Token: 1 << 60, Response: approved, At: testNow})
	require.Equal(t, 2.0, b.metric("huanxin_terminal_unexpected_replies_total"))
	b.engine.setScript(func(body any) *engine.Reply { return &engine.Reply{Response: approved} })
	b.send(c, echo)
	require.Equal(t, "000002", b.receive(c)[11], "no second answer came between")
}

func TestAnswerToAGoneTerminalIsCounted(t *testing.T) {
	b := newBench(t, nil)
	held := make(chan any, 1)
	b.engine.setScript(func(body any) *engine.Reply { held <- body; return nil })
	c := b.dial()
	b.send(c, sale)
	token := tokenOf(<-held)
	x := b.front.table.find(token)
	x.conn.Close()
	b.deliver(&engine.Reply{Token: token, Response: approved, At: testNow})
	require.Equal(t, 1.0, b.metric("huanxin_terminal_undelivered_total"))
	require.Zero(t, b.front.Pending())
}

func TestDrainGivesTheAnswersThatAreOwed(t *testing.T) {
	b := newBench(t, nil)
	held := make(chan any, 1)
	b.engine.setScript(func(body any) *engine.Reply { held <- body; return nil })
	c := b.dial()
	b.send(c, sale)
	token := tokenOf(<-held)
	drained := make(chan error, 1)
	go func() { drained <- b.front.Drain(context.Background()) }()
	b.deliver(&engine.Reply{Token: token, Response: approved, At: testNow})
	require.Equal(t, "00", b.receive(c)[39])
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, c.Close())
	require.NoError(t, <-drained)
	_, err = net.Dial("tcp", b.front.Addr("cup").String())
	require.Error(t, err, "nobody listens any more")
}

func TestTPDUIsSwappedOrUnchangedAndTheHeaderComesBack(t *testing.T) {
	for _, swap := range []bool{true, false} {
		b := newBench(t, func(c *Config) { c.Ports[0].SwapTPDU = swap })
		c := b.dial()
		b.send(c, echo)
		raw, _ := b.receiveFrame(c)
		want := "6000030001"
		if swap {
			want = "6000010003"
		}
		require.Equal(t, want+"603100310100", hex.EncodeToString(raw[2:13]))
	}
}

// Every dialect that comes with the program, over another framing, with the same messages.
func TestEveryDialectServes(t *testing.T) {
	for _, name := range []string{"cup", "iso87a", "iso87b", "iso87-hex"} {
		for _, framing := range []wire.Framing{wire.NAC, wire.NCC, wire.ASCII4, wire.Raw2, wire.Raw4} {
			t.Run(name+" "+framing.String(), func(t *testing.T) {
				codec := loadCodec(t, name)
				b := newBench(t, func(c *Config) { c.Ports[0].Codec, c.Ports[0].Framing = codec, framing })
				b.engine.setScript(func(body any) *engine.Reply {
					return &engine.Reply{Response: [2]byte{'5', '7'}, Hold: 42, Reasons: []reason.Code{reason.CodeExpired},
						RRN: "516900000001", Answer: &event.HostAnswer{Icc: []byte{0x91, 2, 0x30, 0x30}}}
				})
				for _, request := range everyKind {
					c := b.dial()
					_, err := c.Write(frameOf(t, framing, encode(t, codec, request)))
					require.NoError(t, err)
					require.NoError(t, c.CloseWrite())
					raw, err := io.ReadAll(c)
					require.NoError(t, err)
					frame, n, err := framing.Next(raw, wire.DefaultMaxFrame)
					require.NoError(t, err)
					require.Equal(t, len(raw), n)
					got := decode(t, codec, frame.Message)
					require.Equal(t, "57", got[39], "%s %v", request[0], tag59Of(got, "SC"))
					require.Equal(t, []string{"资格码已失效，请刷新"}, tag59Of(got, "SC"))
				}
				require.Equal(t, len(everyKind), b.engine.count())
				require.Zero(t, b.metric("huanxin_terminal_minimal_answers_total"))
				require.Equal(t, money.Amount(479920), b.engine.bodies[4].(*engine.SaleRequest).ICCAmount)
			})
		}
	}
}

func TestKeepAliveComesBack(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Ports[0].Framing = wire.Raw2 })
	c := b.dial()
	_, err := c.Write([]byte{0, 0})
	require.NoError(t, err)
	got := make([]byte, 2)
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, []byte{0, 0}, got)
}

// A field of the host that the port's dialect does not take costs that field and no other.
func TestFieldThatDoesNotFitTheDialectIsLeftOutAlone(t *testing.T) {
	b := newBench(t, nil)
	whole := func() *engine.Reply {
		return &engine.Reply{Response: approved, Hold: 42, Price: 599900, Subsidy: 119980, Payable: 479920, RRN: "516900000001",
			Answer: &event.HostAnswer{Response: "00", Approval: "123456", ClearingDate: "0618", LocalTime: "103006",
				LocalDate: "0618", Institutions: []byte("48020000"), Icc: []byte{0x91, 2, 0x30, 0x30}, Network: []byte("CUP"),
				Acquirer: "48982210"}}
	}
	b.engine.setScript(func(body any) *engine.Reply { return whole() })
	want := b.ask(sale)
	require.Equal(t, "516900000001", want[37])
	for n, spoil := range map[int]func(*engine.Reply){
		37: func(r *engine.Reply) { r.RRN = "too long for field 37" },
		15: func(r *engine.Reply) { r.Answer.ClearingDate = "06-18" },
		32: func(r *engine.Reply) { r.Answer.Acquirer = "48982210489822" },
		38: func(r *engine.Reply) { r.Answer.Approval = "1234567" },
		44: func(r *engine.Reply) { r.Answer.Institutions = bytes.Repeat([]byte("4"), 26) },
		55: func(r *engine.Reply) { r.Answer.Icc = make([]byte, 256) },
		63: func(r *engine.Reply) { r.Answer.Network = make([]byte, 164) },
	} {
		for range 2 {
			b.engine.setScript(func(body any) *engine.Reply { r := whole(); spoil(r); return r })
			require.Equal(t, want.with(fields{n: ""}), b.ask(sale), "field %d", n)
		}
		require.Equal(t, 1, strings.Count(b.logged(), fmt.Sprintf(`"field":%d}`, n)), "logged once")
	}
	b.engine.setScript(func(body any) *engine.Reply { r := whole(); r.Answer.LocalTime = "noon"; return r })
	require.Equal(t, want.with(fields{12: "103005"}), b.ask(sale), "the switch's own time stays")
	require.Equal(t, 15.0, b.metric("huanxin_terminal_omitted_fields_total"))
	require.Zero(t, b.metric("huanxin_terminal_minimal_answers_total"))
}

func TestHostsOwnBytesReachTheTillUnchanged(t *testing.T) {
	b := newBench(t, nil)
	institutions, network := []byte("4802\x00\xFF8982"), append([]byte("CUP"), gbk("交易成功")...)
	b.engine.setScript(func(body any) *engine.Reply {
		return &engine.Reply{Response: approved, RRN: "516900000001", Answer: &event.HostAnswer{Response: "00", Approval: "A1 /z~",
			Institutions: institutions, Network: network}}
	})
	c := b.dial()
	b.send(c, sale)
	_, message := b.receiveFrame(c)
	var m iso8583.Message
	require.NoError(t, b.codec.Parse(message, &m))
	require.Equal(t, institutions, m.AppendField(nil, 44))
	require.Equal(t, network, m.AppendField(nil, 63))
	require.True(t, m.Equal(38, "A1 /z~"))
	require.True(t, m.Equal(37, "516900000001"))
}

// Where DE59 is short, the amounts of the slip stay and the cashier's text goes.
func TestAmountsStayWhereTheTextDoesNotFit(t *testing.T) {
	spec, err := os.ReadFile(filepath.Join("..", "..", "config", "dialects", "cup.json"))
	require.NoError(t, err)
	short := bytes.Replace(spec, []byte(`"59": {"type": "String", "length": 600`), []byte(`"59": {"type": "String", "length": 110`), 1)
	require.NotEqual(t, spec, short)
	codec, err := iso8583.Compile(short)
	require.NoError(t, err)
	b := newBench(t, func(c *Config) { c.Ports[0].Codec = codec })
	b.engine.setScript(func(body any) *engine.Reply {
		return &engine.Reply{Response: [2]byte{'5', '1'}, Hold: 42, Price: 599900, Subsidy: 119980, Payable: 479920,
			ExpiresAt: testNow, Text: strings.Repeat("余额不足", 5)}
	})
	got := b.ask(sale)
	require.Equal(t, "51", got[39])
	require.Equal(t, []string{"000000479920"}, tag59Of(got, "S9"))
	require.Equal(t, []string{"000000119980"}, tag59Of(got, "S8"))
	require.Equal(t, []string{"000000000042"}, tag59Of(got, "S7"))
	require.Empty(t, tag59Of(got, "SC"))
}

func TestLogsHoldNoSecret(t *testing.T) {
	b := newBench(t, nil)
	for _, f := range []fields{sale, qrSale, reserve, sale.with(fields{2: "6224240000000025"}), sale.with(fields{55: "9F02"})} {
		b.ask(f)
	}
	b.vault.fail = io.ErrUnexpectedEOF
	b.ask(sale)
	require.Contains(t, b.logged(), `"stan":"000005"`)
	for _, secret := range []string{pan, "6224240000000025", track2, payment, "12345678", "6224", "cd-510w", "CD-510W"} {
		require.NotContains(t, b.logged(), secret)
	}
}

func TestConnectionsShareNothing(t *testing.T) {
	b := newBench(t, nil)
	b.engine.setScript(func(body any) *engine.Reply {
		in := body.(*engine.SaleRequest)
		return &engine.Reply{Response: approved, RRN: fmt.Sprintf("%s%04d", in.Key.Terminal[:], in.Key.STAN)}
	})
	var all sync.WaitGroup
	errs := make(chan error, 8)
	for id := range 8 {
		conn := b.dial()
		all.Add(1)
		go func() {
			defer all.Done()
			terminal := fmt.Sprintf("2101%04d", id)
			for i := range 100 {
				request := sale.with(fields{11: fmt.Sprintf("%06d", i), 41: terminal})
				_, _ = conn.Write(frameOf(t, wire.CUP, encode(t, b.codec, request)))
			}
			for i := range 100 {
				_, message := b.receiveFrame(conn)
				if got := decode(t, b.codec, message); got[37] != fmt.Sprintf("%s%04d", terminal, i) {
					errs <- fmt.Errorf("terminal %s got %v", terminal, got)
				}
			}
		}()
	}
	all.Wait()
	close(errs)
	require.NoError(t, <-errs)
	require.Equal(t, 800.0, b.metric("huanxin_terminal_answers_total", "sale", "00"))
}

func TestConfigNamesWhatIsWrong(t *testing.T) {
	good := testConfig(t, prometheus.NewRegistry())
	good.Submit = func(any, stage.Instant) error { return nil }
	for want, change := range map[string]func(*Config){
		"Ports":      func(c *Config) { c.Ports = nil },
		"Submit":     func(c *Config) { c.Submit = nil },
		"Vault":      func(c *Config) { c.Vault = nil },
		"Host":       func(c *Config) { c.Host = "" },
		"MaxPending": func(c *Config) { c.MaxPending = maxPending + 1 },
		"Registerer": func(c *Config) { c.Registerer = nil },
		"Codec":      func(c *Config) { c.Ports = []Port{{Name: "a", Address: "127.0.0.1:0"}} },
		"loopback":   func(c *Config) { c.Ports = []Port{c.Ports[0]}; c.Ports[0].Address = "0.0.0.0:7001" },
		"localhost":  func(c *Config) { c.Ports = []Port{c.Ports[0]}; c.Ports[0].Address = "localhost:7001" },
		"Address":    func(c *Config) { c.Ports = []Port{c.Ports[0]}; c.Ports[0].Address = "7001" },
		"two ports":  func(c *Config) { c.Ports = []Port{c.Ports[0], c.Ports[0]} },
		"coordinate": func(c *Config) { c.Ports = []Port{c.Ports[0]}; c.Ports[0].Positions = 9 },
	} {
		bad := good
		change(&bad)
		_, err := New(bad)
		require.ErrorIs(t, err, ErrConfig, want)
		require.ErrorContains(t, err, want)
	}
	front, err := New(good)
	require.NoError(t, err)
	require.Nil(t, front.Addr("cup"), "New opens no port")
	require.ErrorIs(t, front.Serve(), ErrNotListening)
	require.NoError(t, front.Drain(context.Background()))
}

func TestOnePortThatCannotOpenOpensNone(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	cfg := testConfig(t, prometheus.NewRegistry())
	cfg.Submit = func(any, stage.Instant) error { return nil }
	second := cfg.Ports[0]
	second.Name, second.Address = "second", taken.Addr().String()
	cfg.Ports = append(cfg.Ports, second)
	front, err := New(cfg)
	require.NoError(t, err)
	require.ErrorContains(t, front.Listen(context.Background()), "second")
	_, err = net.Dial("tcp", front.Addr("cup").String())
	require.Error(t, err)
}

func TestLastOfTheTableIsForWhatEndsSomething(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MaxPending = 8 })
	held := make(chan any, 8)
	b.engine.setScript(func(body any) *engine.Reply { held <- body; return nil })
	c := b.dial()
	for range 7 {
		b.send(c, sale)
		<-held
	}
	require.Equal(t, "96", b.ask(sale)[39], "the last eighth is not for sales")
	b.send(c, reversal)
	require.IsType(t, &engine.ReversalRequest{}, <-held)
}

func TestOverloadIsAnsweredBeforeARequestIsReadAndNeverToWhatEndsSomething(t *testing.T) {
	turning := true
	b := newBench(t, func(c *Config) { c.TurnsAway = func() bool { return turning } })
	require.Equal(t, "96", b.ask(reserve)[39])
	require.Equal(t, "96", b.ask(balance)[39])
	require.Zero(t, b.engine.count())
	for _, f := range []fields{sale, reversal, refund, void, cancel, settlement} {
		b.ask(f)
	}
	require.Equal(t, 6, b.engine.count(), "payments are turned away by the server alone, which knows what is a repeat")
	turning = false
	b.ask(reserve)
	require.Equal(t, 7, b.engine.count())
}
