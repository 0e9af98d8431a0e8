// Package table reads the CSV tables of a programme: a header that must be exactly the expected columns, then one
// record a line, every problem reported with its line.
//
// It knows nothing of what a record means; the caller's parse function does. Lines that start with # are comments.
package table

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	// MaxRows bounds one table; a longer one is reported and the rest is not read.
	MaxRows = 1_000_000
	// MaxField bounds one field in bytes; a row with a longer one is reported and left out.
	MaxField = 4096
)

// Row is one parsed record and the line it starts on.
type Row[T any] struct {
	Line  int
	Value T
}

// Problem is one thing that is wrong with a table, and where.
type Problem struct {
	Line int
	Err  error
}

// Read parses data. Rows that are wrong are left out and reported; the others are returned in file order.
func Read[T any](data []byte, columns []string, parse func(record []string) (T, error)) ([]Row[T], []Problem) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))) // spreadsheets write a BOM
	r.Comment = '#'
	r.FieldsPerRecord = -1
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, []Problem{{1, fmt.Errorf("the table is empty; want the header %s", strings.Join(columns, ","))}}
	}
	if err != nil {
		return nil, []Problem{csvProblem(err)}
	}
	line, _ := r.FieldPos(0)
	if !slices.Equal(header, columns) {
		return nil, []Problem{{line, fmt.Errorf("the header is %s; want %s", strings.Join(header, ","), strings.Join(columns, ","))}}
	}
	var rows []Row[T]
	var problems []Problem
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, problems
		}
		if err != nil {
			// After a broken quote the reader has lost the rows: what it would report next is noise.
			return rows, append(problems, csvProblem(err))
		}
		line, _ := r.FieldPos(0)
		if len(rows)+len(problems) >= MaxRows {
			return rows, append(problems, Problem{line, fmt.Errorf("more than %d rows", MaxRows)})
		}
		if i := slices.IndexFunc(record, func(field string) bool { return len(field) > MaxField }); i >= 0 {
			problems = append(problems, Problem{line, fmt.Errorf("field %d has %d bytes, at most %d", i+1, len(record[i]), MaxField)})
			continue
		}
		value, err := parse(record)
		if err != nil {
			problems = append(problems, Problem{line, err})
			continue
		}
		rows = append(rows, Row[T]{line, value})
	}
}

func csvProblem(err error) Problem {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return Problem{parse.Line, parse.Err}
	}
	return Problem{1, err}
}
