package wire

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/switch/limit"
)

// The pipes have no address of the internet, so all of them are one sender.
func TestSenderWithTooManyConnectionsIsClosedAtOnceAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, &echo{}, func(c *Config) {
			c.Limits = Limits{Sources: limit.NewSources(nil), Open: limit.NewHolders(2)}
		})
		one, two := p.pipes.dial(), p.pipes.dial()
		requireEnd(t, p.pipes.dial())
		require.Equal(t, 1.0, p.count("huanxin_wire_connections_limited_total"))
		ask(t, one, "a")
		ask(t, two, "b")
		require.NoError(t, one.Close())
		synctest.Wait()
		ask(t, p.pipes.dial(), "room again")
	})
}

func TestSenderThatConnectsTooOftenIsClosedAtOnceAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, &echo{}, func(c *Config) {
			c.Limits = Limits{Sources: limit.NewSources(nil), Opened: limit.NewTable(limit.Rate{PerSecond: 1, Burst: 2}, 64)}
		})
		for range 2 {
			ask(t, p.pipes.dial(), "a")
		}
		requireEnd(t, p.pipes.dial())
		require.Equal(t, 1.0, p.count("huanxin_wire_connections_limited_total"))
		time.Sleep(time.Second)
		ask(t, p.pipes.dial(), "a second later")
	})
}

// A slow-loris sends a byte a second. What it holds is given back when the frame's time is over, whatever it sends, and it costs the
// others nothing.
func TestSlowLorisEndsWithItsFrameAndHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, &echo{}, func(c *Config) {
			c.FrameTimeout, c.Turns = 10*time.Second, NewTurns(1)
		})
		const lorises = 100
		ended := make(chan time.Duration, lorises)
		begun := time.Now()
		for range lorises {
			c := p.pipes.dial()
			go func() {
				for _, b := range raw2(make([]byte, 60)) {
					if _, err := c.Write([]byte{b}); err != nil {
						break
					}
					time.Sleep(time.Second)
				}
				ended <- time.Since(begun)
			}()
		}
		for range 9 {
			time.Sleep(time.Second)
			ask(t, p.pipes.dial(), "honest")
		}
		for range lorises {
			require.LessOrEqual(t, <-ended, 11*time.Second)
		}
		require.Equal(t, float64(lorises), p.count("huanxin_wire_closes_total", "slow"))
	})
}
