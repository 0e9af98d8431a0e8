package iso8583

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/moov-io/iso8583/specs"
	"github.com/stretchr/testify/require"

	"huanxin/config/dialects"
)

func TestEveryShippedDialectCompilesAndMoovReadsIt(t *testing.T) {
	paths, err := filepath.Glob("../../config/dialects/*.json")
	require.NoError(t, err)
	require.Len(t, paths, len(shipped))
	require.ElementsMatch(t, shipped, dialects.Names())
	for _, path := range paths {
		spec, err := os.ReadFile(path)
		require.NoError(t, err)
		c, err := Compile(spec)
		require.NoError(t, err, path)
		theirs, err := specs.ImportJSON(spec)
		require.NoError(t, err, path)
		require.Equal(t, theirs.Name, c.Name())
		for n := 2; n <= maxField; n++ {
			_, ok := theirs.Fields[n]
			require.Equal(t, ok, c.Defines(n), "%s field %d", path, n)
		}
	}
}

func TestCompileRefusesWhatTheCodecCannotDo(t *testing.T) {
	const mti = `"0":{"type":"String","length":4,"enc":"BCD","prefix":"BCD.Fixed"}`
	const bitmap = `"1":{"type":"Bitmap","length":8,"enc":"Binary","prefix":"Binary.Fixed"}`
	with := func(f string) string { return fmt.Sprintf(`{"fields":{%s,%s,%s}}`, mti, bitmap, f) }
	_, err := Compile([]byte(with(`"2":{"type":"String","length":19,"enc":"LBCD","prefix":"BCD.LL"}`)))
	require.NoError(t, err)
	for _, tc := range []struct{ spec, want string }{
		{`[]`, "read message specification"},
		{`{"fields":{}} {}`, "more than one"},
		{`{"feilds":{}}`, "feilds"},
		{`{"fields":{` + bitmap + `}}`, "field 0 (MTI) is missing"},
		{`{"fields":{` + mti + `}}`, "field 1 (bitmap) is missing"},
		{`{"fields":{"0":{"type":"String","length":3,"enc":"BCD","prefix":"BCD.Fixed"},` + bitmap + `}}`, "4 digits"},
		{with(`"two":{}`), `"two"`},
		{with(`"129":{}`), "129"},
		{with(`"02":{}`), `"02"`},
		{with(`"2":{"type":"String","lenght":19}`), "lenght"},
		{with(`"2":{"type":"String","length":-1,"enc":"BCD","prefix":"BCD.LL"}`), "length -1"},
		{with(`"2":{"type":"String","length":10000,"enc":"BCD","prefix":"BCD.LL"}`), "length 10000"},
		{with(`"2":{"type":"String","length":19,"enc":"EBCDIC","prefix":"BCD.LL"}`), "field 2: encoding \"EBCDIC\""},
		{with(`"2":{"type":"String","length":19,"enc":"BCD","prefix":"None.Fixed"}`), "None.Fixed"},
		{with(`"2":{"type":"String","length":19,"enc":"BCD","prefix":"BCD"}`), `prefix "BCD"`},
		{with(`"2":{"type":"String","length":19,"enc":"BCD","prefix":"BCD.LLLLL"}`), "LLLLL"},
		{with(`"2":{"type":"String","length":19,"enc":"BCD","prefix":"EBCDIC.LL"}`), "EBCDIC.LL"},
		{with(`"2":{"type":"Text","length":19,"enc":"BCD","prefix":"BCD.LL"}`), `type "Text"`},
		{with(`"2":{"type":"String","length":19,"enc":"BCD","prefix":"BCD.LL","content":"letters"}`), "letters"},
		{with(`"2":{"type":"Binary","length":8,"enc":"Binary","prefix":"BCD.LL","content":"digits"}`), "cannot hold"},
		{with(`"2":{"type":"String","length":19,"enc":"BCD","prefix":"BCD.LL","separator":"="}`), "separator"},
		{with(`"2":{"type":"String","length":19,"enc":"BCD","prefix":"BCD.LL","padNibble":"1"}`), "padNibble"},
		{with(`"2":{"type":"String","length":19,"enc":"ASCII","prefix":"BCD.LL","padNibble":"F"}`), "padNibble"},
		{with(`"2":{"type":"String","length":19,"enc":"ASCII","prefix":"BCD.LL","padding":{"type":"Left","pad":"00"}}`), "padding"},
		{with(`"2":{"type":"String","length":19,"enc":"ASCII","prefix":"BCD.LL","padding":{"type":"Both","pad":"0"}}`), "Both"},
		{with(`"65":{"type":"Binary","length":1,"enc":"Binary","prefix":"Binary.Fixed"}`), "bit 65"},
		{with(`"2":{"type":"Composite","length":1,"prefix":"BCD.LL","tag":{"length":2,"enc":"ASCII","sort":"StringsByInt"},"subfields":{"1":{}}}`), "positional"},
		{with(`"2":{"type":"Composite","length":1,"prefix":"BCD.LL","tag":{"sort":"StringsByHex"},"subfields":{"1":{}}}`), "StringsByHex"},
		{with(`"2":{"type":"Composite","length":1,"prefix":"BCD.LL","tag":{"sort":"StringsByInt"},"subfields":{"x":{}}}`), `"x"`},
		{with(`"2":{"type":"Composite","length":9,"prefix":"Binary.Fixed","tag":{"sort":"StringsByInt"},"subfields":{"1":{"type":"String","length":1,"enc":"ASCII","prefix":"ASCII.Fixed"}}}`), "make 1 bytes"},
		{with(`"2":{"type":"Composite","length":9,"prefix":"Binary.Fixed","tag":{"sort":"StringsByInt"},"subfields":{"1":{"type":"String","length":1,"enc":"ASCII","prefix":"ASCII.LL"}}}`), "fixed length"},
		{`{"fields":{` + mti + `,"1":{"type":"String"}}}`, "want Bitmap"},
		{`{"fields":{` + mti + `,"1":{"type":"Bitmap","length":16,"enc":"Binary"}}}`, "bitmap of 16 bytes"},
		{`{"fields":{` + mti + `,"1":{"type":"Bitmap","length":8,"enc":"ASCII"}}}`, "of a bitmap"},
		{`{"fields":{` + mti + `,"1":{"type":"Bitmap","length":8,"enc":"Binary","disableAutoExpand":true},
			"70":{"type":"String","length":3,"enc":"BCD","prefix":"BCD.Fixed"}}}`, "field 70"},
	} {
		_, err := Compile([]byte(tc.spec))
		require.ErrorContains(t, err, tc.want, tc.spec)
	}
}

// FuzzCompile is a dialect file of an operator: it is refused, or its codec holds with every message what the shipped ones do.
func FuzzCompile(f *testing.F) {
	cup := compileDialect(f, "cup")
	var b Builder
	b.Reset(cup, 0x0200)
	b.SetString(2, "6224240000000017")
	b.SetUint(4, 479920)
	b.Set(55, []byte{0x9A, 1, 0x25})
	raw, err := b.Append(nil)
	require.NoError(f, err)
	for _, name := range shipped {
		spec, _, err := dialects.Load("", name)
		require.NoError(f, err)
		f.Add(spec, raw)
	}
	const head = `{"name":"x","fields":{"0":{"type":"String","length":4,"enc":"BCD","prefix":"BCD.Fixed"},"1":{"type":"Bitmap","enc":"Binary","prefix":"Binary.Fixed"},`
	for _, field := range []string{
		`"2":{"type":"String","length":19,"enc":"LBCD","prefix":"BCD.LL","padNibble":"F"}`,
		`"2":{"type":"Numeric","length":19,"enc":"BCD","prefix":"Hex.LLL","padding":{"type":"Left","pad":"0"}}`,
		`"35":{"type":"Track2","length":37,"enc":"ASCII","prefix":"ASCII.LL","separator":"D"},"55":{"type":"Hex","length":255,"enc":"HexToASCII","prefix":"Binary.LL"}`,
		`"28":{"type":"Composite","length":9,"prefix":"ASCII.Fixed","tag":{"sort":"StringsByInt"},"subfields":{"1":{"type":"String","length":1,"enc":"ASCII","prefix":"ASCII.Fixed"},"2":{"type":"Numeric","length":8,"enc":"ASCII","prefix":"ASCII.Fixed"}}}`,
	} {
		f.Add([]byte(head+field+`}}`), []byte("\x02\x00\x60\x00\x00\x10\x20\x00\x02\x00\x04\x62\x24"))
	}
	f.Fuzz(func(t *testing.T, spec, raw []byte) {
		c, err := Compile(spec)
		if err != nil {
			require.Contains(t, err.Error(), "message specification")
			return
		}
		checkInvariants(t, c, raw)
	})
}
