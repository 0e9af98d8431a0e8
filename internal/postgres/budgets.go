package postgres

import (
	"context"
	"fmt"

	"huanxin/internal/money"
)

// BudgetNode is one node of the budget tree as the rows have it.
type BudgetNode struct {
	Path      string // "210100/store/A01/r1"; "" is the root
	Leaf      bool
	Closed    bool
	Allocated money.Amount // = Free + Held + Spent
	Free      money.Amount
	Held      money.Amount
	Spent     money.Amount
	// Released is how much of a leaf's allocation may be used by now; Allocated where no release plan applies.
	Released money.Amount
}

// Budgets returns the nodes down to depth levels below the root, all with a negative depth, in the order of their paths.
func (d *Database) Budgets(ctx context.Context, depth int) ([]BudgetNode, error) {
	rows, err := d.pool.Query(ctx, `
		SELECT n.path, NOT EXISTS (SELECT FROM budget_nodes c WHERE c.parent = n.path AND NOT c.root), n.closed,
		       n.allocated, n.held, n.spent, CASE WHEN n.paced THEN n.released ELSE n.allocated END
		FROM budget_nodes n
		WHERE $1 < 0 OR n.root OR length(n.path) - length(replace(n.path, '/', '')) < $1
		ORDER BY n.path`, depth)
	if err != nil {
		return nil, fmt.Errorf("read budgets: %w", err)
	}
	defer rows.Close()
	var out []BudgetNode
	for rows.Next() {
		var n BudgetNode
		if err := rows.Scan(&n.Path, &n.Leaf, &n.Closed, &n.Allocated, &n.Held, &n.Spent, &n.Released); err != nil {
			return nil, fmt.Errorf("read budgets: %w", err)
		}
		n.Free = n.Allocated - n.Held - n.Spent
		out = append(out, n)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read budgets: %w", err)
	}
	return out, nil
}
