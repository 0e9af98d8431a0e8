package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"huanxin/internal/bench/client"
	"huanxin/internal/bench/graph"
)

// Graphs measures how the switch and the limit behave over offered load, connections and state, and draws what it finds
// into folder.
func (b *Bench) Graphs(ctx context.Context, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	b.scenario = "graphs"
	for _, sweep := range []func(context.Context) (map[string]*graph.Graph, error){
		b.sweepConnections, b.sweepLoad, b.sweepState,
	} {
		graphs, err := sweep(ctx)
		if err != nil {
			return err
		}
		for name, g := range graphs {
			if err := draw(filepath.Join(folder, name+".svg"), g); err != nil {
				return err
			}
		}
	}
	return nil
}

func draw(name string, g *graph.Graph) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return g.Write(f)
}

// sweepTime is how long one point is measured.
const sweepTime = 4 * time.Second

// sweepConnections is the closed loop with one request in flight on each connection.
func (b *Bench) sweepConnections(ctx context.Context) (map[string]*graph.Graph, error) {
	throughput := &graph.Graph{
		Title: "Reserves a second over connections, one in flight on each",
		X:     graph.Axis{Label: "connections", Log: true}, Y: graph.Axis{Label: "answers/s", Log: true},
	}
	latency := &graph.Graph{
		Title: "Latency over connections, one in flight on each",
		X:     graph.Axis{Label: "connections", Log: true}, Y: graph.Axis{Label: "ms", Log: true},
	}
	lasts := b.Lasts(sweepTime)
	var ours, limit, p50, p99 graph.Series
	ours.Name, limit.Name, p50.Name, p99.Name = "switch", "limit: echo after a shared sync", "switch p50", "switch p99"
	for _, n := range []int{1, 4, 16, 64, 256, 1024} {
		s := shape{connections: n, inFlight: 1, warmUp: time.Second, lasts: lasts, persons: enough(b, pipelinedRate)}
		run, err := b.sweepRound(ctx, s)
		if err != nil {
			return nil, err
		}
		x := float64(n)
		ours.Points = append(ours.Points, graph.Point{X: x, Y: run.PerSecond()})
		p50.Points = append(p50.Points, graph.Point{X: x, Y: inMillis(run.Latencies.Percentile(500))})
		p99.Points = append(p99.Points, graph.Point{X: x, Y: inMillis(run.Latencies.Percentile(990))})
		if run, err = b.limitRound(ctx, s); err != nil {
			return nil, err
		}
		limit.Points = append(limit.Points, graph.Point{X: x, Y: run.PerSecond()})
		b.Say("  %d connections: %.0f/s, limit %.0f/s", n, ours.Points[len(ours.Points)-1].Y, run.PerSecond())
	}
	throughput.Series, latency.Series = []graph.Series{ours, limit}, []graph.Series{p50, p99}
	return map[string]*graph.Graph{"throughput-connections": throughput, "latency-connections": latency}, nil
}

// sweepLoad is the open loop at parts of what the closed one reaches with 64 connections.
func (b *Bench) sweepLoad(ctx context.Context) (map[string]*graph.Graph, error) {
	full, err := b.pingpongs(ctx, 1)
	if err != nil {
		return nil, err
	}
	g := &graph.Graph{
		Title: "Latency over offered load, 64 connections, open loop",
		X:     graph.Axis{Label: "offered reserves/s"}, Y: graph.Axis{Label: "ms", Log: true},
	}
	series := []graph.Series{{Name: "p50"}, {Name: "p99"}, {Name: "p99.9"}}
	lasts := b.Lasts(sweepTime)
	from, err := b.Seeded(ctx, enough(b, waitingRate))
	if err != nil {
		return nil, err
	}
	for _, part := range []float64{0.05, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9} {
		rate := full.Median() * part
		run, err := b.offered(ctx, from, rate, lasts)
		if err != nil {
			return nil, err
		}
		for i, per := range []int{500, 990, 999} {
			series[i].Points = append(series[i].Points, graph.Point{X: rate, Y: inMillis(run.Latencies.Percentile(per))})
		}
		b.Say("  %.0f/s offered: p50 %s, p99 %s", rate, millis(run.Latencies.Percentile(500)), millis(run.Latencies.Percentile(990)))
	}
	g.Series = series
	return map[string]*graph.Graph{"latency-load": g}, nil
}

// offered is one open loop on a fresh copy of the state.
func (b *Bench) offered(ctx context.Context, from string, rate float64, lasts time.Duration) (*client.OpenRun, error) {
	site, err := b.open(ctx, from, "load")
	if err != nil {
		return nil, err
	}
	defer site.Discard()
	script, err := b.openReserves(enough(b, waitingRate))
	if err != nil {
		return nil, err
	}
	return b.openLoop(site, script, rate, time.Second, lasts).Run(ctx)
}

// sweepState is pingpong over the number of persons in the state.
func (b *Bench) sweepState(ctx context.Context) (map[string]*graph.Graph, error) {
	throughput := &graph.Graph{
		Title: "Reserves a second over persons in the state, 64 connections",
		X:     graph.Axis{Label: "persons", Log: true}, Y: graph.Axis{Label: "answers/s"},
	}
	latency := &graph.Graph{
		Title: "Latency over persons in the state, 64 connections",
		X:     graph.Axis{Label: "persons", Log: true}, Y: graph.Axis{Label: "ms", Log: true},
	}
	var ours, p50, p99 graph.Series
	ours.Name, p50.Name, p99.Name = "switch", "p50", "p99"
	for _, persons := range []int{200_000, 500_000, 1_000_000, 2_000_000, 4_000_000} {
		persons = b.Scale(persons)
		s := shape{connections: 64, inFlight: 1, warmUp: time.Second, lasts: b.Lasts(sweepTime), persons: persons}
		run, err := b.sweepRound(ctx, s)
		if err != nil {
			return nil, err
		}
		x := float64(persons)
		ours.Points = append(ours.Points, graph.Point{X: x, Y: run.PerSecond()})
		p50.Points = append(p50.Points, graph.Point{X: x, Y: inMillis(run.Latencies.Percentile(500))})
		p99.Points = append(p99.Points, graph.Point{X: x, Y: inMillis(run.Latencies.Percentile(990))})
		b.Say("  %d persons: %.0f/s", persons, run.PerSecond())
	}
	throughput.Series, latency.Series = []graph.Series{ours}, []graph.Series{p50, p99}
	return map[string]*graph.Graph{"throughput-state": throughput, "latency-state": latency}, nil
}

// sweepRound measures the switch once in a shape, with the same checks as a scenario.
func (b *Bench) sweepRound(ctx context.Context, s shape) (*client.Run, error) {
	from, err := b.Seeded(ctx, s.persons)
	if err != nil {
		return nil, fmt.Errorf("prepare %d persons: %w", s.persons, err)
	}
	proof, err := b.newProof()
	if err != nil {
		return nil, err
	}
	return b.switchRound(ctx, s, from, proof)
}
