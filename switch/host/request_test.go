package host

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"huanxin/switch/engine"
	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

// style is one of the two ways in which a network wants the original named.
type style struct {
	dialect string
	framing wire.Framing
	// named is where the network reads what a message is about, and its form for batch, MTI, STAN and instant.
	named int
	form  func(mti, batch, stan string, at time.Time) string
}

var styles = []style{
	{"cup", wire.CUP, 61, func(_, batch, stan string, at time.Time) string { return batch + stan + at.Format("0102") }},
	{"iso87b", wire.NAC, 90, func(mti, _, stan string, at time.Time) string {
		return mti + stan + at.Format(transmission) + "00048022100" + "00000000000"
	}},
	{"iso87a", wire.ASCII4, 90, func(mti, _, stan string, at time.Time) string {
		return mti + stan + at.Format(transmission) + "00048022100" + "00000000000"
	}},
}

// inEachStyle runs a test over a signed-on link of each style.
func inEachStyle(t *testing.T, test func(t *testing.T, s style, r *rig, p *peer)) {
	for _, s := range styles {
		t.Run(s.dialect, func(t *testing.T) {
			r, p := connected(t, s.dialect, s.framing, nil)
			test(t, s, r, p)
		})
	}
}

// requireFields compares fields of a message; "" means that the field must be absent.
func requireFields(t *testing.T, m *iso8583.Message, want map[int]string) {
	t.Helper()
	for n, v := range want {
		require.Equal(t, v != "", m.Has(n), "field %d", n)
		require.Equal(t, v, fieldOf(m, n), "field %d", n)
	}
}

func TestVoidNamesItsSaleAsTheNetworkKnowsIt(t *testing.T) {
	inEachStyle(t, func(t *testing.T, s style, r *rig, p *peer) {
		r.send(r.void(9))
		got := p.next()
		require.Equal(t, iso8583.MTI(0x0200), got.MTI())
		requireFields(t, got, map[int]string{
			2: "6224240000000017", 3: "200000", 4: "000000479920", 11: "000009", 25: "00", 37: rrn(9), 38: "123456",
			41: "21010001", 42: "898210157220001", 60: "2300000100060", 63: "", 64: "",
			s.named: s.form("0200", "000001", "004711", soldAt), 151 - s.named: "",
		})
		require.Equal(t, "A3004CODEA2002XY", fieldOf(got, 59))
	})
}

func TestVoidWithoutABatchIsOfTheBatchItIsIn(t *testing.T) {
	r, p := connected(t, "cup", wire.CUP, nil)
	req := r.void(9)
	r.original(9, 0x0200, map[int]string{3: "200000"})
	req.Original.Approval = ""
	r.send(req)
	requireFields(t, p.next(), map[int]string{38: "", 61: "0000010047110618"})
}

func TestRefundNamesTheBatchOfItsSale(t *testing.T) {
	inEachStyle(t, func(t *testing.T, s style, r *rig, p *peer) {
		r.send(r.refund(9))
		got := p.next()
		require.Equal(t, iso8583.MTI(0x0220), got.MTI())
		requireFields(t, got, map[int]string{
			3: "200000", 4: "000000100000", 11: "000009", 37: rrn(9), 38: "123456", 60: "2500000100060",
			s.named: s.form("0200", "000009", "004711", soldAt),
		})
	})
}

func TestPreauthorisationFamilyPassesAsTheTerminalSentIt(t *testing.T) {
	for name, c := range map[string]struct {
		mti    iso8583.MTI
		change map[int]string
	}{
		"pre-authorisation":         {0x0100, map[int]string{3: "030000", 25: "06", 60: "1000000100060"}},
		"void of a pre-auth":        {0x0100, map[int]string{3: "200000", 25: "06", 38: "654321", 60: "1100000100060", 61: "0000010000020618"}},
		"completion":                {0x0200, map[int]string{25: "06", 38: "654321", 60: "2000000100060", 61: "0000010000020618"}},
		"void of a completion":      {0x0200, map[int]string{3: "200000", 25: "06", 38: "654321", 60: "2100000100060", 61: "000001000002"}},
		"additional authorisation ": {0x0100, map[int]string{3: "030000", 25: "60", 38: "654321", 60: "1000000100060"}},
	} {
		t.Run(name, func(t *testing.T) {
			inEachStyle(t, func(t *testing.T, s style, r *rig, p *peer) {
				r.send(r.request(engine.HostSale, 9, c.mti, c.change))
				got := p.next()
				require.Equal(t, c.mti, got.MTI())
				want := map[int]string{2: "6224240000000017", 3: "000000", 4: "000000479920", 11: "000009", 37: rrn(9), 38: "", 61: "", 90: ""}
				for n, v := range c.change {
					want[n] = v
				}
				requireFields(t, got, want)
			})
		})
	}
}

func TestOrdinarySaleNamesNoOther(t *testing.T) {
	r, p := connected(t, "cup", wire.CUP, nil)
	r.send(r.request(engine.HostSale, 9, 0x0200, map[int]string{38: "654321", 61: "0000010000020618"}))
	requireFields(t, p.next(), map[int]string{38: "", 61: ""})
}

func TestInquiryGivesTheBalanceOutsideOfWhatIsKept(t *testing.T) {
	inEachStyle(t, func(t *testing.T, s style, r *rig, p *peer) {
		req := r.request(engine.HostInquiry, 9, 0x0200, map[int]string{3: "310000", 4: "", 60: "0100000100060"})
		req.Purchase, req.Amount = 0, 0
		r.send(req)
		m := p.next()
		require.Equal(t, iso8583.MTI(0x0200), m.MTI())
		requireFields(t, m, map[int]string{3: "310000", 4: "", 11: "000009", 37: rrn(9), 60: "0100000100060"})
		p.write(p.frame(m, "00", func(b *iso8583.Builder) { b.SetString(54, "0202156C000000123456") }))
		got := r.server.answered()
		require.Equal(t, []any{engine.HostSale, rrn(9), "00"}, []any{got.Kind, got.RRN, got.Answer.Response})
		require.Equal(t, "0202156C000000123456", string(got.Balance))
		require.NotContains(t, got.Answer.String(), "123456", "a balance may not reach the journal")
	})
}

func TestReversalNamesWhatItTakesBack(t *testing.T) {
	for name, c := range map[string]struct {
		processing string
		class      byte
		original   string
	}{
		"sale":               {"", '2', "0200"},
		"void":               {"200000", '2', "0200"},
		"pre-authorisation":  {"030000", '1', "0100"},
		"void of a pre-auth": {"200000", '1', "0100"},
		"completion":         {"000000", '2', "0200"},
	} {
		t.Run(name, func(t *testing.T) {
			inEachStyle(t, func(t *testing.T, s style, r *rig, p *peer) {
				req := r.reversal(9)
				req.Processing, req.Key.Class = c.processing, c.class
				want := map[int]string{
					3: c.processing, 4: "000000479920", 11: "000009", 37: rrn(9), 39: "98", s.named: s.form(c.original, "000001", "000009", sentAt),
				}
				if c.processing == "" {
					want[3] = "000000"
				}
				r.send(req)
				first := p.next()
				require.Equal(t, iso8583.MTI(0x0400), first.MTI())
				requireFields(t, first, want)
				for attempt := uint32(2); attempt < 4; attempt++ {
					req.Attempt = attempt
					r.send(req)
					again := p.next()
					require.Equal(t, iso8583.MTI(0x0401), again.MTI(), "attempt %d carries the repeat flag", attempt)
					requireFields(t, again, want)
				}
			})
		})
	}
}

func TestRepeatedReversalIsAnsweredUnderAnyOfItsTypes(t *testing.T) {
	inEachStyle(t, func(t *testing.T, s style, r *rig, p *peer) {
		for n, mti := range []iso8583.MTI{0x0410, 0x0411, 0x0430} {
			req := r.reversal(uint32(n) + 1)
			req.Attempt = 2
			r.send(req)
			p.write(p.frameOf(mti, p.next(), "00", nil))
			got := r.server.answered()
			require.Equal(t, []any{engine.HostReversal, rrn(uint32(n) + 1), "00"}, []any{got.Kind, got.RRN, got.Answer.Response}, "%s", mti)
		}
	})
}

// One RRN, one DE11 and, within a second, one DE7: what tells the answers of a void and of its reversal apart is the family.
func TestEveryAnswerFindsItsRequestByFamily(t *testing.T) {
	for name, key := range map[string][]int{"RRN": {37}, "transmission": {7, 11}} {
		t.Run(name, func(t *testing.T) {
			r, p := connected(t, "iso87b", wire.NAC, func(c *Config) { c.MatchKey = key })
			reversal := r.reversal(9)
			reversal.TransmittedAt = sentAt.UnixNano()
			requests := []*engine.HostRequest{
				r.sale(7), r.request(engine.HostSale, 8, 0x0100, map[int]string{3: "030000", 25: "06"}), r.void(9), r.refund(10), reversal,
			}
			var sent []*iso8583.Message
			for _, req := range requests {
				r.send(req)
				sent = append(sent, p.next())
			}
			for i := len(sent) - 1; i >= 0; i-- {
				p.write(p.frame(sent[i], "00", func(b *iso8583.Builder) {
					if name == "transmission" {
						b.SetString(37, "NETWORKS-OWN")
					}
				}))
				got := r.server.answered()
				want := engine.HostSale
				if requests[i].Kind == engine.HostReversal {
					want = engine.HostReversal
				}
				require.Equal(t, []any{want, requests[i].RRN}, []any{got.Kind, got.RRN})
			}
		})
	}
}

func TestQueryIsNotAskedOfACardNetwork(t *testing.T) {
	r, p := connected(t, "cup", wire.CUP, nil)
	req := r.sale(7)
	req.Kind, req.Operation, req.Reversal, req.Attempt = engine.HostQuery, 5, 6, 2
	r.send(req)
	require.Equal(t, &engine.HostUnsent{
		Kind: engine.HostQuery, Purchase: 7, Operation: 5, Reversal: 6, Attempt: 2, RRN: rrn(7),
	}, r.server.unsent())
	r.send(r.sale(8))
	require.Equal(t, "000008", fieldOf(p.next(), 11), "the query never left")
}

func TestRequestsAreCountedByKind(t *testing.T) {
	r, p := connected(t, "cup", wire.CUP, nil)
	inquiry := r.request(engine.HostInquiry, 3, 0x0200, map[int]string{3: "310000", 4: ""})
	for _, req := range []*engine.HostRequest{r.sale(1), r.void(2), inquiry, r.refund(4), r.reversal(5)} {
		r.send(req)
		p.answer(p.next(), "00")
		r.server.answered()
	}
	for _, kind := range []string{"sale", "void", "refund", "inquiry", "reversal"} {
		require.Equal(t, 1.0, counted(t, r.metrics.requests.WithLabelValues("unionpay", kind, "sent")), kind)
		require.Equal(t, 1.0, counted(t, r.metrics.answers.WithLabelValues("unionpay", kind, "in_time")), kind)
	}
}

func counted(t *testing.T, counter prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	require.NoError(t, counter.Write(&m))
	return m.GetCounter().GetValue()
}
