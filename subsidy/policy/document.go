package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"

	"huanxin/internal/money"
	"huanxin/subsidy/catalogue"
)

// A document is read value by value, so that every problem has its line. Three rules hold for every file:
//
//   - a key that nobody reads is a problem (a misspelt rule must not be a missing one);
//   - a value stands under `source` and `status`: its own, written as {value: …, source: …, status: …}, or those of the
//     nearest block around it;
//   - no anchors, aliases, merge keys and second documents: what is written is what holds.

// maxYAML bounds one YAML file.
const maxYAML = 8 << 20

// node is one value of a document with the origin it inherits.
type node struct {
	r    *report
	file string
	what string // how problems call it
	y    *yaml.Node
	from Origin
}

// block is a mapping that is being read.
type block struct {
	node
	keys []*yaml.Node
	vals []*yaml.Node
	seen []bool
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)

// openDocument parses a file. It reports and returns false when there is nothing to read.
func openDocument(r *report, file string, data []byte) (node, bool) {
	if len(data) > maxYAML {
		r.add(file, 0, "%d bytes, at most %d", len(data), maxYAML)
		return node{}, false
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var y yaml.Node
	if err := decoder.Decode(&y); err != nil {
		if errors.Is(err, io.EOF) {
			r.add(file, 1, "the file is empty")
			return node{}, false
		}
		reportYAML(r, file, err)
		return node{}, false
	}
	var second yaml.Node
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		r.add(file, max(second.Line, 1), "a second document in one file")
		return node{}, false
	}
	if line := findAlias(&y); line > 0 {
		r.add(file, line, "anchors and aliases are not allowed: write the value out")
		return node{}, false
	}
	return node{r: r, file: file, what: "the file", y: y.Content[0]}, true
}

func reportYAML(r *report, file string, err error) {
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		line, _ := strconv.Atoi(m[1])
		r.add(file, line, "not YAML: %s", m[2])
		return
	}
	r.add(file, 0, "not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
}

func findAlias(y *yaml.Node) int {
	if y.Kind == yaml.AliasNode || y.Anchor != "" {
		return y.Line
	}
	for _, child := range y.Content {
		if line := findAlias(child); line > 0 {
			return line
		}
	}
	return 0
}

func (n node) problem(format string, args ...any) {
	n.r.add(n.file, n.y.Line, "%s: %s", n.what, fmt.Sprintf(format, args...))
}

// origin returns where the value stands. A value without source and status is a problem.
func (n node) origin() Origin {
	o := n.from
	o.File, o.Line = n.file, n.y.Line
	if o.Status == "" {
		n.problem("has no source and status: give them here or to a block around it")
	}
	n.r.note(n.what, o, n.y.Column)
	return o
}

// block reads a mapping: its own source and status first.
func (n node) block() (*block, bool) {
	if n.y.Kind != yaml.MappingNode {
		n.problem("want a block of keys, not %s", kindName(n.y))
		return nil, false
	}
	b := &block{node: n}
	for i := 0; i+1 < len(n.y.Content); i += 2 {
		key := n.y.Content[i]
		if key.Kind != yaml.ScalarNode {
			n.r.add(n.file, key.Line, "%s: a key must be plain text", n.what)
			continue
		}
		if slices.ContainsFunc(b.keys, func(k *yaml.Node) bool { return k.Value == key.Value }) {
			n.r.add(n.file, key.Line, "%s: key %q is given twice", n.what, key.Value)
			continue
		}
		b.keys = append(b.keys, key)
		b.vals = append(b.vals, n.y.Content[i+1])
	}
	b.seen = make([]bool, len(b.keys))
	b.tag()
	return b, true
}

// tag takes source and status of the block itself.
func (b *block) tag() {
	source, hasSource := b.raw("source")
	status, hasStatus := b.raw("status")
	if !hasSource && !hasStatus {
		return
	}
	if hasSource != hasStatus {
		b.problem("source and status go together")
	}
	// Set even when something is wrong, so that one mistake is one problem.
	b.from.Source, b.from.Status = "?", Assumption
	if hasSource {
		if source.y.Kind != yaml.ScalarNode || strings.TrimSpace(source.y.Value) == "" || len(source.y.Value) > 1000 {
			source.problem("want a text that says where the value comes from, at most 1000 bytes")
		}
		b.from.Source = source.y.Value
	}
	if hasStatus {
		if s := Status(status.y.Value); s != Verified && s != Assumption {
			status.problem("%q: want verified or assumption", status.y.Value)
		} else {
			b.from.Status = s
		}
	}
}

func (b *block) raw(key string) (node, bool) {
	for i, k := range b.keys {
		if k.Value == key {
			b.seen[i] = true
			return node{r: b.r, file: b.file, what: key, y: b.vals[i], from: b.from}, true
		}
	}
	return node{}, false
}

// take returns the value of a key, unwrapped from {value: …, source: …, status: …}.
func (b *block) take(key string) (node, bool) {
	n, ok := b.raw(key)
	if !ok {
		return node{}, false
	}
	if n.y.Kind == yaml.MappingNode && hasKey(n.y, "value") {
		wrap, ok := n.block()
		if !ok {
			return node{}, false
		}
		inner, _ := wrap.raw("value")
		wrap.end()
		inner.what = key
		return inner, true
	}
	return n, true
}

func hasKey(y *yaml.Node, key string) bool {
	for i := 0; i+1 < len(y.Content); i += 2 {
		if y.Content[i].Value == key {
			return true
		}
	}
	return false
}

// need is take for a key that must be there.
func (b *block) need(key string) (node, bool) {
	n, ok := b.take(key)
	if !ok {
		b.problem("key %q is missing", key)
	}
	return n, ok
}

// end reports the keys that nobody has read.
func (b *block) end() {
	for i, k := range b.keys {
		if !b.seen[i] {
			b.r.add(b.file, k.Line, "%s: unknown key %q", b.what, k.Value)
		}
	}
}

// list reads a sequence, or a single value as a sequence of one.
func (n node) list() []node {
	if n.y.Kind != yaml.SequenceNode {
		return []node{n}
	}
	items := make([]node, len(n.y.Content))
	for i, y := range n.y.Content {
		items[i] = node{r: n.r, file: n.file, what: n.what, y: y, from: n.from}
	}
	return items
}

// sequence reads a sequence and nothing else.
func (n node) sequence() []node {
	if n.y.Kind != yaml.SequenceNode {
		n.problem("want a list, not %s", kindName(n.y))
		return nil
	}
	return n.list()
}

func (n node) isText(word string) bool { return n.y.Kind == yaml.ScalarNode && n.y.Value == word }

// text reads a scalar as it is written. It demands an origin.
func (n node) text() (string, bool) {
	if n.y.Kind != yaml.ScalarNode || n.y.Tag == "!!null" {
		n.problem("want a value, not %s", kindName(n.y))
		return "", false
	}
	n.origin()
	return n.y.Value, true
}

func (n node) code() (string, bool) {
	v, ok := n.text()
	if ok && !catalogue.IsCode(v) {
		n.problem("%q: want a code of 1–16 letters, digits, - or _", v)
		return "", false
	}
	return v, ok
}

func (n node) name() string {
	v, ok := n.text()
	if ok && (strings.TrimSpace(v) == "" || len(v) > 120 || strings.ContainsFunc(v, unicode.IsControl)) {
		n.problem("want a name of 1–120 bytes without control characters")
	}
	return v
}

func (n node) integer(low, high int64) (int64, bool) {
	v, ok := n.text()
	if !ok {
		return 0, false
	}
	i, err := strconv.ParseInt(v, 10, 64)
	if err != nil || i < low || i > high {
		n.problem("%q: want a whole number from %d to %d", v, low, high)
		return 0, false
	}
	return i, true
}

func (n node) boolean() (bool, bool) {
	v, ok := n.text()
	if ok && v != "true" && v != "false" {
		n.problem("%q: want true or false", v)
		return false, false
	}
	return v == "true", ok
}

// yuan reads an amount in yuan, from low up to what DE4 can carry.
func (n node) yuan(low money.Amount) (money.Amount, bool) {
	v, ok := n.text()
	if !ok {
		return 0, false
	}
	a, err := money.ParseYuan(v)
	if err != nil || a < low || a > money.MaxN12 {
		n.problem("%q: want yuan with at most two decimals, from %s to %s", v, low, money.MaxN12)
		return 0, false
	}
	return a, true
}

// percent reads a percentage with at most two decimals, in basis points.
func (n node) percent(low int64) (int64, bool) {
	v, ok := n.text()
	if !ok {
		return 0, false
	}
	a, err := money.ParseYuan(v) // hundredths, exactly as a percentage is written
	if err != nil || int64(a) < low || a >= 10_000 {
		n.problem("%q: want a percentage below 100 with at most two decimals", v)
		return 0, false
	}
	return int64(a), true
}

// instant reads an RFC 3339 instant. The zone must be +08:00: a programme's dates are Chinese dates.
func (n node) instant() (int64, bool) {
	v, ok := n.text()
	if !ok {
		return 0, false
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil || !strings.HasSuffix(v, "+08:00") || t.Year() < 2000 || t.Year() > 2200 {
		n.problem("%q: want an instant such as 2025-01-01T00:00:00+08:00, with this zone", v)
		return 0, false
	}
	return t.UnixNano(), true
}

// clock reads HH:MM as seconds after midnight; 24:00 is the end of the day.
func (n node) clock(v string) (int32, bool) {
	if len(v) == 5 && v[2] == ':' {
		h, errH := strconv.ParseUint(v[:2], 10, 8)
		m, errM := strconv.ParseUint(v[3:], 10, 8)
		if errH == nil && errM == nil && m < 60 && (h < 24 || h == 24 && m == 0) {
			return int32(h*3600 + m*60), true
		}
	}
	n.problem("%q: want a time of day such as 08:00", v)
	return 0, false
}

// hours reads "08:00-23:00", or always.
func (n node) hours() (Hours, bool) {
	v, ok := n.text()
	if !ok || v == "always" {
		return Hours{}, ok
	}
	from, to, found := strings.Cut(v, "-")
	if !found {
		n.problem("%q: want hours such as 08:00-23:00, or always", v)
		return Hours{}, false
	}
	var h Hours
	var okFrom, okTo bool
	h.From, okFrom = n.clock(from)
	h.To, okTo = n.clock(to)
	if okFrom && okTo && h.From >= h.To {
		n.problem("%q: must begin before it ends", v)
		return Hours{}, false
	}
	return h, okFrom && okTo
}

// choice reads one of a few words and returns its position.
func (n node) choice(words ...string) (int, bool) {
	v, ok := n.text()
	if !ok {
		return 0, false
	}
	i := slices.Index(words, v)
	if i < 0 {
		n.problem("%q: want %s", v, strings.Join(words, ", "))
		return 0, false
	}
	return i, true
}

func kindName(y *yaml.Node) string {
	switch {
	case y.Kind == yaml.MappingNode:
		return "a block of keys"
	case y.Kind == yaml.SequenceNode:
		return "a list"
	case y.Tag == "!!null":
		return "nothing"
	default:
		return fmt.Sprintf("%q", y.Value)
	}
}

func (n node) isBlock() bool { return n.y.Kind == yaml.MappingNode }
