package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a bundle.
type Problem struct {
	File string
	Line int // from 1; 0 = the file as a whole
	Text string
}

// String prints "file:line: what is wrong".
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

// Problems is the error of Compile: everything that is wrong, by file and line.
type Problems []Problem

// Error prints one problem a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// maxProblems bounds a report: behind the first hundred an operator reads nothing new.
const maxProblems = 100

// report gathers problems, and what the values that were read rest on.
type report struct {
	problems Problems
	values   map[place]Value
}

type place struct {
	file         string
	line, column int
}

// note keeps the origin of one value; a value that is read twice is one value.
func (r *report) note(what string, o Origin, column int) {
	if r.values == nil {
		r.values = map[place]Value{}
	}
	r.values[place{o.File, o.Line, column}] = Value{what, o}
}

// list returns the values of the rule files in the order in which they are written.
func (r *report) list() []Value {
	places := slices.SortedFunc(maps.Keys(r.values), func(a, b place) int {
		return cmp.Or(strings.Compare(a.file, b.file), cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
	var values []Value
	for _, at := range places {
		if slices.Contains(RuleFiles(), at.file) {
			values = append(values, r.values[at])
		}
	}
	return values
}

func (r *report) add(file string, line int, format string, args ...any) {
	r.problems = append(r.problems, Problem{file, line, shorten(fmt.Sprintf(format, args...))})
}

// maxProblem bounds one problem in bytes: a value of megabytes must not be quoted in full.
const maxProblem = 600

func shorten(text string) string {
	if len(text) <= maxProblem {
		return text
	}
	return strings.ToValidUTF8(text[:maxProblem], "") + " …"
}

// err returns the sorted, deduplicated problems, or nil.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	problems := slices.Compact(r.problems)
	if len(problems) > maxProblems {
		more := len(problems) - maxProblems
		problems = append(problems[:maxProblems:maxProblems], Problem{"(bundle)", 0, fmt.Sprintf("%d more problems", more)})
	}
	return problems
}
