package drill

import (
	"cmp"
	"encoding/json"
	"errors"
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

// Load is running load generators: one for each kind of line.
type Load struct {
	crews  []*process.Process
	report string // file of the first
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

// typed is the part of card payments at terminals with keys for which a PIN is typed.
const typed = 0.6

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

// StartLoad starts terminals and shops, those of each kind of line in a process of their own. Their STANs go on where the run
// before ended.
func (s *Site) StartLoad(name string, p Plan) (*Load, error) {
	l := &Load{}
	for _, c := range s.crews() {
		crew, err := s.startCrew(name, c, p)
		if err != nil {
			return nil, errors.Join(err, l.stop())
		}
		l.crews = append(l.crews, crew)
	}
	l.report = l.crews[0].Log()
	return l, nil
}

func (s *Site) startCrew(name string, c crew, p Plan) (*process.Process, error) {
	address := c.address
	if c.name == plainCrew {
		address = cmp.Or(p.Through, address)
	} else {
		name += "-" + c.name
	}
	args := []string{
		"load", "--connect", address, "--dialect", c.dialect, "--api", s.base(), "--token-file", s.tokenFile(), "--state", s.file("load-state-" + c.name + ".json"),
		"--terminals-file", s.tillsFile(c), "--merchants-file", s.file("programme/merchants.csv"),
		"--rate", fmt.Sprintf("%.1f", c.share*float64(p.Rate)), "--duration", p.Duration.String(), "--connections", strconv.Itoa(c.connections), "--timeout", "20s",
		"--mix", p.Mix, "--seed", strconv.FormatUint(p.Seed+c.seed, 10), "--wallet", fmt.Sprint(p.Wallet),
		"--unfriendly", fmt.Sprint(p.Unfriendly), "--stuck", fmt.Sprint(p.Stuck), "--acknowledged", s.file(c.name + "-" + answersFile), "--json",
	}
	if c.cipher != "" {
		args = append(args, "--keys", s.file(tillKeys), "--typed", fmt.Sprint(typed))
	}
	return process.Start(s.Dir, name, s.program("simulator"), args, nil)
}

// Finish has the terminals begin nothing new, and waits as Wait does.
func (l *Load) Finish() (*load.Report, error) {
	for _, crew := range l.crews {
		if err := crew.Signal(syscall.SIGTERM); err != nil {
			return nil, err
		}
	}
	return l.Wait()
}

// loadGrace is how long terminals may go on after the end of a run to settle what is unanswered.
const loadGrace = 3 * time.Minute

// Wait waits for the end of the run and returns what it measured, all terminals together.
func (l *Load) Wait() (*load.Report, error) {
	total := &load.Report{Kinds: map[load.Kind]*load.KindReport{}}
	for _, crew := range l.crews {
		if err := crew.Finish(loadGrace); err != nil {
			return nil, errors.Join(err, l.stop())
		}
		text, err := os.ReadFile(crew.Log())
		if err != nil {
			return nil, err
		}
		var report load.Report
		if err := json.Unmarshal(text, &report); err != nil {
			return nil, fmt.Errorf("report of the load generator, %s: %w", crew.Log(), err)
		}
		addReport(total, &report)
	}
	return total, nil
}

// addReport adds the counts of another report; latencies do not add up and are left out.
func addReport(to, r *load.Report) {
	to.Messages += r.Messages
	to.Lost += r.Lost
	to.Unanswered += r.Unanswered
	to.Strays += r.Strays
	to.Starved += r.Starved
	to.Open += r.Open
	to.Typed += r.Typed
	to.Unexpected = append(to.Unexpected, r.Unexpected...)
	for kind, k := range r.Kinds {
		sum := to.Kinds[kind]
		if sum == nil {
			sum = &load.KindReport{Answer: map[string]uint64{}}
			to.Kinds[kind] = sum
		}
		sum.Count += k.Count
		for code, n := range k.Answer {
			sum.Answer[code] += n
		}
	}
}

// stop ends a run that is of no use any more.
func (l *Load) stop() error {
	for _, crew := range l.crews {
		crew.Kill()
	}
	return nil
}
