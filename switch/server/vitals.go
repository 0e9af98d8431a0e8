package server

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"huanxin/switch/engine"
)

// vitals are the engine's figures as of the last settled batch: what they speak of is durable. The loop reads them from
// its engine, the appender publishes them, anybody looks at them.
type vitals struct {
	log    *zap.Logger
	latest atomic.Pointer[engine.Vitals]
}

func newVitals(log *zap.Logger) *vitals {
	v := &vitals{log: log}
	v.latest.Store(new(engine.Vitals))
	return v
}

// begin takes the figures of a recovered engine. What they hold was announced by the run that caused it.
func (v *vitals) begin(now engine.Vitals) { v.latest.Store(&now) }

// settled publishes the figures of a batch, and raises the alarm over what it has added for a person to look at.
func (v *vitals) settled(now engine.Vitals) {
	before := v.latest.Swap(&now)
	if now.LastDead != before.LastDead && now.LastDead != "" {
		v.log.Error("dead letter: nothing is sent any more, settle it from the clearing file (huanxin saf show, saf resolve)",
			zap.String("id", now.LastDead), zap.Int("dead_letters", now.Dead))
	}
	if now.LastWorkItem > before.LastWorkItem {
		v.log.Error("work item: a person must look (huanxin saf show, saf resolve)", zap.Uint64("item", now.LastWorkItem),
			zap.Uint64("new", now.LastWorkItem-before.LastWorkItem), zap.Int("open", now.WorkItems))
	}
}

// gauges are the figures as metrics.
func (v *vitals) gauges() []prometheus.Collector {
	gauge := func(name, help string, value func(*engine.Vitals) int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return float64(value(v.latest.Load())) })
	}
	return []prometheus.Collector{
		gauge("huanxin_saf_queued", "Reversals and queries on their way to hosts.",
			func(v *engine.Vitals) int { return v.Queued }),
		gauge("huanxin_saf_unknown", "Refunds and wallet payments whose end is not known.",
			func(v *engine.Vitals) int { return v.Unknown }),
		gauge("huanxin_saf_dead_letters", "Reversals and refunds past their clearing cut-off, to be settled by a person.",
			func(v *engine.Vitals) int { return v.Dead }),
		gauge("huanxin_work_items_open", "Work items that nobody has closed.",
			func(v *engine.Vitals) int { return v.WorkItems }),
		gauge("huanxin_open_holds", "Purchases that lock a subsidy and have no end yet.",
			func(v *engine.Vitals) int { return v.OpenHolds }),
		gauge("huanxin_pauses", "Pauses in force or to come.", func(v *engine.Vitals) int { return v.Pauses }),
		gauge("huanxin_stopped", "Merchants and terminals that are stopped.", func(v *engine.Vitals) int { return v.Kills }),
	}
}
