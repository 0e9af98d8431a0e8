package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// valueKind sorts the values of JSON.
type valueKind uint8

const (
	nullValue valueKind = iota
	boolValue
	numberValue
	textValue
	listValue
	objectValue
)

// value is one value of a request body. Its bytes may be those of the body itself.
type value struct {
	kind  valueKind
	text  []byte  // of a string, decoded; of a number or a boolean, as it was written
	inner []field // of an object; of a list, without names
}

type field struct {
	name []byte
	value
}

// maxFields is how many fields of one object the plain reader compares with one another.
const maxFields = 32

// plain reads the JSON that programs write: no escapes in strings, no name twice in an object, not many fields, at most
// maxDepth deep. Whatever is not so is not judged here: it is left to encoding/json, whose word about malformed bodies is
// the one that callers know. It takes a tenth of that package's time.
type plain struct {
	in []byte
	at int
}

// readPlain returns the value that the body is, which must be valid UTF-8. ok is false when it is not plain.
func readPlain(body []byte) (v value, ok bool) {
	p := plain{in: body}
	if v, ok = p.value(1); !ok {
		return value{}, false
	}
	p.blanks()
	return v, p.at == len(p.in)
}

func (p *plain) blanks() {
	for p.at < len(p.in) {
		switch p.in[p.at] {
		case ' ', '\t', '\r', '\n':
			p.at++
		default:
			return
		}
	}
}

// next skips blanks and takes c when it comes next.
func (p *plain) next(c byte) bool {
	p.blanks()
	if p.at < len(p.in) && p.in[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *plain) value(depth int) (v value, ok bool) {
	p.blanks()
	if depth > maxDepth || p.at == len(p.in) {
		return v, false
	}
	switch c := p.in[p.at]; {
	case c == '{':
		v.kind = objectValue
		v.inner, ok = p.object(depth)
	case c == '[':
		v.kind = listValue
		v.inner, ok = p.list(depth)
	case c == '"':
		v.kind = textValue
		v.text, ok = p.text()
	case c == '-' || c >= '0' && c <= '9':
		v.kind = numberValue
		v.text, ok = p.number()
	default:
		return p.word()
	}
	return v, ok
}

func (p *plain) object(depth int) (fields []field, ok bool) {
	p.at++
	if p.next('}') {
		return nil, true
	}
	fields = make([]field, 0, 4)
	for {
		p.blanks()
		name, ok := p.text()
		if !ok || len(fields) == maxFields || !p.next(':') {
			return nil, false
		}
		for i := range fields {
			if bytes.Equal(fields[i].name, name) {
				return nil, false
			}
		}
		v, ok := p.value(depth + 1)
		if !ok {
			return nil, false
		}
		fields = append(fields, field{name, v})
		if p.next('}') {
			return fields, true
		}
		if !p.next(',') {
			return nil, false
		}
	}
}

func (p *plain) list(depth int) (items []field, ok bool) {
	p.at++
	if p.next(']') {
		return nil, true
	}
	for {
		v, ok := p.value(depth + 1)
		if !ok {
			return nil, false
		}
		items = append(items, field{value: v})
		if p.next(']') {
			return items, true
		}
		if !p.next(',') {
			return nil, false
		}
	}
}

// text takes a string without escapes and control characters.
func (p *plain) text() ([]byte, bool) {
	if p.at == len(p.in) || p.in[p.at] != '"' {
		return nil, false
	}
	start := p.at + 1
	for i := start; i < len(p.in); i++ {
		switch c := p.in[i]; {
		case c == '"':
			p.at = i + 1
			return p.in[start:i:i], true
		case c == '\\' || c < ' ':
			return nil, false
		}
	}
	return nil, false
}

// number takes a number in the grammar of RFC 8259 §6.
func (p *plain) number() ([]byte, bool) {
	start := p.at
	if p.in[p.at] == '-' {
		p.at++
	}
	leading := p.at
	whole := p.digits()
	if whole == 0 || whole > 1 && p.in[leading] == '0' {
		return nil, false
	}
	if p.at < len(p.in) && p.in[p.at] == '.' {
		p.at++
		if p.digits() == 0 {
			return nil, false
		}
	}
	if p.at < len(p.in) && p.in[p.at]|0x20 == 'e' {
		p.at++
		if p.at < len(p.in) && (p.in[p.at] == '+' || p.in[p.at] == '-') {
			p.at++
		}
		if p.digits() == 0 {
			return nil, false
		}
	}
	return p.in[start:p.at:p.at], true
}

func (p *plain) digits() int {
	start := p.at
	for p.at < len(p.in) && p.in[p.at] >= '0' && p.in[p.at] <= '9' {
		p.at++
	}
	return p.at - start
}

func (p *plain) word() (value, bool) {
	for _, w := range []struct {
		text string
		kind valueKind
	}{{"true", boolValue}, {"false", boolValue}, {"null", nullValue}} {
		if rest := p.in[p.at:]; len(rest) >= len(w.text) && string(rest[:len(w.text)]) == w.text {
			p.at += len(w.text)
			if w.kind == nullValue {
				return value{}, true
			}
			return value{kind: w.kind, text: rest[:len(w.text)]}, true
		}
	}
	return value{}, false
}

// readValue reads the next value; the text is known to be valid JSON. It returns what is wrong, or "".
func readValue(d *json.Decoder, depth int) (v value, detail string) {
	if depth > maxDepth {
		return v, fmt.Sprintf("nested deeper than %d", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return v, "syntax error"
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '{' {
			return readFields(d, depth)
		}
		return readItems(d, depth)
	case string:
		return value{kind: textValue, text: []byte(token)}, ""
	case json.Number:
		return value{kind: numberValue, text: []byte(token)}, ""
	case bool:
		return value{kind: boolValue, text: fmt.Append(nil, token)}, ""
	}
	return v, ""
}

func readFields(d *json.Decoder, depth int) (v value, detail string) {
	v.kind = objectValue
	names := map[string]bool{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return v, "syntax error"
		}
		text := name.(string)
		if names[text] {
			return v, "a name is given twice in one object"
		}
		names[text] = true
		one, detail := readValue(d, depth+1)
		if detail != "" {
			return v, detail
		}
		v.inner = append(v.inner, field{[]byte(text), one})
	}
	return v, closed(d)
}

func readItems(d *json.Decoder, depth int) (v value, detail string) {
	v.kind = listValue
	for d.More() {
		one, detail := readValue(d, depth+1)
		if detail != "" {
			return v, detail
		}
		v.inner = append(v.inner, field{value: one})
	}
	return v, closed(d)
}

// closed takes the end of an object or list.
func closed(d *json.Decoder) (detail string) {
	if _, err := d.Token(); err != nil {
		return "syntax error"
	}
	return ""
}
