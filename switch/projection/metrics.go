package projection

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	events   prometheus.Counter
	failures prometheus.Counter
	seconds  prometheus.Histogram
	parted   prometheus.Gauge
}

func (p *Projector) register(r prometheus.Registerer) error {
	p.metrics = metrics{
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "huanxin_projection_events_total", Help: "Events written as rows.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "huanxin_projection_failures_total", Help: "Attempts that the database failed.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "huanxin_projection_transaction_seconds", Help: "Time of one transaction with its reads.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}),
		parted: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "huanxin_projection_parted", Help: "1 when the rows do not fit the journal and nothing is projected any more.",
		}),
	}
	for _, c := range []prometheus.Collector{
		p.metrics.events, p.metrics.failures, p.metrics.seconds, p.metrics.parted,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "huanxin_projection_lag_batches", Help: "Journal batches that are not rows yet.",
		}, func() float64 { return float64(p.Lag()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "huanxin_projection_lag_seconds",
			Help: "Age of the last event that is a row, while the journal has later ones; 0 when it has none.",
		}, p.lagSeconds),
	} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (p *Projector) lagSeconds() float64 {
	at, _ := p.Position()
	if p.Lag() == 0 || at.At == 0 {
		return 0
	}
	return max(0, p.cfg.Now().Sub(at.At.Time()).Seconds())
}
