package wire

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what the connections of a process do. Make one per process and give it to every port and link.
type Metrics struct {
	open    *prometheus.GaugeVec
	opened  *prometheus.CounterVec
	over    *prometheus.CounterVec
	failed  *prometheus.CounterVec
	limited *prometheus.CounterVec
	frames  *prometheus.CounterVec
	bytes   *prometheus.CounterVec
	closes  *prometheus.CounterVec
	shakes  *prometheus.CounterVec
}

// NewMetrics registers the connection metrics. The one label besides direction and cause is the port's or link's name.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	port := []string{"port"}
	m := &Metrics{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "huanxin_wire_connections", Help: "Connections open now."}, port),
		opened: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "huanxin_wire_connections_total", Help: "Connections opened."}, port),
		over: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "huanxin_wire_connections_refused_total",
			Help: "Connections closed at once because the port had its maximum open."}, port),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "huanxin_wire_accept_failures_total",
			Help: "Times the system gave no connection although one waited, for want of file descriptors above all; tried again within a second."}, port),
		frames: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "huanxin_wire_frames_total", Help: "Whole frames received and queued to send."},
			[]string{"port", "direction"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "huanxin_wire_bytes_total", Help: "Bytes received and sent, TLS overhead excluded."},
			[]string{"port", "direction"}),
		closes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "huanxin_wire_closes_total", Help: "Connections ended, by cause."}, []string{"port", "cause"}),
		shakes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "huanxin_wire_handshakes_total", Help: "TLS handshakes, by result: done, refused, timeout."}, []string{"port", "result"}),
	}
	m.limited = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "huanxin_wire_connections_limited_total",
		Help: "Connections closed at once because their sender had too many open (open) or opened too many a second (rate)."}, []string{"port", "cause"})
	for _, c := range []prometheus.Collector{m.limited, m.open, m.opened, m.over, m.failed, m.frames, m.bytes, m.closes, m.shakes} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register wire metrics: %w", err)
		}
	}
	return m, nil
}

// The causes for which a connection is closed that one sender has too many of.
const (
	limitedOpen = iota
	limitedRate
)

var limitedNames = [...]string{limitedOpen: "open", limitedRate: "rate"}

// portMetrics are the counters of one port, resolved once: nothing on the hot path looks a label up.
type portMetrics struct {
	open              prometheus.Gauge
	opened, over      prometheus.Counter
	failed            prometheus.Counter
	limited           [len(limitedNames)]prometheus.Counter
	framesIn, bytesIn prometheus.Counter
	framesOut         prometheus.Counter
	bytesOut          prometheus.Counter
	closes            [causeCount]prometheus.Counter
	shakes            [len(shakeNames)]prometheus.Counter
}

// shake is how a TLS handshake ended.
type shake uint8

const (
	shakeDone    shake = iota
	shakeRefused       // by either side, or the connection broke
	shakeTimeout
)

var shakeNames = [...]string{"done", "refused", "timeout"}

func (m *Metrics) port(name string) *portMetrics {
	p := &portMetrics{
		open:      m.open.WithLabelValues(name),
		opened:    m.opened.WithLabelValues(name),
		over:      m.over.WithLabelValues(name),
		failed:    m.failed.WithLabelValues(name),
		framesIn:  m.frames.WithLabelValues(name, "in"),
		framesOut: m.frames.WithLabelValues(name, "out"),
		bytesIn:   m.bytes.WithLabelValues(name, "in"),
		bytesOut:  m.bytes.WithLabelValues(name, "out"),
	}
	for i, result := range shakeNames {
		p.shakes[i] = m.shakes.WithLabelValues(name, result)
	}
	for cause, text := range limitedNames {
		p.limited[cause] = m.limited.WithLabelValues(name, text)
	}
	for c := CausePeer; c < causeCount; c++ {
		p.closes[c] = m.closes.WithLabelValues(name, c.String())
	}
	return p
}
