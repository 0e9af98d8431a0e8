// Package journal makes the facts of a programme durable and gives them back in order: packed batches, chained by hash, with
// one writer, in a log of its own or in a stream of an external NATS JetStream cluster, and snapshots beside it.
//
// It does not know what an event means, does not decide when a batch is full, and does not retry: an append that fails,
// or whose outcome is unknown, is the end of the process.
//
// # Contract
//
// The owner of a programme
//
//  1. opens the journal (Open): the folder is locked, the whole chain walked and compared with every mark that says how
//     far it must reach; anything that does not fit is an error naming the position;
//  2. loads the newest good snapshot (Snapshots().Load) and applies what follows it (Replay);
//  3. packs the events of each Step into a Draft (Add) and appends it (Append), one at a time, in order;
//  4. lets nothing that depends on those events leave the process before Append has returned nil;
//  5. stops when Append returns an error, whichever it is. The batch may or may not be in the stream; the next Open
//     finds out.
//
// Readers in the same process (the snapshot follower, the projection) use Follow. README.md holds the layout of the
// bytes, the guarantees, and what remains undetectable.
package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"

	"huanxin/switch/coldlog"
)

var (
	// ErrFenced is returned by Append when another writer has appended to the stream: this process is no longer the
	// owner and can only stop.
	ErrFenced = errors.New("fenced off by another writer")
	// ErrAppend is returned by Append when the outcome is unknown or the stream refused the batch, and by every Append
	// after a failed one.
	ErrAppend = errors.New("append failed")
	// ErrLocked is returned when another process of this machine has the journal's folder open.
	ErrLocked = errors.New("journal is in use by another process")
	// ErrMissing is returned when a message that must be in the stream is not there.
	ErrMissing = errors.New("batch missing")
	// ErrShort is returned when the stream ends before a position that somebody has already seen durable.
	ErrShort = errors.New("stream ends too early")
	// ErrDiverged is returned when the stream has another batch at a position than the one somebody has seen there.
	ErrDiverged = errors.New("stream has another history")
	// ErrAbsent is returned when there is no journal and a new one may not be begun.
	ErrAbsent = errors.New("there is no journal")
	// ErrProgramme is returned when the folder holds another programme's journal.
	ErrProgramme = errors.New("another programme's journal")
	// ErrClosed is returned by operations on a closed journal.
	ErrClosed = errors.New("journal is closed")
	// ErrReadOnly is returned by Append on a journal opened for reading.
	ErrReadOnly = errors.New("journal is open for reading only")
)

// Mark is a place in the chain that somebody relies on: a snapshot, a follower, the position in Postgres.
type Mark struct {
	Name     string // who relies on it, for the error text
	Position uint64
	Hash     Hash // zero when only the position is known
}

// Config is what a journal needs. Programme and Dir are required.
type Config struct {
	// Programme names the stream and is bound into the chain: letters, digits, '-' and '_'.
	Programme string
	// Dir is the journal's folder: lock, mark, snapshots, cold log and – unless URL is set – the log. Created 0700.
	Dir string
	// URL of an external NATS cluster with JetStream; empty means the log in the folder. The cluster must run with
	// sync_interval: always, or a power loss takes acknowledged batches with it.
	URL string
	// Replicas of the stream on an external cluster: 1, 3 or 5. Default 1; the log in the folder is one.
	Replicas int
	// HighWater is the size of all packed batches in bytes at which Full reports true. Default 64 GiB.
	HighWater int64
	// MinFree is the free space of the file system in bytes below which Full reports true. Default 256 MiB, negative
	// for no check. Without a URL only.
	MinFree int64
	// AppendTimeout is how long an append may take before its outcome counts as unknown. Default 10 s. A disk cannot be
	// interrupted: there the append fails when it returns, and the log says in time what it waits for.
	AppendTimeout time.Duration
	// MustReach are places that the stream must still contain, with the hash they had. The newest good snapshot and
	// the journal's own high-water mark are checked without being named here.
	MustReach []Mark
	// MustExist refuses to begin a new journal (ErrAbsent): an empty folder may be one whose volume is not mounted.
	MustExist bool
	// ReadOnly opens without lock, mark and snapshots, and never creates a stream. It needs a URL.
	ReadOnly bool
	// Logger takes the warnings of the journal. Default: none.
	Logger *zap.Logger
	// Place is told when the journal's work comes to one of the places. For drills only. Default: nobody.
	Place func(place string)

	// What follows is for the tests: disks that fail, time that passes, and logs of many small segments.
	openFile    openLogFile
	syncFolder  func(dir string) error
	now         func() time.Time
	segmentSize func(number uint64) int64
}

// The places of a drill.
const (
	PlaceWritten         = "journal-written"  // a batch is in the file and not synced
	PlaceSynced          = "journal-synced"   // it is synced; the mark does not know, and nobody has been told
	PlaceSegmentFilling  = "segment-filling"  // a part of the next segment's zeros is there
	PlaceSnapshotWritten = "snapshot-written" // the body of a snapshot is in a file with another name, not synced
	PlaceSnapshotSynced  = "snapshot-synced"  // the whole snapshot is there under another name
	PlaceSnapshotNamed   = "snapshot-named"   // it has its name, the older ones are not removed yet
)

const (
	defaultHighWater     = 64 << 30
	defaultMinFree       = 256 << 20
	defaultAppendTimeout = 10 * time.Second

	// The mark file is synced with the first append after so many or so long: 0.2 ms in a thousand batches, or in a second.
	markSyncEvery = 1024
	markSyncAfter = time.Second
)

var programmeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// checked fills in the defaults and refuses what cannot work.
func (c Config) checked() (Config, error) {
	if !programmeName.MatchString(c.Programme) {
		return c, fmt.Errorf("journal: programme %q: letters, digits, '-' and '_' only, at most 64", c.Programme)
	}
	if c.Dir == "" && !c.ReadOnly {
		return c, errors.New("journal: no folder given")
	}
	if c.ReadOnly && c.URL == "" {
		return c, errors.New("journal: reading beside the owner needs the URL of an external cluster; use OpenFolder on a folder")
	}
	switch c.Replicas {
	case 0:
		c.Replicas = 1
	case 1, 3, 5:
	default:
		return c, fmt.Errorf("journal: %d replicas: 1, 3 or 5", c.Replicas)
	}
	if c.Replicas > 1 && c.URL == "" {
		return c, fmt.Errorf("journal: %d replicas need the URL of an external cluster", c.Replicas)
	}
	if c.HighWater < 0 || c.AppendTimeout < 0 {
		return c, errors.New("journal: negative high-water mark or time-out")
	}
	if c.HighWater == 0 {
		c.HighWater = defaultHighWater
	}
	if c.MinFree == 0 {
		c.MinFree = defaultMinFree
	}
	if c.AppendTimeout == 0 {
		c.AppendTimeout = defaultAppendTimeout
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.openFile == nil {
		c.openFile = openDiskFile
	}
	if c.Place == nil {
		c.Place = func(string) {}
	}
	if c.syncFolder == nil {
		c.syncFolder = syncFolder
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.segmentSize == nil {
		c.segmentSize = sizeOfSegment
	}
	return c, nil
}

// Journal is an open journal. Append and Close belong to one goroutine; everything else may be called from any.
type Journal struct {
	cfg    Config
	lock   *folderLock
	stream stream
	mark   *markFile
	snaps  *SnapshotStore
	cold   *coldlog.Log

	// Owned by the appender.
	end    link
	report Report
	failed error
	unsync int       // appends since the mark file was last synced …
	synced time.Time // … and when that was

	// position is the last acknowledged batch; size the bytes of all.
	position atomic.Uint64
	size     atomic.Int64
	free     freeSpace
	recent   recent

	// wakeMu guards the channel that waiting readers share; nil when none waits. It is closed after each append.
	wakeMu sync.Mutex
	wake   chan struct{}
	closed bool
}

// Open takes the journal's folder, opens its log or reaches the cluster, creates that of a new programme, and walks the
// whole chain. It returns ErrLocked, ErrDamaged, ErrChain, ErrMissing, ErrShort, ErrDiverged, ErrProgramme or ErrVersion,
// wrapped with the positions, when the journal cannot be trusted; the batches have then not been touched.
func Open(ctx context.Context, cfg Config) (*Journal, error) {
	cfg, err := cfg.checked()
	if err != nil {
		return nil, err
	}
	j := &Journal{cfg: cfg}
	if err := j.open(ctx); err != nil {
		j.release()
		return nil, fmt.Errorf("open journal of %s: %w", cfg.Programme, err)
	}
	return j, nil
}

func (j *Journal) open(ctx context.Context) error {
	marks, isNew, err := j.openFolder()
	if err != nil {
		return err
	}
	w := newWalk(j.cfg.Programme, append(marks, j.cfg.MustReach...))
	if j.cfg.URL == "" {
		err = j.openLog(ctx, w, isNew)
	} else {
		err = j.openCluster(ctx, w, isNew)
	}
	if err != nil {
		return err
	}
	j.end, j.report = w.end, w.report
	j.position.Store(w.end.position)
	j.size.Store(w.report.Bytes)
	if isNew && w.end.position > 0 {
		j.cfg.Logger.Warn("the journal has batches but its mark is gone; whether its last ones are lost, only PostgreSQL and the snapshots could tell",
			zap.Uint64("position", w.end.position))
	}
	if j.mark != nil {
		j.synced = j.cfg.now()
		return j.mark.set(j.end, true)
	}
	return nil
}

// openCluster makes the stream only where there has never been one: a journal whose stream has vanished must not be
// continued from nothing.
func (j *Journal) openCluster(ctx context.Context, w *walk, isNew bool) error {
	n, err := reachNode(j.cfg)
	if err != nil {
		return err
	}
	j.stream = n
	if most := n.nc.MaxPayload(); !j.cfg.ReadOnly && most < leastPayload {
		return fmt.Errorf("the journal's server takes messages of at most %d bytes, batches need %d: set max_payload: 8MB in its configuration", most, leastPayload)
	}
	if err := n.openStream(ctx, isNew && w.reached(nil) == nil && !j.cfg.MustExist); err != nil {
		return err
	}
	return n.walk(ctx, w)
}

// openLog reads first and writes last: nothing is changed before the whole log is known to be good.
func (j *Journal) openLog(ctx context.Context, w *walk, isNew bool) error {
	if err := j.bringOver(ctx, w.marks); err != nil {
		return fmt.Errorf("bring the journal over from %s: %w", storeDir(j.cfg.Dir), err)
	}
	l := newSegmentLog(j.cfg)
	j.stream = l
	if programme, err := programmeOfLog(j.cfg.Dir); err != nil {
		return err
	} else if programme != "" && programme != j.cfg.Programme {
		return fmt.Errorf("%w: %s holds the journal of %s", ErrProgramme, j.cfg.Dir, programme)
	}
	t := &tour{segments: l.segments}
	if err := t.runAhead(unlessDone(ctx, w.take), unlessDone(ctx, w.step)); err != nil {
		return err
	}
	if err := w.reached(t.torn); err != nil {
		return err
	}
	if t.torn != nil {
		j.cfg.Logger.Warn("cutting off an append that was interrupted and never acknowledged", zap.String("file", t.torn.file),
			zap.Int64("offset", t.torn.offset), zap.Uint64("position", w.end.position+1), zap.Error(t.torn.reason))
		if err := t.torn.cut(); err != nil {
			return err
		}
	}
	switch {
	case t.at.number > 0:
		if err := l.resume(t); err != nil {
			return err
		}
	case isNew:
		if err := l.begin(j.cfg.Dir); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%w: there is no log, but the journal was in use before", ErrMissing)
	}
	return j.retireStore()
}

// openFolder locks the folder and collects the marks in it. isNew says that no journal has been opened here before.
func (j *Journal) openFolder() (marks []Mark, isNew bool, err error) {
	if j.cfg.ReadOnly {
		return nil, false, nil
	}
	if j.cfg.MustExist && j.cfg.URL == "" {
		if found, err := journalIn(j.cfg.Dir); err != nil {
			return nil, false, err
		} else if !found {
			return nil, false, fmt.Errorf("%w in %s", ErrAbsent, j.cfg.Dir)
		}
	}
	if err := makeFolder(j.cfg.Dir, j.cfg.syncFolder); err != nil {
		return nil, false, err
	}
	if j.lock, err = lockFolder(j.cfg.Dir); err != nil {
		return nil, false, err
	}
	if j.cold, err = coldlog.Open(filepath.Join(j.cfg.Dir, "cold")); err != nil {
		return nil, false, err
	}
	if j.snaps, err = openSnapshots(filepath.Join(j.cfg.Dir, "snapshots"), j.cold, j.cfg.Logger, j.cfg.Place); err != nil {
		return nil, false, err
	}
	if snap, ok := j.snaps.newest(); ok {
		marks = append(marks, Mark{Name: "newest snapshot", Position: snap.Position, Hash: snap.Hash})
	}
	var own Mark
	if j.mark, own, isNew, err = openMark(filepath.Join(j.cfg.Dir, "mark")); err != nil {
		return nil, false, err
	}
	return append(marks, own), isNew, nil
}

// journalIn says whether the folder holds anything of a journal that a new one must not take the place of.
func journalIn(dir string) (bool, error) {
	if _, err := os.Lstat(filepath.Join(dir, "mark")); !errors.Is(err, fs.ErrNotExist) {
		return err == nil, err
	}
	list, err := segments{dir: logDir(dir)}.list()
	if err != nil || len(list) > 0 {
		return err == nil, err
	}
	stored, err := storedProgrammes(dir)
	return len(stored) > 0, err
}

// Report is what the walk at Open found.
func (j *Journal) Report() Report { return j.report }

// Position is the last acknowledged batch; 0 when the journal is empty.
func (j *Journal) Position() uint64 { return j.position.Load() }

// Cold is the log of the cold purchases that lies beside the snapshots and is synced before each of them is saved; nil when
// the journal is open for reading only.
func (j *Journal) Cold() *coldlog.Log { return j.cold }

// Snapshots is the store of the journal's snapshots; nil when the journal is open for reading only.
func (j *Journal) Snapshots() *SnapshotStore { return j.snaps }

// Append makes the draft durable as the next batch and returns its mark. One append at a time; the draft is free for
// reuse when Append returns. Any error is fatal: the owner must stop, and every later Append returns the same error.
func (j *Journal) Append(ctx context.Context, d *Draft) (Mark, error) {
	if j.failed == nil {
		j.failed = j.append(ctx, d)
	}
	if j.failed != nil {
		return Mark{}, j.failed
	}
	return Mark{Name: "appended", Position: j.end.position, Hash: j.end.hash}, nil
}

func (j *Journal) append(ctx context.Context, d *Draft) error {
	position := j.end.position + 1
	switch {
	case j.cfg.ReadOnly:
		return ErrReadOnly
	case d.Empty():
		return fmt.Errorf("%w: batch %d is empty", ErrAppend, position)
	case d.first != j.end.nextSeq:
		return fmt.Errorf("append batch %d: %w: first event %d, expected %d", position, ErrChain, d.first, j.end.nextSeq)
	case d.Size() > j.stream.maxBatch():
		return fmt.Errorf("append batch %d: %w: %d bytes, the stream takes %d", position, ErrTooLarge, d.Size(), j.stream.maxBatch())
	}
	raw, hash := d.seal(position, j.end.hash)
	if err := j.stream.append(ctx, raw, position); err != nil {
		return fmt.Errorf("append batch %d: %w", position, err)
	}
	j.cfg.Place(PlaceSynced)
	j.end = link{position: position, hash: hash, nextSeq: d.first + uint64(d.count)}

	// The mark is written before the caller may release anything, but synced only now and then: it survives the death
	// of the process, not of the machine. See README.md.
	j.unsync++
	now := j.cfg.now()
	sync := j.unsync >= markSyncEvery || now.Sub(j.synced) >= markSyncAfter
	if sync {
		j.unsync, j.synced = 0, now
	}
	if err := j.mark.set(j.end, sync); err != nil {
		return fmt.Errorf("%w: mark batch %d: %w", ErrAppend, position, err)
	}
	j.recent.push(position, raw, hash)
	j.position.Store(position)
	j.size.Add(int64(len(raw)))
	j.wakeReaders()
	return nil
}

// Full says that the journal is at its high-water mark: no new holds and claims should be taken on, but what finishes
// business already begun must go on. It becomes false again by itself when there is room.
func (j *Journal) Full() bool {
	return j.size.Load() >= j.cfg.HighWater || j.cfg.URL == "" && j.cfg.MinFree > 0 && j.free.below(j.cfg.Dir, j.cfg.MinFree)
}

// Size is the size of all packed batches in bytes.
func (j *Journal) Size() int64 { return j.size.Load() }

// Close syncs the mark and closes the log or the connection. Readers get ErrClosed.
func (j *Journal) Close() error {
	j.wakeMu.Lock()
	already := j.closed
	j.closed = true
	j.wakeMu.Unlock()
	if already {
		return nil
	}
	if j.failed == nil {
		j.failed = ErrClosed
	}
	j.wakeReaders()
	return j.release()
}

func (j *Journal) release() error {
	var err error
	if j.mark != nil {
		err = j.mark.close()
	}
	if j.stream != nil {
		err = errors.Join(err, j.stream.close())
	}
	if j.cold != nil {
		err = errors.Join(err, j.cold.Close())
	}
	if j.lock != nil {
		err = errors.Join(err, j.lock.Close())
	}
	return err
}

func (j *Journal) wakeReaders() {
	j.wakeMu.Lock()
	if j.wake != nil {
		close(j.wake)
		j.wake = nil
	}
	j.wakeMu.Unlock()
}

func (j *Journal) isClosed() bool {
	j.wakeMu.Lock()
	defer j.wakeMu.Unlock()
	return j.closed
}

// waitChannel returns a channel that is closed at the next append or when the journal closes.
func (j *Journal) waitChannel() (<-chan struct{}, error) {
	j.wakeMu.Lock()
	defer j.wakeMu.Unlock()
	if j.closed {
		return nil, ErrClosed
	}
	if j.wake == nil {
		j.wake = make(chan struct{})
	}
	return j.wake, nil
}

// folderLock is what keeps a second owner out. It goes with the process, however that ends.
type folderLock struct {
	folder *os.File
	name   *os.File // tells the operator which process it is; nil where it could not be made
}

// lockFolder takes the folder for this process. What is locked is the folder itself: a file in it can be removed, and a second
// owner would lock the next of that name. The file is locked too, because releases before this one lock nothing else.
func lockFolder(dir string) (*folderLock, error) {
	name := filepath.Join(dir, "lock")
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	l := &folderLock{folder: folder}
	if err := flock(folder, name); err != nil {
		l.Close()
		return nil, err
	}
	// A full disk must not keep the owner out: what it does to make room needs the journal.
	if l.name, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		l.name = nil
		return l, nil
	}
	if err := flock(l.name, name); err != nil {
		l.Close()
		return nil, err
	}
	if l.name.Truncate(0) == nil {
		_, _ = fmt.Fprintf(l.name, "%d", os.Getpid())
	}
	return l, nil
}

func flock(f *os.File, name string) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder, _ := os.ReadFile(name) // a courtesy
		return fmt.Errorf("%w: %s is held by process %s", ErrLocked, f.Name(), holder)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

func (l *folderLock) Close() error {
	if l.name != nil {
		l.name.Close()
	}
	return l.folder.Close()
}

// freeSpace remembers for a second what the file system said.
type freeSpace struct {
	mu    sync.Mutex
	asked time.Time
	low   bool
}

func (s *freeSpace) below(dir string, limit int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.asked) >= time.Second {
		s.asked = now
		free, known := freeBytes(dir)
		s.low = known && free < uint64(limit)
	}
	return s.low
}

// freeBytes is what the file system has left. One that does not answer is not taken for a full one: the write itself will tell.
func freeBytes(dir string) (free uint64, known bool) {
	var st syscall.Statfs_t
	if syscall.Statfs(dir, &st) != nil {
		return 0, false
	}
	return uint64(st.Bavail) * uint64(st.Bsize), true
}
