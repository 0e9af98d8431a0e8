package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"huanxin/internal/bench/moovspec"
	"huanxin/internal/bench/naive"
	"huanxin/internal/bench/peer"
)

// newPeerCommand runs one of the peers until it is told to stop. It says its address when it listens.
func newPeerCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "peer", Short: "对照程序 – run one of the peers until SIGTERM"}
	cmd.AddCommand(newLimitCommand(), newNaiveCommand())
	return cmd
}

func newLimitCommand() *cobra.Command {
	var dir, address string
	cmd := &cobra.Command{
		Use: "limit", Short: "echo after a shared fdatasync", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := peer.NewLimit(dir, address)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), l)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "folder of its log")
	cmd.Flags().StringVar(&address, "listen", "127.0.0.1:0", "address")
	return cmd
}

func newNaiveCommand() *cobra.Command {
	var cfg naive.Config
	cmd := &cobra.Command{
		Use: "naive", Short: "the library's codec and one database transaction for each authorisation", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec, err := moovspec.Load("cup")
			if err != nil {
				return err
			}
			cfg.Spec = spec
			s, err := naive.New(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), s)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&cfg.Dir, "dir", ".", "folder of its PostgreSQL")
	flags.StringVar(&cfg.Address, "listen", "127.0.0.1:0", "address")
	flags.StringVar(&cfg.Host, "host", "", "address of the card network that sales go to")
	flags.IntVar(&cfg.Holds, "holds", 0, "purchases that are reserved when it begins")
	flags.IntVar(&cfg.Terminals, "terminals", 64, "whose they are, in turn")
	flags.IntVar(&cfg.Pool, "pool", naive.Connections, "database connections")
	return cmd
}

// server is what a peer is to this command.
type server interface {
	Serve() error
	Close() error
}

// serve serves until ctx ends.
func serve(ctx context.Context, s server) error {
	ended := make(chan error, 1)
	go func() { ended <- s.Serve() }()
	select {
	case err := <-ended:
		return fmt.Errorf("ended by itself: %w", err)
	case <-ctx.Done():
		return s.Close()
	}
}
