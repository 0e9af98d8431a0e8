package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"huanxin/internal/money"
	"huanxin/switch/projection"
)

// StateCount is how many purchases are in one state, and what they sum up to.
type StateCount struct {
	State    string
	Ordinary bool // without a subsidy
	Count    int64
	Subsidy  money.Amount
	Amount   money.Amount // what payers are charged
	Manual   int64        // how many of them have a subsidy that an operator has recorded by hand
}

// PurchasesByState counts the purchases that charge: sales and completions. What else belongs to the pre-authorisation
// family only passes through; PassesByKind counts it.
func (d *Database) PurchasesByState(ctx context.Context) ([]StateCount, error) {
	rows, err := d.pool.Query(ctx, `
		SELECT state, ordinary, count(*), sum(subsidy)::bigint, sum(amount)::bigint, count(*) FILTER (WHERE manual)
		FROM purchases WHERE kind IN ('sale', 'completion') GROUP BY state, ordinary ORDER BY state, ordinary`)
	if err != nil {
		return nil, fmt.Errorf("count purchases: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[StateCount])
	if err != nil {
		return nil, fmt.Errorf("count purchases: %w", err)
	}
	return out, nil
}

// Purchases returns up to limit purchases with ids above after, ascending: page by page through all of them.
func (d *Database) Purchases(ctx context.Context, after uint64, limit int) ([]projection.Purchase, error) {
	return selectRows(ctx, d, purchaseTable, "WHERE id > $1 ORDER BY id LIMIT $2", int64(after), limit)
}

// PassCount is how many messages of the pre-authorisation family of one kind are in one state.
type PassCount struct {
	Kind   string // see projection.KindPreauth …
	State  string
	Count  int64
	Amount money.Amount
}

// PassesByKind counts the messages of the pre-authorisation family, completions included.
func (d *Database) PassesByKind(ctx context.Context) ([]PassCount, error) {
	rows, err := d.pool.Query(ctx, `
		SELECT kind, state, count(*), sum(amount)::bigint
		FROM purchases WHERE kind <> 'sale' GROUP BY kind, state ORDER BY kind, state`)
	if err != nil {
		return nil, fmt.Errorf("count the pre-authorisation family: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[PassCount])
	if err != nil {
		return nil, fmt.Errorf("count the pre-authorisation family: %w", err)
	}
	return out, nil
}

// PurchaseQuery says which purchases are wanted: those to which every field that is set applies. STAN and RRN, Batch and
// Terminal with them, may be those of the reserve, of the sale, or of a void or refund of the purchase.
type PurchaseQuery struct {
	Terminal   string
	Batch      uint32
	STAN       uint32
	RRN        string
	Reference  string // of a payment or refund that a caller has made itself
	Merchant   string
	CardToken  []byte // keyed hashes, as the journal has them
	SerialHash []byte
	Person     []byte
	// Limit is how many are returned at most, the newest first; 0 means 50.
	Limit int
}

// ErrNoQuery is returned by FindPurchases when nothing is asked for that an index can find.
var ErrNoQuery = errors.New("nothing to look for: name a terminal, RRN, reference, card, serial or person")

// FindPurchases returns the purchases that fit the query, the newest first.
func (d *Database) FindPurchases(ctx context.Context, q PurchaseQuery) ([]projection.Purchase, error) {
	where, args, err := q.where()
	if err != nil {
		return nil, err
	}
	if q.Limit <= 0 {
		q.Limit = 50
	}
	args = append(args, q.Limit)
	return selectRows(ctx, d, purchaseTable, fmt.Sprintf("WHERE %s ORDER BY id DESC LIMIT $%d", where, len(args)), args...)
}

func (q *PurchaseQuery) where() (string, []any, error) {
	var all []string
	var args []any
	arg := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	found := false // by something that has an index
	if q.Terminal != "" || q.RRN != "" || q.Reference != "" {
		found = true
		all = append(all, q.exchange(arg))
	} else if q.Batch != 0 || q.STAN != 0 {
		return "", nil, fmt.Errorf("%w: a batch or STAN is a terminal's", ErrNoQuery)
	}
	for _, c := range []struct {
		column, indexed string // the condition of the partial index, so that it is used
		value           []byte
	}{
		{"card_token", "card_token <> ''", q.CardToken}, {"serial_hash", "serial_hash <> ''", q.SerialHash},
		{"person", "NOT ordinary", q.Person},
	} {
		if len(c.value) > 0 {
			found = true
			all = append(all, fmt.Sprintf("%s = %s AND %s", c.column, arg(c.value), c.indexed))
		}
	}
	if q.Merchant != "" {
		all = append(all, "merchant = "+arg(q.Merchant))
	}
	if !found {
		return "", nil, ErrNoQuery
	}
	return strings.Join(all, " AND "), args, nil
}

// exchange is the condition on the numbers of a message: of the sale, of the reserve, or of an operation.
func (q *PurchaseQuery) exchange(arg func(any) string) string {
	var sale, reserve, operation []string
	add := func(list *[]string, format, value string) { *list = append(*list, fmt.Sprintf(format, value)) }
	if q.Terminal != "" {
		v := arg(q.Terminal)
		for _, list := range []*[]string{&sale, &reserve, &operation} {
			add(list, "terminal = %s AND terminal <> ''", v)
		}
	}
	if q.Batch != 0 {
		v := arg(int64(q.Batch))
		add(&sale, "terminal_batch = %s", v)
		add(&reserve, "reserve_batch = %s", v)
		add(&operation, "terminal_batch = %s", v)
	}
	if q.STAN != 0 {
		v := arg(int64(q.STAN))
		add(&sale, "stan = %s", v)
		add(&reserve, "reserve_stan = %s AND reserve_stan <> 0", v)
		add(&operation, "stan = %s", v)
	}
	if q.RRN != "" {
		v := arg(q.RRN)
		add(&sale, "rrn = %s AND rrn <> ''", v)
		add(&operation, "rrn = %s AND rrn <> ''", v)
	}
	if q.Reference != "" {
		v := arg(q.Reference)
		add(&sale, "reference = %s AND reference <> ''", v)
		add(&operation, "reference = %s AND reference <> ''", v)
	}
	ways := []string{
		"SELECT id FROM purchases WHERE " + strings.Join(sale, " AND "),
		"SELECT purchase FROM operations WHERE " + strings.Join(operation, " AND "),
	}
	if q.RRN == "" && q.Reference == "" { // a reserve has neither
		ways = append(ways, "SELECT id FROM purchases WHERE "+strings.Join(reserve, " AND "))
	}
	return "id IN (" + strings.Join(ways, " UNION ") + ")"
}

// PurchasePositions returns the batches of the journal that have events of a purchase, ascending: where its whole trail is
// read from. It is empty for a purchase that there is none of.
func (d *Database) PurchasePositions(ctx context.Context, id uint64) ([]uint64, error) {
	rows, err := d.pool.Query(ctx, `
		SELECT position FROM purchase_positions WHERE purchase = $1
		UNION SELECT position FROM purchases, unnest(ARRAY[reserved_in, sent_in, ended_in]) AS position WHERE id = $1 AND position <> 0
		ORDER BY position`, int64(id))
	if err != nil {
		return nil, fmt.Errorf("read the trail of purchase %d: %w", id, err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[uint64])
	if err != nil {
		return nil, fmt.Errorf("read the trail of purchase %d: %w", id, err)
	}
	return out, nil
}

// Operations returns the voids and refunds of a purchase, in their order.
func (d *Database) Operations(ctx context.Context, purchase uint64) ([]projection.Operation, error) {
	return selectRows(ctx, d, operationTable, "WHERE purchase = $1 ORDER BY id", int64(purchase))
}

// ReasonCount is how often the switch refused for one reason.
type ReasonCount struct {
	Kind     string // reserve, sale, void, refund, reversal
	Response string // DE39
	Reason   int32  // code of package reason, 0 = none
	Count    int64
}

// RefusalsByReason counts refusals. A refusal with several reasons counts for each of them.
func (d *Database) RefusalsByReason(ctx context.Context) ([]ReasonCount, error) {
	rows, err := d.pool.Query(ctx, `
		SELECT r.kind, r.response, coalesce(c.code, 0), count(*)
		FROM refusals r LEFT JOIN LATERAL unnest(r.reasons) AS c (code) ON true
		GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`)
	if err != nil {
		return nil, fmt.Errorf("count refusals: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ReasonCount])
	if err != nil {
		return nil, fmt.Errorf("count refusals: %w", err)
	}
	return out, nil
}
