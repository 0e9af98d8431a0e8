package till

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/config/dialects"
	"huanxin/internal/simulator/fakeswitch"
	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

func cupCodec(t testing.TB) *iso8583.Codec {
	t.Helper()
	spec, _, err := dialects.Load("../../../config/dialects", "cup")
	require.NoError(t, err)
	codec, err := iso8583.Compile(spec)
	require.NoError(t, err)
	return codec
}

const testScript = `
name: 测试
terminals:
  shop: {terminal: "21010001", merchant: "898210157220001", name: 沈阳和平电器商店}
cards:
  chip: {pan: "6224240000000017", expiry: "3012", seq: "001", chip: true, track2: "6224240000000017D301222010000000000"}
  qr: {code: "6220485073630469936"}
positions:
  here: {crs: WGS84, lon: 123.4294, lat: 41.7964, age: 5}
cases:
  - name: 购买
    till: shop
    person: 1
    steps:
      - {sign_on: {}, expect: {rc: "00"}}
      - {claim: {category: A01, city: "210100"}, expect: {status: 201, state: claimed}}
      - {show: {at: here}}
      - reserve: {barcode: "6901234567892", product: 冰箱, serial: "{{serial 1}}", price: 5999.00, components: [{merchant: 200.00}]}
        expect: {rc: "00", subsidy: 1199.80, payable: 4799.20}
      - {sale: {card: chip}, expect: {rc: "00"}}
  - name: 应答丢失
    till: shop
    steps:
      - {sale: {card: qr, amount: 12.00, ordinary: true, lose_answer: true}}
      - {reversal: {}, expect: {rc: "00"}}
  - name: 拒绝
    till: shop
    steps:
      - reserve: {code: "1", barcode: "6901234567892", product: 冰箱, serial: "{{imei 2}}", price: 5999.00}
        expect: {rc: "57", reasons: [ENTITLEMENT_UNKNOWN]}
      - {claim: {category: Z99, city: "210100"}, expect: {status: 422, reasons: [CATEGORY_NOT_OPEN]}}
`

func player(t testing.TB, script, state string, out *bytes.Buffer) (*Player, *fakeswitch.Switch) {
	t.Helper()
	codec := cupCodec(t)
	sw, err := fakeswitch.Start(codec, nil)
	require.NoError(t, err)
	t.Cleanup(sw.Close)
	parsed, err := ParseScript([]byte(script))
	require.NoError(t, err)
	memory, err := OpenState(state)
	require.NoError(t, err)
	return &Player{
		Script: parsed, Line: LineConfig{Address: sw.Address(), Framing: wire.CUP, Codec: codec, Timeout: 20 * time.Second},
		API: NewAPI(sw.API(), "token", 2, 20*time.Second), State: memory, Out: out,
		Now: func() time.Time { return time.Date(2025, 6, 18, 10, 5, 0, 0, shanghai) },
	}, sw
}

func TestScriptIsPlayedWithReceipts(t *testing.T) {
	var out bytes.Buffer
	p, sw := player(t, testScript, "", &out)
	result, err := p.Play(context.Background())
	require.NoError(t, err)
	require.Empty(t, result.Failed)
	require.Equal(t, 3, result.Passed)
	require.Empty(t, sw.Violations())
	for _, text := range []string{
		"622424******0017", "622048*********9936", "￥5999.00", "-￥1199.80", "￥4799.20", "SN0*******1001", "补贴资格不存在", "退回金额",
	} {
		require.Contains(t, out.String(), text)
	}
	require.NotContains(t, out.String(), "6224240000000017")
}

func TestUnexpectedAnswerFailsItsCaseOnly(t *testing.T) {
	var out bytes.Buffer
	p, _ := player(t, `
terminals: {shop: {terminal: "21010001", merchant: "898210157220001"}}
cards: {chip: {pan: "6224240000000017", expiry: "3012"}}
cases:
  - {name: wrong, till: shop, steps: [{sale: {card: chip, amount: 5.00, ordinary: true}, expect: {rc: "51|14"}}, {echo: {}}]}
  - {name: right, till: shop, steps: [{sale: {card: chip, amount: 5.00, ordinary: true}, expect: {rc: "51|00"}}]}
`, "", &out)
	result, err := p.Play(context.Background())
	require.NoError(t, err)
	require.Equal(t, 1, result.Passed)
	require.Equal(t, []string{"wrong: step 1: answer code 00, expected 51|14"}, result.Failed)
}

func TestSecondRunUsesNewNumbers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	var out bytes.Buffer
	p, sw := player(t, testScript, path, &out)
	for run := range 3 {
		memory, err := OpenState(path)
		require.NoError(t, err)
		p.State = memory
		result, err := p.Play(context.Background())
		require.NoError(t, err)
		require.Empty(t, result.Failed, "run %d", run+1)
	}
	require.Empty(t, sw.Violations())
	require.Contains(t, out.String(), "第 3 次运行")
	require.Contains(t, out.String(), "SN0*******3001")
}

func TestScriptsOfTheProjectAreSound(t *testing.T) {
	files, err := filepath.Glob("../../../config/simulator/*.yaml")
	require.NoError(t, err)
	require.Len(t, files, 2)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		script, err := ParseScript(text)
		require.NoError(t, err, file)
		for _, c := range script.Cases {
			last := c.Steps[len(c.Steps)-1]
			require.True(t, last.Expect.RC != "" || last.Expect.Status != 0, "%s: case %q ends without expecting an answer", file, c.Name)
		}
	}
}

func TestScriptsThatCannotBePlayedAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty":            "",
		"no cases":         "name: a",
		"unknown key":      "nam: a",
		"unknown till":     "cases: [{name: a, till: x, steps: [{echo: {}}]}]",
		"no steps":         "terminals: {x: {terminal: '21010001', merchant: '898210157220001'}}\ncases: [{name: a, till: x}]",
		"two things":       "terminals: {x: {terminal: '21010001', merchant: '898210157220001'}}\ncases: [{name: a, till: x, steps: [{echo: {}, cancel: {}}]}]",
		"nothing":          "terminals: {x: {terminal: '21010001', merchant: '898210157220001'}}\ncases: [{name: a, till: x, steps: [{expect: {rc: '00'}}]}]",
		"unknown card":     "terminals: {x: {terminal: '21010001', merchant: '898210157220001'}}\ncases: [{name: a, till: x, steps: [{sale: {card: c}}]}]",
		"unknown position": "terminals: {x: {terminal: '21010001', merchant: '898210157220001'}}\ncases: [{name: a, till: x, steps: [{show: {at: c}}]}]",
		"short terminal":   "terminals: {x: {terminal: '1', merchant: '898210157220001'}}\ncases: [{name: a, till: x, steps: [{echo: {}}]}]",
		"not yuan":         "terminals: {x: {terminal: '21010001', merchant: '898210157220001'}}\ncases: [{name: a, till: x, steps: [{reserve: {price: 1.005}}]}]",
	} {
		_, err := ParseScript([]byte(text))
		require.ErrorIs(t, err, ErrScript, name)
	}
}

func TestSTANsWrapAndAreNeverTakenTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := OpenState("")
		require.NoError(t, err)
		start := rapid.Uint32Range(0, maxSTAN).Draw(t, "start")
		s.TakeSTANs("T", start)
		seen := make(map[uint32]bool)
		for range 50 {
			n := rapid.Uint32Range(1, 5).Draw(t, "block")
			if n == 1 {
				stan, err := s.NextSTAN("T")
				require.NoError(t, err)
				require.False(t, seen[stan])
				seen[stan] = true
				continue
			}
			stan := s.TakeSTANs("T", n)
			for range n {
				stan = stan%maxSTAN + 1
				require.False(t, seen[stan])
				seen[stan] = true
			}
		}
		for stan := range seen {
			require.True(t, stan >= 1 && stan <= maxSTAN)
		}
	})
}

func TestDamagedStateIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	for _, text := range []string{"{", `{"terminals":{"T":null}}`, `{"terminals":{"T":{"stan":1000000}}}`} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		_, err := OpenState(path)
		require.Error(t, err, text)
	}
}

func TestLostLineTellsEveryoneWhoWaits(t *testing.T) {
	codec := cupCodec(t)
	sw, err := fakeswitch.Start(codec, func(int, string) bool { return true })
	require.NoError(t, err)
	defer sw.Close()
	line, err := DialLine(context.Background(), LineConfig{Address: sw.Address(), Framing: wire.CUP, Codec: codec, Timeout: 20 * time.Second})
	require.NoError(t, err)
	r := Request{MTI: 0x0200, Kind: KindSale, Terminal: "21010001", Merchant: "898210157220001", Batch: 1, STAN: 1, Amount: 100,
		Card: &Card{PAN: "6224240000000017", Expiry: "3012"}}
	_, err = line.Ask(context.Background(), &r)
	require.ErrorIs(t, err, ErrLost)
	<-line.Lost()
	_, err = line.Ask(context.Background(), &r)
	require.ErrorIs(t, err, ErrLost)
}

func TestReversalRepeatsItsOriginalWithoutTheTrack(t *testing.T) {
	codec := cupCodec(t)
	r := Request{MTI: 0x0200, Kind: KindSale, Terminal: "21010001", Merchant: "898210157220001", Batch: 7, STAN: 42, Amount: 479920,
		Card: &Card{PAN: "6224240000000017", Expiry: "3012", Seq: "001", Chip: true, Track2: "6224240000000017D301222010000000000"}}
	sale := built(t, codec, &r)
	amount, ok := iso8583.FindTLV(sale.Raw(55), 0x9F02)
	require.True(t, ok)
	require.Equal(t, []byte{0, 0, 0, 0x47, 0x99, 0x20}, amount, "the cryptogram is over DE4")
	r.MTI, r.Cause = 0x0400, "98"
	reversal := built(t, codec, &r)
	for _, n := range []int{2, 3, 4, 11, 14, 22, 23, 25, 41, 42, 49, 60} {
		require.Equal(t, sale.Raw(n), reversal.Raw(n), "field %d", n)
	}
	require.True(t, sale.Has(35))
	require.False(t, reversal.Has(35))
	require.True(t, reversal.Equal(39, "98"))
}

func built(t testing.TB, codec *iso8583.Codec, r *Request) *iso8583.Message {
	t.Helper()
	m := tryBuilt(codec, r)
	require.NotNil(t, m)
	return m
}

// tryBuilt returns nil for a request that cannot be written.
func tryBuilt(codec *iso8583.Codec, r *Request) *iso8583.Message {
	var b iso8583.Builder
	if r.build(&b, codec, nil) != nil {
		return nil
	}
	raw, err := b.Append(nil)
	if err != nil {
		return nil
	}
	m := new(iso8583.Message)
	if codec.Parse(raw, m) != nil {
		return nil
	}
	return m
}

func TestAPIAnswersAreRead(t *testing.T) {
	a, err := parseAPI(201, []byte(`{"entitlement":"E1","state":"claimed","expires_at":"x"}`))
	require.NoError(t, err)
	require.Equal(t, APIAnswer{Status: 201, Entitlement: "E1", State: "claimed", ExpiresAt: "x"}, a)
	a, err = parseAPI(422, []byte(`{"code":"REFUSED","title_zh":"不","reasons":[{"code":"BUDGET_EXHAUSTED","zh":"补贴资金已用完"}]}`))
	require.NoError(t, err)
	require.Equal(t, APIAnswer{Status: 422, Reasons: []string{"BUDGET_EXHAUSTED"}, Text: "补贴资金已用完"}, a)
	a, err = parseAPI(409, []byte(`{"code":"IDEMPOTENCY_CONFLICT","title_zh":"不"}`))
	require.NoError(t, err)
	require.Equal(t, []string{"IDEMPOTENCY_CONFLICT"}, a.Reasons)
	_, err = parseAPI(502, []byte(`<html>`))
	require.True(t, errors.Is(err, ErrAPI))
}

func FuzzReadTags(f *testing.F) {
	f.Add([]byte("S7012000000000123S8012000000119980S9012000000479920"))
	f.Add([]byte("SB011SERIAL_USEDSC004\xd0\xf2\xc1\xd0"))
	f.Add([]byte("S7003abc"))
	f.Fuzz(func(t *testing.T, value []byte) {
		var a Answer
		if err := a.readTags(value); err != nil {
			require.ErrorIs(t, err, ErrAnswer)
		}
	})
}

func FuzzParseScript(f *testing.F) {
	f.Add(testScript)
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := ParseScript([]byte(text)); err != nil {
			require.ErrorIs(t, err, ErrScript)
		}
	})
}

func FuzzParseAPI(f *testing.F) {
	f.Add(422, []byte(`{"code":"REFUSED","reasons":[{"code":"A","zh":"b"}]}`))
	f.Fuzz(func(t *testing.T, status int, text []byte) {
		if _, err := parseAPI(status, text); err != nil {
			require.ErrorIs(t, err, ErrAPI)
		}
	})
}
