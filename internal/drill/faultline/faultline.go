// Package faultline is a network line that misbehaves on order: programs of a drill are connected through it, and while they
// work it delays, thins out, swallows, hangs up late, resets or is gone.
//
// Delay, bandwidth, slicing, slow close, swallowing and resets at the beginning of a connection are Toxiproxy's, used as a
// library. A relay of our own in front of it does what that cannot: it resets connections that are in use (Toxiproxy's
// reset_peer lets nothing through first), and it strands them, which outlasts the fault: like connections that a firewall has
// forgotten they stay open and swallow everything, while new ones work. Behind it another relay takes the step to a Unix
// socket, which Toxiproxy does not speak, and knows in which connections the far end still believes. A half-closed connection does not live through a line: for Toxiproxy the end of one
// direction is the end of both.
//
// The contract: New, then any of Turn, Impose, Heal, Break, Strand, Cut and Mend from one goroutine, then Close.
package faultline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Line is one line from its Address to an address behind it.
type Line struct {
	front *relay
	proxy *toxiproxy.Proxy
	back  *relay
	far   atomic.Pointer[end]
}

// end is the far end of a line.
type end struct{ network, address string }

// New opens a sound line on a free loopback port. network is tcp or unix.
func New(network, address string) (_ *Line, err error) {
	l := &Line{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("line to %s: %w", address, err), l.Close())
		}
	}()
	l.Turn(network, address)
	there := func() (net.Conn, error) {
		to := l.far.Load()
		return net.Dial(to.network, to.address)
	}
	if l.back, err = newRelay(there); err != nil {
		return nil, err
	}
	zerolog.SetGlobalLevel(zerolog.Disabled) // some of the faults write to its global logger, whatever they are given
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l.proxy = toxiproxy.NewProxy(server, "line", "127.0.0.1:0", l.back.address())
	if err := l.proxy.Start(); err != nil {
		return nil, err
	}
	through := l.proxy.Listen // the port is settled by now
	l.front, err = newRelay(func() (net.Conn, error) { return net.Dial("tcp", through) })
	return l, err
}

// Turn leads new connections to another far end.
func (l *Line) Turn(network, address string) { l.far.Store(&end{network, address}) }

// Address is where the near end connects to.
func (l *Line) Address() string { return l.front.address() }

// Held is in how many connections each end believes.
func (l *Line) Held() (near, far int) { return l.front.held(), l.back.held() }

// Heard is in how many pieces, and how many bytes, have come from the far end so far.
func (l *Line) Heard() (pieces, bytes int64) { return l.front.pieces.Load(), l.front.bytes.Load() }

// Stream is a direction of a line.
type Stream string

// The directions, as the near end sees them.
const (
	Out Stream = "upstream"
	In  Stream = "downstream"
)

// Fault is one of Toxiproxy's, in one direction. One of a kind and direction can be imposed at a time.
type Fault struct {
	Type       string           `json:"type"`
	Stream     Stream           `json:"stream"`
	Toxicity   float32          `json:"toxicity"` // part of the connections that it affects
	Attributes map[string]int64 `json:"attributes"`
}

// Delay holds everything up, by between mean-jitter and mean+jitter.
func Delay(s Stream, mean, jitter time.Duration) Fault {
	return Fault{"latency", s, 1, map[string]int64{"latency": mean.Milliseconds(), "jitter": jitter.Milliseconds()}}
}

// Narrow lets no more through than so many kilobytes a second.
func Narrow(s Stream, kilobytes int64) Fault {
	return Fault{"bandwidth", s, 1, map[string]int64{"rate": kilobytes}}
}

// Slice cuts what is sent into pieces of about so many bytes, with a pause after each: frames come in parts.
func Slice(s Stream, bytes int64, pause time.Duration) Fault {
	return Fault{"slicer", s, 1, map[string]int64{"average_size": bytes, "size_variation": bytes / 2, "delay": pause.Microseconds()}}
}

// HangUpLate passes the end of a connection on so much later: the other side still believes in it.
func HangUpLate(s Stream, by time.Duration) Fault {
	return Fault{"slow_close", s, 1, map[string]int64{"delay": by.Milliseconds()}}
}

// Swallow lets nothing through, while the connections stay.
func Swallow(s Stream) Fault {
	return Fault{"timeout", s, 1, map[string]int64{"timeout": 0}}
}

// ResetSome swallows the first thing sent on a part of the connections that are opened from now on, and resets them after.
func ResetSome(s Stream, part float32, after time.Duration) Fault {
	return Fault{"reset_peer", s, part, map[string]int64{"timeout": after.Milliseconds()}}
}

// Impose adds faults to those that are there.
func (l *Line) Impose(faults ...Fault) error {
	for _, f := range faults {
		text, err := json.Marshal(f)
		if err != nil {
			return err
		}
		if _, err := l.proxy.Toxics.AddToxicJson(bytes.NewReader(text)); err != nil {
			return fmt.Errorf("impose %s: %w", text, err)
		}
	}
	return nil
}

// healLimit is how long Toxiproxy may take to let go of its connections before they are reset under it.
const healLimit = 3 * time.Second

// Heal takes all imposed faults away.
func (l *Line) Heal(ctx context.Context) error {
	healed := make(chan struct{})
	go func() {
		defer close(healed)
		l.proxy.Toxics.ResetToxics(zerolog.Nop().WithContext(ctx))
	}()
	timer := time.NewTimer(healLimit)
	defer timer.Stop()
	for {
		select {
		case <-healed:
			return nil
		case <-timer.C:
			l.front.breakAll() // nobody reads there, and a fault that waits to write cannot be taken out
		case <-ctx.Done():
			return fmt.Errorf("heal the line: %w", ctx.Err())
		}
	}
}

// Break resets all connections (RST), whatever is under way on them.
func (l *Line) Break() { l.front.breakAll() }

// Strand leaves the present connections open for ever and swallows what is sent on them, in both directions. Neither end is
// told anything. New connections are sound.
func (l *Line) Strand() { l.front.strand() }

// Cut resets all connections and each new one at once, until Mend.
func (l *Line) Cut() {
	l.front.setDown(true)
	l.front.breakAll()
}

// Mend ends a Cut.
func (l *Line) Mend() { l.front.setDown(false) }

// Close ends the line and all its connections.
func (l *Line) Close() error {
	var errs []error
	if l.front != nil {
		errs = append(errs, l.front.close())
	}
	if l.proxy != nil {
		l.proxy.Stop()
	}
	if l.back != nil {
		errs = append(errs, l.back.close())
	}
	return errors.Join(errs...)
}
