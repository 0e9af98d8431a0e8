// Package postgres is the only one that speaks to PostgreSQL: the pool, the migrations, the stores that other packages
// declare, the questions that reports ask, and the private cluster that `make run` and the tests use.
//
// The database is a projection: what stands here can be written again from the journal. Nothing on the way of an
// authorisation waits for it, and Open does not need the server to be there.
//
// The contract:
//
//   - Open, then Migrate, then use. Migrate may run in several processes at once; one of them does the work.
//   - A Database is safe for concurrent use. Every method takes a context and obeys it; every statement is bounded by
//     Config.StatementTimeout as well.
//   - Errors are the driver's, wrapped with the act. Unavailable tells an outage, which passes, from a statement that the
//     server refused, which does not.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Config is what a Database needs.
type Config struct {
	// URL is postgres://user:password@host:port/name, or with ?host=/folder for a unix socket.
	URL string
	// Connections bounds the pool, 4 by default. When all are in use a caller waits, as long as its context lets it.
	Connections int
	// ConnectTimeout bounds one attempt to connect, 5 s by default.
	ConnectTimeout time.Duration
	// Private says that the server is a private cluster of this machine. The processes that serve this pool then give way
	// to everything else that runs here: nobody waits for a projection, and it must not take the processor from decisions.
	Private bool
	// StatementTimeout is enforced by the server, 60 s by default; migrations are not bound by it.
	StatementTimeout time.Duration
	// IdleTimeout is how long the server waits within a transaction for what comes next, as long as a statement by default. A client
	// behind a connection that has gone silent has given up long before; without it the locks of its transaction would stay until the
	// system finds the connection dead, which may take hours, and the projection would wait for them.
	IdleTimeout time.Duration
}

func (c *Config) check() error {
	if c.Connections == 0 {
		c.Connections = 4
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 5 * time.Second
	}
	if c.StatementTimeout == 0 {
		c.StatementTimeout = time.Minute
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = c.StatementTimeout
	}
	switch {
	case c.URL == "":
		return errors.New("database URL is missing")
	case c.Connections < 1 || c.Connections > 1000:
		return fmt.Errorf("connections %d: want 1 to 1000", c.Connections)
	case c.ConnectTimeout < 0 || c.StatementTimeout < 0 || c.IdleTimeout < 0:
		return errors.New("a time-out is negative")
	}
	return nil
}

// Database is a pool of connections to one database.
type Database struct {
	pool *pgxpool.Pool
	url  string
}

// Open prepares a pool. It does not connect: the server may come later.
func Open(ctx context.Context, c Config) (*Database, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	p, err := pgxpool.ParseConfig(c.URL)
	if err != nil {
		// The driver's own text repeats the URL, in which a password may stand.
		return nil, errors.New("database URL: want postgres://user@host:port/name")
	}
	p.MaxConns = int32(c.Connections)
	p.ConnConfig.ConnectTimeout = c.ConnectTimeout
	p.ConnConfig.RuntimeParams["application_name"] = "huanxin"
	p.ConnConfig.RuntimeParams["timezone"] = "UTC"
	p.ConnConfig.RuntimeParams["statement_timeout"] = strconv.FormatInt(c.StatementTimeout.Milliseconds(), 10)
	p.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = strconv.FormatInt(c.IdleTimeout.Milliseconds(), 10)
	if c.Private {
		p.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
			giveWay(int(conn.PgConn().PID()))
			return nil
		}
	}
	pool, err := pgxpool.NewWithConfig(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("open database pool: %w", err)
	}
	return &Database{pool: pool, url: c.URL}, nil
}

// InClear are the servers of a URL, host:port, that may be spoken to without TLS over a network: sslmode (in the URL or PGSSLMODE) is
// disable, allow or prefer, which is the default. A URL that Open refuses has none.
func InClear(url string) (list []string) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil
	}
	add := func(host string, port uint16, tls bool) {
		network, address := pgconn.NetworkAddress(host, port)
		if network != "unix" && !tls && !slices.Contains(list, address) {
			list = append(list, address)
		}
	}
	add(c.Host, c.Port, c.TLSConfig != nil)
	for _, f := range c.Fallbacks {
		add(f.Host, f.Port, f.TLSConfig != nil)
	}
	return list
}

// URL is what Open was given.
func (d *Database) URL() string { return d.url }

// Ping reports whether the server answers.
func (d *Database) Ping(ctx context.Context) error {
	if err := d.pool.Ping(ctx); err != nil {
		return fmt.Errorf("ping database: %w", err)
	}
	return nil
}

// Close waits for the connections in use and closes them all.
func (d *Database) Close() { d.pool.Close() }

// Unavailable reports whether err says that the server could not be reached or is going down or coming up: the same
// statement may succeed later. A refused statement, a violated constraint or a missing table is not Unavailable.
func Unavailable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		// 08 connection, 53 resources, 57P going down or coming up, 40 a conflict that a repeat resolves.
		return strings.HasPrefix(refused.Code, "08") || strings.HasPrefix(refused.Code, "53") ||
			strings.HasPrefix(refused.Code, "57") || strings.HasPrefix(refused.Code, "40")
	}
	var connecting *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connecting) || errors.As(err, &network) || pgconn.Timeout(err) ||
		pgconn.SafeToRetry(err) || errors.Is(err, context.DeadlineExceeded) || closedConnection(err)
}

// closedConnection knows the ways in which the driver says that the other side went away in the middle.
func closedConnection(err error) bool {
	text := err.Error()
	return strings.Contains(text, "unexpected EOF") || strings.Contains(text, "conn closed") ||
		strings.Contains(text, "broken pipe") || strings.Contains(text, "connection reset")
}

// socketURL names a database behind a unix socket.
func socketURL(folder, user, name string) string {
	u := url.URL{Scheme: "postgres", User: url.User(user), Path: "/" + name}
	u.RawQuery = url.Values{"host": {folder}, "port": {strconv.Itoa(socketPort)}, "sslmode": {"disable"}}.Encode()
	return u.String()
}

// withDatabase returns rawURL with another database name.
func withDatabase(rawURL, name string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", errors.New("database URL: want postgres://user@host:port/name")
	}
	u.Path = "/" + name
	return u.String(), nil
}

// CreateDatabase creates a database beside the one that rawURL names and returns its URL.
func CreateDatabase(ctx context.Context, rawURL, name string) (string, error) {
	to, err := withDatabase(rawURL, name)
	if err != nil {
		return "", err
	}
	err = admin(ctx, rawURL, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "42P04" { // exists already
		err = nil
	}
	if err != nil {
		return "", fmt.Errorf("create database %s: %w", name, err)
	}
	return to, nil
}

// DropDatabase removes a database beside the one that rawURL names, with whoever is still connected to it.
func DropDatabase(ctx context.Context, rawURL, name string) error {
	if err := admin(ctx, rawURL, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

func admin(ctx context.Context, rawURL, statement string) error {
	conn, err := pgx.Connect(ctx, rawURL)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}
