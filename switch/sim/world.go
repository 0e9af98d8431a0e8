package sim

import (
	"container/heap"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"huanxin/switch/engine"
	"huanxin/switch/journal"
	"huanxin/switch/ledger"
	"huanxin/switch/projection/projectiontest"
)

// world is one simulated history: everything that is outside the engine, and one clock for all of it. Nothing in it depends
// on the machine's clock, on goroutines or on the order of a map.
type world struct {
	seed  uint64
	rng   *rand.Rand // of the operation under way
	now   int64
	born  int64 // the instant before the first
	slow  int64 // until when the disk is slow
	queue happenings
	order uint64
	quiet bool // faults have stopped
	keep  bool // the history is kept, not only its hash

	// The switch.
	proc      *process // the owner; nil while nobody runs
	stale     *process // a former owner that does not know it yet
	runs      int
	cluster   bool // the journal lies on a cluster, else in a folder
	log, mark *file
	stream    *stream
	snaps     *snapshots
	cold      *coldFile
	armed     *arming
	full      bool  // the journal is at its high-water mark
	skew      int64 // of the machine's clock
	acked     journal.Mark

	// The observers: they see what is durable and nothing else.
	follower *engine.Engine
	followed journal.Mark
	model    *model
	ledger   *ledger.Ledger
	rows     *projectiontest.Store

	// The parties.
	noise    noise
	tokens   engine.Token
	calls    map[engine.Token]*call
	asked    map[engine.Token]*call // those that wait no more too
	tills    []*till
	shops    []*shop
	persons  []*person
	serials  int
	codes    int
	hosts    map[string]*host
	letters  map[string]int // messages under way about an RRN
	slips    []*slip
	reversed map[engine.Key]bool // a 0400 was sent
	files    map[string][]byte   // the rules as the operator has them
	bundle   int
	promises []promise

	stats   Stats
	history history
}

// noise is how bad the lines are, in parts of a thousand.
type noise struct{ lost, doubled, slow int }

// happening is something that happens at its time.
type happening struct {
	at    int64
	order uint64
	fn    func()
}

type happenings []happening

func (e happenings) Len() int { return len(e) }
func (e happenings) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e happenings) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *happenings) Push(x any)   { *e = append(*e, x.(happening)) }
func (e *happenings) Pop() any {
	last := (*e)[len(*e)-1]
	(*e)[len(*e)-1] = happening{}
	*e = (*e)[:len(*e)-1]
	return last
}

// after has fn happen in a while.
func (w *world) after(wait time.Duration, fn func()) { w.at(w.now+int64(wait), fn) }

func (w *world) at(at int64, fn func()) {
	w.order++
	heap.Push(&w.queue, happening{max(at, w.now), w.order, fn})
}

// mostHappenings is a hundred times what happens in the longest of histories: more is somebody who does the same again and again.
const mostHappenings = 2_000_000

// advance lets everything happen that is due in so long.
func (w *world) advance(d time.Duration) {
	end := w.now + int64(d)
	for len(w.queue) > 0 && w.queue[0].at <= end {
		e := heap.Pop(&w.queue).(happening)
		w.now = max(w.now, e.at)
		e.fn()
		if w.stats.Happenings++; w.stats.Happenings > mostHappenings {
			w.fail("a history comes to its end", "%d things have happened", w.stats.Happenings)
		}
	}
	w.now = end
}

// chance is true so many times in a thousand.
func (w *world) chance(perMille int) bool { return w.rng.IntN(1000) < perMille }

// between is a random time.
func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.rng.Int64N(int64(most-least)+1))
}

func oneOf[T any](w *world, list ...T) T { return list[w.rng.IntN(len(list))] }

// count notes that a fault or a turn of events has happened.
func (w *world) count(what string) {
	w.stats.Seen[what]++
	w.write("* %s", what)
}

// violation is what a broken invariant panics with. Its kind names the invariant.
type violation struct{ kind, detail string }

// fail ends the history: an invariant is broken.
func (w *world) fail(kind, format string, args ...any) {
	panic(violation{kind, fmt.Sprintf(format, args...)})
}

// history is what has happened, line by line; its hash is always there.
type history struct {
	hash  uint64
	lines []string
}

func (w *world) write(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	h := fnv.New64a()
	fmt.Fprintf(h, "%x %d %s", w.history.hash, w.now, line)
	w.history.hash = h.Sum64()
	if w.keep {
		at := time.Unix(0, w.now).In(shanghai).Format("01-02 15:04:05.000")
		w.history.lines = append(w.history.lines, at+" "+line)
	}
}

var shanghai = time.FixedZone("+08:00", 8*3600)

// Stats is what has happened in one history or in many.
type Stats struct {
	Seeds, Operations, Happenings, Inputs, Events, Batches, Restarts int
	Purchases, Captured                                              int
	Seen                                                             map[string]int // faults and turns of events, by name
}

// Add sums.
func (s *Stats) Add(o Stats) {
	if s.Seen == nil {
		s.Seen = map[string]int{}
	}
	s.Seeds, s.Operations, s.Happenings = s.Seeds+o.Seeds, s.Operations+o.Operations, s.Happenings+o.Happenings
	s.Inputs, s.Events, s.Batches, s.Restarts = s.Inputs+o.Inputs, s.Events+o.Events, s.Batches+o.Batches, s.Restarts+o.Restarts
	s.Purchases, s.Captured = s.Purchases+o.Purchases, s.Captured+o.Captured
	for name, n := range o.Seen {
		s.Seen[name] += n
	}
}

// Missing names what a large enough run must have seen and has not.
func (s *Stats) Missing() (names []string) {
	for _, name := range mustHappen {
		if s.Seen[name] == 0 {
			names = append(names, name)
		}
	}
	return names
}

// mustHappen are the faults and turns of events without which a run of many seeds has shown little.
var mustHappen = func() []string {
	list := []string{
		"fault: message lost", "fault: message doubled", "fault: message delayed", "fault: messages reordered", "fault: reversal overtakes its request",
		"fault: late answer of a host", "fault: partial approval", "fault: link down", "fault: approved over another amount",
		"fault: disk full", "fault: sync fails", "fault: sync fails after persisting", "fault: torn write", "fault: snapshot damaged",
		"fault: append lost on the way", "fault: answer to an append lost", "fault: stale owner refused",
		"fault: journal at its high-water mark", "fault: clock set back", "fault: turned away at the door", "fault: turned away in the queue",
		"fault: dropped, its terminal has given up", "fault: slow disk", "turn: working keys proved", "turn: pending keys replaced", "fault: database away", "fault: commit of rows unanswered",
		"turn: midnight", "turn: batch closed", "turn: hold expired", "turn: quarantine ended by time", "turn: policy changed",
		"turn: budget changed", "turn: paused", "turn: stopped", "turn: hold released by two", "turn: supplement by hand",
		"turn: settled by a person", "turn: round closed", "turn: graceful restart", "turn: dead letter", "turn: late answer recorded", "turn: wallet is asked",
		"turn: refund without an answer", "check: replay equals live state", "check: fresh answers", "check: answers kept", "check: a rejected input changes nothing", "turn: power loss", "turn: process killed",
	}
	for _, name := range pointNames {
		list = append(list, "crash: "+name)
	}
	return list
}()

// String is a report.
func (s *Stats) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d seeds, %d operations, %d inputs decided, %d events in %d batches, %d starts of the switch, %d purchases, %d captured\n",
		s.Seeds, s.Operations, s.Inputs, s.Events, s.Batches, s.Restarts, s.Purchases, s.Captured)
	kind := ""
	for _, name := range slices.Sorted(keysOf(s.Seen)) {
		head, tail, _ := strings.Cut(name, ": ")
		if head != kind {
			if kind != "" {
				b.WriteByte('\n')
			}
			kind = head
			fmt.Fprintf(&b, "%s:", head)
		}
		fmt.Fprintf(&b, " %s %d;", tail, s.Seen[name])
	}
	b.WriteByte('\n')
	return b.String()
}
