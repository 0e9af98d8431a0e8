package host

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what the links do; one per process. The label host is the profile's name, kind is sale (the
// pre-authorisation family included), void, refund, inquiry or reversal.
type Metrics struct {
	up        *prometheus.GaugeVec     // connections signed on
	queued    *prometheus.GaugeVec     // requests waiting for a connection
	connects  *prometheus.CounterVec   // by result: up, dial, signon
	requests  *prometheus.CounterVec   // by kind and fate: sent, down, full, expired, encode, lost
	answers   *prometheus.CounterVec   // by kind and verdict: in_time, late, repeated, unasked
	malformed *prometheus.CounterVec   // frames that are no message, or no answer we know
	latency   *prometheus.HistogramVec // from write to answer
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
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "huanxin_host_answer_seconds", Help: "Time from writing a request to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}, []string{"host", "kind"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "huanxin_host_submit_refused_total", Help: "Times the overloaded server refused what a link had learnt; it is offered again."}),
	}
	for _, c := range []prometheus.Collector{m.up, m.queued, m.connects, m.requests, m.answers, m.malformed, m.latency, m.refused} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register host metrics: %w", err)
		}
	}
	return m, nil
}
