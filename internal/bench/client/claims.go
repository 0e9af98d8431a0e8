package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"huanxin/internal/simulator/load"
	"huanxin/internal/simulator/till"
)

// Claims posts claims for entitlements, Rate a second whatever the answers do, over connections that are kept open. Its
// HTTP is as little as a server needs: fixed headers, pipelined where an answer is late.
type Claims struct {
	Address     string
	Token       string // bearer
	Connections int
	Rate        float64
	Duration    time.Duration
	First       uint64 // number of the first person; another for every claim
	Category    string
	City        string
	Channel     string
	// Status is what every answer must have, and Reason what must stand in its body.
	Status int
	Reason string
}

// ClaimsRun is what a rush of claims has seen.
type ClaimsRun struct {
	Answered   uint64 // as expected
	Overloaded uint64 // told to come again: 503
	Latencies  load.Latencies
}

// Add puts another run's figures to r.
func (r *ClaimsRun) Add(other *ClaimsRun) {
	r.Answered += other.Answered
	r.Overloaded += other.Overloaded
	r.Latencies.Merge(&other.Latencies)
}

// Run runs it. It returns an error when an answer does not come or is neither as expected nor that of an overload.
func (c *Claims) Run(ctx context.Context) (*ClaimsRun, error) {
	var dialled []*claimLine
	defer func() {
		for _, l := range dialled {
			l.nc.Close()
		}
	}()
	for range c.Connections {
		nc, err := new(net.Dialer).DialContext(ctx, "tcp", c.Address)
		if err != nil {
			return nil, err
		}
		dialled = append(dialled, &claimLine{nc: nc, claims: c})
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	total := uint64(c.Rate * c.Duration.Seconds())
	for i, l := range dialled {
		l.expected = (total + uint64(c.Connections-1-i)) / uint64(c.Connections)
		if err := l.nc.SetReadDeadline(time.Now().Add(c.Duration + patience)); err != nil {
			return nil, err
		}
		all.Go(func() {
			if err := l.listen(); err != nil {
				cancel(err)
			}
		})
	}
	touched := map[*claimLine]struct{}{}
	err := pace(ctx, time.Now(), c.Rate, c.Duration, func(n uint64, due time.Time) error {
		l := dialled[n%uint64(len(dialled))]
		l.post(c.First+n, due)
		touched[l] = struct{}{}
		return nil
	}, func() error {
		for l := range touched {
			if err := l.flush(); err != nil {
				return err
			}
		}
		clear(touched)
		return nil
	})
	if err != nil {
		cancel(err)
		for _, l := range dialled {
			l.nc.Close()
		}
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	run := &ClaimsRun{}
	for _, l := range dialled {
		run.Add(&ClaimsRun{Answered: l.answered - l.overloaded, Overloaded: l.overloaded, Latencies: l.latencies})
	}
	return run, nil
}

// claimLine is one connection. Answers come in the order of the requests.
type claimLine struct {
	nc       net.Conn
	claims   *Claims
	expected uint64

	mu   sync.Mutex // guards due, between pacer and listener
	due  []time.Time
	out  []byte
	body []byte // both are the pacer's

	in         []byte // what follows is the listener's
	answered   uint64
	overloaded uint64
	latencies  load.Latencies
}

func (l *claimLine) post(person uint64, due time.Time) {
	c, who := l.claims, till.NewPerson(person)
	l.body = fmt.Appendf(l.body[:0], `{"person":{"id_kind":"ID","id_number":%q},"category":%q,"city":%q,"channel":%q}`, who.IDNumber, c.Category, c.City, c.Channel)
	l.out = append(l.out, "POST /v1/entitlements HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nAuthorization: Bearer "...)
	l.out = append(l.out, c.Token...)
	l.out = append(l.out, "\r\nIdempotency-Key: rush-"...)
	l.out = strconv.AppendUint(l.out, person, 10)
	l.out = append(l.out, "\r\nContent-Length: "...)
	l.out = strconv.AppendInt(l.out, int64(len(l.body)), 10)
	l.out = append(append(l.out, "\r\n\r\n"...), l.body...)
	l.mu.Lock()
	l.due = append(l.due, due)
	l.mu.Unlock()
}

func (l *claimLine) flush() error {
	_, err := l.nc.Write(l.out)
	l.out = l.out[:0]
	if err != nil {
		return fmt.Errorf("%w: claims: %w", ErrLost, err)
	}
	return nil
}

func (l *claimLine) listen() error {
	buf := make([]byte, 32<<10)
	for l.answered < l.expected {
		n, err := l.nc.Read(buf)
		if err != nil {
			return fmt.Errorf("%w: %d claims of %d answered on a connection: %w", ErrLost, l.answered, l.expected, err)
		}
		l.in = append(l.in, buf[:n]...)
		if err := l.hear(time.Now()); err != nil {
			return err
		}
	}
	return nil
}

func (l *claimLine) hear(now time.Time) error {
	rest := l.in
	for {
		status, body, size, err := readAnswer(rest)
		if err != nil {
			return err
		}
		if size == 0 {
			l.in = append(l.in[:0], rest...)
			return nil
		}
		if status == http.StatusServiceUnavailable {
			l.overloaded++
		} else if status != l.claims.Status || !bytes.Contains(body, []byte(l.claims.Reason)) {
			return fmt.Errorf("claim %d of a connection: answer %d %s, want %d %s", l.answered+1, status, body, l.claims.Status, l.claims.Reason)
		}
		rest = rest[size:]
		l.mu.Lock()
		if len(l.due) == 0 {
			l.mu.Unlock()
			return errors.New("an answer to no claim")
		}
		due := l.due[0]
		l.due = l.due[1:]
		l.mu.Unlock()
		l.answered++
		l.latencies.Record(now.Sub(due))
	}
}

// readAnswer reads one HTTP/1.1 answer with a Content-Length. size is 0 when it is not whole yet.
func readAnswer(in []byte) (status int, body []byte, size int, err error) {
	head, _, ok := bytes.Cut(in, []byte("\r\n\r\n"))
	if !ok {
		return 0, nil, 0, nil
	}
	fields := bytes.Split(head, []byte("\r\n"))
	first := bytes.Fields(fields[0])
	if len(first) < 2 || !bytes.Equal(first[0], []byte("HTTP/1.1")) {
		return 0, nil, 0, fmt.Errorf("no HTTP answer: %q", fields[0])
	}
	if status, err = strconv.Atoi(string(first[1])); err != nil {
		return 0, nil, 0, fmt.Errorf("no HTTP status: %q", fields[0])
	}
	length := -1
	for _, f := range fields[1:] {
		name, value, _ := bytes.Cut(f, []byte(":"))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil || length < 0 {
				return 0, nil, 0, fmt.Errorf("length of an HTTP answer: %q", f)
			}
		}
	}
	if length < 0 {
		return 0, nil, 0, fmt.Errorf("HTTP answer without a length: %q", head)
	}
	start := len(head) + len("\r\n\r\n")
	if len(in) < start+length {
		return 0, nil, 0, nil
	}
	return status, in[start : start+length], start + length, nil
}
