package terminal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/iso8583"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/soft"
	"huanxin/switch/stage"
	"huanxin/switch/terminal/terminaltest"
	"huanxin/switch/wire"
)

// masters has the master keys of the tests: one for each cipher, of the group of that name.
type masters struct {
	groups map[string]hsm.Key
	clear  map[string][]byte
}

func (m *masters) Master(_ [8]byte, group string) (hsm.Key, error) {
	if k := m.groups[group]; k != nil {
		return k, nil
	}
	return nil, ErrNoMaster
}

func newModule(t testing.TB) (hsm.Module, *masters) {
	module, m, err := makeModule()
	require.NoError(t, err)
	return module, m
}

// makeModule makes a software module with master keys that the tills know.
func makeModule() (hsm.Module, *masters, error) {
	lmk, err := soft.GenerateLMK(soft.International, rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	module, err := soft.New(soft.Config{LMK: lmk, Rand: rand.Reader})
	if err != nil {
		return nil, nil, err
	}
	m := &masters{groups: map[string]hsm.Key{}, clear: map[string][]byte{}}
	for _, g := range []struct {
		name      string
		algorithm hsm.Algorithm
		length    int
	}{{"des", hsm.TDES, 16}, {"3des", hsm.TDES, 16}, {"long", hsm.TDES, 24}, {"sm4", hsm.SM4, 16}} {
		one, two := make([]byte, g.length), make([]byte, g.length)
		_, _ = rand.Read(one)
		_, _ = rand.Read(two)
		key, _, err := module.Form(hsm.Spec{Bind: g.name, Purpose: hsm.TMK, Algorithm: g.algorithm, Length: g.length}, one, two)
		if err != nil {
			return nil, nil, err
		}
		for i := range one {
			one[i] ^= two[i]
		}
		m.groups[g.name], m.clear[g.name] = key, one
	}
	return module, m, nil
}

// hostPINs is the agreement with a host: its PIN key is the module's.
type hostPINs struct {
	module hsm.Module
	key    hsm.Key
	format hsm.PINFormat
	fail   error
}

func (h *hostPINs) TranslatePIN(dst []byte, host string, from hsm.PIN, block []byte) ([]byte, error) {
	if host != "unionpay" {
		return dst, ErrNoPINKey
	}
	if h.fail != nil {
		return dst, h.fail
	}
	return h.module.TranslatePIN(dst, from, hsm.PIN{Key: h.key, Format: h.format, PAN: from.PAN}, block)
}

// site is a front with lines of keys before a real engine, which decides in the read loop: what a till has its answer to has
// happened. The engine and the front can be made anew from what was recorded.
type site struct {
	t       *testing.T
	module  hsm.Module
	masters *masters
	pins    *hostPINs
	lines   map[string]*Line

	mu      sync.Mutex // guards what follows
	engine  *engine.Engine
	front   *Front
	reg     *prometheus.Registry
	events  [][]byte
	now     time.Time
	blocks  []string // PIN blocks that the host was given
	lose    bool     // the next reply
	silent  bool     // the host
	serving chan error
}

func newSite(t *testing.T, lines map[string]*Line) *site {
	s := &site{t: t, lines: lines, now: at(t, "2026-03-18 10:00:00")}
	s.module, s.masters = newModule(t)
	key, _, err := s.module.Generate(hsm.Spec{Bind: "host", Purpose: hsm.ZPK, Algorithm: hsm.TDES, Length: 16})
	require.NoError(t, err)
	s.pins = &hostPINs{module: s.module, key: key, format: hsm.ISO0}
	s.open()
	s.step(&engine.ApplyProgramme{Token: 1, Files: programmeFiles(t), Actor: "test", Reason: "start"})
	s.step(registryRows(t))
	t.Cleanup(s.close)
	return s
}

// open makes an engine of what was recorded, and a front of the engine.
func (s *site) open() {
	area, err := liaoning()
	require.NoError(s.t, err)
	s.engine, err = engine.New(engine.Config{Map: area, Hosts: map[string]engine.HostProfile{"unionpay": {}}})
	require.NoError(s.t, err)
	for _, raw := range s.events {
		ev := &event.Event{}
		require.NoError(s.t, ev.UnmarshalVT(raw))
		s.engine.Apply(ev)
	}
	s.reg = prometheus.NewRegistry()
	cfg := testConfig(s.t, s.reg)
	cfg.QRHost = cfg.Host
	cfg.Now = s.clock
	cfg.Submit = func(body any, _ stage.Instant) error { s.step(body); return nil }
	cfg.Keys = &Keys{Module: s.module, Masters: s.masters, PINs: s.pins}
	cfg.Ports = nil
	for name, line := range s.lines {
		dialect := "cup"
		if line.Cipher == hsm.SM4 {
			dialect = "cup-sm4"
		}
		cfg.Ports = append(cfg.Ports, Port{
			Name: name, Address: "127.0.0.1:0", Framing: wire.CUP, Codec: loadCodec(s.t, dialect), SwapTPDU: true, Line: line,
		})
	}
	s.front, err = New(cfg)
	require.NoError(s.t, err)
	s.step(&engine.TakeOwnership{Owner: "test", Software: "test", Programme: "liaoning-2025", PersonKeyCheck: [8]byte{1}})
	out := s.engine.Step(engine.Input{At: s.now.UnixNano(), Body: &engine.Look{Token: 1, What: engine.LookKeys{}}})
	s.front.LoadKeys(out.Sends[0].Admin.Result.([]engine.TerminalKeys))
	require.NoError(s.t, s.front.Listen(context.Background()))
	s.serving = make(chan error, 1)
	front, serving := s.front, s.serving
	go func() { serving <- front.Serve() }()
}

func (s *site) close() {
	s.front.Close()
	require.NoError(s.t, <-s.serving)
}

// restart ends everything and begins anew from what was recorded.
func (s *site) restart() {
	s.close()
	s.open()
}

func (s *site) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *site) pass(d time.Duration) {
	s.mu.Lock()
	s.now = s.now.Add(d)
	s.mu.Unlock()
	s.step(&engine.Tick{})
}

func (s *site) step(body any) {
	s.mu.Lock()
	out := s.engine.Step(engine.Input{At: s.now.UnixNano(), Body: body})
	for _, ev := range out.Events {
		raw, err := ev.MarshalVT()
		require.NoError(s.t, err)
		s.events = append(s.events, raw)
	}
	sends, lose := slices.Clone(out.Sends), s.lose
	s.mu.Unlock()
	for _, send := range sends {
		switch {
		case send.Reply != nil && !lose:
			s.front.Deliver(send.Reply)
			s.front.Flush()
		case send.Host != nil:
			s.host(send.Host)
		}
	}
}

// host approves what is asked for, and notes the PIN block that the request comes with.
func (s *site) host(r *engine.HostRequest) {
	if r.Kind == engine.HostSale {
		s.mu.Lock()
		s.blocks = append(s.blocks, string(s.front.PIN(r.Token)))
		silent := s.silent
		s.mu.Unlock()
		if silent {
			return
		}
	}
	s.step(&engine.HostAnswered{Host: r.Host, Kind: r.Kind, RRN: r.RRN, STAN: r.STAN,
		TransmittedAt: engine.TransmissionTime(r.TransmittedAt), Answer: event.HostAnswer{Response: "00", ClearingDate: "0318"}})
}

// facts is how many events there are.
func (s *site) facts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.events)
}

func (s *site) last() *event.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	ev := &event.Event{}
	require.NoError(s.t, ev.UnmarshalVT(s.events[len(s.events)-1]))
	return ev
}

// till returns a terminal on a connection of its own to a line, with the master key of the line's group.
func (s *site) till(line string) *terminaltest.Till {
	k := &terminaltest.Till{T: s.t, Cipher: s.lines[line].Cipher.String(), Master: s.masters.clear[s.lines[line].Group]}
	s.connect(k, line)
	return k
}

// connect gives a till another connection.
func (s *site) connect(k *terminaltest.Till, line string) {
	for _, p := range s.front.ports {
		if p.Name == line {
			k.Codec = p.Codec
		}
	}
	c, err := net.Dial("tcp", s.front.Addr(line).String())
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = c.Close() })
	k.Conn = c
}

func (s *site) metric(name string, labels ...string) float64 {
	return (&bench{t: s.t, reg: s.reg}).metric(name, labels...)
}

// one is a site with one line of 3DES and a till that has signed on.
func one(t *testing.T, change func(*Line)) (*site, *terminaltest.Till) {
	line := &Line{Cipher: hsm.TDES, Group: "3des"}
	if change != nil {
		change(line)
	}
	s := newSite(t, map[string]*Line{"line": line})
	k := s.till("line")
	require.Equal(t, "00", k.SignOn(signOn, 16, 4, 16)[39])
	return s, k
}

var signingOff = fields{0: "0820", 11: "000021", 41: "21010001", 42: "898210157220001", 60: "00000001002"}

// paid is an ordinary sale under a STAN.
func paid(stan int) fields {
	return sale.with(fields{11: fmt.Sprintf("%06d", stan), 4: "000000012900", 55: "", 59: ""})
}

func TestASignOnDeliversKeysInEveryForm(t *testing.T) {
	des := &Line{Cipher: hsm.DES, Group: "des"}
	triple := &Line{Cipher: hsm.TDES, Group: "3des"}
	single := &Line{Cipher: hsm.TDES, MACKeyLength: 8, Group: "3des"}
	long := &Line{Cipher: hsm.TDES, KeyLength: 24, Group: "long"}
	compact := &Line{Cipher: hsm.TDES, Compact: true, Group: "3des"}
	national := &Line{Cipher: hsm.SM4, Group: "sm4"}
	for i, c := range []struct {
		line                       *Line
		code                       string
		size, place, check, forMAC int
	}{
		{des, "001", 24, 8, 4, 8},
		{triple, "003", 40, 16, 4, 16},
		{triple, "004", 60, 16, 4, 16},
		{single, "003", 40, 16, 4, 8},
		{single, "004", 60, 16, 4, 8},
		{long, "003", 56, 24, 4, 24},
		{long, "004", 84, 24, 4, 24},
		{compact, "005", 57, 16, 3, 16},
		{national, "003", 40, 16, 4, 16},
		{national, "005", 40, 16, 4, 16},
		{national, "006", 60, 16, 4, 16},
	} {
		t.Run(fmt.Sprintf("%d %s %s", i, c.line.Cipher, c.code), func(t *testing.T) {
			s := newSite(t, map[string]*Line{"line": c.line})
			k := s.till("line")
			got := k.SignOn(signOn.with(fields{60: "00000001" + c.code}), c.place, c.check, c.forMAC)
			require.Equal(t, "00", got[39])
			require.Len(t, got[62], 2*c.size)
			require.Equal(t, "00", k.Ask(paid(9))[39], "a sale under the keys")
			require.NotEmpty(t, s.blocks)
		})
	}
	for _, c := range []struct {
		line *Line
		code string
	}{{des, "003"}, {triple, "001"}, {triple, "005"}, {national, "001"}} {
		s := newSite(t, map[string]*Line{"line": c.line})
		before := s.facts()
		got := s.till("line").SignOn(signOn.with(fields{60: "00000001" + c.code}), 16, 4, 16)
		require.Equal(t, "40", got[39], "%s does not have the keys of %s", c.line.Cipher, c.code)
		require.Empty(t, got[62])
		require.Equal(t, before, s.facts())
	}
}

func TestATerminalWithoutMasterKeyGetsNone(t *testing.T) {
	s := newSite(t, map[string]*Line{"line": {Cipher: hsm.TDES, Group: "nobody"}})
	before := s.facts()
	got := s.till("line").SignOn(signOn, 16, 4, 16)
	require.Equal(t, "A7", got[39])
	require.Empty(t, got[62])
	require.Equal(t, before, s.facts())
}

func TestAFlippedBitGetsA0AndChangesNothing(t *testing.T) {
	s, k := one(t, nil)
	require.Equal(t, "00", k.Ask(paid(1))[39])
	good := k.Message(paid(2))
	before := s.facts()
	for bit := range 8 * len(good) {
		bad := slices.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		s.connect(k, "line")
		k.SendRaw(bad)
		raw := readFrame(k.Conn)
		require.Equal(t, before, s.facts(), "bit %d", bit)
		if raw == nil {
			continue // no longer a request: the connection is given up
		}
		frame, _, err := wire.CUP.Next(raw, 0)
		require.NoError(t, err)
		var got iso8583.Message
		require.NoError(t, k.Codec.Parse(frame.Message, &got))
		code := string(got.AppendField(nil, 39))
		require.Contains(t, []string{"A0", "30"}, code, "bit %d", bit) // 30: it cannot be taken apart
		require.False(t, got.Has(64), "an answer to what nobody has vouched for carries no MAC")
		require.NoError(t, k.Conn.Close())
	}
	s.connect(k, "line")
	require.Equal(t, "00", k.AskRaw(good)[39], "the message itself is as good as ever")
	require.Greater(t, s.metric("huanxin_terminal_mac_refusals_total", "wrong"), 100.0)
}

func TestAfterA0TheTerminalMustSignOnThere(t *testing.T) {
	s, k := one(t, nil)
	require.Equal(t, "00", k.Ask(paid(1))[39])
	before := s.facts()
	require.Equal(t, "A0", k.AskRaw(encode(t, k.Codec, paid(2)))[39], "no MAC")
	require.Equal(t, byte(3), k.Header[2]&0xF, "the header asks for a sign-on")
	require.Equal(t, "A0", k.Ask(paid(3))[39], "and nothing else is taken")
	require.Equal(t, before, s.facts())

	honest := *k
	s.connect(&honest, "line")
	require.Equal(t, "00", honest.Ask(paid(4))[39], "what happens on one connection does not silence the terminal on another")

	require.Equal(t, "00", k.SignOn(signOn, 16, 4, 16)[39])
	require.Equal(t, "00", k.Ask(paid(5))[39])
	require.Equal(t, byte(0), k.Header[2]&0xF)
	require.Equal(t, 1.0, s.metric("huanxin_terminal_mac_refusals_total", "missing"))
	require.Equal(t, 1.0, s.metric("huanxin_terminal_mac_refusals_total", "sign-on-due"))
}

func TestATerminalWithoutKeysIsToldToSignOn(t *testing.T) {
	s := newSite(t, map[string]*Line{"line": {Cipher: hsm.TDES, Group: "3des"}})
	k := s.till("line")
	before := s.facts()
	for _, f := range []fields{paid(1), reserve, reversal, refund, void, signingOff} {
		got := k.AskRaw(encode(t, k.Codec, f))
		require.Equal(t, "A0", got[39], f[0])
		require.Empty(t, got[64])
	}
	require.Equal(t, "A0", k.AskRaw(encode(t, k.Codec, paid(1).with(fields{64: "3131313131313131"})))[39])
	require.Equal(t, before, s.facts())
	require.Equal(t, "00", k.AskRaw(encode(t, k.Codec, echo))[39], "an echo asks for nothing")
}

func TestWhatMovesNoMoneyProvesItsSenderToo(t *testing.T) {
	settle := settlement.with(fields{48: "00000000000000000000000000000000000000000000000000000000000000"})
	for _, f := range []fields{settle, signingOff} {
		s, k := one(t, nil)
		require.Equal(t, "00", k.Ask(paid(1))[39])
		before := s.facts()
		require.Equal(t, "A0", s.stranger(k).Ask(f)[39], "a stranger changes nobody's batch")
		require.Equal(t, before, s.facts())

		require.NotEqual(t, "A0", k.Ask(f)[39], "a MAC proves the sender")
		require.Greater(t, s.facts(), before)
	}

	_, k := one(t, nil)
	require.Equal(t, "00", k.Ask(paid(1))[39])
	settle[48] = "000000012900001000000000000000000000000000000000000000000000000"[:62]
	require.Equal(t, "00", k.AskRaw(encode(t, k.Codec, settle))[39], "the connection has carried a good MAC")

	_, k = one(t, func(l *Line) { l.Settlement = ByMAC })
	require.Equal(t, "00", k.Ask(paid(1))[39])
	require.Equal(t, "A0", k.AskRaw(encode(t, k.Codec, settle))[39])

	_, k = one(t, func(l *Line) { l.Settlement = Unproved })
	require.Equal(t, "00", k.AskRaw(encode(t, k.Codec, settle.with(fields{48: "00000000000000000000000000000000000000000000000000000000000000"})))[39])
}

func TestOldKeysWorkUntilTheNewOnesAreProved(t *testing.T) {
	s, k := one(t, nil)
	require.Equal(t, "00", k.Ask(paid(1))[39])
	old := *k

	// The answer of a sign-on is lost: the terminal has the old keys, and they are as good as ever.
	s.mu.Lock()
	s.lose = true
	s.mu.Unlock()
	k.SendRaw(encode(t, k.Codec, signOn))
	for s.last().GetTerminalSignedOn().GetKeys().GetGeneration() != 2 {
		s.pass(0)
	}
	s.mu.Lock()
	s.lose = false
	s.mu.Unlock()
	s.connect(&old, "line")
	require.Equal(t, "00", old.Ask(paid(2))[39])
	s.restart()
	s.connect(&old, "line")
	require.Equal(t, "00", old.Ask(paid(3))[39], "after a restart too")

	// It signs on again, twice: the same keys come, whichever answer it takes.
	s.connect(k, "line")
	first, again := *k, *k
	require.Equal(t, "00", first.SignOn(signOn, 16, 4, 16)[39])
	require.Equal(t, "00", again.SignOn(signOn.with(fields{11: "000077"}), 16, 4, 16)[39])
	require.Equal(t, first.MAC, again.MAC)
	require.NotEqual(t, old.MAC, again.MAC)
	require.Equal(t, "00", old.Ask(paid(4))[39], "nobody has used the new ones yet")

	// The first good MAC under them begins the overlap.
	before := s.facts()
	require.Equal(t, "00", again.Ask(paid(5))[39])
	require.Equal(t, uint32(2), s.event(before).GetTerminalKeysProved().GetGeneration(), "before the sale itself")
	require.Equal(t, "00", old.Ask(paid(6))[39])
	require.Equal(t, byte(3), old.Header[2]&0xF, "it is asked to sign on")
	s.restart()
	s.connect(&old, "line")
	s.connect(&again, "line")
	require.Equal(t, "00", old.Ask(paid(7))[39], "the overlap survives a restart")
	s.pass(11 * time.Minute)
	require.Equal(t, "A0", old.Ask(paid(8))[39], "and ends")
	require.Equal(t, "00", again.Ask(paid(9))[39])
}

func (s *site) event(i int) *event.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	ev := &event.Event{}
	require.NoError(s.t, ev.UnmarshalVT(s.events[i]))
	return ev
}

func TestAReplayedSignOnRotatesNothing(t *testing.T) {
	s, k := one(t, nil)
	require.Equal(t, "00", k.Ask(paid(1))[39])
	stranger := s.till("line")
	stranger.Master = k.Master // only so that the helper can look at what it gets
	for range 5 {
		require.Equal(t, "00", stranger.SignOn(signOn, 16, 4, 16)[39])
		require.Equal(t, "00", k.Ask(paid(int(s.facts())))[39], "the terminal does not notice")
	}
	honest := *k
	require.Equal(t, "00", honest.SignOn(signOn, 16, 4, 16)[39])
	require.Equal(t, "00", stranger.SignOn(signOn, 16, 4, 16)[39], "between its sign-on and its first message")
	require.Equal(t, "00", honest.Ask(paid(99))[39])
}

func TestAStrangersSignOnUnderAnotherCipherTakesNothingAway(t *testing.T) {
	s := newSite(t, map[string]*Line{"secure": {Cipher: hsm.TDES, Group: "3des"}, "sm": {Cipher: hsm.SM4, Group: "sm4"}})
	k := s.till("secure")
	for round := range 3 {
		require.Equal(t, "00", k.SignOn(signOn, 16, 4, 16)[39])
		require.Equal(t, "00", s.till("sm").SignOn(signOn, 16, 4, 16)[39], "a stranger's, between a sign-on and its first message")
		require.Equal(t, "00", k.Ask(paid(round))[39])
		require.Equal(t, "00", s.till("sm").SignOn(signOn, 16, 4, 16)[39])
		require.Equal(t, "00", k.Ask(paid(10 + round))[39])
		s.restart()
		s.connect(k, "secure")
		require.Equal(t, "00", k.Ask(paid(20 + round))[39], "after a restart")
	}
}

func TestAStrangersSignOnUnderAnotherGroupTakesNothingAway(t *testing.T) {
	s := newSite(t, map[string]*Line{"secure": {Cipher: hsm.TDES, Group: "3des"}, "other": {Cipher: hsm.TDES, Group: "des"}})
	k := s.till("secure")
	for round := range 3 {
		require.Equal(t, "00", k.SignOn(signOn, 16, 4, 16)[39])
		require.Equal(t, "00", s.till("other").SignOn(signOn, 16, 4, 16)[39])
		require.Equal(t, "00", k.Ask(paid(round))[39])
	}
}

func TestATerminalHasKeysOfEachCipherUnderWhichItSignsOn(t *testing.T) {
	s := newSite(t, map[string]*Line{"secure": {Cipher: hsm.TDES, Group: "3des"}, "sm": {Cipher: hsm.SM4, Group: "sm4"}})
	k, sm := s.till("secure"), s.till("sm")
	require.Equal(t, "00", k.SignOn(signOn, 16, 4, 16)[39])
	require.Equal(t, "00", sm.SignOn(signOn, 16, 4, 16)[39])
	require.Equal(t, "00", sm.Ask(paid(1))[39])
	require.Equal(t, "00", k.Ask(paid(2))[39])
	s.restart()
	s.connect(k, "secure")
	s.connect(sm, "sm")
	require.Equal(t, "00", k.Ask(paid(3))[39])
	require.Equal(t, "00", sm.Ask(paid(4))[39])
}

func TestKeysOfOneCipherProveNothingUnderAnother(t *testing.T) {
	s := newSite(t, map[string]*Line{"secure": {Cipher: hsm.TDES, Group: "3des"}, "weak": {Cipher: hsm.DES, Group: "des"}})
	k := s.till("weak")
	require.Equal(t, "00", k.SignOn(signOn.with(fields{60: "00000001001"}), 8, 4, 8)[39])
	require.Equal(t, "00", k.Ask(paid(1))[39])
	s.connect(k, "secure")
	before := s.facts()
	require.Equal(t, "A0", k.Ask(paid(2))[39], "a DES key on a line of 3DES")
	require.Equal(t, before, s.facts())
	require.Equal(t, 1.0, s.metric("huanxin_terminal_mac_refusals_total", "no-keys"))
}

func TestKeysThatNobodyHasUsedWaitForTheirTerminal(t *testing.T) {
	s, k := one(t, nil)
	for range 3 {
		s.pass(30 * time.Hour)
		require.Equal(t, "00", s.till("line").SignOn(signOn, 16, 4, 16)[39], "a stranger's")
	}
	require.Equal(t, "00", k.Ask(paid(1))[39])
	require.Equal(t, byte(0), k.Header[2]&0xF, "their age begins with their use")
}

func TestAnotherMasterKeyBringsNewWorkingKeys(t *testing.T) {
	s, k := one(t, nil)
	s.masters.groups["3des"] = formed(t, s.module, []byte("another 3DES key"))
	before := s.facts()
	require.Equal(t, "00", k.AskRaw(encode(t, k.Codec, signOn))[39])
	require.Equal(t, uint32(2), s.event(before).GetTerminalSignedOn().GetKeys().GetGeneration(),
		"what was sent under a master key that is no longer the terminal's is not sent again")
}

// formed is a master key of 3DES that is known in clear.
func formed(t *testing.T, m hsm.Module, clear []byte) hsm.Key {
	one, two := make([]byte, len(clear)), slices.Clone(clear)
	_, _ = rand.Read(one)
	for i := range two {
		two[i] ^= one[i]
	}
	key, _, err := m.Form(hsm.Spec{Bind: "formed", Purpose: hsm.TMK, Algorithm: hsm.TDES, Length: len(clear)}, one, two)
	require.NoError(t, err)
	return key
}

func TestPendingKeysThatDoNotOpenAreReplaced(t *testing.T) {
	s, _ := one(t, nil)
	s.close()
	master := s.masters.clear["3des"]
	s.module, s.masters = newModule(t)                                                      // another local master key …
	s.masters.groups["3des"], s.masters.clear["3des"] = formed(t, s.module, master), master // … and the same master key
	s.pins.module = s.module
	s.open()
	k := s.till("line")
	require.Equal(t, "00", k.SignOn(signOn, 16, 4, 16)[39])
	require.Equal(t, "00", k.Ask(paid(1))[39])
}

func TestARecordedMessageProvesNoConnection(t *testing.T) {
	settle := settlement.with(fields{48: "00000000000000000000000000000000000000000000000000000000000000"})
	void := fields{0: "0400", 2: pan, 3: "000000", 4: "000000012900", 11: "000077", 22: "051", 25: "00", 39: "98", 41: "21010001",
		42: "898210157220001", 49: "156", 60: "22000001000"}
	for name, recorded := range map[string]fields{
		"a sale": paid(1), "an inquiry": balance.with(fields{11: "000001"}), "a settlement": settle, "a reversal of nothing": void,
	} {
		s, k := one(t, nil)
		message := k.Message(recorded)
		k.SendRaw(message)
		require.NotEqual(t, "A0", k.Decode(k.ReceiveRaw())[39], name)

		stranger := s.stranger(k)
		require.NotEqual(t, "A0", stranger.AskRaw(message)[39], "%s: its MAC is good", name)
		before := s.facts()
		require.Equal(t, "A0", stranger.AskRaw(encode(t, k.Codec, settle.with(fields{11: "000999"})))[39], name)
		require.Equal(t, "A0", stranger.AskRaw(encode(t, k.Codec, signingOff))[39], name)
		require.Equal(t, before, s.facts(), name)
	}
}

func TestARecordedSignOffSignsNobodyOff(t *testing.T) {
	s, k := one(t, nil)
	off := k.Message(signingOff.with(fields{11: "000050"}))
	require.Equal(t, "00", k.AskRaw(off)[39], "in the evening")
	require.Equal(t, "77", k.Ask(paid(1))[39])
	require.Equal(t, "00", k.SignOn(signOn, 16, 4, 16)[39], "in the morning")
	before := s.facts()
	require.Equal(t, "00", s.stranger(k).AskRaw(off)[39])
	require.Equal(t, before, s.facts())
	require.Equal(t, "00", k.Ask(paid(2))[39])
}

func TestASettlementWithAMACProvesItsConnection(t *testing.T) {
	s, k := one(t, nil)
	require.Equal(t, "00", k.Ask(paid(1))[39])
	s.connect(k, "line")
	require.Equal(t, "00", k.Ask(settlement.with(fields{48: "00000000000000000000000000000000000000000000000000000000000000"}))[39])
	require.Equal(t, "00", k.AskRaw(encode(t, k.Codec, uploadEnd.with(fields{48: "0000"})))[39], "the records after it have none")
}

// flaky is a module that is away for a moment.
type flaky struct {
	hsm.Module
	away bool
}

func (f *flaky) Load(bind string, token []byte) (hsm.Key, error) {
	if f.away {
		return nil, errors.New("device error")
	}
	return f.Module.Load(bind, token)
}

func TestAModuleThatFailsOnceShutsNoTerminalOut(t *testing.T) {
	s, k := one(t, nil)
	s.close()
	module := &flaky{Module: s.module}
	s.module = module
	s.open()
	s.connect(k, "line")
	module.away = true
	require.Equal(t, "A0", k.Ask(paid(1))[39])
	require.Equal(t, "A7", k.AskRaw(encode(t, k.Codec, signOn))[39], "no keys can be delivered; those that are pending stay so")
	module.away = false
	require.Equal(t, "00", k.SignOn(signOn, 16, 4, 16)[39])
	require.Equal(t, "00", k.Ask(paid(2))[39])
}

func TestARecordedMessageProvesNothingWhileItsOriginalIsAtTheHost(t *testing.T) {
	s, k := one(t, nil)
	s.mu.Lock()
	s.silent = true
	s.mu.Unlock()
	message := k.Message(paid(1))
	k.SendRaw(message)
	stranger := s.stranger(k)
	for s.last().GetSaleSent() == nil {
		s.pass(0)
	}
	stranger.SendRaw(message)
	for s.front.Pending() < 2 {
		s.pass(0)
	}
	sent := s.last().GetSaleSent()
	s.step(&engine.HostAnswered{Host: "unionpay", Kind: engine.HostSale, RRN: sent.Rrn, STAN: sent.HostStan,
		TransmittedAt: engine.TransmissionTime(sent.TransmittedAt), Answer: event.HostAnswer{Response: "00", ClearingDate: "0318"}})
	require.Equal(t, "00", k.Decode(k.ReceiveRaw())[39])
	require.Equal(t, "00", k.Decode(stranger.ReceiveRaw())[39])

	before := s.facts()
	require.Equal(t, "A0", stranger.AskRaw(encode(t, k.Codec, signingOff))[39])
	require.Equal(t, before, s.facts())
	require.Equal(t, "00", k.AskRaw(encode(t, k.Codec, signingOff))[39], "the connection of the first has shown that its terminal is there")
}

// stranger is who knows everything of a till but its keys, on a connection of its own.
func (s *site) stranger(k *terminaltest.Till) *terminaltest.Till {
	other := *k
	other.MAC = nil
	s.connect(&other, "line")
	return &other
}

func TestOldKeysAskForASignOn(t *testing.T) {
	s, k := one(t, nil)
	require.Equal(t, "00", k.Ask(paid(1))[39])
	require.Equal(t, byte(0), k.Header[2]&0xF)
	s.pass(25 * time.Hour)
	got := k.Ask(paid(2))
	require.Equal(t, "00", got[39], "they are good still")
	require.Equal(t, byte(3), k.Header[2]&0xF)
	require.Equal(t, "00", k.SignOn(signOn, 16, 4, 16)[39])
	require.Equal(t, "00", k.Ask(paid(3))[39])
	require.Equal(t, byte(0), k.Header[2]&0xF)
}

func TestThePINBlockIsTranslatedForTheHost(t *testing.T) {
	lines := map[string]*Line{"des": {Cipher: hsm.DES, Group: "des"}, "3des": {Cipher: hsm.TDES, Group: "3des"}, "sm4": {Cipher: hsm.SM4, Group: "sm4"}}
	for name, c := range map[string]struct{ code, control string }{
		"des": {"001", "20"}, "3des": {"003", "26"}, "sm4": {"005", "23"},
	} {
		s := newSite(t, lines)
		k := s.till(name)
		place, forMAC := 16, 16
		if name == "des" {
			place, forMAC = 8, 8
		}
		require.Equal(t, "00", k.SignOn(signOn.with(fields{60: "00000001" + c.code}), place, 4, forMAC)[39])
		withPIN := func(stan int, pin, control string) fields {
			return paid(stan).with(fields{22: "051", 26: "06", 52: k.PINBlock(pin, pan), 53: control + "00000000000000"})
		}
		require.Equal(t, "00", k.Ask(withPIN(1, "123456", c.control))[39])
		block := s.blocks[len(s.blocks)-1]
		want, err := s.module.TranslatePIN(nil, hsm.PIN{Key: s.pins.key, Format: hsm.ISO0, PAN: []byte(pan)},
			hsm.PIN{Key: s.pins.key, Format: hsm.ISO0, PAN: []byte(pan)}, []byte(block))
		require.NoError(t, err, "it is a block of the host's key over this card")
		require.Equal(t, block, string(want))

		before := s.facts()
		for _, bad := range []fields{
			withPIN(2, "123456", "10"), // a format that the line does not take
			withPIN(3, "123456", "2"+map[string]string{"20": "6", "26": "0", "23": "6"}[c.control]), // another cipher
			withPIN(4, "123456", c.control).with(fields{53: ""}),
			withPIN(5, "123456", c.control).with(fields{52: k.PINBlock("123456", "6224240000000025")}), // over another card
			reserve.with(fields{52: k.PINBlock("123456", pan), 53: c.control + "00000000000000"}),
		} {
			got := k.Ask(bad)
			require.Equal(t, "99", got[39], "%s %v", name, bad)
			require.NotEmpty(t, got[64])
		}
		s.pins.fail = errors.New("the module is away")
		require.Equal(t, "A7", k.Ask(withPIN(6, "123456", c.control))[39])
		require.Equal(t, before, s.facts(), "nothing is recorded")
		s.pins.fail = nil
		require.Equal(t, "00", k.Ask(withPIN(6, "123456", c.control))[39])
		for _, raw := range s.events {
			require.NotContains(t, string(raw), block)
		}
	}
}

func TestAReversalDoesNotFailOverItsPINBlock(t *testing.T) {
	_, k := one(t, nil)
	require.Equal(t, "00", k.Ask(paid(1))[39])
	undone := reversal.with(fields{11: "000001", 4: "000000012900", 52: "0000000000000000"})
	require.Equal(t, "00", k.Ask(undone)[39])
}

func TestALineIsCheckedAtTheStart(t *testing.T) {
	module, m := newModule(t)
	for want, line := range map[string]Line{
		"cipher":           {Cipher: hsm.AES},
		"working keys":     {Cipher: hsm.TDES, KeyLength: 8},
		"MAC keys":         {Cipher: hsm.TDES, MACKeyLength: 24},
		"makes no":         {Cipher: hsm.TDES, MAC: hsm.SM4CBC},
		"compact":          {Cipher: hsm.TDES, KeyLength: 24, Compact: true},
		"negative":         {Cipher: hsm.TDES, Overlap: -1},
		"is not under":     {Cipher: hsm.TDES, PINFormats: map[byte]hsm.PINFormat{'2': hsm.ISO0SM4}},
		"none of DE53":     {Cipher: hsm.TDES, PINFormats: map[byte]hsm.PINFormat{'x': hsm.ISO0}},
		"field 52 of dial": {Cipher: hsm.SM4},
	} {
		cfg := testConfig(t, prometheus.NewRegistry())
		cfg.Submit = func(any, stage.Instant) error { return nil }
		cfg.Keys = &Keys{Module: module, Masters: m}
		cfg.Ports[0].Line = &line
		_, err := New(cfg)
		require.ErrorIs(t, err, ErrConfig)
		require.ErrorContains(t, err, want)
	}
	cfg := testConfig(t, prometheus.NewRegistry())
	cfg.Submit = func(any, stage.Instant) error { return nil }
	cfg.Ports[0].Line = &Line{Cipher: hsm.TDES}
	_, err := New(cfg)
	require.ErrorContains(t, err, "no Keys")
	cfg.Registerer = prometheus.NewRegistry()
	cfg.Keys = &Keys{Module: module, Masters: m}
	cfg.Ports[0].Address = "0.0.0.0:0"
	_, err = New(cfg)
	require.NoError(t, err, "a line with keys may listen anywhere")
}

func TestTheSerialNumberOfASignOnIsRead(t *testing.T) {
	got, no := terminalSerial([]byte("Sequence No163150SXX-4C304119")) // pos-dialect §8, sample 7
	require.Nil(t, no)
	require.Equal(t, "3150SXX-4C304119", string(got))
	for _, other := range []string{"", "x", "000000", "Sequence"} {
		got, no = terminalSerial([]byte(other))
		require.Nil(t, no)
		require.Nil(t, got)
	}
	for _, bad := range []string{"Sequence No", "Sequence No1", "Sequence No00", "Sequence No03ab", "Sequence No02abc", "Sequence Nox2ab"} {
		_, no = terminalSerial([]byte(bad))
		require.NotNil(t, no, bad)
	}
}

// inUse is what an engine would say after a restart: the keys of a set are those of a terminal.
func inUse(terminal [8]byte, l *Line, set keySet, at int64) []engine.TerminalKeys {
	kind := l.keys
	return []engine.TerminalKeys{{Terminal: terminal, Kind: kind, Active: &engine.KeyPair{
		Generation: 1, Kind: kind, Wrapped: string(set.wrapped), IssuedAt: at, ProvedAt: at,
	}}}
}

// securedPort is a port with keys whose engine answers at once, and a message of a terminal that has signed on.
func securedPort(t testing.TB, line *Line, f fields) (*Front, *port, *wire.Conn, wire.Frame, *engine.Reply) {
	module, m := newModule(t)
	reply := &engine.Reply{}
	cfg := testConfig(t, prometheus.NewRegistry())
	realKeys(t, &cfg)
	cfg.Keys = &Keys{Module: module, Masters: m}
	cfg.Submit = func(body any, _ stage.Instant) error {
		if _, proof := body.(*engine.KeysProved); !proof {
			*reply = engine.Reply{Token: tokenOf(body), Response: approved, At: testNow, Hold: 42, RRN: "516900000001"}
		}
		return nil
	}
	cfg.Ports[0].Line = line
	if line.Cipher == hsm.SM4 {
		cfg.Ports[0].Codec = loadCodec(t, "cup-sm4")
	}
	front, err := New(cfg)
	require.NoError(t, err)
	p := front.ports[0]
	terminal := [8]byte([]byte(f[41]))
	set, err := generate(module, terminal, p.Line.sort())
	require.NoError(t, err)
	front.LoadKeys(inUse(terminal, p.Line, set, time.Now().UnixNano()))
	raw := encode(t, p.Codec, f.with(fields{64: "0000000000000000"}))
	mac, err := module.MAC(nil, set.keys[macKey], p.Line.MAC, raw[:len(raw)-macSize])
	require.NoError(t, err)
	copy(raw[len(raw)-macSize:], mac)
	frame, _, err := wire.CUP.Next(frameOf(t, wire.CUP, raw), 0)
	require.NoError(t, err)
	conn, err := wire.New(discard{}, p.wire(cfg.Metrics, nil), p)
	require.NoError(t, err)
	return front, p, conn, frame, reply
}

func TestEveryAlgorithmThatTheKeysDoIsTaken(t *testing.T) {
	for algorithm, line := range map[hsm.MACAlgorithm]Line{
		hsm.X99: {Cipher: hsm.TDES, MACKeyLength: 8}, hsm.X919: {Cipher: hsm.TDES}, hsm.TDESCBC: {Cipher: hsm.TDES}, hsm.TDESCMAC: {Cipher: hsm.TDES},
		hsm.SM4CBC: {Cipher: hsm.SM4}, hsm.SM4EMAC: {Cipher: hsm.SM4}, hsm.SM4CMAC: {Cipher: hsm.SM4},
	} {
		line.MAC = algorithm
		_, p, conn, frame, reply := securedPort(t, &line, sale)
		require.True(t, p.Frame(conn, frame))
		require.Equal(t, approved, reply.Response, "%s: a good MAC", algorithm)
		*reply = engine.Reply{}
		frame.Message[len(frame.Message)-1] ^= 1
		require.True(t, p.Frame(conn, frame))
		require.Zero(t, *reply, "%s: the last of its 8 bytes counts too", algorithm)
	}
}

// Four connections of each of two terminals sell and sign on as they like. Whatever becomes of their keys, a sign-on and one more
// attempt always help.
func TestManyConnectionsAndSignOnsCross(t *testing.T) {
	s, _ := one(t, nil)
	var all sync.WaitGroup
	for i := range 8 {
		id := fields{41: fmt.Sprintf("2101000%d", 1+i%2)}
		k := s.till("line")
		all.Add(1)
		go func() {
			defer all.Done()
			for j := range 30 {
				code := ""
				for try := 0; code != "00" && try < 50; try++ {
					if j%5 == i%5 || try > 0 {
						k.SignOn(signOn.with(id), 16, 4, 16)
					}
					code = k.Ask(paid(1000*(i+1) + j).with(id))[39]
				}
				if code != "00" {
					t.Errorf("connection %d, message %d: %s", i, j, code)
					return
				}
			}
		}()
	}
	all.Wait()
}

// BenchmarkSecured is BenchmarkRequest on a line with keys: the MAC of the request is checked, that of the answer made.
func BenchmarkSecured(b *testing.B) {
	for _, c := range []struct {
		name string
		line Line
	}{{"3des", Line{Cipher: hsm.TDES}}, {"des-mac", Line{Cipher: hsm.TDES, MACKeyLength: 8}}, {"sm4", Line{Cipher: hsm.SM4}}} {
		for _, message := range []struct {
			name string
			fields
		}{{"reserve", reserve}, {"sale", sale}} {
			b.Run(c.name+"/"+message.name, func(b *testing.B) {
				line := c.line
				front, p, conn, frame, reply := securedPort(b, &line, message.fields)
				b.ReportAllocs()
				for b.Loop() {
					p.Frame(conn, frame)
					front.Deliver(reply)
					front.Flush()
				}
			})
		}
	}
}
