package issuer

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"huanxin/config/dialects"
	"huanxin/internal/money"
	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

// patience bounds every wait of a test: reaching it is a failure, never a way to pass.
const patience = 30 * time.Second

// link is the switch's end of one connection to a network.
type link struct {
	t     testing.TB
	codec *iso8583.Codec
	nc    net.Conn
	in    []byte
}

func codecOf(t testing.TB, dialect string) *iso8583.Codec {
	t.Helper()
	spec, _, err := dialects.Load("../../../config/dialects", dialect)
	require.NoError(t, err)
	codec, err := iso8583.Compile(spec)
	require.NoError(t, err)
	return codec
}

func startNetwork(t testing.TB, rules Rules, ledger *Ledger) (*Network, *link) {
	t.Helper()
	return startWith(t, "cup", Config{
		Rules: rules, Ledger: ledger, Now: func() time.Time { return time.Date(2025, 6, 18, 23, 5, 12, 0, shanghai) },
	})
}

// startWith speaks any dialect in the framing of cup.
func startWith(t testing.TB, dialect string, cfg Config) (*Network, *link) {
	t.Helper()
	codec := codecOf(t, dialect)
	cfg.Framing, cfg.Codec, cfg.Logger = wire.CUP, codec, zap.NewNop()
	network, err := New(cfg)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- network.Serve(listener) }()
	t.Cleanup(func() {
		network.Close()
		require.NoError(t, <-done)
	})
	l := &link{t: t, codec: codec}
	l.dial(listener.Addr().String())
	return network, l
}

func (l *link) dial(address string) {
	l.t.Helper()
	nc, err := net.Dial("tcp", address)
	require.NoError(l.t, err)
	l.nc, l.in = nc, nil
	l.t.Cleanup(func() { nc.Close() })
}

func (l *link) send(mti iso8583.MTI, rrn string, amount uint64, change func(b *iso8583.Builder)) {
	l.t.Helper()
	var b iso8583.Builder
	b.Reset(l.codec, mti)
	b.SetString(11, "000007")
	b.SetString(60, "2200000100060")
	if rrn != "" {
		b.SetString(2, "6224240000000017")
		b.SetString(3, "000000")
		b.SetDigits(4, amount, 12)
		b.SetString(37, rrn)
		b.SetString(41, "21010001")
		b.SetString(42, "898210157220001")
	}
	if change != nil {
		change(&b)
	}
	body, err := b.Append(nil)
	require.NoError(l.t, err)
	frame, err := wire.CUP.AppendFrame(nil, []byte{0x60, 0, 3, 0, 0}, []byte{0x60, 0x31, 0, 0x31, 1, 0}, body)
	require.NoError(l.t, err)
	_, err = l.nc.Write(frame)
	require.NoError(l.t, err)
}

// next reads one answer, or the error that ended the connection.
func (l *link) next() (*iso8583.Message, error) {
	for {
		frame, n, err := wire.CUP.Next(l.in, 8192)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			m := new(iso8583.Message)
			require.NoError(l.t, l.codec.Parse(frame.Message, m))
			m.Keep(nil)
			l.in = append([]byte(nil), l.in[n:]...)
			return m, nil
		}
		chunk := make([]byte, 4096)
		_ = l.nc.SetReadDeadline(time.Now().Add(patience))
		if n, err = l.nc.Read(chunk); err != nil {
			return nil, err
		}
		l.in = append(l.in, chunk[:n]...)
	}
}

func (l *link) want(mti iso8583.MTI, response string) *iso8583.Message {
	l.t.Helper()
	m, err := l.next()
	require.NoError(l.t, err)
	require.Equal(l.t, mti, m.MTI())
	require.Equal(l.t, response, value(m, 39))
	return m
}

func TestNetworkApprovesAndBooksBeforeItAnswers(t *testing.T) {
	var file bytes.Buffer
	ledger := NewLedger(&file)
	_, l := startNetwork(t, DefaultRules(), ledger)
	l.send(0x0200, "516900000001", 10000, func(b *iso8583.Builder) { b.Set(55, []byte("\x9F\x02\x06\x00\x00\x00\x01\x00\x00")) })
	m := l.want(0x0210, "00")
	require.Equal(t, 1, ledger.Summary().Charges)
	require.Contains(t, file.String(), `"rrn":"516900000001"`)
	require.NotContains(t, file.String(), "6224240000000017")
	require.Equal(t, "516900000001", value(m, 37))
	require.Equal(t, "0619", value(m, 15), "the network's day ends at 23:00")
	require.Len(t, value(m, 38), 6)
	require.Len(t, value(m, 44), 22)
	code, ok := iso8583.FindTLV(m.AppendField(nil, 55), 0x8A)
	require.True(t, ok)
	require.Equal(t, "00", string(code))
	_, ok = iso8583.FindTLV(m.AppendField(nil, 55), 0x91)
	require.True(t, ok)
}

func TestSignOnAndEchoAreAnswered(t *testing.T) {
	_, l := startNetwork(t, DefaultRules(), NewLedger(nil))
	l.send(0x0800, "", 0, nil)
	l.want(0x0810, "00")
	l.send(0x0820, "", 0, nil)
	l.want(0x0830, "00")
}

func TestMessagesThatTheNetworkCannotServe(t *testing.T) {
	_, l := startNetwork(t, DefaultRules(), NewLedger(nil))
	l.send(0x0500, "", 0, nil)
	l.want(0x0510, "40")
	l.send(0x0200, "", 0, nil)
	l.want(0x0210, "30")
}

func TestPartialApprovalChargesHalf(t *testing.T) {
	ledger := NewLedger(nil)
	_, l := startNetwork(t, DefaultRules(), ledger)
	l.send(0x0200, "516900000001", 10011, nil)
	m := l.want(0x0210, "10")
	require.Equal(t, "000000005006", value(m, 4))
	l.send(0x0400, "516900000001", 5006, func(b *iso8583.Builder) { b.SetString(39, "06") })
	l.want(0x0410, "00")
	require.Zero(t, ledger.Summary().OpenCharges)
}

func TestLostAnswerLeavesAChargeThatAReversalReturnsOnce(t *testing.T) {
	ledger := NewLedger(nil)
	_, l := startNetwork(t, DefaultRules(), ledger)
	l.send(0x0200, "516900000001", 10022, nil)
	for range 2 {
		l.send(0x0400, "516900000001", 10022, func(b *iso8583.Builder) { b.SetString(39, "98") })
		l.want(0x0410, "00")
	}
	require.Equal(t, Summary{Charges: 1, ChargedFen: 10022, Returns: 1, ReturnedFen: 10022}, ledger.Summary())
}

func TestLostRequestIsNeverCharged(t *testing.T) {
	ledger := NewLedger(nil)
	_, l := startNetwork(t, DefaultRules(), ledger)
	l.send(0x0200, "516900000001", 10021, nil)
	l.send(0x0400, "516900000001", 10021, nil)
	l.want(0x0410, "25")
	require.Equal(t, Summary{Tombstones: 1}, ledger.Summary())
}

func TestReversalIsAnsweredAtItsSecondAttempt(t *testing.T) {
	for ending, first := range map[uint64]string{31: "96", 32: "", 33: ""} {
		ledger := NewLedger(nil)
		_, l := startNetwork(t, DefaultRules(), ledger)
		amount := 10000 + ending
		l.send(0x0200, "516900000001", amount, nil)
		l.send(0x0400, "516900000001", amount, nil)
		if first != "" {
			l.want(0x0410, first)
		}
		l.send(0x0400, "516900000001", amount, nil)
		l.want(0x0410, "00")
		require.Equal(t, money.Amount(amount), ledger.Summary().ReturnedFen)
	}
}

func TestAnswersComeTwiceOrLate(t *testing.T) {
	rules := DefaultRules()
	rules.LateBy = 10 * time.Millisecond
	_, l := startNetwork(t, rules, NewLedger(nil))
	l.send(0x0200, "516900000001", 10024, nil)
	l.want(0x0210, "00")
	l.want(0x0210, "00")
	l.send(0x0200, "516900000002", 10023, nil)
	l.want(0x0210, "00")
}

func TestDisconnectsAfterTheCharge(t *testing.T) {
	for _, amount := range []uint64{10026, 10027} {
		ledger := NewLedger(nil)
		_, l := startNetwork(t, DefaultRules(), ledger)
		l.send(0x0200, "516900000001", amount, nil)
		_, err := l.next()
		require.True(t, errors.Is(err, io.EOF), "%v", err)
		require.Equal(t, 1, ledger.Summary().OpenCharges)
	}
}

func TestUnfriendlyNetworkNeverChargesOrReturnsTwice(t *testing.T) {
	rules := DefaultRules()
	rules.Unfriendly, rules.LateBy, rules.SlowBy = 0.5, time.Millisecond, time.Millisecond
	rules.Acts = []Act{"decline 51", Partial, LoseRequest, LoseAnswer, Late, Slow, Twice}
	ledger := NewLedger(nil)
	_, l := startNetwork(t, rules, ledger)
	const sales = 200
	for n := range sales {
		rrn := string(iso8583.AppendDigits(nil, uint64(n), 12))
		l.send(0x0200, rrn, 10000, nil)
		for range 3 { // as often as it takes for every reversal to be answered
			l.send(0x0400, rrn, 10000, func(b *iso8583.Builder) { b.SetString(39, "98") })
		}
	}
	l.send(0x0820, "", 0, nil)
	for {
		m, err := l.next()
		require.NoError(t, err)
		if m.MTI() == 0x0830 {
			break
		}
	}
	s := ledger.Summary()
	require.Zero(t, s.OpenCharges)
	require.Zero(t, s.Overtaken+s.Repeats)
	require.Equal(t, s.Charges, s.Returns)
	require.Equal(t, s.ChargedFen, s.ReturnedFen)
	require.Equal(t, sales, s.Charges+s.Declines+s.Tombstones)
}

func TestGarbageEndsOneConnectionOnly(t *testing.T) {
	_, l := startNetwork(t, DefaultRules(), NewLedger(nil))
	other := &link{t: t, codec: l.codec}
	other.dial(l.nc.RemoteAddr().String())
	_, err := l.nc.Write([]byte{0xff, 0xff, 0xff})
	require.NoError(t, err)
	_, err = l.next()
	require.ErrorIs(t, err, io.EOF)
	other.send(0x0820, "", 0, nil)
	other.want(0x0830, "00")
}

func TestChargeThatCannotBeBookedIsNotAnswered(t *testing.T) {
	_, l := startNetwork(t, DefaultRules(), NewLedger(brokenDisk{}))
	l.send(0x0200, "516900000001", 10000, nil)
	_, err := l.next()
	require.ErrorIs(t, err, io.EOF)
}

func FuzzParseRules(f *testing.F) {
	f.Add("endings: {\"07\": decline 05}\nunfriendly: 0.25\nlate-by: 3s\n")
	f.Add("acts: [twice, partial]\nseed: 9")
	f.Add("endings: {\"45\": void late}\nacts: [refund decline 05, reverse-mute]\nunfriendly: 1")
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := ParseRules([]byte(text))
		if err == nil {
			for _, of := range []Type{TypeSale, TypeVoid, TypeRefund, TypeInquiry} {
				rules.Request(of, "1", 12345)
				rules.Reversal(of, "1", 12345, 1)
			}
		}
	})
}

func FuzzReadLedger(f *testing.F) {
	f.Add(`{"seq":1,"at":"","kind":"charge","rrn":"1","stan":"","amount_fen":5,"response":"00"}` + "\n")
	f.Add(`{"seq":1,"at":"","kind":"tombstone","rrn":"1","stan":"","amount_fen":0,"response":"25"}` + "\n{")
	var after bytes.Buffer
	d := &desk{f, NewLedger(&after)}
	d.sell(TypeSale, "s", 500)
	d.give(TypeVoid, "v", 500, nil)
	d.reverse("v", 500)
	d.give(TypeRefund, "r", 200, nil)
	f.Add(after.String())
	after.Reset()
	d = &desk{f, NewLedger(&after)}
	d.sell(TypePreauth, "p", 500)
	d.sell(TypeCompletion, "c", 400)
	d.give(TypeCompletionVoid, "cv", 400, nil)
	d.give(TypePreauthVoid, "pv", 500, nil)
	d.reverse("pv", 500)
	f.Add(after.String())
	f.Fuzz(func(t *testing.T, text string) {
		ledger, err := ReadLedger(bytes.NewReader([]byte(text)))
		if err == nil {
			s := ledger.Summary()
			require.Equal(t, s.OpenCharges, len(ledger.Open()))
			require.Equal(t, s.Returns, len(ledger.Returned()))
			for _, entry := range ledger.Open() {
				require.LessOrEqual(t, entry.Net, entry.Line.Amount)
			}
		}
	})
}
