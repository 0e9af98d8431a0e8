package transport

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bindings say which identity may speak for whom: for terminals by their numbers (DE41), for callers of the HTTP interface by their
// names.
type Bindings struct {
	grants map[string]*grant
	bound  grant // everybody whom some identity may speak for
}

// grant is a set of names, some of them given by their beginnings.
type grant struct {
	exact    map[string]struct{}
	prefixes []string
}

// Bounds of a file of bindings.
const (
	maxBindings = 16 << 20 // bytes
	maxName     = 255
	maxPrefixes = 64 // of one identity: each is looked at with each message
)

var errBinding = errors.New("want an identity and whom it may speak for")

// ParseBindings reads a file of bindings. Each line is an identity and, after it, whom it may speak for: whole names, or a
// beginning and a star; words are set apart by blanks. Empty lines and lines that begin with # are passed over. An identity may have
// several lines. DNS names are compared without regard to case.
func ParseBindings(text []byte, kind string) (*Bindings, error) {
	b := &Bindings{grants: map[string]*grant{}, bound: newGrant()}
	if len(text) > maxBindings {
		return nil, fmt.Errorf("bindings: more than %d bytes", maxBindings)
	}
	if !utf8.Valid(text) {
		return nil, errors.New("bindings: not UTF-8")
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		words := strings.Fields(line)
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		if err := b.add(fold(words[0], kind), words[1:]); err != nil {
			return nil, fmt.Errorf("bindings: line %d: %w", number, err)
		}
	}
	if len(b.grants) == 0 {
		return nil, errors.New("bindings: no identity is bound")
	}
	return b, nil
}

func (b *Bindings) add(identity string, names []string) error {
	if len(names) == 0 || len(identity) > maxName {
		return errBinding
	}
	g := b.grants[identity]
	if g == nil {
		one := newGrant()
		g = &one
		b.grants[identity] = g
	}
	for _, name := range names {
		beginning, star := strings.CutSuffix(name, "*")
		switch {
		case len(name) > maxName || strings.Contains(beginning, "*"):
			return fmt.Errorf("%w: a star stands at the end of a name only", errBinding)
		case star:
			g.prefixes = append(g.prefixes, beginning)
			b.bound.prefixes = append(b.bound.prefixes, beginning)
		default:
			g.exact[name] = struct{}{}
			b.bound.exact[name] = struct{}{}
		}
	}
	if len(g.prefixes) > maxPrefixes {
		return fmt.Errorf("%w: more than %d beginnings", errBinding, maxPrefixes)
	}
	return nil
}

func newGrant() grant { return grant{exact: map[string]struct{}{}} }

func (g *grant) has(name []byte) bool {
	if _, ok := g.exact[string(name)]; ok {
		return true
	}
	for _, beginning := range g.prefixes {
		if len(name) >= len(beginning) && string(name[:len(beginning)]) == beginning {
			return true
		}
	}
	return false
}

func fold(identity, kind string) string {
	if kind == ByDNS {
		return strings.ToLower(identity)
	}
	return identity
}

// trim takes the blanks off a DE41 that is shorter than its field.
func trim(name []byte) []byte { return bytes.TrimRight(name, " ") }
