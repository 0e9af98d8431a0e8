package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"huanxin/internal/bench/client"
	"huanxin/internal/process"
)

const (
	crowdIdle      = 10_000
	crowdLoris     = 400
	crowdHTTPLoris = 100
)

// besideCrowd is an honest load beside ten thousand connections that say nothing and some that never come to an end.
func besideCrowd() Scenario {
	return Scenario{
		Name: "crowd", What: "open-loop reserves at a quarter of pingpong, alone and beside 10 000 idle connections and 500 slow-lorises",
		Run: func(ctx context.Context, b *Bench) (r Result, err error) {
			lasts := b.Lasts(25 * time.Second)
			full, err := b.pingpongs(ctx, 2)
			if err != nil {
				return r, fmt.Errorf("pingpong: %w", err)
			}
			offered := full.Median() / 4
			persons := int(2 * offered * (lasts + openWarmUp + time.Second).Seconds())
			from, err := b.Seeded(ctx, persons)
			if err != nil {
				return r, err
			}
			defer b.drop(from)
			// So many on one port, and no more descriptors than a system may allow.
			site, err := b.open(ctx, from, "crowd", fmt.Sprintf("HUANXIN_LISTENERS_CUP_CONNECTIONS=%d", crowdIdle+2000),
				"HUANXIN_LISTENERS_NAC_CONNECTIONS=256", "HUANXIN_LISTENERS_SECURE_CONNECTIONS=256", "HUANXIN_LISTENERS_SM_CONNECTIONS=256")
			if err != nil {
				return r, err
			}
			defer func() { err = errors.Join(err, site.Discard()) }()
			script, err := b.openReserves(persons)
			if err != nil {
				return r, err
			}
			if err := site.Quiet(ctx); err != nil {
				return r, err
			}
			alone, err := b.openLoop(site, script, offered, openWarmUp, lasts).Run(ctx)
			if err != nil {
				return r, fmt.Errorf("alone: %w", err)
			}
			beside, err := b.crowded(ctx, site, script, offered, lasts, &r)
			if err != nil {
				return r, err
			}
			site.Process().Kill()
			proof, err := b.newProof()
			if err != nil {
				return r, err
			}
			if err := proof.found(site.Dir, 0, script.Acks()); err != nil {
				return r, err
			}
			for name, run := range map[string]*client.OpenRun{"alone": alone, "beside the crowd": beside} {
				l := &run.Latencies
				r.Note("%s: offered %s/s, p50 %s, p99 %s, p99.9 %s, max %s", name, number(offered), millis(l.Percentile(500)), millis(l.Percentile(990)),
					millis(l.Percentile(999)), millis(l.Max()))
			}
			r.Rows = append(r.Rows, AtMost("p99", "ms", Of("beside the crowd", inMillis(beside.Latencies.Percentile(990))),
				Of("alone", inMillis(alone.Latencies.Percentile(990))), 2))
			return r, nil
		},
	}
}

// crowded lets the crowd come, weighs it, and loads the switch beside it. All who are silent must be let stay, and lorises be cut off.
func (b *Bench) crowded(ctx context.Context, site *Site, script client.Script, offered float64, lasts time.Duration, r *Result) (*client.OpenRun, error) {
	before, _, err := memory(site.PID())
	if err != nil {
		return nil, err
	}
	crowd, err := process.Start(b.Dir, "crowd-out", b.Program("simulator"), []string{
		"crowd", "--connect", site.CUP, "--idle", fmt.Sprint(crowdIdle), "--loris", fmt.Sprint(crowdLoris),
		"--http", site.HTTP, "--http-loris", fmt.Sprint(crowdHTTPLoris),
	}, nil)
	if err != nil {
		return nil, err
	}
	defer crowd.Kill()
	wait, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	said := func(word string) func(context.Context) error {
		return func(context.Context) error {
			text, err := os.ReadFile(crowd.Log())
			if err == nil && !strings.Contains(string(text), word) {
				err = errors.New("not yet")
			}
			return err
		}
	}
	if err := crowd.Await(wait, "the crowd to come", said("ready")); err != nil {
		return nil, err
	}
	after, _, err := memory(site.PID())
	if err != nil {
		return nil, err
	}
	r.Rows = append(r.Rows, Limit("resident memory of an idle connection", "KB", Of("switch", float64(after-before)/(crowdIdle+crowdLoris)/1024), 32))
	run, err := b.openLoop(site, script, offered, openWarmUp, lasts).Run(ctx)
	if err != nil {
		return nil, fmt.Errorf("beside the crowd: %w", err)
	}
	if err := crowd.Signal(syscall.SIGTERM); err != nil {
		return nil, err
	}
	if err := crowd.Finish(stopLimit); err != nil {
		return nil, err
	}
	var idle, cut int
	text, err := os.ReadFile(crowd.Log())
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Sscanf(string(text[strings.LastIndex(string(text), "空闲"):]), "空闲 idle %d 被切断 cut %d", &idle, &cut); err != nil {
		return nil, fmt.Errorf("what the crowd has said: %w", err)
	}
	if idle != crowdIdle {
		return nil, fmt.Errorf("%d of %d idle connections were closed", crowdIdle-idle, crowdIdle)
	}
	if cut == 0 {
		return nil, errors.New("no loris was cut off")
	}
	slow, err := site.Figure(ctx, "huanxin_wire_closes_total", "cause", "slow", "port", "cup")
	if err != nil {
		return nil, err
	}
	r.Note("all %d idle connections were let stay; lorises were cut off %d times, %s of them on the terminals' port", idle, cut, number(slow))
	return run, nil
}
