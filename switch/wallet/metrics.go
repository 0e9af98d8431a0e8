package wallet

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what the links do; one per process. The label host is the profile's name.
type Metrics struct {
	up            *prometheus.GaugeVec     // 1: the wallet answers and takes our signature
	queued        *prometheus.GaugeVec     // requests waiting for a connection
	probes        *prometheus.CounterVec   // by result: up, dial, silent, refused
	requests      *prometheus.CounterVec   // by kind and fate: sent, full, expired, dial, encode, lost
	answers       *prometheus.CounterVec   // by kind and result: a Status, not_found, error, malformed, silent
	notifications *prometheus.CounterVec   // by result: taken, signature, malformed, busy
	latency       *prometheus.HistogramVec // from handing a request over to its answer
	refused       prometheus.Counter       // offers that the overloaded server refused
}

// NewMetrics registers them.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "huanxin_wallet_" + name, Help: help}, []string{"host"})
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		opts := prometheus.CounterOpts{Name: "huanxin_wallet_" + name, Help: help}
		return prometheus.NewCounterVec(opts, append([]string{"host"}, labels...))
	}
	m := &Metrics{
		up:            gauge("up", "1 while a wallet answers and takes the switch's signature."),
		queued:        gauge("queue_length", "Requests waiting for a connection to a wallet."),
		probes:        counter("probes_total", "Questions whether a wallet is there, by result.", "result"),
		requests:      counter("requests_total", "Requests for a wallet, by kind and fate.", "kind", "fate"),
		answers:       counter("answers_total", "Answers of a wallet, by kind and result.", "kind", "result"),
		notifications: counter("notifications_total", "Notifications of a wallet, by result.", "result"),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "huanxin_wallet_answer_seconds", Help: "Time from handing over a request to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15)}, []string{"host", "kind"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "huanxin_wallet_submit_refused_total",
			Help: "Times the overloaded server refused what a link had learnt; it is offered again."}),
	}
	for _, c := range []prometheus.Collector{m.up, m.queued, m.probes, m.requests, m.answers, m.notifications, m.latency, m.refused} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register wallet metrics: %w", err)
		}
	}
	return m, nil
}

// counters are the metrics of one wallet.
type counters struct {
	m    *Metrics
	name string
}

func (c *counters) up(up bool) {
	value := 0.0
	if up {
		value = 1
	}
	c.m.up.WithLabelValues(c.name).Set(value)
}
func (c *counters) queued(n float64)    { c.m.queued.WithLabelValues(c.name).Add(n) }
func (c *counters) probe(result string) { c.m.probes.WithLabelValues(c.name, result).Inc() }
func (c *counters) request(a act, fate string) {
	c.m.requests.WithLabelValues(c.name, a.String(), fate).Inc()
}
func (c *counters) answer(a act, result string) {
	c.m.answers.WithLabelValues(c.name, a.String(), result).Inc()
}
func (c *counters) notification(result string) {
	c.m.notifications.WithLabelValues(c.name, result).Inc()
}
func (c *counters) latency(a act, seconds float64) {
	c.m.latency.WithLabelValues(c.name, a.String()).Observe(seconds)
}
