package client

import (
	"fmt"

	"huanxin/internal/bench/seed"
	"huanxin/internal/simulator/till"
	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

// Sales is the sale exchange: terminal n is slot n, and each request is a sale on a hold that the same terminal has got
// before. One that has no hold left ends the run.
type Sales struct {
	codec          *iso8583.Codec
	first          int
	slots          []saleSlot
	stanAt, holdAt int // in every frame
}

type saleSlot struct {
	frame []byte
	stan  uint32
	hold  uint64 // of the sale under way
	left  []uint64
	acks  []Ack
	_     [64]byte
}

// Payable is what the payer is charged for one of the bench's purchases, in fen.
const Payable = seed.Price - seed.Price/5

// NewSales builds the frames of every terminal. holds are those of each slot, stan the last STAN that it has used.
func NewSales(codec *iso8583.Codec, first int, holds [][]uint64, stan func(slot int) uint32) (*Sales, error) {
	s := &Sales{codec: codec, first: first, slots: make([]saleSlot, len(holds))}
	for i := range s.slots {
		const mark = 987_654_321_012
		terminal, pan := first+i, till.NewPAN(uint64(first+i))
		frame, err := build(codec, 0x0200, map[int][]byte{
			2: []byte(pan), 3: []byte("000000"), 4: fmt.Appendf(nil, "%012d", Payable), 11: []byte("987654"), 14: []byte("3012"),
			22: []byte("022"), 25: []byte("00"), 35: []byte(pan + "D30122010000000000"), 41: []byte(seed.Terminal(terminal)),
			42: []byte(seed.Merchant(terminal)), 49: []byte("156"), 59: fmt.Appendf(nil, "S7012%012d", mark), 60: []byte("2200000100060"),
		})
		if err != nil {
			return nil, fmt.Errorf("sale of terminal %d: %w", terminal, err)
		}
		if s.stanAt, err = place(frame, []byte{0x98, 0x76, 0x54}); err != nil {
			return nil, err
		}
		if s.holdAt, err = place(frame, fmt.Appendf(nil, "%012d", mark)); err != nil {
			return nil, err
		}
		s.slots[i] = saleSlot{frame: frame, stan: stan(i), left: holds[i]}
	}
	return s, nil
}

// Next takes the slot's next hold.
func (s *Sales) Next(slot int) []byte {
	x := &s.slots[slot]
	if len(x.left) == 0 || x.stan == stanLimit {
		return nil
	}
	x.hold, x.left = x.left[0], x.left[1:]
	x.stan++
	putBCD(x.frame[s.stanAt:s.stanAt+3], x.stan)
	putDigits(x.frame[s.holdAt:s.holdAt+12], x.hold)
	return x.frame
}

// parse reads an answer with the codec: issuers' answers have no one form.
func (s *Sales) parse(frame []byte, m *iso8583.Message) error {
	f, n, err := wire.CUP.Next(frame, largestBody)
	if err != nil || n != len(frame) {
		return fmt.Errorf("no frame: %x", frame)
	}
	return s.codec.Parse(f.Message, m)
}

// Slot goes by the terminal.
func (s *Sales) Slot(frame []byte) (int, error) {
	var m iso8583.Message
	if err := s.parse(frame, &m); err != nil {
		return 0, err
	}
	var terminal [terminalDigits]byte
	if m.CopyField(terminal[:], 41) != terminalDigits {
		return 0, fmt.Errorf("answer without a terminal: %x", frame)
	}
	form := answerForm{first: s.first, slots: len(s.slots)}
	return form.slot(terminal[:], 0)
}

// Judge expects the approval of the sale, with the hold that it was made on.
func (s *Sales) Judge(slot int, frame []byte) error {
	var m iso8583.Message
	if err := s.parse(frame, &m); err != nil {
		return err
	}
	x := &s.slots[slot]
	if stan, ok := m.Uint(11); !ok || uint32(stan) != x.stan {
		return unexpected(slot, "another STAN", frame)
	}
	if m.MTI() != 0x0210 || !m.Equal(39, "00") {
		return unexpected(slot, fmt.Sprintf("%s with code %s", m.MTI(), m.AppendField(nil, 39)), frame)
	}
	value, _ := iso8583.FindTag59(m.AppendField(nil, 59), "S7")
	if hold, ok := readDigits(value); !ok || hold != x.hold {
		return unexpected(slot, "another hold", frame)
	}
	x.acks = append(x.acks, Ack{Hold: x.hold, Terminal: uint32(s.first + slot), STAN: x.stan})
	return nil
}

// Acks are all sales that were acknowledged. The run must be over.
func (s *Sales) Acks() []Ack {
	var all []Ack
	for i := range s.slots {
		all = append(all, s.slots[i].acks...)
	}
	return all
}
