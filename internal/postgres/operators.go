package postgres

import (
	"context"

	"huanxin/switch/projection"
)

// WorkItems returns what persons must look at, oldest first; with open false also what they have looked at.
func (d *Database) WorkItems(ctx context.Context, open bool) ([]projection.WorkItem, error) {
	if open {
		return selectRows(ctx, d, workItemTable, "WHERE state = 'open' ORDER BY id")
	}
	return selectRows(ctx, d, workItemTable, "ORDER BY id")
}

// DeadLetters returns the reversals whose clearing cut-off came before an answer, oldest first. Refunds that
// have waited past theirs are among OpenOperations, with ExpiresAt.
func (d *Database) DeadLetters(ctx context.Context) ([]projection.Reversal, error) {
	return selectRows(ctx, d, reversalTable, "WHERE state = 'dead' ORDER BY id")
}

// OpenOperations returns the voids and refunds that have no end yet, oldest first: on their way, without an answer, or
// being undone.
func (d *Database) OpenOperations(ctx context.Context) ([]projection.Operation, error) {
	return selectRows(ctx, d, operationTable, "WHERE state IN ('sent', 'unknown', 'reversing') ORDER BY id")
}

// OperatorActs returns everything that operators have ordered, in order.
func (d *Database) OperatorActs(ctx context.Context) ([]projection.OperatorAct, error) {
	return selectRows(ctx, d, actTable, "ORDER BY seq")
}

// ManualSupplements returns the subsidies that operators have recorded by hand, in order. Every report that shows subsidies
// shows these apart.
func (d *Database) ManualSupplements(ctx context.Context) ([]projection.Supplement, error) {
	return selectRows(ctx, d, supplementTable, "ORDER BY seq")
}

// Batches returns the batches that terminals have settled, in order.
func (d *Database) Batches(ctx context.Context) ([]projection.TerminalBatch, error) {
	return selectRows(ctx, d, terminalBatchTable, "ORDER BY id")
}

// Pauses returns every pause, in order.
func (d *Database) Pauses(ctx context.Context) ([]projection.Pause, error) {
	return selectRows(ctx, d, pauseTable, "ORDER BY id")
}

// KillSwitches returns the merchants and terminals that have ever been stopped, as they stand.
func (d *Database) KillSwitches(ctx context.Context) ([]projection.KillSwitch, error) {
	return selectRows(ctx, d, killSwitchTable, "ORDER BY merchant, terminal")
}
