package drill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"huanxin/internal/postgres"
	"huanxin/internal/process"
)

// ErrDifferent is returned when `huanxin check` has found differences.
var ErrDifferent = errors.New("huanxin check found differences")

// check runs `huanxin check` over the journal in dir and the site's database; the switch may run. It returns what was printed.
func (s *Site) check(ctx context.Context, dir string) (string, error) {
	url, err := postgres.PrivateURL(s.databaseDir())
	if err != nil {
		return "", err
	}
	out, err := process.Run(ctx, s.program("huanxin"), []string{"check", "--quiet", "--limit", "10", "--dir", dir, "--database", url}, nil)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return string(out), fmt.Errorf("%w in %s:\n%s%w", ErrDifferent, dir, out, err)
	}
	return string(out), err
}

// checked demands that `huanxin check` finds nothing, beside the running switch.
func (s *Site) checked(ctx context.Context) error {
	dir := s.journalDir()
	if s.Cluster != "" {
		dir = s.file("journal-copy")
		args := []string{"journal", "fetch", dir, "--url", s.Cluster, "--programme", sampleProgramme}
		if _, err := process.Run(ctx, s.program("huanxin"), args, nil); err != nil {
			return err
		}
	}
	began := time.Now()
	out, err := s.check(ctx, dir)
	if err != nil {
		return err
	}
	s.say("  huanxin check: %s in %v", lineOf(out, "clean"), time.Since(began).Round(10*time.Millisecond))
	return s.soundly()
}

// soundly demands that no program of the site ended in a panic or a fatal error of the runtime. They start anew so often that one more
// death would not be seen.
func (s *Site) soundly() error {
	logs, err := filepath.Glob(s.file("*.log"))
	if err != nil {
		return err
	}
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(text) {
			for _, word := range []string{"panic: ", "fatal error: ", "unexpected fault address", "SIGSEGV"} {
				if bytes.HasPrefix(line, []byte(word)) {
					return fmt.Errorf("%s says: %s", log, line)
				}
			}
		}
	}
	return nil
}

// lineOf is the line of a text that says something.
func lineOf(text, what string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, what) {
			return strings.Join(strings.Fields(line), " ")
		}
	}
	return ""
}

// Forged shows that the check has teeth: after work as usual a copy of the journal passes, one with an event edited by hand does
// not, and neither does one whose whole chain was made to fit the edit.
func (a *Arena) Forged(ctx context.Context) (err error) {
	site, err := a.prepare("forged")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Stop(), site.database(context.WithoutCancel(ctx), "stop")) }()
	if err := site.databaseOutside(ctx); err != nil {
		return err
	}
	if err := site.StartHost(ctx); err != nil {
		return err
	}
	if err := site.StartServe(ctx); err != nil {
		return err
	}
	if err := a.trouble(ctx, site, "forged", Plan{Mix: wholeDay, Wallet: part}, asUsual, func() error { return nil }); err != nil {
		return err
	}
	if err := site.Serve.Stop(stopLimit); err != nil {
		return err
	}
	site.Serve = nil
	for _, one := range []struct {
		name string
		edit func(dir string) (string, error)
		want error
	}{
		{"untouched", func(string) (string, error) { return "nothing edited", nil }, nil},
		{"edited", func(dir string) (string, error) { return forge(dir, editedEvent) }, ErrDifferent},
		{"rewritten", func(dir string) (string, error) { return forge(dir, rewrittenChain) }, ErrDifferent},
	} {
		dir := site.file("journal-" + one.name)
		if err := os.CopyFS(dir, os.DirFS(site.journalDir())); err != nil {
			return err
		}
		what, err := one.edit(dir)
		if err != nil {
			return fmt.Errorf("forged, %s: %w", filepath.Base(dir), err)
		}
		out, err := site.check(ctx, dir)
		if !errors.Is(err, one.want) || one.want == nil && err != nil {
			return fmt.Errorf("forged, %s (%s): the check should have ended with %v and ended with %w:\n%s", filepath.Base(dir), what, one.want, err, out)
		}
		said := lineOf(out, "clean")
		if one.want != nil {
			said = lineOf(out, "difference")
		}
		site.say("  %-10s %s → %s", one.name, what, said)
	}
	return nil
}
