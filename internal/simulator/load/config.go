package load

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"huanxin/internal/money"
	"huanxin/internal/simulator/till"
)

// Config is one run.
type Config struct {
	Line  till.LineConfig
	API   *till.API // nil when the mix has no reserves
	State *till.State
	Tills []till.Till // the terminals; each is used by one worker at a time

	// Rate is messages a second in open loop; 0 means closed loop.
	Rate float64
	// Connections to the switch (default 1) and terminals at work on each (default 1).
	Connections int
	InFlight    int
	// Duration of the run; what has begun by its end is finished.
	Duration time.Duration
	// Mix is how many of each kind of message there are, relative to one another.
	Mix Mix
	// Goods are what is sold under a hold, in turn.
	Goods []Goods
	// City, Channel and Position are where the buyers claim and stand.
	City     string
	Channel  string
	Position till.Position
	// Ordinary is the amount of an ordinary sale; a number of whole yuan up to 100 is added to it.
	Ordinary money.Amount
	// Feeders claim entitlements and show codes at the same time. Default 4.
	Feeders int
	// Expected are the answers that are not reported as unexpected, by request.
	Expected map[Kind][]string
	// FirstPerson is the number of the first person of this run (till.NewPerson); each claim takes a new one.
	FirstPerson uint64
	Seed        uint64
	// Grace is how long terminals may go on after the end to reverse what is unanswered. Default 60 s.
	Grace time.Duration
	// Acknowledged gets a JSON line for each answer, nil for none.
	Acknowledged io.Writer
	Now          func() time.Time
}

// Goods is one product with where and how it is sold.
type Goods struct {
	Category string
	Barcode  string
	Price    money.Amount
	IMEI     bool
	OldItem  string
}

// Kind is a kind of message in the report.
type Kind string

// The kinds.
const (
	Claim    Kind = "claim"
	Code     Kind = "code"
	Reserve  Kind = "reserve"
	Sale     Kind = "sale" // on a hold
	Cancel   Kind = "cancel"
	Ordinary Kind = "ordinary"
	Reversal Kind = "reversal"
)

// Kinds are all kinds in the order of a report.
func Kinds() []Kind { return []Kind{Claim, Code, Reserve, Sale, Cancel, Ordinary, Reversal} }

// Mix counts terminal messages. Every sale and cancel needs a reserve before it; reserves beyond those are left to
// expire.
type Mix struct{ Reserve, Sale, Cancel, Ordinary int }

// ErrConfig is returned for a run that cannot be made.
var ErrConfig = errors.New("load")

// ParseMix reads reserve=60,sale=30,cancel=0,ordinary=10.
func ParseMix(text string) (Mix, error) {
	var m Mix
	for part := range strings.SplitSeq(text, ",") {
		name, count, _ := strings.Cut(part, "=")
		n, err := strconv.Atoi(count)
		if err != nil || n < 0 || n > 1_000_000 {
			return m, fmt.Errorf("%w: mix %q: want name=count", ErrConfig, part)
		}
		switch Kind(strings.TrimSpace(name)) {
		case Reserve:
			m.Reserve = n
		case Sale:
			m.Sale = n
		case Cancel:
			m.Cancel = n
		case Ordinary:
			m.Ordinary = n
		default:
			return m, fmt.Errorf("%w: mix %q: want reserve, sale, cancel or ordinary", ErrConfig, part)
		}
	}
	return m, m.check()
}

func (m Mix) check() error {
	if m.Reserve+m.Ordinary == 0 {
		return fmt.Errorf("%w: the mix is empty", ErrConfig)
	}
	if m.Sale+m.Cancel > m.Reserve {
		return fmt.Errorf("%w: %d sales and cancels need as many reserves, not %d", ErrConfig, m.Sale+m.Cancel, m.Reserve)
	}
	return nil
}

// story is what a terminal does from one free moment to the next.
type story uint8

const (
	buy     story = iota // reserve and sale
	giveUp               // reserve and cancel
	abandon              // reserve only
	plain                // ordinary sale
)

// draw picks a story so that messages come out in the mix's proportions.
func (m Mix) draw(dice *rand.Rand) story {
	n := dice.IntN(m.Reserve + m.Ordinary)
	switch {
	case n < m.Sale:
		return buy
	case n < m.Sale+m.Cancel:
		return giveUp
	case n < m.Reserve:
		return abandon
	}
	return plain
}

func (c Config) withDefaults() (Config, error) {
	for _, d := range []struct {
		value *int
		def   int
	}{{&c.Connections, 1}, {&c.InFlight, 1}, {&c.Feeders, 4}} {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Grace == 0 {
		c.Grace = time.Minute
	}
	if c.Ordinary == 0 {
		c.Ordinary = 10000
	}
	if c.State == nil {
		state, err := till.OpenState("")
		if err != nil {
			return c, err
		}
		c.State = state
	}
	if err := c.Mix.check(); err != nil {
		return c, err
	}
	switch {
	case c.Duration <= 0:
		return c, fmt.Errorf("%w: no duration", ErrConfig)
	case c.Rate < 0 || c.Rate > 1e6:
		return c, fmt.Errorf("%w: rate %v: want 0 to 1000000", ErrConfig, c.Rate)
	case c.Connections < 1 || c.InFlight < 1 || c.Feeders < 1:
		return c, fmt.Errorf("%w: connections, in-flight and feeders: want 1 or more", ErrConfig)
	case c.Connections*c.InFlight > len(c.Tills):
		return c, fmt.Errorf("%w: %d connections with %d terminals each need %d terminals, there are %d",
			ErrConfig, c.Connections, c.InFlight, c.Connections*c.InFlight, len(c.Tills))
	case c.Mix.Reserve > 0 && (c.API == nil || len(c.Goods) == 0):
		return c, fmt.Errorf("%w: reserves need the HTTP interface and goods", ErrConfig)
	}
	return c, nil
}
