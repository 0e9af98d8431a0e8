package main

import (
	"net/netip"

	"huanxin/config"
	"huanxin/switch/gateway"
	"huanxin/switch/limit"
	"huanxin/switch/terminal"
	"huanxin/switch/wire"
)

// limits are what one sender may have of the terminals' ports and of HTTP.
type limits struct {
	terminals terminal.Limits
	http      gateway.Limits
}

// newLimits makes the tables, which have their full size from the beginning. The configuration is checked.
func newLimits(c config.Limits) limits {
	var exempt []netip.Prefix
	for _, text := range c.Exempt {
		exempt = append(exempt, netip.MustParsePrefix(text))
	}
	sources := limit.NewSources(exempt)
	table := func(perSecond int) *limit.Table {
		return limit.NewTable(limit.Rate{PerSecond: perSecond, Burst: perSecond * c.BurstSeconds}, c.Keys)
	}
	return limits{
		terminals: terminal.Limits{
			Limits:   wire.Limits{Sources: sources, Open: limit.NewHolders(c.SourceConnections), Opened: table(c.SourceConnects)},
			Messages: table(c.SourceRate), Terminals: table(c.TerminalRate),
		},
		http: gateway.Limits{
			Sources: sources, Open: limit.NewHolders(c.HTTPConnections), Requests: table(c.HTTPRate), Callers: table(c.CallerRate),
		},
	}
}
