package main

import (
	"fmt"
	"os"
	"syscall"

	"go.uber.org/zap"

	"huanxin/config"
	"huanxin/switch/server"
)

// crashPoint turns drill.crash-at into what the loop calls at its stages, nil when it is not set.
func crashPoint(c *config.Config, log *zap.Logger) (func(server.Stage, []string), error) {
	if c.Drill.CrashAt == "" {
		return nil, nil
	}
	point, err := server.ParseCrashPoint(c.Drill.CrashAt)
	if err != nil {
		return nil, fmt.Errorf("drill.crash-at: %w", err)
	}
	log.Warn("drill: this process will kill itself", zap.Stringer("at", point))
	return point.Watch(die), nil
}

// die ends the process as kill -9 does: no deferred call, no flush, no snapshot.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way; nothing may go on meanwhile
}
