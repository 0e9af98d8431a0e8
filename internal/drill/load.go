package drill

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"huanxin/internal/process"
	"huanxin/internal/simulator/load"
)

// answersFile is where the load generator of a site writes every answer that a terminal has read.
const answersFile = "answers.jsonl"

// Load is a running load generator.
type Load struct {
	running *process.Process
	report  string // file
}

// Mixes of what terminals and shops do.
const (
	// wholeDay has everything in it that a terminal and a shop can do.
	wholeDay = "reserve=60,sale=50,cancel=4,ordinary=40,void=10,unvoid=5,refund=6,partial=8,undo=5,preauth=5,settle=2," +
		"balance=4,status=4,certificate=2,shop=10"
	// afterSale is mostly what takes back.
	afterSale = "reserve=20,sale=20,ordinary=20,void=25,unvoid=15,refund=15,partial=20,undo=10,preauth=10,settle=3,shop=12"
	// closing is short batches.
	closing = "reserve=20,sale=20,ordinary=40,void=8,unvoid=4,refund=4,partial=6,undo=4,preauth=6,settle=25,certificate=4"
	// paying is what wallets see.
	paying = "reserve=40,sale=40,ordinary=30,void=8,refund=10,partial=12,undo=6,settle=2,shop=30"
)

// Plan is what a load generator is to do.
type Plan struct {
	Rate       int // messages a second
	Duration   time.Duration
	Seed       uint64
	Mix        string
	Wallet     float64 // part of the payments that are made by payment code
	Unfriendly float64 // probability that a terminal does what it should not
	Stuck      float64 // part of ordinary card sales that the network never answers, nor their reversals
	Through    string  // address in place of the switch's terminal port
}

// StartLoad starts terminals and shops. Their STANs go on where the run before ended.
func (s *Site) StartLoad(name string, p Plan) (*Load, error) {
	address := cmp.Or(p.Through, s.Ports.CUP)
	args := []string{
		"load", "--connect", address, "--api", s.base(), "--token-file", s.tokenFile(), "--state", s.file("load-state.json"),
		"--terminals-file", s.file("programme/terminals.csv"), "--merchants-file", s.file("programme/merchants.csv"),
		"--rate", strconv.Itoa(p.Rate), "--duration", p.Duration.String(), "--connections", "8", "--timeout", "20s",
		"--mix", p.Mix, "--seed", strconv.FormatUint(p.Seed, 10), "--wallet", fmt.Sprint(p.Wallet),
		"--unfriendly", fmt.Sprint(p.Unfriendly), "--stuck", fmt.Sprint(p.Stuck), "--acknowledged", s.file(answersFile), "--json",
	}
	running, err := process.Start(s.Dir, name, s.program("simulator"), args, nil)
	if err != nil {
		return nil, err
	}
	return &Load{running, running.Log()}, nil
}

// loadGrace is how long terminals may go on after the end of a run to settle what is unanswered.
const loadGrace = 3 * time.Minute

// Finish has the terminals begin nothing new, and waits as Wait does.
func (l *Load) Finish() (*load.Report, error) {
	if err := l.running.Signal(syscall.SIGTERM); err != nil {
		return nil, err
	}
	return l.Wait()
}

// Wait waits for the end of the run and returns what it measured.
func (l *Load) Wait() (*load.Report, error) {
	if err := l.running.Finish(loadGrace); err != nil {
		return nil, err
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
