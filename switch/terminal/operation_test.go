package terminal

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/internal/money"
	"huanxin/subsidy/reason"
	"huanxin/switch/engine"
	"huanxin/switch/event"
)

const rrn = "516900000001"

var (
	void = fields{0: "0200", 2: pan, 3: "200000", 4: "000000479920", 11: "000007", 14: "3012", 22: "052", 23: "001", 25: "00",
		35: track2, 37: rrn, 38: "123456", 41: "21010001", 42: "898210157220001", 49: "156", 60: "23000001000501",
		61: "000001000005"}
	refund = fields{0: "0220", 2: pan, 3: "200000", 4: "000000479920", 11: "000008", 22: "052", 25: "00", 37: rrn, 38: "123456",
		41: "21010001", 42: "898210157220001", 49: "156", 60: "25000002000501", 61: "0000010000050618", 63: "001"}
	balance = fields{0: "0200", 2: pan, 3: "310000", 11: "000009", 22: "052", 25: "00", 35: track2, 41: "21010001",
		42: "898210157220001", 49: "156", 60: "01000001000501"}
	status = fields{0: "0100", 3: "390000", 11: "000010", 25: "00", 41: "21010001", 42: "898210157220001", 49: "156",
		60: "98000001000"}
	preauth = fields{0: "0100", 2: pan, 3: "030000", 4: "000000100000", 11: "000011", 14: "3012", 22: "052", 23: "001", 25: "06",
		35: track2, 41: "21010001", 42: "898210157220001", 49: "156", 60: "10000001000501"}
	preauthVoid    = preauth.with(fields{3: "200000", 11: "000012", 38: "123456", 60: "11000001000501", 61: "0000010000110618"})
	completion     = preauth.with(fields{0: "0200", 3: "000000", 11: "000013", 38: "123456", 60: "20000001000501", 61: "0000010000110618"})
	completionVoid = completion.with(fields{3: "200000", 11: "000014", 37: rrn, 60: "21000001000501", 61: "0000010000130618"})
)

func TestVoidNamesItsOriginalAndSealsTheCard(t *testing.T) {
	b := newBench(t, nil)
	b.engine.setScript(func(body any) *engine.Reply {
		return &engine.Reply{Response: approved, RRN: "516900000002", Hold: 42, Price: 599900, Subsidy: 119980, Payable: 479920,
			ExpiresAt: testNow, Answer: &event.HostAnswer{Response: "00", Approval: "654321", ClearingDate: "0618"}}
	})
	got := b.ask(void)
	require.Equal(t, fields{0: "0210", 3: "200000", 4: "000000479920", 11: "000007", 12: "103005", 13: "0618", 15: "0618", 25: "00",
		37: "516900000002", 38: "654321", 39: "00", 41: "21010001", 42: "898210157220001", 49: "156", 60: "23000001000501",
		59: text59("S7", "000000000042", "SG", "000000599900", "S8", "000000119980", "S9", "000000479920")}, got,
		"the amounts of the sale, without an expiry")
	in := *b.engine.last().(*engine.VoidRequest)
	require.NotZero(t, in.Content)
	token := testHasher{}.Card([]byte(pan))
	require.Equal(t, token[:], in.Card.Token)
	in.Content, in.Token, in.Card = engine.Hash{}, 0, nil
	require.Equal(t, engine.VoidRequest{Key: key('2', 7), Amount: 479920, RRN: rrn, Original: engine.Original{Batch: 1, STAN: 5}}, in)
	record, err := parseRecord(b.vault.records[0])
	require.NoError(t, err)
	require.Equal(t, "23000001000501", string(record.POSData), "a reversal of the void names the void")

	require.Equal(t, "00", b.ask(void.with(fields{37: ""}))[39], "DE61 is enough")
	require.Empty(t, b.engine.last().(*engine.VoidRequest).RRN)
	require.Equal(t, "00", b.ask(void.with(fields{61: "0000010000050618"}))[39])
	require.Equal(t, engine.Original{Batch: 1, STAN: 5, Date: "0618"}, b.engine.last().(*engine.VoidRequest).Original)
	require.Equal(t, "00", b.ask(void.with(fields{59: "1228986061708BD30.621555,114.361954"}))[39], "another maker's DE59")

	qr := fields{2: "", 14: "", 23: "", 35: "", 22: "032", 59: text59("A3", payment)}
	require.Equal(t, "00", b.ask(void.with(qr))[39])
	token = testHasher{}.Card([]byte(payment))
	require.Equal(t, token[:], b.engine.last().(*engine.VoidRequest).Card.Token)
}

func TestRefundNamesDateAndActivationAndAnswersWhatItGaveBack(t *testing.T) {
	b := newBench(t, nil)
	b.engine.setScript(func(body any) *engine.Reply {
		return &engine.Reply{Response: approved, RRN: "516900000003", Hold: 42, Price: 599900, Subsidy: 119980, Payable: 479920,
			Refund: &engine.RefundView{Amount: 479920, Returned: 100000, Kept: 19980}, Answer: &event.HostAnswer{Response: "00"}}
	})
	got := b.ask(refund)
	require.Equal(t, fields{0: "0230", 3: "200000", 4: "000000479920", 11: "000008", 12: "103005", 13: "0618", 25: "00",
		37: "516900000003", 39: "00", 41: "21010001", 42: "898210157220001", 49: "156", 60: "25000002000501",
		59: text59("S7", "000000000042", "S8", "000000019980", "SP", "000000100000")}, got)
	in := *b.engine.last().(*engine.RefundRequest)
	require.NotZero(t, in.Content)
	require.Equal(t, "622424******0017", in.Card.Mask)
	in.Content, in.Token, in.Card = engine.Hash{}, 0, nil
	want := key('2', 8)
	want.Batch = 2
	require.Equal(t, engine.RefundRequest{Key: want, Amount: 479920, RRN: rrn,
		Original: engine.Original{Batch: 1, STAN: 5, Date: "0618"}}, in)

	for text, activated := range map[string]bool{"1": true, "0": false} {
		require.Equal(t, "00", b.ask(refund.with(fields{59: text59("SO", text)}))[39])
		require.Equal(t, activated, b.engine.last().(*engine.RefundRequest).Activated)
	}
	require.Equal(t, "00", b.ask(refund.with(fields{59: "1228986061708"}))[39], "another maker's DE59")
	require.False(t, b.engine.last().(*engine.RefundRequest).Activated)
	require.Equal(t, "00", b.ask(refund.with(fields{61: "0000010000050618" + "01" + "48020000000"}))[39], "all of DE61")
	require.Equal(t, engine.Original{Batch: 1, STAN: 5, Date: "0618"}, b.engine.last().(*engine.RefundRequest).Original)

	b.engine.setScript(func(body any) *engine.Reply {
		return &engine.Reply{Response: approved, RRN: "516900000003", Refund: &engine.RefundView{Amount: 1}}
	})
	require.Empty(t, b.ask(refund)[59], "of an ordinary purchase there is nothing to tell")
}

// What is done is not undone: the till must not try again.
func TestRefundWithoutAnAnswerTellsTheCashierToAsk(t *testing.T) {
	b := newBench(t, nil)
	b.engine.setScript(func(body any) *engine.Reply {
		return &engine.Reply{Response: [2]byte{'9', '8'}, RRN: rrn, Reasons: []reason.Code{reason.OutcomePending}}
	})
	got := b.ask(refund)
	require.Equal(t, "98", got[39])
	require.Equal(t, []string{"OUTCOME_PENDING"}, tag59Of(got, "SB"))
	require.Equal(t, []string{reason.OutcomePending.Text().ZH}, tag59Of(got, "SC"))
}

// A code of the switch says of each kind of message what it means for the money.
func TestTextOfACodeDependsOnWhatWasAsked(t *testing.T) {
	b := newBench(t, nil)
	b.engine.setScript(func(body any) *engine.Reply { return &engine.Reply{Response: [2]byte{'9', '8'}} })
	for _, tt := range []struct {
		request fields
		text    string
	}{
		{sale, "支付渠道应答超时，交易已冲正"},
		{preauth, "支付渠道应答超时，交易已冲正"},
		{balance, "支付渠道应答超时，请重新查询"},
		{void, "支付渠道应答超时，撤销未成功"},
		{refund, "结果待确认，请查询，勿重复操作"},
	} {
		require.Equal(t, []string{tt.text}, tag59Of(b.ask(tt.request), "SC"))
	}
	b.engine.setScript(func(body any) *engine.Reply {
		return &engine.Reply{Response: neverSent, Answer: &event.HostAnswer{Response: "91"}}
	})
	require.Equal(t, []string{"支付渠道暂不可用，未撤销"}, tag59Of(b.ask(void), "SC"))
	require.Equal(t, []string{"支付渠道暂不可用，未退货"}, tag59Of(b.ask(refund), "SC"))
	require.Equal(t, []string{"支付渠道暂不可用，未扣款"}, tag59Of(b.ask(sale), "SC"))
}

func TestBalanceInquiryPassesTheBalanceOn(t *testing.T) {
	b := newBench(t, nil)
	b.engine.setScript(func(body any) *engine.Reply {
		return &engine.Reply{Response: approved, RRN: rrn, Balance: []byte("1002156C000001234500"),
			Answer: &event.HostAnswer{Response: "00", ClearingDate: "0618"}}
	})
	require.Equal(t, fields{0: "0210", 3: "310000", 11: "000009", 12: "103005", 13: "0618", 15: "0618", 25: "00", 37: rrn, 39: "00",
		41: "21010001", 42: "898210157220001", 49: "156", 54: "1002156C000001234500", 60: "01000001000501"}, b.ask(balance))
	in := *b.engine.last().(*engine.InquiryRequest)
	require.NotZero(t, in.Content)
	require.Equal(t, "622424******0017", in.Card.Mask)
	in.Content, in.Token, in.Card = engine.Hash{}, 0, nil
	require.Equal(t, engine.InquiryRequest{Key: key('2', 9), Host: "unionpay"}, in)

	b.ask(balance.with(fields{2: "", 35: "", 22: "032", 59: text59("A3", payment)}))
	require.Equal(t, "wallet", b.engine.last().(*engine.InquiryRequest).Host)
}

func TestStatusIsNamedByHoldReferenceOrOriginal(t *testing.T) {
	b := newBench(t, nil)
	ask := func(change fields) engine.StatusRequest {
		require.Equal(t, "00", b.ask(status.with(change))[39])
		in := *b.engine.last().(*engine.StatusRequest)
		require.Equal(t, key('1', 10), in.Key)
		in.Token, in.Key = 0, engine.Key{}
		return in
	}
	require.Equal(t, engine.StatusRequest{}, ask(nil), "the last one")
	require.Equal(t, engine.StatusRequest{Hold: 42}, ask(fields{59: text59("S7", "000000000042")}))
	require.Equal(t, engine.StatusRequest{RRN: rrn}, ask(fields{37: rrn}))
	require.Equal(t, engine.StatusRequest{Original: engine.Original{Batch: 1, STAN: 5}}, ask(fields{61: "000001000005"}))
}

func TestStatusAnswersWhatTheSlipWouldSay(t *testing.T) {
	b := newBench(t, nil)
	view := engine.PurchaseView{ID: 42, State: engine.Captured, Merchant: "898210157220001", Terminal: "21010001", Batch: 1, STAN: 5,
		Price: 599900, Subsidy: 119980, Payable: 479920, Amount: 479920, Refunded: 100, ReservedAt: testNow - int64(time.Minute),
		ExpiresAt: testNow + int64(time.Minute), SentAt: testNow - int64(10*time.Second), RRN: rrn, CardMask: "622424******0017",
		Answer: &event.HostAnswer{Response: "00", Approval: "123456", ClearingDate: "0618", LocalTime: "102956", LocalDate: "0617",
			Institutions: []byte("48020000   48982210   "), Icc: []byte{0x91, 2, 0x30, 0x30}, Network: []byte("CUP"), Acquirer: "48982210"}}
	reply := func(v engine.PurchaseView) {
		b.engine.setScript(func(body any) *engine.Reply { return &engine.Reply{Response: approved, Purchase: &v} })
	}
	reply(view)
	request := status.with(fields{4: "000000000000"})
	require.Equal(t, fields{0: "0110", 3: "390000", 4: "000000000000", 11: "000010", 12: "103005", 13: "0618", 15: "0618", 25: "00",
		32: "48982210", 37: rrn, 38: "123456", 39: "00", 41: "21010001", 42: "898210157220001", 44: "48020000   48982210   ", 49: "156",
		60: "98000001000", 59: text59("SF", "captured", "SH", "0000010000050618102955", "SI", "00", "S7", "000000000042",
			"SG", "000000599900", "S8", "000000119980", "S9", "000000479920", "SL", "000000479920", "SM", "622424******0017",
			"SN", "000000000100")}, b.ask(request), "DE12 and DE13 are of the question")

	held := view
	held.State, held.SentAt, held.RRN, held.CardMask, held.Answer, held.Refunded, held.Amount = engine.Reserved, 0, "", "", nil, 0, 0
	reply(held)
	require.Equal(t, text59("SF", "reserved", "SH", "0000010000050618102905", "S7", "000000000042", "SG", "000000599900",
		"S8", "000000119980", "S9", "000000479920", "SA", "20250618103105"), b.ask(status)[59], "a hold that nobody has paid")

	ordinary := view
	ordinary.Ordinary, ordinary.Price, ordinary.Subsidy, ordinary.Payable, ordinary.Refunded = true, 0, 0, 0, 0
	reply(ordinary)
	require.Equal(t, text59("SF", "captured", "SH", "0000010000050618102955", "SI", "00", "SL", "000000479920",
		"SM", "622424******0017"), b.ask(status)[59], "no subsidy, no hold")

	ordinary.State, ordinary.Standing = engine.Reversed, true
	reply(ordinary)
	require.Contains(t, b.ask(status)[59], text59("SF", "charged"), "a slip that said reversed would be untrue")
}

func TestPreAuthorisationFamilyPassesAsOrdinarySales(t *testing.T) {
	b := newBench(t, nil)
	for _, tt := range []struct {
		request fields
		class   byte
		stan    uint32
		kind    event.SaleKind
	}{
		{preauth, '1', 11, event.SaleKind_SALE_KIND_PREAUTH},
		{preauthVoid, '1', 12, event.SaleKind_SALE_KIND_PREAUTH_VOID},
		{completion, '2', 13, event.SaleKind_SALE_KIND_COMPLETION},
		{completionVoid, '2', 14, event.SaleKind_SALE_KIND_COMPLETION_VOID},
	} {
		require.Equal(t, "00", b.ask(tt.request)[39])
		in := *b.engine.last().(*engine.SaleRequest)
		require.NotZero(t, in.Content)
		require.Equal(t, "622424******0017", in.Card.Mask)
		in.Content, in.Token, in.Card = engine.Hash{}, 0, nil
		require.Equal(t, engine.SaleRequest{Key: key(tt.class, tt.stan), Kind: tt.kind, Amount: 100000, ICCAmount: -1,
			Host: "unionpay", EntryMode: [3]byte([]byte("052"))}, in)
	}
	require.Equal(t, "00", b.ask(preauth.with(fields{59: "1228986061708"}))[39], "another maker's DE59")
}

func TestReversalsOfEveryKindCarryTheClassOfTheirOriginal(t *testing.T) {
	b := newBench(t, nil)
	for name, tt := range map[string]struct {
		of    fields
		class byte
	}{
		"sale": {sale, '2'}, "QR sale": {qrSale, '2'}, "reserve": {reserve, '1'}, "void": {void, '2'}, "refund": {refund, '2'},
		"cancel": {cancel.with(fields{4: "000000000000"}), '1'}, "pre-authorisation": {preauth, '1'},
		"void of a pre-authorisation": {preauthVoid, '1'}, "completion": {completion, '2'},
		"void of a completion": {completionVoid, '2'}, "balance": {balance.with(fields{4: "000000000000"}), '2'},
		"what is never offered":         {sale.with(fields{60: "30000001000"}), '2'},
		"what was refused for its coin": {sale.with(fields{49: "840"}), '2'},
	} {
		request := tt.of.with(fields{0: "0400", 39: "96", 35: "", 55: "", 59: ""})
		require.Equal(t, "00", b.ask(request)[39], name)
		in, ok := b.engine.last().(*engine.ReversalRequest)
		require.True(t, ok, name)
		require.Equal(t, tt.class, in.Original.Class, name)
		require.Equal(t, tt.of[11], string(digits(uint64(in.Original.STAN), 6)), name)
		require.Equal(t, tt.of[60][2:8], string(digits(uint64(in.Original.Batch), 6)), name)
	}
}

func TestContentHashOfAnOperationSeesWhatNamesItsOriginal(t *testing.T) {
	b := newBench(t, nil)
	content := func(f fields) engine.Hash {
		require.Equal(t, "00", b.ask(f)[39])
		switch in := b.engine.last().(type) {
		case *engine.VoidRequest:
			return in.Content
		case *engine.RefundRequest:
			return in.Content
		case *engine.SaleRequest:
			return in.Content
		case *engine.InquiryRequest:
			return in.Content
		}
		t.Fatal("no content")
		return engine.Hash{}
	}
	for name, request := range map[string]fields{"void": void, "refund": refund, "completion void": completionVoid} {
		same := content(request)
		require.Equal(t, same, content(request.with(fields{14: "3101"})), name)
		for _, other := range []fields{
			{37: "516900000009"}, {61: "0000010000060618"}, {4: "000000000001"}, {2: "6224240000000025", 35: ""},
		} {
			require.NotEqual(t, same, content(request.with(other)), "%s %v", name, other)
		}
	}
	require.NotEqual(t, content(refund), content(refund.with(fields{59: text59("SO", "1")})))
	// One STAN, one amount, one card; only 60.1 tells what is asked.
	require.NotEqual(t, content(void.with(fields{38: "123456"})), content(void.with(fields{38: "123456", 60: "21000001000501"})))
	require.NotEqual(t, content(sale), content(balance))
}

func TestBadOperationsGetTheirExactCode(t *testing.T) {
	tags := func(pairs ...string) fields { return fields{59: text59(pairs...)} }
	requireRefused(t, []refused{
		{"void without original", void.with(fields{61: ""}), "30", "报文缺少域61"},
		{"void without amount", void.with(fields{4: ""}), "30", "报文缺少域4"},
		{"void of zero", void.with(fields{4: "000000000000"}), "13", "金额不能为零"},
		{"void without entry mode", void.with(fields{22: ""}), "30", "报文缺少域22"},
		{"void without condition", void.with(fields{25: ""}), "30", "报文缺少域25"},
		{"void without currency", void.with(fields{49: ""}), "30", "报文缺少域49"},
		{"void in dollars", void.with(fields{49: "840"}), "40", "仅支持人民币交易"},
		{"void without card", void.with(fields{2: "", 35: ""}), "30", "报文缺少卡号（域2或域35）"},
		{"void of a QR sale without its code", void.with(fields{2: "", 35: "", 22: "032"}), "30", "报文缺少域59标签A3"},
		{"void with a PIN", void.with(fields{52: "FA36989B212B5950"}), "40", pinRefused},
		{"original too short", void.with(fields{61: "00000100000"}), "30", "报文域61格式错误"},
		{"original with half a date", void.with(fields{61: "00000100000506"}), "30", "报文域61格式错误"},
		{"original of a thirteenth month", void.with(fields{61: "0000010000051318"}), "30", "报文域61格式错误"},
		{"original of a day 0", void.with(fields{61: "0000010000050600"}), "30", "报文域61格式错误"},
		{"reference with a blank", void.with(fields{37: "51690000000 "}), "30", "报文域37格式错误"},
		{"void with unreadable chip data", void.with(fields{55: "9F02"}), "30", "报文域55格式错误"},
		{"refund without reference", refund.with(fields{37: ""}), "30", "报文缺少域37"},
		{"refund without original", refund.with(fields{61: ""}), "30", "报文缺少域61"},
		{"refund without the date", refund.with(fields{61: "000001000005"}), "30", "报文缺少原交易日期（域61）"},
		{"refund of zero", refund.with(fields{4: "000000000000"}), "13", "金额不能为零"},
		{"refund without card", refund.with(fields{2: ""}), "30", "报文缺少卡号（域2或域35）"},
		{"refund with a PIN", refund.with(fields{52: "FA36989B212B5950"}), "40", pinRefused},
		{"refund with the void's number", refund.with(fields{60: "23000001000"}), "40", "不支持的交易类型"},
		{"activation is neither", refund.with(tags("SO", "Y")), "30", "报文域59标签SO格式错误"},
		{"activation cut off", refund.with(fields{59: "SO0021"}), "30", "报文域59格式错误"},
		{"activation behind something unreadable", refund.with(fields{59: "xSO0011"}), "30", "报文域59格式错误"},
		{"balance without entry mode", balance.with(fields{22: ""}), "30", "报文缺少域22"},
		{"balance without card", balance.with(fields{2: "", 35: ""}), "30", "报文缺少卡号（域2或域35）"},
		{"balance in dollars", balance.with(fields{49: "840"}), "40", "仅支持人民币交易"},
		{"balance with a PIN", balance.with(fields{52: "FA36989B212B5950"}), "40", pinRefused},
		{"status of a hold of eleven digits", status.with(tags("S7", "00000000042")), "30", "报文域59标签S7格式错误"},
		{"status with unreadable tags", status.with(fields{59: "hello"}), "30", "报文域59格式错误"},
		{"status without STAN", status.with(fields{11: ""}), "30", "报文缺少域11"},
		{"status of an original that is none", status.with(fields{61: "1"}), "30", "报文域61格式错误"},
		{"pre-authorisation with a hold", preauth.with(tags("S7", "000000000042")), "40", "预授权类交易不支持补贴"},
		{"pre-authorisation with a code", preauth.with(tags("S1", "12345678")), "40", "预授权类交易不支持补贴"},
		{"completion with a hold", completion.with(tags("S7", "000000000042")), "40", "预授权类交易不支持补贴"},
		{"pre-authorisation with a hold cut off", preauth.with(fields{59: "S7012000"}), "40", "预授权类交易不支持补贴"},
		{"pre-authorisation in dollars", preauth.with(fields{49: "840"}), "40", "仅支持人民币交易"},
		{"pre-authorisation of zero", preauth.with(fields{4: "000000000000"}), "13", "金额不能为零"},
		{"pre-authorisation without card", preauth.with(fields{2: "", 35: ""}), "30", "报文缺少卡号（域2或域35）"},
		{"void of a pre-authorisation without approval", preauthVoid.with(fields{38: ""}), "30", "报文缺少域38"},
		{"void of a pre-authorisation without original", preauthVoid.with(fields{61: ""}), "30", "报文缺少域61"},
		{"completion without approval", completion.with(fields{38: ""}), "30", "报文缺少域38"},
		{"completion without original", completion.with(fields{61: ""}), "30", "报文缺少域61"},
		{"void of a completion without original", completionVoid.with(fields{61: ""}), "30", "报文缺少域61"},
	})
}

// The void and the refund that wait are the host link's to read, like a sale.
func TestOriginalOfAnOperationIsThereForTheHost(t *testing.T) {
	b := newBench(t, nil)
	held := make(chan any, 1)
	b.engine.setScript(func(body any) *engine.Reply { held <- body; return nil })
	for _, request := range []fields{void, refund, balance, preauth} {
		c := b.dial()
		b.send(c, request)
		token := tokenOf(<-held)
		m, _, ok := b.front.Original(token)
		require.True(t, ok)
		require.Equal(t, request, decode(t, b.codec, m.Bytes()))
		b.deliver(&engine.Reply{Token: token, Response: approved, At: testNow})
		require.Equal(t, "00", b.receive(c)[39])
	}
	require.Equal(t, money.Amount(479920), b.engine.bodies[0].(*engine.VoidRequest).Amount)
}

// The answer of the first was lost, and its copy meets an overload at the door. 96 says nothing about the first: the hold stands, its next
// copy has its answer, and a reversal ends it.
func TestResendThatIsTurnedAwayAtTheDoorDoesNotUndoTheFirst(t *testing.T) {
	turning := false
	l := newLab(t, func(c *Config) { c.TurnsAway = func() bool { return turning } })
	code, _ := l.code()
	request := l.reserving(code)
	hold := l.ask(request)
	require.Equal(t, "00", hold[39])
	turning = true
	away := l.ask(request)
	require.Equal(t, "96", away[39])
	turning = false
	again := l.ask(request)
	require.Equal(t, "00", again[39])
	require.Equal(t, hold[59], again[59], "the same hold")
	turning = true
	require.Equal(t, "96", l.ask(request)[39])
	require.Equal(t, "00", l.ask(undo(request))[39], "what iso8583.md asks of a till that gives up: the first is reversed")
}
