package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"huanxin/internal/postgres"
	"huanxin/switch/control"
	"huanxin/switch/keys"
	"huanxin/switch/projection"
	"huanxin/switch/trail"
)

// openControl opens the operator's socket. It answers that the switch is starting until it serves.
func (s *Switch) openControl(set *keys.Set) (err error) {
	if s.socket, err = control.Listen(s.cfg.Path(s.cfg.Control.Socket)); err != nil {
		return fmt.Errorf("control.socket: %w", err)
	}
	s.control = control.NewServer(control.Config{
		Asker: s.desk, Hasher: set.Hasher(), Log: s.log.Named("control"), AnswerTimeout: s.cfg.Control.AnswerTimeout,
		ReloadKeys: s.reloadKeys,
		Archive:    &control.Archive{Index: purchaseIndex{s}, Journal: s.journal},
		Ready: func() error {
			if why := s.stage.Load(); why != nil {
				return *why
			}
			return nil
		},
	})
	return nil
}

// projectionPatience is how long an operator's question waits for the projection.
const projectionPatience = 2 * time.Second

// purchaseIndex is PostgreSQL as the index of the journal.
type purchaseIndex struct{ s *Switch }

var (
	errNoDatabase  = errors.New("the database was not reached yet")
	errDatabaseOff = errors.New("there is no database: database.enabled is false")
)

// Projected waits for the projection to have what the journal has now, which it mostly has within milliseconds, or for
// ctx.
func (p purchaseIndex) Projected(ctx context.Context) (uint64, error) {
	if !p.s.cfg.Database.Enabled {
		return 0, errDatabaseOff
	}
	if !p.s.migrated.Load() {
		return 0, errNoDatabase
	}
	if err := p.s.projector.Outage(); err != nil {
		return 0, err
	}
	waiting, cancel := context.WithTimeout(ctx, projectionPatience)
	defer cancel()
	_ = p.s.projector.Wait(waiting, p.s.journal.Position()) // behind is an answer too: it says how far
	at, err := p.s.database.Projection().Position(ctx)
	return at.Batch, err
}

func (p purchaseIndex) Positions(ctx context.Context, purchase uint64) ([]uint64, error) {
	return p.s.database.PurchasePositions(ctx, purchase)
}

// Settled gives the last settlement of the batch: a number comes again after a million batches.
func (p purchaseIndex) Settled(ctx context.Context, b trail.Batch) (seqs []uint64, err error) {
	key := projection.BatchKey{Terminal: b.Terminal, Merchant: b.Merchant, Batch: b.Number}
	rows, err := p.s.database.Projection().TerminalBatches(ctx, []projection.BatchKey{key})
	for i := range rows {
		seqs = append(seqs, rows[i].ID)
	}
	return seqs, err
}

func (p purchaseIndex) Find(ctx context.Context, q trail.Query, limit int) ([]trail.Found, error) {
	rows, err := p.s.database.FindPurchases(ctx, postgres.PurchaseQuery{
		Terminal: q.Terminal, STAN: q.STAN, RRN: q.RRN, CardToken: q.Card, SerialHash: q.Serial, Person: q.Person, Limit: limit,
	})
	found := make([]trail.Found, len(rows))
	for i := range rows {
		r := &rows[i]
		at := r.ReservedAt
		if at == 0 {
			at = r.SentAt
		}
		found[i] = trail.Found{
			Purchase: r.ID, State: r.State, At: trail.Instant(at), Terminal: r.Terminal, Merchant: r.Merchant, STAN: r.STAN,
			RRN: r.RRN, CardMask: r.CardMask, Amount: int64(r.Amount), Subsidy: int64(r.Subsidy),
			Manual: r.Manual,
		}
	}
	return found, err
}
