package bench

import (
	"context"
	"time"

	"huanxin/internal/bench/client"
)

// shortconn is how most terminals really work.
func shortconn() Scenario {
	return Scenario{
		Name: "shortconn", What: "64 terminals, each connects, sends one reserve, reads the answer, closes",
		Run: func(ctx context.Context, b *Bench) (Result, error) {
			s := shape{
				connections: 64, inFlight: 1, short: true, warmUp: time.Second, lasts: b.Lasts(5 * time.Second), persons: enough(b, waitingRate),
			}
			t, err := b.throughput(ctx, s)
			if err != nil {
				return Result{}, err
			}
			r := Result{Rows: []Row{AtLeast("throughput", "/s", t.ours, t.limit, 0.5)}}
			t.note(&r)
			return r, nil
		},
	}
}

// load drives a line with the script in the shape's way.
func (s shape) load(ctx context.Context, line guarded, script client.Script) (*client.Run, error) {
	if s.short {
		short := client.NewShort(line.address, script, s.slots())
		return (&client.Workers{Workers: s.slots(), WarmUp: s.warmUp, Duration: s.lasts, Ask: short.Ask}).Run(ctx)
	}
	return (&client.Closed{
		Address: line.address, TLS: line.tls, Connections: s.connections, InFlight: s.inFlight, Script: script, WarmUp: s.warmUp, Duration: s.lasts,
	}).Run(ctx)
}
