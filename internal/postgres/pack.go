package postgres

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"huanxin/switch/projection"
)

// pack is what one transaction writes: for each table a stream for COPY, all in one buffer.
type pack struct {
	months []time.Time
	bytes  []byte
	parts  []part
	fields []any // of the row that is being packed
	err    error // the first
}

// part is a stream of rows for one table.
type part struct {
	table    string
	columns  string
	key      []string // of rows that may be there already; nil: a row that is there fails the transaction
	rows     int64
	from, to int // in pack.bytes
}

func (p *pack) reset() {
	*p = pack{months: p.months[:0], bytes: p.bytes[:0], parts: p.parts[:0], fields: p.fields[:0]}
}

func both[T any](p *pack, t *table[T], rows projection.Rows[T]) {
	packRows(p, t, nil, len(rows.New), func(i int) *T { return rows.New[i] })
	replacing(p, t, rows.Changed)
}

func replacing[T any](p *pack, t *table[T], rows []*T) {
	packRows(p, t, t.key, len(rows), func(i int) *T { return rows[i] })
}

func adding[T any](p *pack, t *table[T], rows []T) {
	packRows(p, t, nil, len(rows), func(i int) *T { return &rows[i] })
}

func packRows[T any](p *pack, t *table[T], key []string, n int, row func(int) *T) {
	if n == 0 || p.err != nil {
		return
	}
	from := len(p.bytes)
	p.bytes = append(p.bytes, copyHeader...)
	for i := range n {
		p.fields = t.fields(p.fields[:0], row(i))
		if p.bytes, p.err = appendRow(p.bytes, p.fields); p.err != nil {
			p.err = fmt.Errorf("pack a row of %s: %w", t.name, p.err)
			return
		}
	}
	p.bytes = append(p.bytes, copyTrailer...)
	p.parts = append(p.parts, part{table: t.name, columns: t.list(), key: key, rows: int64(n), from: from, to: len(p.bytes)})
}

// draft is the temporary table of a connection that rows of a table come through.
func (t *part) draft() string { return "draft_" + t.table }

// makeDrafts makes the temporary tables that the pack needs and the connection does not have. They are made once for a
// connection: new ones for each transaction would fill the server's catalogue.
func (p *pack) makeDrafts(ctx context.Context, conn *pgx.Conn) error {
	made := conn.PgConn().CustomData()
	for i := range p.parts {
		t := &p.parts[i]
		if t.key == nil || made[t.draft()] != nil {
			continue
		}
		_, err := conn.Exec(ctx, fmt.Sprintf("CREATE TEMPORARY TABLE %s ON COMMIT DELETE ROWS AS SELECT %s FROM %s WITH NO DATA",
			t.draft(), t.columns, t.table))
		if err != nil {
			return fmt.Errorf("prepare %s: %w", t.table, err)
		}
		made[t.draft()] = true
	}
	return nil
}

func (p *pack) copy(ctx context.Context, tx pgx.Tx) error {
	for i := range p.parts {
		t := &p.parts[i]
		into := t.table
		if t.key != nil {
			into = t.draft()
		}
		taken, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(p.bytes[t.from:t.to]),
			fmt.Sprintf("COPY %s (%s) FROM STDIN (FORMAT binary)", into, t.columns))
		if err == nil && taken.RowsAffected() != t.rows {
			err = fmt.Errorf("%d of %d rows were taken", taken.RowsAffected(), t.rows)
		}
		if err != nil {
			return fmt.Errorf("copy to %s: %w", into, err)
		}
		if t.key == nil {
			continue
		}
		if _, err := tx.Exec(ctx, t.merge()); err != nil {
			return fmt.Errorf("write %s: %w", t.table, err)
		}
	}
	return nil
}

// merge moves the draft into its table.
func (t *part) merge() string {
	var sets []string
	for c := range strings.SplitSeq(t.columns, ", ") {
		sets = append(sets, c+" = excluded."+c)
	}
	return fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s ON CONFLICT (%s) DO UPDATE SET %s",
		t.table, t.columns, t.columns, t.draft(), strings.Join(t.key, ", "), strings.Join(sets, ", "))
}
