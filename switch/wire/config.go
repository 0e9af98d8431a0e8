package wire

import (
	"errors"
	"fmt"
	"time"

	"huanxin/switch/limit"
	"huanxin/switch/stage"
	"huanxin/switch/transport"
)

// Config is how the connections of one listening port, or one host link, behave.
type Config struct {
	// Name labels metrics: the port's or link's configured name.
	Name string
	// Framing is how frames follow one another.
	Framing Framing
	// MaxFrame is the largest frame in bytes, length field included. Default DefaultMaxFrame, at most 65 537.
	MaxFrame int
	// MaxInFlight bounds the answers that one connection may be owed. When it is reached, reading pauses until half of
	// them are given: the peer feels it as back-pressure, nothing is refused. Default 64.
	MaxInFlight int
	// MaxConns bounds open connections of a listener; the next one is closed at once and counted. Default 4096.
	MaxConns int
	// IdleTimeout closes a connection that has sent no frame for so long and is owed nothing. Default 5 min.
	IdleTimeout time.Duration
	// FrameTimeout is how long a frame may take from its first byte to its last, and a TLS handshake in all. Trickling
	// bytes does not extend it. Default 10 s.
	FrameTimeout time.Duration
	// WriteTimeout is how long one write may take. Default 10 s.
	WriteTimeout time.Duration
	// LingerTimeout is how long a connection whose peer has half-closed, or that is being drained, waits for the
	// answers it is owed. It must exceed the time in which every request is answered. Default 70 s.
	LingerTimeout time.Duration
	// MaxQueue bounds the bytes waiting to be written; a peer that lets more pile up is closed. As many again may be in
	// the write under way. Default 256 KiB.
	MaxQueue int
	// TLS, when set, is spoken on every connection; see Conn.Peer.
	TLS *transport.Server
	// Metrics counts what happens; one per process.
	Metrics *Metrics
	// Limits are what one sender may have of a listening port; several ports may share them.
	Limits Limits
	// Turns, when set, bounds how many connections handle what they have read at a time; several ports may share it.
	Turns Turns
	// Stages, when set, gives the clock of Conn.ArrivedAt.
	Stages *stage.Times
}

// Limits are what one sender may have. The zero Limits are none.
type Limits struct {
	Sources *limit.Sources // tells senders apart; nil: nobody has limits
	Open    *limit.Holders // connections open at a time
	Opened  *limit.Table   // new connections
}

// Turns bounds how many goroutines handle frames at a time. The runtime gives each goroutine that can run the same share of the
// cores: beside a thousand connections that have something to say, the one goroutine that decides for all of them would hardly run.
type Turns chan struct{}

// NewTurns makes room for n goroutines.
func NewTurns(n int) Turns { return make(Turns, n) }

func (t Turns) take() {
	if t != nil {
		t <- struct{}{}
	}
}

func (t Turns) give() {
	if t != nil {
		<-t
	}
}

// ErrConfig is returned when a Config cannot work; the error wrapping it names the field.
var ErrConfig = errors.New("wire configuration")

// largestFrame is what a two-byte length field can announce.
const largestFrame = 2 + 0xFFFF

// withDefaults fills what is zero and checks the rest.
func (c Config) withDefaults() (Config, error) {
	setInt(&c.MaxFrame, DefaultMaxFrame)
	setInt(&c.MaxInFlight, 64)
	setInt(&c.MaxConns, 4096)
	setInt(&c.MaxQueue, 256<<10)
	setDuration(&c.IdleTimeout, 5*time.Minute)
	setDuration(&c.FrameTimeout, 10*time.Second)
	setDuration(&c.WriteTimeout, 10*time.Second)
	setDuration(&c.LingerTimeout, 70*time.Second)
	switch {
	case c.Name == "":
		return c, fmt.Errorf("%w: no Name", ErrConfig)
	case c.Framing < CUP || c.Framing > Raw4:
		return c, fmt.Errorf("%w %s: no Framing", ErrConfig, c.Name)
	case c.Metrics == nil:
		return c, fmt.Errorf("%w %s: no Metrics", ErrConfig, c.Name)
	case c.MaxFrame < 32 || c.MaxFrame > largestFrame:
		return c, fmt.Errorf("%w %s: MaxFrame %d, want 32 to %d", ErrConfig, c.Name, c.MaxFrame, largestFrame)
	case c.MaxInFlight < 1:
		return c, fmt.Errorf("%w %s: MaxInFlight %d, want 1 or more", ErrConfig, c.Name, c.MaxInFlight)
	case c.MaxConns < 1:
		return c, fmt.Errorf("%w %s: MaxConns %d, want 1 or more", ErrConfig, c.Name, c.MaxConns)
	case c.MaxQueue < c.MaxFrame:
		return c, fmt.Errorf("%w %s: MaxQueue %d is below MaxFrame %d", ErrConfig, c.Name, c.MaxQueue, c.MaxFrame)
	case c.IdleTimeout < 0, c.FrameTimeout < 0, c.WriteTimeout < 0, c.LingerTimeout < 0:
		return c, fmt.Errorf("%w %s: a time-out is negative", ErrConfig, c.Name)
	}
	return c, nil
}

func setInt(v *int, def int) {
	if *v == 0 {
		*v = def
	}
}

func setDuration(v *time.Duration, def time.Duration) {
	if *v == 0 {
		*v = def
	}
}
