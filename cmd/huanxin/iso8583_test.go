package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/config/dialects"
	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

// iso runs `huanxin iso8583` with the arguments and returns what it printed and its exit code.
func iso(t *testing.T, stdin string, args ...string) (stdout string, code int, err error) {
	t.Helper()
	cmd := newISO8583Command()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	var out strings.Builder
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err = cmd.Execute()
	var coded *exitError
	switch {
	case errors.As(err, &coded):
		code = coded.ExitCode()
	case err != nil:
		code = -1
	}
	return out.String(), code, err
}

type isoSample struct {
	Name      string            `json:"name"`
	Hex       string            `json:"hex"`
	HasLength *bool             `json:"has_length_prefix"`
	Decoded   map[string]any    `json:"decoded"`
	Fields    map[string]string `json:"fields"`
}

func (s isoSample) framing() string {
	if s.HasLength != nil && !*s.HasLength {
		return "none"
	}
	return "cup"
}

func isoSamples(t *testing.T) (good, bad []isoSample) {
	t.Helper()
	var public struct{ Samples, Negative []isoSample }
	var constructed struct{ Messages []isoSample }
	for name, v := range map[string]any{"public.json": &public, "constructed.json": &constructed} {
		b, err := os.ReadFile(filepath.Join("../../testdata/iso8583", name))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(b, v))
	}
	return append(public.Samples, constructed.Messages...), public.Negative
}

func TestDecodePrintsTheFieldsOfEverySample(t *testing.T) {
	good, _ := isoSamples(t)
	require.Len(t, good, 21)
	for _, s := range good {
		for _, in := range []string{strings.ToLower(s.Hex), s.Hex} {
			out, code, err := iso(t, "", "decode", "--dialect", "cup", "--framing", s.framing(), "--unmask", in)
			require.NoError(t, err, s.Name)
			require.Zero(t, code)
			require.Equal(t, 1, strings.Count(out, "\n"), "one line")
			var doc isoDocument
			require.NoError(t, json.Unmarshal([]byte(out), &doc), out)
			for key, want := range s.Decoded {
				switch n, err := strconv.Atoi(key); {
				case key == "TPDU":
					require.Equal(t, want, doc.TPDU)
				case key == "HDR":
					require.Equal(t, want, doc.Header)
				case key == "MTI":
					require.Equal(t, want, doc.MTI)
				case err == nil && len(doc.Hex) > 0 && doc.Hex[0] == key:
					require.Equal(t, strings.ToUpper(want.(string)), doc.Fields[n], "%s field %s", s.Name, key)
				case err == nil:
					require.Equal(t, want, doc.Fields[n], "%s field %s", s.Name, key)
				}
			}
			for key, want := range s.Fields {
				n, _ := strconv.Atoi(key)
				require.Equal(t, want, doc.Fields[n], "%s field %s", s.Name, key)
			}

			back, code, err := iso(t, out, "encode", "--framing", s.framing(), "-")
			require.NoError(t, err, s.Name)
			require.Zero(t, code)
			require.Equal(t, strings.ToUpper(s.Hex)+"\n", back, "%s comes back", s.Name)
		}
	}
}

func TestDecodeShape(t *testing.T) {
	out, code, err := iso(t, "", "decode", "--framing", "none",
		"0200 2000 0000 0080 0022 0000 00\n3130303030303139 0006 53313030313C 0003 01003C")
	require.NoError(t, err)
	require.Zero(t, code)
	require.Equal(t, `{"mti":"0200","fields":{"3":"000000","41":"10000019","59":"******","63":"01003C"},"hex":["63"]}`+"\n", out)

	out, _, err = iso(t, "6000030000 60310031FFF1 0200 2000 0000 0080 0020 000000\r\n3130303030303139 0006 53313030313C\n",
		"decode", "--framing", "none", "--unmask", "-")
	require.NoError(t, err)
	require.Equal(t, `{"tpdu":"6000030000","header":"60310031FFF1","mti":"0200","fields":{"3":"000000","41":"10000019","59":"S1001<"}}`+"\n", out)
}

func TestDecodeMasksUnlessTold(t *testing.T) {
	good, _ := isoSamples(t)
	for _, s := range good {
		if s.Name != "codetd_sale_req" {
			continue
		}
		out, _, err := iso(t, "", "decode", s.Hex)
		require.NoError(t, err)
		var doc isoDocument
		require.NoError(t, json.Unmarshal([]byte(out), &doc))
		require.Equal(t, "622424******0113", doc.Fields[2])
		require.Equal(t, "622424******0113D*****************", doc.Fields[35])
		require.Equal(t, strings.Repeat("*", 16), doc.Fields[52])
		require.NotContains(t, out, "9F26")
		require.NotContains(t, out, "H7062801")
		require.Equal(t, "000000000001", doc.Fields[4])
		_, code, err := iso(t, out, "encode", "-")
		require.Equal(t, 1, code)
		require.ErrorContains(t, err, "field 2 is masked")
		return
	}
	t.Fatal("the sample is missing")
}

func TestDecodeRefusesMalformedInputWithOffsetAndField(t *testing.T) {
	_, bad := isoSamples(t)
	require.Len(t, bad, 1)
	sale := "0011 6000030000 603100310100 0200 3000"
	for _, tc := range []struct {
		framing, in, want string
	}{
		{"cup", bad[0].Hex, "offset 115, field 64: bytes remain"},
		{"cup", sale, "offset 0, field length: says 17, 15 bytes follow"},
		{"cup", "000F" + sale[4:], "offset 17, field 1 (bitmap): message ends"},
		{"cup", "00", "offset 1, field length"},
		{"cup", "", "offset 0, field length"},
		{"cup", "000B 6000030000 603100310100", "offset 0, field length: length too small"},
		{"cup", "000D 6100030000 603100310100 0200", "offset 2, field TPDU"},
		{"ncc", "00A1 60", "offset 0, field length: malformed"},
		{"raw2", "0000", "field 0 (MTI): a keep-alive"},
		{"none", "", "offset 0, field 0 (MTI): message ends"},
		{"none", "6000030000", "offset 5, field header"},
		{"none", "0200 2000000000000000 0000", "offset 12, field 3: message ends"},
		{"none", "0200 2000000000000000 00000A", "offset 12, field 3: content"},
		{"none", "02 0G", "offset 1, field input"},
		{"none", "020", "offset 1, field input"},
	} {
		out, code, err := iso(t, tc.in, "decode", "--framing", tc.framing, "-")
		require.Equal(t, 1, code, "%s: %v", tc.in, err)
		require.ErrorContains(t, err, tc.want, tc.in)
		require.Empty(t, out)
	}
}

func TestEveryFramingAndDialectRoundTrips(t *testing.T) {
	for _, tc := range []struct{ dialect, framing, doc, hex string }{
		{"cup", "nac", `{"tpdu":"6000030000","mti":"0820","fields":{"11":"000008","60":"00000001301"}}`,
			"001A 6000030000 0820 0020000000000010 000008 0011 000000013010"},
		{"cup", "ncc", `{"tpdu":"6000030000","mti":"0820","fields":{"11":"000008","60":"00000001301"}}`,
			"0026 6000030000 0820 0020000000000010 000008 0011 000000013010"},
		{"iso87b", "raw2", `{"mti":"0800","fields":{"11":"000008","28":"C00000100","70":"301","128":"00112233445566FF"}}`,
			"0024 0800 8020001000000000 0400000000000001 000008 4300000100 0301 00112233445566FF"},
		{"iso87b", "raw4", `{"mti":"0800","fields":{"11":"000008"}}`, "0000000D 0800 0020000000000000 000008"},
		{"iso87a", "ascii4", `{"mti":"0800","fields":{"35":"62D30","52":"00FF00FF00FF00FF"}}`,
			"30303433 30383030 30303030303030303230303031303030 3035 36323D3330 30304646303046463030464630304646"},
		{"iso87-hex", "none", `{"mti":"0800","fields":{"2":"62","11":"000008"}}`,
			"3330333833303330 34303230303030303030303030303030 30303032 33363332 333033303330333033303338"},
		{"cup", "none", `{"mti":"0810","fields":{"43":"沈阳市和平区家电商场一店                ","56":"成功","63":"010000"},"hex":["63"]}`,
			"0810 0000000000200102 C9F2D1F4CAD0BACDC6BDC7F8BCD2B5E7C9CCB3A1D2BBB5EA20202020202020202020202020202020 0004 B3C9B9A6 0003 010000"},
	} {
		want := strings.ReplaceAll(tc.hex, " ", "")
		out, code, err := iso(t, tc.doc, "encode", "--dialect", tc.dialect, "--framing", tc.framing, "-")
		require.NoError(t, err, tc.doc)
		require.Zero(t, code)
		require.Equal(t, want+"\n", out, tc.doc)
		back, code, err := iso(t, out, "decode", "--dialect", tc.dialect, "--framing", tc.framing, "--unmask", "-")
		require.NoError(t, err, tc.doc)
		require.Zero(t, code)
		require.Equal(t, tc.doc+"\n", back)
	}
}

func TestEncodeRefusesWhatMakesNoMessage(t *testing.T) {
	for _, tc := range []struct{ framing, doc, want string }{
		{"none", `{`, "read JSON"},
		{"none", `{"mti":"0200"} {}`, "more than one"},
		{"none", `{"mti":"0200","field":{}}`, `"field"`},
		{"none", `{"mti":"0200","fields":{"x":""}}`, "read JSON"},
		{"none", `{"mti":"200","fields":{}}`, "mti"},
		{"none", `{"mti":"02A0","fields":{}}`, "field 0"},
		{"none", `{"mti":"0200","fields":{},"hex":["59"]}`, `"59"`},
		{"none", `{"mti":"0200","fields":{"3":"00"}}`, "field 3: bad length"},
		{"none", `{"mti":"0200","fields":{"5":"000000000000"}}`, "field 5: field is not in the dialect"},
		{"none", `{"mti":"0200","fields":{"59":"***"}}`, "field 59 is masked"},
		{"none", `{"mti":"0200","tpdu":"6000030000","fields":{}}`, "framing none"},
		{"none", `{"mti":"0200","tpdu":"60000300","header":"603100310100","fields":{}}`, "framing none"},
		{"cup", `{"mti":"0200","fields":{}}`, "TPDU of 5 bytes, given 0"},
		{"cup", `{"mti":"0200","tpdu":"6000030000","fields":{}}`, "header of 6 bytes, given 0"},
		{"raw2", `{"mti":"0200","tpdu":"6000030000","fields":{}}`, "TPDU of 0 bytes, given 5"},
		{"cup", `{"mti":"0200","tpdu":"6G","fields":{}}`, "tpdu"},
		{"cup", `{"mti":"0200","tpdu":"6000030000","header":"1","fields":{}}`, "header"},
	} {
		out, code, err := iso(t, tc.doc, "encode", "--framing", tc.framing, "-")
		require.Equal(t, 1, code, "%s: %v", tc.doc, err)
		require.ErrorContains(t, err, tc.want)
		require.Empty(t, out)
	}
}

// Two programs that read one object differently would make two messages of it: what is not plain is refused by name.
func TestEncodeTakesEveryNameOnceAndInItsOneForm(t *testing.T) {
	for doc, want := range map[string]string{
		`{"mti":"0200","fields":{"3":"000000","3":"390000"}}`:      `fields "3" stands twice`,
		`{"mti":"0200","fields":{"3":"000000","\u0033":"390000"}}`: `fields "3" stands twice`,
		`{"mti":"0200","fields":{"3":"000000","03":"390000"}}`:     `field "03"`,
		`{"mti":"0200","fields":{"+3":"000000"}}`:                  `field "+3"`,
		`{"mti":"0200","fields":{"3 ":"000000"}}`:                  `field "3 "`,
		`{"mti":"0200","fields":{"":"000000"}}`:                    `field ""`,
		`{"mti":"0200","fields":{"-3":"000000"}}`:                  `field -3`,
		`{"mti":"0200","mti":"0400","fields":{}}`:                  `"mti" stands twice`,
		`{"mti":"0200","fields":{"3":"000000"},"fields":{}}`:       `"fields" stands twice`,
		`{"MTI":"0200","fields":{}}`:                               `"MTI"`,
		`{"mti":"0200","fields":{},"note":"x"}`:                    `"note"`,
		`{"mti":"0200","fields":{"3":0}}`:                          `field 3: want a string`,
		`{"mti":"0200","fields":{"3":null}}`:                       `field 3: want a string`,
		`{"mti":"0200","fields":{"3":{"3":"000000"}}}`:             `field 3: want a string`,
		`{"mti":200,"fields":{}}`:                                  `mti: want a string`,
		`{"mti":"0200","fields":["3"]}`:                            `fields: want {`,
		`{"mti":"0200","fields":{"63":"00"},"hex":"63"}`:           `hex: want [`,
		`{"mti":"0200","fields":{"63":"00"},"hex":["63","63"]}`:    `hex: field "63" stands twice`,
		`{"mti":"0200","fields":{"63":"00"},"hex":["063"]}`:        `hex: field "063"`,
		`{"mti":"0200","fields":{"63":"00"},"hex":["63",["63"]]}`:  `hex: want a string`,
		`["0200"]`:                                     `message: want {`,
		`{"mti":"0200","fields":{"3":"000000"}`:        `read JSON`,
		`{"mti":"0200","fields":{"3":"000000"}} x`:     `more than one`,
		`{"mti":"0200","fields":{"3":"000000"}} "mti"`: `more than one`,
		``: `read JSON`,
	} {
		out, code, err := iso(t, doc, "encode", "--framing", "none", "-")
		require.Equal(t, 1, code, "%s: %v", doc, err)
		require.ErrorContains(t, err, want, doc)
		require.Empty(t, out)
	}
}

func TestWrongUseOfISO8583IsExitCode2(t *testing.T) {
	for _, args := range [][]string{
		{"decode"}, {"encode"}, {"encode", "a", "b"}, {"encode", "no/such/file"},
		{"decode", "--dialect", "nope", "00"}, {"decode", "--framing", "nope", "00"}, {"decode", "--dialect", "no/such.json", "00"},
		{"decode", "--dialect", "../../testdata/iso8583/public.json", "00"},
	} {
		_, code, err := iso(t, "", args...)
		require.Equal(t, 2, code, "%v: %v", args, err)
	}
	_, code, _ := iso(t, strings.Repeat("0", maxInput+1), "decode", "-")
	require.Equal(t, 2, code)
}

func TestDialectOfTheOperatorGoesBeforeTheEmbeddedOne(t *testing.T) {
	const own = `{"name":"own","fields":{
		"0":{"type":"String","length":4,"enc":"ASCII","prefix":"ASCII.Fixed"},
		"1":{"type":"Bitmap","enc":"Binary","prefix":"Binary.Fixed"}}}`
	const message = "30383030 0000000000000000"
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "config/dialects"), 0o755))
	path := filepath.Join(dir, "config/dialects/cup.json")
	require.NoError(t, os.WriteFile(path, []byte(own), 0o600))
	for _, args := range [][]string{{"--dialect", path}, {"--dialects", filepath.Dir(path)}} {
		out, _, err := iso(t, "", append([]string{"decode", "--framing", "none", message}, args...)...)
		require.NoError(t, err)
		require.Equal(t, `{"mti":"0800","fields":{}}`+"\n", out)
	}
	_, code, _ := iso(t, "", "decode", "--framing", "none", message)
	require.Equal(t, 1, code, "the embedded cup reads digits")
	t.Chdir(dir)
	out, _, err := iso(t, "", "decode", "--framing", "none", message)
	require.NoError(t, err)
	require.Contains(t, out, "0800")
}

// FuzzDecodeDocument: what decode prints of a message, encode makes into that message again.
func FuzzDecodeDocument(f *testing.F) {
	codecs := fuzzCodecs(f)
	f.Add(byte(0), byte(0), []byte("\x08\x00\x00\x20\x00\x00\x00\xC0\x00\x12\x00\x00\x8410400670000000000000004\x00\x11\x00\x00\x00\x01\x00\x10\x00\x03001"))
	f.Add(byte(0), byte(wire.CUP), []byte("\x00\x0D\x60\x00\x03\x00\x00\x60\x31\x00\x31\x01\x00\x08\x00"))
	f.Add(byte(1), byte(wire.ASCII4), []byte("00200800"+"0000000000000000"))
	f.Fuzz(func(t *testing.T, dialect, kind byte, raw []byte) {
		codec, framing := codecs[int(dialect)%len(codecs)], wire.Framing(kind)%(wire.Raw4+1)
		doc, err := decodeDocument(codec, framing, raw, true)
		if err != nil {
			require.ErrorContains(t, err, "malformed message: offset ")
			return
		}
		var out bytes.Buffer
		require.NoError(t, writeDocument(&out, doc))
		again, err := encodeDocument(codec, framing, out.Bytes())
		if err != nil {
			require.ErrorContains(t, err, "is masked")
			return
		}
		same, err := decodeDocument(codec, framing, again, true)
		require.NoError(t, err)
		require.Equal(t, doc, same)
	})
}

// FuzzEncodeDocument: an object is refused with what is wrong, or makes a message that reads back.
func FuzzEncodeDocument(f *testing.F) {
	codecs := fuzzCodecs(f)
	f.Add(byte(0), []byte(`{"mti":"0800","fields":{"11":"000084","41":"10400670","60":"00000001001","63":"001"}}`))
	f.Add(byte(0), []byte(`{"tpdu":"6000030000","header":"603100310100","mti":"0200","fields":{"2":"6224240000000017","55":"9A01","128":"x"},"hex":["55"]}`))
	f.Add(byte(1), []byte(`{"mti":"0800","fields":{"-1":"0","0":"","1":"","99999999999":"1"}}`))
	f.Fuzz(func(t *testing.T, dialect byte, text []byte) {
		codec := codecs[int(dialect)%len(codecs)]
		raw, err := encodeDocument(codec, 0, text)
		if err != nil || raw[0] == 0x60 { // which would be a TPDU
			return
		}
		_, err = decodeDocument(codec, 0, raw, true)
		require.NoError(t, err)
	})
}

func fuzzCodecs(f *testing.F) (list []*iso8583.Codec) {
	for _, name := range dialects.Names() {
		spec, _, err := dialects.Load("", name)
		require.NoError(f, err)
		codec, err := iso8583.Compile(spec)
		require.NoError(f, err)
		list = append(list, codec)
	}
	return list
}
