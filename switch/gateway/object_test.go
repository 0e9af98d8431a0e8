package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
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

// requireBounded checks what may never reach the engine, whatever was sent.
func requireBounded(t *testing.T, input any) {
	switch in := input.(type) {
	case *engine.QuoteRequest:
		require.True(t, in.Price >= 0 && in.Price <= money.MaxN12)
		require.LessOrEqual(t, len(in.Components), maxComponents)
	case *engine.ReserveRequest:
		require.True(t, in.Price >= 0 && in.Price <= money.MaxN12)
		require.LessOrEqual(t, len(in.Components), maxComponents)
		require.Equal(t, in.Entitlement == 0, in.Person == engine.Hash{}, "entitlement and person belong together")
		require.NotEqual(t, in.Entitlement == 0, in.Code == engine.Hash{}, "either code or entitlement")
		require.Equal(t, in.SerialMask == "", in.Serial == engine.Hash{})
		require.NotRegexp(t, `[^ -~]`, in.Order+in.SerialMask)
		require.NotZero(t, *in.API)
	case *engine.CommitRequest:
		require.NotEqual(t, in.Host == "", in.Reference == "", "either wallet or reference")
		require.Equal(t, in.Host == "", in.Card == nil)
	case *engine.APIRefundRequest:
		require.True(t, in.Amount >= 0 && in.Amount <= money.MaxN12)
	}
}

// What the plain reader takes is valid, and encoding/json reads the same in it.
func FuzzPlainReaderAgreesWithEncodingJSON(f *testing.F) {
	for _, body := range []string{
		claimBody, reserveBody, `[]`, ` { "a" : [ 1 , -0.5e+3 , true, null, {} , "é" ] } `, `{"a":1,"a":2}`, `{"a":"\u0041"}`, `01`, `-`, `1.`,
		`2e`, `"`, `tru`, `{"a":1,}`, `{}x`, `[[[[[[[[[1]]]]]]]]]`, "\"\t\"",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, ok := readPlain(body)
		if !ok || !utf8.Valid(body) {
			return
		}
		require.True(t, json.Valid(body))
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		want, detail := readValue(d, 1)
		require.Empty(t, detail)
		require.Equal(t, want, got)
	})
}

func TestClaimsAreReadPlainly(t *testing.T) {
	for _, body := range []string{claimBody, reserveBody, externalBody, walletBody} {
		_, ok := readPlain([]byte(body))
		require.True(t, ok, body)
	}
}

func FuzzBodies(f *testing.F) {
	f.Add([]byte(claimBody))
	f.Add([]byte(`{"person":{"id_kind":"TW","id_number":"12345678"},"position":{"crs":"GCJ02","lon":123.4,"lat":41.8,"age_seconds":3}}`))
	f.Add([]byte(`{"merchant":"898210157220001","channel":"qr","barcode":"6901234567892","price_fen":5,"components":[{"kind":"a","amount_fen":1}]}`))
	f.Add([]byte(`{"a":{"a":[null,true,1e999,"\ud800"]}}`))
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Add([]byte(reserveBody))
	f.Add([]byte(`{"entitlement":"E000000000001","person":{"id_kind":"TW","id_number":"12345678"},"merchant":"898210157220001","channel":"online",
		"barcode":"6901234567892","price_fen":1,"delivery":"210102","order":"4111111111111111","serial":" - "}`))
	f.Add([]byte(externalBody))
	f.Add([]byte(walletBody))
	f.Add([]byte(`{"amount_fen":1,"activated":true,"reference":"R-1"}`))
	g := newBench(f).g
	f.Fuzz(func(t *testing.T, body []byte) {
		g.cfg.Submit = func(input any) error {
			require.True(t, utf8.Valid(body) && json.Valid(body), "only valid JSON reaches the engine")
			requireBounded(t, input)
			return errors.New("enough")
		}
		for _, e := range g.endpoints() {
			o, p := parseObject(body)
			if p != nil {
				require.Equal(t, codeMalformed, p.Code)
				continue
			}
			r := &fasthttp.Request{}
			r.Header.Set(idempotency, "k-1")
			id := map[code]string{codeNotFound: "E000000000001", codePurchaseNotFound: "P000000000001"}[e.missing]
			a, p := e.answer(&call{req: r, id: id, caller: "sample", body: o, of: &e})
			require.Nil(t, a)
			require.NotEqual(t, codeInternal, p.Code)
		}
		require.Zero(t, g.pending.size())
	})
}
