package iso8583

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// jsonSpec is moov-io/iso8583's message specification.
type jsonSpec struct {
	Name   string               `json:"name"`
	Fields map[string]jsonField `json:"fields"`
}

// jsonField is one field of it. Content, Separator and PadNibble are ours: moov ignores keys it does not know.
type jsonField struct {
	Type              string               `json:"type"`
	Length            int                  `json:"length"`
	Description       string               `json:"description"`
	Enc               string               `json:"enc"`
	Prefix            string               `json:"prefix"`
	Padding           *jsonPadding         `json:"padding"`
	Tag               *jsonTag             `json:"tag"`
	Subfields         map[string]jsonField `json:"subfields"`
	Bitmap            *jsonField           `json:"bitmap"`
	DisableAutoExpand bool                 `json:"disableAutoExpand"`

	Content   string `json:"content"`   // "", "digits" or "track"
	Separator string `json:"separator"` // of a track in a text encoding: "=" (default) or "D"
	PadNibble string `json:"padNibble"` // written beside an odd count of digits: "0" (default) or "F"
}

type jsonPadding struct {
	Type string `json:"type"`
	Pad  string `json:"pad"`
}

type jsonTag struct {
	Length              int          `json:"length"`
	Enc                 string       `json:"enc"`
	Padding             *jsonPadding `json:"padding"`
	Sort                string       `json:"sort"`
	SkipUnknownTLVTags  bool         `json:"skipUnknownTLVTags"`
	StoreUnknownTLVTags bool         `json:"storeUnknownTLVTags"`
	PrefUnknownTLV      string       `json:"prefUnknownTLV"`
}

// Compile makes a codec from a message specification in moov-io/iso8583's JSON format with the extension keys of
// README.md. What the codec cannot do is refused here, with the field's number, never while messages run: unknown keys,
// EBCDIC, tagged or bitmapped composites (the walkers TLV and Tags59 read those), prefix None, bitmaps of other than 8
// bytes.
func Compile(spec []byte) (*Codec, error) {
	dec := json.NewDecoder(bytes.NewReader(spec))
	dec.DisallowUnknownFields()
	var js jsonSpec
	if err := dec.Decode(&js); err != nil {
		return nil, fmt.Errorf("read message specification: %w", err)
	}
	if dec.More() {
		return nil, fmt.Errorf("read message specification: more than one JSON value")
	}
	c := &Codec{name: js.Name, last: 64}
	for key, jf := range js.Fields {
		n, err := strconv.Atoi(key)
		if err != nil || n < 0 || n > maxField || strconv.Itoa(n) != key {
			return nil, fmt.Errorf("message specification: field %q is no number from 0 to %d", key, maxField)
		}
		if n == bitmapField {
			err = c.compileBitmap(jf)
		} else {
			err = c.compileField(n, jf)
		}
		if err != nil {
			return nil, fmt.Errorf("message specification: field %d: %w", n, err)
		}
	}
	return c, c.check(js)
}

func (c *Codec) compileField(n int, jf jsonField) error {
	p, err := compilePlan(jf)
	if err != nil {
		return err
	}
	if n == 64+bitmapField {
		return fmt.Errorf("bit 65 announces a third bitmap, which is not supported; leave the field out")
	}
	p.hex = p.binary || p.content == contentAny && (n == 52 || n == 55 || n == 62 || n == 64)
	c.plans[n] = p
	return nil
}

func (c *Codec) compileBitmap(jf jsonField) error {
	if jf.Type != "Bitmap" {
		return fmt.Errorf("type %q, want Bitmap", jf.Type)
	}
	if jf.Length != 0 && jf.Length != bitmapSize {
		return fmt.Errorf("bitmap of %d bytes: only 8 are supported, which expand to 16 by bit 1", jf.Length)
	}
	switch jf.Enc {
	case "Binary":
	case "HexToASCII":
		c.bitmapHex = true
	default:
		return fmt.Errorf("encoding %q of a bitmap: want Binary or HexToASCII", jf.Enc)
	}
	c.hasBitmap = true
	if !jf.DisableAutoExpand {
		c.last = maxField
	}
	return nil
}

// check holds what concerns more than one field.
func (c *Codec) check(js jsonSpec) error {
	mti := &c.plans[mtiField]
	switch {
	case !mti.defined():
		return fmt.Errorf("message specification: field 0 (MTI) is missing")
	case !mti.fixed || mti.max != mtiDigits || len(mti.parts) > 0 || mti.binary:
		return fmt.Errorf("message specification: field 0 (MTI) must be 4 digits of fixed length")
	case !c.hasBitmap:
		return fmt.Errorf("message specification: field 1 (bitmap) is missing")
	}
	mti.content = contentDigits
	for n := c.last + 1; n <= maxField; n++ {
		if c.plans[n].defined() {
			return fmt.Errorf("message specification: field %d needs a secondary bitmap, which disableAutoExpand forbids", n)
		}
	}
	for n := range c.plans {
		c.plans[n].description = js.Fields[strconv.Itoa(n)].Description
	}
	return nil
}

func compilePlan(jf jsonField) (plan, error) {
	p := plan{max: jf.Length}
	if jf.Length < 0 || jf.Length > maxValue {
		return p, fmt.Errorf("length %d is not between 0 and %d", jf.Length, maxValue)
	}
	if err := p.compilePrefix(jf.Prefix); err != nil {
		return p, err
	}
	if jf.Type == "Composite" || len(jf.Subfields) > 0 {
		return p, p.compileParts(jf)
	}
	if err := p.compileEncoding(jf); err != nil {
		return p, err
	}
	if err := p.compileContent(jf); err != nil {
		return p, err
	}
	return p, p.compilePadding(jf)
}

func (p *plan) compilePrefix(name string) error {
	kind, digits, ok := strings.Cut(name, ".")
	if !ok {
		return fmt.Errorf("prefix %q is not supported", name)
	}
	if digits == "Fixed" && (kind == "ASCII" || kind == "BCD" || kind == "Binary" || kind == "Hex") {
		p.fixed = true
		return nil
	}
	if digits == "" || len(digits) > 4 || strings.Trim(digits, "L") != "" {
		return fmt.Errorf("prefix %q is not supported", name)
	}
	p.prefixDigits = uint8(len(digits))
	switch kind {
	case "ASCII":
		p.prefix, p.prefixSize = prefixASCII, p.prefixDigits
	case "BCD":
		p.prefix, p.prefixSize = prefixBCD, (p.prefixDigits+1)/2
	case "Binary":
		p.prefix, p.prefixSize = prefixBinary, p.prefixDigits
	case "Hex":
		p.prefix, p.prefixSize = prefixHex, 2*p.prefixDigits
	default:
		return fmt.Errorf("prefix %q is not supported", name)
	}
	return nil
}

func (p *plan) compileEncoding(jf jsonField) error {
	switch jf.Enc {
	case "ASCII":
		p.enc = encASCII
	case "Binary":
		p.enc = encBytes
	case "BCD":
		p.enc = encBCD
	case "LBCD":
		p.enc = encLBCD
	case "HexToASCII":
		p.enc = encHex
	default:
		return fmt.Errorf("encoding %q is not supported", jf.Enc)
	}
	return nil
}

func (p *plan) compileContent(jf jsonField) error {
	p.separator = '='
	switch jf.Type {
	case "String", "Track1":
	case "Numeric":
		p.content = contentDigits
	case "Track2", "Track3":
		p.content = contentTrack
	case "Binary", "Hex":
		p.binary = true
	default:
		return fmt.Errorf("type %q is not supported", jf.Type)
	}
	switch jf.Content {
	case "":
	case "digits":
		p.content = contentDigits
	case "track":
		p.content = contentTrack
	default:
		return fmt.Errorf("content %q: want digits or track", jf.Content)
	}
	if p.bcd() && p.content == contentAny {
		p.content = contentDigits
	}
	if p.binary && p.content != contentAny {
		return fmt.Errorf("type %s cannot hold digits or a track", jf.Type)
	}
	switch {
	case jf.Separator == "":
	case p.content != contentTrack || p.bcd() || jf.Separator != "=" && jf.Separator != "D":
		return fmt.Errorf("separator %q: = or D, of a track that is not BCD", jf.Separator)
	default:
		p.separator = jf.Separator[0]
	}
	return nil
}

func (p *plan) compilePadding(jf jsonField) error {
	switch jf.PadNibble {
	case "", "0":
	case "F":
		p.padNibble = 0x0f
	default:
		return fmt.Errorf("padNibble %q: want 0 or F", jf.PadNibble)
	}
	if jf.PadNibble != "" && !p.bcd() {
		return fmt.Errorf("padNibble belongs to BCD and LBCD only")
	}
	if jf.Padding == nil || jf.Padding.Type == "None" {
		return nil
	}
	if len(jf.Padding.Pad) != 1 {
		return fmt.Errorf("padding with %q: want one ASCII character", jf.Padding.Pad)
	}
	switch jf.Padding.Type {
	case "Left":
		p.side = padLeft
	case "Right":
		p.side = padRight
	default:
		return fmt.Errorf("padding type %q: want Left, Right or None", jf.Padding.Type)
	}
	p.padByte = jf.Padding.Pad[0]
	return nil
}

// compileParts takes a composite whose subfields follow one another by position, all of fixed length: a sign and an
// amount, for example.
func (p *plan) compileParts(jf jsonField) error {
	if jf.Bitmap != nil || jf.Tag == nil || jf.Tag.Enc != "" || jf.Tag.Length != 0 || len(jf.Subfields) == 0 {
		return fmt.Errorf("only positional composites are supported; declare the field Binary and walk its tags")
	}
	if jf.Tag.Sort != "StringsByInt" {
		return fmt.Errorf("tag sort %q: want StringsByInt", jf.Tag.Sort)
	}
	numbers := make([]int, 0, len(jf.Subfields))
	for key := range jf.Subfields {
		n, err := strconv.Atoi(key)
		if err != nil {
			return fmt.Errorf("subfield %q is no number", key)
		}
		numbers = append(numbers, n)
	}
	sort.Ints(numbers)
	size := 0
	for _, n := range numbers {
		sub := jf.Subfields[strconv.Itoa(n)]
		part, err := compilePlan(sub)
		if err != nil {
			return fmt.Errorf("subfield %d: %w", n, err)
		}
		if !part.fixed || len(part.parts) > 0 || sub.Padding != nil {
			return fmt.Errorf("subfield %d: want a plain field of fixed length without padding", n)
		}
		p.parts = append(p.parts, part)
		p.binary = p.binary || part.binary
		p.units += part.max
		size += part.size(part.max)
	}
	if size != jf.Length {
		return fmt.Errorf("subfields make %d bytes, length says %d", size, jf.Length)
	}
	p.enc = encParts
	return nil
}
