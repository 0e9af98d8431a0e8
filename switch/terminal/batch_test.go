package terminal

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/internal/money"
	"huanxin/switch/engine"
	"huanxin/switch/iso8583"
	"huanxin/switch/stage"
	"huanxin/switch/wire"
)

const (
	halfTotals = "000000479920001000000100000002"
	noTotals   = "0000000000000000000000000000000"
	cardRecord = "01000005" + "0000" + pan + "000000479920"
	codeRecord = "02000006" + payment + "000000129900"
)

var (
	party      = fields{41: "21010001", 42: "898210157220001"}
	settlement = party.with(fields{0: "0500", 11: "000020", 48: halfTotals + "0" + noTotals, 49: "156", 60: "00000001201", 63: "001"})
	upload     = party.with(fields{0: "0320", 11: "000021", 48: "02" + cardRecord + codeRecord, 60: "00000001201"})
	uploadEnd  = party.with(fields{0: "0320", 11: "000022", 48: "0002", 60: "00000001202"})
	script     = party.with(fields{0: "0620", 3: "000000", 4: "000000479920", 11: "000023", 22: "052", 25: "00", 37: rrn, 49: "156",
		55: "9505008004E0009F360200659F1E083132333435363738DF31052000000000", 60: "00000001951", 61: "000001000005"})
	certificate = party.with(fields{0: "0320", 11: "000024", 55: chip, 60: "00000001203", 61: "000001000005"})
	state       = party.with(fields{0: "0820", 11: "000025", 60: "00000001362", 62: "3031303230330A"})
)

func digits(v uint64, width int) []byte { return iso8583.AppendDigits(nil, v, width) }

func TestSettlementComparesItsTotalsAndAnswersThem(t *testing.T) {
	b := newBench(t, nil)
	ours := engine.Totals{Debit: 479920, DebitCount: 1, Credit: 100000, CreditCount: 2, Subsidy: 119980, SubsidyCount: 1}
	b.engine.setScript(func(body any) *engine.Reply {
		return &engine.Reply{Response: approved, Totals: &ours, Equal: true}
	})
	require.Equal(t, party.with(fields{0: "0510", 11: "000020", 12: "103005", 13: "0618", 39: "00", 49: "156",
		48: halfTotals + "1" + noTotals[:30] + "1", 59: text59("SJ", "001", "SK", "000000119980"), 60: "00000001201"}), b.ask(settlement))
	in := *b.engine.last().(*engine.SettlementRequest)
	require.NotZero(t, in.Content)
	in.Content, in.Token = engine.Hash{}, 0
	require.Equal(t, engine.SettlementRequest{Key: key('5', 20),
		Totals: engine.Totals{Debit: 479920, DebitCount: 1, Credit: 100000, CreditCount: 2}}, in)

	b.engine.setScript(func(body any) *engine.Reply { return &engine.Reply{Response: approved, Totals: &ours} })
	got := b.ask(settlement.with(fields{59: text59("SJ", "002", "SK", "000000239960")}))
	require.Equal(t, halfTotals+"2"+noTotals[:30]+"2", got[48], "as the switch has them")
	require.Equal(t, []string{"001"}, tag59Of(got, "SJ"), "as the switch has them")
	require.Equal(t, []string{"000000119980"}, tag59Of(got, "SK"))
	require.Equal(t, []string{totalsText}, tag59Of(got, "SC"))
	in = *b.engine.last().(*engine.SettlementRequest)
	require.True(t, in.Subsidy)
	require.Equal(t, uint32(2), in.Totals.SubsidyCount)
	require.Equal(t, money.Amount(239960), in.Totals.Subsidy)

	other := settlement.with(fields{48: "0000000000010010000000000000000" + noTotals})
	require.Equal(t, halfTotals+"2"+noTotals[:30]+"2", b.ask(other)[48])

	foreign := halfTotals + "0" + "000000000100001000000000010001" + "0"
	require.Equal(t, "00", b.ask(settlement.with(fields{48: foreign}))[39])
	require.Equal(t, engine.Totals{Debit: 480020, DebitCount: 2, Credit: 100010, CreditCount: 3},
		b.engine.last().(*engine.SettlementRequest).Totals, "the switch does not tell cards of elsewhere apart")
	require.Equal(t, "00", b.ask(settlement.with(fields{59: "1228986061708"}))[39], "another maker's DE59")

	b.engine.setScript(func(body any) *engine.Reply {
		return &engine.Reply{Response: overloaded, Text: "有交易处理中，请稍后结算"}
	})
	got = b.ask(settlement)
	require.Equal(t, "96", got[39])
	require.Empty(t, got[48], "nothing was compared")
}

func TestUploadKeepsNoCardNumber(t *testing.T) {
	b := newBench(t, nil)
	require.Equal(t, party.with(fields{0: "0330", 11: "000021", 12: "103005", 13: "0618", 39: "00", 60: "00000001201"}), b.ask(upload))
	in := *b.engine.last().(*engine.UploadRequest)
	require.NotZero(t, in.Content)
	require.Equal(t, key('3', 21), in.Key)
	require.Equal(t, []engine.UploadRecord{
		{STAN: 5, Card: testHasher{}.Card([]byte(pan)), Amount: 479920},
		{STAN: 6, Card: testHasher{}.Card([]byte(payment)), Amount: 129900},
	}, in.Records)
	require.Equal(t, "00", b.ask(upload.with(fields{48: "08" + strings.Repeat(cardRecord, 8)}))[39])
	require.Len(t, b.engine.last().(*engine.UploadRequest).Records, 8)
	require.Equal(t, "00", b.ask(upload.with(fields{48: "01" + "03000007" + strings.Repeat("0", 20) + "000000000001"}))[39])
	require.Zero(t, b.engine.last().(*engine.UploadRequest).Records[0].Card, "a payment without a number")
	require.NotContains(t, b.logged(), pan)

	require.Equal(t, party.with(fields{0: "0330", 11: "000022", 12: "103005", 13: "0618", 39: "00", 60: "00000001202"}), b.ask(uploadEnd))
	end := *b.engine.last().(*engine.UploadEndRequest)
	require.Equal(t, uint32(2), end.Count)
	require.False(t, end.Equal)
	require.Equal(t, key('3', 22), end.Key)
	require.NotZero(t, end.Content)
	b.ask(uploadEnd.with(fields{60: "00000001207"}))
	require.True(t, b.engine.last().(*engine.UploadEndRequest).Equal)
	require.NotEqual(t, end.Content, b.engine.last().(*engine.UploadEndRequest).Content)
}

func TestReportsAreKeptWithoutSecrets(t *testing.T) {
	b := newBench(t, nil)
	ask := func(f fields) engine.ReportRequest {
		got := b.ask(f)
		require.Equal(t, "00", got[39], "%v", tag59Of(got, "SC"))
		require.Equal(t, mtiOf(t, f[0]).Response().String(), got[0])
		in := *b.engine.last().(*engine.ReportRequest)
		require.NotZero(t, in.Content)
		in.Content, in.Token = engine.Hash{}, 0
		return in
	}
	original := engine.Original{Batch: 1, STAN: 5}
	require.Equal(t, engine.ReportRequest{Key: key('6', 23), Kind: "script", Original: original, RRN: rrn,
		ICC: unhexFrame(t, script[55])}, ask(script))
	in := ask(script.with(fields{55: "5A08" + pan + "5710" + "6224240000000017D301222010000000" + script[55]}))
	require.Equal(t, unhexFrame(t, script[55]), in.ICC, "neither card number nor track")
	require.Equal(t, engine.ReportRequest{Key: key('3', 24), Kind: "certificate", Original: original, ICC: unhexFrame(t, chip)},
		ask(certificate), "of a certificate also the cryptogram")
	require.Equal(t, engine.ReportRequest{Key: key('8', 25), Kind: "status", Detail: "7 bytes, SHA-256 f58a480d9d21f550"}, ask(state))
	require.Equal(t, "010203", ask(state.with(fields{62: hex.EncodeToString([]byte("010203"))})).Detail)
	require.Equal(t, "622424******0017", ask(state.with(fields{62: hex.EncodeToString([]byte(pan))})).Detail)
	require.Equal(t, "0102030405ff", ask(state.with(fields{62: "0102030405ff"})).Detail)
	require.NotContains(t, ask(state.with(fields{62: "16" + pan + "00"})).Detail, pan, "a card number in BCD")
	for _, code := range []string{"360", "361"} {
		require.Equal(t, "status", ask(state.with(fields{60: "00000001" + code})).Kind)
	}
	for _, code := range []string{"204", "205", "206"} {
		require.Equal(t, "certificate", ask(certificate.with(fields{60: "00000001" + code})).Kind)
	}
	require.NotContains(t, b.logged(), pan)
}

func TestBadBatchMessagesGetTheirExactCode(t *testing.T) {
	tags := func(pairs ...string) fields { return fields{59: text59(pairs...)} }
	requireRefused(t, []refused{
		{"settlement without totals", settlement.with(fields{48: ""}), "30", "报文缺少域48"},
		{"totals of 61 digits", settlement.with(fields{48: halfTotals + noTotals}), "30", "报文域48格式错误"},
		{"settlement without STAN", settlement.with(fields{11: ""}), "30", "报文缺少域11"},
		{"settlement of another currency", settlement.with(fields{49: "840"}), "40", "仅支持人民币交易"},
		{"settlement of another purpose", settlement.with(fields{60: "00000001202"}), "40", "不支持的管理交易"},
		{"settlement without 60.3", settlement.with(fields{60: "00000001"}), "30", "报文域60格式错误"},
		{"settlement without DE60", settlement.with(fields{60: ""}), "30", "报文缺少域60"},
		{"subsidy count without sum", settlement.with(tags("SJ", "001")), "30", "报文缺少域59标签SK"},
		{"subsidy sum without count", settlement.with(tags("SK", "000000000001")), "30", "报文缺少域59标签SJ"},
		{"subsidy count of two digits", settlement.with(tags("SJ", "01", "SK", "000000000001")), "30", "报文域59标签SJ格式错误"},
		{"subsidy sum that is none", settlement.with(tags("SJ", "001", "SK", "00000000000X")), "30", "报文域59标签SK格式错误"},
		{"subsidy totals cut off", settlement.with(fields{59: "SJ003001SK01200"}), "30", "报文域59格式错误"},
		{"upload without records", upload.with(fields{48: ""}), "30", "报文缺少域48"},
		{"upload of no records", upload.with(fields{48: "00"}), "30", "报文域48格式错误"},
		{"upload that says more", upload.with(fields{48: "03" + cardRecord + codeRecord}), "30", "报文域48格式错误"},
		{"upload that says less", upload.with(fields{48: "01" + cardRecord + codeRecord}), "30", "报文域48格式错误"},
		{"upload of a record cut off", upload.with(fields{48: "01" + cardRecord[:38]}), "30", "报文域48格式错误"},
		{"upload of a card of four digits", upload.with(fields{48: "01" + "01000005" + "00000000000000001234" + "000000000001"}), "30",
			"报文域48格式错误"},
		{"upload of another purpose", upload.with(fields{60: "00000001208"}), "40", "不支持的管理交易"},
		{"end without count", uploadEnd.with(fields{48: ""}), "30", "报文缺少域48"},
		{"end with a count of two digits", uploadEnd.with(fields{48: "02"}), "30", "报文域48格式错误"},
		{"script without its result", script.with(fields{55: ""}), "30", "报文缺少域55"},
		{"script with unreadable result", script.with(fields{55: "9F02"}), "30", "报文域55格式错误"},
		{"script about an original that is none", script.with(fields{61: "0000010000051399"}), "30", "报文域61格式错误"},
		{"script with a short DE60", script.with(fields{60: "0000001"}), "30", "报文域60格式错误"},
		{"state without codes", state.with(fields{62: ""}), "30", "报文缺少域62"},
		{"state of 129 bytes", state.with(fields{62: strings.Repeat("30", 129)}), "30", "报文域62格式错误"},
		{"parameter download", state.with(fields{60: "00000001364"}), "40", "不支持的管理交易"},
	})
	codec := loadCodec(t, "iso87a") // whose DE48 is text
	for _, spoilt := range []int{0, 12, 15, 27, 30, 31, 61} {
		text := []byte(settlement[48])
		text[spoilt] = 'x'
		requireRefusedIn(t, codec, settlement.with(fields{48: string(text)}), "报文域48格式错误")
	}
	for _, spoilt := range []int{0, 2, 4, 10, 30} {
		text := []byte(upload[48])
		text[spoilt] = 'x'
		requireRefusedIn(t, codec, upload.with(fields{48: string(text)}), "报文域48格式错误")
	}
	requireRefusedIn(t, codec, uploadEnd.with(fields{48: "00x2"}), "报文域48格式错误")
	requireRefusedIn(t, codec, void.with(fields{61: "00000x000005"}), "报文域61格式错误")
	requireRefusedIn(t, codec, refund.with(fields{61: "000001000005061x"}), "报文域61格式错误")
	requireRefusedIn(t, codec, void.with(fields{61: strings.Repeat("1", 30)}), "报文域61格式错误")
}

// requireRefusedIn demands 30 with this text of a message in another dialect, read without the network.
func requireRefusedIn(t *testing.T, codec *iso8583.Codec, f fields, text string) {
	t.Helper()
	_, no, _ := readMessage(t, codec, encode(t, codec, f))
	require.Equal(t, &refusal{malformed, text}, no)
}

// readMessage reads one message as the front does, and says which kind it was taken for.
func readMessage(t testing.TB, codec *iso8583.Codec, message []byte) (body any, no *refusal, k kind) {
	cfg := testConfig(t, prometheus.NewRegistry())
	cfg.Submit = func(any, stage.Instant) error { return nil }
	front, err := New(cfg)
	require.NoError(t, err)
	x, _ := front.table.take()
	x.load(new(wire.Conn), &port{Port: Port{Name: "test", Framing: wire.Raw2, Codec: codec}, front: front}, wire.Frame{Message: message}, fixedClock())
	body, no = front.readers.New().(*reader).read(x)
	return body, no, x.kind
}

// Any totals that a till can write are read as they were written.
func TestTotalsAgreeWithTheirDigits(t *testing.T) {
	codec := loadCodec(t, "cup")
	rapid.Check(t, func(rt *rapid.T) {
		half := func() (money.Amount, uint32, money.Amount, uint32, string) {
			d := rapid.Int64Range(0, 999_999_999_999).Draw(rt, "debit")
			c := rapid.Int64Range(0, 999_999_999_999).Draw(rt, "credit")
			n, m := rapid.Uint32Range(0, 999).Draw(rt, "debits"), rapid.Uint32Range(0, 999).Draw(rt, "credits")
			text := string(digits(uint64(d), 12)) + string(digits(uint64(n), 3)) + string(digits(uint64(c), 12)) + string(digits(uint64(m), 3))
			return money.Amount(d), n, money.Amount(c), m, text + "0"
		}
		d1, n1, c1, m1, text1 := half()
		d2, n2, c2, m2, text2 := half()
		body, no, _ := readMessage(t, codec, encode(t, codec, settlement.with(fields{48: text1 + text2})))
		require.Nil(rt, no)
		require.Equal(rt, engine.Totals{Debit: d1 + d2, DebitCount: n1 + n2, Credit: c1 + c2, CreditCount: m1 + m2},
			body.(*engine.SettlementRequest).Totals)
	})
}

// Every message of the constructed set is taken as what it is named. Their PIN blocks are refused while there are no keys
// for them; without them they are accepted.
func TestConstructedSamplesAreTakenForWhatTheyAre(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "testdata", "iso8583", "constructed.json"))
	require.NoError(t, err)
	var samples struct {
		Messages []struct{ Name, Hex string }
	}
	require.NoError(t, json.Unmarshal(raw, &samples))
	kinds := map[string]kind{"signin": kindSignOn, "balance": kindBalance, "sale": kindSale, "void": kindVoid, "refund": kindRefund,
		"reversal": kindReversal, "qr_sale": kindSale, "settle": kindSettlement, "signoff": kindSignOff}
	codec := loadCodec(t, "cup")
	seen := map[string]bool{}
	for _, sample := range samples.Messages {
		name, _, asks := strings.Cut(sample.Name, "_req_")
		if !asks {
			continue
		}
		t.Run(sample.Name, func(t *testing.T) {
			want, known := kinds[name]
			require.True(t, known, "the test knows what it is")
			seen[name] = true
			frame, _, err := wire.CUP.Next(unhexFrame(t, sample.Hex), 0)
			require.NoError(t, err)
			body, no, k := readMessage(t, codec, frame.Message)
			require.Equal(t, want, k)
			var m iso8583.Message
			require.NoError(t, codec.Parse(frame.Message, &m))
			if !m.Has(52) {
				require.Nil(t, no)
				require.NotNil(t, body)
				return
			}
			require.Equal(t, &refusal{unsupported, pinRefused}, no)
			var b iso8583.Builder
			b.Reset(codec, m.MTI())
			b.CopyAll(&m)
			b.Remove(52)
			without, err := b.Append(nil)
			require.NoError(t, err)
			body, no, _ = readMessage(t, codec, without)
			require.Nil(t, no)
			require.NotNil(t, body)
		})
	}
	require.Len(t, seen, len(kinds))
}
