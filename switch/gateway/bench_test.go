package gateway

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"huanxin/subsidy/reason"
	"huanxin/switch/engine"
)

// BenchmarkClaim is one claim in place: authenticate, read, hash, ask, write; without net/http's connection.
func BenchmarkClaim(b *testing.B) {
	given := claimed(1)
	for name, reply := range map[string]engine.APIReply{
		"given": given, "refused": {Status: engine.APIRefused, Reasons: []reason.Code{reason.BudgetExhausted}},
	} {
		b.Run(name, func(b *testing.B) {
			registry := prometheus.NewRegistry()
			var g *Gateway
			g, err := New(Config{
				Submit: func(body any) error {
					reply := reply
					reply.Token = body.(*engine.ClaimRequest).Token
					g.Deliver(&reply)
					return nil
				},
				Hasher: testHasher(b), Vault: testVault(b), Tokens: []Token{{"sample", sampleToken}, {"other", otherToken}},
				Rand: &counter{}, Registerer: registry, Gatherer: registry,
			})
			require.NoError(b, err)
			r := claimRequest(claimBody)
			body := strings.NewReader(claimBody)
			r.Body = io.NopCloser(body)
			w := &sink{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(claimBody)
				clear(w.header)
				g.Handler().ServeHTTP(w, r)
			}
			require.Contains(b, []int{201, 422}, w.status)
		})
	}
}

// sink is a response that nobody reads.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
