package main

import (
	"bytes"
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"huanxin/config"
	"huanxin/config/dialects"
	"huanxin/internal/simulator/till"
	"huanxin/subsidy"
	"huanxin/switch/engine"
	"huanxin/switch/iso8583"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/store"
	"huanxin/switch/terminal/terminaltest"
)

// keyedSwitch makes the keys of a switch with secured listeners, which the tills of the test know the master keys of.
func keyedSwitch(t *testing.T, dir, network string) (*config.Config, map[string][]byte) {
	t.Helper()
	runOnce(t, testConfig(t, dir, network, "HUANXIN_DATABASE_ENABLED=false"))
	cfg := testConfig(t, dir, network, "HUANXIN_DATABASE_ENABLED=false", "HUANXIN_HOSTS_UNIONPAY_PIN=iso-0")
	keys, err := store.Open(keyStore(cfg))
	require.NoError(t, err)
	masters := map[string][]byte{"secure": bytes.Repeat([]byte{0x12, 0x97}, 8), "sm": bytes.Repeat([]byte{0x31, 0x5A}, 8)}
	copy(masters["secure"], "\x43\x8A\x10\xCE\x51\x29\x0B\x67")
	require.NoError(t, keys.Edit(store.Authority{By: "test", Reason: "test"}, func(e *store.Edit) error {
		for _, k := range []struct {
			label     string
			algorithm hsm.Algorithm
			clear     []byte
		}{{"tmk/group/demo", hsm.TDES, masters["secure"]}, {"tmk/group/demo-sm4", hsm.SM4, masters["sm"]}} {
			other := bytes.Repeat([]byte{0x77}, len(k.clear))
			one := make([]byte, len(k.clear))
			for i := range one {
				one[i] = k.clear[i] ^ other[i]
			}
			if _, err := e.Form(store.Wanted{Label: k.label, Algorithm: k.algorithm, Length: len(k.clear)}, one, other); err != nil {
				return err
			}
		}
		_, err := e.Generate(store.Wanted{Label: "host/unionpay/zpk", Algorithm: hsm.TDES, Length: 16})
		return err
	}))
	return cfg, masters
}

func (s *testSwitch) till(t *testing.T, listener string, master []byte) *terminaltest.Till {
	t.Helper()
	spec, _, err := dialects.Load("", s.cfg.Listeners[listener].Dialect)
	require.NoError(t, err)
	codec, err := iso8583.Compile(spec)
	require.NoError(t, err)
	k := &terminaltest.Till{T: t, Codec: codec, Cipher: s.cfg.Listeners[listener].Keys.Cipher, Master: master}
	s.connect(t, k, listener)
	return k
}

func (s *testSwitch) connect(t *testing.T, k *terminaltest.Till, listener string) {
	t.Helper()
	c, err := net.Dial("tcp", s.front.Addr(listener).String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	k.Conn = c
}

// spent is what the programme's budget has spent and holds.
func (s *testSwitch) spent(t *testing.T) string {
	t.Helper()
	reply, err := s.ask(t.Context(), "budget", func(token engine.Token) any { return &engine.Look{Token: token, What: engine.LookBudget{}} })
	require.NoError(t, err)
	root := reply.Result.([]subsidy.NodeView)[0]
	return root.Spent.String() + " " + root.Held.String()
}

// message is one of the test's terminal.
func message(mti, use string, stan int, more map[int]string) map[int]string {
	return terminaltest.With(map[int]string{
		0: mti, 11: strconv.Itoa(1000000 + stan)[1:], 41: testTerminal, 42: testMerchant, 60: use,
	}, more)
}

func tag(name, value string) string { return name + strconv.Itoa(1000 + len(value))[1:] + value }

// tagOf is the value of a tag of DE59.
func tagOf(t *testing.T, answer map[int]string, name string) string {
	t.Helper()
	value, ok := iso8583.FindTag59([]byte(answer[59]), name)
	require.True(t, ok, "%s in %s", name, answer[59])
	return string(value)
}

const testPAN = "6224240000000017"

func TestATerminalSellsWithMACAndPINUnderEachCipher(t *testing.T) {
	network, ledger := startNetwork(t)
	dir := t.TempDir()
	cfg, masters := keyedSwitch(t, dir, network)
	sw := startSwitch(t, cfg)
	sw.ready(t, everythingReady)

	for i, listener := range []string{"secure", "sm"} {
		code, control := "003", "2600000000000000"
		if listener == "sm" {
			code, control = "005", "2300000000000000"
		}
		stan := 100 * (i + 1)
		next := func() int { stan++; return stan }
		signOn := message("0800", "00000001"+code, next(), nil)
		k := sw.till(t, listener, masters[listener])

		// Before it has keys, nothing is taken.
		payment := func(amount string, more map[int]string) map[int]string {
			return message("0200", "22000001000501", next(), terminaltest.With(map[int]string{
				2: testPAN, 3: "000000", 4: amount, 14: "3012", 22: "021", 25: "00", 26: "06", 49: "156",
			}, more))
		}
		require.Equal(t, "A0", k.AskRaw(k.Encode(payment("000000010000", nil)))[39])
		require.Equal(t, "00", k.SignOn(signOn, 16, 4, 16)[39])

		// Reserve and pay, with MAC and PIN.
		api := sw.api(t)
		person := till.NewPerson(uint64(i + 1))
		claim, err := api.Claim(t.Context(), "key-"+listener, person, "A01", "210100", "store")
		require.NoError(t, err)
		shown, err := api.ShowCode(t.Context(), claim.Entitlement, person, &till.Position{CRS: "WGS84", Lon: 123.4294, Lat: 41.7964, AgeSeconds: 1})
		require.NoError(t, err)
		hold := k.Ask(message("0100", "96000001000", next(), map[int]string{
			3: "390000", 4: "000000599900", 22: "012", 25: "00", 49: "156",
			59: tag("S1", shown.Code) + tag("S2", "6901234567892") + tag("S3", till.NewSerial(uint64(i+1))),
		}))
		require.Equal(t, "00", hold[39], hold[59])
		require.NotEmpty(t, hold[64])
		sale := payment(tagOf(t, hold, "S9"), map[int]string{
			52: k.PINBlock("123456", testPAN), 53: control, 59: tag("S7", tagOf(t, hold, "S7")),
		})

		// One flipped bit of the sale changes nothing, here nor at the network.
		good := k.Message(sale)
		bad := bytes.Clone(good)
		bad[len(bad)/2] ^= 1
		position, spent, charges := sw.journal.Position(), sw.spent(t), ledger.Summary().Charges
		flipped := *k
		sw.connect(t, &flipped, listener)
		answer := flipped.AskRaw(bad)
		require.Equal(t, "A0", answer[39])
		require.Empty(t, answer[64])
		require.Equal(t, position, sw.journal.Position())
		require.Equal(t, spent, sw.spent(t))
		require.Equal(t, charges, ledger.Summary().Charges)

		k.SendRaw(good)
		paid := k.Decode(k.ReceiveRaw())
		require.Equal(t, "00", paid[39], paid[59])
		require.NotEmpty(t, paid[64])
		require.Equal(t, charges+1, ledger.Summary().Charges)
		require.NotEqual(t, spent, sw.spent(t))

		// A block that is no PIN under the terminal's key, or over another card.
		position = sw.journal.Position()
		other := payment("000000010000", map[int]string{52: k.PINBlock("123456", "6224240000000025"), 53: control})
		require.Equal(t, "99", k.Ask(other)[39])
		require.Equal(t, position, sw.journal.Position())

		// A restart: the keys are as good as before.
		sw.end(t)
		sw = startSwitch(t, cfg)
		sw.ready(t, everythingReady)
		sw.connect(t, k, listener)
		require.Equal(t, paid[37], k.AskRaw(good)[37], "the resend gets the original answer")
		require.Equal(t, "00", k.Ask(payment("000000010000", nil))[39])

		// A sign-on whose answer is lost, and a restart upon it: the old keys, and then the new ones.
		lost := *k
		sw.connect(t, &lost, listener)
		lost.SendRaw(lost.Encode(signOn))
		lost.ReceiveRaw() // and it does not look at it
		sw.end(t)
		sw = startSwitch(t, cfg)
		sw.ready(t, everythingReady)
		sw.connect(t, k, listener)
		require.Equal(t, "00", k.Ask(payment("000000010000", nil))[39])
		renewed := *k
		require.Equal(t, "00", renewed.SignOn(signOn, 16, 4, 16)[39])
		require.NotEqual(t, k.MAC, renewed.MAC)
		require.Equal(t, "00", renewed.Ask(payment("000000010000", map[int]string{52: renewed.PINBlock("1234", testPAN), 53: control}))[39])
		require.Equal(t, "00", k.Ask(payment("000000010000", nil))[39], "the keys before are accepted for a while")
	}
	sw.end(t)
}

func TestASecuredListenerIsCheckedAtTheStart(t *testing.T) {
	cfg := testConfig(t, t.TempDir(), "127.0.0.1:1", "HUANXIN_DATABASE_ENABLED=false", "HUANXIN_LISTENERS_SECURE_KEYS_MAC=sm4-cbc")
	_, err := newSwitch(t.Context(), cfg, "", zap.NewNop())
	require.ErrorContains(t, err, "port secure: Line: a 3des key of 16 bytes makes no sm4-cbc")
	cfg = testConfig(t, t.TempDir(), "127.0.0.1:1", "HUANXIN_DATABASE_ENABLED=false", "HUANXIN_LISTENERS_SECURE_KEYS_MAC=none")
	_, err = newSwitch(t.Context(), cfg, "", zap.NewNop())
	require.ErrorContains(t, err, "listeners.secure.keys.mac: ")
}
