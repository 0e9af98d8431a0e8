package host

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/config/dialects"
	"huanxin/switch/engine"
	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

// Whatever a network sends, reading it gives a message of a known class with sound values, or an error.
func FuzzRead(f *testing.F) {
	var readers []*words
	for i, dialect := range dialects.Names() {
		cfg := Config{Name: "x", Addresses: []string{"127.0.0.1:1"}, Framing: wire.ASCII4, Codec: codecOf(f, dialect)}
		cfg, err := cfg.withDefaults()
		require.NoError(f, err)
		reader, err := newWords(&cfg, nil, nil)
		require.NoError(f, err)
		readers = append(readers, reader)
		for _, mti := range []iso8583.MTI{0x0110, 0x0210, 0x0230, 0x0410, 0x0411, 0x0430, 0x0800, 0x0810, 0x0820, 0x0100, 0x0220} {
			var b iso8583.Builder
			b.Reset(cfg.Codec, mti)
			b.SetString(11, "000007")
			b.SetString(32, "48020000")
			b.SetString(37, rrn(7))
			b.SetString(39, "00")
			b.SetString(54, "0202156C000000123456")
			b.Set(55, []byte("\x91\x02\xAB\xCD\x5A\x08\x62\x24\x24\x00\x00\x00\x00\x17"))
			raw, err := b.Append(nil)
			require.NoError(f, err)
			f.Add(byte(i), raw)
		}
	}
	f.Fuzz(func(t *testing.T, dialect byte, raw []byte) {
		reader := readers[int(dialect)%len(readers)]
		var in ear
		msg, err := reader.read(&in, raw, time.Unix(0, 0))
		if err != nil {
			return
		}
		if msg.class == classManagement {
			_, err := reader.manageAnswer(nil, &in.parsed)
			require.NoError(t, err, "what the network has said of itself can be said back")
		}
		if msg.class != classAnswer {
			return
		}
		require.Regexp(t, `^[0-9A-Za-z]{2}$`, msg.response)
		a := &msg.answer.Answer
		require.Regexp(t, `^([ -~]{6})?$`, a.Approval)
		for _, number := range []string{a.LocalTime, a.LocalDate, a.ClearingDate, a.Acquirer} {
			require.Regexp(t, `^[0-9]*$`, number, "the journal's strings are UTF-8")
		}
		family := engine.HostSale
		if in.parsed.MTI()>>8 == 0x04 {
			family = engine.HostReversal
		}
		require.Equal(t, family, msg.answer.Kind)
		require.Equal(t, family == engine.HostReversal, msg.key.reversal)
		require.Equal(t, in.parsed.AppendField(nil, 54), msg.answer.Balance)
		require.Equal(t, in.parsed.AppendField(nil, 44), a.Institutions)
		require.Equal(t, in.parsed.AppendField(nil, 63), a.Network)
		_, pan := iso8583.FindTLV(msg.answer.Answer.Icc, 0x5A)
		require.False(t, pan, "nothing of the card may reach the journal")
	})
}

// What the network says to the till goes on byte for byte: GBK stays GBK, binary stays binary.
func TestFieldsForTheTillAreKeptAsReceived(t *testing.T) {
	gbk, ok := iso8583.AppendGBK(nil, "CUP交易成功")
	require.True(t, ok)
	for _, dialect := range []string{"cup", "iso87a", "iso87b", "iso87-hex"} {
		codec := codecOf(t, dialect)
		cfg, err := (&Config{Name: "x", Addresses: []string{"127.0.0.1:1"}, Framing: wire.ASCII4, Codec: codec}).withDefaults()
		require.NoError(t, err)
		w, err := newWords(&cfg, nil, nil)
		require.NoError(t, err)
		for _, c := range []struct{ sent, kept string }{
			{"123456", "123456"}, {"A1 /z~", "A1 /z~"}, {"12345\x00", ""}, {"\xCE\xDE\xCE\xDE12", ""},
		} {
			var b iso8583.Builder
			b.Reset(codec, 0x0210)
			b.SetString(11, "000007")
			b.SetString(37, rrn(7))
			b.SetString(38, c.sent)
			b.SetString(39, "00")
			b.Set(44, []byte("4802\x00\xFF8982"))
			b.Set(63, gbk)
			raw, err := b.Append(nil)
			require.NoError(t, err, dialect)
			var in ear
			msg, err := w.read(&in, raw, time.Unix(0, 0))
			require.NoError(t, err)
			clear(raw)
			require.Equal(t, c.kept, msg.answer.Answer.Approval, "%s %q", dialect, c.sent)
			require.Equal(t, []byte("4802\x00\xFF8982"), msg.answer.Answer.Institutions, dialect)
			require.Equal(t, gbk, msg.answer.Answer.Network, dialect)
		}
	}
}

func BenchmarkEncodeSale(b *testing.B) {
	r := &rig{t: b, cup: codecOf(b, "cup"), orig: fakeOriginals{}, now: time.Now}
	cfg := Config{
		Name: "x", Addresses: []string{"127.0.0.1:1"}, Framing: wire.CUP, TPDU: []byte{0x60, 0, 3, 0, 0},
		Header: []byte{0x60, 0x31, 0, 0x31, 1, 0}, Codec: r.cup, Acquirer: "48022100",
	}
	cfg, err := cfg.withDefaults()
	require.NoError(b, err)
	w, err := newWords(&cfg, nil, nil)
	require.NoError(b, err)
	req := r.sale(7)
	original := r.orig[7]
	var frame []byte
	b.ReportAllocs()
	for b.Loop() {
		if frame, err = w.forward(frame[:0], req, original, nil); err != nil {
			b.Fatal(err)
		}
	}
}
