package till

import (
	"encoding/hex"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/internal/simulator/secret"
	"huanxin/switch/iso8583"
	"huanxin/switch/keys/mac"
	"huanxin/switch/wire"
)

// The vector of pos-dialect §5: what a sign-on delivers under the master key, and the MAC key in it.
const (
	vectorMaster  = "CA5D92598DCA48CE8A4C76361A9269E9"
	vectorField62 = "6701EAD6A9AD51E51AA406E2C27FCFA98D0A74B8B651F9E9BACE9AE10000000000000000AB7153CA"
	vectorMAK     = "5BB5C72CD00B7338"
)

// keyedPeer is a switch of which the test writes every byte.
type keyedPeer struct {
	t     *testing.T
	codec *iso8583.Codec
	nc    net.Conn
	in    []byte
	mac   *mac.Key
}

// keyedLine is a till with a pin pad, and the switch that it is connected to.
func keyedLine(t *testing.T) (*Line, *keyedPeer) {
	t.Helper()
	key := func(digits string) []byte {
		raw, err := hex.DecodeString(digits)
		require.NoError(t, err)
		return raw
	}
	book := &secret.Book{Terminals: map[string]secret.Terminal{"21010001": {Cipher: "3des", Master: key(vectorMaster), Serial: "T1"}}}
	require.NoError(t, book.Write(filepath.Join(t.TempDir(), "keys")))
	pads, err := book.Pinpads()
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	p := &keyedPeer{t: t, codec: cupCodec(t)}
	line, err := DialLine(t.Context(), LineConfig{
		Address: listener.Addr().String(), Framing: wire.CUP, Codec: p.codec, Pinpads: pads, Timeout: time.Minute,
	})
	require.NoError(t, err)
	p.nc, err = listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { line.Close(); p.nc.Close() })
	p.mac, err = mac.New(mac.Config{Algorithm: mac.CUPECB}, key(vectorMAK))
	require.NoError(t, err)
	return line, p
}

// next is the next message of the till.
func (p *keyedPeer) next() *iso8583.Message {
	p.t.Helper()
	for {
		frame, n, err := wire.CUP.Next(p.in, 8192)
		require.NoError(p.t, err)
		if n > 0 {
			m := new(iso8583.Message)
			require.NoError(p.t, p.codec.Parse(frame.Message, m))
			m.Keep(nil)
			p.in = append([]byte(nil), p.in[n:]...)
			return m
		}
		chunk := make([]byte, 4096)
		n, err = p.nc.Read(chunk)
		require.NoError(p.t, err)
		p.in = append(p.in, chunk[:n]...)
	}
}

// answer is the body of an answer to m, without a MAC.
func (p *keyedPeer) answer(m *iso8583.Message, response string, change func(*iso8583.Builder)) []byte {
	p.t.Helper()
	var b iso8583.Builder
	b.Reset(p.codec, m.MTI().Response())
	for _, n := range []int{3, 4, 11, 41, 42, 60} {
		b.Copy(m, n)
	}
	b.SetString(39, response)
	if change != nil {
		change(&b)
	}
	body, err := b.Append(nil)
	require.NoError(p.t, err)
	return body
}

// sealed is an answer with its MAC.
func (p *keyedPeer) sealed(m *iso8583.Message, response string) []byte {
	p.t.Helper()
	body := p.answer(m, response, func(b *iso8583.Builder) { b.Set(macField, make([]byte, secret.MACSize)) })
	covered := body[:len(body)-p.codec.WireSize(macField)]
	body, err := p.codec.AppendValue(covered, macField, p.mac.Append(nil, covered)[:secret.MACSize])
	require.NoError(p.t, err)
	return body
}

func (p *keyedPeer) write(body []byte) {
	p.t.Helper()
	frame, err := wire.CUP.AppendFrame(nil, []byte{0x60, 0, 0, 0, 3}, []byte{0x60, 0x31, 0, 0x31, 1, 0}, body)
	require.NoError(p.t, err)
	_, err = p.nc.Write(frame)
	require.NoError(p.t, err)
}

// told has the till ask and the switch answer.
func told(t *testing.T, line *Line, p *keyedPeer, r Request, answer func(*iso8583.Message) []byte) (*Answer, error) {
	t.Helper()
	type end struct {
		answer *Answer
		err    error
	}
	ended := make(chan end, 1)
	go func() {
		a, err := line.Ask(t.Context(), &r)
		ended <- end{a, err}
	}()
	p.write(answer(p.next()))
	e := <-ended
	return e.answer, e.err
}

func keyedRequest(mti iso8583.MTI, stan uint32) Request {
	return Request{MTI: mti, Terminal: "21010001", Merchant: "898210157220001", Batch: 1, STAN: stan}
}

func signedOn(t *testing.T, line *Line, p *keyedPeer) {
	t.Helper()
	r := keyedRequest(0x0800, 1)
	r.Net = NetSignOn
	a, err := told(t, line, p, r, func(m *iso8583.Message) []byte {
		require.False(t, m.Has(macField), "a sign-on has no MAC")
		field62, err := hex.DecodeString(vectorField62)
		require.NoError(t, err)
		return p.answer(m, "00", func(b *iso8583.Builder) { b.Set(62, field62) })
	})
	require.NoError(t, err)
	require.Equal(t, "00", a.Response)
}

func keyedSale(stan uint32) Request {
	r := keyedRequest(0x0200, stan)
	r.Kind, r.Amount, r.Card = KindSale, 10000, &Card{PAN: "6224240000000017", Expiry: "3012"}
	return r
}

func TestTillsRequestsCarryTheMACOfTheirBytes(t *testing.T) {
	line, p := keyedLine(t)
	a, err := told(t, line, p, keyedSale(1), func(m *iso8583.Message) []byte {
		require.False(t, m.Has(macField), "before a sign-on there is no key")
		return p.answer(m, "A0", nil)
	})
	require.NoError(t, err)
	require.Equal(t, "A0", a.Response)
	signedOn(t, line, p)
	for i, flipped := range []bool{false, true} {
		r := keyedSale(uint32(2 + i))
		r.Flip = flipped
		_, err = told(t, line, p, r, func(m *iso8583.Message) []byte {
			require.True(t, m.Has(macField))
			require.Zero(t, m.Next(macField))
			require.Equal(t, !flipped, p.mac.Verify(m.RawUpTo(macField), m.AppendField(nil, macField)))
			return p.sealed(m, "00")
		})
		require.NoError(t, err)
	}
}

func TestTillBelievesOnlyAnAnswerWithItsMAC(t *testing.T) {
	line, p := keyedLine(t)
	signedOn(t, line, p)
	type make func(*iso8583.Message) []byte
	stan := uint32(10)
	ask := func(answer make) (*Answer, error) {
		stan++
		return told(t, line, p, keyedSale(stan), answer)
	}
	good := func(m *iso8583.Message) []byte { return p.sealed(m, "00") }

	a, err := ask(good)
	require.NoError(t, err)
	require.Equal(t, "00", a.Response)
	for name, bad := range map[string]make{
		"none":          func(m *iso8583.Message) []byte { return p.answer(m, "00", nil) },
		"none, in part": func(m *iso8583.Message) []byte { return p.answer(m, "10", nil) },
		"none, flawed":  func(m *iso8583.Message) []byte { return p.answer(m, "A2", nil) },
		"zeros":         func(m *iso8583.Message) []byte { b := p.sealed(m, "00"); clear(b[len(b)-secret.MACSize:]); return b },
		"wrong refusal": func(m *iso8583.Message) []byte { b := p.sealed(m, "51"); b[len(b)-1] ^= 1; return b },
		"of the request": func(m *iso8583.Message) []byte {
			return p.answer(m, "00", func(b *iso8583.Builder) { b.Copy(m, macField) })
		},
		"of another answer": func(m *iso8583.Message) []byte {
			declined, approved := p.sealed(m, "51"), p.sealed(m, "00")
			return append(approved[:len(approved)-secret.MACSize:len(approved)-secret.MACSize], declined[len(declined)-secret.MACSize:]...)
		},
	} {
		_, err = ask(bad)
		require.ErrorIs(t, err, ErrMAC, name)
	}
	for bit := range 8 * secret.MACSize {
		_, err = ask(func(m *iso8583.Message) []byte {
			b := good(m)
			b[len(b)-secret.MACSize+bit/8] ^= 1 << (bit % 8)
			return b
		})
		require.ErrorIs(t, err, ErrMAC, "bit %d", bit)
	}
	// A refusal without a MAC moves nothing: A0 never has one.
	a, err = ask(func(m *iso8583.Message) []byte { return p.answer(m, "A0", nil) })
	require.NoError(t, err)
	require.Equal(t, "A0", a.Response)
	a, err = ask(good)
	require.NoError(t, err, "the line goes on")
	require.Equal(t, "00", a.Response)
}

func TestTillLeavesASwitchThatDeliversBrokenKeys(t *testing.T) {
	line, p := keyedLine(t)
	r := keyedRequest(0x0800, 1)
	r.Net = NetSignOn
	_, err := told(t, line, p, r, func(m *iso8583.Message) []byte {
		field62, err := hex.DecodeString(vectorField62)
		require.NoError(t, err)
		field62[17] ^= 1 // of the PIN key's check value
		return p.answer(m, "00", func(b *iso8583.Builder) { b.Set(62, field62) })
	})
	require.ErrorIs(t, err, ErrLost)
	require.ErrorIs(t, err, secret.ErrKeys)
}
