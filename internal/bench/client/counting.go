package client

import (
	"context"
	"errors"
	"time"
)

// counting is what a closed loop does beside asking: it waits for the counted time and reads the counters at its
// beginning and its end.
type counting struct {
	warmUp, lasts time.Duration
	answered      func() uint64
	exhausted     <-chan struct{}
	failed        <-chan error
}

func (c *counting) run(ctx context.Context, run *Run) error {
	if err := c.wait(ctx, c.warmUp, run); err != nil {
		return err
	}
	if run.Exhausted {
		return errors.New("nothing was left to ask when the warm-up was over")
	}
	before, begun := c.answered(), time.Now()
	if err := c.wait(ctx, c.lasts, run); err != nil {
		return err
	}
	run.Answers, run.Elapsed = c.answered()-before, time.Since(begun)
	if run.Answers == 0 {
		return errors.New("not one answer in the counted time")
	}
	return nil
}

func (c *counting) wait(ctx context.Context, d time.Duration, run *Run) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.exhausted:
		run.Exhausted = true
		return nil
	case err := <-c.failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
