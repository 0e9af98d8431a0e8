package host

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/switch/engine"
	"huanxin/switch/iso8583"
	"huanxin/switch/keys"
	"huanxin/switch/wire"
)

func TestSaleGoesUnchangedUnderTheSwitchsNumbers(t *testing.T) {
	r, p := connected(t, "cup", wire.CUP, nil)
	req := r.sale(7)
	original := r.orig[7]
	r.send(req)
	got := p.next()
	require.Equal(t, iso8583.MTI(0x0200), got.MTI())
	for _, n := range []int{2, 3, 4, 14, 22, 23, 25, 35, 41, 42, 49, 55, 60} {
		require.Equal(t, original.Raw(n), got.Raw(n), "field %d", n)
	}
	require.Equal(t, "000007", fieldOf(got, 11))
	require.Equal(t, rrn(7), fieldOf(got, 37))
	require.Equal(t, "48022100", fieldOf(got, 32))
}

func TestSubsidyTagsAndTerminalsPrivateFieldsStayInTheSwitch(t *testing.T) {
	r, p := connected(t, "cup", wire.CUP, nil)
	r.send(r.sale(7))
	got := p.next()
	require.Equal(t, "A3004CODEA2002XY", fieldOf(got, 59))
	for _, n := range []int{46, 57, 58, 62, 63, 64} {
		require.False(t, got.Has(n), "field %d", n)
	}
}

func TestOpaqueField59StaysInTheSwitch(t *testing.T) {
	require.Empty(t, appendATags(nil, []byte("BD30.621555,114.361954A260010202")))
	require.Equal(t, "A2002XY", string(appendATags(nil, []byte("S1003123A2002XYjunk"))))
}

func TestSaleCrossesDialects(t *testing.T) {
	r, p := connected(t, "iso87b", wire.NAC, nil)
	r.send(r.sale(7))
	got := p.next()
	for n, want := range map[int]string{
		2: "6224240000000017", 4: "000000479920", 7: "0618100512", 11: "000007", 22: "052", 23: "001",
		35: "6224240000000017D301222010000000000", 37: rrn(7), 41: "21010001", 60: "2200000100060",
	} {
		require.Equal(t, want, fieldOf(got, n), "field %d", n)
	}
	require.Equal(t, r.orig[7].AppendField(nil, 55), got.AppendField(nil, 55))
}

func TestReversalIsBuiltFromTheCardRecord(t *testing.T) {
	for _, c := range []struct {
		dialect string
		framing wire.Framing
		want    map[int]string
	}{
		{"cup", wire.CUP, map[int]string{61: "0000010000070618"}},
		{"iso87b", wire.NAC, map[int]string{7: "0618100612", 90: "0200" + "000007" + "0618100512" + "00048022100" + "00000000000"}},
		{"iso87a", wire.ASCII4, map[int]string{7: "0618100612"}},
	} {
		t.Run(c.dialect, func(t *testing.T) {
			r, p := connected(t, c.dialect, c.framing, nil)
			r.send(r.reversal(7))
			got := p.next()
			require.Equal(t, iso8583.MTI(0x0400), got.MTI())
			want := map[int]string{
				2: "6224240000000017", 3: "000000", 4: "000000479920", 11: "000007", 14: "3012", 22: "052", 23: "001",
				25: "00", 37: rrn(7), 38: "123456", 39: "98", 41: "21010001", 42: "898210157220001", 49: "156", 60: "2200000100060",
			}
			for n, v := range c.want {
				want[n] = v
			}
			for n, v := range want {
				require.Equal(t, v, fieldOf(got, n), "field %d", n)
			}
			require.Equal(t, record().ICC, got.AppendField(nil, 55))
			require.False(t, got.Has(35))
			require.False(t, got.Has(52))
		})
	}
}

func TestReversalOfAPaymentCodeCarriesTheCode(t *testing.T) {
	r, p := connected(t, "cup", wire.CUP, nil)
	r.hosts.hosts["unionpay"].deps.Cards = fakeCards{func() keys.CardRecord {
		card := record()
		card.PAN, card.Expiry, card.Sequence, card.ICC, card.QRCode = nil, nil, nil, nil, []byte("6220485073630469936")
		return card
	}}
	r.send(r.reversal(7))
	got := p.next()
	require.False(t, got.Has(2))
	require.Equal(t, "A30196220485073630469936", fieldOf(got, 59))
}

func TestAnswerIsSubmittedUnderTheSwitchsNumbers(t *testing.T) {
	r, p := connected(t, "cup", wire.CUP, nil)
	r.send(r.sale(7))
	m := p.next()
	p.write(p.frame(m, "10", func(b *iso8583.Builder) {
		b.SetString(4, "000000200000")
		b.SetString(12, "100513")
		b.SetString(13, "0618")
		b.SetString(15, "0619")
		b.SetString(32, "48022900")
		b.SetString(38, "654321")
		b.SetString(44, "48022900   48022900   ")
		b.SetString(63, "CUP")
		b.Set(55, []byte("\x91\x02\xAB\xCD\x5A\x08\x62\x24\x24\x00\x00\x00\x00\x17\x8A\x0200"))
	}))
	got := r.server.answered()
	require.Equal(t, engine.HostSale, got.Kind)
	require.Equal(t, "unionpay", got.Host)
	require.Equal(t, rrn(7), got.RRN)
	require.Equal(t, uint32(7), got.STAN)
	a := &got.Answer
	require.Equal(t, []string{"10", "654321", "0619", "100513", "0618", "CUP", "48022900"},
		[]string{a.Response, a.Approval, a.ClearingDate, a.LocalTime, a.LocalDate, string(a.Network), a.Acquirer})
	require.Equal(t, int64(200000), a.Amount)
	require.Equal(t, []byte("\x91\x02\xAB\xCD\x8A\x0200"), a.Icc, "nothing of the card may reach the journal")
}

func TestNetworksOwnReferenceIsNotTakenForOurs(t *testing.T) {
	r, p := connected(t, "iso87b", wire.NAC, func(c *Config) { c.MatchKey = []int{7, 11} })
	r.send(r.sale(7))
	m := p.next()
	p.write(p.frame(m, "00", func(b *iso8583.Builder) { b.SetString(37, "NETWORKS-OWN") }))
	require.Equal(t, rrn(7), r.server.answered().RRN)

	p.write(p.frame(m, "00", func(b *iso8583.Builder) {
		b.SetString(11, "000008")
		b.SetString(37, "NETWORKS-OWN")
	}))
	got := r.server.answered()
	require.Empty(t, got.RRN)
	require.Equal(t, uint32(8), got.STAN)
	require.Equal(t, "0618100512", got.TransmittedAt)
}

func TestTransmissionTimeIsGivenBackInChinaTime(t *testing.T) {
	r, p := connected(t, "iso87b", wire.NAC, func(c *Config) { c.MatchKey, c.Zone = []int{7, 11}, time.UTC })
	r.send(r.sale(7))
	m := p.next()
	require.Equal(t, "0618020512", fieldOf(m, 7))
	p.answer(m, "00")
	got := r.server.answered()
	require.Equal(t, "0618100512", got.TransmittedAt)
	require.Equal(t, rrn(7), got.RRN)
}

func TestLateRepeatedAndUnaskedAnswersAreSubmitted(t *testing.T) {
	r, p := connected(t, "cup", wire.CUP, nil)
	r.send(r.sale(7))
	m := p.next()
	r.clockMu.Lock()
	r.skew = 2 * time.Hour
	r.clockMu.Unlock()
	p.answer(m, "00")
	p.answer(m, "00")
	p.write(p.frame(m, "51", func(b *iso8583.Builder) { b.SetString(37, rrn(99)) }))
	require.Equal(t, rrn(7), r.server.answered().RRN)
	require.Equal(t, rrn(7), r.server.answered().RRN)
	unasked := r.server.answered()
	require.Equal(t, rrn(99), unasked.RRN)
	require.Equal(t, "51", unasked.Answer.Response)
}

func TestReversalAnswerIsToldFromSaleAnswer(t *testing.T) {
	r, p := connected(t, "cup", wire.CUP, nil)
	r.send(r.sale(7))
	r.send(r.reversal(7))
	sale, reversal := p.next(), p.next()
	p.answer(reversal, "00")
	p.answer(sale, "00")
	require.Equal(t, engine.HostReversal, r.server.answered().Kind)
	require.Equal(t, engine.HostSale, r.server.answered().Kind)
}

func TestRequestIsUnsentWhileTheLinkIsDown(t *testing.T) {
	r := start(t, "cup", wire.CUP, nil)
	r.network.accept() // connected, but not signed on
	r.send(r.sale(7))
	require.Equal(t, &engine.HostUnsent{Kind: engine.HostSale, Purchase: 7, RRN: rrn(7)}, r.server.unsent())
	r.send(r.refund(9))
	require.Equal(t, &engine.HostUnsent{Kind: engine.HostRefund, Purchase: 7, Operation: 9, RRN: rrn(9)}, r.server.unsent())
	r.send(r.reversal(8))
	require.Equal(t, &engine.HostUnsent{Kind: engine.HostReversal, Purchase: 8, Reversal: 108, Attempt: 1, RRN: rrn(8)}, r.server.unsent())
	require.Equal(t, []string{"unionpay"}, r.hosts.Down())
}

func TestRequestThatCannotBeEncodedIsUnsent(t *testing.T) {
	r, _ := connected(t, "cup", wire.CUP, nil)
	req := r.sale(7)
	delete(r.orig, 7)
	r.send(req)
	require.Equal(t, uint64(7), r.server.unsent().Purchase)
	reversal := r.reversal(8)
	reversal.Card = nil
	r.send(reversal)
	require.Equal(t, uint64(108), r.server.unsent().Reversal)
	unknown := r.sale(9)
	unknown.Host = "elsewhere"
	r.send(unknown)
	require.Equal(t, uint64(9), r.server.unsent().Purchase)
}

func TestExpiredRequestIsUnsent(t *testing.T) {
	r, p := connected(t, "cup", wire.CUP, nil)
	req := r.sale(7)
	req.Deadline = r.now().Add(-time.Second).UnixNano()
	r.send(req)
	require.Equal(t, uint64(7), r.server.unsent().Purchase)
	r.send(r.sale(8))
	require.Equal(t, "000008", fieldOf(p.next(), 11), "the expired one never left")
}

func TestFullWindowAndQueueLeaveTheRestUnsent(t *testing.T) {
	r, p := connected(t, "cup", wire.CUP, func(c *Config) { c.InFlight, c.Queue = 1, 1 })
	r.send(r.sale(1))
	first := p.next() // on the wire: the window is full
	r.send(r.sale(2))
	r.send(r.sale(3))
	require.Equal(t, uint64(3), r.server.unsent().Purchase)
	p.answer(first, "00")
	require.Equal(t, rrn(1), r.server.answered().RRN)
	require.Equal(t, "000002", fieldOf(p.next(), 11))
}

func TestOnlyWhatNoWriterTookIsUnsentWhenTheConnectionDies(t *testing.T) {
	r, p := connected(t, "cup", wire.CUP, func(c *Config) { c.InFlight = 1 })
	r.send(r.sale(1))
	p.next()
	r.send(r.sale(2)) // waits for the window
	p.nc.Close()
	require.Equal(t, uint64(2), r.server.unsent().Purchase)
	again := r.network.accept()
	again.logOn()
	r.server.up() // and nothing about sale 1: it may have been charged
	r.send(r.sale(4))
	require.Equal(t, "000004", fieldOf(again.next(), 11), "a sale is never written twice")
}

func TestHalfAnAnswerEndsTheConnectionOnly(t *testing.T) {
	r, p := connected(t, "cup", wire.CUP, nil)
	r.send(r.sale(1))
	frame := p.frame(p.next(), "00", nil)
	p.write(frame[:len(frame)/2])
	p.nc.Close()
	again := r.network.accept()
	again.logOn()
	r.server.up()
	r.send(r.sale(2))
	again.answer(again.next(), "00")
	require.Equal(t, rrn(2), r.server.answered().RRN)
}

func TestGarbageFromTheNetworkEndsTheConnection(t *testing.T) {
	r, p := connected(t, "cup", wire.CUP, nil)
	p.write([]byte{0xff, 0xff, 0x00})
	_, err := p.read()
	require.ErrorIs(t, err, io.EOF)
	r.network.accept().logOn()
	r.server.up()
}

func TestMessageThatDoesNotParseIsPassedOver(t *testing.T) {
	r, p := connected(t, "cup", wire.CUP, nil)
	p.write(p.wrap([]byte{0x02, 0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00}))
	r.send(r.sale(1))
	m := p.next()
	p.write(p.frame(m, "00", func(b *iso8583.Builder) { b.Remove(39) }))
	p.answer(m, "00")
	require.Equal(t, "00", r.server.answered().Answer.Response)
}

func TestRefusedSignOnIsTriedAgain(t *testing.T) {
	r := start(t, "iso87b", wire.NAC, nil)
	p := r.network.accept()
	m := p.next()
	require.Equal(t, "001", fieldOf(m, 70))
	p.answer(m, "91")
	again := r.network.accept()
	again.logOn()
	r.server.up()
	require.Empty(t, r.hosts.Down())
}

func TestSilentLineIsProbedAndGivenUp(t *testing.T) {
	r, p := connected(t, "cup", wire.CUP, func(c *Config) {
		c.Echo, c.EchoTimeout = 20*time.Millisecond, 500*time.Millisecond
	})
	echo := p.next()
	require.Equal(t, iso8583.MTI(0x0820), echo.MTI())
	require.Equal(t, "00000000301", fieldOf(echo, 60))
	p.answer(echo, "00")
	require.Equal(t, iso8583.MTI(0x0820), p.next().MTI()) // still there; this one stays unanswered
	again := r.network.accept()
	again.logOn()
	r.server.up()
}

func TestNetworksEchoIsAnswered(t *testing.T) {
	_, p := connected(t, "iso87b", wire.NAC, nil)
	var b iso8583.Builder
	b.Reset(p.f.codec, 0x0800)
	b.SetString(7, "0618100512")
	b.SetString(11, "000042")
	b.SetString(70, "301")
	body, err := b.Append(nil)
	require.NoError(t, err)
	p.write(p.wrap(body))
	got := p.next()
	require.Equal(t, iso8583.MTI(0x0810), got.MTI())
	require.Equal(t, []string{"000042", "301", "00"}, []string{fieldOf(got, 11), fieldOf(got, 70), fieldOf(got, 39)})
}

func TestOverloadedServerLosesNoAnswer(t *testing.T) {
	const answers = 50
	r, p := connected(t, "cup", wire.CUP, func(c *Config) { c.Queue = 2 }) // so the outbox holds two
	r.server.mu.Lock()
	r.server.refuse = 3
	r.server.mu.Unlock()
	var m *iso8583.Message
	for n := range uint32(answers) {
		r.send(r.sale(n + 1))
		m = p.next()
		p.answer(m, "00")
		if n == 0 {
			select {
			case <-r.server.refused:
			case <-time.After(patience):
				require.Fail(t, "nothing was refused")
			}
		}
	}
	for n := range uint32(answers) {
		require.Equal(t, rrn(n+1), r.server.answered().RRN)
	}
}

func TestReversalNeverOvertakesItsSale(t *testing.T) {
	r := start(t, "cup", wire.CUP, func(c *Config) { c.Connections = 3 })
	type arrival struct {
		mti iso8583.MTI
		rrn string
	}
	const sales = 300
	arrived := make(chan []arrival, 3)
	for range 3 {
		p := r.network.accept()
		p.logOn()
		r.server.up()
		go func() {
			var list []arrival
			for {
				m, err := p.read()
				if err != nil {
					arrived <- list
					return
				}
				list = append(list, arrival{m.MTI(), fieldOf(m, 37)})
				if fieldOf(m, 39) == "06" { // the test's last word to this slot
					arrived <- list
					return
				}
			}
		}()
	}
	for n := range uint32(sales) {
		for _, req := range []*engine.HostRequest{r.sale(n + 1), r.reversal(n + 1)} {
			req.Key = key(fmt.Sprintf("%08d", n%17))
			r.send(req)
		}
	}
	for slot := range 3 {
		last := r.reversal(sales + 1)
		last.Reason = "06"
		for n := 0; r.hosts.hosts["unionpay"].slot(&last.Key) != slot; n++ {
			last.Key = key(fmt.Sprintf("%08d", n))
		}
		r.send(last)
	}
	seen, reversed := 0, 0
	for range 3 {
		charged := map[string]bool{}
		for _, a := range <-arrived {
			switch {
			case a.mti == 0x0200:
				charged[a.rrn] = true
				seen++
			case a.rrn != rrn(sales+1):
				require.Equal(t, iso8583.MTI(0x0400), a.mti)
				reversed++
				require.True(t, charged[a.rrn], "reversal of %s came first", a.rrn)
			}
		}
	}
	require.Equal(t, []int{sales, sales}, []int{seen, reversed})
}

func TestBackOffDoublesWithinItsBounds(t *testing.T) {
	r := start(t, "cup", wire.CUP, func(c *Config) { c.ReconnectMin, c.ReconnectMax = 100*time.Millisecond, 3*time.Second })
	h := r.hosts.hosts["unionpay"]
	rapid.Check(t, func(t *rapid.T) {
		failures := rapid.IntRange(0, 1000).Draw(t, "failures")
		want := 3 * time.Second
		if failures < 5 {
			want = 100 * time.Millisecond << failures
		}
		got := h.backOff(failures)
		require.GreaterOrEqual(t, got, want/2)
		require.LessOrEqual(t, got, want)
	})
}

// TestBackOffStartsAnewOnlyAfterALinkHasLived watches which of two addresses is dialled: the number of failures chooses it.
func TestBackOffStartsAnewOnlyAfterALinkHasLived(t *testing.T) {
	first := listen(t, codecOf(t, "cup"), wire.CUP)
	r := start(t, "cup", wire.CUP, func(c *Config) {
		c.Addresses = append([]string{first.listener.Addr().String()}, c.Addresses...)
		c.ReconnectMax = time.Hour
	})
	drop := func(f *fakeNetwork, after time.Duration) {
		p := f.accept()
		p.logOn()
		r.server.up()
		r.clockMu.Lock()
		r.skew += after
		r.clockMu.Unlock()
		p.nc.Close()
	}
	drop(first, 0)             // no failure before it
	drop(r.network, 0)         // one
	drop(first, 2*time.Hour)   // two: it was not forgotten that the other two were dropped; this one lives
	drop(r.network, time.Hour) // one
	drop(r.network, 0)         // one again
	first.accept()             // two
}

func TestMatcherForgetsTheOldest(t *testing.T) {
	m := newMatcher(2)
	at := time.Now()
	keyOf := func(n uint32) matchKey { return matchKey{de37: [12]byte([]byte(rrn(n)))} }
	for n := range uint32(3) {
		m.remember(&pending{key: keyOf(n), deadline: at.Add(time.Hour)})
	}
	_, v := m.answer(keyOf(0), at)
	require.Equal(t, unasked, v)
	_, v = m.answer(keyOf(2), at)
	require.Equal(t, inTime, v)
	_, v = m.answer(keyOf(2), at)
	require.Equal(t, repeated, v)
	require.Len(t, m.entries, 2)
}

func TestProfilesThatCannotWorkAreRefused(t *testing.T) {
	good := Config{Name: "a", Addresses: []string{"127.0.0.1:1"}, Framing: wire.ASCII4, Codec: codecOf(t, "iso87a")}
	_, err := good.withDefaults()
	require.NoError(t, err)
	for name, change := range map[string]func(*Config){
		"name":      func(c *Config) { c.Name = "" },
		"addresses": func(c *Config) { c.Addresses = nil },
		"codec":     func(c *Config) { c.Codec = nil },
		"framing":   func(c *Config) { c.Framing = wire.CUP },
		"key field": func(c *Config) { c.MatchKey = []int{41} },
		"STAN only": func(c *Config) { c.MatchKey = []int{11} },
		"no DE7":    func(c *Config) { c.Codec, c.MatchKey = codecOf(t, "cup"), []int{7, 11} },
		"back-off":  func(c *Config) { c.ReconnectMin, c.ReconnectMax = time.Second, time.Millisecond },
		"acquirer":  func(c *Config) { c.Acquirer = "ABC" },
		"queue":     func(c *Config) { c.Queue = -1 },
		"original":  func(c *Config) { c.Original = "de62" },
	} {
		cfg := good
		change(&cfg)
		_, err := cfg.withDefaults()
		require.ErrorIs(t, err, ErrConfig, name)
	}
	metrics := &Metrics{}
	_, err = New([]Config{good, good}, Deps{Metrics: metrics})
	require.ErrorIs(t, err, ErrConfig)
}

func TestRequestsOfABatchLeaveInOrderWithTheFlush(t *testing.T) {
	r, p := connected(t, "cup", wire.CUP, nil)
	queue := r.hosts.hosts["unionpay"].links[0].queue
	for n := range uint32(20) {
		r.hosts.Send(r.sale(n + 1))
	}
	require.Empty(t, queue.wake, "the writer sleeps until the last request of the batch is queued")
	r.hosts.Flush()
	var answers []byte
	for n := range uint32(20) {
		m := p.next()
		require.Equal(t, rrn(n+1), fieldOf(m, 37))
		answers = append(answers, p.frame(m, "00", nil)...)
	}
	p.write(answers)
	for n := range uint32(20) {
		require.Equal(t, rrn(n+1), r.server.answered().RRN)
	}
}
