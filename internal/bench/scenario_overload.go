package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"huanxin/internal/bench/client"
	"huanxin/internal/bench/seed"
	"huanxin/switch/stage"
)

// The shape of an overload: as many terminals as the switch may have requests pending, behind concentrators, so that what is too
// much waits in the switch and not before it.
const (
	overloadConnections = 256
	overloadSlots       = 64
	overloadTerminals   = overloadConnections * overloadSlots
)

// slowDisk makes the journal what is short, as behind a slow disk: so many decisions a sync. With large batches this machine's cores
// would be, and the load generator, which shares them, could not even offer twice as much.
const slowDisk = "HUANXIN_ENGINE_BATCH=32"

// overload is twice as many reserves as the switch can decide, with and without admission by the time in the queue.
func overload() Scenario {
	return Scenario{
		Name: "overload", What: "open loop at twice what the switch can do with 32 decisions a sync, 16 384 terminals on 256 connections",
		Run: func(ctx context.Context, b *Bench) (r Result, err error) {
			lasts := b.Lasts(10 * time.Second)
			persons := int((lasts + openWarmUp + time.Second).Seconds()) * waitingRate
			from, err := b.seeded(ctx, persons, overloadTerminals)
			if err != nil {
				return r, err
			}
			defer b.drop(from)
			o := overloads{Bench: b, from: from, persons: persons, lasts: lasts}
			if o.proof, err = b.newProof(); err != nil {
				return r, err
			}
			if o.full, err = o.capacity(ctx); err != nil {
				return r, fmt.Errorf("capacity: %w", err)
			}
			b.Say("  capacity: %s", number(o.full))
			without, err := o.round(ctx, "by length alone", &r,
				"HUANXIN_ENGINE_ADMISSION_TARGET=5s", "HUANXIN_ENGINE_ADMISSION_INTERVAL=5s", "HUANXIN_ENGINE_ADMISSION_PAYMENTS=5s")
			if err != nil {
				return r, fmt.Errorf("by length alone: %w", err)
			}
			with, err := o.round(ctx, "by queue time", &r)
			if err != nil {
				return r, fmt.Errorf("by queue time: %w", err)
			}
			r.Rows = append(r.Rows,
				Limit("p99 of admitted, from its sending", "ms", Of("by queue time", inMillis(with.Sent.Percentile(990))), 250),
				Reported("p99 of admitted", "ms", Of("by queue time", inMillis(with.Latencies.Percentile(990))),
					Of("by length alone", inMillis(without.Latencies.Percentile(990)))),
				Reported("p99 of declines", "ms", Of("by queue time", inMillis(with.Declines.Percentile(990))),
					Of("by length alone", inMillis(without.Declines.Percentile(990)))),
				Reported("admitted", "/s", Of("by queue time", float64(with.Latencies.Count())/lasts.Seconds()),
					Of("capacity", o.full)),
			)
			r.Note("%s", o.proof)
			return r, nil
		},
	}
}

// overloads is what its rounds have in common.
type overloads struct {
	*Bench
	from    string
	persons int
	lasts   time.Duration
	full    float64 // reserves a second that the switch can decide
	proof   *proof
}

func (o *overloads) script() (*client.Reserves, error) {
	return client.NewReserves(client.ReserveConfig{
		Codec: o.Codec, Slots: overloadTerminals, Persons: client.NewNumbers(0, uint64(o.persons)), Barcodes: seed.Programme{}.Barcodes(1),
		Declined: true,
	})
}

// capacity is a closed loop of a sixteenth of the terminals.
func (o *overloads) capacity(ctx context.Context) (float64, error) {
	site, err := o.open(ctx, o.from, "capacity", slowDisk)
	if err != nil {
		return 0, err
	}
	defer site.Discard()
	script, err := client.NewReserves(client.ReserveConfig{
		Codec: o.Codec, Slots: overloadTerminals / 16, Persons: client.NewNumbers(0, uint64(o.persons)), Barcodes: seed.Programme{}.Barcodes(1),
	})
	if err != nil {
		return 0, err
	}
	loop := client.Closed{
		Address: site.CUP, Connections: overloadConnections, InFlight: overloadSlots / 16, Script: script, WarmUp: time.Second,
		Duration: min(o.lasts, 5*time.Second),
	}
	run, err := loop.Run(ctx)
	if err != nil {
		return 0, err
	}
	return run.PerSecond(), nil
}

// round offers twice the capacity to a switch of its own.
func (o *overloads) round(ctx context.Context, name string, r *Result, settings ...string) (*client.OpenRun, error) {
	site, err := o.open(ctx, o.from, "overload", append(settings, slowDisk)...)
	if err != nil {
		return nil, err
	}
	defer site.Discard()
	script, err := o.script()
	if err != nil {
		return nil, err
	}
	loop := client.Open{
		Address: site.CUP, Connections: overloadConnections, InFlight: overloadSlots, Script: script, Rate: 2 * o.full,
		WarmUp: openWarmUp, Duration: o.lasts,
	}
	var run *client.OpenRun
	err = o.proof.watched(ctx, site, func() error {
		profiled, err := site.profile(ctx, openWarmUp, o.lasts)
		if err != nil {
			return err
		}
		run, err = loop.Run(ctx)
		return errors.Join(err, profiled())
	})
	if err != nil {
		return nil, err
	}
	stages, err := site.Stages(ctx)
	if err != nil {
		return nil, err
	}
	l, d := &run.Latencies, &run.Declines
	r.Note("%s: offered %s/s, twice %s; of %d asked %d found no terminal free; admitted %s/s with p50 %s, p99 %s, max %s, from their sending %s, %s, %s; declined %s %% with p50 %s, p99 %s, max %s; mean time in the queue %s",
		name, number(2*o.full), number(o.full), run.Asked, run.Waited, number(float64(l.Count())/o.lasts.Seconds()), millis(l.Percentile(500)), millis(l.Percentile(990)), millis(l.Max()),
		millis(run.Sent.Percentile(500)), millis(run.Sent.Percentile(990)), millis(run.Sent.Max()), number(100*float64(d.Count())/float64(max(1, l.Count()+d.Count()))), millis(d.Percentile(500)), millis(d.Percentile(990)), millis(d.Max()),
		millis(stages[stage.Queue]))
	site.Process().Kill()
	return run, o.proof.found(site.Dir, 0, script.Acks())
}
