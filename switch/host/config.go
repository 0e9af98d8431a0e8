package host

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"huanxin/switch/iso8583"
	"huanxin/switch/transport"
	"huanxin/switch/wire"
)

// Config is the profile of one host.
type Config struct {
	// Name is the profile's name in the configuration; HostRequest.Host names it.
	Name string
	// Addresses are tried in turn, each attempt the next one.
	Addresses []string
	// TLS is spoken on every connection; nil: plain TCP.
	TLS *transport.Client
	// Framing, TPDU (5 bytes) and Header (6 bytes) of what is sent, where the framing has them.
	Framing wire.Framing
	TPDU    []byte
	Header  []byte
	// Codec is the dialect of this link. It may differ from the terminals'.
	Codec *iso8583.Codec
	// MAC authenticates requests and answers, and PIN says how PIN blocks go to the host; nil: neither is.
	MAC *MAC
	PIN *PIN
	// Connections is the number of slots. A terminal always uses the same one. Default 1.
	Connections int
	// SignOn sends 0800 after connecting and lets no request out before 00 has come.
	SignOn bool
	// Management says where the code of a management message stands: "de60" (60.3, POS style) or "de70". Default de70
	// when the dialect has field 70.
	Management string
	// Original says where a reversal, void or refund names what it is about: "de61" (batch, STAN and date, POS style) or
	// "de90". Default de90 when the dialect has field 90.
	Original string
	// MatchKey are the fields by which an answer finds its request: 37 where the network echoes it, or 7 and 11 where it
	// gives a number of its own; each must be in the dialect (cup has no 7). Default 37.
	MatchKey []int
	// Zone is the zone of DE7. Default +08:00.
	Zone *time.Location
	// Acquirer is DE32 and Forwarder is DE33 towards this host; "" leaves the field out.
	Acquirer  string
	Forwarder string
	// DialTimeout bounds a TCP connect, and a TLS handshake (default 5 s), WriteTimeout one write (default 10 s).
	DialTimeout  time.Duration
	WriteTimeout time.Duration
	// Echo is the silence after which the line is probed (default 30 s); when nothing at all has come EchoTimeout later
	// (default 10 s), the connection is given up. EchoTimeout also bounds the sign-on.
	Echo        time.Duration
	EchoTimeout time.Duration
	// ReconnectMin and ReconnectMax bound the waits between attempts; they double, and half of each is drawn. Default
	// 200 ms and 30 s.
	ReconnectMin time.Duration
	ReconnectMax time.Duration
	// Queue bounds the requests that wait for each connection; one more is unsent at once. Default 4096.
	Queue int
	// InFlight bounds the requests on the wire, over all connections; the next one waits in the queue, until its
	// deadline. Default 4096.
	InFlight int
	// Remember is how many requests are remembered for late and repeated answers. Default 65536.
	Remember int
	// FrameLimit is the longest frame in bytes. Default 8192.
	FrameLimit int
}

// ErrConfig is returned for a profile that cannot work; the error wrapping it names the field.
var ErrConfig = errors.New("host profile")

var shanghai = time.FixedZone("+08:00", 8*3600)

// withDefaults fills what is zero and checks the rest.
func (c Config) withDefaults() (Config, error) {
	for _, d := range []struct {
		value *int
		def   int
	}{{&c.Connections, 1}, {&c.Queue, 4096}, {&c.InFlight, 4096}, {&c.Remember, 65536}, {&c.FrameLimit, 8192}} {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{
		{&c.DialTimeout, 5 * time.Second}, {&c.WriteTimeout, 10 * time.Second}, {&c.Echo, 30 * time.Second},
		{&c.EchoTimeout, 10 * time.Second}, {&c.ReconnectMin, 200 * time.Millisecond}, {&c.ReconnectMax, 30 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if len(c.MatchKey) == 0 {
		c.MatchKey = []int{37}
	}
	if c.Zone == nil {
		c.Zone = shanghai
	}
	if c.MAC != nil {
		c.MAC = &MAC{Algorithm: c.MAC.Algorithm, Key: cmp.Or(c.MAC.Key, "host/"+c.Name+"/zak")}
	}
	if c.PIN != nil {
		p := c.PIN.of(c.Name)
		c.PIN = &p
	}
	if c.Codec != nil {
		c.Management = defaultPlace(c.Management, c.Codec, 70, "de70", "de60")
		c.Original = defaultPlace(c.Original, c.Codec, 90, "de90", "de61")
	}
	if err := c.check(); err != nil {
		return c, fmt.Errorf("%w %q: %w", ErrConfig, c.Name, err)
	}
	return c, nil
}

func defaultPlace(given string, codec *iso8583.Codec, field int, with, without string) string {
	if given != "" {
		return given
	}
	if codec.Defines(field) {
		return with
	}
	return without
}

func (c *Config) check() error {
	switch {
	case c.Name == "":
		return errors.New("the profile has no Name")
	case len(c.Addresses) == 0 || slices.Contains(c.Addresses, ""):
		return errors.New("the profile has no Addresses")
	case c.Codec == nil:
		return errors.New("the profile has no Codec")
	case c.Management != "de60" && c.Management != "de70":
		return fmt.Errorf("field Management is %q: want de60 or de70", c.Management)
	case c.Original != "de61" && c.Original != "de90":
		return fmt.Errorf("field Original is %q: want de61 or de90", c.Original)
	case c.Connections < 1 || c.Queue < 1 || c.InFlight < 1 || c.Remember < 1:
		return errors.New("fields Connections, Queue, InFlight and Remember: want 1 or more")
	case c.FrameLimit < 64 || c.FrameLimit > 1<<20:
		return fmt.Errorf("field FrameLimit is %d: want 64 to %d", c.FrameLimit, 1<<20)
	case min(c.DialTimeout, c.WriteTimeout, c.Echo, c.EchoTimeout, c.ReconnectMin) < 0:
		return errors.New("a time-out is negative")
	case c.ReconnectMax < c.ReconnectMin:
		return errors.New("field ReconnectMax is below ReconnectMin")
	case len(c.Acquirer) > 11 || len(c.Forwarder) > 11 || strings.Trim(c.Acquirer+c.Forwarder, "0123456789") != "":
		return errors.New("fields Acquirer and Forwarder: want at most 11 digits")
	}
	for _, field := range c.MatchKey {
		if field != 7 && field != 11 && field != 37 {
			return fmt.Errorf("field MatchKey has %d: want 7, 11 or 37", field)
		}
		if !c.Codec.Defines(field) {
			return fmt.Errorf("field MatchKey has %d, which is not in the dialect %s", field, c.Codec.Name())
		}
	}
	if !slices.Contains(c.MatchKey, 37) && !(slices.Contains(c.MatchKey, 7) && slices.Contains(c.MatchKey, 11)) {
		return errors.New("field MatchKey needs 37, or 7 and 11: STANs wrap")
	}
	if _, err := c.Framing.AppendFrame(nil, c.TPDU, c.Header, []byte{0}); err != nil {
		return fmt.Errorf("field Framing: %w", err)
	}
	return nil
}
