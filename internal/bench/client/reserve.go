package client

import (
	"bytes"
	"errors"
	"fmt"

	"huanxin/internal/bench/seed"
	"huanxin/internal/simulator/secret"
	"huanxin/switch/iso8583"
)

// Reserves is the reserve exchange: terminal n is slot n, and each request is another person's code, serial and order.
type Reserves struct {
	persons  *Numbers
	barcodes []string
	slots    []reserveSlot
	pads     []*secret.Pinpad
	at       reservePlaces
	want     answerForm
	echo     bool
	declined bool
}

// reservePlaces are offsets in every request, which has the same form for every terminal.
type reservePlaces struct{ stan, terminal, code, barcode, serial, order int }

type reserveSlot struct {
	frame  []byte
	stan   uint32
	person uint64
	again  bool // the person's request was turned away
	acks   []Ack
	_      [64]byte // slots of different connections do not share a line of the cache
}

// ReserveConfig is what a script of reserves needs.
type ReserveConfig struct {
	Codec     *iso8583.Codec
	Slots     int      // terminals
	First     int      // number of the first terminal
	Persons   *Numbers // whose codes are shown
	Barcodes  []string // what they buy, in turn
	FirstSTAN uint32   // the last STAN that the terminals have used before
	Echo      bool     // the peer sends back what it got
	Declined  bool     // answers 96 are expected too: Judge returns ErrDeclined
	// Pads are the keys of the slots' terminals, which have signed on: requests carry a MAC, and those of answers are checked. nil: none.
	Pads []*secret.Pinpad
}

// ErrDeclined is returned by Judge when the switch has turned the request away, and the script expects that.
var ErrDeclined = errors.New("turned away")

// stanLimit is what six digits hold.
const stanLimit = 999_999

// Terminals of the bench have eight digits, the first of which is a 3; see seed.Terminal.
const terminalDigits = 8

const (
	serialText = "SN%012d"
	orderText  = "PO%012d"
)

// NewReserves builds the frames of every terminal.
func NewReserves(cfg ReserveConfig) (*Reserves, error) {
	r := &Reserves{persons: cfg.Persons, barcodes: cfg.Barcodes, slots: make([]reserveSlot, cfg.Slots), echo: cfg.Echo, declined: cfg.Declined, pads: cfg.Pads}
	for i := range r.slots {
		frame, places, err := reserveFrame(cfg.Codec, cfg.First+i, cfg.Barcodes[0], cfg.Pads != nil)
		if err != nil {
			return nil, fmt.Errorf("reserve of terminal %d: %w", cfg.First+i, err)
		}
		if i > 0 && places != r.at {
			return nil, fmt.Errorf("the frame of terminal %d has another form than the first", cfg.First+i)
		}
		r.at = places
		r.slots[i].frame, r.slots[i].stan = frame, cfg.FirstSTAN
	}
	var err error
	r.want, err = newAnswerForm(cfg.Codec, 0x0110, answerFields, cfg.First, cfg.Slots, cfg.Pads != nil)
	return r, err
}

// reserveFrame is a request with values in it that are found again, and where they stand.
func reserveFrame(codec *iso8583.Codec, terminal int, barcode string, mac bool) (frame []byte, at reservePlaces, err error) {
	const mark = 987_654_321_012
	code := seed.AppendCode(nil, mark)
	serial, order := fmt.Appendf(nil, serialText, mark), fmt.Appendf(nil, orderText, mark)
	var tags []byte
	tags = iso8583.AppendTag59(tags, "S1", code)
	tags = iso8583.AppendTag59(tags, "S2", []byte(barcode))
	tags = iso8583.AppendTag59(tags, "S3", serial)
	tags = iso8583.AppendTag59(tags, "S4", order)
	fields := map[int][]byte{
		3: []byte("390000"), 4: fmt.Appendf(nil, "%012d", seed.Price), 11: []byte("987654"), 22: []byte("012"), 25: []byte("00"),
		41: []byte(seed.Terminal(terminal)), 42: []byte(seed.Merchant(terminal)), 49: []byte("156"), 59: tags,
		60: []byte("9600000100060"),
	}
	if mac {
		fields[macField] = make([]byte, macSize)
	}
	if frame, err = build(codec, 0x0100, fields); err != nil {
		return nil, at, err
	}
	for _, p := range []struct {
		to    *int
		value []byte
	}{
		{&at.stan, []byte{0x98, 0x76, 0x54}}, {&at.terminal, []byte(seed.Terminal(terminal))}, {&at.code, code},
		{&at.barcode, append([]byte("S2013"), barcode...)}, {&at.serial, serial}, {&at.order, order},
	} {
		if *p.to, err = place(frame, p.value); err != nil {
			return nil, at, err
		}
	}
	at.barcode += len("S2013")
	return frame, at, nil
}

// Next puts the next person into the slot's frame.
func (r *Reserves) Next(slot int) []byte {
	s := &r.slots[slot]
	if s.stan == stanLimit {
		return nil
	}
	if !s.again {
		person, ok := r.persons.Take()
		if !ok {
			return nil
		}
		s.person = person
	}
	person := s.person
	s.again = false
	s.stan++
	putBCD(s.frame[r.at.stan:r.at.stan+3], s.stan)
	putDigits(s.frame[r.at.code+1:r.at.code+18], person)
	putDigits(s.frame[r.at.serial+2:r.at.serial+14], person)
	putDigits(s.frame[r.at.order+2:r.at.order+14], person)
	if len(r.barcodes) > 1 {
		copy(s.frame[r.at.barcode:], r.barcodes[person%uint64(len(r.barcodes))])
	}
	if r.pads != nil {
		covered, code := macPlaces(s.frame)
		r.pads[slot].MAC(code[:0], covered)
	}
	return s.frame
}

// Slot goes by the terminal.
func (r *Reserves) Slot(frame []byte) (int, error) {
	if r.echo {
		return r.want.slot(frame, r.at.terminal)
	}
	return r.want.answerSlot(frame)
}

// Judge expects the request itself of an echo, else a hold.
func (r *Reserves) Judge(slot int, frame []byte) error {
	s := &r.slots[slot]
	if r.echo {
		if !bytes.Equal(frame, s.frame) {
			return unexpected(slot, "another message than was sent", frame)
		}
		return nil
	}
	if r.pads != nil {
		if covered, code := macPlaces(frame); !r.pads[slot].Verify(covered, code) {
			return unexpected(slot, "a wrong MAC", frame)
		}
	}
	if r.declined && r.want.is(s.stan, "96", frame) {
		s.again = true
		return ErrDeclined
	}
	if err := r.want.approved(slot, s.stan, frame); err != nil {
		return err
	}
	hold, err := r.want.hold(slot, frame)
	if err != nil {
		return err
	}
	s.acks = append(s.acks, Ack{Hold: hold, Terminal: uint32(r.want.first + slot), STAN: s.stan})
	return nil
}

// Holds are the holds of each slot. The run must be over.
func (r *Reserves) Holds() [][]uint64 {
	holds := make([][]uint64, len(r.slots))
	for i := range r.slots {
		for _, a := range r.slots[i].acks {
			holds[i] = append(holds[i], a.Hold)
		}
	}
	return holds
}

// STAN is the last that the slot has used.
func (r *Reserves) STAN(slot int) uint32 { return r.slots[slot].stan }

// Acks are all purchases that were acknowledged. The run must be over.
func (r *Reserves) Acks() []Ack {
	var all []Ack
	for i := range r.slots {
		all = append(all, r.slots[i].acks...)
	}
	return all
}
