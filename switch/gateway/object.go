package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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
	path   string // "" for the body itself, else "person." …
	fields map[string]any
	first  **problem // shared by all objects of one body
}

// parseObject reads a body that must be one JSON object, in UTF-8, with no name given twice in an object.
func parseObject(body []byte) (*object, *problem) {
	malformed := func(detail string, args ...any) (*object, *problem) {
		p := newProblem(codeMalformed)
		p.Detail = fmt.Sprintf(detail, args...)
		return nil, p
	}
	if !utf8.Valid(body) {
		return malformed("the body is not UTF-8")
	}
	var raw json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return malformed("syntax error after byte %d", syntax.Offset)
		}
		return malformed("syntax error")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	value, detail := readValue(d, 1)
	if detail != "" {
		return malformed("%s", detail)
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return malformed("the body is no object")
	}
	return &object{fields: fields, first: new(*problem)}, nil
}

// readValue reads the next value; the text is known to be valid JSON. It returns what is wrong, or "".
func readValue(d *json.Decoder, depth int) (any, string) {
	if depth > maxDepth {
		return nil, fmt.Sprintf("nested deeper than %d", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return nil, "syntax error"
	}
	switch token {
	case json.Delim('{'):
		fields := map[string]any{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, "syntax error"
			}
			text := name.(string)
			if _, twice := fields[text]; twice {
				return nil, "a name is given twice in one object"
			}
			var detail string
			if fields[text], detail = readValue(d, depth+1); detail != "" {
				return nil, detail
			}
		}
		_, err = d.Token()
		return fields, detailOf(err)
	case json.Delim('['):
		list := []any{}
		for d.More() {
			value, detail := readValue(d, depth+1)
			if detail != "" {
				return nil, detail
			}
			list = append(list, value)
		}
		_, err = d.Token()
		return list, detailOf(err)
	}
	return token, ""
}

func detailOf(err error) string {
	if err != nil {
		return "syntax error"
	}
	return ""
}

func (o *object) fail(p *problem) {
	if *o.first == nil {
		*o.first = p
	}
}

func (o *object) invalid(name, detail string, args ...any) {
	o.fail(fieldProblem(codeInvalidField, o.path+name, detail, args...))
}

// has reports whether a field was sent.
func (o *object) has(name string) bool {
	_, ok := o.fields[name]
	return ok
}

// take removes a field. A field that is not there is a problem when it is required.
func (o *object) take(name string, required bool) (any, bool) {
	value, ok := o.fields[name]
	if !ok && required {
		o.fail(fieldProblem(codeMissingField, o.path+name, "the field is required"))
	}
	delete(o.fields, name)
	return value, ok
}

// text takes a string that matches form, nil for any; what describes the form to the caller.
func (o *object) text(name string, required bool, form *regexp.Regexp, what string) string {
	value, ok := o.take(name, required)
	if !ok {
		return ""
	}
	text, ok := value.(string)
	if !ok {
		o.invalid(name, "want a string")
		return ""
	}
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
	number, ok := value.(json.Number)
	if !ok {
		o.invalid(name, "want a number")
		return 0
	}
	v, err := strconv.ParseInt(number.String(), 10, 64)
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
	yes, ok := value.(bool)
	if !ok {
		o.invalid(name, "want true or false")
	}
	return yes
}

// microDegrees takes decimal degrees between −limit and limit and returns them in micro-degrees, rounded.
func (o *object) microDegrees(name string, limit float64) int32 {
	value, ok := o.take(name, true)
	if !ok {
		return 0
	}
	number, ok := value.(json.Number)
	if !ok {
		o.invalid(name, "want a number of degrees")
		return 0
	}
	v, err := number.Float64()
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
	fields, ok := value.(map[string]any)
	if !ok {
		o.invalid(name, "want an object")
		return nil
	}
	return &object{path: o.path + name + ".", fields: fields, first: o.first}
}

// objects takes a list of at most limit objects; an absent list is empty.
func (o *object) objects(name string, limit int) []*object {
	value, ok := o.take(name, false)
	if !ok {
		return nil
	}
	list, ok := value.([]any)
	if !ok || len(list) > limit {
		o.invalid(name, "want a list of at most %d objects", limit)
		return nil
	}
	objects := make([]*object, 0, len(list))
	for i, item := range list {
		fields, ok := item.(map[string]any)
		if !ok {
			o.invalid(fmt.Sprintf("%s[%d]", name, i), "want an object")
			return nil
		}
		objects = append(objects, &object{path: fmt.Sprintf("%s%s[%d].", o.path, name, i), fields: fields, first: o.first})
	}
	return objects
}

// end reports fields that nobody took; of several, the first by name.
func (o *object) end() {
	if len(o.fields) == 0 {
		return
	}
	name := slices.Min(slices.Collect(maps.Keys(o.fields)))
	if len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' }) {
		name = "?"
	}
	o.fail(fieldProblem(codeUnknownField, o.path+name, "the field does not exist here"))
}

// problem is the first problem of the body that o belongs to.
func (o *object) problem() *problem { return *o.first }
