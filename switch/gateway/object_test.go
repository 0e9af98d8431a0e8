package gateway

import (
	"encoding/json"
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/internal/money"
	"huanxin/switch/engine"
)

// Every amount that money can hold on a wire is read as it was written.
func TestFenAreReadExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.Int64Range(0, 999_999_999_999).Draw(t, "fen")
		body, err := json.Marshal(map[string]int64{"price_fen": want})
		if err != nil {
			t.Fatal(err)
		}
		o, p := parseObject(body)
		if p != nil {
			t.Fatal(p.Detail)
		}
		if got := o.fen("price_fen"); int64(got) != want || o.problem() != nil {
			t.Fatalf("%d, want %d", got, want)
		}
	})
}

func TestDegreesAreRoundedToMicroDegrees(t *testing.T) {
	for text, want := range map[string]int32{
		"0": 0, "-0": 0, "180": 180_000_000, "-180": -180_000_000, "123.4315": 123_431_500, "41.80570049": 41_805_700,
		"41.8057005": 41_805_701, "1.2345e1": 12_345_000, "0.0000004": 0,
	} {
		o, p := parseObject([]byte(`{"lon":` + text + `}`))
		require.Nil(t, p, text)
		require.Equal(t, want, o.microDegrees("lon", 180), text)
		require.Nil(t, o.problem(), text)
	}
}

func FuzzBodies(f *testing.F) {
	f.Add([]byte(claimBody))
	f.Add([]byte(`{"person":{"id_kind":"TW","id_number":"12345678"},"position":{"crs":"GCJ02","lon":123.4,"lat":41.8,"age_seconds":3}}`))
	f.Add([]byte(`{"merchant":"898210157220001","channel":"qr","barcode":"6901234567892","price_fen":5,"components":[{"kind":"a","amount_fen":1}]}`))
	f.Add([]byte(`{"a":{"a":[null,true,1e999,"\ud800"]}}`))
	f.Add([]byte(`{"a":1,"a":2}`))
	g := newBench(f).g
	f.Fuzz(func(t *testing.T, body []byte) {
		g.cfg.Submit = func(input any) error {
			require.True(t, utf8.Valid(body) && json.Valid(body), "only valid JSON reaches the engine")
			if q, ok := input.(*engine.QuoteRequest); ok {
				require.True(t, q.Price >= 0 && q.Price <= money.MaxN12)
				require.LessOrEqual(t, len(q.Components), maxComponents)
			}
			return errors.New("enough")
		}
		for _, e := range g.endpoints() {
			o, p := parseObject(body)
			if p != nil {
				require.Equal(t, codeMalformed, p.Code)
				continue
			}
			r := claimRequest("")
			r.SetPathValue("id", "E000000000001")
			a, p := e.answer(&call{ctx: t.Context(), req: r, caller: "sample", body: o})
			require.Nil(t, a)
			require.NotEqual(t, codeInternal, p.Code)
		}
		require.Zero(t, g.pending.size())
	})
}
