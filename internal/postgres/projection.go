package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"huanxin/switch/projection"
)

// ProjectionStore is projection.Store over a Database.
//
// A write is one transaction: the position is moved, which locks its row, new rows come in by COPY, and rows that may be
// there already go through a temporary table and one INSERT … ON CONFLICT for each table. Partitions are made before it, in
// transactions of their own, for the months that the rows lie in and the one after them.
//
// Its commit waits for no disk: what a crash of the server takes away is a transaction with its position, and is projected
// again.
type ProjectionStore struct {
	d *Database

	// Place is told when a transaction comes to projection.PlaceWritten. For drills only; nil: nobody.
	Place func(place string)

	mu     sync.Mutex
	months map[time.Time]bool // that have partitions
	packs  []*pack            // written, to be filled again
}

var _ projection.Store = (*ProjectionStore)(nil)

// Projection returns the store of the projection. One projector writes; any number may read.
func (d *Database) Projection() *ProjectionStore {
	return &ProjectionStore{d: d, months: map[time.Time]bool{}}
}

// Position implements projection.Store.
func (s *ProjectionStore) Position(ctx context.Context) (projection.Position, error) {
	return scanPosition(s.d.pool.QueryRow(ctx, selectPosition))
}

const selectPosition = "SELECT batch, hash, seq, at FROM projection_position"

func scanPosition(row pgx.Row) (at projection.Position, err error) {
	var hash []byte
	if err := row.Scan(&at.Batch, &hash, &at.Seq, &at.At); err != nil {
		return projection.Position{}, fmt.Errorf("read position: %w", err)
	}
	if copy(at.Hash[:], hash) != len(at.Hash) {
		return projection.Position{}, fmt.Errorf("read position: a hash of %d bytes", len(hash))
	}
	return at, nil
}

// Purchases implements projection.Store.
func (s *ProjectionStore) Purchases(ctx context.Context, ids []uint64) ([]projection.Purchase, error) {
	return selectByID(ctx, s.d, purchaseTable, ids)
}

// Entitlements implements projection.Store.
func (s *ProjectionStore) Entitlements(ctx context.Context, ids []uint64) ([]projection.Entitlement, error) {
	return selectByID(ctx, s.d, entitlementTable, ids)
}

// Reversals implements projection.Store.
func (s *ProjectionStore) Reversals(ctx context.Context, ids []uint64) ([]projection.Reversal, error) {
	return selectByID(ctx, s.d, reversalTable, ids)
}

// Operations implements projection.Store.
func (s *ProjectionStore) Operations(ctx context.Context, ids []uint64) ([]projection.Operation, error) {
	return selectByID(ctx, s.d, operationTable, ids)
}

// OpenWorkItems implements projection.Store.
func (s *ProjectionStore) OpenWorkItems(ctx context.Context) ([]projection.WorkItem, error) {
	return s.d.WorkItems(ctx, true)
}

// TerminalBatches implements projection.Store.
func (s *ProjectionStore) TerminalBatches(ctx context.Context, keys []projection.BatchKey) ([]projection.TerminalBatch, error) {
	var terminals, merchants []string
	var batches []int64
	for _, k := range keys {
		terminals, merchants, batches = append(terminals, k.Terminal), append(merchants, k.Merchant), append(batches, int64(k.Batch))
	}
	return selectRows(ctx, s.d, terminalBatchTable, `
		WHERE id IN (SELECT (SELECT max(id) FROM batches b
				WHERE (b.terminal, b.merchant, b.batch) = (k.terminal, k.merchant, k.batch))
			FROM unnest($1::text[], $2::text[], $3::bigint[]) AS k (terminal, merchant, batch))
		ORDER BY id`, terminals, merchants, batches)
}

// Pauses implements projection.Store.
func (s *ProjectionStore) Pauses(ctx context.Context) ([]projection.Pause, error) {
	return selectRows(ctx, s.d, pauseTable, "ORDER BY id")
}

// OpenInquiries implements projection.Store.
func (s *ProjectionStore) OpenInquiries(ctx context.Context) ([]projection.Inquiry, error) {
	return selectRows(ctx, s.d, inquiryTable, "WHERE ended_at IS NULL ORDER BY id")
}

// Nodes implements projection.Store.
func (s *ProjectionStore) Nodes(ctx context.Context) ([]projection.Node, error) {
	return selectRows(ctx, s.d, nodeTable, "ORDER BY path")
}

// Terminals implements projection.Store.
func (s *ProjectionStore) Terminals(ctx context.Context) ([]projection.Terminal, error) {
	return selectRows(ctx, s.d, terminalTable, "ORDER BY id")
}

// Programme implements projection.Store.
func (s *ProjectionStore) Programme(ctx context.Context) (projection.Programme, error) {
	rows, err := selectRows(ctx, s.d, programmeTable, "")
	if err != nil || len(rows) == 0 {
		return projection.Programme{}, err
	}
	return rows[0], nil
}

// Pack implements projection.Store.
func (s *ProjectionStore) Pack(c *projection.Changes) (projection.Packed, error) {
	s.mu.Lock()
	p := &pack{}
	if n := len(s.packs); n > 0 {
		p, s.packs = s.packs[n-1], s.packs[:n-1]
	}
	s.mu.Unlock()
	p.reset()
	p.months = append(p.months, c.Months...)
	if c.Programme != nil {
		replacing(p, programmeTable, []*projection.Programme{c.Programme})
	}
	replacing(p, nodeTable, c.Nodes)
	replacing(p, terminalTable, c.Terminals)
	both(p, entitlementTable, c.Entitlements)
	both(p, purchaseTable, c.Purchases)
	both(p, holdTable, c.Holds)
	both(p, reversalTable, c.Reversals)
	both(p, operationTable, c.Operations)
	replacing(p, workItemTable, c.WorkItems)
	replacing(p, terminalBatchTable, c.TerminalBatches)
	replacing(p, inquiryTable, c.Inquiries)
	replacing(p, pauseTable, c.Pauses)
	replacing(p, killSwitchTable, c.KillSwitches)
	adding(p, captureTable, c.Captures)
	adding(p, supplementTable, c.Supplements)
	adding(p, refundTable, c.Refunds)
	adding(p, movementTable, c.Movements)
	adding(p, refusalTable, c.Refusals)
	adding(p, reportTable, c.Reports)
	adding(p, requestTable, c.Requests)
	adding(p, actTable, c.Acts)
	adding(p, trailTable, c.Trails)
	return p, p.err
}

// Write implements projection.Store.
func (s *ProjectionStore) Write(ctx context.Context, from, to projection.Position, rows projection.Packed) error {
	p := rows.(*pack)
	if err := s.makePartitions(ctx, p.months); err != nil {
		return err
	}
	conn, err := s.d.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if err := s.write(ctx, conn.Conn(), from, to, p); err != nil {
		// Nothing of a connection that has failed is trusted: it goes, with its drafts.
		_ = conn.Conn().Close(ctx)
		return err
	}
	s.mu.Lock()
	s.packs = append(s.packs, p)
	s.mu.Unlock()
	return nil
}

func (s *ProjectionStore) write(ctx context.Context, conn *pgx.Conn, from, to projection.Position, p *pack) error {
	if err := p.makeDrafts(ctx, conn); err != nil {
		return err
	}
	begin := pgx.TxOptions{BeginQuery: "BEGIN; SET LOCAL synchronous_commit TO off"}
	return pgx.BeginTxFunc(ctx, conn, begin, func(tx pgx.Tx) error {
		moved, err := tx.Exec(ctx, `
			UPDATE projection_position SET batch = $1, hash = $2, seq = $3, at = $4 WHERE batch = $5 AND hash = $6`,
			to.Batch, to.Hash[:], to.Seq, to.At, from.Batch, from.Hash[:])
		if err != nil {
			return fmt.Errorf("move position: %w", err)
		}
		if moved.RowsAffected() == 0 {
			return fmt.Errorf("%w: batch %d is not there", projection.ErrMoved, from.Batch)
		}
		err = p.copy(ctx, tx)
		if err == nil && s.Place != nil {
			s.Place(projection.PlaceWritten)
		}
		return err
	})
}

// table says how a row type lies in the database: one column for each field that fields points to, in that order.
type table[T any] struct {
	name    string
	key     []string // of the conflict, when rows can be there already
	id      string   // the column that rows are looked up by, "" = none
	columns []string
	fields  func([]any, *T) []any // appends the pointers
}

func (t *table[T]) list() string { return strings.Join(t.columns, ", ") }

func selectByID[T any](ctx context.Context, d *Database, t *table[T], ids []uint64) ([]T, error) {
	return selectRows(ctx, d, t, "WHERE "+t.id+" = ANY($1) ORDER BY "+t.id, signed(ids))
}

func selectRows[T any](ctx context.Context, d *Database, t *table[T], rest string, args ...any) ([]T, error) {
	rows, err := d.pool.Query(ctx, "SELECT "+t.list()+" FROM "+t.name+" "+rest, args...)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", t.name, err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (v T, err error) {
		err = row.Scan(t.fields(nil, &v)...)
		return v, err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", t.name, err)
	}
	return out, nil
}

func signed(ids []uint64) []int64 {
	out := make([]int64, len(ids))
	for i, id := range ids {
		out[i] = int64(id)
	}
	return out
}

// partitioned are the tables by month.
var partitioned = []string{
	"purchases", "purchase_positions", "holds", "captures", "supplements", "refunds", "operations", "entitlements",
	"budget_movements", "reversals", "refusals", "batches", "terminal_reports", "inquiries", "requests",
}

// roomy are the tables whose rows change without changing what an index names: with room on its page, a row that changes
// needs no new entries in the indexes.
var roomy = map[string]string{"entitlements": " WITH (fillfactor = 80)"}

// makePartitions makes what is missing for the months and for the one after the last: the first write of a month then
// finds its partitions there.
func (s *ProjectionStore) makePartitions(ctx context.Context, months []time.Time) error {
	if len(months) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range append(months[:len(months):len(months)], months[len(months)-1].AddDate(0, 1, 0)) {
		if s.months[m] {
			continue
		}
		err := pgx.BeginFunc(ctx, s.d.pool, func(tx pgx.Tx) error {
			// Two projectors may come here at once; IF NOT EXISTS alone does not keep them apart.
			if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", partitionLock); err != nil {
				return err
			}
			for _, t := range partitioned {
				_, err := tx.Exec(ctx, fmt.Sprintf(
					"CREATE TABLE IF NOT EXISTS %s_%s PARTITION OF %s FOR VALUES FROM ('%s') TO ('%s')%s",
					t, m.Format("2006_01"), t, m.Format(time.DateOnly), m.AddDate(0, 1, 0).Format(time.DateOnly), roomy[t]))
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("make the partitions of %s: %w", m.Format("2006-01"), err)
		}
		s.months[m] = true
	}
	return nil
}

// partitionLock is an arbitrary number that nothing else in this database locks.
const partitionLock = 0x68756e78
