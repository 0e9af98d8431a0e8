package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// openDebug opens the profiler's port where one is configured. Nothing is served yet.
func (s *Switch) openDebug() (err error) {
	address := s.cfg.Debug.Address
	if address == "" {
		return nil
	}
	if s.debugSocket, err = net.Listen("tcp", address); err != nil {
		return fmt.Errorf("debug.address: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	s.debug = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	s.log.Warn("the profiler is open to whoever reaches " + s.debugSocket.Addr().String())
	return nil
}

// serveDebug serves the profiler until the task is stopped.
func (s *Switch) serveDebug(context.Context) error {
	if err := s.debug.Serve(s.debugSocket); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
