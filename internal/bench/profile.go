package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// profile writes a CPU profile of the switch over the counted time into Bench.Profile, when that is set. The returned
// function waits for it.
func (s *Site) profile(ctx context.Context, after, lasts time.Duration) (wait func() error, err error) {
	if s.bench.Profile == "" {
		return func() error { return nil }, nil
	}
	if err := os.MkdirAll(s.bench.Profile, 0o755); err != nil {
		return nil, err
	}
	name := filepath.Join(s.bench.Profile, fmt.Sprintf("%s-%s.pprof", s.bench.scenario, time.Now().Format("150405")))
	done := make(chan error, 1)
	go func() {
		timer := time.NewTimer(after)
		defer timer.Stop()
		select {
		case <-timer.C:
			done <- s.fetchProfile(ctx, name, lasts)
		case <-ctx.Done():
			done <- ctx.Err()
		}
	}()
	return func() error { return <-done }, nil
}

func (s *Site) fetchProfile(ctx context.Context, name string, lasts time.Duration) error {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.Debug, max(1, int(lasts.Seconds())))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, res.Status)
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, res.Body); err != nil {
		file.Close()
		return err
	}
	s.bench.Say("  CPU profile of the switch: %s", name)
	return file.Close()
}
