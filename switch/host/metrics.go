package host

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"huanxin/switch/engine"
)

// Metrics counts what the links do; one per process. The label host is the profile's name, kind is sale (the
// pre-authorisation family included), void, refund, inquiry or reversal.
type Metrics struct {
	up        *prometheus.GaugeVec     // connections signed on
	queued    *prometheus.GaugeVec     // requests waiting for a connection
	connects  *prometheus.CounterVec   // by result: up, dial, tls, signon
	requests  *prometheus.CounterVec   // by kind and fate: sent, down, full, expired, encode, lost
	answers   *prometheus.CounterVec   // by kind and verdict: in_time, late, repeated, unasked
	malformed *prometheus.CounterVec   // frames that are no message, or no answer we know
	latency   *prometheus.HistogramVec // from write to answer
	unproved  *prometheus.CounterVec   // answers whose MAC is wrong or missing
	refused   prometheus.Counter       // offers that the overloaded server refused
}

// NewMetrics registers them.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "huanxin_host_connections", Help: "Connections to a host that are signed on."}, []string{"host"}),
		queued: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "huanxin_host_queue_length", Help: "Requests waiting to be written to a host."}, []string{"host"}),
		connects: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "huanxin_host_connects_total", Help: "Attempts to connect to a host, by result."}, []string{"host", "result"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "huanxin_host_requests_total", Help: "Requests for a host, by kind and fate."}, []string{"host", "kind", "fate"}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "huanxin_host_answers_total", Help: "Answers of a host, by kind and how they met their request."}, []string{"host", "kind", "verdict"}),
		malformed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "huanxin_host_malformed_total", Help: "Frames of a host that could not be read."}, []string{"host"}),
		unproved: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "huanxin_host_unproved_total", Help: "Answers of a host that were dropped: their MAC is wrong or missing."}, []string{"host"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "huanxin_host_answer_seconds", Help: "Time from writing a request to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}, []string{"host", "kind"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "huanxin_host_submit_refused_total", Help: "Times the overloaded server refused what a link had learnt; it is offered again."}),
	}
	for _, c := range []prometheus.Collector{m.up, m.queued, m.connects, m.requests, m.answers, m.malformed, m.unproved, m.latency, m.refused} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register host metrics: %w", err)
		}
	}
	return m, nil
}

// fate is what has become of a request.
type fate uint8

const (
	sent fate = iota
	down
	full
	expired
	encode
	lost
)

var fateNames = [...]string{"sent", "down", "full", "expired", "encode", "lost"}

// kinds are all kinds of request, in the order of their numbers.
const kinds = int(engine.HostQuery) + 1

// counters are the metrics of one host, looked up once.
type counters struct {
	m         *Metrics
	name      string
	up        prometheus.Gauge
	queued    prometheus.Gauge
	malformed prometheus.Counter
	unproved  prometheus.Counter
	requests  [kinds][len(fateNames)]prometheus.Counter
	answers   [kinds][len(verdictNames)]prometheus.Counter
	latencies [kinds]prometheus.Observer
}

func newCounters(m *Metrics, name string) *counters {
	c := &counters{
		m: m, name: name, up: m.up.WithLabelValues(name), queued: m.queued.WithLabelValues(name),
		malformed: m.malformed.WithLabelValues(name), unproved: m.unproved.WithLabelValues(name),
	}
	for k := range kinds {
		kind := kindName(engine.HostKind(k))
		for f, fate := range fateNames {
			c.requests[k][f] = m.requests.WithLabelValues(name, kind, fate)
		}
		for v, verdict := range verdictNames {
			c.answers[k][v] = m.answers.WithLabelValues(name, kind, verdict)
		}
		c.latencies[k] = m.latency.WithLabelValues(name, kind)
	}
	return c
}

func (c *counters) connect(result string)                { c.m.connects.WithLabelValues(c.name, result).Inc() }
func (c *counters) request(kind engine.HostKind, f fate) { c.requests[kind][f].Inc() }
func (c *counters) answer(kind engine.HostKind, v verdict) {
	c.answers[kind][v].Inc()
}
func (c *counters) latency(kind engine.HostKind, d time.Duration) {
	c.latencies[kind].Observe(d.Seconds())
}

// kindName is the label kind. An answer that nobody asked for counts as that of a sale or reversal.
func kindName(kind engine.HostKind) string {
	switch kind {
	case engine.HostReversal:
		return "reversal"
	case engine.HostVoid:
		return "void"
	case engine.HostRefund:
		return "refund"
	case engine.HostInquiry:
		return "inquiry"
	case engine.HostQuery:
		return "query"
	}
	return "sale"
}
