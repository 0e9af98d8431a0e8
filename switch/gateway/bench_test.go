package gateway

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"huanxin/subsidy/reason"
	"huanxin/switch/engine"
)

// BenchmarkClaim is one claim in place: authenticate, read, hash, ask, write; without the connection.
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
			ctx := &fasthttp.RequestCtx{}
			ctx.Request.Header.SetMethod("POST")
			ctx.Request.SetRequestURI("http://switch/v1/entitlements")
			ctx.Request.Header.SetHost("switch")
			ctx.Request.Header.SetContentType("application/json")
			ctx.Request.Header.Set("Authorization", "Bearer "+sampleToken)
			ctx.Request.Header.Set("Idempotency-Key", "k-1")
			ctx.Request.SetBodyString(claimBody)
			b.ReportAllocs()
			for b.Loop() {
				ctx.Response.Reset()
				g.Handle(ctx)
			}
			require.Contains(b, []int{201, 422}, ctx.Response.StatusCode())
		})
	}
}
