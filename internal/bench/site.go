package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"huanxin/internal/process"
	"huanxin/internal/scrape"
	"huanxin/switch/stage"
)

// Site is one switch in a process of its own, with its state in a folder and nobody else on its ports.
type Site struct {
	Dir      string
	Settings []string // HUANXIN_…, beside state, programme and addresses
	CUP      string   // address of the terminal port
	Secure   string   // address of the terminal port with keys of 3DES
	SM       string   // address of the terminal port with keys of SM4
	HTTP     string
	Host     string // address where the card network is, or would be
	Debug    string // address of its profiler, when Bench.Profile asks for one

	bench *Bench
	serve *process.Process
}

const (
	// startLimit bounds the start of a program: ten million persons are read from a snapshot.
	startLimit = 5 * time.Minute
	stopLimit  = 3 * time.Minute
)

// freeAddresses finds ports that nobody uses now.
func freeAddresses(n int) ([]string, error) {
	addresses := make([]string, n)
	for i := range addresses {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		// All are held until all are found, so that they differ.
		defer l.Close()
		addresses[i] = l.Addr().String()
	}
	return addresses, nil
}

// NewSite prepares a site on the state in dir, which a seeder has made. The database is off unless a setting says
// otherwise.
func (b *Bench) NewSite(dir string, settings ...string) (*Site, error) {
	addresses, err := freeAddresses(8)
	if err != nil {
		return nil, err
	}
	s := &Site{Dir: dir, CUP: addresses[0], HTTP: addresses[1], Host: addresses[2], Secure: addresses[6], SM: addresses[7], bench: b}
	s.Settings = append([]string{
		"HUANXIN_STATE=" + dir, "HUANXIN_PROGRAMME=" + filepath.Join(dir, "programme"),
		"HUANXIN_LISTENERS_CUP_ADDRESS=" + s.CUP, "HUANXIN_LISTENERS_NAC_ADDRESS=" + addresses[3],
		"HUANXIN_LISTENERS_SECURE_ADDRESS=" + s.Secure, "HUANXIN_LISTENERS_SM_ADDRESS=" + s.SM,
		"HUANXIN_HTTP_ADDRESS=" + s.HTTP, "HUANXIN_HOSTS_UNIONPAY_ADDRESSES=" + s.Host,
		"HUANXIN_HOSTS_WALLET_URL=http://" + addresses[4],
		"HUANXIN_DATABASE_ENABLED=false", "HUANXIN_LOG_LEVEL=warn",
	}, settings...)
	if b.Profile != "" {
		s.Debug = addresses[5]
		s.Settings = append(s.Settings, "HUANXIN_DEBUG_ADDRESS="+s.Debug)
	}
	return s, nil
}

// Start starts the switch and waits until it decides. parts names parts of /readyz that must be ready beside engine and
// programme; hosts that a scenario does not use need not be there.
func (s *Site) Start(ctx context.Context, parts ...string) (err error) {
	if s.serve, err = process.Start(s.Dir, "serve", s.bench.Program("huanxin"), []string{"serve"}, s.Settings); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	parts = append(parts, "engine", "programme")
	return s.serve.Await(ctx, "the switch", func(ctx context.Context) error { return s.ready(ctx, parts) })
}

func (s *Site) ready(ctx context.Context, parts []string) error {
	text, _, err := s.get(ctx, "/readyz")
	if err != nil {
		return err
	}
	var body struct {
		Parts []struct {
			Name  string
			Ready bool
			Error string
		}
	}
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		return fmt.Errorf("/readyz: %w", err)
	}
	ready := map[string]bool{}
	for _, part := range body.Parts {
		ready[part.Name] = part.Ready
	}
	for _, name := range parts {
		if !ready[name] {
			return fmt.Errorf("%s is not ready: %s", name, text)
		}
	}
	return nil
}

// PID is the switch's process id.
func (s *Site) PID() int { return s.serve.PID() }

// Process is the running switch.
func (s *Site) Process() *process.Process { return s.serve }

// Stop ends the switch in good order.
func (s *Site) Stop() error {
	if s.serve == nil {
		return nil
	}
	err := s.serve.Stop(stopLimit)
	s.serve = nil
	return err
}

func (s *Site) get(ctx context.Context, path string) (body string, status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.HTTP+path, nil)
	if err != nil {
		return "", 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	return string(text), res.StatusCode, err
}

// Figure reads one sample of /metrics; see scrape.Sample.
func (s *Site) Figure(ctx context.Context, name string, labels ...string) (float64, error) {
	page, status, err := s.get(ctx, "/metrics")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("/metrics answered %d", status)
	}
	if err != nil {
		return 0, err
	}
	return scrape.Sample(page, name, labels...)
}

// Stages is the mean time of a message in each stage of its way through the switch, since its start.
func (s *Site) Stages(ctx context.Context) (map[stage.Stage]time.Duration, error) {
	page, _, err := s.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	means := map[stage.Stage]time.Duration{}
	for st := stage.Read; st <= stage.Reply; st++ {
		sum, err := scrape.Sample(page, "huanxin_stage_seconds_sum", "stage", st.String())
		if err != nil {
			return nil, err
		}
		count, err := scrape.Sample(page, "huanxin_stage_seconds_count", "stage", st.String())
		if err != nil {
			return nil, err
		}
		means[st] = time.Duration(sum / max(1, count) * float64(time.Second))
	}
	return means, nil
}

// Batches is how many batches the switch has appended since its start.
func (s *Site) Batches(ctx context.Context) (uint64, error) {
	v, err := s.Figure(ctx, "huanxin_journal_append_seconds_count")
	return uint64(v), err
}

// Quiet waits until the switch does nothing any more: its follower has applied what was decided and what it wrote is
// written. Without that it would work while its peer is measured.
func (s *Site) Quiet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := s.followed(ctx); err != nil {
		return err
	}
	last, since := time.Duration(-1), 0
	return s.serve.Await(ctx, "the switch to be quiet", func(context.Context) error {
		used, err := cpuTime(s.PID())
		if err != nil {
			return err
		}
		// Await asks every 50 ms: three times less than 5 ms of CPU.
		if since++; last < 0 || used-last > 5*time.Millisecond {
			since = 0
		}
		last = used
		if since < 3 {
			return errors.New("it still works")
		}
		return nil
	})
}

// followed waits until the follower has read everything too. The switch's own take-over is the last batch so far.
func (s *Site) followed(ctx context.Context) error {
	return s.await(ctx, "the follower", startLimit, func(ctx context.Context) (bool, error) {
		v, err := s.Figures(ctx, "huanxin_journal_position", "huanxin_follower_position")
		return err == nil && v[0] > 0 && v[0] == v[1], err
	})
}

// cpuTime is what a process has used so far.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in brackets, may hold blanks; utime and stime are the 12th and 13th field after it.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	const ticksPerSecond = 100 // USER_HZ, the same on every Linux
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}
