package host

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"huanxin/switch/engine"
	"huanxin/switch/iso8583"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/mac"
	"huanxin/switch/wire"
)

// fakeModule holds keys in the clear and knows the three things that a link asks of a module.
type fakeModule struct {
	hsm.Module
	translated []hsm.PIN // from, to, from, to …
}

type fakeKey struct {
	info  hsm.Info
	clear []byte
}

func (k fakeKey) Info() hsm.Info { return k.info }
func (k fakeKey) Release()       {}

var primitives = map[hsm.MACAlgorithm]mac.Algorithm{hsm.TDESCBC: mac.TDESCBC, hsm.SM4CBC: mac.SM4CBC, hsm.CUPECB: mac.CUPECB}

func (m *fakeModule) MAC(dst []byte, k hsm.Key, a hsm.MACAlgorithm, data []byte) ([]byte, error) {
	key, err := mac.New(mac.Config{Algorithm: primitives[a]}, k.(fakeKey).clear)
	if err != nil {
		return dst, err
	}
	return key.Append(dst, data), nil
}

func (m *fakeModule) Verify(k hsm.Key, a hsm.MACAlgorithm, data, code []byte) error {
	want, err := m.MAC(nil, k, a, data)
	if err == nil && string(want[:len(code)]) != string(code) {
		err = hsm.ErrMAC
	}
	return err
}

func (m *fakeModule) TranslatePIN(dst []byte, from, to hsm.PIN, block []byte) ([]byte, error) {
	m.translated = append(m.translated, from, to)
	return append(dst, "translat"...), nil
}

// fakeKeys are labels with their keys, the one in use first.
type fakeKeys map[string][]fakeKey

func (f fakeKeys) Find(label string) (hsm.Key, bool) {
	if len(f[label]) == 0 {
		return nil, false
	}
	return f[label][0], true
}

func (f fakeKeys) Former(label string) (former []hsm.Key) {
	for _, k := range f[label][1:] {
		former = append(former, k)
	}
	return former
}

// zak is a key for MACs whose bytes all differ by n.
func zak(a hsm.Algorithm, n byte) fakeKey {
	clear := make([]byte, 16)
	for i := range clear {
		clear[i] = byte(i)*2 + 1 ^ n<<4
	}
	return fakeKey{hsm.Info{Purpose: hsm.ZAK, Algorithm: a, Length: 16}, clear}
}

type fakePINs map[engine.Token][]byte

func (p fakePINs) PIN(token engine.Token) []byte { return p[token] }

// codeOf is the MAC of a frame's message, as the network makes it: over everything before the last 8 bytes.
func codeOf(t *testing.T, message []byte, a hsm.MACAlgorithm, k fakeKey) []byte {
	t.Helper()
	code, err := new(fakeModule).MAC(nil, k, a, message[:len(message)-macSize])
	require.NoError(t, err)
	return code[:macSize]
}

// signed puts the MAC of a key into an answer whose last field is a MAC of zeros.
func (p *peer) signed(frame []byte, a hsm.MACAlgorithm, k fakeKey) []byte {
	got, _, err := p.f.framing.Next(frame, 8192)
	require.NoError(p.f.t, err)
	code, err := new(fakeModule).MAC(nil, k, a, got.Message[:len(got.Message)-macSize])
	require.NoError(p.f.t, err)
	return append(frame[:len(frame)-macSize:len(frame)-macSize], code[:macSize]...)
}

func withZeroMAC(field int) func(*iso8583.Builder) {
	return func(b *iso8583.Builder) { b.Set(field, make([]byte, macSize)) }
}

func TestRequestsAndReversalsCarryTheMACOfTheirBytes(t *testing.T) {
	for _, c := range []struct {
		name, dialect string
		framing       wire.Framing
		mac           hsm.MACAlgorithm
		key           hsm.Algorithm
		ofReversal    int // field; DE90 needs the second bitmap
	}{
		{"cup, 3DES", "cup", wire.CUP, hsm.TDESCBC, hsm.TDES, 64},
		{"cup, SM4: the left half of the code", "cup", wire.CUP, hsm.SM4CBC, hsm.SM4, 64},
		{"iso87b, 3DES", "iso87b", wire.NAC, hsm.TDESCBC, hsm.TDES, 128},
	} {
		t.Run(c.name, func(t *testing.T) {
			key := zak(c.key, 1)
			r, p := connectedWith(t, c.dialect, c.framing, func(cfg *Config, d *Deps) {
				cfg.MAC = &MAC{Algorithm: c.mac}
				d.Module, d.Keys = &fakeModule{}, fakeKeys{"host/unionpay/zak": {key}}
			})
			r.send(r.sale(7))
			got := p.next()
			require.Equal(t, codeOf(t, got.Bytes(), c.mac, key), got.AppendField(nil, 64))
			p.write(p.signed(p.frame(got, "00", withZeroMAC(64)), c.mac, key))
			require.Equal(t, "00", r.server.answered().Answer.Response)

			repeated := r.reversal(7)
			repeated.Attempt = 2
			for _, req := range []*engine.HostRequest{r.reversal(7), repeated} {
				r.send(req)
				got = p.next()
				require.Equal(t, codeOf(t, got.Bytes(), c.mac, key), got.AppendField(nil, c.ofReversal))
			}
			p.write(p.signed(p.frame(got, "00", withZeroMAC(64)), c.mac, key))
			require.Equal(t, engine.HostReversal, r.server.answered().Kind)
		})
	}
}

// A wrong MAC makes an answer none: it is not submitted, its request stays open, and the engine's time-out leads to the reversal.
func TestAnswerWithoutAGoodMACIsNone(t *testing.T) {
	now, former, foreign := zak(hsm.TDES, 1), zak(hsm.TDES, 2), zak(hsm.TDES, 3)
	r, p := connectedWith(t, "cup", wire.CUP, func(cfg *Config, d *Deps) {
		cfg.MAC = &MAC{Algorithm: hsm.TDESCBC, Key: "host/unionpay/zak"}
		d.Module, d.Keys = &fakeModule{}, fakeKeys{"host/unionpay/zak": {now, former}}
	})
	r.send(r.sale(7))
	m := p.next()
	good := p.signed(p.frame(m, "00", withZeroMAC(64)), hsm.TDESCBC, now)
	dropped := 0
	drop := func(frame []byte) {
		p.write(frame)
		dropped++
	}
	drop(p.frame(m, "00", nil))
	drop(p.frame(m, "00", withZeroMAC(64)))
	drop(p.signed(p.frame(m, "00", withZeroMAC(64)), hsm.TDESCBC, foreign))
	head := len(good) - len(mustMessage(t, good))
	for at := head; at < len(good); at++ { // every bit of it counts
		flipped := append([]byte(nil), good...)
		flipped[at] ^= 1 << (at % 8)
		if sound(t, p.f.codec, flipped[head:]) {
			drop(flipped)
		}
	}
	require.Greater(t, dropped, 40)
	require.Eventually(t, func() bool { return counted(t, r.metrics.unproved.WithLabelValues("unionpay")) == float64(dropped) }, patience, time.Millisecond)
	require.Empty(t, r.server.bodies)

	p.write(good)
	require.Equal(t, "00", r.server.answered().Answer.Response, "the good one is in time: the bad ones were none")
	require.Equal(t, 1.0, counted(t, r.metrics.answers.WithLabelValues("unionpay", "sale", "in_time")))

	r.send(r.sale(8))
	p.write(p.signed(p.frame(p.next(), "51", withZeroMAC(64)), hsm.TDESCBC, former))
	require.Equal(t, "51", r.server.answered().Answer.Response, "the network has not changed its key yet")
}

func mustMessage(t *testing.T, frame []byte) []byte {
	t.Helper()
	got, _, err := wire.CUP.Next(frame, 8192)
	require.NoError(t, err)
	return got.Message
}

// sound tells whether a message is an answer that would be taken but for its MAC.
func sound(t *testing.T, codec *iso8583.Codec, raw []byte) bool {
	t.Helper()
	var m iso8583.Message
	if codec.Parse(raw, &m) != nil {
		return false
	}
	switch m.MTI() {
	case mtiFinancialAnswer, mtiPreauthAnswer, mtiRefundAnswer, mtiReversalAnswer, mtiRepeatAnswer, mtiAdviceAnswer:
		return true
	}
	return false
}

func TestFieldBehindTheMACIsNotUnderIt(t *testing.T) {
	key := zak(hsm.TDES, 1)
	r, p := connectedWith(t, "iso87b", wire.NAC, func(cfg *Config, d *Deps) {
		cfg.MAC = &MAC{Algorithm: hsm.TDESCBC}
		d.Module, d.Keys = &fakeModule{}, fakeKeys{"host/unionpay/zak": {key}}
	})
	r.send(r.sale(7))
	m := p.next()
	frame := p.frame(m, "00", func(b *iso8583.Builder) {
		b.Set(64, make([]byte, macSize))
		b.SetString(70, "001")
	})
	message := frame[7:] // length and TPDU
	var parsed iso8583.Message
	require.NoError(t, p.f.codec.Parse(message, &parsed))
	code, err := new(fakeModule).MAC(nil, key, hsm.TDESCBC, parsed.RawUpTo(64))
	require.NoError(t, err)
	copy(parsed.Raw(64), code[:macSize])
	p.write(frame)
	require.Eventually(t, func() bool { return counted(t, r.metrics.unproved.WithLabelValues("unionpay")) == 1 }, patience, time.Millisecond)
	require.Empty(t, r.server.bodies)
}

func TestPINGoesUnderTheHostsKeyOnly(t *testing.T) {
	zpk := fakeKey{info: hsm.Info{Purpose: hsm.ZPK, Algorithm: hsm.TDES, Length: 16}}
	pins := fakePINs{7: []byte("forhost1")}
	r, p := connectedWith(t, "cup", wire.CUP, func(cfg *Config, d *Deps) {
		cfg.PIN = &PIN{Format: hsm.ISO0}
		d.Module, d.Keys, d.PINs = &fakeModule{}, fakeKeys{"host/unionpay/zpk": {zpk}}, pins
	})
	withPIN := map[int]string{26: "12", 52: "terminal", 53: "2300000000000000"}
	r.send(r.request(engine.HostSale, 7, 0x0200, withPIN))
	got := p.next()
	require.Equal(t, []string{"forhost1", "2600000000000000", "06"}, []string{fieldOf(got, 52), fieldOf(got, 53), fieldOf(got, 26)})

	r.send(r.request(engine.HostSale, 8, 0x0200, withPIN))
	require.Equal(t, uint64(8), r.server.unsent().Purchase, "the terminal's own block never leaves")
	r.send(r.request(engine.HostSale, 9, 0x0200, map[int]string{53: "0600000000000000"}))
	got = p.next()
	require.False(t, got.Has(52))
	require.Equal(t, "0600000000000000", fieldOf(got, 53))

	plain, _ := connected(t, "cup", wire.CUP, nil)
	plain.send(plain.request(engine.HostSale, 8, 0x0200, withPIN))
	require.Equal(t, uint64(8), plain.server.unsent().Purchase, "this host takes no PIN")
}

func TestTranslatorKnowsFormatAndKeyOfEachHost(t *testing.T) {
	zpk := fakeKey{info: hsm.Info{Purpose: hsm.ZPK, Algorithm: hsm.TDES, Length: 16}}
	module := &fakeModule{}
	profiles := []Config{{Name: "unionpay", PIN: &PIN{Format: hsm.ISO3}}, {Name: "other"}}
	tr := NewTranslator(profiles, module, fakeKeys{"host/unionpay/zpk": {zpk}})
	from := hsm.PIN{Format: hsm.ISO0, PAN: []byte("6224240000000017")}
	out, err := tr.TranslatePIN([]byte("x"), "unionpay", from, []byte("terminal"))
	require.NoError(t, err)
	require.Equal(t, "xtranslat", string(out))
	require.Equal(t, hsm.PIN{Key: zpk, Format: hsm.ISO3, PAN: from.PAN}, module.translated[1])
	for _, host := range []string{"other", "nobody"} {
		_, err = tr.TranslatePIN(nil, host, from, nil)
		require.ErrorIs(t, err, ErrNoPIN)
	}
}

func TestProfileWithKeysThatCannotServeIsRefused(t *testing.T) {
	tdes, sm4 := zak(hsm.TDES, 1), zak(hsm.SM4, 1)
	zpk := fakeKey{info: hsm.Info{Purpose: hsm.ZPK, Algorithm: hsm.TDES, Length: 16}}
	aes := fakeKey{info: hsm.Info{Purpose: hsm.ZPK, Algorithm: hsm.AES, Length: 32}}
	metrics, err := NewMetrics(prometheus.NewRegistry())
	require.NoError(t, err)
	for want, c := range map[string]struct {
		mac  *MAC
		pin  *PIN
		keys Keys
	}{
		"no key store":            {mac: &MAC{Algorithm: hsm.TDESCBC}},
		"makes no 3des-cbc":       {mac: &MAC{Algorithm: hsm.TDESCBC}, keys: fakeKeys{"host/unionpay/zak": {sm4}}},
		"a ZPK does not MAC":      {mac: &MAC{Algorithm: hsm.TDESCBC, Key: "k"}, keys: fakeKeys{"k": {zpk}}},
		"a ZAK does not encipher": {pin: &PIN{Format: hsm.ISO0, Key: "k"}, keys: fakeKeys{"k": {tdes}}},
		"bare is not one":         {pin: &PIN{Format: hsm.Bare}, keys: fakeKeys{"host/unionpay/zpk": {zpk}}},
		"iso-4 is not one under":  {pin: &PIN{Format: hsm.ISO4}, keys: fakeKeys{"host/unionpay/zpk": {zpk}}},
		"no field 52 of 16 bytes": {pin: &PIN{Format: hsm.ISO4}, keys: fakeKeys{"host/unionpay/zpk": {aes}}},
	} {
		var module hsm.Module
		if c.keys != nil {
			module = &fakeModule{}
		}
		_, err := New([]Config{{Name: "unionpay", Addresses: []string{"127.0.0.1:1"}, Framing: wire.ASCII4, Codec: codecOf(t, "cup"), MAC: c.mac, PIN: c.pin}},
			Deps{Module: module, Keys: c.keys, Metrics: metrics})
		require.ErrorIs(t, err, ErrConfig, want)
		require.ErrorContains(t, err, want)
	}
	_, err = newSeal(&Config{Name: "x", Codec: codecOf(t, "iso87a"), MAC: &MAC{Algorithm: hsm.TDESCBC, Key: "k"}}, &fakeModule{}, fakeKeys{"k": {tdes}})
	require.NoError(t, err)
}

func TestKeyThatIsNotThereYetHoldsRequestsBackUntilItComes(t *testing.T) {
	keys := fakeKeys{}
	r, p := connectedWith(t, "cup", wire.CUP, func(cfg *Config, d *Deps) {
		cfg.MAC = &MAC{Algorithm: hsm.TDESCBC}
		d.Module, d.Keys = &fakeModule{}, keys
	})
	r.send(r.sale(7))
	require.Equal(t, uint64(7), r.server.unsent().Purchase)
	key := zak(hsm.TDES, 1)
	keys["host/unionpay/zak"] = []fakeKey{key}
	r.send(r.sale(8))
	p.write(p.signed(p.frame(p.next(), "00", withZeroMAC(64)), hsm.TDESCBC, key))
	require.Equal(t, "00", r.server.answered().Answer.Response)
}
