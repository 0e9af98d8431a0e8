package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"huanxin/switch/projection"
)

// Frozen is the rows of the projection as they were at one moment: one transaction, which sees nothing of what is written
// while it is read, and which nobody who writes waits for. The tables that it reads it keeps from being dropped or given
// partitions: at the turn of a month the projection waits for its end, and no decision does.
type Frozen struct {
	tx   pgx.Tx
	done func()
	at   projection.Position
}

// Freeze begins the transaction. It must be closed.
func (d *Database) Freeze(ctx context.Context) (*Frozen, error) {
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("freeze the rows: %w", err)
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		conn.Release()
		return nil, fmt.Errorf("freeze the rows: %w", err)
	}
	f := &Frozen{tx: tx, done: conn.Release}
	if _, err = tx.Exec(ctx, "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"); err == nil {
		f.at, err = scanPosition(tx.QueryRow(ctx, selectPosition))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Close ends the transaction.
func (f *Frozen) Close() {
	_ = f.tx.Rollback(context.Background()) // it has read only
	f.done()
}

// Position is the moment.
func (f *Frozen) Position(context.Context) (projection.Position, error) { return f.at, nil }

// each hands fn every row of a table, in no order. What it gives is good until the next.
func each[T any](ctx context.Context, f *Frozen, t *table[T], fn func(*T) error) error {
	rows, err := f.tx.Query(ctx, "SELECT "+t.list()+" FROM "+t.name)
	if err != nil {
		return fmt.Errorf("read %s: %w", t.name, err)
	}
	defer rows.Close()
	var v T
	fields := t.fields(nil, &v)
	for rows.Next() {
		if err := rows.Scan(fields...); err != nil {
			return fmt.Errorf("read %s: %w", t.name, err)
		}
		if err := fn(&v); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read %s: %w", t.name, err)
	}
	return nil
}

// Programme is whose rows these are.
func (f *Frozen) Programme(ctx context.Context) (p projection.Programme, err error) {
	err = each(ctx, f, programmeTable, func(row *projection.Programme) error {
		p = *row
		return nil
	})
	return p, err
}

// EachNode and those below go through their tables.
func (f *Frozen) EachNode(ctx context.Context, fn func(*projection.Node) error) error {
	return each(ctx, f, nodeTable, fn)
}

func (f *Frozen) EachPurchase(ctx context.Context, fn func(*projection.Purchase) error) error {
	return each(ctx, f, purchaseTable, fn)
}

func (f *Frozen) EachHold(ctx context.Context, fn func(*projection.Hold) error) error {
	return each(ctx, f, holdTable, fn)
}

func (f *Frozen) EachEntitlement(ctx context.Context, fn func(*projection.Entitlement) error) error {
	return each(ctx, f, entitlementTable, fn)
}

func (f *Frozen) EachReversal(ctx context.Context, fn func(*projection.Reversal) error) error {
	return each(ctx, f, reversalTable, fn)
}

func (f *Frozen) EachOperation(ctx context.Context, fn func(*projection.Operation) error) error {
	return each(ctx, f, operationTable, fn)
}

func (f *Frozen) EachWorkItem(ctx context.Context, fn func(*projection.WorkItem) error) error {
	return each(ctx, f, workItemTable, fn)
}

func (f *Frozen) EachCapture(ctx context.Context, fn func(*projection.Capture) error) error {
	return each(ctx, f, captureTable, fn)
}

func (f *Frozen) EachRefund(ctx context.Context, fn func(*projection.Refund) error) error {
	return each(ctx, f, refundTable, fn)
}

func (f *Frozen) EachMovement(ctx context.Context, fn func(*projection.Movement) error) error {
	return each(ctx, f, movementTable, fn)
}

func (f *Frozen) EachSupplement(ctx context.Context, fn func(*projection.Supplement) error) error {
	return each(ctx, f, supplementTable, fn)
}

func (f *Frozen) EachRefusal(ctx context.Context, fn func(*projection.Refusal) error) error {
	return each(ctx, f, refusalTable, fn)
}

func (f *Frozen) EachRequest(ctx context.Context, fn func(*projection.Request) error) error {
	return each(ctx, f, requestTable, fn)
}

func (f *Frozen) EachTerminalBatch(ctx context.Context, fn func(*projection.TerminalBatch) error) error {
	return each(ctx, f, terminalBatchTable, fn)
}
