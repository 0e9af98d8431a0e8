package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"huanxin/switch/iso8583"
)

// Scenario is one thing that is measured. Its rows need not name it.
type Scenario struct {
	Name string
	What string // one line for people
	Run  func(ctx context.Context, b *Bench) (Result, error)
}

// Scenarios are all of them, in the order of a whole run.
func Scenarios() []Scenario {
	return []Scenario{
		codec(),
		decide(),
		pingpong(),
		pipelined(),
		securedPingpong(),
		securedPipelined(),
		hosted(),
		shortconn(),
		latency(),
		claimRush(),
		overload(),
		besideCrowd(),
		scale(),
		recovery(),
		projected(),
	}
}

// Bench is one run of the instrument.
type Bench struct {
	// Programs is the folder of huanxin, simulator and bench.
	Programs string
	// Dir is where everything that is written lies: states, logs, keys. It is removed scenario by scenario.
	Dir string
	// Duration replaces the time of one measurement, Rounds how often each contender runs; 0 = the scenario's own.
	Duration time.Duration
	Rounds   int
	// Part makes states smaller than the scenario's own, to try it out; 0 = 1 = all. The targets are those of all.
	Part float64
	// Log takes one line about whatever is being done.
	Log io.Writer
	// Keep leaves the states of scenarios in Dir.
	Keep bool
	// Codec is of the dialect cup.
	Codec *iso8583.Codec
	// Profile is a folder for CPU profiles of the switch; empty: none.
	Profile string

	scenario string // that runs
}

// Say writes one line about what is being done.
func (b *Bench) Say(format string, args ...any) { fmt.Fprintf(b.Log, format+"\n", args...) }

// Program is the path of one of the project's programs.
func (b *Bench) Program(name string) string { return filepath.Join(b.Programs, name) }

// Lasts is how long one measurement takes when the scenario would take own.
func (b *Bench) Lasts(own time.Duration) time.Duration {
	if b.Duration > 0 {
		return b.Duration
	}
	return own
}

// Scale is how large a state is to be when the scenario would take own: all of it, or Bench.Part of it.
func (b *Bench) Scale(own int) int {
	if b.Part > 0 && b.Part < 1 {
		return max(1, int(float64(own)*b.Part))
	}
	return own
}

// Repeats is how often each contender runs when the scenario would run it own times.
func (b *Bench) Repeats(own int) int {
	if b.Rounds > 0 {
		return b.Rounds
	}
	return own
}

// place is the path of a folder in Dir.
func (b *Bench) place(name string) string { return filepath.Join(b.Dir, name) }

// Folder makes an empty folder of that name in Dir.
func (b *Bench) Folder(name string) (string, error) {
	dir := filepath.Join(b.Dir, name)
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// Pick finds the scenarios of a list of names with commas; "" are all, and the first word of names all that begin with it.
func Pick(all []Scenario, only string) ([]Scenario, error) {
	if only == "" {
		return all, nil
	}
	var picked []Scenario
	for name := range strings.SplitSeq(only, ",") {
		name = strings.TrimSpace(name)
		before := len(picked)
		for _, s := range all {
			if s.Name == name || strings.HasPrefix(s.Name, name+" ") {
				picked = append(picked, s)
			}
		}
		if len(picked) == before {
			var names []string
			for _, s := range all {
				names = append(names, s.Name)
			}
			return nil, fmt.Errorf("no scenario %q: %s", name, strings.Join(names, ", "))
		}
	}
	return picked, nil
}

// Run runs scenarios one after the other. One that fails does not keep the others from running; the error then names it,
// and in place of its rows stands one that says that its targets were not met.
func (b *Bench) Run(ctx context.Context, scenarios []Scenario, out io.Writer) ([]Row, error) {
	var rows []Row
	var errs []error
	var notes strings.Builder
	for _, s := range scenarios {
		if ctx.Err() != nil {
			break
		}
		begun := time.Now()
		b.scenario = s.Name
		b.Say("%s: %s", s.Name, s.What)
		result, err := s.Run(ctx, b)
		if err != nil {
			b.Say("%s is void: %v", s.Name, err)
			errs = append(errs, fmt.Errorf("%s: %w", s.Name, err))
			rows = append(rows, Row{Scenario: s.Name, Metric: "void: nothing was measured", Target: "a run as expected"})
			continue
		}
		b.Say("%s: done in %s", s.Name, time.Since(begun).Round(time.Second))
		for _, row := range result.Rows {
			row.Scenario = s.Name
			rows = append(rows, row)
		}
		for _, note := range result.Notes {
			fmt.Fprintf(&notes, "- %s: %s\n", s.Name, note)
		}
	}
	errs = append(errs, ctx.Err(), WriteTable(out, rows))
	if notes.Len() > 0 {
		_, err := fmt.Fprintf(out, "\n%s", notes.String())
		errs = append(errs, err)
	}
	return rows, errors.Join(errs...)
}
