package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
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
	// Shop is who sells over HTTP.
	Shop Shop
	// Wallet is the part of payments, 0 … 1, that are made by payment code.
	Wallet float64
	// Typed is the part of card payments, 0 … 1, at terminals with keys whose payer types PIN: it goes as a PIN block under the
	// terminal's key, so that only a network that was handed it under its own can tell that it is right.
	Typed float64
	PIN   string
	// Stuck is the part of ordinary card sales, 0 … 1, whose amount orders the simulated network never to answer, and never to
	// answer a reversal either.
	Stuck float64
	// Unfriendly is the probability, 0 … 1, that a terminal does after a story what it should not.
	Unfriendly float64
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

// Shop is an online shop or QR acquirer.
type Shop struct {
	Merchant string
	Channel  string
	Delivery string // division code of its buyers' addresses
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
	Claim       Kind = "claim"
	Code        Kind = "code"
	Reserve     Kind = "reserve"
	Sale        Kind = "sale" // on a hold
	Cancel      Kind = "cancel"
	Ordinary    Kind = "ordinary"
	Preauth     Kind = "preauth" // the family
	Void        Kind = "void"
	Refund      Kind = "refund"
	Reversal    Kind = "reversal"
	Settle      Kind = "settle" // its answers are DE39 and whether the totals agreed
	Upload      Kind = "upload"
	Balance     Kind = "balance"
	Status      Kind = "status"
	Certificate Kind = "certificate"
	Mischief    Kind = "mischief" // what an unfriendly terminal sends: its kind and DE39

	// Over HTTP; their answers are statuses.
	Order    Kind = "order"
	Commit   Kind = "commit"
	Drop     Kind = "drop"
	GiveBack Kind = "give-back"
	LookUp   Kind = "look-up"
)

// Kinds are all kinds in the order of a report.
func Kinds() []Kind {
	return []Kind{Claim, Code, Reserve, Sale, Cancel, Ordinary, Preauth, Void, Refund, Reversal, Settle, Upload, Balance, Status,
		Certificate, Mischief, Order, Commit, Drop, GiveBack, LookUp}
}

// Mix counts what terminals do, relative to one another. Reserve, Sale, Cancel and Ordinary are messages: every sale and
// cancel needs a reserve before it, and reserves beyond those are left to expire. The others are stories, each of a few
// messages; those that need a purchase of this terminal begin by making one when there is none.
type Mix struct {
	Reserve, Sale, Cancel, Ordinary int

	Void        int // a void
	Unvoid      int // a void and its reversal
	Refund      int // a refund of the whole rest
	Partial     int // a refund of a part
	Undo        int // an ordinary sale and its reversal
	Preauth     int // a pre-authorisation and its void, or its completion
	Settle      int // a settlement, with upload
	Balance     int
	Status      int
	Certificate int
	Shop        int // a purchase over HTTP: order, then commit and perhaps a refund, or drop
}

// fields are the parts of a mix by the names that ParseMix reads.
func (m *Mix) fields() map[string]*int {
	return map[string]*int{
		"reserve": &m.Reserve, "sale": &m.Sale, "cancel": &m.Cancel, "ordinary": &m.Ordinary, "void": &m.Void, "unvoid": &m.Unvoid,
		"refund": &m.Refund, "partial": &m.Partial, "undo": &m.Undo, "preauth": &m.Preauth, "settle": &m.Settle,
		"balance": &m.Balance, "status": &m.Status, "certificate": &m.Certificate, "shop": &m.Shop,
	}
}

// ErrConfig is returned for a run that cannot be made.
var ErrConfig = errors.New("load")

// ParseMix reads reserve=60,sale=30,cancel=0,ordinary=10,void=3.
func ParseMix(text string) (Mix, error) {
	var m Mix
	fields := m.fields()
	for part := range strings.SplitSeq(text, ",") {
		name, count, _ := strings.Cut(part, "=")
		n, err := strconv.Atoi(count)
		if err != nil || n < 0 || n > 1_000_000 {
			return m, fmt.Errorf("%w: mix %q: want name=count", ErrConfig, part)
		}
		field := fields[strings.TrimSpace(name)]
		if field == nil {
			return m, fmt.Errorf("%w: mix %q: want one of %s", ErrConfig, part, strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		}
		*field = n
	}
	return m, m.check()
}

func (m Mix) check() error {
	total := 0
	for _, n := range m.fields() {
		total += *n
	}
	if total == 0 {
		return fmt.Errorf("%w: the mix is empty", ErrConfig)
	}
	if m.Sale+m.Cancel > m.Reserve {
		return fmt.Errorf("%w: %d sales and cancels need as many reserves, not %d", ErrConfig, m.Sale+m.Cancel, m.Reserve)
	}
	return nil
}

// api reports whether the mix needs the HTTP interface and goods.
func (m Mix) api() bool { return m.Reserve+m.Shop > 0 }

// story is what a terminal does from one free moment to the next.
type story func(w *worker, soft, hard context.Context)

// stories are all stories with their weights.
func (m Mix) stories() []weighted {
	return []weighted{
		{m.Sale, (*worker).buy}, {m.Cancel, (*worker).giveUp}, {m.Reserve - m.Sale - m.Cancel, (*worker).abandon},
		{m.Ordinary, (*worker).plain}, {m.Void, (*worker).takeBack}, {m.Unvoid, (*worker).takeBackAndUndo},
		{m.Refund, (*worker).refundAll}, {m.Partial, (*worker).refundPart}, {m.Undo, (*worker).sellAndUndo},
		{m.Preauth, (*worker).authorise}, {m.Settle, (*worker).closeBatch}, {m.Balance, (*worker).askBalance},
		{m.Status, (*worker).askStatus}, {m.Certificate, (*worker).certify}, {m.Shop, (*worker).shop},
	}
}

type weighted struct {
	weight int
	play   story
}

// draw picks a story so that messages come out in the mix's proportions.
func draw(stories []weighted, dice *rand.Rand) story {
	total := 0
	for _, s := range stories {
		total += s.weight
	}
	n := dice.IntN(total)
	for _, s := range stories {
		if n < s.weight {
			return s.play
		}
		n -= s.weight
	}
	panic("the weights add up to their total")
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
	case c.Mix.api() && (c.API == nil || len(c.Goods) == 0):
		return c, fmt.Errorf("%w: reserves and shops need the HTTP interface and goods", ErrConfig)
	case c.Mix.Shop > 0 && c.Shop.Merchant == "":
		return c, fmt.Errorf("%w: shops need a merchant", ErrConfig)
	case !part(c.Unfriendly) || !part(c.Wallet) || !part(c.Stuck) || !part(c.Typed):
		return c, fmt.Errorf("%w: unfriendly %v, wallet %v, stuck %v, typed %v: want 0 … 1", ErrConfig, c.Unfriendly, c.Wallet, c.Stuck, c.Typed)
	case c.Typed > 0 && c.PIN == "":
		return c, fmt.Errorf("%w: payers have no PIN to type", ErrConfig)
	}
	return c, nil
}

// part reports whether a number is one of 0 … 1.
func part(p float64) bool { return p >= 0 && p <= 1 }
