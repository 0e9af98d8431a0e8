package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"huanxin/internal/money"
)

// maxDepth bounds the nesting of a request body; the interface itself needs three levels.
const maxDepth = 8

// object is one JSON object of a request while its fields are taken out of it. encoding/json alone would take "Person"
// for person, the last of two equal names, and null for nothing; here each is a problem that names the field.
//
// The first problem is kept and every later take returns a zero value, so that a reader takes all fields in a row and
// asks once, with end.
type object struct {
	path   string    // "" for the body itself, else "person." …
	fields []field   // not taken yet
	first  **problem // shared by all objects of one body
}

// parseObject reads a body that must be one JSON object, in UTF-8, with no name given twice in an object. The object refers
// to the bytes of the body; what is taken out of it is copied.
func parseObject(body []byte) (*object, *problem) {
	if !utf8.Valid(body) {
		return nil, malformed("the body is not UTF-8")
	}
	whole, ok := readPlain(body)
	if !ok {
		var raw json.RawMessage
		if err := json.Unmarshal(body, &raw); err != nil {
			var syntax *json.SyntaxError
			if errors.As(err, &syntax) {
				return nil, malformed("syntax error after byte %d", syntax.Offset)
			}
			return nil, malformed("syntax error")
		}
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		var detail string
		if whole, detail = readValue(d, 1); detail != "" {
			return nil, malformed("%s", detail)
		}
	}
	if whole.kind != objectValue {
		return nil, malformed("the body is no object")
	}
	return &object{fields: whole.inner, first: new(*problem)}, nil
}

func (o *object) fail(p *problem) {
	if *o.first == nil {
		*o.first = p
	}
}

func (o *object) invalid(name, detail string, args ...any) {
	o.fail(fieldProblem(codeInvalidField, o.path+name, detail, args...))
}

// find is the place of a field, −1 when it was not sent or has been taken.
func (o *object) find(name string) int {
	for i := range o.fields {
		if string(o.fields[i].name) == name {
			return i
		}
	}
	return -1
}

// has reports whether a field was sent.
func (o *object) has(name string) bool { return o.find(name) >= 0 }

// take removes a field. A field that is not there is a problem when it is required.
func (o *object) take(name string, required bool) (v value, ok bool) {
	at := o.find(name)
	if at < 0 {
		if required {
			o.fail(fieldProblem(codeMissingField, o.path+name, "the field is required"))
		}
		return v, false
	}
	v = o.fields[at].value
	last := len(o.fields) - 1
	o.fields[at] = o.fields[last]
	o.fields = o.fields[:last]
	return v, true
}

// text takes a string that matches form, nil for any; what describes the form to the caller.
func (o *object) text(name string, required bool, form *regexp.Regexp, what string) string {
	value, ok := o.take(name, required)
	if !ok {
		return ""
	}
	if value.kind != textValue {
		o.invalid(name, "want a string")
		return ""
	}
	text := string(value.text)
	if form != nil && !form.MatchString(text) {
		o.invalid(name, "want %s", what)
		return ""
	}
	return text
}

// integer takes a whole number from min to max, written without fraction or exponent.
func (o *object) integer(name string, min, max int64) int64 {
	value, ok := o.take(name, true)
	if !ok {
		return 0
	}
	if value.kind != numberValue {
		o.invalid(name, "want a number")
		return 0
	}
	v, err := strconv.ParseInt(string(value.text), 10, 64)
	if err != nil || v < min || v > max {
		o.invalid(name, "want a whole number from %d to %d", min, max)
		return 0
	}
	return v
}

// fen takes an amount in fen.
func (o *object) fen(name string) money.Amount {
	return money.Amount(o.integer(name, 0, int64(money.MaxN12)))
}

// boolean takes an optional true or false; an absent one is false.
func (o *object) boolean(name string) bool {
	value, ok := o.take(name, false)
	if !ok {
		return false
	}
	if value.kind != boolValue {
		o.invalid(name, "want true or false")
	}
	return string(value.text) == "true"
}

// microDegrees takes decimal degrees between −limit and limit and returns them in micro-degrees, rounded.
func (o *object) microDegrees(name string, limit float64) int32 {
	value, ok := o.take(name, true)
	if !ok {
		return 0
	}
	if value.kind != numberValue {
		o.invalid(name, "want a number of degrees")
		return 0
	}
	v, err := strconv.ParseFloat(string(value.text), 64)
	if err != nil || !(math.Abs(v) <= limit) {
		o.invalid(name, "want degrees from -%g to %g", limit, limit)
		return 0
	}
	return int32(math.Round(v * 1e6))
}

// object takes a nested object; nil when it is absent, which is a problem when it is required.
func (o *object) object(name string, required bool) *object {
	value, ok := o.take(name, required)
	if !ok {
		return nil
	}
	if value.kind != objectValue {
		o.invalid(name, "want an object")
		return nil
	}
	return &object{path: o.path + name + ".", fields: value.inner, first: o.first}
}

// objects takes a list of at most limit objects; an absent list is empty.
func (o *object) objects(name string, limit int) []*object {
	value, ok := o.take(name, false)
	if !ok {
		return nil
	}
	if value.kind != listValue || len(value.inner) > limit {
		o.invalid(name, "want a list of at most %d objects", limit)
		return nil
	}
	objects := make([]*object, 0, len(value.inner))
	for i, item := range value.inner {
		if item.kind != objectValue {
			o.invalid(fmt.Sprintf("%s[%d]", name, i), "want an object")
			return nil
		}
		objects = append(objects, &object{path: fmt.Sprintf("%s%s[%d].", o.path, name, i), fields: item.inner, first: o.first})
	}
	return objects
}

// end reports fields that nobody took; of several, the first by name.
func (o *object) end() {
	if len(o.fields) == 0 {
		return
	}
	name := string(slices.MinFunc(o.fields, func(a, b field) int { return bytes.Compare(a.name, b.name) }).name)
	if len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' }) {
		name = "?"
	}
	o.fail(fieldProblem(codeUnknownField, o.path+name, "the field does not exist here"))
}

// problem is the first problem of the body that o belongs to.
func (o *object) problem() *problem { return *o.first }
