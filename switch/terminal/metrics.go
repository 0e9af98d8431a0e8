package terminal

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count requests and answers.
type metrics struct {
	requests     [kindCount]prometheus.Counter
	answers      *prometheus.CounterVec
	approvals    [kindCount]prometheus.Counter // of answers, those that most answers are: 00
	seconds      [kindCount]prometheus.Observer
	limited      [len(limitedNames)]prometheus.Counter
	undelivered  prometheus.Counter
	unanswerable prometheus.Counter
	unexpected   prometheus.Counter
	minimal      prometheus.Counter
	omitted      prometheus.Counter
	impostors    prometheus.Counter

	faults                       [faultCount]prometheus.Counter
	delivered, proved, keyFaults prometheus.Counter
	pins, pinFaults              prometheus.Counter
}

// Whose limit a message was beyond.
const (
	limitedSource = iota
	limitedTerminal
)

var limitedNames = [...]string{limitedSource: "source", limitedTerminal: "terminal"}

func newMetrics(reg prometheus.Registerer, t *table) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "huanxin_terminal_" + name, Help: help})
	}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "huanxin_terminal_requests_total", Help: "Messages received from terminals."}, []string{"kind"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "huanxin_terminal_answer_seconds", Help: "From a whole request to its answer being queued.",
		Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 20, 30}}, []string{"kind"})
	m := &metrics{
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "huanxin_terminal_answers_total", Help: "Answers by DE39."}, []string{"kind", "code"}),
		undelivered:  counter("undelivered_total", "Answers whose connection was gone; the terminal will reverse."),
		unanswerable: counter("unanswerable_total", "Frames that hold no request; their connection is closed."),
		unexpected:   counter("unexpected_replies_total", "Replies under a token that nobody waits under."),
		minimal:      counter("minimal_answers_total", "Answers that could not be written and were sent without any details."),
		omitted:      counter("omitted_fields_total", "Fields left out of an answer: they do not fit the port's dialect."),
		impostors:    counter("impostors_total", "Requests for a terminal that the certificate of their connection is not bound to."),
		delivered:    counter("keys_delivered_total", "Sign-ons that were answered with working keys."),
		proved:       counter("keys_proved_total", "Working keys that a terminal has used for the first time."),
		keyFaults:    counter("key_failures_total", "Operations that the key module has refused."),
		pins:         counter("pins_translated_total", "PIN blocks translated for a host."),
		pinFaults:    counter("pin_failures_total", "PIN blocks that could not be translated, or held no PIN."),
	}
	pending := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "huanxin_terminal_pending", Help: "Requests waiting for their answer."},
		func() float64 { return float64(t.inUse()) })
	faults := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "huanxin_terminal_mac_refusals_total", Help: "Messages answered A0, by what was wrong."}, []string{"reason"})
	for why := faultNone + 1; why < faultCount; why++ {
		m.faults[why] = faults.WithLabelValues(faultNames[why])
	}
	limited := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "huanxin_terminal_limited_total", Help: "Messages answered 96 because their source or terminal had sent too many."}, []string{"by"})
	for by, text := range limitedNames {
		m.limited[by] = limited.WithLabelValues(text)
	}
	for k := range kindCount {
		m.requests[k] = requests.WithLabelValues(k.String())
		m.seconds[k] = seconds.WithLabelValues(k.String())
		m.approvals[k] = m.answers.WithLabelValues(k.String(), string(approved[:]))
	}
	for _, c := range []prometheus.Collector{
		requests, seconds, m.answers, m.undelivered, m.unanswerable, m.unexpected, m.minimal, m.omitted, m.impostors, pending,
		limited, faults, m.delivered, m.proved, m.keyFaults, m.pins, m.pinFaults,
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register terminal metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) answered(k kind, code [2]byte, took time.Duration) {
	m.seconds[k].Observe(took.Seconds())
	if code == approved {
		m.approvals[k].Inc()
		return
	}
	label := "other" // an issuer may answer anything
	if alnum(code[0]) && alnum(code[1]) {
		label = string(code[:])
	}
	m.answers.WithLabelValues(k.String(), label).Inc()
}

func alnum(c byte) bool { return isDigit(c) || c >= 'A' && c <= 'Z' }
