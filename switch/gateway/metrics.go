package gateway

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the interface. Labels are operations and statuses, never callers' ids or entitlements.
type metrics struct {
	requests   *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	late       prometheus.Counter
	unreadable prometheus.Counter
	limited    [len(limitedNames)]prometheus.Counter
	secured    prometheus.Counter // TLS handshakes
	refused    prometheus.Counter
}

// What there was too much of.
const (
	limitedConnections = iota
	limitedSource
	limitedCaller
)

var limitedNames = [...]string{limitedConnections: "connections", limitedSource: "source", limitedCaller: "caller"}

func newMetrics(reg prometheus.Registerer, p *pending) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "huanxin_http_requests_total", Help: "Answered requests by operation and status.",
		}, []string{"method", "path", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "huanxin_http_request_seconds", Help: "Time from when the request has been read to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}, []string{"method", "path"}),
		late: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "huanxin_http_late_answers_total", Help: "Decisions that came after their caller had timed out.",
		}),
		unreadable: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "huanxin_http_unreadable_total", Help: "What was no request, too large, too slow or cut off: 400, 408 and 413, not among the requests.",
		}),
	}
	shakes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "huanxin_http_handshakes_total", Help: "TLS handshakes by result: done, or refused by either side, too slow or broken off.",
	}, []string{"result"})
	m.secured, m.refused = shakes.WithLabelValues("done"), shakes.WithLabelValues("refused")
	limited := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "huanxin_http_limited_total",
		Help: "Connections closed at once because their address had too many, and requests answered 429 because their address (source) or token (caller) asked too often.",
	}, []string{"by"})
	for by, text := range limitedNames {
		m.limited[by] = limited.WithLabelValues(text)
	}
	if reg == nil {
		return m, nil
	}
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "huanxin_http_pending", Help: "Requests that wait for a decision.",
	}, func() float64 { return float64(p.size()) })
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.late, m.unreadable, limited, shakes, waiting} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) observe(e *endpoint, status int, took time.Duration) {
	m.requests.WithLabelValues(e.method, e.path, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(e.method, e.path).Observe(took.Seconds())
}
