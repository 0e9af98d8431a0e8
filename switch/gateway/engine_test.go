package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/switch/engine"
)

// These tests run against the engine itself: what the two halves promise together.

// sell has one person claim and an online shop reserve; it returns the number of the purchase.
func sell(t *testing.T, b *bench, person string) string {
	claimFor(t, b, person, "A01", "online")
	w := b.do(keyed("POST", "/v1/reservations", onlineOrder(person), "Idempotency-Key: reserve-"+person))
	require.Equal(t, http.StatusCreated, w.Code, "%s", w.Body)
	return purchaseIn(t, w).Purchase
}

// onlineOrder is for the entitlement that the person has claimed first of all.
func onlineOrder(person string) string {
	return fmt.Sprintf(`{"entitlement":"E000000000001","person":{"id_kind":"ID","id_number":%q},"merchant":"898210157320016","channel":"online",
		"barcode":"6901234567892","price_fen":599900,"serial":"SN-8891-2207","order":"WEB-1","delivery":"210102"}`, person)
}

func purchaseIn(t *testing.T, w *httptest.ResponseRecorder) (body purchaseBody) {
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
	return body
}

func walletPayment(code string) string {
	return fmt.Sprintf(`{"payment":{"method":"wallet","code":%q,"paid_fen":479920}}`, code)
}

const (
	personA = "210102190001011017"
	paying  = "284712345678900001"
	refuses = "284712345678900051"
	slowly  = "284712345678900068"
)

func TestAnotherCallersPurchaseIsNotThere(t *testing.T) {
	b, real := newRealBench(t)
	id := sell(t, b, personA)
	as := "Authorization: Bearer " + otherToken
	for step, body := range map[string]string{
		"/commit": externalBody, "/cancel": `{}`, "/refunds": `{}`,
	} {
		requireProblem(t, b.do(keyed("POST", "/v1/reservations/"+id+step, body, as)), codePurchaseNotFound)
	}
	requireProblem(t, b.do(keyed("POST", "/v1/reservations/"+id+"/commit", walletPayment(paying), as, "Idempotency-Key: k-2")), codePurchaseNotFound)
	requireProblem(t, b.do(request("GET", "/v1/purchases/"+id, "", as)), codePurchaseNotFound)
	require.Zero(t, real.charged)
	require.Equal(t, "reserved", purchaseIn(t, b.do(request("GET", "/v1/purchases/"+id, ""))).State)
}

// The answer of the first was lost, and its repeat meets an overload at the door, or a queue that is full. The problem must not say
// that nothing is held, and the repeat after it has the hold.
func TestARepeatThatIsTurnedAwayIsNotToldThatNothingStands(t *testing.T) {
	var door bool
	real := newRealEngine(t)
	b := newBenchWith(t, func(c *Config) {
		c.Submit, c.TurnsAway = real.Submit, func(bool) bool { return door }
	})
	real.gateway = b.g
	id := sell(t, b, personA)
	again := func() *httptest.ResponseRecorder {
		return b.do(keyed("POST", "/v1/reservations", onlineOrder(personA), "Idempotency-Key: reserve-"+personA))
	}
	for _, busy := range []*bool{&door, &real.full} {
		*busy = true
		w := again()
		requireProblem(t, w, codeOverloaded)
		require.Equal(t, retryAfter, w.Header().Get("Retry-After"))
		require.Contains(t, w.Body.String(), "an earlier one with its key stands")
		require.NotContains(t, w.Body.String(), "nothing")
		*busy = false
		w = again()
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, id, purchaseIn(t, w).Purchase)
	}
	require.Equal(t, "reserved", purchaseIn(t, b.do(request("GET", "/v1/purchases/"+id, ""))).State)
}

func TestARepeatedStepHasTheOriginalAnswerAndHappensOnce(t *testing.T) {
	for name, steps := range map[string][][2]string{
		"external": {{"/commit", externalBody}, {"/refunds", `{"reference":"REF-1"}`}},
		"wallet":   {{"/commit", walletPayment(paying)}, {"/refunds", `{}`}},
		"declined": {{"/commit", walletPayment(refuses)}},
		"refused":  {{"/commit", strings.Replace(externalBody, "479920", "599900", 1)}, {"/refunds", `{}`}},
		"cancel":   {{"/cancel", `{}`}, {"/commit", externalBody}},
	} {
		t.Run(name, func(t *testing.T) {
			b, real := newRealBench(t)
			id := sell(t, b, personA)
			again := b.do(keyed("POST", "/v1/reservations", onlineOrder(personA), "Idempotency-Key: reserve-"+personA))
			require.Equal(t, 200, again.Code)
			require.Equal(t, id, purchaseIn(t, again).Purchase)
			for _, step := range steps {
				first := b.do(keyed("POST", "/v1/reservations/"+id+step[0], step[1]))
				second := b.do(keyed("POST", "/v1/reservations/"+id+step[0], step[1]))
				require.Equal(t, first.Code, second.Code, "%s %s", step[0], second.Body)
				require.Equal(t, first.Body.String(), second.Body.String(), step[0])
			}
			if name == "wallet" {
				require.Equal(t, 1, real.charged)
			}
			again = b.do(keyed("POST", "/v1/reservations", onlineOrder(personA), "Idempotency-Key: reserve-"+personA))
			require.Equal(t, 200, again.Code)
			require.Equal(t, "reserved", purchaseIn(t, again).State, "a reservation is shown as it was made")
			require.Nil(t, purchaseIn(t, again).Payment)
		})
	}
}

func TestOtherContentUnderAKeyIsAConflictAndChangesNothing(t *testing.T) {
	b, real := newRealBench(t)
	id := sell(t, b, personA)
	other := strings.Replace(onlineOrder(personA), "WEB-1", "WEB-2", 1)
	requireProblem(t, b.do(keyed("POST", "/v1/reservations", other, "Idempotency-Key: reserve-"+personA)), codeConflict)
	require.Equal(t, 200, b.do(keyed("POST", "/v1/reservations/"+id+"/commit", walletPayment(paying))).Code)
	requireProblem(t, b.do(keyed("POST", "/v1/reservations/"+id+"/commit", walletPayment(slowly))), codeConflict)
	require.Equal(t, 1, real.charged)
	require.Empty(t, real.slow)
}

func TestAFreshPaymentCodeCannotChargeTwice(t *testing.T) {
	b, real := newRealBench(t)
	id := sell(t, b, personA)
	b.g.cfg.Timeout, b.g.look = time.Millisecond, time.Minute
	w := b.do(keyed("POST", "/v1/reservations/"+id+"/commit", walletPayment(slowly)))
	require.Equal(t, 202, w.Code, "%s", w.Body)
	b.g.cfg.Timeout = time.Minute
	p := requireProblem(t, b.do(keyed("POST", "/v1/reservations/"+id+"/commit", walletPayment(paying), "Idempotency-Key: k-2")), codeRefused)
	require.Equal(t, "HOLD_CONSUMED", p.Reasons[0].Code)
	require.Zero(t, real.charged)
}

func TestAPendingCommitEndsWithTheWalletsWord(t *testing.T) {
	for response, want := range map[string]int{"00": 200, "51": 402} {
		b, real := newRealBench(t)
		id := sell(t, b, personA)
		b.g.cfg.Timeout, b.g.look = time.Millisecond, time.Minute
		commit := func() *httptest.ResponseRecorder {
			return b.do(keyed("POST", "/v1/reservations/"+id+"/commit", walletPayment(slowly)))
		}
		require.Equal(t, 202, commit().Code)
		require.Equal(t, 202, commit().Code, "the same question has the same answer")
		b.g.cfg.Timeout = time.Minute
		require.Len(t, real.slow, 1, "asked twice, sent once")
		real.answer(real.slow[0], response)
		require.Equal(t, want, commit().Code)
	}
}

func TestAWalletThatIsAskedForLongAnswersTheCommitThatWaits(t *testing.T) {
	b, real := newRealBench(t)
	id := sell(t, b, personA)
	submit := b.g.cfg.Submit
	b.g.cfg.Submit = func(body any) error { // the buyer types the password while the commit waits
		err := submit(body)
		if _, ok := body.(*engine.CommitRequest); ok {
			real.answer(real.slow[0], "00")
		}
		return err
	}
	w := b.do(keyed("POST", "/v1/reservations/"+id+"/commit", walletPayment(slowly)))
	require.Equal(t, 200, w.Code, "%s", w.Body)
	require.Equal(t, "captured", purchaseIn(t, w).State)
}

func TestACommitAfterItsTimeIsRefusedAndNothingIsCharged(t *testing.T) {
	b, real := newRealBench(t)
	id := sell(t, b, personA)
	real.now = start.Add(3 * time.Minute)
	p := requireProblem(t, b.do(keyed("POST", "/v1/reservations/"+id+"/commit", walletPayment(paying))), codeRefused)
	require.Equal(t, "HOLD_EXPIRED", p.Reasons[0].Code)
	require.Zero(t, real.charged)
	require.NoError(t, real.Submit(&engine.Tick{}))
	w := b.do(keyed("POST", "/v1/reservations/"+id+"/cancel", `{}`))
	require.Equal(t, 200, w.Code)
	require.Equal(t, "expired", purchaseIn(t, w).State, "what has ended by itself has nothing to give back")
}

func TestARefundOfAllIsTheEnd(t *testing.T) {
	for name, payment := range map[string]string{"external": externalBody, "wallet": walletPayment(paying)} {
		t.Run(name, func(t *testing.T) {
			b, _ := newRealBench(t)
			id := sell(t, b, personA)
			require.Equal(t, 200, b.do(keyed("POST", "/v1/reservations/"+id+"/commit", payment)).Code)
			refund := func(key string) *httptest.ResponseRecorder {
				return b.do(keyed("POST", "/v1/reservations/"+id+"/refunds", `{}`, "Idempotency-Key: "+key))
			}
			body := purchaseIn(t, refund("one"))
			require.Equal(t, "refunded", body.State)
			require.Equal(t, refundBody{AmountFen: 479920, SubsidyReturnedFen: 119980}, *body.Refund)
			require.EqualValues(t, 479920, body.Payment.RefundedFen)
			require.Zero(t, body.SubsidyFen)
			requireProblem(t, refund("two"), codeRefused)
		})
	}
}
