package terminal

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"huanxin/risk/geo"
	"huanxin/switch/event"
	"huanxin/switch/iso8583"
	"huanxin/switch/keys"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/limit"
	"huanxin/switch/stage"
	"huanxin/switch/transport"
	"huanxin/switch/wire"
)

// Hasher makes the keyed hashes that the engine compares. It is safe for concurrent use.
type Hasher interface {
	Serial(serial []byte) [16]byte // either case of a letter gives the same hash
	Code(code []byte) [16]byte
	Card(number []byte) [16]byte       // equals the token of a card sealed by Vault
	Content(fields ...[]byte) [16]byte // nil for an absent field
}

// Vault seals what a reversal needs of a card. It is safe for concurrent use and keeps nothing of the record.
type Vault interface {
	SealCard(*keys.CardRecord) (*event.Card, error)
}

// Keys are what ports with a Line need.
type Keys struct {
	// Module makes and opens working keys, and checks, makes and translates with them.
	Module hsm.Module
	// Masters finds the master keys of terminals.
	Masters Masters
	// PINs translates PIN blocks for hosts; nil: DE52 is answered A7.
	PINs PINs
}

// Config is what the terminal front needs.
type Config struct {
	// Ports are the listening ports, at least one.
	Ports []Port
	// Keys are those of the ports that have a Line, nil when none has.
	Keys *Keys
	// Submit hands an engine input to the server. It must not block; an error means that the input was not taken, and
	// the terminal is answered 96. An input is the taker's until its answer is delivered, and nobody's to read afterwards.
	// arrived is when its bytes had come to this machine, 0 without Stages.
	Submit func(body any, arrived stage.Instant) error
	// TurnsAway, when set, says that a request that begins something new would be turned away now: it is answered 96 without being
	// read any further.
	TurnsAway func() bool
	// Hasher and Vault protect what must not be kept in clear.
	Hasher Hasher
	Vault  Vault
	// Host is the host profile of card sales, QRHost that of sales by payment code (default Host).
	Host, QRHost string
	// MaxPending bounds the requests that wait for a decision or a host, over all ports. One more is answered 96 at
	// once. Default 16384.
	MaxPending int
	// Limits are what one sender may have of all ports together.
	Limits Limits
	// Turns, when set, bounds how many connections of all ports are read and decoded at a time.
	Turns wire.Turns
	// Metrics are the process's connection metrics; Registerer takes this package's own.
	Metrics    *wire.Metrics
	Registerer prometheus.Registerer
	// Log gets one debug line an answer and one a message that could not be read: MTI, terminal, STAN and answer code,
	// nothing else of the content. Nothing that a peer sends makes a line above debug each time. Default: none.
	Log *zap.Logger
	// Stages, when set, measures how long requests are read and decoded.
	Stages *stage.Times
	// Now is the clock of answers that the front gives by itself (DE12, DE13) and of the latency metric. Default
	// time.Now.
	Now func() time.Time
}

// Limits are what one sender may have: an address, or whoever a certificate names. The zero Limits are none.
type Limits struct {
	wire.Limits
	// Messages are those of one sender, Terminals those of one terminal behind it. One more is answered 96.
	Messages, Terminals *limit.Table
}

// Port is one listening port.
type Port struct {
	// Name is the configured name, a label of metrics.
	Name string
	// Address is host:port, loopback without Line. Port 0 lets the system choose; see Front.Addr.
	Address string
	// Framing and Codec are the port's wire format.
	Framing wire.Framing
	Codec   *iso8583.Codec
	// SwapTPDU answers with source and destination exchanged; otherwise the TPDU comes back unchanged.
	SwapTPDU bool
	// Positions is the coordinate system of a position in DE58 (GA, GB), which does not name its own. Default GCJ-02.
	Positions geo.CRS
	// TLS, when set, is spoken on the port. Where it asks for certificates, a connection speaks only for the terminals that its own is
	// bound to.
	TLS *transport.Server
	// Line is how messages are secured. nil is for demonstrations: no MAC is checked or made and no PIN accepted, so the port must
	// lie on a loopback address.
	Line *Line
	// Limits of the port's connections; zero takes the default of wire.Config.
	MaxFrame, MaxConns, MaxInFlight                       int
	IdleTimeout, FrameTimeout, WriteTimeout, AnswerWithin time.Duration
}

// ErrConfig is returned when a Config cannot work; the error wrapping it names the field.
var ErrConfig = errors.New("terminal configuration")

// needed are the fields that every dialect of a port must have: without one of them no exchange can be had.
var needed = []int{3, 4, 11, 39, 41, 42, 59, 60}

// withDefaults fills what is zero and checks the rest.
func (c Config) withDefaults() (Config, error) {
	if c.QRHost == "" {
		c.QRHost = c.Host
	}
	if c.MaxPending == 0 {
		c.MaxPending = 16384
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	switch {
	case len(c.Ports) == 0:
		return c, fmt.Errorf("%w: no Ports", ErrConfig)
	case c.Submit == nil:
		return c, fmt.Errorf("%w: no Submit", ErrConfig)
	case c.Hasher == nil || c.Vault == nil:
		return c, fmt.Errorf("%w: no Hasher or no Vault", ErrConfig)
	case c.Host == "":
		return c, fmt.Errorf("%w: no Host", ErrConfig)
	case c.MaxPending < 1 || c.MaxPending > maxPending:
		return c, fmt.Errorf("%w: MaxPending %d, want 1 to %d", ErrConfig, c.MaxPending, maxPending)
	case c.Metrics == nil || c.Registerer == nil:
		return c, fmt.Errorf("%w: no Metrics or no Registerer", ErrConfig)
	}
	ports := make([]Port, len(c.Ports))
	names := make(map[string]bool)
	for i, p := range c.Ports {
		if p.Positions == 0 {
			p.Positions = geo.GCJ02
		}
		if err := p.check(); err != nil {
			return c, err
		}
		if p.Line != nil && (c.Keys == nil || c.Keys.Module == nil || c.Keys.Masters == nil) {
			return c, fmt.Errorf("%w: port %s has a Line, and there are no Keys", ErrConfig, p.Name)
		}
		if names[p.Name] {
			return c, fmt.Errorf("%w: two ports are named %s", ErrConfig, p.Name)
		}
		names[p.Name], ports[i] = true, p
	}
	c.Ports = ports
	return c, nil
}

func (p *Port) check() error {
	if p.Codec == nil {
		return fmt.Errorf("%w: port %s has no Codec", ErrConfig, p.Name)
	}
	for _, n := range needed {
		if !p.Codec.Defines(n) {
			return fmt.Errorf("%w: port %s: dialect %s has no field %d", ErrConfig, p.Name, p.Codec.Name(), n)
		}
	}
	if !p.Positions.Valid() {
		return fmt.Errorf("%w: port %s: Positions names no coordinate system", ErrConfig, p.Name)
	}
	host, _, err := net.SplitHostPort(p.Address)
	if err != nil {
		return fmt.Errorf("%w: port %s: Address: %w", ErrConfig, p.Name, err)
	}
	if p.Line != nil {
		line, err := p.Line.withDefaults(p.Codec)
		if err != nil {
			return fmt.Errorf("%w: port %s: Line: %w", ErrConfig, p.Name, err)
		}
		p.Line = &line
		return nil
	}
	// A name is not resolved: what it means may change after the check.
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("%w: port %s: Address %s is no loopback address, which a port without line security demands",
			ErrConfig, p.Name, p.Address)
	}
	return nil
}

// wire returns the configuration of the port's connections.
func (p *Port) wire(m *wire.Metrics, stages *stage.Times) wire.Config {
	return wire.Config{
		Name: p.Name, Framing: p.Framing, MaxFrame: p.MaxFrame, MaxConns: p.MaxConns, MaxInFlight: p.MaxInFlight,
		IdleTimeout: p.IdleTimeout, FrameTimeout: p.FrameTimeout, WriteTimeout: p.WriteTimeout,
		LingerTimeout: p.AnswerWithin, TLS: p.TLS, Metrics: m, Stages: stages,
	}
}
