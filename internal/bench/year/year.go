// Package year makes the history of a programme's year: ten million persons who have claimed, shown a code, reserved,
// paid, and some of them given back, at fifty thousand terminals that have settled their batches, out of half a million
// products. It is what the scenarios `scale` and `recovery` run on.
//
// Nothing of it is made up beside the engine: every fact comes out of Step and goes through the journal's Append (package
// seed). Only the clock is not the machine's, and nobody waits for an answer. A year takes minutes, so it is kept.
package year

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"

	"huanxin/internal/bench/seed"
	"huanxin/subsidy/policy"
	"huanxin/switch/engine"
	"huanxin/switch/event"
)

// Config says what kind of year it is. Dir and Persons are required.
type Config struct {
	// Dir is the state folder that the year is kept in.
	Dir string
	// Persons is how many have a used entitlement in the end.
	Persons int
	// Terminals and Products are those of the programme. The first FirstTerminal terminals do not trade in the year: they
	// are left to whoever loads the switch later. Defaults 50 000 and 500 000.
	Terminals, Products int
	// Days is how many days it takes, up to yesterday. Default 300.
	Days int
	// Tail is how many events at least come after the snapshot. Default 1 000 000, but not more than half of all.
	Tail int
	// Log takes one line about whatever is being done.
	Log func(format string, args ...any)
	// Probe, when set, sees the engine at the end of the year: to measure what its state costs.
	Probe func(*engine.Engine)
}

// FirstTerminal is the first terminal that trades.
const FirstTerminal = 1024

func (c Config) checked() (Config, error) {
	if c.Dir == "" || c.Persons < 1 {
		return c, errors.New("year: folder and persons are required")
	}
	for _, n := range []struct {
		value     *int
		otherwise int
	}{{&c.Terminals, 50_000}, {&c.Products, 500_000}, {&c.Days, 300}, {&c.Tail, 1_000_000}} {
		if *n.value == 0 {
			*n.value = n.otherwise
		}
		if *n.value < 1 {
			return c, errors.New("year: a number is negative")
		}
	}
	if c.Terminals <= FirstTerminal {
		return c, fmt.Errorf("year: the first %d terminals do not trade, and there are %d", FirstTerminal, c.Terminals)
	}
	if c.Log == nil {
		c.Log = func(string, ...any) {}
	}
	return c, nil
}

// Programme is the programme of a year.
func (c Config) Programme() seed.Programme {
	return seed.Programme{Terminals: c.Terminals, Products: c.Products}
}

// Manifest says what a kept year holds.
type Manifest struct {
	Key       string    `json:"key"` // of what it was made from and by; another key, another year
	Persons   int       `json:"persons"`
	Purchases int       `json:"purchases"`
	Refunds   int       `json:"refunds"`
	Events    uint64    `json:"events"`
	Batches   uint64    `json:"batches"`
	Bytes     int64     `json:"bytes"` // of the journal
	Snapshot  uint64    `json:"snapshot"`
	Tail      uint64    `json:"tail"` // events after the snapshot
	Until     time.Time `json:"until"`
	Seconds   float64   `json:"seconds"` // that it took
}

const manifestFile = "year.json"

// format is to be raised when the same Config is to give another year.
const format = 2

// Make returns the year of cfg, from its folder where that holds the same year already. A copy of the folder is made with
// seed.Place.
func Make(ctx context.Context, cfg Config) (*Manifest, error) {
	cfg, err := cfg.checked()
	if err != nil {
		return nil, err
	}
	key, err := keyOf(cfg)
	if err != nil {
		return nil, err
	}
	if kept, err := Read(cfg.Dir); err == nil && kept.Key == key {
		cfg.Log("year of %d persons: kept in %s", kept.Persons, cfg.Dir)
		return kept, nil
	}
	// Made aside: a run that is interrupted leaves no year.
	made := cfg.Dir + ".new"
	for _, dir := range []string{made, cfg.Dir} {
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
	}
	begun := time.Now()
	m, err := build(ctx, cfg, made)
	if err != nil {
		return nil, fmt.Errorf("year of %d persons: %w", cfg.Persons, err)
	}
	m.Key, m.Seconds = key, time.Since(begun).Seconds()
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(made, manifestFile), append(text, '\n'), 0o600); err != nil {
		return nil, err
	}
	return m, os.Rename(made, cfg.Dir)
}

// Read reads the manifest of a kept year.
func Read(dir string) (*Manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err != nil {
		return nil, err
	}
	m := new(Manifest)
	return m, json.Unmarshal(text, m)
}

// keyOf names a year: what it is made of, the schema of its events, and the version of its snapshot's state.
func keyOf(cfg Config) (string, error) {
	schema, err := proto.MarshalOptions{Deterministic: true}.Marshal(protodesc.ToFileDescriptorProto(event.File_event_proto))
	if err != nil {
		return "", err
	}
	var state bytes.Buffer
	if err := seed.EmptyState(&state); err != nil {
		return "", err
	}
	version, err := binary.ReadUvarint(&state)
	if err != nil {
		return "", err
	}
	// Terminals and products are rows made by numbers: the rules are what could change.
	files, err := seed.Programme{}.Files()
	if err != nil {
		return "", err
	}
	programme := policy.DigestOf(files)
	sum := sha256.New()
	for _, n := range []int{format, cfg.Persons, cfg.Terminals, cfg.Products, cfg.Days, cfg.Tail, int(version)} {
		sum.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
	}
	sum.Write(programme[:])
	sum.Write(schema)
	return hex.EncodeToString(sum.Sum(nil)[:16]), nil
}

// build makes a whole year in dir.
func build(ctx context.Context, cfg Config, dir string) (_ *Manifest, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := newPlan(cfg, time.Now())
	s, err := seed.NewAt(ctx, dir, cfg.Programme(), p.begins)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	people := newCrowd(s.Hasher(), s.Vault(), cfg.Products)
	d := newDriver(cfg, p, s)
	go people.run(ctx, p)
	done := 0
	for wave := range people.ready {
		if err := d.shop(wave); err != nil {
			return nil, err
		}
		done += len(wave.buyers)
		people.free <- wave
	}
	if err := errors.Join(ctx.Err(), people.err); err != nil {
		return nil, err
	}
	if done != p.purchases {
		return nil, fmt.Errorf("%d of %d purchases were made", done, p.purchases)
	}
	end, err := d.finish()
	if err != nil {
		return nil, err
	}
	if cfg.Probe != nil {
		cfg.Probe(s.Engine())
	}
	return &Manifest{
		Persons: cfg.Persons, Purchases: p.purchases, Refunds: d.refunds, Events: s.Engine().Seq(), Batches: end.Position, Bytes: s.Size(),
		Snapshot: d.snapshot.Position, Tail: s.Engine().Seq() - d.snapshot.Seq, Until: time.Unix(0, s.Now()).UTC(),
	}, nil
}
