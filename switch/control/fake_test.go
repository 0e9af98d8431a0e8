package control

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/journal"
	"huanxin/switch/trail"
)

// fakeHasher is no keyed hash, but one that a test can compute.
type fakeHasher struct{}

func (fakeHasher) Serial(serial []byte) [16]byte {
	sum := sha256.Sum256(append([]byte("serial "), serial...))
	return [16]byte(sum[:16])
}

// fakeIndex is an index that a test fills. It can be away.
type fakeIndex struct {
	at        uint64
	positions map[uint64][]uint64
	settled   map[trail.Batch][]uint64
	found     []trail.Found
	asked     trail.Query
	away      error
}

func (f *fakeIndex) Projected(context.Context) (uint64, error) { return f.at, f.away }

func (f *fakeIndex) Positions(_ context.Context, purchase uint64) ([]uint64, error) {
	return append([]uint64(nil), f.positions[purchase]...), f.away
}

func (f *fakeIndex) Settled(_ context.Context, b trail.Batch) ([]uint64, error) {
	return f.settled[b], f.away
}

func (f *fakeIndex) Find(_ context.Context, q trail.Query, limit int) ([]trail.Found, error) {
	f.asked = q
	return f.found[:min(limit, len(f.found))], f.away
}

// fakeJournal is a history in memory. It counts what is read, and can stop to answer at a position.
type fakeJournal struct {
	batches []*journal.Batch
	mu      sync.Mutex
	read    map[uint64]int
	hangAt  uint64 // this batch is never given: the reader waits until its context ends
}

func (f *fakeJournal) Position() uint64 { return uint64(len(f.batches)) }

func (f *fakeJournal) Replay(ctx context.Context, from uint64, fn func(*journal.Batch) error) error {
	for _, b := range f.batches {
		if b.Position < from {
			continue
		}
		if b.Position == f.hangAt {
			<-ctx.Done()
			return ctx.Err()
		}
		f.mu.Lock()
		f.read[b.Position]++
		f.mu.Unlock()
		if err := fn(b); err != nil {
			return err
		}
	}
	return nil
}

// history packs events into batches of one, numbered from 1.
func history(bodies ...any) *fakeJournal {
	f := &fakeJournal{read: map[uint64]int{}}
	for i, body := range bodies {
		ev := &event.Event{Seq: uint64(i + 1), At: int64(i+1) * int64(time.Second)}
		switch b := body.(type) {
		case *event.Reserved:
			ev.Body = &event.Event_Reserved{Reserved: b}
		case *event.SaleSent:
			ev.Body = &event.Event_SaleSent{SaleSent: b}
		case *event.SaleApproved:
			ev.Body = &event.Event_SaleApproved{SaleApproved: b}
		case *event.BatchSettled:
			ev.Body = &event.Event_BatchSettled{BatchSettled: b}
		case *event.CodeShown:
			ev.Body = &event.Event_CodeShown{CodeShown: b}
		default:
			panic(fmt.Sprintf("no event %T", body))
		}
		f.batches = append(f.batches, &journal.Batch{Position: uint64(i + 1), FirstSeq: ev.Seq, Events: []*event.Event{ev}})
	}
	return f
}

// fakeEngine answers what a test tells it to.
type fakeEngine struct {
	mu     sync.Mutex
	bodies []any
	answer func(body any) *engine.AdminReply // nil: never
	refuse error
}

func (f *fakeEngine) submit(d **Desk) func(any) error {
	return func(body any) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.refuse != nil {
			return f.refuse
		}
		f.bodies = append(f.bodies, body)
		if f.answer == nil {
			return nil
		}
		r := f.answer(body)
		switch b := body.(type) {
		case *engine.Operate:
			r.Token = b.Token
		case *engine.Look:
			r.Token = b.Token
		}
		(*d).Deliver(r)
		return nil
	}
}

// last is the last input that the engine got.
func (f *fakeEngine) last() any {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.bodies) == 0 {
		return nil
	}
	return f.bodies[len(f.bodies)-1]
}

// rig is a server and a client on a socket of their own.
type rig struct {
	engine *fakeEngine
	index  *fakeIndex
	client *Client
	desk   *Desk
	place  string
	logs   *observer.ObservedLogs
	ready  error
}

func newRig(t *testing.T, journal *fakeJournal, change func(*Config)) *rig {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	r := &rig{engine: &fakeEngine{answer: func(any) *engine.AdminReply { return &engine.AdminReply{} }},
		index: &fakeIndex{}, logs: logs}
	r.desk = NewDesk(4, r.engine.submit(&r.desk))
	cfg := Config{
		Asker: r.desk, Archive: &Archive{Index: r.index, Journal: journal}, Hasher: fakeHasher{},
		Ready: func() error { return r.ready }, Log: zap.New(core), AnswerTimeout: time.Minute,
	}
	if change != nil {
		change(&cfg)
	}
	path := filepath.Join(t.TempDir(), "control.sock")
	listener, err := Listen(path)
	require.NoError(t, err)
	r.place = listener.Addr().String()
	server := NewServer(cfg)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.NoError(t, <-served)
	})
	r.client, err = NewClient(path)
	require.NoError(t, err)
	return r
}

// status is the HTTP status of a refusal, 0 for any other error.
func status(err error) int {
	var refused *Refusal
	if errors.As(err, &refused) {
		return refused.Status
	}
	return 0
}
