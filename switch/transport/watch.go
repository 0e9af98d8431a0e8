package transport

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// Endpoint is a Server or a Client.
type Endpoint interface {
	Name() string
	Expires() time.Time
	Reload() (changed bool, err error)
	Poll() (changed bool, err error)
}

// Watcher reads certificates again when their files change.
type Watcher struct {
	endpoints []Endpoint
	log       *zap.Logger
	reloads   *prometheus.CounterVec
	expires   *prometheus.GaugeVec
	nudges    chan struct{}
}

// pollEvery is how often the files are looked at. A change counts when two looks have seen the same.
const pollEvery = 5 * time.Second

// soon is how long before its end a certificate is complained about at every load.
const soon = 14 * 24 * time.Hour

// NewWatcher registers its metrics; the one label is the name of the port or link.
func NewWatcher(endpoints []Endpoint, reg prometheus.Registerer, log *zap.Logger) (*Watcher, error) {
	w := &Watcher{
		endpoints: endpoints, log: log, nudges: make(chan struct{}, 1),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "huanxin_tls_reloads_total", Help: "Certificates and bindings read again, by result."}, []string{"name", "result"}),
		expires: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "huanxin_tls_certificate_expires_seconds", Help: "When the certificate in use ends, Unix time."}, []string{"name"}),
	}
	for _, c := range []prometheus.Collector{w.reloads, w.expires} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register TLS metrics: %w", err)
		}
	}
	for _, e := range endpoints {
		w.note(e)
		w.reloads.WithLabelValues(e.Name(), "done")
		w.reloads.WithLabelValues(e.Name(), "refused")
	}
	return w, nil
}

// Nudge has every file looked at now. It does not block.
func (w *Watcher) Nudge() {
	select {
	case w.nudges <- struct{}{}:
	default:
	}
}

// Run watches until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		read := Endpoint.Poll
		select {
		case <-tick.C:
		case <-w.nudges:
			read = Endpoint.Reload
		case <-ctx.Done():
			return nil
		}
		w.look(read)
	}
}

func (w *Watcher) look(read func(Endpoint) (bool, error)) {
	for _, e := range w.endpoints {
		changed, err := read(e)
		switch {
		case err != nil:
			w.reloads.WithLabelValues(e.Name(), "refused").Inc()
			w.log.Error("new certificate files refused; those read before stay in use", zap.String("name", e.Name()), zap.Error(err))
		case changed:
			w.reloads.WithLabelValues(e.Name(), "done").Inc()
			w.log.Info("certificate files read again; new connections use them", zap.String("name", e.Name()), zap.Time("expires", e.Expires()))
			w.note(e)
		}
	}
}

func (w *Watcher) note(e Endpoint) {
	at := e.Expires()
	if at.IsZero() {
		return
	}
	w.expires.WithLabelValues(e.Name()).Set(float64(at.Unix()))
	if time.Until(at) < soon {
		w.log.Warn("certificate ends soon", zap.String("name", e.Name()), zap.Time("expires", at))
	}
}
