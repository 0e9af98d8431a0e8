package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"huanxin/config"
	"huanxin/config/programmes"
	"huanxin/internal/postgres"
	"huanxin/risk/geo"
	"huanxin/subsidy/policy"
	"huanxin/switch/control"
	"huanxin/switch/engine"
	"huanxin/switch/gateway"
	"huanxin/switch/host"
	"huanxin/switch/journal"
	"huanxin/switch/keys"
	"huanxin/switch/keys/store"
	"huanxin/switch/projection"
	"huanxin/switch/server"
	"huanxin/switch/stage"
	"huanxin/switch/terminal"
	"huanxin/switch/transport"
	"huanxin/switch/wallet"
)

func newServeCommand() *cobra.Command {
	var configFile, programme, dialectFolder string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "运行支付交换 – run the switch until SIGINT or SIGTERM",
		Long: `Runs the whole switch in one process: terminal ports, HTTP, the deciding engine, journal, snapshots, host links,
projection and, unless database.url is set, a private PostgreSQL.

Settings come from --config, else config/huanxin.yaml, else the built-in copy; HUANXIN_SECTION_KEY overrides a key.
The programme comes from --programme, else the setting; a name is looked for in config/programmes, then built in.

Exit codes: 0 stopped in good order, also while it was still opening; 1 stopped because going on would have been wrong,
or could not start; 2 the configuration or the programme was refused.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, origin, err := config.Load(configFile, os.Environ())
			if err != nil {
				return &exitError{2, err}
			}
			if programme != "" {
				cfg.Programme = programme
			}
			log, err := newLogger(cfg.Log)
			if err != nil {
				return &exitError{2, err}
			}
			log.Info("settings read", zap.String("from", origin), zap.String("version", versionText()))
			if err := openFiles(cfg, log); err != nil {
				return err
			}
			useThreads()
			limitMemory(cmd.Context(), cfg.Memory, log.Named("memory"))
			sw, err := newSwitch(cmd.Context(), cfg, dialectFolder, log)
			if errors.Is(err, errStopped) {
				return nil
			}
			if err != nil {
				return err
			}
			go sw.machine.watch(cmd.Context(), sw.server.Decided)
			return errors.Join(sw.Run(cmd.Context()), sw.Close())
		},
	}
	cmd.Flags().StringVar(&configFile, "config", "", "file of settings")
	cmd.Flags().StringVar(&programme, "programme", "", "name or folder of the programme to serve")
	cmd.Flags().StringVar(&dialectFolder, "dialects", "", "folder in which dialects are looked for first")
	return cmd
}

// Switch is `huanxin serve`: newSwitch opens, Run serves, Close gives back. A test starts the same thing on port 0.
type Switch struct {
	cfg       *config.Config
	log       *zap.Logger
	programme *policy.Programme
	rules     map[string][]byte
	hasher    *keys.Hasher
	keys      *store.Store
	set       *keys.Set  // of data at rest, out of the store
	reloading sync.Mutex // one reload of the store at a time
	metrics   *prometheus.Registry
	times     *stage.Times
	machine   busyMeter
	crash     crashPoint

	private   *postgres.Private  // nil when database.url is set or the database is off
	database  *postgres.Database // this and the projector are nil when the database is off
	journal   *journal.Journal
	projector *projection.Projector
	server    *server.Server
	hosts     *host.Hosts
	wallets   *wallet.Links

	credentials *credentials // TLS of ports and links
	watcher     *transport.Watcher

	front    *terminal.Front
	gate     *gateway.Gateway
	web      *gateway.Server
	listener net.Listener
	desk     *control.Desk // admin requests of operators and of the start sequence
	control  *control.Server
	socket   net.Listener // of control

	debug       *http.Server // nil without debug.address
	debugSocket net.Listener

	migrated atomic.Bool           // the database has been reached and has this program's schema
	stage    atomic.Pointer[error] // why requests are not taken yet, or no longer; nil while serving
}

var (
	errStarting = errors.New("starting")
	errStopping = errors.New("stopping")
)

// errStopped is returned by newSwitch when ctx has ended it, and everything is closed again.
var errStopped = errors.New("stopped while opening")

// newSwitch opens everything in the order in which it is needed; what it had opened is closed when something fails.
func newSwitch(ctx context.Context, cfg *config.Config, dialectFolder string, log *zap.Logger) (_ *Switch, err error) {
	s := &Switch{cfg: cfg, log: log, metrics: prometheus.NewRegistry()}
	s.desk = control.NewDesk(cfg.Control.Pending, func(body any) error { return s.server.Submit(body) })
	s.stage.Store(&errStarting)
	defer func() {
		switch {
		case err == nil:
		case ctx.Err() != nil && errors.Is(err, ctx.Err()): // not what has been found wrong before that
			log.Info(errStopped.Error(), zap.NamedError("at", err))
			err = cmp.Or(s.Close(), errStopped)
		default:
			err = errors.Join(err, s.Close())
		}
	}()
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.sayWhatIsInClear()
	s.sayWhoIsNotAsked()
	if s.crash, err = newCrashPoint(cfg, log); err != nil {
		return nil, &exitError{2, err}
	}
	if err := s.loadProgramme(); err != nil {
		return nil, &exitError{2, err}
	}
	if err := os.MkdirAll(cfg.State, 0o755); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	if err := s.openDatabase(ctx); err != nil {
		return nil, err
	}
	if s.keys, err = s.loadKeys(); err != nil {
		return nil, err
	}
	if err := s.openJournal(ctx, s.keys == nil); err != nil {
		return nil, err
	}
	if s.keys == nil {
		if s.keys, err = s.createKeys(); err != nil {
			return nil, err
		}
	}
	s.sayWhoseKeys()
	set, err := keys.FromStore(s.keys)
	if err != nil {
		return nil, fmt.Errorf("keys.file: %w", err)
	}
	s.set = set
	s.hasher = set.Hasher()
	if err := s.openLoop(set, s.journal); err != nil {
		return nil, err
	}
	if err := s.openEdges(set, &codecs{folder: dialectFolder}); err != nil {
		return nil, err
	}
	if s.listener, err = net.Listen("tcp", cfg.HTTP.Address); err != nil {
		return nil, fmt.Errorf("http.address: %w", err)
	}
	if err := s.openControl(set); err != nil {
		return nil, err
	}
	if err := s.openDebug(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Switch) loadProgramme() error {
	folder, where, err := programmes.Resolve(s.cfg.Programme)
	if err != nil {
		return fmt.Errorf("programme: %w", err)
	}
	files, err := programmes.Load(folder)
	if err != nil {
		return fmt.Errorf("programme %s: %w", where, err)
	}
	if s.programme, err = policy.Compile(files); err != nil {
		return fmt.Errorf("programme %s:\n%w", where, err)
	}
	s.rules = policy.Rules(files)
	s.log.Info("programme read", zap.String("id", s.programme.ID), zap.String("from", where))
	return nil
}

// openDatabase starts the private cluster, or prepares to use the operator's server, which need not be up.
func (s *Switch) openDatabase(ctx context.Context) (err error) {
	if !s.cfg.Database.Enabled {
		s.log.Warn("database.enabled is false: nothing is projected, reports have nothing to read")
		return nil
	}
	url := s.cfg.Database.URL
	if url == "" {
		s.private, err = postgres.StartPrivate(ctx, postgres.PrivateConfig{
			Dir: s.cfg.Path(s.cfg.Database.Folder), Binaries: s.cfg.Database.Binaries,
		})
		if err != nil {
			return fmt.Errorf("database: %w", err)
		}
		for _, note := range s.private.Notes() {
			s.log.Info(note)
		}
		s.log.Info("private PostgreSQL is up", zap.String("user", s.private.RunsAs()), zap.String("data", s.private.Data()))
		url = s.private.URL()
	}
	s.database, err = postgres.Open(ctx, postgres.Config{
		URL: url, Connections: s.cfg.Database.Connections, IdleTimeout: s.cfg.Database.WriteTimeout,
		StatementTimeout: 2 * s.cfg.Database.WriteTimeout, // a transaction ends by its own time first
		Private:          s.private != nil,
	})
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if err := s.migrate(ctx); err != nil && !postgres.Unavailable(err) {
		return fmt.Errorf("database: %w", err)
	} else if err != nil {
		s.log.Warn("database not reached; the switch serves without it and goes on trying", zap.Error(err))
	}
	return nil
}

// databaseReach bounds one attempt at the start, so that an unreachable server does not hold up the switch.
const databaseReach = 30 * time.Second

func (s *Switch) migrate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, databaseReach)
	defer cancel()
	applied, err := s.database.Migrate(ctx)
	if err != nil {
		return err
	}
	s.migrated.Store(true)
	s.log.Info("database schema is current", zap.Int("migrations_applied", applied))
	return nil
}

// openJournal walks the whole journal. What PostgreSQL has already seen must be in it. Where there are keys, they have
// hashed the persons of some journal: without that one, everybody could claim once more. So a new one is begun only by an
// operator's word, which is held against the database: rows of an older one would end the switch when it is in use.
func (s *Switch) openJournal(ctx context.Context, noKeys bool) (err error) {
	var marks []journal.Mark
	if s.migrated.Load() {
		looking, cancel := context.WithTimeout(ctx, databaseReach)
		at, err := s.database.Projection().Position(looking)
		cancel()
		if err != nil {
			return fmt.Errorf("database: %w", err)
		}
		if at.Batch > 0 {
			marks = append(marks, postgresMark(at))
		}
	}
	begun := time.Now()
	j := s.cfg.Journal
	unproven := j.New && s.cfg.Database.Enabled && !s.migrated.Load()
	s.journal, err = journal.Open(ctx, journal.Config{
		Programme: s.programme.ID, Dir: s.cfg.Path(j.Folder), URL: j.URL, Replicas: j.Replicas,
		HighWater: int64(j.HighWater), MinFree: int64(j.MinFree), AppendTimeout: j.AppendTimeout,
		MustReach: marks, MustExist: unproven || !noKeys && !j.New, Logger: s.log.Named("journal"), Place: s.crash.places,
	})
	if errors.Is(err, journal.ErrAbsent) && unproven {
		return fmt.Errorf("journal.new: %w, and a new one is not begun while the database cannot be reached: only that shows that there are no rows of an older one, "+
			"which would end the switch later. Bring the database up and start once more", err)
	}
	if errors.Is(err, journal.ErrAbsent) {
		return fmt.Errorf("journal.folder: %w; the keys of %s are older and may have served one, which a new one would forget with everybody's used quotas: "+
			"is its volume mounted, is the setting right? To begin a new journal with these keys, start once with HUANXIN_JOURNAL_NEW=true", err, s.cfg.Path(s.cfg.Keys.File))
	}
	if err != nil {
		return err
	}
	if j.New && s.journal.Position() > 0 {
		s.log.Warn("journal.new is still true: remove it, or the switch begins anew if it does not find its journal")
	}
	took, walked := time.Since(begun), s.journal.Report()
	s.log.Info("journal checked", zap.Uint64("batches", walked.Batches), zap.Uint64("events", walked.Events), zap.Int64("bytes", walked.Bytes),
		zap.Duration("took", took))
	s.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "huanxin_journal_open_seconds", Help: "How long the last start took to check the whole journal and open it.",
	}, took.Seconds), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "huanxin_journal_bytes", Help: "Size of all packed batches, which is held against journal.high-water.",
	}, func() float64 { return float64(s.journal.Size()) }))
	return nil
}

// openLoop builds the deciding loop, which appends to events, and the projector. Nothing runs yet.
func (s *Switch) openLoop(set *keys.Set, events server.Journal) (err error) {
	province, err := geo.Load(geo.LiaoningGeoJSON)
	if err != nil {
		return fmt.Errorf("load the map of the province: %w", err)
	}
	engineCfg := engineConfig(s.cfg, province)
	engineCfg.Cold = s.journal.Cold()
	if s.times, err = stage.New(s.metrics); err != nil {
		return err
	}
	s.server, err = server.New(server.Config{
		Journal:    events,
		NewEngine:  func() (server.Engine, error) { return engine.New(engineCfg) },
		ReadEngine: func(r io.Reader) (server.Engine, error) { return engine.ReadState(engineCfg, r) },
		Ownership: engine.TakeOwnership{
			Owner: ownerName(s.cfg.Engine.Owner), Software: versionText(), Programme: s.programme.ID, PersonKeyCheck: set.PersonKeyCheck(),
		},
		Terminal: func(r *engine.Reply) { s.front.Deliver(r) },
		Host:     s.sendHost,
		API:      func(r *engine.APIReply) { s.gate.Deliver(r) },
		Admin:    s.desk.Deliver,
		Flush:    s.flush,
		Queue:    s.cfg.Engine.Queue, BatchInputs: s.cfg.Engine.Batch,
		Admission: server.Admission{
			Target: s.cfg.Engine.Admission.Target, Interval: s.cfg.Engine.Admission.Interval, Payments: s.cfg.Engine.Admission.Payments,
			Stale: s.cfg.Terminal.AnswerTimeout,
		},
		SnapshotEvents: uint64(s.cfg.Snapshot.Events), SnapshotEvery: s.cfg.Snapshot.Every, Busy: s.machine.Busy,
		Point: s.crash.batches, Place: s.crash.places,
		Logger: s.log.Named("server"), Metrics: s.metrics, Stages: s.times,
	})
	if err != nil || !s.cfg.Database.Enabled {
		return err
	}
	store := s.database.Projection()
	store.Place = s.crash.places
	s.projector, err = projection.New(projection.Config{
		Journal: journalSource{s.journal}, Store: store, Place: s.crash.places,
		BatchEvents: s.cfg.Database.BatchEvents, Busy: s.machine.Busy, RetryMin: s.cfg.Database.RetryMin, RetryMax: s.cfg.Database.RetryMax,
		WriteTimeout: s.cfg.Database.WriteTimeout, Log: s.log.Named("projection"), Metrics: s.metrics,
	})
	return err
}

func ownerName(configured string) string {
	if configured != "" {
		return configured
	}
	name, err := os.Hostname()
	if err != nil {
		name = "unknown host"
	}
	return fmt.Sprintf("%s pid %d", name, os.Getpid())
}
