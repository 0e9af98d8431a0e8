package engine_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	"huanxin/internal/money"
	"huanxin/risk/geo"
	"huanxin/switch/engine"
	"huanxin/switch/event"
)

// lab is an engine under test with a second engine beside it that sees the events only, as bytes, the way a restart
// would. After every step both must be the same, and every invariant must hold.
type lab struct {
	t      require.TestingT
	cfg    engine.Config
	live   *engine.Engine
	shadow *engine.Engine
	now    int64
	token  engine.Token

	coldLive   *coldLog // of each engine its own: what the two write must be the same
	coldShadow *coldLog
	coolAfter  int64 // when purchases go cold; 0 = as in earnest

	recorded [][]byte            // every event so far, as bytes
	watch    func(engine.Output) // of every step, may be nil
}

var labMap *geo.Map

func labConfig(t require.TestingT) engine.Config {
	if labMap == nil {
		m, err := geo.Load(geo.LiaoningGeoJSON)
		require.NoError(t, err)
		labMap = m
	}
	return engine.Config{
		Map: labMap,
		Hosts: map[string]engine.HostProfile{
			"cup":    {Timeout: 25 * time.Second, FirstRetry: 5 * time.Second, MaxRetry: time.Minute},
			"wallet": {Timeout: 25 * time.Second, FirstRetry: 5 * time.Second, MaxRetry: time.Minute, Wallet: true},
		},
	}
}

func labFiles(t require.TestingT) map[string][]byte {
	files := map[string][]byte{}
	for _, name := range []string{"programme.yaml", "policy.yaml", "budget.yaml"} {
		b, err := os.ReadFile(filepath.Join("testdata", "programme", name))
		require.NoError(t, err)
		files[name] = b
	}
	return files
}

var (
	labMerchants = [][]string{
		{"898210157220001", "沈阳电器", "210100", "210100", "5722", "@appliance", "store", "active"},
		{"898210257220001", "大连电器", "210200", "210200", "5722", "A02", "store", "active"},
		{"898210157220009", "停用电器", "210100", "210100", "5722", "@appliance", "store", "suspended"},
	}
	labTerminals = [][]string{
		{"21010001", "898210157220001", "210100", "store", "123.4294", "41.7964", "active", "1"},
		{"21010002", "898210157220001", "210100", "store", "123.4294", "41.7964", "active", "1"},
		{"21010008", "898210157220001", "210100", "store", "123.4294", "41.7964", "suspended", "1"},
		{"21010009", "898210157220009", "210100", "store", "123.4294", "41.7964", "active", "1"},
		{"21020001", "898210257220001", "210200", "store", "121.628", "38.9215", "active", "1"},
	}
	labProducts = [][]string{
		{"6901234567892", "A01", "冰箱", "晨岛", "B1", "1", "energy", "HX1", "5999.00", "", "active", "sn"},
		{"6901234100747", "A01", "冰箱", "晨岛", "B2", "2", "energy", "HX2", "2299.00", "", "active", "sn"},
		{"6901234101119", "A01", "冰箱", "晨岛", "B3", "3", "energy", "HX3", "799.00", "", "active", "sn"},
		{"6901234101485", "A02", "洗衣机", "松河", "W1", "1", "energy", "HX4", "1000.00", "", "active", "sn"},
		{"6901234102963", "A04", "空调", "凌风", "K1", "1", "energy", "HX5", "3000.00", "", "active", "sn"},
		{"6901234108149", "A04", "空调", "凌风", "K0", "1", "energy", "HX6", "3000.00", "", "withdrawn", "sn"},
	}
)

// labStart is 2026-03-02 10:00:00 in Shenyang, a Monday inside round r1.
var labStart = time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC).UnixNano()

func newLab(t require.TestingT) *lab { return newCoolingLab(t, 0) }

// newCoolingLab makes a lab in which purchases go cold so soon after their beginning.
func newCoolingLab(t require.TestingT, coolAfter int64) *lab {
	l := &lab{t: t, cfg: labConfig(t), now: labStart, coldLive: &coldLog{}, coldShadow: &coldLog{}, coolAfter: coolAfter}
	l.cfg.Cold = l.coldShadow
	shadow, err := engine.New(l.cfg)
	require.NoError(t, err)
	l.cfg.Cold = l.coldLive
	live, err := engine.New(l.cfg)
	require.NoError(t, err)
	l.live, l.shadow = l.cooling(live), l.cooling(shadow)
	l.own()
	l.admin(&engine.ApplyProgramme{Files: labFiles(t), Actor: "test", Reason: "start"})
	l.admin(&engine.SetRows{Merchants: labMerchants, Terminals: labTerminals, Products: labProducts})
	return l
}

func (l *lab) cooling(e *engine.Engine) *engine.Engine {
	if l.coolAfter != 0 {
		e.CoolAfter(l.coolAfter)
	}
	return e
}

// coldLog is strict: what was written stands, and what is written again must be the same.
type coldLog struct {
	b     []byte
	reads int
}

func (c *coldLog) WriteAt(p []byte, offset int64) (int, error) {
	if offset > int64(len(c.b)) {
		return 0, fmt.Errorf("a record at %d, the log ends at %d", offset, len(c.b))
	}
	known := min(len(p), len(c.b)-int(offset))
	if !bytes.Equal(p[:known], c.b[offset:int(offset)+known]) {
		return 0, fmt.Errorf("other bytes at %d than before", offset)
	}
	c.b = append(c.b, p[known:]...)
	return len(p), nil
}

func (c *coldLog) ReadAt(p []byte, offset int64) (n int, err error) {
	c.reads++
	if offset < int64(len(c.b)) {
		n = copy(p, c.b[offset:])
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (l *lab) own() engine.Output {
	out := l.step(&engine.TakeOwnership{Owner: "test", Software: "test", Programme: "test", PersonKeyCheck: [8]byte{1}})
	for _, s := range out.Sends {
		if s.Admin != nil {
			require.Empty(l.t, s.Admin.Problems)
		}
	}
	return out
}

func (l *lab) admin(body any) {
	for _, s := range l.step(body).Sends {
		if s.Admin != nil {
			require.Empty(l.t, s.Admin.Problems)
		}
	}
}

// step runs one input and holds live against shadow.
func (l *lab) step(body any) engine.Output {
	out := l.live.Step(engine.Input{At: l.now, Body: body})
	for _, ev := range out.Events {
		raw, err := ev.MarshalVT()
		require.NoError(l.t, err)
		l.recorded = append(l.recorded, raw)
		again := &event.Event{}
		require.NoError(l.t, again.UnmarshalVT(raw))
		l.shadow.Apply(again)
	}
	if l.watch != nil {
		l.watch(out)
	}
	require.NoError(l.t, l.live.CheckInvariants())
	if l.coolAfter != 0 {
		require.NoError(l.t, l.live.CheckCold())
		require.True(l.t, bytes.Equal(l.coldLive.b, l.coldShadow.b), "both engines write the same records")
	}
	require.Equal(l.t, stateOf(l.t, l.live), stateOf(l.t, l.shadow), "replay must equal the live state")
	return out
}

// snapshot is a state that was saved, and how many events it has seen.
type snapshot struct {
	state  string
	events int
}

func (l *lab) save() snapshot { return snapshot{stateOf(l.t, l.shadow), len(l.recorded)} }

// restart is a crash: a new process reads the snapshot of the shadow, takes ownership and finds what was in flight.
func (l *lab) restart() engine.Output { return l.restartFrom(l.save()) }

// restartFrom is a restart from a snapshot, which may be an old one, or with the zero snapshot from nothing but the events.
func (l *lab) restartFrom(from snapshot) engine.Output {
	var live *engine.Engine
	var err error
	if from.events == 0 {
		live, err = engine.New(l.cfg)
	} else {
		live, err = engine.ReadState(l.cfg, strings.NewReader(from.state))
	}
	require.NoError(l.t, err)
	l.cooling(live)
	if from.events > 0 {
		require.Equal(l.t, from.state, stateOf(l.t, live), "a state read back is the same state")
	}
	for _, raw := range l.recorded[from.events:] {
		ev := &event.Event{}
		require.NoError(l.t, ev.UnmarshalVT(raw))
		live.Apply(ev)
	}
	require.Equal(l.t, stateOf(l.t, l.shadow), stateOf(l.t, live), "replay leads to the same state")
	l.live = live
	return l.own()
}

func stateOf(t require.TestingT, e *engine.Engine) string {
	var b bytes.Buffer
	require.NoError(t, e.WriteState(&b))
	return b.String()
}

func (l *lab) nextToken() engine.Token {
	l.token++
	return l.token
}

// ---- Printing -------------------------------------------------------------------------------------------------------

// describe prints what a step has decided: its events, then what leaves.
func describe(b *strings.Builder, out engine.Output) {
	for _, ev := range out.Events {
		describeEvent(b, ev)
	}
	for _, s := range out.Sends {
		switch {
		case s.Reply != nil:
			describeReply(b, s.Reply)
		case s.Host != nil:
			describeHost(b, s.Host)
		case s.API != nil:
			describeAPI(b, s.API)
		case s.Admin != nil:
			for _, problem := range s.Admin.Problems {
				fmt.Fprintf(b, "-> operator: %s\n", problem)
			}
			if len(out.Events) == 0 && len(s.Admin.Events) > 0 {
				b.WriteString("-> operator: dry run\n")
				for _, ev := range s.Admin.Events {
					describeEvent(b, ev)
				}
			}
		}
	}
}

func describeView(b *strings.Builder, v *engine.PurchaseView) {
	if v != nil {
		fmt.Fprintf(b, " purchase=%d %s charged=%s subsidy=%s refunded=%s returned=%s", v.ID, v.State, v.Amount, v.Subsidy, v.Refunded, v.Returned)
	}
}

func describeEvent(b *strings.Builder, ev *event.Event) {
	m := ev.ProtoReflect()
	body := m.WhichOneof(m.Descriptor().Oneofs().ByName("body"))
	fmt.Fprintf(b, "%d %s", ev.Seq, body.Message().Name())
	describeFields(b, m.Get(body).Message())
	b.WriteByte('\n')
}

func describeFields(b *strings.Builder, m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !m.Has(f) || f.Name() == "files" || f.Name() == "digest" {
			continue
		}
		v := m.Get(f)
		switch {
		case f.IsList():
			fmt.Fprintf(b, " %s=[", f.Name())
			for j := range v.List().Len() {
				if f.Kind() == protoreflect.MessageKind {
					var inner strings.Builder
					describeFields(&inner, v.List().Get(j).Message())
					fmt.Fprintf(b, "{%s}", strings.TrimSpace(inner.String()))
				} else {
					fmt.Fprintf(b, "%v ", v.List().Get(j).Interface())
				}
			}
			b.WriteByte(']')
		case f.Kind() == protoreflect.MessageKind:
			var inner strings.Builder
			describeFields(&inner, v.Message())
			fmt.Fprintf(b, " %s={%s}", f.Name(), strings.TrimSpace(inner.String()))
		case f.Kind() == protoreflect.BytesKind:
			fmt.Fprintf(b, " %s=%s", f.Name(), hex.EncodeToString(bytes.TrimRight(v.Bytes(), "\x00")))
		case f.Kind() == protoreflect.EnumKind:
			name := string(f.Enum().Values().ByNumber(v.Enum()).Name())
			if i := strings.LastIndex(name, "CAUSE_"); i >= 0 {
				name = name[i+len("CAUSE_"):]
			}
			for _, prefix := range []string{"QUARANTINE_END_", "SALE_KIND_", "REQUEST_KIND_"} {
				name = strings.TrimPrefix(name, prefix)
			}
			fmt.Fprintf(b, " %s=%s", f.Name(), name)
		case isInstant(f.Name()):
			fmt.Fprintf(b, " %s=%s", f.Name(), clock(v.Int()))
		default:
			fmt.Fprintf(b, " %s=%v", f.Name(), v.Interface())
		}
	}
}

func isInstant(name protoreflect.Name) bool {
	return strings.HasSuffix(string(name), "_at") || name == "deadline"
}

func clock(at int64) string {
	return time.Unix(0, at).In(time.FixedZone("+08:00", 8*3600)).Format("01-02T15:04:05")
}

func describeReply(b *strings.Builder, r *engine.Reply) {
	fmt.Fprintf(b, "-> till #%d %s", r.Token, r.Response)
	if r.Hold != 0 {
		fmt.Fprintf(b, " hold=%d", r.Hold)
	}
	if r.Subsidy != 0 {
		fmt.Fprintf(b, " price=%s subsidy=%s payable=%s", r.Price, r.Subsidy, r.Payable)
	}
	if r.RRN != "" {
		fmt.Fprintf(b, " rrn=%s", r.RRN)
	}
	if r.Answer != nil {
		fmt.Fprintf(b, " issuer=%s/%s", r.Answer.Response, r.Answer.Approval)
	}
	if r.Batch != 0 {
		fmt.Fprintf(b, " batch=%06d", r.Batch)
	}
	if k := r.Keys; k != nil {
		fmt.Fprintf(b, " keys=%d/%s", k.Generation, k.Wrapped)
	}
	if len(r.Balance) > 0 {
		fmt.Fprintf(b, " balance=%s", r.Balance)
	}
	if v := r.Refund; v != nil {
		fmt.Fprintf(b, " refund=%s returned=%s kept=%s", v.Amount, v.Returned, v.Kept)
	}
	if t := r.Totals; t != nil {
		fmt.Fprintf(b, " equal=%t debit=%s/%d credit=%s/%d subsidy=%s/%d", r.Equal, t.Debit, t.DebitCount, t.Credit, t.CreditCount,
			t.Subsidy, t.SubsidyCount)
	}
	describeView(b, r.Purchase)
	for _, why := range r.Reasons {
		fmt.Fprintf(b, " %s", why)
	}
	if r.Text != "" {
		fmt.Fprintf(b, " %s", r.Text)
	}
	b.WriteByte('\n')
}

func describeHost(b *strings.Builder, h *engine.HostRequest) {
	kind := [...]string{"", "sale", "reversal", "void", "refund", "inquiry", "query"}[h.Kind]
	switch h.Kind {
	case engine.HostReversal:
		kind = fmt.Sprintf("reversal %d attempt %d reason %s", h.Reversal, h.Attempt, h.Reason)
		if h.Processing != "000000" {
			kind += " of " + h.Processing
		}
	case engine.HostVoid, engine.HostRefund:
		kind += " of rrn=" + h.Original.RRN
	case engine.HostQuery:
		kind += fmt.Sprintf(" attempt %d", h.Attempt)
	}
	fmt.Fprintf(b, "-> host %s %s amount=%s stan=%06d rrn=%s\n", h.Host, kind, h.Amount, h.STAN, h.RRN)
}

func describeAPI(b *strings.Builder, r *engine.APIReply) {
	names := [...]string{"", "done", "refused", "not-found", "conflict", "repeated", "declined", "pending"}
	fmt.Fprintf(b, "-> api #%d %s", r.Token, names[r.Status])
	if r.Response != "" {
		fmt.Fprintf(b, " %s", r.Response)
	}
	describeView(b, r.Purchase)
	if v := r.Refund; v != nil {
		fmt.Fprintf(b, " refund=%s returned=%s kept=%s", v.Amount, v.Returned, v.Kept)
	}
	if r.View.ID != 0 {
		fmt.Fprintf(b, " entitlement=%d %s %s until %s", r.View.ID, r.View.State, r.View.Category, clock(r.View.ExpiresAt))
	}
	if r.CodeEnds != 0 {
		fmt.Fprintf(b, " code until %s", clock(r.CodeEnds))
	}
	if q := r.Quote; q.Price != 0 {
		fmt.Fprintf(b, " subsidy=%s payable=%s", q.Subsidy, q.Payable)
	}
	for _, why := range r.Reasons {
		fmt.Fprintf(b, " %s", why)
	}
	b.WriteByte('\n')
}

// balances prints every budget node that is not untouched.
func (l *lab) balances(b *strings.Builder) {
	tree := l.live.Book().Budget
	for _, path := range []string{"", "210100", "210100/A01", "210100/A01/r1", "210100/A01/r2", "210100/A04/r1", "210200/A02/r1"} {
		id, ok := tree.Find(path)
		if !ok {
			continue
		}
		v := tree.View(id)
		fmt.Fprintf(b, "%-14s allocated %s free %s held %s spent %s", "/"+v.Path, v.Allocated, v.Free, v.Held, v.Spent)
		if v.Paced {
			fmt.Fprintf(b, " released %s", v.Released)
		}
		if v.Closed {
			b.WriteString(" closed")
		}
		b.WriteByte('\n')
	}
}

func fen(t require.TestingT, yuan string) money.Amount {
	a, err := money.ParseYuan(yuan)
	require.NoError(t, err)
	return a
}
