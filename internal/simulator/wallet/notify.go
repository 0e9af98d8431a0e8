package wallet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"go.uber.org/zap"
)

// notifier sends notifications: a bounded queue and a few workers. What finds no room, or is still not taken after the last
// attempt, is lost, as notifications are.
type notifier struct {
	cfg     *Config
	target  *url.URL // nil = nowhere
	queue   chan []byte
	life    context.Context
	workers sync.WaitGroup
}

const (
	noticeQueue   = 4096
	noticeWorkers = 8
)

// noticeAgain are the waits before a notification that was not taken is sent again.
var noticeAgain = []time.Duration{time.Second, 5 * time.Second}

func newNotifier(life context.Context, cfg *Config) (*notifier, error) {
	n := &notifier{cfg: cfg, queue: make(chan []byte, noticeQueue), life: life}
	if cfg.Notify == "" {
		return n, nil
	}
	target, err := url.Parse(cfg.Notify)
	if err != nil || target.Scheme != "http" && target.Scheme != "https" || target.Host == "" || target.RawQuery != "" {
		return nil, fmt.Errorf("notify %q: want http://host:port/path", cfg.Notify)
	}
	n.target = target
	for range noticeWorkers {
		n.workers.Go(n.work)
	}
	return n, nil
}

// send queues a notification so many times.
func (n *notifier) send(text []byte, times int) {
	for range times {
		select {
		case n.queue <- text:
		default:
			n.cfg.Logger.Warn("notification lost: too many wait")
		}
	}
}

func (n *notifier) work() {
	for {
		select {
		case text := <-n.queue:
			n.deliver(text)
		case <-n.life.Done():
			return
		}
	}
}

// deliver sends one until it is taken or refused for good.
func (n *notifier) deliver(text []byte) {
	for i := 0; ; i++ {
		again, err := n.post(text)
		if err == nil {
			return
		}
		n.cfg.Logger.Info("notification not taken", zap.Int("attempt", i+1), zap.Error(err))
		if !again || i == len(noticeAgain) {
			return
		}
		timer := time.NewTimer(noticeAgain[i])
		select {
		case <-timer.C:
		case <-n.life.Done():
			timer.Stop()
			return
		}
	}
}

// post sends it once. again reports whether it is worth another attempt.
func (n *notifier) post(text []byte) (again bool, err error) {
	req, err := http.NewRequestWithContext(n.life, http.MethodPost, n.target.String(), bytes.NewReader(text))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	n.cfg.Key.Sign(req.Header, req.Method, n.target.EscapedPath(), text, n.cfg.Now())
	res, err := n.cfg.Client.Do(req)
	if err != nil {
		return true, err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxBody))
	switch {
	case res.StatusCode == http.StatusNoContent:
		return false, nil
	case res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests:
		return true, fmt.Errorf("answered %s", res.Status)
	}
	return false, fmt.Errorf("answered %s", res.Status)
}
