package bench

import (
	"context"
	"fmt"
	"time"

	"huanxin/internal/bench/client"
	"huanxin/internal/bench/redis"
)

// pingpong is how terminals behave that keep their line: many connections, one request in flight on each.
func pingpong() Scenario {
	return Scenario{
		Name: "pingpong", What: "64 long connections, one reserve in flight on each",
		Run: func(ctx context.Context, b *Bench) (Result, error) {
			s := shape{connections: 64, inFlight: 1, warmUp: time.Second, lasts: b.Lasts(5 * time.Second), persons: enough(b, waitingRate)}
			t, err := b.throughput(ctx, s, naivePeer, redisPeer)
			if err != nil {
				return Result{}, err
			}
			r := Result{Rows: []Row{
				AtLeast("throughput", "/s", t.ours, t.limit, 0.5), AtLeast("throughput", "/s", t.ours, t.naive, 6), t.redisRow(0),
			}}
			t.note(&r)
			return r, nil
		},
	}
}

// pipelined is how concentrators behave: few connections with many requests in flight.
func pipelined() Scenario {
	return Scenario{
		Name: "pipelined", What: "16 connections, 64 reserves in flight on each",
		Run: func(ctx context.Context, b *Bench) (Result, error) {
			s := shape{connections: 16, inFlight: 64, warmUp: time.Second, lasts: b.Lasts(5 * time.Second), persons: enough(b, pipelinedRate)}
			t, err := b.throughput(ctx, s, naivePeer, redisPeer)
			if err != nil {
				return Result{}, err
			}
			r := Result{Rows: []Row{
				AtLeast("throughput", "/s", t.ours, t.limit, 0.2), AtLeast("throughput", "/s", t.ours, t.naive, 20), t.redisRow(1.5),
			}}
			t.note(&r)
			return r, nil
		},
	}
}

// enough persons for one round at rates that the switch is not going to reach: those of connections that wait for each
// answer, and those of full pipelines. Should it reach them, the figure is over the time until nobody is left.
func enough(b *Bench, rate int) int { return int(b.Lasts(5*time.Second).Seconds()+2) * rate }

const (
	waitingRate   = 60_000
	pipelinedRate = 200_000
)

// throughputs are the figures of one shape.
type throughputs struct {
	ours, limit, naive, redis Series
	noRedis                   error // why there is none
	last                      map[string]*client.Run
	proof                     *proof
}

// Peers beside the limit.
const (
	naivePeer = "naive"
	redisPeer = "redis"
)

// throughput measures the switch, the limit and the named peers in one shape.
func (b *Bench) throughput(ctx context.Context, s shape, peers ...string) (*throughputs, error) {
	from, err := b.Seeded(ctx, s.persons)
	if err != nil {
		return nil, err
	}
	t := &throughputs{last: map[string]*client.Run{}}
	if t.proof, err = b.newProof(); err != nil {
		return nil, err
	}
	contender := func(name string, round func(context.Context) (*client.Run, error)) Contender {
		return Contender{name, func(ctx context.Context, _ int) (float64, error) {
			run, err := round(ctx)
			if err != nil {
				return 0, err
			}
			t.last[name] = run
			return run.PerSecond(), nil
		}}
	}
	rounds := map[string]func(context.Context) (*client.Run, error){
		"switch":  func(ctx context.Context) (*client.Run, error) { return b.switchRound(ctx, s, from, t.proof) },
		"limit":   func(ctx context.Context) (*client.Run, error) { return b.limitRound(ctx, s) },
		naivePeer: func(ctx context.Context) (*client.Run, error) { return b.naiveRound(ctx, s) },
		redisPeer: func(ctx context.Context) (*client.Run, error) { return b.redisRound(ctx, s) },
	}
	contenders := []Contender{contender("switch", rounds["switch"]), contender("limit", rounds["limit"])}
	for _, name := range peers {
		if name == redisPeer {
			if _, t.noRedis = redis.Ensure(ctx, b.Log); t.noRedis != nil {
				b.Say("  no redis: %v", t.noRedis)
				continue
			}
		}
		contenders = append(contenders, contender(name, rounds[name]))
	}
	list, err := b.Alternate(ctx, b.Repeats(5), contenders...)
	if err != nil {
		return nil, err
	}
	for _, series := range list {
		*map[string]*Series{"switch": &t.ours, "limit": &t.limit, naivePeer: &t.naive, redisPeer: &t.redis}[series.Name] = series
	}
	return t, nil
}

// redisRow compares with Redis; a target of 0 is none.
func (t *throughputs) redisRow(want float64) Row {
	switch {
	case t.noRedis != nil && want > 0:
		return Missing("throughput", "/s", t.ours, "redis (not installed)", "≥ "+number(want)+" ×")
	case t.noRedis != nil:
		return Missing("throughput", "/s", t.ours, "redis (not installed)", "reported")
	case want == 0:
		return Reported("throughput", "/s", t.ours, t.redis)
	}
	return AtLeast("throughput", "/s", t.ours, t.redis, want)
}

// note writes down spreads, tails and the proof.
func (t *throughputs) note(r *Result) {
	for _, s := range []Series{t.ours, t.limit, t.naive, t.redis} {
		if len(s.Values) == 0 {
			continue
		}
		run := t.last[s.Name]
		r.Note("%s; last round %s", s, tails(run))
	}
	r.Note("%s", t.proof)
	r.Note("%s", t.proof.way())
}

// tails are the latencies of a run, for notes.
func tails(run *client.Run) string {
	l := &run.Latencies
	return fmt.Sprintf("p50 %s, p99 %s, p99.9 %s, max %s", millis(l.Percentile(500)), millis(l.Percentile(990)), millis(l.Percentile(999)),
		millis(l.Max()))
}

// millis prints a time in milliseconds.
func millis(d time.Duration) string { return number(float64(d)/float64(time.Millisecond)) + " ms" }
