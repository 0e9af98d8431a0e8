package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"huanxin/internal/postgres"
)

// newDBCommand is `huanxin db`: the database server and its schema, for the Makefile and for operators. `huanxin serve`
// does all of it by itself.
func newDBCommand() *cobra.Command {
	db := &cobra.Command{
		Use:   "db",
		Short: "PostgreSQL: install, start and stop a private cluster, migrate",
		Args:  cobra.NoArgs,
	}
	db.AddCommand(newDBEnsureCommand(), newDBStartCommand(), newDBStopCommand(), newDBURLCommand(), newDBMigrateCommand())
	return db
}

func newDBEnsureCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "ensure",
		Short: "Find the PostgreSQL server's programs; as root on Debian install them when there are none",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := postgres.Ensure(cmd.Context(), cmd.OutOrStdout())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "PostgreSQL %d in %s\n", b.Major, b.Folder)
			return err
		},
	}
}

func newDBStartCommand() *cobra.Command {
	var c postgres.PrivateConfig
	cmd := &cobra.Command{
		Use:   "start --dir FOLDER",
		Short: "Start a private cluster (unix socket, no TCP port), migrate it, leave it running and print its URL",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			p, err := postgres.StartPrivate(cmd.Context(), c)
			if err != nil {
				return err
			}
			defer func() {
				if left := p.Leave(); err == nil {
					err = left
				}
			}()
			for _, note := range p.Notes() {
				fmt.Fprintln(cmd.ErrOrStderr(), note)
			}
			if _, err := migrate(cmd, p.URL()); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), p.URL())
			return err
		},
	}
	addDir(cmd, &c.Dir)
	cmd.Flags().StringVar(&c.Binaries, "binaries", "", "folder of initdb and postgres (default: the newest release found)")
	return cmd
}

func newDBStopCommand() *cobra.Command {
	var dir string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "stop --dir FOLDER",
		Short: "Stop a private cluster in good order, whoever started it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			running, err := postgres.StopPrivate(dir, timeout)
			if err != nil {
				return err
			}
			said := "stopped"
			if !running {
				said = "was not running"
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), said)
			return err
		},
	}
	addDir(cmd, &dir)
	cmd.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "after this long cut the shutdown short; nothing is lost")
	return cmd
}

func newDBURLCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "url --dir FOLDER",
		Short: "Print the URL of a private cluster, for psql and reports",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			url, err := postgres.PrivateURL(dir)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), url)
			return err
		},
	}
	addDir(cmd, &dir)
	return cmd
}

func newDBMigrateCommand() *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "migrate --url URL",
		Short: "Bring the schema to this program's version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			applied, err := migrate(cmd, url)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d migrations applied\n", applied)
			return err
		},
	}
	cmd.Flags().StringVar(&url, "url", "", "postgres://user@host:port/name")
	_ = cmd.MarkFlagRequired("url") // fails only for a flag that does not exist
	return cmd
}

func addDir(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", "", "folder of the cluster")
	_ = cmd.MarkFlagRequired("dir") // fails only for a flag that does not exist
}

func migrate(cmd *cobra.Command, url string) (applied int, err error) {
	d, err := postgres.Open(cmd.Context(), postgres.Config{URL: url})
	if err != nil {
		return 0, err
	}
	defer d.Close()
	return d.Migrate(cmd.Context())
}
