// Package moovspec is the shipped dialect as moov-io/iso8583 reads it, for the peers that are built on that library.
package moovspec

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	moov "github.com/moov-io/iso8583"
	"github.com/moov-io/iso8583/specs"

	"huanxin/config/dialects"
)

// Load returns the message specification of a dialect. The library reads the file as it is, but for tracks: its BCD refuses
// the separator D, so they get an encoding that takes it.
func Load(name string) (*moov.MessageSpec, error) {
	text, _, err := dialects.Load("", name)
	if err != nil {
		return nil, err
	}
	spec, err := specs.ImportJSON(text)
	if err != nil {
		return nil, fmt.Errorf("dialect %s: %w", name, err)
	}
	for _, n := range []int{35, 36} {
		if f, ok := spec.Fields[n]; ok {
			f.Spec().Enc = nibbles{}
		}
	}
	return spec, nil
}

// nibbles are digits and D, two to a byte.
type nibbles struct{}

func (nibbles) Encode(v []byte) ([]byte, error) {
	if len(v)%2 == 1 {
		v = append(bytes.Clone(v), '0')
	}
	return hex.DecodeString(string(v))
}

func (nibbles) Decode(b []byte, n int) ([]byte, int, error) {
	size := (n + 1) / 2
	if size > len(b) {
		return nil, 0, io.ErrUnexpectedEOF
	}
	return []byte(strings.ToUpper(hex.EncodeToString(b[:size]))[:n]), size, nil
}
