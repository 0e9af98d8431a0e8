package server

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"huanxin/switch/journal"
)

// metrics of the loop, the journal and the snapshots.
type metrics struct {
	refused          *prometheus.CounterVec
	full, overload   prometheus.Counter // of refused: at the journal's high-water mark, for want of room
	late, stale      prometheus.Counter // because of the time they wait, or would; because their terminals had given them up
	batchInputs      prometheus.Histogram
	appendSeconds    prometheus.Histogram
	snapshotFailures prometheus.Counter
	recovery         *prometheus.GaugeVec // by phase of the start
	replayed         prometheus.Gauge

	position   atomic.Uint64 // last acknowledged batch
	seq        atomic.Uint64 // last event of it
	follower   atomic.Uint64
	followed   atomic.Uint64 // last event that the follower has applied
	snapshot   atomic.Uint64 // position of the newest
	snapshotAt atomic.Int64  // Unix ns; 0 = none
}

func newMetrics(reg prometheus.Registerer, q queue, decided *atomic.Uint64, j Journal, v *vitals) (*metrics, error) {
	m := &metrics{
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "huanxin_engine_refused_total", Help: "Inputs that were not decided, by cause.",
		}, []string{"cause"}),
		batchInputs: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "huanxin_engine_batch_inputs", Help: "Inputs decided into one batch.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
		appendSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "huanxin_journal_append_seconds", Help: "Time from handing a batch to the journal to its acknowledgement.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
		snapshotFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "huanxin_snapshot_failures_total", Help: "Snapshots that could not be written.",
		}),
	}
	m.full, m.overload = m.refused.WithLabelValues("journal-full"), m.refused.WithLabelValues("overload")
	m.late, m.stale = m.refused.WithLabelValues("queue-time"), m.refused.WithLabelValues("stale")
	m.recovery = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "huanxin_recovery_seconds", Help: "How long the phases of the last start took: snapshot read, journal replayed, invariants checked.",
	}, []string{"phase"})
	m.replayed = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "huanxin_recovery_replayed_events", Help: "Events that the last start replayed after the snapshot.",
	})
	if reg == nil {
		return m, nil
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	for _, c := range append(v.gauges(),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "huanxin_engine_steps_total", Help: "Inputs decided, ticks included.",
		}, func() float64 { return float64(decided.Load()) }),
		m.refused, m.batchInputs, m.appendSeconds, m.snapshotFailures, m.recovery, m.replayed,
		gauge("huanxin_engine_queue_depth", "Inputs that wait for the engine.", func() float64 { return float64(q.len()) }),
		gauge("huanxin_engine_turning_away", "1 while requests wait too long and new ones are turned away.", func() float64 {
			if q.others.turning.Load() || q.claims.turning.Load() {
				return 1
			}
			return 0
		}),
		gauge("huanxin_journal_position", "The last acknowledged batch.", func() float64 { return float64(m.position.Load()) }),
		gauge("huanxin_journal_full", "1 while the journal is at its high-water mark.", func() float64 {
			if j.Full() {
				return 1
			}
			return 0
		}),
		gauge("huanxin_snapshot_position", "Position of the newest snapshot.", func() float64 { return float64(m.snapshot.Load()) }),
		gauge("huanxin_snapshot_age_seconds", "Age of the newest snapshot; 0 when there is none.", m.snapshotAge),
		gauge("huanxin_follower_position", "The last batch that the snapshot follower has applied; 0 while it reads its snapshot.",
			func() float64 { return float64(m.follower.Load()) }),
		gauge("huanxin_follower_lag_batches", "Batches that the snapshot follower is behind.", func() float64 { return lag(&m.follower, &m.position) }),
		gauge("huanxin_follower_lag_events", "Events that the snapshot follower is behind: it gives way to decisions until it is snapshot.events behind.",
			func() float64 { return lag(&m.followed, &m.seq) }),
	) {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) appended(end journal.Mark, seq uint64) {
	m.position.Store(end.Position)
	m.seq.Store(seq)
}

func (m *metrics) follow(position, seq uint64) {
	m.follower.Store(position)
	m.followed.Store(seq)
}

func (m *metrics) snapshotTaken(snap journal.Snapshot) {
	if snap.Position == 0 {
		return
	}
	m.snapshot.Store(snap.Position)
	if snap.Taken.IsZero() {
		snap.Taken = time.Now()
	}
	m.snapshotAt.Store(snap.Taken.UnixNano())
}

func (m *metrics) lastSnapshot() uint64 { return m.snapshot.Load() }

func (m *metrics) snapshotAge() float64 {
	at := m.snapshotAt.Load()
	if at == 0 {
		return 0
	}
	return time.Since(time.Unix(0, at)).Seconds()
}

// lag is 0 until the follower has read its first batch: the deciding engine may not have appended one yet.
func lag(follower, end *atomic.Uint64) float64 {
	at, last := follower.Load(), end.Load()
	if at == 0 || at > last {
		return 0
	}
	return float64(last - at)
}
