package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"huanxin/internal/bench/client"
	"huanxin/internal/bench/seed"
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

// reserves lets a client make reserves at a line in this shape.
func (b *Bench) reserves(ctx context.Context, s shape, line guarded, echo bool) (*client.Run, *client.Reserves, error) {
	script, err := client.NewReserves(client.ReserveConfig{
		Codec: b.Codec, Slots: s.slots(), Persons: client.NewNumbers(0, uint64(s.persons)),
		Barcodes: seed.Programme{}.Barcodes(1), Echo: echo, Pads: line.pads,
	})
	if err != nil {
		return nil, nil, err
	}
	run, err := s.load(ctx, line, script)
	return run, script, err
}

// Seeded is a state with persons who show codes. It is made once for all scenarios of a run and placed anew for each
// round, so that every round begins alike.
func (b *Bench) Seeded(ctx context.Context, persons int) (dir string, err error) {
	return b.seeded(ctx, persons, terminals)
}

func (b *Bench) seeded(ctx context.Context, persons, terminals int) (dir string, err error) {
	dir = filepath.Join(b.Dir, fmt.Sprintf("seed-%d-%d", persons, terminals))
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

// switchRound measures the switch once, on a fresh copy of the state. It is killed at the end, and what it has acknowledged
// is looked up.
func (b *Bench) switchRound(ctx context.Context, s shape, from string, proof *proof) (run *client.Run, err error) {
	return b.lineRound(ctx, s, from, lineSecurity{}, proof)
}

// lineRound is switchRound over a line with security.
func (b *Bench) lineRound(ctx context.Context, s shape, from string, l lineSecurity, proof *proof) (run *client.Run, err error) {
	site, line, err := b.openLine(ctx, from, l, s.slots())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, site.Discard()) }()
	if err := site.Quiet(ctx); err != nil {
		return nil, err
	}
	var script *client.Reserves
	err = proof.watched(ctx, site, func() error {
		profiled, err := site.profile(ctx, s.warmUp, s.lasts)
		if err != nil {
			return err
		}
		used := [2]*time.Duration{&proof.cpu, &proof.client}
		for i, pid := range []int{site.PID(), os.Getpid()} {
			began, err := cpuTime(pid)
			if err != nil {
				return err
			}
			*used[i] -= began
		}
		if run, script, err = b.reserves(ctx, s, line, false); err != nil {
			return errors.Join(err, profiled())
		}
		for i, pid := range []int{site.PID(), os.Getpid()} {
			ended, err := cpuTime(pid)
			if err != nil {
				return err
			}
			*used[i] += ended
		}
		return profiled()
	})
	if err != nil {
		return nil, err
	}
	if err := proof.lag(ctx, site); err != nil {
		return nil, err
	}
	if proof.stages, err = site.Stages(ctx); err != nil {
		return nil, err
	}
	site.Process().Kill()
	return run, proof.found(site.Dir, 0, script.Acks())
}
