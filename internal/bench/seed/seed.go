// Package seed prepares the state folder of a switch offline: a programme in force, and persons who have claimed an
// entitlement and show a code for it. It goes the way of the switch itself – the site's own key file, Step of the real
// engine, appends to the real journal, a snapshot at the end – only without sockets, so a crowd of a million takes seconds.
//
// What it leaves is what a switch of that programme would have left after the same claims over HTTP and a graceful stop;
// `huanxin serve` starts on it with its programme folder DIR/programme.
package seed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"huanxin/config/programmes"
	"huanxin/risk/geo"
	"huanxin/subsidy/policy"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/journal"
	"huanxin/switch/keys"
	"huanxin/switch/keys/store"
)

// Seeder is an engine with its journal. Steps are decided and packed at once; a batch is appended when it is large.
type Seeder struct {
	dir      string
	journal  *journal.Journal
	appender *appender // nil until the journal is open
	engine   *engine.Engine
	keys     *keys.Set
	hasher   *keys.Hasher
	draft    *journal.Draft
	now      int64
	persons  uint64
}

// keyStore is where a switch with the state folder dir keeps its keys when the settings are silent.
func keyStore(dir string) store.Config {
	return keys.Config(filepath.Join(dir, "keys", "keys.yaml"), filepath.Join(dir, "keys", "lmk"), os.Getenv)
}

var seeder = store.Authority{By: "bench seed", Reason: "bench"}

// batchBytes is how large a batch of the seeder grows: as the switch's own under load.
const batchBytes = 1 << 20

// New makes the state folder dir, which must not hold a journal, with the programme in force.
func New(ctx context.Context, dir string, p Programme) (*Seeder, error) {
	return NewAt(ctx, dir, p, time.Now())
}

// NewAt is New at another time than now: its history begins in the past.
func NewAt(ctx context.Context, dir string, p Programme, at time.Time) (_ *Seeder, err error) {
	s := &Seeder{dir: dir, draft: new(journal.Draft), now: at.UnixNano()}
	defer func() {
		if err != nil {
			err = fmt.Errorf("seed %s: %w", dir, errors.Join(err, s.release()))
		}
	}()
	files, err := p.Files()
	if err != nil {
		return nil, err
	}
	if err := write(filepath.Join(dir, "programme"), files); err != nil {
		return nil, err
	}
	programme, err := policy.Compile(files)
	if err != nil {
		return nil, err
	}
	made, err := keys.Create(keyStore(dir), keys.Options{By: seeder})
	if err != nil {
		return nil, err
	}
	if s.keys, err = keys.FromStore(made); err != nil {
		return nil, err
	}
	s.hasher = s.keys.Hasher()
	cfg, err := engineConfig()
	if err != nil {
		return nil, err
	}
	if s.journal, err = journal.Open(ctx, s.journalConfig(programme)); err != nil {
		return nil, err
	}
	cfg.Cold = s.journal.Cold()
	if s.engine, err = engine.New(cfg); err != nil {
		return nil, err
	}
	s.appender = newAppender(s.journal, journal.Mark{})
	return s, s.putIntoForce(programme, policy.Rules(files), s.keys.PersonKeyCheck())
}

// Resume goes on where a state folder ends that a seeder has made: with its snapshot and what came after it, from now on.
func Resume(ctx context.Context, dir string) (_ *Seeder, err error) {
	s := &Seeder{dir: dir, draft: new(journal.Draft), now: time.Now().UnixNano()}
	defer func() {
		if err != nil {
			err = fmt.Errorf("resume %s: %w", dir, errors.Join(err, s.release()))
		}
	}()
	files, err := programmes.Load(os.DirFS(filepath.Join(dir, "programme")))
	if err != nil {
		return nil, err
	}
	programme, err := policy.Compile(files)
	if err != nil {
		return nil, err
	}
	made, _, err := keys.Open(keyStore(dir), keys.Options{By: seeder})
	if err != nil {
		return nil, err
	}
	if s.keys, err = keys.FromStore(made); err != nil {
		return nil, err
	}
	s.hasher = s.keys.Hasher()
	if s.journal, err = journal.Open(ctx, s.journalConfig(programme)); err != nil {
		return nil, err
	}
	end, err := s.restore(ctx)
	if err != nil {
		return nil, err
	}
	s.appender = newAppender(s.journal, end)
	return s, s.admin(&engine.TakeOwnership{
		Owner: "bench seed", Software: "bench", Programme: programme.ID, PersonKeyCheck: s.keys.PersonKeyCheck(),
	})
}

func (s *Seeder) journalConfig(p *policy.Programme) journal.Config {
	return journal.Config{Programme: p.ID, Dir: filepath.Join(s.dir, "journal")}
}

func engineConfig() (engine.Config, error) {
	province, err := geo.Load(geo.LiaoningGeoJSON)
	if err != nil {
		return engine.Config{}, err
	}
	return engine.Config{Map: province, Hosts: map[string]engine.HostProfile{"unionpay": {}, "wallet": {Wallet: true}}}, nil
}

// EmptyState writes the state of an engine without a history: it begins with the version of the format.
func EmptyState(w io.Writer) error {
	cfg, err := engineConfig()
	if err != nil {
		return err
	}
	eng, err := engine.New(cfg)
	if err != nil {
		return err
	}
	return eng.WriteState(w)
}

// restore makes the engine from the newest snapshot and what follows it.
func (s *Seeder) restore(ctx context.Context) (journal.Mark, error) {
	cfg, err := engineConfig()
	if err != nil {
		return journal.Mark{}, err
	}
	cfg.Cold = s.journal.Cold()
	snap, ok := s.journal.Snapshots().Load(func(_ journal.Snapshot, r io.Reader) (err error) {
		s.engine, err = engine.ReadState(cfg, r)
		return err
	})
	if !ok {
		return journal.Mark{}, errors.New("no snapshot")
	}
	end := journal.Mark{Position: snap.Position, Hash: snap.Hash}
	err = s.journal.Replay(ctx, snap.Position+1, func(b *journal.Batch) error {
		for _, ev := range b.Events {
			s.engine.Apply(ev)
		}
		end = b.Mark("seed")
		return nil
	})
	return end, err
}

// rowsAtOnce is what one SetRows may carry.
const rowsAtOnce = 1000

// putIntoForce does what `huanxin serve` does at its first start.
func (s *Seeder) putIntoForce(p *policy.Programme, rules map[string][]byte, check [8]byte) error {
	if err := s.admin(&engine.TakeOwnership{Owner: "bench seed", Software: "bench", Programme: p.ID, PersonKeyCheck: check}); err != nil {
		return err
	}
	var rows engine.SetRows
	flush := func(least int) error {
		if len(rows.Merchants)+len(rows.Terminals)+len(rows.Products) < least {
			return nil
		}
		err := s.admin(&rows)
		rows = engine.SetRows{}
		return err
	}
	for i := range p.Merchants {
		rows.Merchants = append(rows.Merchants, p.Merchants[i].Record())
		if err := flush(rowsAtOnce); err != nil {
			return err
		}
	}
	for i := range p.Terminals {
		rows.Terminals = append(rows.Terminals, p.Terminals[i].Record())
		if err := flush(rowsAtOnce); err != nil {
			return err
		}
	}
	for i := range p.Products {
		rows.Products = append(rows.Products, p.Products[i].Record())
		if err := flush(rowsAtOnce); err != nil {
			return err
		}
	}
	if err := flush(1); err != nil {
		return err
	}
	return s.admin(&engine.ApplyProgramme{Files: rules, Actor: "bench seed", Reason: "bench"})
}

// Hasher is the site's own.
func (s *Seeder) Hasher() *keys.Hasher { return s.hasher }

// Vault seals cards as the site's own does.
func (s *Seeder) Vault() *keys.Vault { return s.keys.Vault() }

// Now is the instant (Unix ns) at which the next input is decided; SetNow moves it, never back. The seeder begins at the
// machine's clock.
func (s *Seeder) Now() int64 { return s.now }

// SetNow moves the seeder's clock. A switch that starts on the state needs a clock that is later.
func (s *Seeder) SetNow(at int64) { s.now = max(s.now, at) }

// Step lets the engine decide one input, deadlines that have passed first, and records what it decided. The output is
// valid until the next Step.
func (s *Seeder) Step(body any) (engine.Output, error) {
	for s.engine.NextDeadline() <= s.now { // an overdue crowd takes several
		if _, err := s.step(new(engine.Tick)); err != nil {
			return engine.Output{}, err
		}
	}
	return s.step(body)
}

func (s *Seeder) step(body any) (engine.Output, error) {
	out := s.engine.Step(engine.Input{At: s.now, Body: body})
	return out, s.pack(out.Events...)
}

// Record applies and records a fact that no input has led to.
func (s *Seeder) Record(ev *event.Event) error {
	ev.Seq, ev.At = s.engine.Seq()+1, s.now
	s.engine.Apply(ev)
	return s.pack(ev)
}

func (s *Seeder) pack(events ...*event.Event) error {
	if err := s.draft.Add(events...); err != nil {
		return err
	}
	if s.draft.Size() >= batchBytes {
		return s.append()
	}
	return nil
}

// append hands what is packed over; it is durable after Append.
func (s *Seeder) append() (err error) {
	if !s.draft.Empty() {
		s.draft, err = s.appender.hand(s.draft)
	}
	return err
}

func (s *Seeder) admin(body any) error {
	out, err := s.Step(body)
	if err != nil {
		return err
	}
	for _, send := range out.Sends {
		if send.Admin != nil && len(send.Admin.Problems) > 0 {
			return fmt.Errorf("%T was refused: %q", body, send.Admin.Problems)
		}
	}
	return nil
}

// Crowd lets n more persons claim and show a code, each for an entitlement of Category. The first of all is person 0.
func (s *Seeder) Crowd(n int) error {
	claim := engine.ClaimRequest{Token: 1, IDKind: "id-card", Category: Category, City: City, Channel: Channel}
	// Before the till, in the middle of Shenyang.
	position := &event.Position{Lon: 123_431_500, Lat: 41_805_700, TakenAt: s.now, Crs: uint32(geo.WGS84)}
	var text []byte
	for range n {
		text = AppendIdentity(text[:0], s.persons)
		claim.Person = s.hasher.Person("id-card", string(text))
		out, err := s.Step(&claim)
		if err != nil {
			return err
		}
		if len(out.Sends) != 1 || out.Sends[0].API == nil || out.Sends[0].API.View.ID == 0 {
			return fmt.Errorf("claim of person %d was refused: %+v", s.persons, out.Sends)
		}
		text = AppendCode(text[:0], s.persons)
		code := s.hasher.Code(text)
		if err := s.Record(&event.Event{Body: &event.Event_CodeShown{CodeShown: &event.CodeShown{
			Entitlement: out.Sends[0].API.View.ID, Code: code[:], ExpiresAt: s.now + int64(day), Position: position,
		}}}); err != nil {
			return err
		}
		s.persons++
	}
	return nil
}

// Persons is how many have claimed.
func (s *Seeder) Persons() int { return int(s.persons) }

// Engine gives read access to the state.
func (s *Seeder) Engine() *engine.Engine { return s.engine }

// Append makes everything that was decided durable and returns the end of the journal.
func (s *Seeder) Append() (journal.Mark, error) {
	if err := s.append(); err != nil {
		return journal.Mark{}, err
	}
	return s.appender.sync()
}

// Snapshot appends what is left and writes the state, so that a start replays only what comes after it.
func (s *Seeder) Snapshot() (journal.Snapshot, error) {
	end, err := s.Append()
	if err != nil {
		return journal.Snapshot{}, err
	}
	snap := journal.Snapshot{Position: end.Position, Hash: end.Hash, Seq: s.engine.Seq()}
	return snap, s.journal.Snapshots().Save(snap, s.engine.WriteState)
}

// Size is that of the journal in bytes.
func (s *Seeder) Size() int64 { return s.journal.Size() }

// Close appends what is left and closes the journal.
func (s *Seeder) Close() error {
	_, err := s.Append()
	return errors.Join(err, s.release())
}

func (s *Seeder) release() error {
	if s.appender != nil {
		s.appender.stop()
	}
	if s.journal == nil {
		return nil
	}
	return s.journal.Close()
}

// Place makes a copy of a prepared state at dir. Segments and snapshots that are never written again are linked, not
// copied, and what is only prepared is left out: a round begins on a fresh state in milliseconds.
func Place(from, dir string) error {
	files, err := journal.FilesOf(filepath.Join(from, "journal"))
	if err != nil {
		return err
	}
	return filepath.WalkDir(from, func(name string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, relative)
		info, err := entry.Info()
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return os.MkdirAll(to, info.Mode().Perm())
		case !info.Mode().IsRegular():
			return nil
		case filepath.Ext(name) == ".snap" || slices.Contains(files.Sealed, name):
			return os.Link(name, to)
		case slices.Contains(files.Spare, name):
			return nil
		}
		if sealed, err := sealedCold(name); err != nil || sealed {
			if err == nil {
				err = os.Link(name, to)
			}
			return err
		}
		return copyFile(name, to, info.Mode().Perm())
	})
}

// sealedCold tells whether name is a file of the cold log that has a later one beside it.
func sealedCold(name string) (bool, error) {
	const pattern = "%06d.cold"
	var number int
	if _, err := fmt.Sscanf(filepath.Base(name), pattern, &number); err != nil {
		return false, nil // another file
	}
	_, err := os.Stat(filepath.Join(filepath.Dir(name), fmt.Sprintf(pattern, number+1)))
	if os.IsNotExist(err) {
		return false, nil
	}
	return err == nil, err
}

func copyFile(from, to string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if _, err := out.ReadFrom(in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
