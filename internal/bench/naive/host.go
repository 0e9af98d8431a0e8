package naive

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	moov "github.com/moov-io/iso8583"
)

// hostLink is the one connection to the card network, as the switch has one: requests of many terminals on it, answers
// found by DE37.
type hostLink struct {
	nc   net.Conn
	spec *moov.MessageSpec

	writing sync.Mutex

	mu      sync.Mutex // guards waiting and rrn
	waiting map[string]chan *moov.Message
	rrn     uint64
}

// hostRouting is TPDU and header towards the network.
var hostRouting = []byte{0x60, 0, 3, 0, 0, 0x60, 0x31, 0, 0x31, 1, 0}

func dialHost(ctx context.Context, address string, spec *moov.MessageSpec) (*hostLink, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("card network: %w", err)
	}
	h := &hostLink{nc: nc, spec: spec, waiting: map[string]chan *moov.Message{}}
	go h.read()
	return h, nil
}

func (h *hostLink) close() error { return h.nc.Close() }

func (h *hostLink) read() {
	in := bufio.NewReaderSize(h.nc, 64<<10)
	for {
		frame, err := readFrame(in)
		if err != nil {
			return // who waits waits for ever, and the client's run is void
		}
		m := moov.NewMessage(h.spec)
		if m.Unpack(frame[routing:]) != nil {
			continue
		}
		rrn, err := m.GetString(37)
		if err != nil {
			continue
		}
		h.mu.Lock()
		answered := h.waiting[rrn]
		delete(h.waiting, rrn)
		h.mu.Unlock()
		if answered != nil {
			answered <- m
		}
	}
}

// number gives a sale its DE37, and a place to hear its answer.
func (h *hostLink) number() (rrn string, answered chan *moov.Message) {
	answered = make(chan *moov.Message, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rrn++
	rrn = fmt.Sprintf("%012d", h.rrn)
	h.waiting[rrn] = answered
	return rrn, answered
}

// send forwards the terminal's message but for its numbers and its subsidy data.
func (h *hostLink) send(r *request, rrn string) error {
	m := moov.NewMessage(h.spec)
	m.MTI("0200")
	for n := range r.message.GetFields() {
		if n < 2 || n == 59 {
			continue
		}
		value, err := r.message.GetBytes(n)
		if err != nil {
			return err
		}
		if err := m.BinaryField(n, value); err != nil {
			return err
		}
	}
	for n, v := range map[int]string{11: rrn[6:], 37: rrn, 32: "48022100"} {
		if err := m.Field(n, v); err != nil {
			return err
		}
	}
	packed, err := m.Pack()
	if err != nil {
		return err
	}
	out := binary.BigEndian.AppendUint16(make([]byte, 0, 2+routing+len(packed)), uint16(routing+len(packed)))
	out = append(append(out, hostRouting...), packed...)
	h.writing.Lock()
	defer h.writing.Unlock()
	_, err = h.nc.Write(out)
	return err
}

// States of a purchase: 1 reserved, 2 sent, 3 captured.
const (
	markSent = `UPDATE purchase SET state = 2, rrn = $2, at = $3 WHERE id = $1 AND state = 1 AND terminal = $4 AND price - subsidy = $5`
	capture  = `UPDATE purchase SET state = 3, approval = $2, at = $3 WHERE id = $1 AND state = 2`
	spend    = `UPDATE budget SET held = held - $1, spent = spent + $1 WHERE id = 1`
)

// sale makes durable that the sale goes to the network, asks it, makes its approval durable, and answers.
func (s *Server) sale(ctx context.Context, r *request) ([]byte, error) {
	if s.host == nil {
		return nil, errors.New("there is no card network")
	}
	rrn, answered := s.host.number()
	tag, err := s.pool.Exec(ctx, markSent, r.hold, rrn, time.Now(), r.terminal, r.price)
	if err != nil {
		return nil, err
	}
	if tag.RowsAffected() != 1 {
		return r.reply(s.spec, "25", nil)
	}
	if err := s.host.send(r, rrn); err != nil {
		return nil, err
	}
	answer := <-answered
	code, err := answer.GetString(39)
	if err != nil {
		return nil, err
	}
	if code != "00" {
		return nil, fmt.Errorf("the card network said %s", code)
	}
	approval, err := answer.GetString(38)
	if err != nil {
		return nil, err
	}
	subsidy := r.price / 4 // of what is paid: a fifth of the price
	var b pgx.Batch
	b.Queue(capture, r.hold, approval, time.Now())
	b.Queue(spend, subsidy)
	if err := s.pool.SendBatch(ctx, &b).Close(); err != nil {
		return nil, err
	}
	more := map[int]string{37: rrn, 38: approval, 59: fmt.Sprintf("S7%03d%012d", 12, r.hold)}
	for _, n := range []int{15, 32, 44, 63} {
		if more[n], err = answer.GetString(n); err != nil {
			return nil, err
		}
	}
	return r.reply(s.spec, "00", more)
}

// prepareHolds makes n purchases that are reserved, round the terminals in turn: purchase 1 is the first terminal's. It
// stands for the reserves that came before.
func (s *Server) prepareHolds(ctx context.Context, n, terminals int) error {
	_, err := s.pool.Exec(ctx, `INSERT INTO purchase (code, terminal, stan, serial, price, subsidy, state, at)
		SELECT lpad(i::text, 18, '9'), '3' || lpad(((i - 1) % $2)::text, 7, '0'), 1, 'SN' || lpad(i::text, 12, '0'), 299900, 59980, 1, now()
		FROM generate_series(1, $1::bigint) AS i ORDER BY i`, n, terminals)
	if err != nil {
		return err
	}
	_, err = s.pool.Exec(ctx, `UPDATE budget SET held = held + 59980 * $1::bigint`, n)
	if err != nil {
		return err
	}
	_, err = s.pool.Exec(ctx, `VACUUM ANALYZE purchase`)
	return err
}
