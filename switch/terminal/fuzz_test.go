package terminal

import (
	"bytes"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"huanxin/switch/engine"
	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

// FuzzRequest: whatever a message holds, it becomes an engine input, or an answer that the dialect can write, or is given
// up – and what goes to be sealed is always a proper card record.
func FuzzRequest(f *testing.F) {
	codecs := []*iso8583.Codec{loadCodec(f, "cup"), loadCodec(f, "iso87a"), loadCodec(f, "iso87b"), loadCodec(f, "iso87-hex")}
	for i, codec := range codecs {
		for _, m := range []fields{signOn, echo, reserve, cancel, sale, qrSale, reversal} {
			f.Add(byte(i), encode(f, codec, m))
		}
	}
	cfg := testConfig(f, prometheus.NewRegistry())
	cfg.Submit = func(any) error { return nil }
	front, err := New(cfg)
	require.NoError(f, err)
	r := front.readers.New().(*reader)
	a := front.answerers.New().(*answerer)
	f.Fuzz(func(t *testing.T, dialect byte, message []byte) {
		codec := codecs[int(dialect)%len(codecs)]
		p := &port{Port: Port{Name: "fuzz", Framing: wire.Raw2, Codec: codec, Positions: 2}, front: front}
		x := front.table.take()
		defer front.table.give(x)
		x.load(nil, p, wire.Frame{Message: message}, fixedClock())
		body, no := r.read(x)
		require.True(t, (body == nil) != (no == nil), "either an input or a refusal")
		require.Equal(t, make([]byte, scratchSize), r.scratch[:scratchSize], "scratch is wiped")
		require.True(t, bytes.Equal(message, x.message()), "reading changes nothing")
		reply := &engine.Reply{Response: approved, At: testNow, Hold: 1, Price: 1, Batch: 999999}
		if no != nil {
			if no.code == [2]byte{} {
				return
			}
			require.NotEqual(t, overloaded, no.code, "the card record was refused")
			reply = &engine.Reply{Response: no.code, At: testNow, Text: no.text}
		} else {
			require.Equal(t, engine.Token(x.token.Load()), tokenOf(body))
		}
		frame, err := a.answer(x, reply)
		require.NoError(t, err)
		whole, _, err := wire.Raw2.Next(frame, 0)
		require.NoError(t, err)
		var m iso8583.Message
		require.NoError(t, codec.Parse(whole.Message, &m))
		require.False(t, m.Has(2) || m.Has(35) || m.Has(52) || m.Has(64))
	})
}
