package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"huanxin/internal/simulator/till"
)

// run is one run under way.
type run struct {
	cfg      Config
	tally    *tally
	record   record
	schedule *schedule
	codes    chan ticketed
	persons  atomic.Uint64
	serials  atomic.Uint64
	stories  []weighted

	failMu sync.Mutex // guards failure
	// failure ends the run: the record of acknowledged answers cannot be written.
	failure error
	abort   context.CancelFunc
}

// ticketed is a code that a buyer's phone shows.
type ticketed struct {
	goods       Goods
	person      till.Person
	entitlement string
	code        string
	shownAt     time.Time
}

// codeLife is how long a shown code is used; the programme's is 60 s.
const codeLife = 45 * time.Second

// Run drives the switch for the duration and returns what it measured. The error says that the run itself could not be
// made or its record not be kept; whatever the switch did is in the report.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	// hard ends everything; soft only the beginning of new work.
	hard, abort := context.WithCancel(context.Background())
	defer abort()
	soft, stop := context.WithTimeout(ctx, cfg.Duration)
	defer stop()
	context.AfterFunc(soft, func() { time.AfterFunc(cfg.Grace, abort) })

	r := &run{cfg: cfg, tally: newTally(cfg.Expected), record: record{w: cfg.Acknowledged}, abort: abort}
	workers, trunks, err := r.connect(hard)
	if err != nil {
		return nil, err
	}
	begin := cfg.Now()
	r.schedule = &schedule{rate: cfg.Rate, begin: begin, end: begin.Add(cfg.Duration), now: cfg.Now}
	r.codes = make(chan ticketed, r.codePool())
	r.persons.Store(cfg.FirstPerson)
	r.serials.Store(cfg.FirstPerson)

	var feeders, terminals sync.WaitGroup
	r.stories = cfg.Mix.stories()
	if cfg.Mix.Reserve > 0 {
		for range cfg.Feeders {
			feeders.Go(func() { r.feed(soft) })
		}
	}
	for _, w := range workers {
		terminals.Go(func() { w.work(soft, hard) })
	}
	terminals.Wait()
	elapsed := cfg.Now().Sub(begin)
	stop()
	feeders.Wait()
	for _, t := range trunks {
		t.close()
	}
	if err := cfg.State.Save(); err != nil {
		return nil, err
	}
	return r.tally.report(cfg.Rate, elapsed), r.failed()
}

// codePool is how many codes are kept ready: what is used in a few seconds, so that none grows old.
func (r *run) codePool() int {
	pool := r.cfg.Connections * r.cfg.InFlight
	if r.cfg.Rate > 0 {
		pool = min(pool, int(5*r.cfg.Rate)+1)
	}
	return min(pool, 4096)
}

// connect dials every connection and signs its terminals on.
func (r *run) connect(ctx context.Context) ([]*worker, []*trunk, error) {
	var workers []*worker
	var trunks []*trunk
	for c := range r.cfg.Connections {
		t := &trunk{cfg: r.cfg.Line, tally: r.tally}
		trunks = append(trunks, t)
		if line, err := till.DialLine(ctx, r.cfg.Line); err == nil {
			t.line = line
		} else if !gone(err) {
			return nil, nil, err
		}
		for i := range r.cfg.InFlight {
			n := c*r.cfg.InFlight + i
			w := &worker{run: r, till: r.cfg.Tills[n], trunk: t, dice: rand.New(rand.NewPCG(r.cfg.Seed, uint64(n)))}
			err := w.signOn(ctx)
			for end := r.cfg.Now().Add(r.cfg.Grace); gone(err) && r.cfg.Now().Before(end); err = w.signOn(ctx) {
				pause(ctx, again) // the switch may just be starting anew
			}
			if err != nil {
				return nil, nil, fmt.Errorf("sign on terminal %s: %w", w.till.Terminal, err)
			}
			workers = append(workers, w)
		}
	}
	return workers, trunks, nil
}

// gone reports whether nobody was there to answer.
func gone(err error) bool {
	var op *net.OpError
	return errors.Is(err, till.ErrLost) || errors.As(err, &op)
}

func (r *run) fail(err error) {
	r.failMu.Lock()
	if r.failure == nil {
		r.failure = err
	}
	r.failMu.Unlock()
	r.abort()
}

func (r *run) failed() error {
	r.failMu.Lock()
	defer r.failMu.Unlock()
	return r.failure
}

// feed claims entitlements and shows codes, ahead of the tills, until the end.
func (r *run) feed(ctx context.Context) {
	for ctx.Err() == nil {
		n := r.persons.Add(1) - 1
		goods := r.cfg.Goods[n%uint64(len(r.cfg.Goods))]
		one := ticketed{goods: goods, person: till.NewPerson(n)}
		if !r.claim(ctx, n, &one, r.cfg.Channel) || !r.show(ctx, &one) {
			pause(ctx, again)
			continue
		}
		select {
		case r.codes <- one:
		case <-ctx.Done():
		}
	}
}

// again is the wait before something is tried again.
const again = 200 * time.Millisecond

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// claim claims for a person, the same request again when its answer is lost.
func (r *run) claim(ctx context.Context, n uint64, one *ticketed, channel string) bool {
	key := fmt.Sprintf("load-%d-%d", r.cfg.Seed, n)
	for ctx.Err() == nil {
		begin := r.cfg.Now()
		a, err := r.cfg.API.Claim(ctx, key, one.person, one.goods.Category, r.cfg.City, channel)
		if err != nil {
			if ctx.Err() == nil {
				r.tally.failed(Claim, err)
				pause(ctx, again)
			}
			continue
		}
		r.api(Claim, &a, begin)
		one.entitlement = a.Entitlement
		if a.Status == 429 || a.Status >= 500 {
			pause(ctx, again)
			continue
		}
		return a.Status < 300
	}
	return false
}

func (r *run) show(ctx context.Context, one *ticketed) bool {
	for ctx.Err() == nil {
		begin := r.cfg.Now()
		a, err := r.cfg.API.ShowCode(ctx, one.entitlement, one.person, &r.cfg.Position)
		if err != nil {
			if ctx.Err() == nil {
				r.tally.failed(Code, err)
				pause(ctx, again)
			}
			continue
		}
		r.api(Code, &a, begin)
		if a.Status == 429 || a.Status >= 500 {
			pause(ctx, again)
			continue
		}
		one.code, one.shownAt = a.Code, r.cfg.Now()
		return a.Status < 300
	}
	return false
}

func (r *run) api(kind Kind, a *till.APIAnswer, begin time.Time) {
	detail := ""
	if len(a.Reasons) > 0 {
		detail = a.Reasons[0]
	}
	r.tally.answered(kind, fmt.Sprint(a.Status), detail, r.cfg.Now().Sub(begin), func() string { return a.Text })
}

// queueing is how long a buyer waits at the till for a code, while nobody gets one. Then the till does something else.
const queueing = 3 * time.Second

// code takes a shown code, waiting for one if need be; an old one is shown anew.
func (r *run) code(ctx context.Context) (ticketed, bool) {
	var one ticketed
	select {
	case one = <-r.codes:
	default:
		r.tally.count(&r.tally.starved)
		select {
		case one = <-r.codes:
		case <-time.After(queueing):
			return one, false
		case <-ctx.Done():
			return one, false
		}
	}
	if r.cfg.Now().Sub(one.shownAt) > codeLife && !r.show(ctx, &one) {
		return one, false
	}
	return one, true
}

// trunk is one connection shared by its terminals, dialled anew when it is lost.
type trunk struct {
	cfg   till.LineConfig
	tally *tally

	mu   sync.Mutex // guards line; one terminal dials for all
	line *till.Line
}

// get returns a line that was alive a moment ago.
func (t *trunk) get(ctx context.Context) (*till.Line, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.line != nil {
		select {
		case <-t.line.Lost():
			t.drop()
			t.tally.count(&t.tally.lost)
		default:
			return t.line, nil
		}
	}
	line, err := till.DialLine(ctx, t.cfg)
	if err != nil {
		return nil, err
	}
	t.line = line
	return line, nil
}

func (t *trunk) drop() {
	t.tally.mu.Lock()
	t.tally.strays += t.line.Strays()
	t.tally.mu.Unlock()
	t.line = nil
}

func (t *trunk) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.line != nil {
		t.line.Close()
		t.drop()
	}
}
