// Package check replays a whole journal and holds everything that follows from it against what is kept beside it: the state of
// the engine, the snapshots, the cold log and the rows in PostgreSQL.
//
// Every batch is verified against the one before it, and every event is read twice: by package ledger, which knows nothing of
// the engine, and by the engine itself. Their books must be the same; the engine's state must be that of each snapshot, byte
// for byte; the rows must be what the ledger says at the position that the database names. So a fault of the engine, a state
// that has parted, a past event that was taken out, changed or put elsewhere, and a row that was changed by hand are found,
// each by another party than the one that is wrong.
//
// It reads and writes nothing: no lock, no file of the switch. What a running switch does meanwhile does not matter, since what
// is compared is fixed at the start: first the database's transaction, then the snapshots, then the end of the journal, in the
// reverse of the order in which a switch writes them.
package check

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"huanxin/switch/coldlog"
	"huanxin/switch/engine"
	"huanxin/switch/journal"
	"huanxin/switch/ledger"
	"huanxin/switch/projection"
)

// Config says what is checked.
type Config struct {
	// Folder is the journal's; Programme names it where the folder does not tell. Without a folder the first archive is what is
	// replayed, and nothing is held against it.
	Folder, Programme string
	// Archives are files that were exported from this journal: each must be a beginning of it.
	Archives []string
	// Database opens the rows as they are at one moment; nil when there are none. Its result is closed here.
	Database func(context.Context) (Database, error)
	// Engine is what the engine needs; Cold is set here.
	Engine engine.Config
	// Work is the folder for what of the cold log is not on disk. Default: the system's for temporary files.
	Work string
	// Limit is how many differences are told one by one, of one kind a fifth of it; all are counted. Default 100.
	Limit int
	// Progress, when set, is told the position and number of the last event now and then.
	Progress func(position, seq uint64)
	// Now is the clock of the report. Default time.Now.
	Now func() time.Time
}

// Report is what a check has found.
type Report struct {
	Programme string        `json:"programme"`
	Source    string        `json:"source"`
	Position  uint64        `json:"position"` // the head: the last batch that was read
	Hash      string        `json:"hash"`     // of it
	Events    uint64        `json:"events"`
	Bytes     int64         `json:"bytes"`
	Took      time.Duration `json:"took_ns"`
	Totals    ledger.Totals `json:"totals"`
	Snapshots []Compared    `json:"snapshots"`
	Archives  []Compared    `json:"archives"`
	Database  *Rows         `json:"database,omitempty"`
	Notes     []string      `json:"notes"`
	Found     int           `json:"differences_found"`
	// Differences are the first of them, and then how many more there are of each kind.
	Differences []Difference `json:"differences"`
}

// Compared is a file that was held against the journal. One that was not Compared is a state of another version, which no
// program of this version would start from, or stands behind an event that the engine refuses.
type Compared struct {
	Name     string `json:"name"`
	Position uint64 `json:"position"`
	Compared bool   `json:"compared"`
	Equal    bool   `json:"equal"`
}

// Rows says what of the database was compared.
type Rows struct {
	Position uint64            `json:"position"`
	Events   uint64            `json:"events"`
	Rows     map[string]uint64 `json:"rows"`
}

// run is one check.
type run struct {
	cfg    Config
	report Report
	found  differences

	folder    *journal.Folder
	snapshots []*journal.HeldSnapshot
	database  Database
	at        projection.Position // of the database
	shadow    *coldlog.Shadow
	archived  []archive
	ledger    *ledger.Ledger
	engine    *engine.Engine // nil once it has refused an event
	hash      journal.Hash   // of the last batch
}

// archive is the end of an exported file.
type archive struct {
	name string
	end  journal.Mark
}

// Run checks. An error means that it could not be done; what is wrong is in the report.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if cfg.Limit == 0 {
		cfg.Limit = 100
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Folder == "" && len(cfg.Archives) == 0 {
		return nil, errors.New("check: neither a folder nor an archive")
	}
	r := &run{cfg: cfg, ledger: ledger.New(), found: differences{limit: cfg.Limit, found: map[kind]int{}}, report: Report{
		Snapshots: []Compared{}, Archives: []Compared{}, Notes: []string{}, Differences: []Difference{},
	}}
	begun := cfg.Now()
	defer r.close()
	if err := r.run(ctx); err != nil {
		return nil, err
	}
	r.report.Took, r.report.Found, r.report.Differences = cfg.Now().Sub(begun), r.found.total, r.found.told()
	return &r.report, nil
}

func (r *run) close() {
	for _, s := range r.snapshots {
		_ = s.Close() // read only
	}
	if r.shadow != nil {
		_ = r.shadow.Close() // nothing in it lasts
	}
	if r.database != nil {
		r.database.Close()
	}
}

// say enters a difference.
func (r *run) say(d Difference) { r.found.add(d) }

// more counts differences of a kind that nobody has listed.
func (r *run) more(where, what string, n int) {
	if n > 0 {
		r.say(Difference{Where: where, What: what, Count: n})
	}
}

func (r *run) note(format string, args ...any) {
	r.report.Notes = append(r.report.Notes, fmt.Sprintf(format, args...))
}

func (r *run) run(ctx context.Context) error {
	if r.cfg.Folder == "" {
		return r.replayArchive(ctx)
	}
	if err := r.fix(ctx); err != nil {
		return err
	}
	if err := r.readArchives(ctx); err != nil {
		return err
	}
	r.shadow = coldlog.OpenShadow(r.folder.Cold(), r.cfg.Work)
	head, err := r.folder.Head(ctx)
	if err != nil {
		return err
	}
	r.report.Source = r.cfg.Folder
	return r.replay(ctx, func(fn func(journal.Packed) error) (journal.Report, error) {
		return r.folder.ReplayPacked(ctx, head, nil, fn)
	})
}

// fix fixes what is compared, in the reverse of the order in which a switch writes: what is in the database and in the
// snapshots is then in the journal.
func (r *run) fix(ctx context.Context) (err error) {
	if r.cfg.Database != nil {
		if r.database, err = r.cfg.Database(ctx); err == nil {
			r.at, err = r.database.Position(ctx)
		}
		if err != nil {
			return fmt.Errorf("database: %w", err)
		}
	}
	if r.folder, err = journal.OpenFolder(r.cfg.Folder, r.cfg.Programme); err != nil {
		return err
	}
	if r.snapshots, err = r.folder.HoldSnapshots(); err != nil {
		return err
	}
	r.folder, err = journal.OpenFolder(r.cfg.Folder, r.cfg.Programme) // and its mark once more
	return err
}

// replayArchive checks an exported file alone.
func (r *run) replayArchive(ctx context.Context) error {
	f, err := os.Open(r.cfg.Archives[0])
	if err != nil {
		return err
	}
	defer f.Close()
	if len(r.cfg.Archives) > 1 {
		return errors.New("check: without a folder there is one archive to replay")
	}
	r.report.Source = r.cfg.Archives[0]
	r.shadow = coldlog.OpenShadow("", r.cfg.Work)
	return r.replay(ctx, func(fn func(journal.Packed) error) (journal.Report, error) {
		return journal.ReadExportPacked(ctx, f, fn)
	})
}

// readArchives verifies the exported files and remembers where each ends.
func (r *run) readArchives(ctx context.Context) error {
	for _, name := range r.cfg.Archives {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		report, err := journal.ReadExportPacked(ctx, f, func(journal.Packed) error { return nil })
		f.Close()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			r.say(Difference{Where: "archive", What: "chain", Position: report.Last.Position + 1, Text: fmt.Sprintf("%s: %v", name, err)})
		case report.Programme != r.folder.Programme():
			r.say(Difference{Where: "archive", What: "programme", Text: fmt.Sprintf("%s is programme %s's", name, report.Programme)})
			continue
		}
		r.archived = append(r.archived, archive{name, report.Last})
	}
	return nil
}

// stop is a position at which everything that was read is compared with something.
type stop struct {
	position uint64
	compare  func(ctx context.Context) error
}

// stops are those of the check, ascending.
func (r *run) stops() (list []stop) {
	for _, s := range r.snapshots {
		list = append(list, stop{s.Position, func(context.Context) error { return r.compareSnapshot(s) }})
	}
	for _, a := range r.archived {
		list = append(list, stop{a.end.Position, func(context.Context) error { r.compareArchive(a); return nil }})
	}
	if r.database != nil {
		list = append(list, stop{r.at.Batch, r.compareDatabase})
	}
	slices.SortStableFunc(list, func(a, b stop) int {
		return int(min(max(int64(a.position)-int64(b.position), -1), 1))
	})
	return list
}

// replay goes through the journal and compares.
func (r *run) replay(ctx context.Context, source func(func(journal.Packed) error) (journal.Report, error)) (err error) {
	cfg := r.cfg.Engine
	cfg.Cold = r.shadow
	if r.engine, err = engine.New(cfg); err != nil {
		return err
	}
	line := newLine(r)
	defer line.close()
	stops := r.stops()
	reach := func(position uint64) error {
		for len(stops) > 0 && stops[0].position <= position {
			line.drain()
			if err := stops[0].compare(ctx); err != nil {
				return err
			}
			stops = stops[1:]
		}
		return nil
	}
	if err := reach(0); err != nil {
		return err
	}
	var failed error // of a comparison, not of the journal
	report, err := source(func(p journal.Packed) error {
		if failed = line.put(p); failed != nil {
			return failed
		}
		r.hash = p.Hash
		failed = reach(p.Position)
		return failed
	})
	line.drain()
	if line.wrong != nil { // it was verified as bytes and is no event
		err = line.wrong
	}
	switch {
	case failed != nil && line.wrong == nil:
		return failed
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && report.Programme == "":
		return err
	case err != nil:
		at := min(report.Last.Position, r.ledger.Position()) + 1
		if line.wrong != nil {
			at = line.at
		}
		r.say(Difference{Where: "journal", What: "chain", Position: at, Text: err.Error()})
	}
	r.report.Programme, r.report.Position, r.report.Bytes = report.Programme, report.Last.Position, report.Bytes
	r.report.Hash, r.report.Events = fmt.Sprintf("%x", report.Last.Hash), r.ledger.Seq()
	if report.Torn != "" {
		r.note("the journal ends in an append in flight, or one that nobody saw acknowledged: %s", report.Torn)
	}
	for _, s := range stops {
		r.say(Difference{Where: "journal", What: "end", Position: report.Last.Position, Text: fmt.Sprintf(
			"it was not read as far as position %d, at which it was to be compared", s.position)})
	}
	return r.end()
}

// end compares what the whole journal leads to.
func (r *run) end() error {
	for _, f := range r.ledger.Findings() {
		r.say(Difference{Where: "events", What: "order", Position: f.Position, Event: f.Seq, Text: f.Text})
	}
	r.more("events", "order", r.ledger.Found()-len(r.ledger.Findings()))
	type sums struct { // worked out beside the comparison: both only read the books
		list  []string
		found int
	}
	wrong := make(chan sums)
	go func() {
		list, found := r.ledger.Check(r.cfg.Limit)
		wrong <- sums{list, found}
	}()
	r.report.Totals = r.ledger.Totals()
	if r.engine != nil {
		if err := r.engine.CheckInvariants(); err != nil {
			r.say(Difference{Where: "state", What: "invariant", Text: err.Error()})
		}
		if err := CompareState(r.ledger, r.engine, "state", r.say); err != nil {
			r.say(Difference{Where: "cold log", What: "record", Text: err.Error()})
		}
	}
	s := <-wrong
	for _, text := range s.list {
		r.say(Difference{Where: "books", What: "sum", Text: text})
	}
	r.more("books", "sum", s.found-len(s.list))
	return nil
}

func (r *run) compareArchive(a archive) {
	c := Compared{Name: a.name, Position: a.end.Position, Compared: true, Equal: a.end.Hash == r.hash}
	if !c.Equal {
		r.say(Difference{Where: "archive", What: "history", Position: a.end.Position, Text: fmt.Sprintf(
			"%s has the batch %x there, the journal %x", a.name, a.end.Hash[:8], r.hash[:8])})
	}
	r.report.Archives = append(r.report.Archives, c)
}

// compareSnapshot holds a snapshot against the state that replay has led to: equal engines write equal bytes.
func (r *run) compareSnapshot(s *journal.HeldSnapshot) (err error) {
	where := "snapshot " + s.File
	c := Compared{Name: s.File, Position: s.Position}
	defer func() { r.report.Snapshots = append(r.report.Snapshots, c) }()
	if s.Err != nil {
		c.Compared = true
		r.say(Difference{Where: where, What: "damage", Text: s.Err.Error()})
		return nil
	}
	if s.Hash != r.hash {
		r.say(Difference{Where: where, What: "history", Position: s.Position, Text: fmt.Sprintf(
			"it was taken after the batch %x, the journal has %x there", s.Hash[:8], r.hash[:8])})
	}
	if r.engine == nil {
		return nil
	}
	if parted, ok := r.shadow.Parted(); ok && parted < r.shadow.End() {
		r.say(Difference{Where: "cold log", What: "bytes", Position: s.Position, Text: fmt.Sprintf(
			"from offset %d on it does not hold what %s refers to, up to %d", parted, s.File, r.shadow.End())})
	}
	var sum journal.Hash
	state := sha256.New()
	if err := r.engine.WriteState(state); err != nil {
		return err
	}
	c.Compared = true
	if state.Sum(sum[:0]); sum == s.Sum {
		c.Equal = s.Seq == r.engine.Seq()
		if !c.Equal {
			r.say(Difference{Where: where, What: "event", Text: fmt.Sprintf("it says event %d, its state is at %d", s.Seq, r.engine.Seq())})
		}
		return nil
	}
	c.Compared, err = r.explainSnapshot(s, where)
	return err
}

// explainSnapshot says in what a snapshot is another state than it should be. One of another version of the state is not
// compared, and that is no difference: a start passes it over, and the next save of this version takes its place.
func (r *run) explainSnapshot(s *journal.HeldSnapshot, where string) (compared bool, err error) {
	body, err := s.Body()
	if err != nil {
		return false, err
	}
	version, err := binary.ReadUvarint(bufio.NewReader(io.LimitReader(body, binary.MaxVarintLen64)))
	if err == nil && version != engine.StateVersion {
		r.note("%s is a state of version %d, this program's is %d: it is not compared", s.File, version, engine.StateVersion)
		return false, nil
	}
	r.say(Difference{Where: where, What: "bytes", Position: s.Position, Text: "it is not the state that the events lead to"})
	if body, err = s.Body(); err != nil {
		return true, err
	}
	cfg := r.cfg.Engine
	cfg.Cold = r.shadow
	other, err := engine.ReadState(cfg, body)
	if err != nil {
		r.say(Difference{Where: where, What: "state", Text: err.Error()})
		return true, nil
	}
	if err := CompareState(r.ledger, other, where, r.say); err != nil {
		r.say(Difference{Where: where, What: "cold purchases", Text: err.Error()})
	}
	return true, nil
}
