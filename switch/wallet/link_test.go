package wallet

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"pgregory.net/rapid"

	"huanxin/switch/engine"
	"huanxin/switch/keys"
)

// bubble runs a test whose time moves only when everybody waits.
func bubble(t *testing.T, test func(t *testing.T)) { synctest.Test(t, test) }

func TestPaymentIsBuiltFromTheSealedCodeAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := up(t, nil)
		req := r.payment(7, 99) // a terminal waits, but its message is nobody's business
		r.links.Send(req)
		in := r.answered()
		require.Equal(t, engine.HostSale, in.Kind)
		require.Equal(t, rrn(7), in.RRN)
		require.Equal(t, "00", in.Answer.Response)
		require.EqualValues(t, 399900, in.Answer.Amount)
		require.Equal(t, []string{"100512", "0618", "0618"}, []string{in.Answer.LocalTime, in.Answer.LocalDate, in.Answer.ClearingDate})
		require.Equal(t, "2025061822001400000000000001", string(in.Answer.Network))
		at := time.Unix(0, req.TransmittedAt).In(time.FixedZone("", 8*3600)).Format(time.RFC3339)
		require.Equal(t, []order{{"POST", "/base/v1/payments", `{"payment":"` + rrn(7) + `","amount_fen":399900,"code":"` + testCode +
			`","merchant":"898210157220001","terminal":"21010001","at":"` + at + `"}`}}, r.wallet.seen())
	})
}

func TestPathThatIsSignedIsThatOfTheRequestLine(t *testing.T) {
	for url, want := range map[string]string{
		"http://wallet": "/v1/payments", "http://wallet/": "/v1/payments", "http://wallet/base/": "/base/v1/payments", "http://wallet/a%20b": "/a b/v1/payments",
	} {
		t.Run(url, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := start(t, func(c *Config) { c.URL = url })
				later(time.Millisecond)
				r.links.Send(r.payment(7, 1))
				synctest.Wait()
				require.Equal(t, want, r.wallet.seen()[0].path)
			})
		})
	}
}

func TestPaymentOverHTTPHasNoTerminal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := up(t, nil)
		req := r.payment(7, 0)
		req.Key.Terminal = [8]byte{}
		r.links.Send(req)
		require.Equal(t, "sale 00", say(r.answered()))
		require.Contains(t, r.wallet.seen()[0].body, `"terminal":""`)
	})
}

// every act, what it asks of the wallet, and what each state of it means.
func TestEveryStatusMeansWhatThePackageCommentSays(t *testing.T) {
	original := engine.OriginalData{RRN: rrn(1)}
	for _, c := range []struct {
		name      string
		kind      engine.HostKind
		operation uint64
		order     string
		means     map[Status]string
	}{
		{"payment", engine.HostSale, 0, "POST /base/v1/payments",
			map[Status]string{Paid: "sale 00", Declined: "sale 51", Closed: "sale 12", Pending: "sale pending"}},
		{"query of a payment", engine.HostQuery, 0, "GET /base/v1/payments/" + rrn(1),
			map[Status]string{Paid: "query 00", Declined: "query 12", Closed: "query 12", Pending: "query pending", "": "query pending"}},
		{"query of a refund", engine.HostQuery, 5, "GET /base/v1/refunds/" + rrn(1),
			map[Status]string{Done: "query 00", Refused: "query 51", Closed: "query 12", Pending: "query pending", "": "query pending"}},
		{"refund", engine.HostRefund, 5, "POST /base/v1/payments/" + rrn(1) + "/refunds",
			map[Status]string{Done: "sale 00", Refused: "sale 51", Closed: "sale 12", Pending: "sale pending"}},
		{"void", engine.HostVoid, 5, "POST /base/v1/payments/" + rrn(1) + "/refunds",
			map[Status]string{Done: "sale 00", Refused: "sale 51", Closed: "sale 12", Pending: "sale pending"}},
		{"cancellation", engine.HostReversal, 0, "POST /base/v1/payments/" + rrn(1) + "/cancel",
			map[Status]string{Closed: "reversal 00", Declined: "reversal 12", Pending: "reversal 96", Paid: "reversal 40"}},
		{"cancellation of a refund", engine.HostReversal, 5, "POST /base/v1/refunds/" + rrn(1) + "/cancel",
			map[Status]string{Closed: "reversal 00", Refused: "reversal 12", Pending: "reversal 96", Done: "reversal 40"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := up(t, nil)
				for status, want := range c.means {
					req := r.request(c.kind, 2)
					req.Operation, req.Original = c.operation, original
					about := rrn(1)
					if c.kind == engine.HostSale {
						req, about = r.payment(2, 1), rrn(2)
					} else if c.kind == engine.HostRefund || c.kind == engine.HostVoid {
						about = rrn(2)
					}
					// The wallet says just this, whatever it is asked.
					r.wallet.mu.Lock()
					r.wallet.mode = speaksNonsense
					r.wallet.nonsense = fmt.Sprintf(`{"payment":%q,"refund":%q,"status":%q,"amount_fen":399900,"reason":"INSUFFICIENT_BALANCE"}`,
						about, about, status)
					if status == "" {
						r.wallet.mode = works
					}
					r.wallet.orders = nil
					r.wallet.mu.Unlock()
					r.links.Send(req)
					in := r.answered()
					require.Equal(t, want, say(in), "%s", status)
					require.Equal(t, rrn(2), in.RRN, "the answer is to the request that was sent")
					require.Equal(t, c.order, r.wallet.seen()[0].method+" "+r.wallet.seen()[0].path)
				}
			})
		})
	}
}

// A refund that never reached the wallet is barred after a minute, so that "not given back" can be final.
func TestRefundThatTheWalletHasNeverHeardOfIsWithdrawn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := up(t, nil)
		sent := time.Now()
		ask := func(known bool) *engine.HostRequest {
			req := r.request(engine.HostQuery, 2)
			req.Operation, req.Original.RRN = 1, rrn(2)
			if known {
				req.Original.TransmittedAt = sent.UnixNano()
			}
			return req
		}
		later(59 * time.Second)
		r.links.Send(ask(true))
		require.Equal(t, "query pending", say(r.answered()), "it may still arrive")
		later(time.Second)
		r.links.Send(ask(false))
		require.Equal(t, "query pending", say(r.answered()), "nobody knows when it was sent")
		require.Len(t, r.wallet.seen(), 2)
		r.links.Send(ask(true))
		require.Equal(t, "query 12", say(r.answered()))
		require.Equal(t, order{"POST", "/base/v1/refunds/" + rrn(2) + "/cancel", ""}, r.wallet.seen()[3])

		late := r.request(engine.HostRefund, 2)
		late.Operation, late.Original.RRN = 1, rrn(1)
		r.links.Send(late)
		require.Equal(t, "sale 12", say(r.answered()), "its order comes at last, and is barred")

		// One that arrives between the question and its withdrawal counts.
		r.wallet.mu.Lock()
		r.wallet.arrives = rrn(3)
		r.wallet.mu.Unlock()
		req := ask(true)
		req.RRN, req.Original.RRN = rrn(3), rrn(3)
		r.links.Send(req)
		require.Equal(t, "query 00", say(r.answered()))
	})
}

func TestRefundAndVoidNameTheirOwnNumberAndAmount(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := up(t, nil)
		for _, kind := range []engine.HostKind{engine.HostVoid, engine.HostRefund} {
			req := r.request(kind, uint32(kind))
			req.Original.RRN, req.Operation, req.Amount = rrn(1), 1, 12345
			r.links.Send(req)
			in := r.answered()
			require.Equal(t, "sale 00", say(in))
			require.Equal(t, rrn(uint32(kind)), in.RRN)
			require.Equal(t, "0619", in.Answer.ClearingDate)
			seen := r.wallet.seen()
			require.Equal(t, `{"refund":"`+rrn(uint32(kind))+`","amount_fen":12345}`, seen[len(seen)-1].body)
		}
	})
}

// A wallet works, fails, or works and reports failure. Only what cannot have left is unsent; of everything else the end is
// open, but a cancellation is simply repeated.
func TestOutcomeIsOpenUnlessTheWalletSaysIt(t *testing.T) {
	for m, name := range map[mode]string{fails: "503", reportsFalse: "500", losesAnswer: "lost answer", stalls: "silence", loses: "lost request"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := up(t, nil)
				r.wallet.set(m)
				refund := r.request(engine.HostRefund, 2)
				refund.Original.RRN, refund.Operation = rrn(1), 1
				query := r.request(engine.HostQuery, 3)
				cancel := r.request(engine.HostReversal, 4)
				cancel.Reversal, cancel.Attempt = 9, 1
				for req, want := range map[*engine.HostRequest]string{
					r.payment(1, 1): "sale pending", refund: "sale pending", query: "query pending", cancel: "",
				} {
					req.Deadline = time.Now().Add(15 * time.Second).UnixNano()
					r.links.Send(req)
					later(15 * time.Second)
					bodies := r.server.take()
					if want == "" {
						require.Empty(t, bodies)
						continue
					}
					require.Len(t, bodies, 1)
					require.Equal(t, want, say(bodies[0].(*engine.HostAnswered)))
				}
			})
		})
	}
}

func TestAnswerThatSaysNothingLeavesTheEndOpen(t *testing.T) {
	for name, text := range map[string]string{
		"empty":                "",
		"not JSON":             "<html>",
		"a list":               "[]",
		"two objects":          `{"payment":"` + rrn(1) + `","status":"paid","amount_fen":1}{}`,
		"another payment":      `{"payment":"` + rrn(2) + `","status":"paid","amount_fen":399900}`,
		"no number":            `{"status":"paid","amount_fen":399900}`,
		"unknown status":       `{"payment":"` + rrn(1) + `","status":"PAID","amount_fen":399900}`,
		"a refund's status":    `{"payment":"` + rrn(1) + `","status":"done","amount_fen":399900}`,
		"paid without amount":  `{"payment":"` + rrn(1) + `","status":"paid"}`,
		"amount with fraction": `{"payment":"` + rrn(1) + `","status":"paid","amount_fen":1.5}`,
		"negative amount":      `{"payment":"` + rrn(1) + `","status":"paid","amount_fen":-1}`,
		"too long":             `{"payment":"` + rrn(1) + `","status":"paid","amount_fen":1,"trade":"` + strings.Repeat("1", maxBody) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := up(t, nil)
				r.wallet.mu.Lock()
				r.wallet.mode, r.wallet.nonsense = speaksNonsense, text
				r.wallet.mu.Unlock()
				r.links.Send(r.payment(1, 1))
				require.Equal(t, "sale pending", say(r.answered()))
			})
		})
	}
}

func TestAmountOfThePayersChargeIsPassedOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := up(t, nil)
		r.wallet.mu.Lock()
		r.wallet.mode = speaksNonsense
		r.wallet.nonsense = `{"payment":"` + rrn(1) + `","status":"paid","amount_fen":100,"trade":"\u0007","paid_at":"yesterday","new_field":1}`
		r.wallet.mu.Unlock()
		r.links.Send(r.payment(1, 1))
		in := r.answered()
		require.EqualValues(t, 100, in.Answer.Amount, "the engine sees that it is another")
		require.Empty(t, in.Answer.Network)
		require.Empty(t, in.Answer.ClearingDate)
	})
}

func TestRequestIsUnsentWhenNobodyCanBeDialled(t *testing.T) {
	for name, hangs := range map[string]bool{"refused": false, "no answer to the dial": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := start(t, func(c *Config) { c.AttemptTimeout = 4 * time.Second })
				r.wallet.net.set(!hangs, hangs)
				r.stopIdle()
				r.server.take()
				req := r.payment(1, 1)
				r.links.Send(req)
				later(5 * time.Second)
				require.Equal(t, []any{&engine.HostUnsent{Kind: engine.HostSale, Purchase: 1, RRN: rrn(1)}}, r.server.take())
				cancel := r.request(engine.HostReversal, 2)
				cancel.Operation, cancel.Reversal, cancel.Attempt = 3, 4, 5
				r.links.Send(cancel)
				later(5 * time.Second)
				require.Equal(t, []any{&engine.HostUnsent{
					Kind: engine.HostReversal, Purchase: 2, Operation: 3, Reversal: 4, Attempt: 5, RRN: rrn(2)}}, r.server.take())
				require.Empty(t, r.wallet.seen())
			})
		})
	}
}

// stopIdle closes the connections that are kept open, so that the next request has to dial.
func (r *rig) stopIdle() {
	synctest.Wait()
	r.links.links[walletName].client.CloseIdleConnections()
}

func TestFullQueueLeavesTheRestUnsentAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := up(t, func(c *Config) { c.Connections, c.Queue = 1, 2 })
		r.wallet.set(stalls)
		r.links.Send(r.payment(1, 1))
		synctest.Wait() // under way
		r.links.Send(r.payment(2, 1))
		r.links.Send(r.payment(3, 1))
		r.links.Send(r.payment(4, 1))
		require.Equal(t, []any{&engine.HostUnsent{Kind: engine.HostSale, Purchase: 4, RRN: rrn(4)}}, r.server.take())
	})
}

func TestRequestThatHasWaitedTooLongIsUnsent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := up(t, func(c *Config) { c.Connections = 1 })
		r.wallet.set(stalls)
		r.links.Send(r.payment(1, 1))
		synctest.Wait()
		late := r.payment(2, 1)
		late.Deadline = time.Now().Add(5 * time.Second).UnixNano()
		r.links.Send(late)
		later(11 * time.Second)
		bodies := r.server.take()
		require.Len(t, bodies, 2)
		require.Equal(t, "sale pending", say(bodies[0].(*engine.HostAnswered)))
		require.Equal(t, &engine.HostUnsent{Kind: engine.HostSale, Purchase: 2, RRN: rrn(2)}, bodies[1])
		require.Len(t, r.wallet.seen(), 1)
	})
}

func TestRequestThatCannotBeBuiltIsUnsent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := up(t, nil)
		noCard := r.request(engine.HostSale, 1)
		byCard := r.request(engine.HostSale, 2)
		byCard.Card = r.card(keys.CardRecord{PAN: []byte("6224240000000017"), EntryMode: []byte("051")})
		damaged := r.payment(3, 1)
		damaged.Card.Envelope[20] ^= 1
		inquiry := r.request(engine.HostInquiry, 4)
		numberless := r.payment(5, 1)
		numberless.RRN = "5169/../000"
		elsewhere := r.payment(6, 1)
		elsewhere.Host = "nowhere"
		for _, req := range []*engine.HostRequest{noCard, byCard, damaged, inquiry, numberless, elsewhere} {
			r.links.Send(req)
			require.Equal(t, []any{unsent(req)}, r.server.take())
		}
		require.Empty(t, r.wallet.seen())
	})
}

func TestOverloadedServerLosesNoAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := up(t, nil)
		r.server.mu.Lock()
		r.server.refuse = 20
		r.server.mu.Unlock()
		for n := range uint32(30) {
			r.links.Send(r.payment(n+1, 1))
		}
		later(10 * time.Second)
		got := map[string]bool{}
		for _, body := range r.server.take() {
			got[body.(*engine.HostAnswered).RRN] = true
		}
		require.Len(t, got, 30)
	})
}

func TestHostUpFollowsEveryReturnOfTheWallet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := up(t, nil)
		r.wallet.net.set(true, false)
		r.stopIdle()
		r.links.Send(r.payment(1, 1)) // fails, and has the wallet looked at
		later(time.Second)
		require.Equal(t, []any{&engine.HostUnsent{Kind: engine.HostSale, Purchase: 1, RRN: rrn(1)}}, r.server.take())
		require.ErrorIs(t, r.links.Down()[walletName], errNoAnswer)
		r.wallet.net.set(false, false)
		later(time.Minute)
		require.Equal(t, []any{&engine.HostUp{Host: walletName}}, r.server.take())
		require.Empty(t, r.links.Down())
	})
}

func TestWalletThatAnswersOtherwiseIsNotUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, nil)
		r.wallet.set(fails)
		later(time.Hour)
		require.ErrorIs(t, r.links.Down()[walletName], errElsewhere)
		r.wallet.set(works)
		later(time.Hour)
		require.Empty(t, r.links.Down())
	})
}

func TestWorkersStopWithTheProcessAndTellNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := up(t, func(c *Config) { c.Connections = 1 })
		r.wallet.set(stalls)
		r.links.Send(r.payment(1, 1))
		r.links.Send(r.payment(2, 1))
		synctest.Wait()
		r.stop()
		require.Empty(t, r.server.take())
		require.Empty(t, r.links.links[walletName].queue)
	})
}

func TestPaymentCodeIsWipedAndNeverLogged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := up(t, nil)
		for _, m := range []mode{works, fails, stalls, losesAnswer, loses} {
			r.wallet.set(m)
			request, err := newRequest(r.payment(uint32(m)+1, 1), r.vault)
			require.NoError(t, err)
			require.Contains(t, string(request.body.data), testCode)
			r.links.links[walletName].carry(context.Background(), request)
			require.NotContains(t, string(request.body.data), testCode[:4])
			_, err = request.body.reader().Read(make([]byte, 10))
			require.ErrorIs(t, err, errWiped)
		}
		for _, entry := range r.logs.All() {
			require.NotContains(t, fmt.Sprint(entry.Message, entry.ContextMap()), testCode)
			require.NotContains(t, fmt.Sprint(entry.ContextMap()), testSecret)
		}
	})
}

// A wallet that has closed an idle connection just now is no lost payment: the order goes over another connection.
func TestIdleConnectionThatTheWalletHasClosedIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := up(t, func(c *Config) { c.Connections = 1 })
		r.links.Send(r.payment(1, 1))
		require.Equal(t, "sale 00", say(r.answered()))
		r.wallet.mu.Lock()
		r.wallet.mode = loses
		r.wallet.mu.Unlock()
		r.links.Send(r.payment(2, 1))
		require.Equal(t, "sale pending", say(r.answered()), "not for ever: a new connection is tried once")
		require.LessOrEqual(t, len(r.wallet.seen()), 4)
	})
}

func TestBackOffDoublesWithinItsBounds(t *testing.T) {
	l, err := newLink(mustDefaults(t, Config{Name: "a", URL: "http://127.0.0.1:1", Key: testKey(t)}), &Deps{
		Logger: zap.NewNop(), Metrics: testMetrics(t), Rand: mathrand.New(mathrand.NewPCG(3, 4)),
	}, nil, new(sync.Mutex))
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		failures := rapid.IntRange(0, 1000).Draw(t, "failures")
		want := 30 * time.Second
		if failures < 8 {
			want = 200 * time.Millisecond << failures
		}
		got := l.backOff(failures)
		require.GreaterOrEqual(t, got, want/2)
		require.LessOrEqual(t, got, want)
	})
}

func TestProfilesThatCannotWorkAreRefused(t *testing.T) {
	good := Config{Name: "a", URL: "https://wallet.example/pay", Key: testKey(t)}
	mustDefaults(t, good)
	for name, change := range map[string]func(*Config){
		"name":        func(c *Config) { c.Name = "" },
		"key":         func(c *Config) { c.Key = nil },
		"no URL":      func(c *Config) { c.URL = "" },
		"scheme":      func(c *Config) { c.URL = "ftp://127.0.0.1" },
		"query":       func(c *Config) { c.URL = "http://127.0.0.1/?a=b" },
		"password":    func(c *Config) { c.URL = "http://a:b@127.0.0.1/" },
		"connections": func(c *Config) { c.Connections = -1 },
		"time-out":    func(c *Config) { c.AttemptTimeout = -1 },
		"back-off":    func(c *Config) { c.RetryMin, c.RetryMax = time.Second, time.Millisecond },
	} {
		cfg := good
		change(&cfg)
		_, err := cfg.withDefaults()
		require.ErrorIs(t, err, ErrConfig, name)
	}
	_, err := New([]Config{good, good}, Deps{Metrics: testMetrics(t), Logger: zap.NewNop()})
	require.ErrorIs(t, err, ErrConfig)
}

func mustDefaults(t testing.TB, c Config) Config {
	cfg, err := c.withDefaults()
	require.NoError(t, err)
	return cfg
}
