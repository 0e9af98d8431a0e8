package drill

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/nats-io/nats-server/v2/server"

	"huanxin/internal/drill/faultline"
	"huanxin/internal/process"
)

// cluster is a server of its own for a journal that lies in a stream.
type cluster struct{ server *server.Server }

func newCluster(folder string) (*cluster, error) {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: folder, SyncAlways: true, MaxPayload: 8 << 20,
	})
	if err != nil {
		return nil, fmt.Errorf("server of the journal: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(startLimit) {
		s.Shutdown()
		return nil, errors.New("the journal's server does not start")
	}
	return &cluster{s}, nil
}

func (c *cluster) close() {
	c.server.Shutdown()
	c.server.WaitForShutdown()
}

// owners are two switches on one journal, each with a folder and ports of its own. Terminals and callers reach the one that serves
// through lines, as they would reach it behind a balancer.
type owners struct {
	site  *Site // its Serve is the one that serves
	lines []*faultline.Line
	ports [2]Ports
	dirs  [2]string
	on    int // which of the two serves
	cuts  int // how often one was fenced off …
	lost  int // … and how often one that was frozen in an append ended itself because its answer was overdue
}

// newOwners turns the ports of a site into lines that lead to the first switch.
func newOwners(site *Site) (o *owners, err error) {
	o = &owners{site: site, dirs: [2]string{site.Dir, site.file("second")}}
	o.ports[0] = site.Ports
	second, err := FreePorts()
	if err != nil {
		return nil, err
	}
	second.Host, second.Wallet = site.Ports.Host, site.Ports.Wallet
	o.ports[1] = second
	site.Listen = &o.ports[0]
	for _, one := range o.doors(&site.Ports) {
		line, err := faultline.New("tcp", *one)
		if err != nil {
			return nil, errors.Join(err, o.close())
		}
		o.lines = append(o.lines, line)
		*one = line.Address()
	}
	return o, nil
}

// doors are the ports that terminals and callers use, in the order of the lines.
func (o *owners) doors(p *Ports) []*string {
	return []*string{&p.CUP, &p.NAC, &p.Secure, &p.SM, &p.HTTP}
}

func (o *owners) close() error {
	var errs []error
	for _, line := range o.lines {
		errs = append(errs, line.Close())
	}
	return errors.Join(errs...)
}

// launch starts one of the two, with the keys and the token of both.
func (o *owners) launch(which int) (*process.Process, error) {
	one := *o.site
	one.Home, one.Listen = o.dirs[which], &o.ports[which]
	if which == 1 {
		for name, file := range map[string]string{
			"KEYS_FILE": "keys/keys.yaml", "KEYS_LMK_FILE": "keys/lmk", "HTTP_TOKEN_FILE": "token", "HOSTS_WALLET_KEY_FILE": "wallet.key",
		} {
			one.Settings = append(one.Settings[:len(one.Settings):len(one.Settings)], "HUANXIN_"+name+"="+o.site.file(file))
		}
	}
	at := one.listens()
	if err := free(at.CUP, at.NAC, at.Secure, at.SM, at.HTTP); err != nil {
		return nil, err
	}
	// The output and the process id of both lie in the site's folder, where they are swept.
	return process.Start(o.site.Dir, []string{"serve", "second"}[which], o.site.program("huanxin"),
		[]string{"serve", "--programme", o.site.Programme}, one.environment())
}

// takeOver starts the other one and waits until the journal is its own.
func (o *owners) takeOver(ctx context.Context) (*process.Process, error) {
	had, err := o.site.owners()
	if err != nil {
		return nil, err
	}
	other, err := o.launch(1 - o.on)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := other.Await(ctx, "a second switch to take the journal over", o.site.owned(had+1)); err != nil {
		other.Kill()
		return nil, err
	}
	return other, nil
}

// serveBy leads terminals and callers to another switch, and waits until it serves.
func (o *owners) serveBy(ctx context.Context, p *process.Process) error {
	o.on = 1 - o.on
	o.site.Serve, o.site.Listen, o.site.Home = p, &o.ports[o.on], o.dirs[o.on]
	for i, port := range o.doors(&o.ports[o.on]) {
		o.lines[i].Turn("tcp", *port)
		o.lines[i].Break()
	}
	return o.site.ready(ctx)
}

// fenced demands that a stale owner ends itself because the journal refused it, or, when it was frozen in the middle of an append, because
// it cannot know how that ended.
func (o *owners) fenced(ctx context.Context, p *process.Process, frozen bool) error {
	limit, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	select {
	case <-p.Done():
	case <-limit.Done():
		p.Kill()
		return fmt.Errorf("a stale owner goes on: %w; see %s", limit.Err(), p.Log())
	}
	switch err := p.Finish(stopLimit); {
	case gaveUp(err) && strings.Contains(p.Tail(20), "fenced off by another writer"):
		o.cuts++
	case frozen && gaveUp(err) && strings.Contains(p.Tail(20), "append failed: outcome unknown"):
		o.lost++
	default:
		return fmt.Errorf("a stale owner ended, but not because it was fenced off (%v); the end of %s:\n%s", err, p.Log(), p.Tail(20))
	}
	return nil
}

// comeBack freezes the one that serves, lets the other take over, and lets the first one go on: with requests of terminals before it
// when late is false, after the terminals have gone to the other one when it is true. It must end itself, and nothing that it decided
// may be anywhere.
func (o *owners) comeBack(ctx context.Context, late bool) (err error) {
	stale := o.site.Serve
	var other *process.Process
	defer func() { // whatever happens none may stay behind, frozen or unknown to the site
		if err == nil {
			return
		}
		stale.Kill()
		if other != nil && other != o.site.Serve {
			other.Kill()
		}
	}()
	if err := stale.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if err := standsStill(ctx, stale); err != nil {
		return err
	}
	if other, err = o.takeOver(ctx); err != nil {
		return err
	}
	if late {
		if err := o.serveBy(ctx, other); err != nil {
			return err
		}
		if err := wait(ctx, killRound); err != nil {
			return err
		}
	}
	if err := stale.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	if err := o.fenced(ctx, stale, true); err != nil {
		return err
	}
	if late {
		return nil
	}
	return o.serveBy(ctx, other)
}

// beside starts the other one while the first is at work, and demands that one of them is fenced off and one goes on.
func (o *owners) beside(ctx context.Context) error {
	other, err := o.launch(1 - o.on)
	if err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	select {
	case <-other.Done():
		return o.fenced(ctx, other, false)
	case <-o.site.Serve.Done():
		if err := o.fenced(ctx, o.site.Serve, false); err != nil {
			return err
		}
		return o.serveBy(ctx, other)
	case <-limit.Done():
		other.Kill()
		return fmt.Errorf("two switches go on with one journal: %w", limit.Err())
	}
}

// TwoOwners has two switches on one journal that lies on a cluster, where no folder's lock keeps the second one out: one is frozen,
// another takes over and the first comes back, with terminals before it or without; and one is started beside the living. Each time one
// of them must be fenced off by the journal and end itself, and the books must agree.
func (a *Arena) TwoOwners(ctx context.Context) (err error) {
	site, err := a.prepare("two-owners", "HUANXIN_SNAPSHOT_EVERY=2s")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Stop(), site.database(context.WithoutCancel(ctx), "stop")) }()
	if err := site.databaseOutside(ctx); err != nil {
		return err
	}
	c, err := newCluster(filepath.Join(site.Dir, "cluster"))
	if err != nil {
		return err
	}
	defer c.close()
	site.Cluster = c.server.ClientURL()
	site.Settings = append(site.Settings, "HUANXIN_JOURNAL_URL="+site.Cluster)
	o, err := newOwners(site)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	if err := a.frighten(ctx, site); err != nil {
		return err
	}
	plan := Plan{Mix: wholeDay, Wallet: part, Unfriendly: impudence}
	return a.trouble(ctx, site, "two-owners", plan, anything, func() error {
		for round := 1; round <= ownerRounds; round++ {
			for _, one := range []struct {
				name string
				play func() error
			}{
				{"frozen, another takes over, terminals before the first when it comes back", func() error { return o.comeBack(ctx, false) }},
				{"frozen, another takes over and serves, the first comes back", func() error { return o.comeBack(ctx, true) }},
				{"another is started beside the living", func() error { return o.beside(ctx) }},
			} {
				if err := o.played(ctx, one.name, one.play); err != nil {
					return fmt.Errorf("%s: %w", one.name, err)
				}
			}
		}
		return nil
	})
}

// ownerRounds is how often TwoOwners plays everything: twice, so that each of the two has been both.
const ownerRounds = 2

// played plays one encounter, after which terminals must have sold and one of the two must have been fenced off.
func (o *owners) played(ctx context.Context, name string, play func() error) error {
	before, err := o.site.book()
	if err != nil {
		return err
	}
	cuts, lost := o.cuts, o.lost
	if err := play(); err != nil {
		return err
	}
	met, err := o.site.book()
	if err != nil {
		return err
	}
	if err := wait(ctx, killRound); err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, feltLimit)
	defer cancel()
	return o.site.Serve.Await(limit, "sales after "+name, func(context.Context) error {
		after, err := o.site.book()
		switch {
		case err != nil:
			return err
		case len(after.Sales) == len(met.Sales):
			return errors.New("no sale since")
		case o.cuts+o.lost != cuts+lost+1:
			return fmt.Errorf("%d were fenced off", o.cuts-cuts)
		}
		how := "fenced off"
		if o.lost > lost {
			how = "frozen in an append, ended"
		}
		o.site.say("  %-76s %s; owners %d → %d, %d sales, %d payments cut off", name, how, before.Seen.Owners, after.Seen.Owners,
			len(after.Sales)-len(before.Sales), after.Seen.Restarted-before.Seen.Restarted)
		return nil
	})
}
