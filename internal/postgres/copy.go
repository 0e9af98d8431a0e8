package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"huanxin/internal/money"
	"huanxin/switch/projection"
)

// PostgreSQL's binary COPY format, which the projector's rows are packed in. Integers are big-endian.
//
//	signature "PGCOPY\n\xff\r\n\0" │ flags int32 │ length of an extension int32     once
//	number of columns int16 │ for each: length int32, −1 = null │ its bytes         each row
//	−1 int16                                                                        once
//
// A column takes bytes of exactly its own type: every integer field lies in a bigint, an Instant in a timestamptz, a
// time.Time in a date.
var (
	copyHeader  = []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	copyTrailer = []byte{0xff, 0xff}
)

// The types of an array's elements, as PostgreSQL numbers them.
const (
	oidInt8 = 20
	oidInt4 = 23
	oidText = 25
)

// The epoch of PostgreSQL's instants and dates is 2000-01-01.
const (
	epochMicros = 946_684_800_000_000
	epochDays   = 10_957
)

var errTooBig = errors.New("a number that a bigint does not hold")

// appendRow appends one row. fields are pointers to what its columns take.
func appendRow(to []byte, fields []any) ([]byte, error) {
	to = binary.BigEndian.AppendUint16(to, uint16(len(fields)))
	for _, field := range fields {
		var err error
		if to, err = appendField(to, field); err != nil {
			return to, err
		}
	}
	return to, nil
}

func appendField(to []byte, field any) ([]byte, error) {
	switch v := field.(type) {
	case *string:
		return append(appendLength(to, len(*v)), *v...), nil
	case *uint64:
		if *v > math.MaxInt64 {
			return to, errTooBig
		}
		return appendInt8(to, int64(*v)), nil
	case *money.Amount:
		return appendInt8(to, int64(*v)), nil
	case *uint32:
		return appendInt8(to, int64(*v)), nil
	case *projection.Instant:
		if *v == 0 {
			return binary.BigEndian.AppendUint32(to, math.MaxUint32), nil
		}
		return appendInt8(to, v.Micros()-epochMicros), nil
	case *time.Time:
		return binary.BigEndian.AppendUint32(appendLength(to, 4), uint32(int32(v.Unix()/86_400-epochDays))), nil
	case *bool:
		if *v {
			return append(appendLength(to, 1), 1), nil
		}
		return append(appendLength(to, 1), 0), nil
	case *[]byte:
		return append(appendLength(to, len(*v)), *v...), nil
	case *[]string:
		return appendArray(to, oidText, *v, func(to []byte, s string) []byte { return append(appendLength(to, len(s)), s...) }), nil
	case *[]int64:
		return appendArray(to, oidInt8, *v, appendInt8), nil
	case *[]int32:
		return appendArray(to, oidInt4, *v, func(to []byte, n int32) []byte {
			return binary.BigEndian.AppendUint32(appendLength(to, 4), uint32(n))
		}), nil
	}
	return to, fmt.Errorf("no column takes a %T", field)
}

func appendLength(to []byte, n int) []byte { return binary.BigEndian.AppendUint32(to, uint32(n)) }

func appendInt8(to []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(appendLength(to, 8), uint64(n))
}

// appendArray: dimensions int32, 0 = empty │ has nulls int32 │ element type int32 │ its length and lower bound, int32 each │
// elements as columns.
func appendArray[T any](to []byte, element uint32, list []T, add func([]byte, T) []byte) []byte {
	at := len(to)
	to = append(to, 0, 0, 0, 0) // length, below
	if len(list) == 0 {
		to = binary.BigEndian.AppendUint32(append(to, 0, 0, 0, 0, 0, 0, 0, 0), element)
	} else {
		to = binary.BigEndian.AppendUint32(append(to, 0, 0, 0, 1, 0, 0, 0, 0), element)
		to = append(binary.BigEndian.AppendUint32(to, uint32(len(list))), 0, 0, 0, 1)
		for _, v := range list {
			to = add(to, v)
		}
	}
	binary.BigEndian.PutUint32(to[at:], uint32(len(to)-at-4))
	return to
}
