package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// secret is something that went in and may be found nowhere: a text, or the bytes of a key.
type secret struct {
	name   string
	text   string
	binary []byte
}

// needle is one way in which a secret may lie somewhere.
type needle struct {
	name  string // of the secret, and the way
	bytes []byte
}

// least is how long a needle must be: a shorter one would be found in what is random.
const least = 5

// needles are the ways: as it is, as digits packed two to a byte, as hexadecimal digits in both cases, in base64 at each of the
// three places that a text can have in it, as UTF-16, and a Chinese text as GBK.
func (s secret) needles() (list []needle) {
	add := func(way string, b []byte) {
		if len(b) >= least {
			list = append(list, needle{s.name + " as " + way, b})
		}
	}
	encoded := func(way string, b []byte) {
		add(way+" in lower hexadecimal", []byte(hex.EncodeToString(b)))
		add(way+" in upper hexadecimal", []byte(strings.ToUpper(hex.EncodeToString(b))))
		for shift := range 3 {
			padded := append(make([]byte, shift), b...)
			whole := padded[:len(padded)/3*3]
			for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64 for URLs": base64.RawURLEncoding} {
				text := encoding.EncodeToString(whole)
				add(way+" in "+name, []byte(text[min(len(text), (shift*8+5)/6):]))
			}
		}
	}
	raw := s.binary
	if raw == nil {
		raw = []byte(s.text)
	}
	add("it is", raw)
	encoded("it is", raw)
	if s.text == "" {
		return list
	}
	units := utf16.Encode([]rune(s.text))
	little, big := []byte{}, []byte{}
	for _, u := range units {
		little, big = binary.LittleEndian.AppendUint16(little, u), binary.BigEndian.AppendUint16(big, u)
	}
	add("UTF-16LE", little)
	add("UTF-16BE", big)
	if gbk, err := simplifiedchinese.GBK.NewEncoder().String(s.text); err == nil && gbk != s.text {
		add("GBK", []byte(gbk))
		encoded("GBK", []byte(gbk))
	}
	if digits := strings.Trim(s.text, "0123456789"); digits == "" || digits == "D" || digits == "X" {
		for odd := range 2 { // the digits begin in the upper or the lower half of a byte
			text := s.text[odd:]
			if packed, err := hex.DecodeString(text[:len(text)/2*2]); err == nil {
				add("packed digits", packed)
				encoded("packed digits", packed)
			}
		}
	}
	return list
}

// place is something that was left behind or said.
type place struct {
	name  string
	bytes []byte
}

// sieve finds needles: all at once, by their first bytes.
type sieve struct {
	two  [1 << 16]bool
	four map[uint32][]needle
}

func newSieve(secrets []secret) *sieve {
	s := &sieve{four: map[uint32][]needle{}}
	for _, secret := range secrets {
		for _, n := range secret.needles() {
			s.two[binary.LittleEndian.Uint16(n.bytes)] = true
			first := binary.LittleEndian.Uint32(n.bytes)
			s.four[first] = append(s.four[first], n)
		}
	}
	return s
}

// leaks are what is found of the secrets, at most one of each needle and place.
func (s *sieve) leaks(places ...place) (found []string) {
	for _, p := range places {
		b := p.bytes
		for i := 0; i+least <= len(b); i++ {
			if !s.two[binary.LittleEndian.Uint16(b[i:])] {
				continue
			}
			for _, n := range s.four[binary.LittleEndian.Uint32(b[i:])] {
				if !strings.HasPrefix(string(b[i:min(len(b), i+len(n.bytes))]), string(n.bytes)) {
					continue
				}
				if leak := fmt.Sprintf("%s: %s", p.name, n.name); !slices.Contains(found, leak) {
					found = append(found, leak)
				}
			}
		}
	}
	return found
}

// Each way of writing a secret down is found wherever it lies: a test that finds nothing says something.
func TestTheSieveHasTeeth(t *testing.T) {
	secrets := []secret{
		{name: "card number", text: "6224240000012345"}, {name: "odd card number", text: "622424000001234"},
		{name: "identity number", text: "21010219800101001X"}, {name: "name", text: "欧阳测试"}, {name: "code", text: "58310472"},
		{name: "key", binary: []byte{0x5a, 0xc3, 0x3c, 0xa5, 0x17, 0xe8, 0x02, 0xfd}},
	}
	s := newSieve(secrets)
	around := strings.Repeat("\x00\xff{}:\"\n", 37)
	require.Empty(t, s.leaks(place{"nothing", []byte(around)}))
	for _, secret := range secrets {
		list := secret.needles()
		require.Greater(t, len(list), 6)
		for _, n := range list {
			for shift := range 3 {
				b := around[:100+shift] + string(n.bytes) + around
				require.NotEmpty(t, s.leaks(place{"log", []byte(b)}), n.name)
			}
		}
		raw := secret.binary
		if raw == nil {
			raw = []byte(secret.text)
		}
		for shift := range 5 { // inside a larger text that is base64 or hexadecimal as a whole
			whole := append([]byte("a text around it"[:shift]), raw...)
			whole = append(whole, "and behind"...)
			require.NotEmpty(t, s.leaks(place{"log", []byte(base64.StdEncoding.EncodeToString(whole))}), secret.name)
			require.NotEmpty(t, s.leaks(place{"log", []byte(hex.EncodeToString(whole))}), secret.name)
			require.NotEmpty(t, s.leaks(place{"log", []byte(fmt.Sprintf("%X", whole))}), secret.name)
		}
	}
}
