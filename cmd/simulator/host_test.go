package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"huanxin/internal/simulator/issuer"
)

// A drill asks the running network what happened, and tells it to end its silence.
func TestQueryInterfaceTellsWhatReallyHappened(t *testing.T) {
	codec, framing, err := (&speech{"cup", "cup"}).load()
	require.NoError(t, err)
	ledger := issuer.NewLedger(nil)
	network, err := issuer.New(issuer.Config{
		Framing: framing, Codec: codec, Rules: issuer.DefaultRules(), Ledger: ledger, Logger: zap.NewNop(), Now: time.Now,
	})
	require.NoError(t, err)
	_, err = ledger.Sell(&issuer.Sale{RRN: "516900000001", Asked: 10000, Grant: 10000, Response: "00"})
	require.NoError(t, err)
	_, err = ledger.Reverse(&issuer.Reversal{RRN: "516900000002", Amount: 10000})
	require.NoError(t, err)

	var out bytes.Buffer
	stop, err := serveQueries(t.Context(), "127.0.0.1:0", network, ledger, &out)
	require.NoError(t, err)
	defer stop()
	base := "http://" + regexp.MustCompile(`127\.0\.0\.1:[0-9]+`).FindString(out.String())
	client := &http.Client{Timeout: time.Minute}
	do := func(method, path string, into any) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, base+path, nil)
		require.NoError(t, err)
		res, err := client.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		if into != nil {
			require.NoError(t, json.NewDecoder(res.Body).Decode(into))
		}
		return res.StatusCode
	}
	var outcome issuer.Outcome
	require.Equal(t, http.StatusOK, do("GET", "/ledger/516900000001", &outcome))
	require.True(t, outcome.Done)
	require.EqualValues(t, 10000, outcome.Net)
	require.Equal(t, http.StatusNotFound, do("GET", "/ledger/516900000002", nil), "only its reversal has come")
	require.Equal(t, http.StatusNotFound, do("GET", "/ledger/516900000003", nil))
	var summary issuer.Summary
	require.Equal(t, http.StatusOK, do("GET", "/ledger", &summary))
	require.Equal(t, ledger.Summary(), summary)
	require.Equal(t, http.StatusNoContent, do("POST", "/reversals", nil))
	require.Equal(t, http.StatusNoContent, do("POST", "/disconnect", nil))
}
