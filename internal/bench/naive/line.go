package naive

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	moov "github.com/moov-io/iso8583"
)

// routing are the bytes before the message: TPDU and header of the POS line.
const routing = 11

// request is what a reserve or a sale asks.
type request struct {
	mti            string
	terminal       string
	stan           int64
	price          int64 // DE4
	code, serial   string
	hold           int64
	message        *moov.Message
	tpduAndHeaders []byte
}

// serve answers one connection. Each request has a goroutine of its own, as a library's server gives it one.
func (s *Server) serve(nc net.Conn) {
	defer nc.Close()
	var mu sync.Mutex // of writing
	in := bufio.NewReaderSize(nc, 64<<10)
	for {
		frame, err := readFrame(in)
		if err != nil {
			return
		}
		go func() {
			answer, err := s.answer(context.Background(), frame)
			if err != nil {
				nc.Close() // the client's run is void then
				return
			}
			mu.Lock()
			defer mu.Unlock()
			_, _ = nc.Write(answer)
		}()
	}
}

func readFrame(in *bufio.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(in, size[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(size[:]))
	if n <= routing || n > 4096 {
		return nil, fmt.Errorf("frame of %d bytes", n)
	}
	frame := make([]byte, n)
	_, err := io.ReadFull(in, frame)
	return frame, err
}

// answer decides one message.
func (s *Server) answer(ctx context.Context, frame []byte) ([]byte, error) {
	r := request{message: moov.NewMessage(s.spec), tpduAndHeaders: frame[:routing]}
	if err := r.message.Unpack(frame[routing:]); err != nil {
		return nil, err
	}
	if err := r.read(); err != nil {
		return nil, err
	}
	if r.mti == "0200" {
		return s.sale(ctx, &r)
	}
	id, err := s.reserve(ctx, &r)
	switch {
	case errors.Is(err, errRefused):
		return r.reply(s.spec, "57", nil)
	case err != nil:
		return nil, err
	}
	return r.reply(s.spec, "00", map[int]string{59: r.tags(id)})
}

func (r *request) read() (err error) {
	texts := map[int]string{}
	for _, n := range []int{4, 11, 41, 59} {
		if texts[n], err = r.message.GetString(n); err != nil {
			return err
		}
	}
	r.mti, err = r.message.GetMTI()
	if err != nil {
		return err
	}
	if r.price, err = strconv.ParseInt(texts[4], 10, 64); err != nil {
		return err
	}
	if r.stan, err = strconv.ParseInt(texts[11], 10, 64); err != nil {
		return err
	}
	r.terminal = texts[41]
	return r.readTags(texts[59])
}

// readTags takes DE59 apart: name, three digits of length, value.
func (r *request) readTags(field string) (err error) {
	for len(field) >= 5 {
		name := field[:2]
		n, err := strconv.Atoi(field[2:5])
		if err != nil || len(field) < 5+n {
			return fmt.Errorf("DE59: %q", field)
		}
		value := field[5 : 5+n]
		field = field[5+n:]
		switch name {
		case "S1":
			r.code = value
		case "S3":
			r.serial = value
		case "S7":
			if r.hold, err = strconv.ParseInt(value, 10, 64); err != nil {
				return err
			}
		}
	}
	return nil
}

// tags is DE59 of the answer to a reserve, as the switch writes it.
func (r *request) tags(id int64) string {
	subsidy := r.price / 5
	return fmt.Sprintf("S7012%012dS8012%012dS9012%012dSA014%s", id, subsidy, r.price-subsidy, time.Now().Add(3*time.Minute).Format("20060102150405"))
}

// reply is the request's own fields, the code and the time, and what is added.
func (r *request) reply(spec *moov.MessageSpec, code string, more map[int]string) ([]byte, error) {
	m := moov.NewMessage(spec)
	m.MTI(r.mti[:2] + "10")
	now := time.Now()
	fields := map[int]string{12: now.Format("150405"), 13: now.Format("0102"), 39: code}
	for _, n := range []int{3, 4, 11, 25, 41, 42, 49, 60} {
		v, err := r.message.GetString(n)
		if err != nil {
			return nil, err
		}
		fields[n] = v
	}
	for n, v := range more {
		fields[n] = v
	}
	for n, v := range fields {
		if err := m.Field(n, v); err != nil {
			return nil, err
		}
	}
	packed, err := m.Pack()
	if err != nil {
		return nil, err
	}
	out := binary.BigEndian.AppendUint16(make([]byte, 0, 2+routing+len(packed)), uint16(routing+len(packed)))
	out = append(out, r.tpduAndHeaders...)
	return append(out, packed...), nil
}
