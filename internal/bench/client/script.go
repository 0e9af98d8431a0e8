package client

import (
	"fmt"
	"sync/atomic"
)

// Script is what is said on the lines. Slots are numbered over all connections: connection c has the slots from
// c×inFlight on. Next and Judge of one slot are called from one goroutine at a time.
type Script interface {
	// Next is the next request of a slot, a whole frame that is read before the slot's next call. nil: it has no more.
	Next(slot int) []byte
	// Slot finds whose answer a frame is.
	Slot(frame []byte) (int, error)
	// Judge returns an error when the answer is not as expected, which makes the run void.
	Judge(slot int, frame []byte) error
}

// Numbers gives out consecutive numbers – of persons, of holds – to many goroutines.
type Numbers struct {
	taken atomic.Uint64
	end   uint64
}

// NewNumbers are those from first up to, not including, end.
func NewNumbers(first, end uint64) *Numbers {
	n := &Numbers{end: end}
	n.taken.Store(first)
	return n
}

// Taken is how far they have been given out.
func (n *Numbers) Taken() uint64 { return min(n.taken.Load(), n.end) }

// End is where they end.
func (n *Numbers) End() uint64 { return n.end }

// Take is the next number; false when all are gone.
func (n *Numbers) Take() (uint64, bool) {
	v := n.taken.Add(1) - 1
	return v, v < n.end
}

// Ack is one purchase that has been acknowledged: what must be found in the journal.
type Ack struct {
	Hold     uint64
	Terminal uint32 // its number
	STAN     uint32
}

// unexpected says which answer was not as it should be.
func unexpected(slot int, what string, frame []byte) error {
	return fmt.Errorf("slot %d: %s in the answer %x", slot, what, frame)
}
