package client

import (
	"bytes"
	"fmt"

	"huanxin/internal/bench/seed"
	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

// answerForm says where things stand in the answers to a script, which all have the same fields; one that has others is
// not as expected.
type answerForm struct {
	codec          *iso8583.Codec
	first, slots   int    // terminals
	begin          []byte // MTI and bitmap
	stan, terminal int
	code           int  // DE39
	mac            bool // DE64 is the last field
	tags           int  // DE59 after its length
}

// answerFields are those of every answer to a reserve, but DE59.
var answerFields = map[int]string{
	3: "390000", 4: "000000299900", 11: "987654", 12: "112233", 13: "0102", 25: "00", 39: "ZZ", 49: "156", 60: "9600000100060",
}

// newAnswerForm finds the places in an answer with the given fields and a DE59, and a DE64 where answers have a MAC.
func newAnswerForm(codec *iso8583.Codec, mti iso8583.MTI, fields map[int]string, first, slots int, mac bool) (answerForm, error) {
	f := answerForm{codec: codec, first: first, slots: slots, mac: mac}
	values := map[int][]byte{41: []byte(seed.Terminal(first)), 42: []byte(seed.Merchant(first)), 59: []byte("S7012987654321012")}
	for n, v := range fields {
		values[n] = []byte(v)
	}
	if mac {
		values[macField] = make([]byte, macSize)
	}
	frame, err := build(codec, mti, values)
	if err != nil {
		return f, fmt.Errorf("build a sample answer: %w", err)
	}
	f.begin = bytes.Clone(frame[messageAt:firstField])
	for _, p := range []struct {
		to    *int
		value []byte
	}{{&f.stan, []byte{0x98, 0x76, 0x54}}, {&f.terminal, values[41]}, {&f.code, []byte("ZZ")}, {&f.tags, values[59]}} {
		if *p.to, err = place(frame, p.value); err != nil {
			return f, fmt.Errorf("sample answer: %w", err)
		}
	}
	return f, nil
}

// slot goes by the terminal.
func (f *answerForm) slot(frame []byte, at int) (int, error) {
	if len(frame) < at+terminalDigits {
		return 0, fmt.Errorf("answer without a terminal: %x", frame)
	}
	n, ok := readDigits(frame[at+1 : at+terminalDigits])
	slot := int(n) - f.first
	if !ok || frame[at] != '3' || slot < 0 || slot >= f.slots {
		return 0, fmt.Errorf("answer of terminal %q, who has asked nothing: %x", frame[at:at+terminalDigits], frame)
	}
	return slot, nil
}

// answerSlot is slot for an answer of this form; another form is refused first.
func (f *answerForm) answerSlot(frame []byte) (int, error) {
	if len(frame) < f.tags || !bytes.Equal(frame[messageAt:firstField], f.begin) {
		return 0, fmt.Errorf("answer of another form: %s", f.describe(frame))
	}
	return f.slot(frame, f.terminal)
}

// describe is an answer for a person who wants to know why a run is void.
func (f *answerForm) describe(frame []byte) string {
	var m iso8583.Message
	if w, n, err := wire.CUP.Next(frame, largestBody); err != nil || n != len(frame) || f.codec.Parse(w.Message, &m) != nil {
		return fmt.Sprintf("%x", frame)
	}
	return fmt.Sprintf("%s of terminal %s with code %q: %x", m.MTI(), m.AppendField(nil, 41), m.AppendField(nil, 39), frame)
}

// approved expects the answer to the message of that STAN, with code 00.
func (f *answerForm) approved(slot int, stan uint32, frame []byte) error {
	switch {
	case readBCD(frame[f.stan:f.stan+3]) != stan:
		return unexpected(slot, "another STAN", frame)
	case frame[f.code] != '0' || frame[f.code+1] != '0':
		return unexpected(slot, fmt.Sprintf("code %s", frame[f.code:f.code+2]), frame)
	}
	return nil
}

// is tells whether it is the answer to the message of that STAN, with that code.
func (f *answerForm) is(stan uint32, code string, frame []byte) bool {
	return readBCD(frame[f.stan:f.stan+3]) == stan && string(frame[f.code:f.code+2]) == code
}

// hold is S7 of DE59.
func (f *answerForm) hold(slot int, frame []byte) (uint64, error) {
	// DE59 has its length in four BCD digits before it.
	size := int(readBCD(frame[f.tags-2 : f.tags]))
	if len(frame) < f.tags+size {
		return 0, unexpected(slot, "a short DE59", frame)
	}
	value, ok := iso8583.FindTag59(frame[f.tags:f.tags+size], "S7")
	if !ok {
		return 0, unexpected(slot, "no hold", frame)
	}
	hold, ok := readDigits(value)
	if !ok || hold == 0 {
		return 0, unexpected(slot, "a hold that is none", frame)
	}
	return hold, nil
}
