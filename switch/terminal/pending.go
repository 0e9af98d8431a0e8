package terminal

import (
	"sync"
	"sync/atomic"
	"time"

	"huanxin/switch/engine"
	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

// An exchange is one request that waits for its answer. Who owns it, in order:
//
//	read loop    from table.take until Submit has taken the input, or until it has answered by itself
//	the engine's side, by its token, until Deliver: the host link may read msg through Original
//	Deliver      from then on: it builds the answer and gives the exchange back with table.give, which wipes it
//
// Owner and owner do not overlap: Submit's queue hands over. After Submit the read loop touches nothing of it.
type exchange struct {
	token atomic.Uint64 // 0 while the exchange is free
	conn  *wire.Conn
	port  *port
	kind  kind
	at    time.Time
	buf   []byte // TPDU, header and message, wiped when the exchange is given back
	tpdu  []byte // slices of buf
	head  []byte
	msg   iso8583.Message // over buf

	// Of a port with a Line.
	terminal [8]byte    // DE41
	mac      *openedKey // a good MAC was made with it, and the answer's will be; nil = neither
	pair     *ringPair  // whose it is
	renew    bool       // the answer asks the terminal to sign on
	delivery *delivery  // of a sign-on
	pin      [maxPINBlock]byte
	pinSize  int // of the PIN block for the host, 0 = none

	// reserve is the input of a reserve, the commonest request. Its memory stays with the exchange; the engine keeps nothing of
	// an input that it has answered.
	reserve *engine.ReserveRequest
}

// load takes a frame over: its own bytes are gone when the read loop goes on.
func (x *exchange) load(c *wire.Conn, p *port, f wire.Frame, at time.Time) {
	x.conn, x.port, x.kind, x.at = c, p, kindUnknown, at
	x.buf = append(x.buf[:0], f.TPDU...)
	x.buf = append(x.buf, f.Header...)
	x.buf = append(x.buf, f.Message...)
	t, h := len(f.TPDU), len(f.TPDU)+len(f.Header)
	x.tpdu, x.head = x.buf[:t:t], x.buf[t:h:h]
}

func (x *exchange) message() []byte { return x.buf[len(x.tpdu)+len(x.head):] }

// keptBuffer is the largest buffer that a free exchange keeps; a larger one was an exception.
const keptBuffer = 2048

// wipe removes everything of the request.
func (x *exchange) wipe() {
	clear(x.buf)
	if cap(x.buf) > keptBuffer {
		x.buf = nil
	}
	x.msg.Reset()
	if x.kind == kindReserve && x.reserve != nil {
		*x.reserve = engine.ReserveRequest{}
	}
	if x.pinSize > 0 {
		clear(x.pin[:])
	}
	x.terminal, x.mac, x.pair, x.renew, x.delivery, x.pinSize = [8]byte{}, nil, nil, false, nil, 0
	x.buf, x.tpdu, x.head, x.conn, x.port = x.buf[:0], nil, nil, nil, nil
}

// maxPending keeps slot numbers within slotBits.
const (
	slotBits   = 20
	maxPending = 1 << slotBits
)

// table is the bounded table of pending exchanges. A token is the slot's number and how often it has been used, so that
// a token that is out of date finds nothing. The exchange given back last is taken first: a quiet switch touches little of
// the table's memory.
type table struct {
	mu    sync.Mutex // guards free and uses
	free  []uint32
	uses  []uint64
	slots []exchange
}

func newTable(size int) *table {
	t := &table{free: make([]uint32, size), uses: make([]uint64, size), slots: make([]exchange, size)}
	for i := range t.free {
		t.free[i] = uint32(size - 1 - i)
	}
	return t
}

// room is how much of the table is left.
type room uint8

const (
	noRoom room = iota
	scarce      // the last eighth, which is for what ends or undoes something: for that there must always be an answer
	plenty
)

// enough tells whether an input may take what is left.
func (r room) enough(body any) bool { return r == plenty || r == scarce && !begins(body) }

// begins tells whether an input begins something: whoever is refused it has lost nothing.
func begins(body any) bool {
	switch b := body.(type) {
	case *engine.ReserveRequest, *engine.InquiryRequest:
		return true
	case *engine.SaleRequest:
		return !b.Kind.Ends()
	}
	return false
}

// take returns a free exchange with a new token, nil when all are in use.
func (t *table) take() (*exchange, room) {
	t.mu.Lock()
	if len(t.free) == 0 {
		t.mu.Unlock()
		return nil, noRoom
	}
	left := plenty
	if len(t.free) <= len(t.slots)/8 {
		left = scarce
	}
	slot := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	t.uses[slot]++
	token := t.uses[slot]<<slotBits | uint64(slot)
	t.mu.Unlock()
	x := &t.slots[slot]
	x.token.Store(token)
	return x, left
}

// find returns the exchange that waits under token, nil when none does.
func (t *table) find(token engine.Token) *exchange {
	slot := uint64(token) & (maxPending - 1)
	if token == 0 || slot >= uint64(len(t.slots)) {
		return nil
	}
	if x := &t.slots[slot]; x.token.Load() == uint64(token) {
		return x
	}
	return nil
}

// give takes an exchange back and wipes it.
func (t *table) give(x *exchange) {
	token := x.token.Load()
	x.wipe()
	x.token.Store(0)
	t.mu.Lock()
	t.free = append(t.free, uint32(token&(maxPending-1)))
	t.mu.Unlock()
}

func (t *table) inUse() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.slots) - len(t.free)
}
