package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"go.uber.org/zap"

	"huanxin/switch/projection"
)

// task is one part of the process that runs until it is stopped.
type task struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
	err    error // read after done
}

// start runs fn beside. When it returns before it was stopped, with or without an error, fail is told.
func start(name string, fail context.CancelCauseFunc, fn func(context.Context) error) *task {
	// Not a child of the signal's context: parts are stopped one after the other.
	ctx, cancel := context.WithCancel(context.Background())
	t := &task{name: name, cancel: cancel, done: make(chan struct{})}
	go func() {
		t.err = fn(ctx)
		close(t.done)
		if ctx.Err() == nil {
			fail(t.ended())
		}
	}()
	return t
}

// stop cancels the task and returns how it ended. That it was interrupted is what was asked for.
func (t *task) stop() error {
	t.cancel()
	<-t.done
	if t.err != nil && !errors.Is(t.err, context.Canceled) {
		return fmt.Errorf("%s: %w", t.name, t.err)
	}
	return nil
}

// ended says that the task has returned although nobody had stopped it.
func (t *task) ended() error {
	if t.err != nil {
		return fmt.Errorf("%s: %w", t.name, t.err)
	}
	return fmt.Errorf("%s ended by itself", t.name)
}

// tasks are the running parts of a Switch.
type tasks struct {
	fail                                 context.CancelCauseFunc // of the whole
	web, engine, hosts, project, control *task
	certificates                         *task
	front                                *task // nil until the terminal ports are open
	debug                                *task // nil without a profiler
}

// Run serves until ctx ends, then stops in good order: no new requests, answers to those in flight, sync, snapshot,
// projection. It returns an error when it could not begin or when going on would be wrong.
func (s *Switch) Run(ctx context.Context) error {
	// The whole ends when ctx does, or with the first part that ends by itself.
	whole, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	t := &tasks{fail: fail}
	t.web = start("HTTP", fail, func(context.Context) error { return s.web.Serve(s.listener) })
	t.engine = start("engine", fail, s.server.Run)
	t.hosts = start("host links", fail, s.runLinks)
	t.project = start("projection", fail, s.project)
	t.control = start("control socket", fail, func(context.Context) error { return s.control.Serve(s.socket) })

	t.certificates = start("certificates", fail, s.watchCertificates)
	if s.debug != nil {
		t.debug = start("profiler", fail, s.serveDebug)
	}

	err := s.open(whole, t)
	if err == nil {
		<-whole.Done()
	}
	if whole.Err() != nil { // what began it counts, not what open makes of it
		if err = context.Cause(whole); err == context.Cause(ctx) {
			err = nil
		}
	}
	s.stage.Store(&errStopping)
	if err != nil {
		s.log.Error("stopping at once", zap.Error(err))
		return errors.Join(err, s.cut(t))
	}
	return s.drain(t)
}

// open waits for the recovery, puts the programme into force and only then lets terminals in. It gives up as soon as ctx
// ends: without its engine nothing would ever answer.
func (s *Switch) open(ctx context.Context, t *tasks) error {
	select {
	case <-s.server.Started():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if _, err := s.journalKeyActs(ctx, s.cfg.Keys.Restored); err != nil {
		return err
	}
	if err := s.putIntoForce(ctx); err != nil {
		return err
	}
	if err := s.loadTerminalKeys(ctx); err != nil {
		return err
	}
	if err := s.front.Listen(ctx); err != nil {
		return fmt.Errorf("listeners: %w", err)
	}
	s.stage.Store(nil)
	t.front = start("terminal ports", t.fail, func(context.Context) error { return s.front.Serve() })
	fields := []zap.Field{zap.Stringer("http", s.listener.Addr()), zap.Stringer("control", s.socket.Addr()), zap.String("token_file", s.cfg.Path(s.cfg.HTTP.TokenFile))}
	for _, name := range slices.Sorted(maps.Keys(s.cfg.Listeners)) {
		fields = append(fields, zap.Stringer("listener_"+name, s.front.Addr(name)))
	}
	s.log.Info("serving", fields...)
	return nil
}

// project brings the schema up to date as soon as the database can be reached, and follows the journal from then on. The
// switch does not depend on the database: while it is away, and when its rows are such that nothing can be added to them, the
// journal keeps what is not projected. But a journal that cannot be read, or does not hold what the rows prove that it has
// held, has lost what was acknowledged: then everything ends, so that nothing more is promised on it.
func (s *Switch) project(ctx context.Context) error {
	if !s.cfg.Database.Enabled {
		<-ctx.Done()
		return nil
	}
	pause := s.cfg.Database.RetryMin
	for !s.migrated.Load() {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, s.cfg.Database.RetryMax)
		if err := s.migrate(ctx); err != nil {
			s.log.Warn("database not reached", zap.Error(err))
		}
	}
	if err := s.projector.Run(ctx); errors.Is(err, projection.ErrParted) {
		s.log.Error("projection has ended; PostgreSQL stays where it is until an operator acts", zap.Error(err))
	} else if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// drain is the graceful stop.
func (s *Switch) drain(t *tasks) error {
	s.log.Info("stopping: no new requests, waiting for those in flight", zap.Duration("at_most", s.cfg.Stop.Drain))
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Stop.Drain)
	defer cancel()
	answered := make(chan error, 3)
	go func() { answered <- s.web.Shutdown(ctx) }()
	go func() { answered <- s.control.Shutdown(ctx) }()
	go func() { answered <- s.front.Drain(ctx) }()
	for range cap(answered) {
		if err := <-answered; err != nil {
			s.log.Warn("some requests were cut off; terminals reverse them, callers repeat them", zap.Error(err))
		}
	}
	errs := []error{s.closeFronts(t)}
	errs = append(errs, t.engine.stop()) // decides what is queued, syncs, snapshots
	errs = append(errs, t.hosts.stop())
	if s.migrated.Load() && s.projector.Outage() == nil {
		if err := s.projector.Wait(ctx, s.journal.Position()); err != nil {
			s.log.Warn("PostgreSQL is behind; the next start catches up", zap.Uint64("events", s.projector.Lag()), zap.Error(err))
		}
	}
	errs = append(errs, t.project.stop())
	s.log.Info("stopped")
	return errors.Join(errs...)
}

// cut ends everything without waiting for anybody: what is not acknowledged must not leave.
func (s *Switch) cut(t *tasks) error {
	// The cause is reported already; what the parts say while they are torn down adds nothing to it.
	errs := []error{s.closeFronts(t)}
	for _, part := range []*task{t.engine, t.hosts, t.project} {
		if err := part.stop(); err != nil {
			s.log.Warn("while stopping", zap.Error(err))
		}
	}
	return errors.Join(errs...)
}

func (s *Switch) closeFronts(t *tasks) error {
	s.front.Close()
	err := errors.Join(s.web.Close(), s.control.Close())
	if t.front != nil {
		err = errors.Join(err, t.front.stop())
	}
	if t.debug != nil {
		err = errors.Join(err, s.debug.Close(), t.debug.stop())
	}
	return errors.Join(err, t.web.stop(), t.control.stop(), t.certificates.stop())
}

// Close gives back what newSwitch took: the journal, then the database, its private server last.
func (s *Switch) Close() error {
	var errs []error
	for _, l := range []net.Listener{s.listener, s.socket, s.debugSocket} {
		if l == nil {
			continue
		}
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if s.journal != nil {
		errs = append(errs, s.journal.Close())
	}
	if s.database != nil {
		s.database.Close()
	}
	if s.private != nil {
		errs = append(errs, s.private.Close())
	}
	// Standard error may be a closed pipe; there is nowhere to say so.
	_ = s.log.Sync()
	return errors.Join(errs...)
}
