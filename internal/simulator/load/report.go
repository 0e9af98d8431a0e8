package load

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"huanxin/internal/simulator/till"
	"huanxin/switch/iso8583"
)

// Report is what a run measured.
type Report struct {
	Mode       string               `json:"mode"` // open or closed
	Rate       float64              `json:"rate_per_second,omitempty"`
	Seconds    float64              `json:"seconds"`
	Messages   uint64               `json:"messages"`   // answered, terminal port
	PerSecond  float64              `json:"per_second"` // of them
	Kinds      map[Kind]*KindReport `json:"kinds"`
	Unexpected []Unexpected         `json:"unexpected"`
	Lost       uint64               `json:"lost"`       // connections lost
	Unanswered uint64               `json:"unanswered"` // requests without answer, reversed afterwards
	Strays     uint64               `json:"strays"`     // answers nobody waited for any more
	Starved    uint64               `json:"starved"`    // reserves that had to wait for a claimed code
	Open       uint64               `json:"open"`       // terminals that could not settle their last request before the end
	Typed      uint64               `json:"typed"`      // requests with a PIN that were approved
}

// KindReport is one kind of message. Latencies are seconds.
type KindReport struct {
	Count  uint64            `json:"count"`
	Mean   float64           `json:"mean_seconds"`
	P50    float64           `json:"p50_seconds"`
	P99    float64           `json:"p99_seconds"`
	P999   float64           `json:"p999_seconds"`
	Max    float64           `json:"max_seconds"`
	Answer map[string]uint64 `json:"answers"` // by DE39 or HTTP status
}

// Unexpected is one kind of answer that the run did not expect.
type Unexpected struct {
	Kind    Kind   `json:"kind"`
	Code    string `json:"code"` // DE39 or HTTP status, and the reasons
	Count   uint64 `json:"count"`
	Example string `json:"example"` // the first one
}

// tally collects while the run goes on. Safe for concurrent use.
type tally struct {
	expected map[Kind][]string

	mu         sync.Mutex // guards all below
	latencies  map[Kind]*Latencies
	answers    map[Kind]map[string]uint64
	unexpected map[[2]string]*Unexpected
	lost       uint64
	unanswered uint64
	strays     uint64
	starved    uint64
	open       uint64
	typed      uint64
}

func newTally(expected map[Kind][]string) *tally {
	t := &tally{
		expected: expected, latencies: make(map[Kind]*Latencies), answers: make(map[Kind]map[string]uint64),
		unexpected: make(map[[2]string]*Unexpected),
	}
	for _, kind := range Kinds() {
		t.latencies[kind], t.answers[kind] = &Latencies{}, make(map[string]uint64)
	}
	return t
}

// answered counts one answer. detail distinguishes refusals of the same code; example must hold nothing personal.
func (t *tally) answered(kind Kind, code, detail string, latency time.Duration, example func() string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.latencies[kind].Record(latency)
	t.answers[kind][code]++
	if slices.Contains(t.expected[kind], code) {
		return
	}
	t.note(kind, strings.TrimSpace(code+" "+detail), example)
}

// failed counts a request that got no answer for another reason than a lost connection.
func (t *tally) failed(kind Kind, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.note(kind, "error", func() string { return err.Error() })
}

func (t *tally) note(kind Kind, code string, example func() string) {
	key := [2]string{string(kind), code}
	one := t.unexpected[key]
	if one == nil {
		one = &Unexpected{Kind: kind, Code: code, Example: example()}
		t.unexpected[key] = one
	}
	one.Count++
}

func (t *tally) count(counter *uint64) {
	t.mu.Lock()
	*counter++
	t.mu.Unlock()
}

func (t *tally) report(rate float64, elapsed time.Duration) *Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &Report{
		Mode: "closed", Rate: rate, Seconds: elapsed.Seconds(), Kinds: make(map[Kind]*KindReport), Unexpected: []Unexpected{},
		Lost: t.lost, Unanswered: t.unanswered, Strays: t.strays, Starved: t.starved, Open: t.open, Typed: t.typed,
	}
	if rate > 0 {
		r.Mode = "open"
	}
	for _, kind := range Kinds() {
		l := t.latencies[kind]
		if l.Count() == 0 {
			continue
		}
		r.Kinds[kind] = &KindReport{
			Count: l.Count(), Mean: l.Mean().Seconds(), P50: l.Percentile(500).Seconds(), P99: l.Percentile(990).Seconds(),
			P999: l.Percentile(999).Seconds(), Max: l.Max().Seconds(), Answer: t.answers[kind],
		}
		if !kind.http() {
			r.Messages += l.Count()
		}
	}
	if r.Seconds > 0 {
		r.PerSecond = float64(r.Messages) / r.Seconds
	}
	for _, one := range t.unexpected {
		r.Unexpected = append(r.Unexpected, *one)
	}
	slices.SortFunc(r.Unexpected, func(a, b Unexpected) int {
		return strings.Compare(string(a.Kind)+a.Code, string(b.Kind)+b.Code)
	})
	return r
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer) error {
	out := &strings.Builder{}
	fmt.Fprintf(out, "%s loop, %.1f s, %d messages, %.0f/s", r.Mode, r.Seconds, r.Messages, r.PerSecond)
	if r.Rate > 0 {
		fmt.Fprintf(out, " of %.0f/s intended", r.Rate)
	}
	fmt.Fprintf(out, "\n%-10s %9s %9s %9s %9s %9s %9s  %s\n", "", "count", "mean ms", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "answers")
	for _, kind := range Kinds() {
		k := r.Kinds[kind]
		if k == nil {
			continue
		}
		fmt.Fprintf(out, "%-10s %9d", kind, k.Count)
		for _, seconds := range []float64{k.Mean, k.P50, k.P99, k.P999, k.Max} {
			fmt.Fprintf(out, " %9.2f", seconds*1000)
		}
		out.WriteString(" ")
		for _, code := range slices.Sorted(maps.Keys(k.Answer)) {
			fmt.Fprintf(out, " %s:%d", code, k.Answer[code])
		}
		out.WriteString("\n")
	}
	fmt.Fprintf(out, "connections lost %d, requests unanswered %d, stray answers %d, waited for a code %d, terminals left open %d, PINs typed and approved %d\n",
		r.Lost, r.Unanswered, r.Strays, r.Starved, r.Open, r.Typed)
	for _, u := range r.Unexpected {
		fmt.Fprintf(out, "unexpected %s %s: %d times, first: %s\n", u.Kind, u.Code, u.Count, u.Example)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// Acknowledged is one answer that a terminal or shop has read: what the switch may not forget any more.
type Acknowledged struct {
	Kind     Kind   `json:"kind"`
	MTI      string `json:"mti,omitempty"`    // of the request, such as 0100; none over HTTP
	Cancel   bool   `json:"cancel,omitempty"` // of a hold
	Terminal string `json:"terminal,omitempty"`
	Merchant string `json:"merchant,omitempty"`
	Batch    uint32 `json:"batch,omitempty"`
	STAN     uint32 `json:"stan,omitempty"`
	Class    uint32 `json:"class,omitempty"` // of the exchange's key: second digit of the MTI; of the original in a reversal
	Response string `json:"response"`        // DE39 or HTTP status
	Hold     uint64 `json:"hold,omitempty"`
	RRN      string `json:"rrn,omitempty"`
	Amount   int64  `json:"amount_fen"` // DE4 of the request
	Subsidy  int64  `json:"subsidy_fen,omitempty"`
	Payable  int64  `json:"payable_fen,omitempty"`
	Returned int64  `json:"returned_fen,omitempty"` // refund: of the subsidy
	Equal    bool   `json:"equal,omitempty"`        // settlement
	Refunded int64  `json:"refunded_fen,omitempty"` // over HTTP: to the payer so far
	State    string `json:"state,omitempty"`        // over HTTP: of the purchase
	At       string `json:"at"`                     // when the answer was read, RFC 3339
}

// record writes acknowledged answers, one whole line at a time.
type record struct {
	mu  sync.Mutex // guards both: lines never mix
	w   io.Writer
	err error
}

func (r *record) write(a *Acknowledged) error {
	if r.w == nil {
		return nil
	}
	text, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode acknowledged answer: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	if _, err := r.w.Write(append(text, '\n')); err != nil {
		// From here on the record is not complete: the run must end.
		r.err = fmt.Errorf("write acknowledged answer: %w", err)
	}
	return r.err
}

// http reports whether a kind of message does not come through the terminal port.
func (k Kind) http() bool {
	return slices.Contains([]Kind{Claim, Code, Order, Commit, Drop, GiveBack, LookUp}, k)
}

// classOf is the class of a request's key: the second digit of its MTI, and in a reversal that of its original, which its
// kind tells.
func classOf(mti iso8583.MTI, kind int) uint32 {
	if mti != 0x0400 {
		return uint32(mti >> 8)
	}
	switch kind {
	case till.KindReserve, till.KindCancel, till.KindPreauth, till.KindPreauthVoid:
		return 1
	}
	return 2
}
