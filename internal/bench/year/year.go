// Package year makes the history of a programme's year: ten million persons who have claimed, shown a code, reserved,
// paid, and some of them given back, at fifty thousand terminals that have settled their batches, out of half a million
// products. It is what the scenarios `scale` and `recovery` run on.
//
// Nothing of it is made up beside the engine: every fact comes out of Step and goes through the journal's Append, with the
// keys that the switch then runs with. Only the clock is not the machine's, and nobody waits for an answer.
//
// A year takes minutes, so it is kept (Make) and handed out as copies that share what never changes (Clone).
package year

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"

	"huanxin/config/programmes"
	"huanxin/subsidy/policy"
	"huanxin/switch/engine"
	"huanxin/switch/event"
)

// Config says what kind of year it is. Dir and Persons are required.
type Config struct {
	// Dir is the state folder that the year is kept in.
	Dir string
	// Programme is the name or folder of its programme. Default liaoning-2025. Its merchants, terminals and products are in
	// the registry too.
	Programme string
	// Persons is how many have a used entitlement in the end.
	Persons int
	// Merchants, Terminals and Products are those of the year itself. Defaults 20 000, 50 000 and 500 000.
	Merchants, Terminals, Products int
	// Days is how many days it takes, up to yesterday. Default 300.
	Days int
	// Tail is how many events at least come after the snapshot. Default 1 000 000, but not more than half of all.
	Tail int
	// Log takes one line about whatever is being done.
	Log func(format string, args ...any)
	// Probe, when set, sees the engine at the end of the year: to measure what its state costs.
	Probe func(*engine.Engine)
}

func (c Config) checked() (Config, error) {
	if c.Dir == "" || c.Persons < 1 {
		return c, errors.New("year: folder and persons are required")
	}
	for _, n := range []struct {
		value     *int
		otherwise int
	}{{&c.Merchants, 20_000}, {&c.Terminals, 50_000}, {&c.Products, 500_000}, {&c.Days, 300}, {&c.Tail, 1_000_000}} {
		if *n.value == 0 {
			*n.value = n.otherwise
		}
		if *n.value < 1 {
			return c, errors.New("year: a number is negative")
		}
	}
	if c.Programme == "" {
		c.Programme = "liaoning-2025"
	}
	if c.Log == nil {
		c.Log = func(string, ...any) {}
	}
	return c, nil
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
const format = 1

// Make returns the year of cfg, from its folder where that holds the same year already.
func Make(ctx context.Context, cfg Config) (*Manifest, error) {
	cfg, err := cfg.checked()
	if err != nil {
		return nil, err
	}
	files, err := programmeFiles(cfg.Programme)
	if err != nil {
		return nil, err
	}
	key, err := keyOf(cfg, files)
	if err != nil {
		return nil, err
	}
	if kept, err := read(cfg.Dir); err == nil && kept.Key == key {
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
	m, err := build(ctx, cfg, files, made)
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

func read(dir string) (*Manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err != nil {
		return nil, err
	}
	m := new(Manifest)
	return m, json.Unmarshal(text, m)
}

func programmeFiles(name string) (map[string][]byte, error) {
	folder, _, err := programmes.Resolve(name)
	if err != nil {
		return nil, fmt.Errorf("programme: %w", err)
	}
	return programmes.Load(folder)
}

// keyOf names a year: what it is made of, the schema of its events, and the version of its snapshot's state.
func keyOf(cfg Config, files map[string][]byte) (string, error) {
	schema, err := proto.MarshalOptions{Deterministic: true}.Marshal(protodesc.ToFileDescriptorProto(event.File_event_proto))
	if err != nil {
		return "", err
	}
	state, err := stateVersion()
	if err != nil {
		return "", err
	}
	programme := policy.DigestOf(files)
	sum := sha256.New()
	for _, n := range []int{format, cfg.Persons, cfg.Merchants, cfg.Terminals, cfg.Products, cfg.Days, cfg.Tail, int(state)} {
		sum.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
	}
	sum.Write(programme[:])
	sum.Write(schema)
	return hex.EncodeToString(sum.Sum(nil)[:16]), nil
}

// Clone makes dir a state folder that begins where the year ends. Files that the switch only ever adds to the folder are
// shared; what it writes into in place is copied, so that the year stays as it is.
func Clone(year, dir string) error {
	if _, err := read(year); err != nil {
		return fmt.Errorf("clone %s: no year: %w", year, err)
	}
	last, err := lastBlock(year)
	if err != nil {
		return fmt.Errorf("clone %s: %w", year, err)
	}
	return filepath.WalkDir(year, func(from string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(year, from)
		if err != nil || relative == manifestFile {
			return err
		}
		to := filepath.Join(dir, relative)
		info, err := entry.Info()
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return os.MkdirAll(to, info.Mode().Perm())
		case shared(relative) && from != last:
			return os.Link(from, to)
		}
		return copyFile(from, to, info.Mode().Perm())
	})
}

// shared reports whether a file is never written into after it has got its name: a snapshot, a block of the stream that
// another one follows.
func shared(name string) bool {
	switch filepath.Ext(name) {
	case ".snap", ".blk":
		return true
	}
	return false
}

// lastBlock is the block of the stream that the next append goes into.
func lastBlock(dir string) (string, error) {
	var last string
	highest := -1
	err := filepath.WalkDir(filepath.Join(dir, "journal"), func(name string, _ fs.DirEntry, err error) error {
		var n int
		if _, scan := fmt.Sscanf(filepath.Base(name), "%d.blk", &n); scan == nil && n > highest {
			last, highest = name, n
		}
		return err
	})
	if err == nil && last == "" {
		err = errors.New("the journal has no blocks")
	}
	return last, err
}

func copyFile(from, to string, mode fs.FileMode) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, mode)
}
