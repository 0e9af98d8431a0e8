// Package projection turns the journal's events into rows of a database, exactly once: purchases, holds, captures, voids,
// refunds, entitlements, budget movements, terminal batches, the acts of operators and what belongs to them.
//
// It only reads from the journal. It does not decide, it is not asked on the way of an authorisation, and the switch goes
// on when the database is away: the journal keeps what is not yet projected. It knows no SQL; the store does
// (internal/postgres).
//
// The contract:
//
//   - The position – number and hash of the last journal batch in the rows – is stored in the same transaction as the rows.
//     A write names the position it follows; when the store stands elsewhere nothing is written. So a restart, an outage,
//     a commit whose answer was lost, or a second projector can neither lose nor double an event.
//   - Rows are a function of the events alone. Projecting the same journal into an empty database gives the same rows,
//     however the events were cut into transactions.
//   - An event that does not fit the rows (the capture of a purchase that was never sent) means that journal and database
//     have parted. Run then returns ErrParted; repair is an empty database, which is filled again from the journal.
//   - The batch that the stored position names must be in the journal. When it is not, Run returns the journal's error: the
//     rows are what is left of acknowledged batches, and whoever appends to that journal must stop.
//   - A failing store is tried again for ever, with a growing, jittered pause.
//
// What is not projected: one-time codes (they live for a minute), the working keys of terminals, and the registry's and catalogue's rows, which the
// switch itself shows; who has changed one is an operator's act.
package projection

import (
	"context"
	"errors"
	"time"

	"huanxin/switch/event"
)

// Batch is one batch of the journal.
type Batch struct {
	Position uint64 // 1, 2, 3 …
	Hash     [32]byte
	Events   []*event.Event
}

// Source gives the batches of the journal one after the other and waits for the next. It is used by one goroutine.
type Source interface {
	// Next returns the batch after the one before. Its error ends the projector, unless it is the context's.
	Next(ctx context.Context) (Batch, error)
	Close()
}

// Journal is what the projector reads from.
type Journal interface {
	// Holds returns an error when the journal has no such batch as the rows were made from last: it has lost it, or has
	// another one there. at.Batch is above 0.
	Holds(ctx context.Context, at Position) error
	// Follow opens a Source whose first batch is at position from.
	Follow(ctx context.Context, from uint64) (Source, error)
	// Position is the last batch there is. It is called from other goroutines, for the lag.
	Position() uint64
}

// Position is how far the rows are. The zero Position is an empty database.
type Position struct {
	Batch uint64
	Hash  [32]byte
	Seq   uint64  // last event
	At    Instant // of the last event
}

// Store keeps the rows. Every method is one transaction or less.
type Store interface {
	// Position returns the stored position.
	Position(ctx context.Context) (Position, error)
	// Purchases, Entitlements, Reversals and Operations return the rows with these ids; ids without a row are left out.
	Purchases(ctx context.Context, ids []uint64) ([]Purchase, error)
	Entitlements(ctx context.Context, ids []uint64) ([]Entitlement, error)
	Reversals(ctx context.Context, ids []uint64) ([]Reversal, error)
	Operations(ctx context.Context, ids []uint64) ([]Operation, error)
	// TerminalBatches returns the batch that was settled last under each key; keys without one are left out.
	TerminalBatches(ctx context.Context, keys []BatchKey) ([]TerminalBatch, error)
	// Nodes returns the whole budget tree.
	Nodes(ctx context.Context) ([]Node, error)
	// Terminals returns every terminal's session.
	Terminals(ctx context.Context) ([]Terminal, error)
	// Pauses returns every pause.
	Pauses(ctx context.Context) ([]Pause, error)
	// OpenWorkItems returns the work items that are not closed: what waits for a person, so they are not many.
	OpenWorkItems(ctx context.Context) ([]WorkItem, error)
	// OpenInquiries returns the inquiries that have not ended.
	OpenInquiries(ctx context.Context) ([]Inquiry, error)
	// Programme returns the programme's row, a zero one when there is none.
	Programme(ctx context.Context) (Programme, error)
	// Pack takes the changes in the form in which Write wants them; the rows may change afterwards. It asks nothing of the
	// database.
	Pack(c *Changes) (Packed, error)
	// Write stores the changes and moves the position from `from` to `to`, all or nothing. It returns ErrMoved, and
	// writes nothing, when the stored position is not `from`. It may run while other methods are called.
	Write(ctx context.Context, from, to Position, rows Packed) error
}

// Packed are changes in a store's own form.
type Packed any

var (
	// ErrUnreadable is a Journal's error that may pass: no file descriptor, no connection. The projector tries again.
	ErrUnreadable = errors.New("the journal cannot be read at present")
	// ErrParted is returned when an event does not fit the rows.
	ErrParted = errors.New("journal and database have parted")
	// ErrMoved is returned by Store.Write when the stored position is not the expected one: another projector writes, or
	// an earlier commit succeeded although its answer was lost. The projector reads the position again.
	ErrMoved = errors.New("the stored position has moved")
)

// businessZone is Asia/Shanghai, which has had no summer time since 1991: a fixed +08:00, never the machine's zone.
var businessZone = time.FixedZone("Asia/Shanghai", 8*60*60)

// MonthOf is the business month of an instant: its first day, as a date in UTC. Rows are partitioned by it.
func MonthOf(at Instant) time.Time { return monthAround(at).date }

// month is a business month, with its first instant and that of the next.
type month struct {
	date     time.Time
	from, to Instant
}

func monthAround(at Instant) month {
	y, m, _ := time.Unix(0, int64(at)).In(businessZone).Date()
	begins := func(m time.Month) Instant { return Instant(time.Date(y, m, 1, 0, 0, 0, 0, businessZone).UnixNano()) }
	return month{time.Date(y, m, 1, 0, 0, 0, 0, time.UTC), begins(m), begins(m + 1)}
}
