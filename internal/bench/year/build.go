package year

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"huanxin/risk/geo"
	"huanxin/switch/engine"
	"huanxin/switch/journal"
	"huanxin/switch/keys"
)

// host is the card network of a year, as the switch's configuration names it.
const host = "unionpay"

func engineConfig() (engine.Config, error) {
	province, err := geo.Load(geo.LiaoningGeoJSON)
	if err != nil {
		return engine.Config{}, err
	}
	return engine.Config{Map: province, Hosts: map[string]engine.HostProfile{host: {Timeout: 15 * time.Second}}}, nil
}

// stateVersion is the first number of a state; a snapshot of another one is not read.
func stateVersion() (uint64, error) {
	cfg, err := engineConfig()
	if err != nil {
		return 0, err
	}
	eng, err := engine.New(cfg)
	if err != nil {
		return 0, err
	}
	var state bytes.Buffer
	if err := eng.WriteState(&state); err != nil {
		return 0, err
	}
	return binary.ReadUvarint(&state)
}

// build makes a whole year in dir.
func build(ctx context.Context, cfg Config, files map[string][]byte, dir string) (_ *Manifest, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	set, err := keys.Create(filepath.Join(dir, "keys", "keys.yaml"), rand.Reader)
	if err != nil {
		return nil, err
	}
	vault, err := set.Vault(rand.Reader)
	if err != nil {
		return nil, err
	}
	w, err := newWorld(cfg, files)
	if err != nil {
		return nil, err
	}
	j, err := journal.Open(ctx, journal.Config{Programme: w.programme.ID, Dir: filepath.Join(dir, "journal")})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	engineCfg, err := engineConfig()
	if err != nil {
		return nil, err
	}
	eng, err := engine.New(engineCfg)
	if err != nil {
		return nil, err
	}

	p := newPlan(cfg, time.Now())
	people := newCrowd(set.Hasher(), vault)
	d := &driver{plan: p, world: w, eng: eng, journal: j, out: newWriter(ctx, j), say: cfg.Log, probe: cfg.Probe}
	defer d.out.stop()
	if err := d.begin(set.PersonKeyCheck(), files); err != nil {
		return nil, err
	}
	go people.run(ctx, p)
	done := 0
	for wave := range people.ready {
		if err := d.shop(wave); err != nil {
			return nil, err
		}
		done += len(wave.buyers)
		people.free <- wave
	}
	if err := errors.Join(ctx.Err(), people.check(done, p.purchases)); err != nil {
		return nil, err
	}
	end, err := d.finish()
	if err != nil {
		return nil, err
	}
	return &Manifest{
		Persons: cfg.Persons, Purchases: p.purchases, Refunds: d.refunds, Events: eng.Seq(), Batches: end.Position, Bytes: j.Size(),
		Snapshot: d.snapshot.Position, Tail: eng.Seq() - d.snapshot.Seq, Until: time.Unix(0, d.now).UTC(),
	}, nil
}

// writer appends what the driver has decided, one batch in flight while the next one fills, as the switch does.
type writer struct {
	draft    *journal.Draft
	in       chan *journal.Draft
	free     chan *journal.Draft
	appended chan struct{} // closed when the last batch is in
	last     journal.Mark
	err      error
	stopped  bool
}

// batchBytes is where the switch's own loop cuts a batch.
const batchBytes = 1 << 20

func newWriter(ctx context.Context, j *journal.Journal) *writer {
	w := &writer{draft: new(journal.Draft), in: make(chan *journal.Draft), free: make(chan *journal.Draft, 3), appended: make(chan struct{})}
	w.free <- new(journal.Draft)
	w.free <- new(journal.Draft)
	go func() {
		defer close(w.appended)
		for d := range w.in {
			if w.err == nil {
				w.last, w.err = j.Append(ctx, d)
			}
			d.Reset()
			w.free <- d
		}
	}()
	return w
}

// add packs the events of one step.
func (w *writer) add(out engine.Output) error {
	if err := w.draft.Add(out.Events...); err != nil {
		return err
	}
	if w.draft.Size() < batchBytes {
		return nil
	}
	w.hand()
	return nil
}

func (w *writer) hand() {
	w.in <- w.draft
	w.draft = <-w.free
}

// sync waits until everything that was added is durable.
func (w *writer) sync() (journal.Mark, error) {
	if !w.draft.Empty() {
		w.hand()
	}
	// Both others are free only when nothing is in flight.
	a, b := <-w.free, <-w.free
	w.free <- a
	w.free <- b
	return w.last, w.err
}

func (w *writer) stop() {
	if !w.stopped {
		w.stopped = true
		close(w.in)
		<-w.appended
	}
}

var errRefused = errors.New("the engine has not decided as planned")

func refusedAs(what string, n int, out engine.Output) error {
	return fmt.Errorf("%w: %s of purchase %d: events %v, sends %v", errRefused, what, n, out.Events, out.Sends)
}
