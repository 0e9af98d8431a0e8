package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"huanxin/config/dialects"
	"huanxin/internal/bench/client"
	"huanxin/internal/bench/seed"
	"huanxin/switch/iso8583"
)

// newDriveCommand loads a server that somebody else has started: for whoever looks for where its time goes.
func newDriveCommand() *cobra.Command {
	var (
		loop           client.Closed
		first, persons uint64
		stan           uint32
		echo           bool
	)
	cmd := &cobra.Command{
		Use: "drive", Short: "施压 – load a server that runs already, on a seeded state, in a closed loop", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec, _, err := dialects.Load("", "cup")
			if err != nil {
				return err
			}
			codec, err := iso8583.Compile(spec)
			if err != nil {
				return err
			}
			numbers := client.NewNumbers(first, persons)
			loop.Script, err = client.NewReserves(client.ReserveConfig{
				Codec: codec, Slots: loop.Connections * loop.InFlight, Persons: numbers, FirstSTAN: stan,
				Barcodes: seed.Programme{}.Barcodes(1), Echo: echo,
			})
			if err != nil {
				return err
			}
			run, err := loop.Run(cmd.Context())
			if err != nil {
				return err
			}
			l := &run.Latencies
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%.0f/s p50 %s p99 %s p99.9 %s max %s; next person %d\n", run.PerSecond(),
				l.Percentile(500), l.Percentile(990), l.Percentile(999), l.Max(), numbers.Taken())
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&loop.Address, "connect", "127.0.0.1:7001", "address of the server")
	flags.IntVar(&loop.Connections, "connections", 64, "connections")
	flags.IntVar(&loop.InFlight, "in-flight", 1, "requests in flight on each")
	flags.DurationVar(&loop.WarmUp, "warm-up", time.Second, "before counting")
	flags.DurationVar(&loop.Duration, "duration", 5*time.Second, "of counting")
	flags.Uint64Var(&first, "first", 0, "first person whose code has not been used")
	flags.Uint64Var(&persons, "persons", 1<<40, "persons of the state")
	flags.Uint32Var(&stan, "stan", 0, "last STAN that the terminals have used")
	flags.BoolVar(&echo, "echo", false, "the server sends back what it got")
	return cmd
}
