package check_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"huanxin/internal/bench/year"
	"huanxin/internal/postgres"
	"huanxin/internal/postgres/pgtest"
	"huanxin/risk/geo"
	"huanxin/switch/check"
	"huanxin/switch/coldlog"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/journal"
	"huanxin/switch/projection"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// made is a journal with snapshots and cold purchases, made once and copied for each test: a short year in small batches.
var made = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "huanxin-check-")
	if err != nil {
		return "", err
	}
	_, err = year.Make(context.Background(), year.Config{
		Dir: filepath.Join(dir, "year"), Persons: 300, Terminals: year.FirstTerminal + 20, Products: 100, Days: 20, Tail: 100,
	})
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "journal"), repack(filepath.Join(dir, "year", "journal"), filepath.Join(dir, "journal"))
})

// repack writes the events of a journal into one of small batches, with the state after two thirds and at the end.
func repack(from, to string) error {
	folder, err := journal.OpenFolder(from, "")
	if err != nil {
		return err
	}
	var events []*event.Event
	err = folder.Replay(1, 0, func(b *journal.Batch) error {
		events = append(events, b.Events...)
		return nil
	})
	if err != nil {
		return err
	}
	j, err := journal.Open(context.Background(), journal.Config{Programme: folder.Programme(), Dir: to})
	if err != nil {
		return err
	}
	defer j.Close()
	province, err := geo.Load(geo.LiaoningGeoJSON)
	if err != nil {
		return err
	}
	e, err := engine.New(engine.Config{Map: province, Cold: j.Cold()})
	if err != nil {
		return err
	}
	var d journal.Draft
	const each = 20
	for i := 0; i < len(events); i += each {
		d.Reset()
		batch := events[i:min(i+each, len(events))]
		if err := d.Add(batch...); err != nil {
			return err
		}
		end, err := j.Append(context.Background(), &d)
		if err != nil {
			return err
		}
		for _, ev := range batch {
			e.Apply(ev)
		}
		if i/each == len(events)*2/3/each || i+each >= len(events) {
			snap := journal.Snapshot{Position: end.Position, Hash: end.Hash, Seq: e.Seq()}
			if err := j.Snapshots().Save(snap, e.WriteState); err != nil {
				return err
			}
		}
	}
	return nil
}

// place is a copy of it for one test.
func place(t testing.TB) string {
	from, err := made()
	require.NoError(t, err)
	to := filepath.Join(t.TempDir(), "journal")
	require.NoError(t, os.CopyFS(to, os.DirFS(from)))
	return to
}

func config(t testing.TB, dir string) check.Config {
	province, err := geo.Load(geo.LiaoningGeoJSON)
	require.NoError(t, err)
	return check.Config{Folder: dir, Engine: engine.Config{Map: province}, Work: t.TempDir()}
}

func run(t testing.TB, cfg check.Config) *check.Report {
	r, err := check.Run(t.Context(), cfg)
	require.NoError(t, err)
	return r
}

// requireFound holds that something was found, all of it where it may be, and the first as it should be.
func requireFound(t testing.TB, r *check.Report, where string, position uint64, text string) {
	t.Helper()
	require.Positive(t, r.Found)
	for _, d := range r.Differences {
		if d.Where == where && d.Position == position {
			require.Contains(t, d.Text, text)
			return
		}
	}
	require.Fail(t, "not found", "%s at position %d in %v", where, position, r.Differences)
}

func TestAWholeJournalIsClean(t *testing.T) {
	dir := place(t)
	r := run(t, config(t, dir))
	require.Empty(t, r.Differences)
	require.Zero(t, r.Found)
	require.Len(t, r.Snapshots, 2)
	for _, s := range r.Snapshots {
		require.True(t, s.Equal)
	}
	require.Positive(t, r.Totals.Captured)
	require.Positive(t, r.Totals.Returned, "some have given back")
	require.Equal(t, r.Totals.Purchases, r.Totals.Subsidised)
}

// What nobody may find changed is the journal's folder, to the last byte and time.
func TestACheckChangesNothing(t *testing.T) {
	dir := place(t)
	look := func() (list []string) {
		require.NoError(t, filepath.Walk(dir, func(name string, info os.FileInfo, err error) error {
			require.NoError(t, err)
			list = append(list, fmt.Sprint(name, info.Size(), info.ModTime(), info.Mode()))
			return nil
		}))
		return list
	}
	before := look()
	run(t, config(t, dir))
	require.Equal(t, before, look())
}

func TestAFlippedByteIsFoundAtItsPosition(t *testing.T) {
	s := openSegment(t, place(t))
	s.batch(7)[batchHead+30] ^= 1
	s.save()
	requireFound(t, run(t, config(t, filepath.Dir(filepath.Dir(s.file)))), "journal", 7, "batch damaged")
}

func subsidyOneMore(ev *event.Event) bool {
	m := ev.GetReserved()
	if m == nil {
		return false
	}
	m.Subsidy, m.Payable = m.Subsidy+100, m.Payable-100
	m.Parts[0].Amount += 100
	return true
}

// editable is a batch behind the 100th that holds a reserve.
func editable(t testing.TB, s *segment) (position int, edited []byte) {
	for position = 100; ; position++ {
		if edited = edit(t, s.batch(position), subsidyOneMore); edited != nil {
			return position, edited
		}
	}
}

// An event that was edited with a good CRC breaks the chain behind it, and does not agree with what follows.
func TestAnEditedEventWithAGoodCRCIsFound(t *testing.T) {
	s := openSegment(t, place(t))
	position, edited := editable(t, s)
	all := s.all()
	all[position-1] = edited
	s.replace(all...)
	s.save()
	requireFound(t, run(t, config(t, filepath.Dir(filepath.Dir(s.file)))), "journal", uint64(position)+1, "chain broken")
}

// One that was edited together with the whole chain behind it is not what was seen durable, which the mark remembers.
func TestAnEditedEventWithAForgedChainIsFoundByTheMark(t *testing.T) {
	s := openSegment(t, place(t))
	position, edited := editable(t, s)
	all := s.all()
	all[position-1] = edited
	chain(all, position)
	s.replace(all...)
	s.save()
	requireFound(t, run(t, config(t, filepath.Dir(filepath.Dir(s.file)))), "journal", uint64(len(all)), "another")
}

// And one that was edited together with chain and mark contradicts the facts around it, and the snapshots.
func TestAnEditedEventWithAForgedMarkIsFoundByTheBooks(t *testing.T) {
	s := openSegment(t, place(t))
	position, edited := editable(t, s)
	all := s.all()
	all[position-1] = edited
	chain(all, position)
	s.replace(all...)
	s.save()
	s.mark()
	r := run(t, config(t, filepath.Dir(filepath.Dir(s.file))))
	var found []string
	for _, d := range r.Differences {
		found = append(found, d.Where+", "+d.What)
	}
	require.Contains(t, found, "events, order", "the sale is over another amount than its hold")
	last := r.Snapshots[1]
	require.Contains(t, found, "snapshot "+last.Name+", history")
	require.Contains(t, found, "snapshot "+last.Name+", bytes")
	require.False(t, last.Equal)
	require.True(t, r.Snapshots[0].Equal, "it lies in front of what was edited")
}

// without takes the event in the middle of a batch out of it, and computes its CRC anew.
func without(t testing.TB, batch []byte) []byte {
	out, rest := append([]byte(nil), batch[:batchHead]...), batch[batchHead:]
	var events [][]byte
	for len(rest) > 0 {
		_, n := protowire.ConsumeBytes(rest)
		require.Positive(t, n)
		events, rest = append(events, rest[:n]), rest[n:]
	}
	for i, ev := range events {
		if i != len(events)/2 {
			out = append(out, ev...)
		}
	}
	return sign(out)
}

// An event that was taken out of its batch leaves a gap in the numbers, and its batch another hash.
func TestARemovedEventIsFound(t *testing.T) {
	s := openSegment(t, place(t))
	all := s.all()
	all[49] = without(t, all[49])
	s.replace(all...)
	s.save()
	requireFound(t, run(t, config(t, filepath.Dir(filepath.Dir(s.file)))), "journal", 50, "where")

	chain(all, 50)
	s.replace(all...)
	s.save()
	s.mark()
	requireFound(t, run(t, config(t, filepath.Dir(filepath.Dir(s.file)))), "journal", 50, "where")
}

func TestADeletedBatchIsFound(t *testing.T) {
	s := openSegment(t, place(t))
	all := s.all()
	s.replace(append(append([][]byte(nil), all[:49]...), all[50:]...)...)
	s.save()
	requireFound(t, run(t, config(t, filepath.Dir(filepath.Dir(s.file)))), "journal", 50, "position 51 follows 49")
}

func TestSwappedBatchesAreFound(t *testing.T) {
	s := openSegment(t, place(t))
	all := s.all()
	all[49], all[50] = all[50], all[49]
	s.replace(all...)
	s.save()
	requireFound(t, run(t, config(t, filepath.Dir(filepath.Dir(s.file)))), "journal", 50, "position 51 follows 49")
}

func TestARepeatedBatchIsFound(t *testing.T) {
	s := openSegment(t, place(t))
	all := s.all()
	s.replace(append(append([][]byte(nil), all[:50]...), all[49:]...)...)
	s.save()
	requireFound(t, run(t, config(t, filepath.Dir(filepath.Dir(s.file)))), "journal", 51, "position 50 follows 50")
}

func TestATruncatedJournalIsFound(t *testing.T) {
	s := openSegment(t, place(t))
	all := s.all()
	s.replace(all[:len(all)-3]...)
	s.save()
	requireFound(t, run(t, config(t, filepath.Dir(filepath.Dir(s.file)))), "journal", uint64(len(all)-2), "ends too early")
}

func TestAChangedSnapshotIsFound(t *testing.T) {
	dir := place(t)
	files, err := filepath.Glob(filepath.Join(dir, "snapshots", "*.snap"))
	require.NoError(t, err)
	b, err := os.ReadFile(files[0])
	require.NoError(t, err)
	b[len(b)/2] ^= 1
	require.NoError(t, os.WriteFile(files[0], b, 0o600))
	r := run(t, config(t, dir))
	require.Equal(t, 1, r.Found)
	require.Contains(t, r.Differences[0].String(), filepath.Base(files[0]))
	require.Contains(t, r.Differences[0].Text, "snapshot damaged")
}

// A snapshot in which somebody has changed a number, and whose checksum fits, is held against the events: what differs is named.
func TestAForgedSnapshotIsFoundAndExplained(t *testing.T) {
	dir := place(t)
	folder, err := journal.OpenFolder(dir, "")
	require.NoError(t, err)
	cfg := config(t, dir).Engine
	cfg.Cold = coldlog.OpenShadow("", t.TempDir())
	forged, err := engine.New(cfg)
	require.NoError(t, err)
	var end journal.Mark
	require.NoError(t, folder.Replay(1, 0, func(b *journal.Batch) error {
		for _, ev := range b.Events {
			if m := ev.GetBudgetNodeSet(); m != nil && m.Path == "" {
				m.Amount += 100
			}
			forged.Apply(ev)
		}
		end = b.Mark("end")
		return nil
	}))
	j, err := journal.Open(t.Context(), journal.Config{Dir: dir, Programme: folder.Programme()})
	require.NoError(t, err)
	require.NoError(t, j.Snapshots().Save(journal.Snapshot{Position: end.Position, Hash: end.Hash, Seq: forged.Seq()}, forged.WriteState))
	require.NoError(t, j.Close())
	r := run(t, config(t, dir))
	last := r.Snapshots[len(r.Snapshots)-1]
	require.True(t, last.Compared)
	require.False(t, last.Equal)
	requireFound(t, r, "snapshot "+last.Name, end.Position, "not the state that the events lead to")
	named := false
	for _, d := range r.Differences {
		named = named || d.What == "budget" && strings.Contains(d.Text, `budget node "": allocated`)
	}
	require.True(t, named, "%v", r.Differences)
}

// What no program of this version would start from is not compared, and says so: it is not equal, and it is no difference.
func TestASnapshotOfAnotherVersionIsNotCompared(t *testing.T) {
	dir := place(t)
	folder, err := journal.OpenFolder(dir, "")
	require.NoError(t, err)
	j, err := journal.Open(t.Context(), journal.Config{Dir: dir, Programme: folder.Programme()})
	require.NoError(t, err)
	var end journal.Mark
	require.NoError(t, j.Replay(t.Context(), 1, func(b *journal.Batch) error { end = b.Mark("end"); return nil }))
	require.NoError(t, j.Snapshots().Save(journal.Snapshot{Position: end.Position, Hash: end.Hash, Seq: j.Report().LastSeq}, func(w io.Writer) error {
		_, err := w.Write(binary.AppendUvarint(nil, engine.StateVersion+1))
		return err
	}))
	require.NoError(t, j.Close())
	r := run(t, config(t, dir))
	require.Empty(t, r.Differences)
	last := r.Snapshots[len(r.Snapshots)-1]
	require.False(t, last.Compared)
	require.False(t, last.Equal)
	require.Contains(t, r.Notes[0], "is not compared")
	require.True(t, r.Snapshots[0].Compared && r.Snapshots[0].Equal)
}

func TestAChangedColdRecordIsFound(t *testing.T) {
	dir := place(t)
	file := filepath.Join(dir, "cold", "000000.cold")
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	b[len(b)/2] ^= 1
	require.NoError(t, os.WriteFile(file, b, 0o600))
	r := run(t, config(t, dir))
	require.Positive(t, r.Found)
	require.Equal(t, "cold log", r.Differences[0].Where)
}

func TestAnArchiveIsABeginningOfItsJournal(t *testing.T) {
	dir := place(t)
	export := func(dir string) string {
		folder, err := journal.OpenFolder(dir, "")
		require.NoError(t, err)
		f, err := os.Create(filepath.Join(t.TempDir(), "archive"))
		require.NoError(t, err)
		_, err = folder.Export(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		return f.Name()
	}
	archive := export(dir)
	cfg := config(t, dir)
	cfg.Archives = []string{archive}
	r := run(t, cfg)
	require.Empty(t, r.Differences)
	require.True(t, r.Archives[0].Equal)

	cfg.Folder = ""
	alone := run(t, cfg)
	require.Empty(t, alone.Differences)
	require.Equal(t, r.Totals, alone.Totals)

	s := openSegment(t, dir)
	position, edited := editable(t, s)
	all := s.all()
	all[position-1] = edited
	chain(all, position)
	s.replace(all...)
	s.save()
	s.mark()
	cfg.Folder = dir
	requireFound(t, run(t, cfg), "archive", uint64(len(all)), "the journal")
}

// following is a journal that a projector follows.
type following struct{ *journal.Journal }

func (f following) Holds(ctx context.Context, at projection.Position) error {
	return f.Journal.Holds(ctx, journal.Mark{Name: "rows", Position: at.Batch, Hash: at.Hash})
}

func (f following) Follow(ctx context.Context, from uint64) (projection.Source, error) {
	r, err := f.Journal.Follow(ctx, from)
	if err != nil {
		return nil, err
	}
	return source{r}, nil
}

type source struct{ *journal.Reader }

func (s source) Next(ctx context.Context) (projection.Batch, error) {
	b, err := s.Reader.Next(ctx)
	if err != nil {
		return projection.Batch{}, err
	}
	return projection.Batch{Position: b.Position, Hash: b.Hash, Events: b.Events}, nil
}

func (s source) Close() { s.Reader.Close() }

// projected fills a database with the rows of a journal.
func projected(t *testing.T, dir string) *postgres.Database {
	d := pgtest.New(t)
	folder, err := journal.OpenFolder(dir, "")
	require.NoError(t, err)
	j, err := journal.Open(t.Context(), journal.Config{Programme: folder.Programme(), Dir: dir})
	require.NoError(t, err)
	p, err := projection.New(projection.Config{Journal: following{j}, Store: d.Projection(), Metrics: prometheus.NewRegistry()})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	require.NoError(t, p.Wait(ctx, j.Position()))
	cancel()
	require.NoError(t, <-ended)
	require.NoError(t, j.Close())
	return d
}

func TestRowsThatSomebodyHasChangedAreFoundAndNamed(t *testing.T) {
	dir := place(t)
	d := projected(t, dir)
	cfg := config(t, dir)
	cfg.Database = func(ctx context.Context) (check.Database, error) { return d.Freeze(ctx) }
	r := run(t, cfg)
	require.Empty(t, r.Differences)
	require.Equal(t, r.Position, r.Database.Position)
	require.Equal(t, r.Totals.Purchases, r.Database.Rows["purchases"])

	for _, change := range []struct{ statement, table, text string }{
		{"UPDATE purchases SET subsidy = subsidy + 1 WHERE id = 17", "purchases", "17: "},
		{"UPDATE purchases SET merchant = 'another', person = '\\x00' WHERE id = 18", "purchases", "18: its description"},
		{"DELETE FROM captures WHERE purchase = 19", "captures", "no row for it"},
		{"DELETE FROM entitlements WHERE id = 20", "entitlements", "no row for 20"},
		{"UPDATE budget_nodes SET spent = spent - 1 WHERE root", "budget_nodes", `"": allocated`},
		{"INSERT INTO captures (purchase, month, ordinary, city, merchant, terminal, category, leaf, amount, subsidy, host, rrn, response, " +
			"approval, clearing_date, captured_at, seq) SELECT 999999, month, ordinary, city, merchant, terminal, category, leaf, amount, subsidy, host, " +
			"rrn, response, approval, clearing_date, captured_at, 3 FROM captures WHERE purchase = 21", "captures", "a row too many"},
		{"UPDATE projection_position SET seq = seq - 1", "projection_position", "it has the batch"},
	} {
		t.Run(change.statement[:25], func(t *testing.T) {
			d := projected(t, place(t))
			pgtest.Exec(t, d, change.statement)
			cfg.Database = func(ctx context.Context) (check.Database, error) { return d.Freeze(ctx) }
			r := run(t, cfg)
			require.Positive(t, r.Found)
			var texts string
			for _, found := range r.Differences {
				require.Equal(t, "database", found.Where)
				require.Equal(t, change.table, found.What)
				texts += found.Text + "\n"
			}
			require.Contains(t, texts, change.text)
		})
	}
}
