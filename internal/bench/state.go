package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"huanxin/internal/bench/client"
	"huanxin/internal/bench/seed"
	"huanxin/internal/bench/year"
	"huanxin/internal/postgres"
	"huanxin/internal/process"
	"huanxin/internal/scrape"
)

// yearLimit bounds the making of ten million purchases.
const yearLimit = 20 * time.Minute

// Year is a state with a year of history; it is kept and made once for all runs of the same program.
func (b *Bench) Year(ctx context.Context, cfg year.Config) (dir string, m *year.Manifest, err error) {
	dir = filepath.Join(b.Dir, fmt.Sprintf("year-%d", cfg.Persons))
	b.Say("  a year of %d persons", cfg.Persons)
	args := []string{
		"year", "--dir", dir, "--persons", fmt.Sprint(cfg.Persons), "--terminals", fmt.Sprint(cfg.Terminals),
		"--products", fmt.Sprint(cfg.Products), "--days", fmt.Sprint(cfg.Days), "--tail", fmt.Sprint(cfg.Tail),
		"--gc", "300", // there is time to lose, and nobody measures this process
	}
	if err := b.prepare(ctx, "year", args, yearLimit); err != nil {
		return "", nil, err
	}
	m, err = year.Read(dir)
	return dir, m, err
}

// WithCrowd is a copy of a prepared state in which persons more have claimed and show codes, with a snapshot at its end.
func (b *Bench) WithCrowd(ctx context.Context, from, name string, persons int) (dir string, err error) {
	if dir, err = b.copied(from, name); err != nil {
		return "", err
	}
	b.Say("  %d persons show codes after it", persons)
	return dir, b.prepare(ctx, "crowd", []string{"seed", "--resume", "--dir", dir, "--persons", fmt.Sprint(persons)}, startLimit)
}

// prepare runs a command of the bench as a process of its own, whose memory is given back.
func (b *Bench) prepare(ctx context.Context, name string, args []string, limit time.Duration) error {
	p, err := process.Start(b.Dir, name, b.Program("bench"), args, nil)
	if err != nil {
		return err
	}
	ended := context.AfterFunc(ctx, p.Kill)
	defer ended()
	return p.Finish(limit)
}

// copied is a fresh copy of a prepared state.
func (b *Bench) copied(from, name string) (dir string, err error) {
	if dir, err = b.Folder(name); err != nil {
		return "", err
	}
	if err := seed.Place(from, dir); err != nil {
		return "", fmt.Errorf("copy the prepared state: %w", err)
	}
	return dir, nil
}

// drop takes away a prepared state that nobody else will use, unless states are to be kept. What cannot be removed is in
// nobody's way.
func (b *Bench) drop(dir string) {
	if !b.Keep {
		_ = os.RemoveAll(dir)
	}
}

// open starts a switch on a fresh copy of a prepared state.
func (b *Bench) open(ctx context.Context, from, name string, settings ...string) (*Site, error) {
	dir, err := b.copied(from, name)
	if err != nil {
		return nil, err
	}
	site, err := b.NewSite(dir, settings...)
	if err != nil {
		return nil, err
	}
	if err := site.Start(ctx); err != nil {
		return nil, errors.Join(err, site.Discard())
	}
	return site, nil
}

// Discard ends the switch as a power cut would and takes its state away, unless states are to be kept. Its PostgreSQL goes
// on when it is killed: left alone, it would later end by itself and take the socket of its successor at the same place.
func (s *Site) Discard() error {
	if s.serve != nil {
		s.serve.Kill()
		s.serve = nil
	}
	if _, err := postgres.StopPrivate(filepath.Join(s.Dir, "postgres"), stopLimit); err != nil {
		return err
	}
	if s.bench.Keep {
		return nil
	}
	return os.RemoveAll(s.Dir)
}

// pingpongScript are the reserves of pingpong: terminals 0 to 63.
func (b *Bench) pingpongScript(persons *client.Numbers, barcodes []string) (*client.Reserves, error) {
	return client.NewReserves(client.ReserveConfig{Codec: b.Codec, Slots: 64, Persons: persons, Barcodes: barcodes})
}

// pingpongOn is one round of the scenario pingpong on a running switch whose first persons show codes.
func (b *Bench) pingpongOn(ctx context.Context, site *Site, lasts time.Duration) (*client.Run, *client.Reserves, error) {
	script, err := b.pingpongScript(client.NewNumbers(0, uint64(crowdFor(lasts))), seed.Programme{}.Barcodes(1))
	if err != nil {
		return nil, nil, err
	}
	loop := client.Closed{Address: site.CUP, Connections: 64, InFlight: 1, Script: script, WarmUp: time.Second, Duration: lasts}
	run, err := loop.Run(ctx)
	return run, script, err
}

// crowdFor is how many persons a pingpong of that length can need. Should it need more, it counts until nobody is left.
func crowdFor(lasts time.Duration) int { return int((lasts + 2*time.Second).Seconds() * waitingRate) }

// Figures reads several samples of one page of /metrics, which have no labels.
func (s *Site) Figures(ctx context.Context, names ...string) ([]float64, error) {
	page, status, err := s.get(ctx, "/metrics")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("/metrics answered %d", status)
	}
	if err != nil {
		return nil, err
	}
	values := make([]float64, len(names))
	for i, name := range names {
		if values[i], err = scrape.Sample(page, name); err != nil {
			return nil, fmt.Errorf("/metrics: %s: %w", name, err)
		}
	}
	return values, nil
}

// await polls the switch until done says so, or the switch or ctx ends.
func (s *Site) await(ctx context.Context, what string, limit time.Duration, done func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return s.serve.Await(ctx, what, func(ctx context.Context) error {
		ok, err := done(ctx)
		if err == nil && !ok {
			err = errors.New("not yet")
		}
		return err
	})
}

// memory is VmRSS and VmHWM of a process, in bytes.
func memory(pid int) (resident, highest int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		to := map[string]*int64{"VmRSS": &resident, "VmHWM": &highest}[name]
		if to == nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("/proc/%d/status: %w", pid, err)
		}
		*to = n << 10
	}
	return resident, highest, nil
}
