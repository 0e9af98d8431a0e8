package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"huanxin/internal/bench/client"
	"huanxin/internal/bench/seed"
	"huanxin/switch/stage"
)

// shape is how a closed loop loads its server.
type shape struct {
	connections, inFlight int
	short                 bool // a connection for each message
	warmUp, lasts         time.Duration
	persons               int // enough for a round
}

func (s shape) slots() int { return s.connections * s.inFlight }

// terminals is how many every seeded state has: as many as the widest shape has slots.
const terminals = 1024

// reserves lets a client make reserves at address in this shape.
func (b *Bench) reserves(ctx context.Context, s shape, address string, echo bool) (*client.Run, *client.Reserves, error) {
	script, err := client.NewReserves(client.ReserveConfig{
		Codec: b.Codec, Slots: s.slots(), Persons: client.NewNumbers(0, uint64(s.persons)),
		Barcodes: seed.Programme{}.Barcodes(1), Echo: echo,
	})
	if err != nil {
		return nil, nil, err
	}
	run, err := s.load(ctx, address, script)
	return run, script, err
}

// Seeded is a state with persons who show codes. It is made once for all scenarios of a run and placed anew for each
// round, so that every round begins alike.
func (b *Bench) Seeded(ctx context.Context, persons int) (dir string, err error) {
	dir = filepath.Join(b.Dir, fmt.Sprintf("seed-%d", persons))
	done := filepath.Join(dir, "done")
	if info, err := os.Stat(done); err == nil && time.Since(info.ModTime()) < seedLife {
		return dir, nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	b.Say("  preparing %d persons", persons)
	args := []string{"seed", "--dir", dir, "--persons", fmt.Sprint(persons), "--terminals", fmt.Sprint(terminals)}
	if err := b.prepare(ctx, "seed", args, startLimit); err != nil {
		return "", err
	}
	return dir, os.WriteFile(done, nil, 0o644)
}

// seedLife is how long a prepared state may be used again: its codes live for a day.
const seedLife = 12 * time.Hour

// switchRound measures the switch once, on a fresh copy of the state, and looks up afterwards what it has acknowledged.
// The switch is killed at the end: what it has answered must have been on disk by then.
func (b *Bench) switchRound(ctx context.Context, s shape, from string, proof *proof) (run *client.Run, err error) {
	site, err := b.open(ctx, from, "switch")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, site.Discard()) }()
	if err := site.Quiet(ctx); err != nil {
		return nil, err
	}
	syncs, err := proof.begin()
	if err != nil {
		return nil, err
	}
	batches, err := site.Batches(ctx)
	if err != nil {
		return nil, err
	}
	profiled, err := site.profile(ctx, s.warmUp, s.lasts)
	if err != nil {
		return nil, err
	}
	began, err := cpuTime(site.PID())
	if err != nil {
		return nil, err
	}
	run, script, err := b.reserves(ctx, s, site.CUP, false)
	if err != nil {
		return nil, errors.Join(err, profiled())
	}
	ended, err := cpuTime(site.PID())
	if err != nil {
		return nil, err
	}
	proof.cpu += ended - began
	if err := profiled(); err != nil {
		return nil, err
	}
	now, err := site.Batches(ctx)
	if err != nil {
		return nil, err
	}
	if err := proof.add(now-batches, syncs); err != nil {
		return nil, err
	}
	if proof.stages, err = site.Stages(ctx); err != nil {
		return nil, err
	}
	site.Process().Kill()
	return run, proof.found(site.Dir, script.Acks())
}

// proof gathers what shows that every answer was durable: batches and syncs counted, acknowledged purchases found.
type proof struct {
	syncs        Syncs
	uncounted    error // why syncs cannot be counted on this machine
	rounds       int
	acknowledged int
	batches      uint64
	synced       uint64
	cpu          time.Duration                 // of the switch
	stages       map[stage.Stage]time.Duration // means of the last round
}

func (b *Bench) newProof() (*proof, error) {
	if err := os.MkdirAll(b.Dir, 0o755); err != nil {
		return nil, err
	}
	syncs, err := SyncsOf(b.Dir)
	if err != nil {
		b.Say("  syncs cannot be counted here: %v", err)
		return &proof{uncounted: err}, nil
	}
	return &proof{syncs: syncs}, nil
}

// begin is the count before a round.
func (p *proof) begin() (uint64, error) {
	if p.uncounted != nil {
		return 0, nil
	}
	return p.syncs.Count()
}

// add takes the batches of one round and holds them against what the device has flushed since it had flushed before.
func (p *proof) add(batches, before uint64) error {
	p.batches += batches
	if p.uncounted != nil {
		return nil
	}
	after, err := p.syncs.Count()
	if err != nil {
		return err
	}
	p.synced += after - before
	if after-before < batches {
		return fmt.Errorf("%d batches were appended and the disk saw %d %s: something was answered before it was durable",
			batches, after-before, p.syncs)
	}
	return nil
}

func (p *proof) found(dir string, acks []client.Ack) error {
	p.acknowledged += len(acks)
	p.rounds++
	_, _, err := Found(dir, acks)
	return err
}

func (p *proof) String() string {
	counted := fmt.Sprintf("%d batches, %d %s", p.batches, p.synced, p.syncs)
	if p.uncounted != nil {
		counted = fmt.Sprintf("%d batches; syncs could NOT be counted (%v)", p.batches, p.uncounted)
	}
	return fmt.Sprintf("synced before the answer: %s; all %d purchases acknowledged in %d rounds found in the journal after kill -9%s",
		counted, p.acknowledged, p.rounds, p.each())
}

// way says where the time of a message went in the last round.
func (p *proof) way() string {
	var parts []string
	for st := stage.Read; st <= stage.Reply; st++ {
		parts = append(parts, fmt.Sprintf("%s %.0f µs", st, p.stages[st].Seconds()*1e6))
	}
	return "means of the stages: " + strings.Join(parts, ", ")
}

// each is the processor time of an answer, where it was taken.
func (p *proof) each() string {
	if p.cpu == 0 {
		return ""
	}
	return fmt.Sprintf("; %.1f µs of processor time of the switch each", p.cpu.Seconds()*1e6/float64(max(1, p.acknowledged)))
}
