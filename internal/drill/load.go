package drill

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"huanxin/internal/simulator/load"
)

// answersFile is where the load generator of a site writes every answer that a terminal has read.
const answersFile = "answers.jsonl"

// Load is a running load generator.
type Load struct {
	process *Process
	report  string // file
}

// StartLoad starts terminals at rate messages a second for a time. Their STANs go on where the run before ended.
func (s *Site) StartLoad(name string, rate int, duration time.Duration, seed uint64) (*Load, error) {
	args := []string{
		"load", "--connect", s.Ports.CUP, "--api", s.base(), "--token-file", s.tokenFile(), "--state", s.file("load-state.json"),
		"--terminals-file", s.file("programme/terminals.csv"), "--merchants-file", s.file("programme/merchants.csv"),
		"--rate", strconv.Itoa(rate), "--duration", duration.String(), "--connections", "8", "--timeout", "20s",
		"--mix", "reserve=60,sale=50,cancel=4,ordinary=40", "--seed", strconv.FormatUint(seed, 10),
		"--acknowledged", s.file(answersFile), "--json",
	}
	process, err := StartProcess(s.Dir, name, s.program("simulator"), args, nil)
	if err != nil {
		return nil, err
	}
	return &Load{process, process.Log()}, nil
}

// loadGrace is how long terminals may go on after the end of a run to settle what is unanswered.
const loadGrace = 3 * time.Minute

// Wait waits for the end of the run and returns what it measured.
func (l *Load) Wait() (*load.Report, error) {
	timer := time.NewTimer(loadGrace)
	defer timer.Stop()
	select {
	case <-l.process.Done():
	case <-timer.C:
		l.process.Kill()
		return nil, fmt.Errorf("the load generator did not end within %v; see %s", loadGrace, l.process.Log())
	}
	l.process.gone()
	if l.process.err != nil {
		return nil, fmt.Errorf("load generator: %w\n%s", l.process.err, l.process.Tail(8))
	}
	text, err := os.ReadFile(l.report)
	if err != nil {
		return nil, err
	}
	var report load.Report
	if err := json.Unmarshal(text, &report); err != nil {
		return nil, fmt.Errorf("report of the load generator, %s: %w", l.report, err)
	}
	return &report, nil
}
