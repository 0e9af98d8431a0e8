package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"huanxin/config"
	"huanxin/switch/engine"
	"huanxin/switch/keys"
	"huanxin/switch/wallet"
)

// openWallets builds the links to wallets; there may be none.
func (s *Switch) openWallets(vault *keys.Vault) error {
	profiles, err := walletProfiles(s.cfg, s.credentials, s.log)
	if err != nil {
		return err
	}
	metrics, err := wallet.NewMetrics(s.metrics)
	if err != nil {
		return err
	}
	s.wallets, err = wallet.New(profiles, wallet.Deps{
		Server: s.server, Cards: vault, Logger: s.log.Named("wallet"), Metrics: metrics, Now: time.Now, Place: s.crash.places,
		Rand: mathrand.New(mathrand.NewPCG(mathrand.Uint64(), mathrand.Uint64())),
	})
	return err
}

// walletProfiles are the links to wallets, by name, ascending. The key of a wallet is created at the first start.
func walletProfiles(c *config.Config, secure *credentials, log *zap.Logger) ([]wallet.Config, error) {
	var profiles []wallet.Config
	for _, name := range slices.Sorted(maps.Keys(c.Hosts)) {
		h := c.Hosts[name]
		if h.Kind != config.WalletHost {
			continue
		}
		key, created, err := wallet.OpenKey(c.Path(h.KeyFile), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("hosts.%s.key-file: %w", name, err)
		}
		if created {
			log.Info("created the key shared with a wallet", zap.String("host", name), zap.String("file", c.Path(h.KeyFile)))
		}
		link, err := secure.link("hosts."+name, h.TLS)
		if err != nil {
			return nil, &exitError{2, err}
		}
		profiles = append(profiles, wallet.Config{
			Name: name, TLS: link, URL: h.URL, Key: key, Connections: h.Connections, Queue: h.Queue, DialTimeout: h.DialTimeout,
			AttemptTimeout: h.AttemptTimeout, BarAfter: h.CancelAfter, Probe: h.Echo, RetryMin: h.ReconnectMin, RetryMax: h.ReconnectMax,
		})
	}
	return profiles, nil
}

// sendHost is the server's sink for hosts: wallets have links of their own.
func (s *Switch) sendHost(r *engine.HostRequest) {
	if s.wallets.Has(r.Host) {
		s.wallets.Send(r)
		return
	}
	s.hosts.Send(r)
}

// runLinks keeps the links to card networks and wallets until ctx ends.
func (s *Switch) runLinks(ctx context.Context) error {
	var links sync.WaitGroup
	links.Go(func() { s.hosts.Run(ctx) })
	links.Go(func() { s.wallets.Run(ctx) })
	links.Wait()
	return nil
}
