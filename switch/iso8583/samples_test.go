package iso8583

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/config/dialects"
)

// sample is one message of testdata/iso8583: TPDU, header and message, with or without a length field.
type sample struct {
	Name      string            `json:"name"`
	Hex       string            `json:"hex"`
	HasLength *bool             `json:"has_length_prefix"`
	Decoded   map[string]any    `json:"decoded"`
	Fields    map[string]string `json:"fields"`
}

// message returns the bytes from the MTI on.
func (s sample) message(t testing.TB) []byte {
	t.Helper()
	raw, err := hex.DecodeString(s.Hex)
	require.NoError(t, err)
	if s.HasLength == nil || *s.HasLength {
		raw = raw[2:]
	}
	return raw[11:]
}

// fields returns the expected values by field number.
func (s sample) fields() map[int]string {
	want := map[int]string{}
	for key, v := range s.Decoded {
		if n, err := strconv.Atoi(key); err == nil {
			want[n] = v.(string)
		}
	}
	for key, v := range s.Fields {
		n, _ := strconv.Atoi(key)
		want[n] = v
	}
	return want
}

func loadSamples(t testing.TB) (good, bad []sample) {
	t.Helper()
	var public struct{ Samples, Negative []sample }
	var constructed struct{ Messages []sample }
	for name, v := range map[string]any{"public.json": &public, "constructed.json": &constructed} {
		b, err := os.ReadFile(filepath.Join("../../testdata/iso8583", name))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(b, v))
	}
	return append(public.Samples, constructed.Messages...), public.Negative
}

func compileDialect(t testing.TB, name string) *Codec {
	t.Helper()
	spec, _, err := dialects.Load("../../config/dialects", name)
	require.NoError(t, err)
	c, err := Compile(spec)
	require.NoError(t, err)
	return c
}

func TestSamplesParseToTheirFields(t *testing.T) {
	good, _ := loadSamples(t)
	require.Len(t, good, 21)
	cup := compileDialect(t, "cup")
	var m Message
	var b Builder
	for _, s := range good {
		raw := s.message(t)
		require.NoError(t, cup.Parse(raw, &m), s.Name)
		want := s.fields()
		for n := m.Next(0); n != 0; n = m.Next(n) {
			v, ok := want[n]
			if !ok {
				require.Equal(t, 64, n, "%s: field %d is not in the sample", s.Name, n)
				continue
			}
			delete(want, n)
			text, isHex := m.AppendText(nil, n)
			if isHex || n == 63 && len(v) > 40 {
				v = strings.ToUpper(v)
			}
			require.Equal(t, v, string(text), "%s field %d", s.Name, n)
		}
		require.Empty(t, want, s.Name)

		b.Reset(cup, m.MTI())
		b.CopyAll(&m)
		again, err := b.Append(nil)
		require.NoError(t, err)
		require.Equal(t, raw, again, "%s: a copy is the same bytes", s.Name)
	}
}

func TestBitmapBodyMismatchIsRefused(t *testing.T) {
	_, bad := loadSamples(t)
	require.Len(t, bad, 1)
	cup := compileDialect(t, "cup")
	var m Message
	err := cup.Parse(bad[0].message(t), &m)
	var pe *ParseError
	require.ErrorAs(t, err, &pe)
	require.Equal(t, &ParseError{Field: 64, Offset: len(m.Bytes()) - 10, Reason: Trailing}, pe)
}
