package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the schema to the version of this program. It takes a lock in the database, so that several processes
// may call it at once. A schema that is newer than this program is left alone and is no error: a rolled-back program
// goes on with the tables it knows.
func (d *Database) Migrate(ctx context.Context) (applied int, err error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return 0, err
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return 0, err
	}
	c, err := pgx.ParseConfig(d.url)
	if err != nil {
		return 0, fmt.Errorf("migrate: database URL")
	}
	// Connections of its own, without the pool's statement time-out.
	db := stdlib.OpenDB(*c)
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker))
	if err != nil {
		return 0, fmt.Errorf("read migrations: %w", err)
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	return len(results), nil
}
