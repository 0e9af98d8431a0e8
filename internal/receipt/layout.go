package receipt

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// Width counts the half-width columns of text on a Chinese printer: East-Asian wide and full-width characters take two,
// and so do the ambiguous ones (such as … and ×), because GBK prints them from its double-byte page (UAX #11).
func Width(text string) int {
	n := 0
	for _, r := range text {
		n += runeWidth(r)
	}
	return n
}

func runeWidth(r rune) int {
	if unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r) || unicode.Is(unicode.Cf, r) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth, width.EastAsianAmbiguous:
		return 2
	}
	return 1
}

// layout collects lines that are never wider than Columns.
type layout struct{ dst []byte }

func (l *layout) line(text string) {
	l.dst = append(l.dst, text...)
	l.dst = append(l.dst, '\n')
}

// rule draws a line across the paper.
func (l *layout) rule(r rune) { l.line(strings.Repeat(string(r), Columns)) }

// centre puts a short text in the middle.
func (l *layout) centre(text string) {
	for _, part := range wrap(clean(text), Columns) {
		l.line(strings.Repeat(" ", (Columns-Width(part))/2) + part)
	}
}

// text prints a paragraph, broken where the paper ends.
func (l *layout) text(text string) {
	for _, part := range wrap(clean(text), Columns) {
		l.line(part)
	}
}

// pair prints a label at the left and its value at the right edge; a value that does not fit beside its label follows
// on a line of its own, still at the right, and one that needs several lines reads from the left. An empty value prints nothing.
func (l *layout) pair(label, value string) {
	value = clean(value)
	if value == "" {
		return
	}
	if gap := Columns - Width(label) - Width(value); gap >= 1 {
		l.line(label + strings.Repeat(" ", gap) + value)
		return
	}
	l.line(label)
	parts := wrap(value, Columns)
	if len(parts) == 1 {
		parts[0] = strings.Repeat(" ", Columns-Width(value)) + value
	}
	for _, part := range parts {
		l.line(part)
	}
}

// wrap breaks text into parts of at most columns. A wide character never straddles the edge.
func wrap(text string, columns int) []string {
	var parts []string
	var part strings.Builder
	used := 0
	for _, r := range text {
		w := runeWidth(r)
		if used+w > columns {
			parts = append(parts, part.String())
			part.Reset()
			used = 0
		}
		part.WriteRune(r)
		used += w
	}
	if part.Len() > 0 {
		parts = append(parts, part.String())
	}
	return parts
}

// clean replaces what a printer would obey instead of print.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar || r == '\u2028' || r == '\u2029' {
			return '?'
		}
		return r
	}, text)
}
