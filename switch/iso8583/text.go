package iso8583

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// AppendText appends the text form of field n: digits and tracks as they are canonically; binary fields, and DE52, 55,
// 62 and 64 of every dialect, as upper-case hexadecimal; any other text as UTF-8 read as GBK, untrimmed, when every
// character is printable and the same bytes come back from it, else as upper-case hexadecimal with isHex true. It may
// allocate.
func (m *Message) AppendText(dst []byte, n int) (text []byte, isHex bool) {
	if !m.Has(n) {
		return dst, false
	}
	p, value := &m.codec.plans[n], m.AppendField(nil, n)
	switch {
	case p.hex:
		return appendHex(dst, value), false
	case p.content != contentAny:
		return append(dst, value...), false
	}
	if text, ok := AppendUTF8(dst, value); ok {
		return text, false
	}
	return appendHex(dst, value), true
}

// SetText is the inverse of AppendText: it puts the text form into field n, which isHex says to be hexadecimal although
// the field is text. Characters that GBK has not, and what is no hexadecimal, are refused as BadContent.
func (b *Builder) SetText(n int, text string, isHex bool) {
	if !b.ready(n) {
		return
	}
	p := &b.codec.plans[n]
	var ok bool
	switch {
	case p.hex || isHex && p.content == contentAny:
		b.plain, ok = unhex(b.plain[:0], text)
	case isHex:
		ok = false
	case p.content != contentAny:
		b.plain, ok = append(b.plain[:0], text...), true
	default:
		b.plain, ok = AppendGBK(b.plain[:0], text)
	}
	if !ok {
		b.put(n, len(b.wire), BadContent)
		return
	}
	b.Set(n, b.plain)
}

// AppendUTF8 appends GBK text as UTF-8. false, with dst unchanged: it is no GBK, or holds a character that is not
// printable (unicode.IsPrint; of the blanks only the ASCII space is).
func AppendUTF8(dst, gbk []byte) ([]byte, bool) {
	if isPrintableASCII(gbk) {
		return append(dst, gbk...), true
	}
	text, err := simplifiedchinese.GBK.NewDecoder().Bytes(gbk)
	if err != nil {
		return dst, false
	}
	for _, r := range string(text) {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return dst, false
		}
	}
	back, err := simplifiedchinese.GBK.NewEncoder().Bytes(text)
	if err != nil || string(back) != string(gbk) {
		return dst, false
	}
	return append(dst, text...), true
}

// AppendGBK appends UTF-8 text as GBK. false, with dst unchanged: GBK has not all of its characters.
func AppendGBK(dst []byte, text string) ([]byte, bool) {
	if isPrintableASCII(text) {
		return append(dst, text...), true
	}
	gbk, err := simplifiedchinese.GBK.NewEncoder().String(text)
	if err != nil || !utf8.ValidString(text) {
		return dst, false
	}
	return append(dst, gbk...), true
}

func isPrintableASCII[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func appendHex(dst, v []byte) []byte {
	for _, b := range v {
		dst = append(dst, hexDigits[b>>4], hexDigits[b&0x0f])
	}
	return dst
}

func unhex(dst []byte, text string) ([]byte, bool) {
	if len(text)%2 != 0 {
		return dst, false
	}
	for i := 0; i < len(text); i += 2 {
		hi, lo := hexValue[text[i]], hexValue[text[i+1]]
		if hi > 0x0f || lo > 0x0f {
			return dst, false
		}
		dst = append(dst, hi<<4|lo)
	}
	return dst, true
}
