package client

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"huanxin/internal/simulator/load"
)

// Workers is the closed loop of a peer that brings its own client: Workers goroutines, each with one request in flight.
type Workers struct {
	Workers  int
	WarmUp   time.Duration
	Duration time.Duration
	// Ask sends the worker's next request and judges its answer. false: there is nothing more to ask.
	Ask func(ctx context.Context, worker int) (more bool, err error)
}

// worker is one goroutine's own; the padding keeps the counters of two apart.
type worker struct {
	latencies load.Latencies
	answers   atomic.Uint64
	_         [64]byte
}

// Run runs it, as Closed.Run does.
func (w *Workers) Run(ctx context.Context) (*Run, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := make([]worker, w.Workers)
	exhausted, failed := make(chan struct{}, 1), make(chan error, w.Workers)
	var stop atomic.Bool
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() {
			own := &workers[i]
			for !stop.Load() {
				begun := time.Now()
				more, err := w.Ask(ctx, i)
				if err != nil {
					failed <- err
					return
				}
				if !more {
					select {
					case exhausted <- struct{}{}:
					default:
					}
					return
				}
				own.latencies.Record(time.Since(begun))
				own.answers.Add(1)
			}
		})
	}
	run := &Run{}
	count := counting{w.WarmUp, w.Duration, func() (n uint64) {
		for i := range workers {
			n += workers[i].answers.Load()
		}
		return n
	}, exhausted, failed}
	err := count.run(ctx, run)
	stop.Store(true)
	if err != nil {
		cancel()
	}
	all.Wait()
	close(failed)
	if err == nil {
		err = <-failed
	}
	if err != nil {
		return nil, err
	}
	for i := range workers {
		run.All += workers[i].answers.Load()
		run.Latencies.Merge(&workers[i].latencies)
	}
	return run, nil
}
