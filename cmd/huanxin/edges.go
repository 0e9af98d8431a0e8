package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"runtime"
	"slices"
	"time"

	"huanxin/switch/gateway"
	"huanxin/switch/host"
	"huanxin/switch/journal"
	"huanxin/switch/keys"
	"huanxin/switch/projection"
	"huanxin/switch/stage"
	"huanxin/switch/terminal"
	"huanxin/switch/transport"
	"huanxin/switch/wire"
)

// openEdges builds what speaks to the world: host links, terminal ports, HTTP. Nothing listens yet.
func (s *Switch) openEdges(set *keys.Set, dialect *codecs) error {
	vault := set.Vault()
	s.credentials = &credentials{cfg: s.cfg}
	profiles, err := hostProfiles(s.cfg, dialect, s.credentials)
	if err != nil {
		return &exitError{2, err}
	}
	ports, err := terminalPorts(s.cfg, dialect, s.credentials)
	if err != nil {
		return &exitError{2, err}
	}
	lines, err := wire.NewMetrics(s.metrics)
	if err != nil {
		return err
	}
	hostMetrics, err := host.NewMetrics(s.metrics)
	if err != nil {
		return err
	}
	limits := newLimits(s.cfg.Limits)
	s.front, err = terminal.New(terminal.Config{
		Limits: limits.terminals,
		Ports:  ports, Submit: s.submitArrived, TurnsAway: func() bool { return s.server.TurnsAway(false) }, Hasher: set.Hasher(), Vault: vault,
		Host: s.cfg.Routes.Default, QRHost: s.cfg.Routes.QR, MaxPending: s.cfg.Terminal.Pending,
		Turns: wire.NewTurns(max(1, runtime.GOMAXPROCS(0)-2)), // of the places, one for whoever decides, one for whoever answers
		Keys:  s.terminalKeys(profiles), Metrics: lines, Registerer: s.metrics, Stages: s.times, Log: s.log.Named("terminal"),
	})
	if err != nil {
		return err
	}
	s.hosts, err = host.New(profiles, host.Deps{
		Server: s.server, Originals: s.front, Cards: vault, PINs: s.front, Module: s.keys.Module(), Keys: s.keys, Logger: s.log.Named("host"), Metrics: hostMetrics,
		Place: s.crash.places, Now: time.Now, Rand: mathrand.New(mathrand.NewPCG(mathrand.Uint64(), mathrand.Uint64())),
	})
	if err != nil {
		return err
	}
	if err := s.openWallets(vault); err != nil {
		return err
	}
	if err := s.openGateway(set, vault, limits.http); err != nil {
		return err
	}
	s.watcher, err = transport.NewWatcher(s.credentials.endpoints, s.metrics, s.log.Named("tls"))
	return err
}

func (s *Switch) openGateway(set *keys.Set, vault *keys.Vault, limits gateway.Limits) error {
	tokens, err := openTokens(s.cfg.Path(s.cfg.HTTP.TokenFile), s.log)
	if err != nil {
		return err
	}
	s.gate, err = gateway.New(gateway.Config{
		Submit: s.submit, TurnsAway: s.server.TurnsAway, Hasher: set.Hasher(), Vault: vault, WalletHost: payingWallet(s.cfg), Notify: s.wallets.Notify,
		Tokens: tokens, Rand: rand.Reader,
		Logger: s.log.Named("gateway"), Registerer: s.metrics, Gatherer: s.metrics, Ready: s.readiness,
		Timeout: s.cfg.HTTP.AnswerTimeout, MaxPending: s.cfg.HTTP.Pending, Limits: limits, BodyLimit: int64(s.cfg.HTTP.BodyLimit),
	})
	if err != nil {
		return err
	}
	secure, err := s.credentials.port("http", s.cfg.HTTP.TLS)
	if err != nil {
		return &exitError{2, err}
	}
	s.web, err = gateway.NewServer(gateway.ServerConfig{TLS: secure, MaxConnections: s.cfg.HTTP.Connections}, s.gate)
	return err
}

// submit is the fronts' way to the engine. Until the programme is in force, and once the switch is stopping, it is closed.
func (s *Switch) submit(body any) error { return s.submitArrived(body, 0) }

// submitArrived is submit for what had come to this machine at that instant.
func (s *Switch) submitArrived(body any, arrived stage.Instant) error {
	if why := s.stage.Load(); why != nil {
		return *why
	}
	return s.server.SubmitArrived(body, arrived)
}

// flush lets leave what a batch has released. A host's answer takes longer than a terminal's thanks, so it is asked first.
func (s *Switch) flush() {
	s.hosts.Flush()
	s.front.Flush()
}

// readiness is what /readyz lists. The database counts until it was reached once: later the switch goes on without it.
func (s *Switch) readiness() []gateway.Part {
	parts := []gateway.Part{{Name: "engine", Err: s.server.Ready()}, {Name: "programme"}}
	if why := s.stage.Load(); why != nil {
		parts[1].Err = *why
	}
	if s.cfg.Database.Enabled {
		part := gateway.Part{Name: "database"}
		if !s.migrated.Load() {
			part.Err = fmt.Errorf("not reached yet")
		}
		parts = append(parts, part)
	}
	down := map[string]bool{}
	for _, name := range s.hosts.Down() {
		down[name] = true
	}
	trouble := s.wallets.Down()
	for _, name := range slices.Sorted(maps.Keys(s.cfg.Hosts)) {
		part := gateway.Part{Name: "host " + name, Err: trouble[name]}
		if down[name] {
			part.Err = fmt.Errorf("no connection is signed on")
		}
		parts = append(parts, part)
	}
	return parts
}

// journalSource lets the projector read the journal.
type journalSource struct{ journal *journal.Journal }

func (j journalSource) Position() uint64 { return j.journal.Position() }

func (j journalSource) Holds(ctx context.Context, at projection.Position) error {
	return passing(j.journal.Holds(ctx, postgresMark(at)))
}

func (j journalSource) Follow(ctx context.Context, from uint64) (projection.Source, error) {
	reader, err := j.journal.Follow(ctx, from)
	if err != nil {
		return nil, passing(err)
	}
	return batchSource{reader}, nil
}

// passing tells errors that prove something about the journal, or that it is closed, from those of a machine that is short of
// something for a while: for those the switch does not end.
func passing(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	for _, proof := range []error{
		journal.ErrDamaged, journal.ErrChain, journal.ErrVersion, journal.ErrMissing, journal.ErrShort, journal.ErrDiverged, journal.ErrProgramme, journal.ErrClosed,
	} {
		if errors.Is(err, proof) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", projection.ErrUnreadable, err)
}

// postgresMark is what PostgreSQL has seen of the journal.
func postgresMark(at projection.Position) journal.Mark {
	return journal.Mark{Name: "PostgreSQL", Position: at.Batch, Hash: at.Hash}
}

type batchSource struct{ reader *journal.Reader }

func (b batchSource) Next(ctx context.Context) (projection.Batch, error) {
	batch, err := b.reader.Next(ctx)
	if err != nil {
		return projection.Batch{}, passing(err)
	}
	return projection.Batch{Position: batch.Position, Hash: batch.Hash, Events: batch.Events}, nil
}

func (b batchSource) Close() { b.reader.Close() }
