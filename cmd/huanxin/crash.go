package main

import (
	"fmt"
	"os"
	"syscall"

	"go.uber.org/zap"

	"huanxin/config"
	"huanxin/switch/host"
	"huanxin/switch/journal"
	"huanxin/switch/keys/store"
	"huanxin/switch/projection"
	"huanxin/switch/server"
	"huanxin/switch/wallet"
)

// crashPlaces are the places beside the batches at which a drill can end the process.
var crashPlaces = []string{
	server.PlaceRecovered,
	journal.PlaceWritten, journal.PlaceSynced, journal.PlaceSegmentFilling,
	journal.PlaceSnapshotWritten, journal.PlaceSnapshotSynced, journal.PlaceSnapshotNamed,
	projection.PlaceWritten, projection.PlaceCommitted,
	store.PlaceWritten, store.PlaceNamed,
	host.PlaceHalfWritten, host.PlaceWritten, wallet.PlaceSending, wallet.PlaceAnswered,
}

// crashPoint is drill.crash-at: what is called at the stages of batches and at the places beside them. Both are nil when it is
// not set.
type crashPoint struct {
	batches func(server.Stage, []string)
	places  func(place string)
}

func newCrashPoint(c *config.Config, log *zap.Logger) (crashPoint, error) {
	if c.Drill.CrashAt == "" {
		return crashPoint{}, nil
	}
	point, err := server.ParseCrashPoint(c.Drill.CrashAt, crashPlaces...)
	if err != nil {
		return crashPoint{}, fmt.Errorf("drill.crash-at: %w", err)
	}
	log.Warn("drill: this process will kill itself", zap.Stringer("at", point))
	die := func() { dieAt(log, point) }
	if point.Place != "" {
		return crashPoint{places: point.WatchPlaces(die)}, nil
	}
	return crashPoint{batches: point.Watch(die)}, nil
}

// dieAt ends the process as kill -9 does: no deferred call, no flush, no snapshot. It says so first, so that a drill can tell this death
// from another.
func dieAt(log *zap.Logger, point fmt.Stringer) {
	log.Warn("drill: the point has come", zap.Stringer("at", point))
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way; nothing may go on meanwhile
}
