package drill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"huanxin/internal/scrape"
)

// The switch of Descriptors may have so many file descriptors, and this many connections want one: none is left for new
// tills, host links, wallet requests, snapshots and segments of the journal.
const (
	descriptors = 200
	flood       = 3 * descriptors
	floodLasts  = 12 * time.Second
)

// Descriptors floods the terminal ports with connections until the switch has no file descriptor left, under load, and takes the
// card network's link away meanwhile, which cannot be dialled again. When the flood is over the same process must go on.
func (a *Arena) Descriptors(ctx context.Context) (err error) {
	site, err := a.prepare("descriptors", "HUANXIN_SNAPSHOT_EVERY=1s", "HUANXIN_DRILL_FEW_DESCRIPTORS=true")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Stop(), site.database(context.WithoutCancel(ctx), "stop")) }()
	// PostgreSQL started by the switch would have its limit.
	if err := site.databaseOutside(ctx); err != nil {
		return err
	}
	site.Wrap = []string{"sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$@"`, descriptors), "sh"}
	if err := site.StartHost(ctx); err != nil {
		return err
	}
	if err := site.StartServe(ctx); err != nil {
		return err
	}
	return a.trouble(ctx, site, "descriptors", Plan{Mix: wholeDay, Wallet: part, Unfriendly: impudence}, anything, func() error {
		used, err := site.descriptors()
		if err != nil {
			return err
		}
		site.say("  %d descriptors of %d in use before the flood", used, descriptors)
		before, err := site.accepts(ctx)
		if err != nil {
			return err
		}
		crowd := &crowd{addresses: []string{site.Ports.CUP, site.Ports.NAC}}
		defer crowd.leave()
		if err := crowd.come(ctx, flood); err != nil {
			return err
		}
		if err := site.exhausted(ctx); err != nil {
			return err
		}
		if err := kill(site.Host); err != nil {
			return err
		}
		if err := site.StartHost(ctx); err != nil {
			return err
		}
		if err := wait(ctx, floodLasts); err != nil {
			return err
		}
		if used, err = site.descriptors(); err != nil {
			return err
		}
		site.say("  %d descriptors of %d in use in the flood of %d connections", used, descriptors, flood)
		crowd.leave()
		if err := site.ready(ctx); err != nil {
			return err
		}
		if err := site.acceptsAgain(ctx, before); err != nil {
			return err
		}
		return wait(ctx, outageLead)
	})
}

// accepts are what the switch could and could not open.
type accepts struct {
	failed, undialled float64 // accepts at the terminals' ports, and attempts to reach the card network
	taken, linked     float64 // those that went well
	sales, owners     int
}

func (s *Site) accepts(ctx context.Context) (a accepts, err error) {
	page, err := s.get(ctx, "/metrics")
	if err != nil {
		return a, err
	}
	for _, one := range []struct {
		value  *float64
		name   string
		labels []string
	}{
		{&a.failed, "huanxin_wire_accept_failures_total", nil},
		{&a.taken, "huanxin_wire_connections_total", []string{"port", "cup"}},
		{&a.undialled, "huanxin_host_connects_total", []string{"host", "unionpay", "result", "dial"}},
		{&a.linked, "huanxin_host_connects_total", []string{"host", "unionpay", "result", "up"}},
	} {
		if *one.value, err = scrape.Sum(page, one.name, one.labels...); err != nil {
			return a, err
		}
	}
	book, err := s.book()
	if err != nil {
		return a, err
	}
	a.sales, a.owners = len(book.Sales), book.Seen.Owners
	return a, nil
}

// acceptsAgain demands that accepts and dials failed in the flood, were counted, and go well again after it, in the same process.
func (s *Site) acceptsAgain(ctx context.Context, before accepts) error {
	after, err := s.accepts(ctx)
	if err != nil {
		return err
	}
	if after.failed == before.failed || after.undialled == before.undialled {
		return fmt.Errorf("in the flood %.0f accepts and %.0f dials failed", after.failed-before.failed, after.undialled-before.undialled)
	}
	few := &crowd{addresses: []string{s.Ports.CUP}}
	defer few.leave()
	if err := few.come(ctx, outsiders); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, feltLimit)
	defer cancel()
	return s.Serve.Await(ctx, "accepts after the flood", func(ctx context.Context) error {
		now, err := s.accepts(ctx)
		switch {
		case err != nil:
			return err
		case now.taken < after.taken+outsiders || now.linked == before.linked || now.sales == after.sales:
			return fmt.Errorf("%.0f of %d connections, %.0f links, %d sales", now.taken-after.taken, outsiders, now.linked-before.linked, now.sales-after.sales)
		case now.owners != before.owners:
			return errors.New("it is not the same process")
		}
		s.say("  in the flood %.0f accepts failed and %.0f dials; the same process has taken %d new connections, its link and %d sales since",
			after.failed-before.failed, after.undialled-before.undialled, outsiders, now.sales-after.sales)
		return nil
	})
}

// outsiders is how many connections are opened after the flood.
const outsiders = 10

// descriptors counts the file descriptors that the switch has open.
func (s *Site) descriptors() (int, error) {
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.Serve.PID()))
	return len(open), err
}

// exhausted waits until the switch has no descriptor left. Two are not counted on: some are given back at any moment.
func (s *Site) exhausted(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	return s.Serve.Await(ctx, "the switch to have no descriptor left", func(context.Context) error {
		used, err := s.descriptors()
		if err == nil && used < descriptors-2 {
			err = fmt.Errorf("%d of %d are in use", used, descriptors)
		}
		return err
	})
}

// crowd is many connections that say nothing. They come from many addresses of this machine, so that no limit for one
// address thins them out.
type crowd struct {
	addresses []string
	conns     []net.Conn
}

func (c *crowd) come(ctx context.Context, n int) error {
	for i := range n {
		from := &net.TCPAddr{IP: net.IPv4(127, 1, byte(i>>8), byte(i))}
		nc, err := (&net.Dialer{LocalAddr: from, Timeout: startLimit}).DialContext(ctx, "tcp", c.addresses[i%len(c.addresses)])
		if err != nil {
			return fmt.Errorf("connection %d of the flood: %w", i, err)
		}
		c.conns = append(c.conns, nc)
	}
	return nil
}

func (c *crowd) leave() {
	for _, nc := range c.conns {
		nc.Close()
	}
	c.conns = nil
}
