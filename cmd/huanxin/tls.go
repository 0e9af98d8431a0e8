package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"

	"huanxin/config"
	"huanxin/switch/transport"
)

// credentials collects the TLS of every port and link, so that one watcher can follow their files.
type credentials struct {
	cfg       *config.Config
	endpoints []transport.Endpoint
}

// port is the TLS of a listening port, nil for plain TCP. The error names the key.
func (c *credentials) port(key string, t config.TLS) (*transport.Server, error) {
	if t.Certificate == "" {
		return nil, nil
	}
	s, err := transport.NewServer(transport.Config{
		Name: key, Certificate: c.cfg.Path(t.Certificate), Key: c.cfg.Path(t.Key), CA: c.cfg.Path(t.ClientCA),
		MinVersion: t.Minimum, Ciphers: t.Ciphers, Required: t.Required, Identity: t.Identity,
		Bindings: c.cfg.Path(t.Bindings),
	})
	if err != nil {
		return nil, fmt.Errorf("%s.tls: %w", key, err)
	}
	c.endpoints = append(c.endpoints, s)
	return s, nil
}

// link is the TLS of a link that is dialled.
func (c *credentials) link(key string, t config.LinkTLS) (*transport.Client, error) {
	l, err := transport.NewClient(transport.Config{
		Name: key, Certificate: c.cfg.Path(t.Certificate), Key: c.cfg.Path(t.Key), CA: c.cfg.Path(t.CA),
		MinVersion: t.Minimum, Ciphers: t.Ciphers, ServerName: t.ServerName,
	})
	if err != nil {
		return nil, fmt.Errorf("%s.tls: %w", key, err)
	}
	c.endpoints = append(c.endpoints, l)
	return l, nil
}

// watchCertificates reads certificates again when their files change, and at once after SIGHUP.
func (s *Switch) watchCertificates(ctx context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	go func() {
		for {
			select {
			case <-hup:
				s.log.Info("SIGHUP: looking at certificate files", zap.Int("ports_and_links", len(s.credentials.endpoints)))
				s.watcher.Nudge()
			case <-ctx.Done():
				return
			}
		}
	}()
	return s.watcher.Run(ctx)
}
