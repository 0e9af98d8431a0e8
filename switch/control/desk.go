package control

import (
	"context"
	"sync"

	"huanxin/switch/engine"
)

// Desk hands admin requests to the engine and its answers to those who wait for them. Tokens count up from 1: 0 is the
// server's own. The start sequence of the process uses the same desk.
type Desk struct {
	submit func(body any) error
	max    int

	mu      sync.Mutex // guards what follows
	last    engine.Token
	waiting map[engine.Token]chan engine.AdminReply
}

// NewDesk returns a desk for at most max requests at once. submit puts an input into the engine's queue or refuses it at
// once.
func NewDesk(max int, submit func(body any) error) *Desk {
	return &Desk{submit: submit, max: max, waiting: map[engine.Token]chan engine.AdminReply{}}
}

// Ask submits what body makes of its token – a pointer to one of the engine's admin inputs – and waits for the answer. It
// returns ErrBusy, the error of submit (then nothing has happened), or the cause of ctx, after which the answer is dropped
// when it comes.
func (d *Desk) Ask(ctx context.Context, body func(engine.Token) any) (*engine.AdminReply, error) {
	token, answer, err := d.enter()
	if err != nil {
		return nil, err
	}
	defer d.leave(token)
	if err := d.submit(body(token)); err != nil {
		return nil, err
	}
	select {
	case r := <-answer:
		return &r, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (d *Desk) enter() (engine.Token, chan engine.AdminReply, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting) >= d.max {
		return 0, nil, ErrBusy
	}
	d.last++
	answer := make(chan engine.AdminReply, 1)
	d.waiting[d.last] = answer
	return d.last, answer, nil
}

func (d *Desk) leave(token engine.Token) {
	d.mu.Lock()
	delete(d.waiting, token)
	d.mu.Unlock()
}

// Deliver is the server's sink of admin answers. It never blocks; an answer that nobody waits for any more is dropped.
func (d *Desk) Deliver(r *engine.AdminReply) {
	d.mu.Lock()
	answer := d.waiting[r.Token]
	d.mu.Unlock()
	if answer == nil {
		return
	}
	select {
	case answer <- *r:
	default:
	}
}
