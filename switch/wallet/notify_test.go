package wallet

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/switch/engine"
)

// notify sends a notification to the links as a wallet does.
func (r *rig) notify(body string) int {
	header := http.Header{}
	testKey(r.t).Sign(header, "POST", "/v1/wallets/purse/notifications", []byte(body), time.Now())
	return r.links.Notify(walletName, header, []byte(body))
}

func TestNotificationIsTheAnswerToItsOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := up(t, nil)
		for body, want := range map[string]string{
			`{"payment":{"payment":"516900000001","status":"paid","amount_fen":399900,"trade":"T1","paid_at":"2025-06-18T10:05:12+08:00"}}`: "sale 00",
			`{"payment":{"payment":"516900000001","status":"declined","reason":"WRONG_PASSWORD"}}`:                                          "sale 55",
			`{"payment":{"payment":"516900000001","status":"closed"}}`:                                                                      "query 12",
			`{"refund":{"refund":"516900000001","payment":"516900000000","status":"done","amount_fen":100}}`:                                "sale 00",
			`{"refund":{"refund":"516900000001","status":"refused","reason":"REFUND_EXCEEDS"}}`:                                             "sale 64",
			`{"refund":{"refund":"516900000001","status":"closed"}}`:                                                                        "query 12",
		} {
			for range 2 { // twice is as good as once
				require.Equal(t, http.StatusNoContent, r.notify(body))
				in := r.answered()
				require.Equal(t, want, say(in), body)
				require.Equal(t, "516900000001", in.RRN)
			}
		}
		require.Equal(t, http.StatusNoContent, r.notify(`{"payment":{"payment":"516900000001","status":"pending"}}`))
		require.Empty(t, r.server.take(), "that the payer is still typing is no news")
	})
}

func TestNotificationIsRefusedByStatus(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := up(t, nil)
		good := `{"payment":{"payment":"516900000001","status":"paid","amount_fen":1}}`
		for body, want := range map[string]int{
			"":   http.StatusBadRequest,
			"{}": http.StatusBadRequest,
			`{"payment":{"payment":"516900000001","status":"paid","amount_fen":1},"refund":{"refund":"516900000001","status":"closed"}}`: http.StatusBadRequest,
			`{"payment":{"payment":"1","status":"closed"}}`:                                     http.StatusBadRequest,
			`{"payment":{"payment":"516900000001","status":"paid","amount_fen":1000000000000}}`: http.StatusBadRequest,
			good + string(make([]byte, maxBody)):                                                http.StatusBadRequest,
		} {
			require.Equal(t, want, r.notify(body))
		}
		require.Equal(t, http.StatusUnauthorized, r.links.Notify(walletName, http.Header{}, []byte(good)))
		require.Equal(t, http.StatusNotFound, r.links.Notify("nobody", http.Header{}, []byte(good)))
		elsewhere := http.Header{}
		testKey(t).Sign(elsewhere, "POST", "/v1/wallets/other/notifications", []byte(good), time.Now())
		require.Equal(t, http.StatusUnauthorized, r.links.Notify(walletName, elsewhere, []byte(good)), "signed for another wallet")
		require.Empty(t, r.server.take())

		r.server.mu.Lock()
		r.server.refuse = 1
		r.server.mu.Unlock()
		require.Equal(t, http.StatusServiceUnavailable, r.notify(good))
		require.Equal(t, http.StatusNoContent, r.notify(good), "sent again, it is taken")
		require.Equal(t, "sale 00", say(r.answered()))
	})
}

// Whatever is sent, what reaches the engine has the form that it relies on.
func FuzzNotification(f *testing.F) {
	f.Add([]byte(`{"payment":{"payment":"516900000001","status":"paid","amount_fen":399900,"trade":"T1","paid_at":"2025-06-18T10:05:12+08:00"}}`))
	f.Add([]byte(`{"refund":{"refund":"516900000001","status":"refused","reason":"REFUND_EXCEEDS"}}`))
	f.Add([]byte(`{"payment":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := readNotification(body)
		if err != nil {
			require.ErrorIs(t, err, errMalformed)
			require.Nil(t, in)
			return
		}
		if in != nil {
			checkAnswer(t, in)
		}
	})
}

// FuzzAnswer does the same for what a wallet answers to each kind of order.
func FuzzAnswer(f *testing.F) {
	f.Add(uint8(0), 200, []byte(`{"payment":"516900000001","status":"paid","amount_fen":399900}`))
	f.Add(uint8(2), 200, []byte(`{"refund":"516900000001","status":"done","amount_fen":399900}`))
	f.Add(uint8(1), 404, []byte(`{"error":"NOT_FOUND"}`))
	f.Fuzz(func(t *testing.T, a uint8, status int, body []byte) {
		r := &request{act: act(a % 7), about: "516900000001", unsent: &engine.HostUnsent{RRN: "516900000002"}}
		in, result := r.answer(status, body)
		require.NotEmpty(t, result)
		if in == nil {
			require.Equal(t, engine.HostReversal, r.kind())
			return
		}
		require.Equal(t, "516900000002", in.RRN)
		checkAnswer(t, in)
	})
}

func checkAnswer(t *testing.T, in *engine.HostAnswered) {
	require.Len(t, in.RRN, 12)
	if in.Pending {
		require.Empty(t, in.Answer.Response)
		return
	}
	require.Len(t, in.Answer.Response, 2)
	require.GreaterOrEqual(t, in.Answer.Amount, int64(0))
	require.LessOrEqual(t, len(in.Answer.Network), maxTrade)
	require.Contains(t, []int{0, 4}, len(in.Answer.ClearingDate))
	require.Contains(t, []int{0, 6}, len(in.Answer.LocalTime))
	if in.Answer.Response == "00" && in.Kind != engine.HostReversal {
		require.Positive(t, in.Answer.Amount)
	}
}

// FuzzParseKey: 64 hex digits are a key, which signs and is not printed; anything else is refused without being quoted.
func FuzzParseKey(f *testing.F) {
	f.Add([]byte(strings.Repeat("0a", keySize)))
	f.Add([]byte(" " + strings.Repeat("FF", keySize) + "\n"))
	f.Add([]byte(strings.Repeat("0", 2*keySize-1) + "g"))
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := ParseKey(text)
		if err != nil {
			require.ErrorIs(t, err, ErrKeyFile)
			require.Nil(t, k)
			require.Less(t, len(err.Error()), 60)
			return
		}
		require.Equal(t, strings.ToLower(strings.TrimSpace(string(text))), hex.EncodeToString(k.secret[:]))
		require.Equal(t, redacted, fmt.Sprintf("%x", k))
	})
}

// What the wallet is sent is what the types of the document say.
func TestOrdersAreJSONWhateverIsInThem(t *testing.T) {
	for _, shop := range []string{"898210157220001", `"`, "\\", "\x01", "超市", "\xff"} {
		var o PaymentOrder
		text := appendPaymentOrder(nil, "516900000001", 1, []byte("286512345678901234"), shop, shop, signedAt)
		require.NoError(t, json.Unmarshal(text, &o), "%s", text)
		require.Equal(t, "2025-06-18T10:05:12+08:00", o.At)
	}
}
