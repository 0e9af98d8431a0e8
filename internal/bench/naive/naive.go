// Package naive is the server that a team would build on a database: the library's codec, a pool of connections, and one
// transaction for each authorisation. It is written in the best form that this design has – prepared statements, one round
// trip for a whole transaction, the lock on the budget's row taken last and held for the commit alone, a pool that is as
// large as is fastest – and keeps every promise that it can: nothing is answered before the commit is on disk.
//
// It does less than the switch: one rule, one budget, no duplicates, no places, no reversals.
package naive

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	moov "github.com/moov-io/iso8583"

	"huanxin/internal/postgres"
)

// Connections of the pool: more wait for the one budget row and for each other, fewer leave the commits unshared.
const Connections = 8

// Config is what the server needs.
type Config struct {
	Dir     string // of the private PostgreSQL
	URL     string // of a database that is there already, instead
	Address string
	Spec    *moov.MessageSpec
	// Host is the card network that a sale goes to; empty where there are none.
	Host string
	Pool int // 0: Connections
	// Holds are made before it listens, for so many Terminals in turn.
	Holds, Terminals int
}

// Server is a running one.
type Server struct {
	spec    *moov.MessageSpec
	cluster *postgres.Private
	pool    *pgxpool.Pool
	listen  net.Listener
	host    *hostLink
	group   sync.WaitGroup
}

const schema = `
DROP TABLE IF EXISTS entitlement, budget, purchase;
CREATE TABLE entitlement (code text PRIMARY KEY, used int NOT NULL CHECK (used <= 1));
CREATE TABLE budget (id int PRIMARY KEY, allocated bigint NOT NULL, held bigint NOT NULL, spent bigint NOT NULL,
  CHECK (held + spent <= allocated)) WITH (fillfactor = 10);
CREATE TABLE purchase (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code text NOT NULL, terminal text NOT NULL, stan int NOT NULL,
  serial text NOT NULL, price bigint NOT NULL, subsidy bigint NOT NULL, state smallint NOT NULL, rrn text, approval text, at timestamptz NOT NULL
);
INSERT INTO budget VALUES (1, 1000000000000000, 0, 0);
ALTER TABLE budget SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
`

// New starts the database and listens.
func New(ctx context.Context, cfg Config) (_ *Server, err error) {
	s := &Server{spec: cfg.Spec}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	url := cfg.URL
	if url == "" {
		if s.cluster, err = postgres.StartPrivate(ctx, postgres.PrivateConfig{Dir: cfg.Dir}); err != nil {
			return nil, err
		}
		url = s.cluster.URL()
	}
	pool, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	pool.MaxConns = int32(Connections)
	if cfg.Pool > 0 {
		pool.MaxConns = int32(cfg.Pool)
	}
	pool.MinConns = pool.MaxConns
	if s.pool, err = pgxpool.NewWithConfig(ctx, pool); err != nil {
		return nil, err
	}
	if _, err := s.pool.Exec(ctx, schema, pgx.QueryExecModeSimpleProtocol); err != nil {
		return nil, fmt.Errorf("create tables: %w", err)
	}
	if cfg.Holds > 0 {
		if err := s.prepareHolds(ctx, cfg.Holds, cfg.Terminals); err != nil {
			return nil, fmt.Errorf("prepare holds: %w", err)
		}
	}
	if cfg.Host != "" {
		if s.host, err = dialHost(ctx, cfg.Host, cfg.Spec); err != nil {
			return nil, err
		}
	}
	s.listen, err = net.Listen("tcp", cfg.Address)
	return s, err
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.listen.Addr() }

// Serve serves until Close.
func (s *Server) Serve() error {
	for {
		nc, err := s.listen.Accept()
		if err != nil {
			return err
		}
		s.group.Go(func() { s.serve(nc) })
	}
}

// Close ends everything, the database last.
func (s *Server) Close() error {
	var errs []error
	if s.listen != nil {
		errs = append(errs, s.listen.Close())
	}
	if s.host != nil {
		errs = append(errs, s.host.close())
	}
	if s.pool != nil {
		s.pool.Close()
	}
	if s.cluster != nil {
		errs = append(errs, s.cluster.Close())
	}
	return errors.Join(errs...)
}

const (
	upsertEntitlement = `INSERT INTO entitlement VALUES ($1, 1) ON CONFLICT (code) DO UPDATE SET used = entitlement.used + 1`
	insertPurchase    = `INSERT INTO purchase (code, terminal, stan, serial, price, subsidy, state, at)
		VALUES ($1, $2, $3, $4, $5, $6, 1, $7) RETURNING id`
	takeBudget = `UPDATE budget SET held = held + $1 WHERE id = 1`
)

// checkViolation is the error of a quota or a budget that is used up.
const checkViolation = "23514"

// errRefused is returned when quota or budget are used up.
var errRefused = errors.New("refused")

// reserve is the whole transaction in one round trip: a batch without BEGIN is one, and a refusal is a broken check,
// which undoes all of it.
func (s *Server) reserve(ctx context.Context, r *request) (id int64, err error) {
	subsidy := r.price / 5
	var b pgx.Batch
	b.Queue(upsertEntitlement, r.code)
	b.Queue(insertPurchase, r.code, r.terminal, r.stan, r.serial, r.price, subsidy, time.Now()).QueryRow(func(row pgx.Row) error {
		return row.Scan(&id)
	})
	b.Queue(takeBudget, subsidy)
	err = s.pool.SendBatch(ctx, &b).Close()
	if broken := (*pgconn.PgError)(nil); errors.As(err, &broken) && broken.Code == checkViolation {
		return 0, errRefused
	}
	return id, err
}
