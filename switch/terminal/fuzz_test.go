package terminal

import (
	"bytes"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/iso8583"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/stage"
	"huanxin/switch/wire"
)

// everyKind has one message of every kind that terminals may send.
var everyKind = []fields{signOn, echo, reserve, cancel, sale, qrSale, reversal, status, preauth, preauthVoid, completion,
	completionVoid, balance, void, refund, settlement, upload, uploadEnd, script, certificate, state,
	settlement.with(fields{59: text59("SJ", "001", "SK", "000000119980")}), refund.with(fields{59: text59("SO", "1")})}

// answerTo is the fullest answer that an engine may give to an input.
func answerTo(body any) *engine.Reply {
	issuer := &event.HostAnswer{Response: "00", Approval: "123456", ClearingDate: "0618", Institutions: []byte("4802"), Acquirer: "1"}
	r := &engine.Reply{Response: approved, At: testNow, Hold: 1, Price: 1, Batch: 999999, RRN: rrn, Answer: issuer}
	switch body.(type) {
	case *engine.StatusRequest:
		r.Purchase = &engine.PurchaseView{ID: 1, State: engine.Captured, Batch: 1, STAN: 1, Price: 1, Subsidy: 1, Payable: 1,
			Amount: 1, Refunded: 1, SentAt: testNow, ExpiresAt: testNow, RRN: rrn, CardMask: "622424******0017", Answer: issuer}
	case *engine.RefundRequest:
		r.Refund = &engine.RefundView{Amount: 1, Returned: 1, Kept: 1}
	case *engine.SettlementRequest:
		r.Totals = &engine.Totals{Debit: 1, DebitCount: 1, SubsidyCount: 1000, Subsidy: 1}
	case *engine.InquiryRequest:
		r.Balance = []byte("1002156C000001234500")
	}
	return r
}

// FuzzRequest: whatever a message holds, it becomes an engine input, or an answer that the dialect can write, or is given
// up – and what goes to be sealed is always a proper card record.
func FuzzRequest(f *testing.F) {
	kinds := map[kind]bool{}
	codecs := []*iso8583.Codec{loadCodec(f, "cup"), loadCodec(f, "iso87a"), loadCodec(f, "iso87b"), loadCodec(f, "iso87-hex")}
	for i, codec := range codecs {
		for _, m := range everyKind {
			f.Add(byte(i), encode(f, codec, m))
			_, no, k := readMessage(f, codec, encode(f, codec, m))
			require.Nil(f, no)
			kinds[k] = true
		}
	}
	require.Len(f, kinds, int(kindCount)-2, "every kind but what is unknown and the sign-off, which reads as a sign-on")
	cfg := testConfig(f, prometheus.NewRegistry())
	cfg.Submit = func(any, stage.Instant) error { return nil }
	front, err := New(cfg)
	require.NoError(f, err)
	r := front.readers.New().(*reader)
	a := front.answerers.New().(*answerer)
	f.Fuzz(func(t *testing.T, dialect byte, message []byte) {
		codec := codecs[int(dialect)%len(codecs)]
		p := &port{Port: Port{Name: "fuzz", Framing: wire.Raw2, Codec: codec, Positions: 2}, front: front}
		x, _ := front.table.take()
		defer front.table.give(x)
		x.load(new(wire.Conn), p, wire.Frame{Message: message}, fixedClock())
		body, no := r.read(x)
		require.True(t, (body == nil) != (no == nil), "either an input or a refusal")
		require.Equal(t, make([]byte, scratchSize), r.scratch[:scratchSize], "scratch is wiped")
		require.True(t, bytes.Equal(message, x.message()), "reading changes nothing")
		reply := answerTo(body)
		if no != nil {
			if no.code == [2]byte{} {
				return
			}
			require.NotEqual(t, overloaded, no.code, "the card record was refused")
			reply = &engine.Reply{Response: no.code, At: testNow, Text: no.text}
		} else {
			require.Equal(t, engine.Token(x.token.Load()), tokenOf(body))
		}
		frame, err := a.answer(x, reply, nil)
		require.NoError(t, err)
		whole, _, err := wire.Raw2.Next(frame, 0)
		require.NoError(t, err)
		var m iso8583.Message
		require.NoError(t, codec.Parse(whole.Message, &m))
		require.False(t, m.Has(2) || m.Has(35) || m.Has(52) || m.Has(64))
		if _, upload := body.(*engine.UploadRequest); upload {
			require.False(t, m.Has(48), "its card numbers do not come back")
		}
	})
}

// FuzzSecured: whatever comes over a line with keys, nothing but a sign-on, an echo, and what has a good MAC becomes an engine input,
// and no answer to anything else carries a MAC.
func FuzzSecured(f *testing.F) {
	front, p, conn, good, _ := securedPort(f, &Line{Cipher: hsm.TDES}, sale)
	f.Add(bytes.Clone(good.Message))
	codec := p.Codec
	for _, m := range everyKind {
		f.Add(encode(f, codec, m))
		f.Add(encode(f, codec, m.with(fields{64: "3031323334353637"})))
	}
	r := front.readers.New().(*reader)
	a := front.answerers.New().(*answerer)
	conn.Data = new(guards)
	whole := bytes.Clone(good.Message)
	f.Fuzz(func(t *testing.T, message []byte) {
		conn.Data = new(guards)
		x, _ := front.table.take()
		defer front.table.give(x)
		x.load(conn, p, wire.Frame{TPDU: testTPDU, Header: testHeader, Message: message}, fixedClock())
		body, no := r.read(x)
		switch body.(type) {
		case nil:
		case *engine.SignOnRequest, *engine.EchoRequest:
			require.Nil(t, x.mac)
		default:
			require.NotNil(t, x.mac)
			require.Equal(t, whole, message, "a MAC over something else")
		}
		if no == nil || no.code == [2]byte{} {
			return
		}
		frame, err := a.answer(x, &engine.Reply{Response: no.code, At: testNow, Text: no.text}, nil)
		require.NoError(t, err)
		answer, _, err := wire.CUP.Next(frame, 0)
		require.NoError(t, err)
		var m iso8583.Message
		require.NoError(t, codec.Parse(answer.Message, &m))
		require.Equal(t, x.mac != nil, m.Has(macField))
		require.False(t, m.Has(2) || m.Has(35) || m.Has(52) || m.Has(62))
	})
}

// FuzzHolder is a terminal that has its keys and puts a good MAC on whatever it likes, which FuzzSecured hardly ever does: it is
// heard, a PIN goes on only with what was asked, and the answer has a good MAC.
func FuzzHolder(f *testing.F) {
	front, p, conn, _, _ := securedPort(f, &Line{Cipher: hsm.TDES}, sale)
	module, codec := front.cfg.Keys.Module, p.Codec
	zone, _, err := module.Generate(hsm.Spec{Bind: "host", Purpose: hsm.ZPK, Algorithm: hsm.TDES, Length: 16})
	require.NoError(f, err)
	front.cfg.Keys.PINs = &hostPINs{module: module, key: zone, format: hsm.ISO0}
	unsigned := fields{64: "0000000000000000"}
	for _, m := range everyKind {
		f.Add(encode(f, codec, m.with(unsigned)))
		f.Add(encode(f, codec, m.with(unsigned).with(fields{52: "FA36989B212B5950", 53: "2600000000000000"})))
	}
	terminal := [8]byte([]byte(sale[41]))
	entry := front.ring.find(ringKey{terminal, p.Line.keys})
	require.NotNil(f, entry)
	key := front.ring.macKey(terminal, entry.keys.Load().active)
	require.NoError(f, key.err)
	r := front.readers.New().(*reader)
	a := front.answerers.New().(*answerer)
	f.Fuzz(func(t *testing.T, message []byte) {
		var m iso8583.Message
		if codec.Parse(message, &m) != nil || !m.Has(macField) || m.Next(macField) != 0 || !m.Equal(41, sale[41]) {
			return
		}
		mac, err := module.MAC(nil, key.key, p.Line.MAC, m.RawUpTo(macField))
		require.NoError(t, err)
		message = append(bytes.Clone(m.RawUpTo(macField)), mac[:macSize]...)
		conn.Data = new(guards)
		x, _ := front.table.take()
		defer front.table.give(x)
		x.load(conn, p, wire.Frame{TPDU: testTPDU, Header: testHeader, Message: message}, fixedClock())
		body, no := r.read(x)
		require.True(t, (body == nil) != (no == nil), "either an input or a refusal")
		reply := answerTo(body)
		switch {
		case x.kind == kindSignOn || x.kind == kindEcho || no != nil && no.code == [2]byte{}:
			return
		case no != nil:
			require.NotEqual(t, badMAC, no.code)
			reply = &engine.Reply{Response: no.code, At: testNow, Text: no.text}
		}
		require.True(t, x.pinSize == 0 || x.pinSize == hsm.ISO0.Size() && m.Has(52) && body != nil, "a PIN that nobody asked for")
		frame, err := a.answer(x, reply, nil)
		require.NoError(t, err)
		answer, _, err := wire.CUP.Next(frame, 0)
		require.NoError(t, err)
		require.NoError(t, codec.Parse(answer.Message, &m))
		require.False(t, m.Has(2) || m.Has(35) || m.Has(52) || m.Has(62))
		require.NoError(t, module.Verify(key.key, p.Line.MAC, m.RawUpTo(macField), m.AppendField(nil, macField)))
	})
}

// FuzzWorkingKeys: kept keys that are none are refused, and nothing else comes of them.
func FuzzWorkingKeys(f *testing.F) {
	module, _ := newModule(f)
	set, err := generate(module, [8]byte([]byte(sale[41])), (&Line{Cipher: hsm.TDES, KeyLength: 16, MACKeyLength: 16}).sort())
	require.NoError(f, err)
	f.Add(set.wrapped)
	f.Add([]byte{})
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, wrapped []byte) {
		list, err := tokens(wrapped)
		if err != nil {
			require.ErrorIs(t, err, ErrWorkingKeys)
			return
		}
		require.NotEmpty(t, list[pinKey])
		require.NotEmpty(t, list[macKey])
		if _, err := open(module, [8]byte([]byte(sale[41])), wrapped); err == nil {
			require.Equal(t, set.wrapped, wrapped)
		}
	})
}

// FuzzSerial: DE62 of a sign-on names a serial number, is another maker's, or is answered 30.
func FuzzSerial(f *testing.F) {
	f.Add([]byte("Sequence No163150SXX-4C304119"))
	f.Add([]byte("Sequence No"))
	f.Fuzz(func(t *testing.T, value []byte) {
		serial, no := terminalSerial(value)
		if serial != nil {
			require.Nil(t, no)
			require.Equal(t, value, append([]byte("Sequence No"+string(iso8583.AppendDigits(nil, uint64(len(serial)), 2))), serial...))
		}
	})
}
