package drill

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"huanxin/internal/process"
)

// rotations are what Keys does to the keys. A rotation of the master key writes its file, the store, and its file again.
var rotations = []struct {
	args   []string
	writes int
}{
	{[]string{"rotate", "card"}, 1},
	{[]string{"rotate", "lmk", "--second", "drill's other half"}, 3},
}

// randomKills is how often each rotation is killed at a random moment, and longestRotation within what time.
const (
	randomKills     = 4
	longestRotation = 400 * time.Millisecond
)

// Keys rotates keys under load with commands that are killed at each named point and at random moments. The same command must
// then go through; and the switch, which is killed now and then, must find its keys at the next start.
func (a *Arena) Keys(ctx context.Context) (err error) {
	site, err := a.frightened(ctx, "keys", 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Stop()) }()
	dice := a.dice(13)
	return a.trouble(ctx, site, "keys", Plan{Mix: wholeDay, Wallet: part, Unfriendly: impudence}, anything, func() error {
		for _, r := range rotations {
			before, err := site.book()
			if err != nil {
				return err
			}
			cut, through := 0, 0
			for n := 1; n <= r.writes; n++ {
				for _, place := range []string{"keys-written", "keys-named"} {
					if err := site.rotate(ctx, r.args, fmt.Sprintf("%s %d", place, n), 0); !killed(err) {
						return fmt.Errorf("%v was not killed at %s %d: %w", r.args, place, n, err)
					}
					cut++
					if err := site.rotate(ctx, r.args, "", 0); err != nil {
						return fmt.Errorf("after %s %d: %w", place, n, err)
					}
					through++
				}
			}
			for range randomKills {
				after := time.Duration(1 + dice.Int64N(int64(longestRotation)))
				switch err := site.rotate(ctx, r.args, "", after); {
				case killed(err):
					cut++
				case err != nil:
					return err
				default:
					through++
				}
			}
			if err := site.rotate(ctx, r.args, "", 0); err != nil {
				return fmt.Errorf("after kills at random: %w", err)
			}
			through++
			if err := kill(site.Serve); err != nil {
				return err
			}
			if err := site.StartServe(ctx); err != nil {
				return err
			}
			if err := site.rotated(ctx, before, through); err != nil {
				return err
			}
			site.say("  %v cut off %d times, gone through %d times; the switch, killed, has found its keys", r.args[:2], cut, through)
		}
		return nil
	})
}

// rotated waits until the switch has recorded as many acts as rotations went through at least, and has sold since.
func (s *Site) rotated(ctx context.Context, before *Book, through int) error {
	ctx, cancel := context.WithTimeout(ctx, feltLimit)
	defer cancel()
	return s.Serve.Await(ctx, "the acts on the keys in the journal", func(context.Context) error {
		after, err := s.book()
		if err != nil {
			return err
		}
		if acts, sold := after.Seen.KeyActs-before.Seen.KeyActs, len(after.Sales)-len(before.Sales); acts < through || sold == 0 {
			return fmt.Errorf("%d acts of %d rotations, %d sales", acts, through, sold)
		}
		return nil
	})
}

// rotate runs `huanxin keys`, which kills itself at point or is killed after a while, where they are given.
func (s *Site) rotate(ctx context.Context, args []string, point string, after time.Duration) error {
	args = append(append([]string{"keys"}, args...), "--by", "drill", "--reason", "drill")
	env := append(s.environment(), "HUANXIN_DRILL_CRASH_AT="+point)
	if after == 0 {
		_, err := process.Run(ctx, s.program("huanxin"), args, env)
		return err
	}
	p, err := process.Start(s.Dir, "keys", s.program("huanxin"), args, env)
	if err != nil {
		return err
	}
	if err := wait(ctx, after); err != nil {
		p.Kill()
		return err
	}
	_ = p.Signal(syscall.SIGKILL) // it may have ended by then
	return p.Finish(stopLimit)
}
