package gateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const notificationPath = "/v1/wallets/wallet/notifications"

// notified is a gateway whose wallet link answers status.
func notified(t testing.TB, status int) *bench {
	return newBenchWith(t, func(c *Config) {
		c.Notify = func(string, http.Header, []byte) int { return status }
	})
}

// The wallet's signature is over the body as it was sent, so nothing may touch that on the way.
func TestANotificationReachesTheLinkUntouched(t *testing.T) {
	const body = "{ not even JSON \x00\xff"
	b := newBenchWith(t, func(c *Config) {
		c.Notify = func(wallet string, header http.Header, got []byte) int {
			require.Equal(t, "wallet", wallet)
			require.Equal(t, "signed", header.Get("X-Signature"))
			require.Equal(t, body, string(got))
			return http.StatusNoContent
		}
	})
	w := b.do(request("POST", notificationPath, body, "Authorization: ", "Content-Type: text/plain", "X-Signature: signed"))
	require.Equal(t, 204, w.Code)
	require.Empty(t, w.Body.Bytes())
	require.Equal(t, 1.0, counted(t, b.g.metrics.requests.WithLabelValues("POST", "/v1/wallets/{name}/notifications", "204")))
}

func TestNotificationsThatAreNotTakenAreProblems(t *testing.T) {
	for status, want := range map[int]code{
		400: codeNotification, 422: codeNotification, 401: codeSignature, 404: codeWalletNotFound, 503: codeOverloaded, 429: codeOverloaded,
		500: codeInternal, 0: codeInternal, 301: codeInternal,
	} {
		w := notified(t, status).do(request("POST", notificationPath, "{}"))
		requireProblem(t, w, want)
		require.Empty(t, w.Header().Get("WWW-Authenticate"))
		require.Equal(t, want == codeOverloaded, w.Header().Get("Retry-After") != "")
	}
}

func TestWithoutWalletsThereIsNoNotification(t *testing.T) {
	requireProblem(t, newBench(t).do(request("POST", notificationPath, "{}")), codeWalletNotFound)
}

func TestANotificationIsBoundedAndPosted(t *testing.T) {
	w := notified(t, 204).do(request("POST", notificationPath, strings.Repeat("x", 17<<10)))
	requireProblem(t, w, codeTooLarge)
	w = notified(t, 204).do(request("GET", notificationPath, ""))
	requireProblem(t, w, codeMethod)
	require.Equal(t, "POST", w.Header().Get("Allow"))
}

func TestAPanicOfTheLinkFailsOneNotification(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	b := newBenchWith(t, func(c *Config) {
		c.Logger = zap.New(core)
		c.Notify = func(string, http.Header, []byte) int { panic("about a payer") }
	})
	p := requireProblem(t, b.do(request("POST", notificationPath, "{}")), codeInternal)
	require.Len(t, logs.All(), 1)
	require.Equal(t, p.Reference, logs.All()[0].ContextMap()["reference"])
	require.NotContains(t, logs.All()[0].ContextMap()["error"], "about a payer")
}
