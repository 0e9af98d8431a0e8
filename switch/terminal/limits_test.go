package terminal

import (
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/limit"
)

// limited lets each sender have two messages and each terminal one. The clock of the bench stands still.
func limited(exempt bool) func(*Config) {
	return func(c *Config) {
		if !exempt {
			c.Limits.Sources = limit.NewSources(nil)
		}
		c.Limits.Messages = limit.NewTable(limit.Rate{PerSecond: 1, Burst: 2}, 64)
		c.Limits.Terminals = limit.NewTable(limit.Rate{PerSecond: 1, Burst: 1}, 64)
	}
}

func TestMessagesBeyondALimitAreAnsweredAtOnceAndCounted(t *testing.T) {
	b := newBench(t, limited(false))
	require.Equal(t, "00", b.ask(sale)[39])
	require.Equal(t, "96", b.ask(sale)[39], "the terminal has had its own")
	require.Equal(t, 1.0, b.metric("huanxin_terminal_limited_total", "terminal"))
	require.Equal(t, "96", b.ask(sale.with(fields{41: "21010002"}))[39], "and the address what it may send, which the refused one counts for")
	require.Equal(t, 1.0, b.metric("huanxin_terminal_limited_total", "source"))
	require.Equal(t, 1, b.engine.count())
}

func TestTerminalsBehindOneAddressHaveTheirOwn(t *testing.T) {
	b := newBench(t, limited(false))
	require.Equal(t, "00", b.ask(sale)[39])
	require.Equal(t, "00", b.ask(sale.with(fields{41: "21010002"}))[39])
}

func TestExemptAddressesHaveNoLimits(t *testing.T) {
	b := newBench(t, limited(true))
	for range 5 {
		require.Equal(t, "00", b.ask(sale)[39])
	}
}
