// Command bench measures the switch beside what one would use instead; `make bench` runs it. Its peers run as processes
// of their own, which it starts itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"huanxin/config/dialects"
	"huanxin/internal/bench"
	"huanxin/switch/iso8583"
)

func main() {
	// SIGHUP too: a closed terminal window must not leave programs behind.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop)
	err := newRootCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func newRootCommand() *cobra.Command {
	var (
		b                       bench.Bench
		only, results, duration string
	)
	// prepare is what every measurement needs of its flags.
	prepare := func(cmd *cobra.Command) (err error) {
		if duration != "" {
			if b.Duration, err = time.ParseDuration(duration); err != nil {
				return err
			}
		}
		spec, _, err := dialects.Load("", "cup")
		if err != nil {
			return err
		}
		b.Log = cmd.ErrOrStderr()
		b.Codec, err = iso8583.Compile(spec)
		return err
	}
	cmd := &cobra.Command{
		Use: "bench", Short: "对照测量 – measure the switch beside what one would use instead", Args: cobra.NoArgs,
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := prepare(cmd); err != nil {
				return err
			}
			picked, err := bench.Pick(bench.Scenarios(), only)
			if err != nil {
				return err
			}
			rows, err := b.Run(cmd.Context(), picked, cmd.OutOrStdout())
			return errors.Join(err, bench.WriteRows(results, rows))
		},
	}
	self, err := os.Executable()
	if err != nil {
		self = "bin/bench"
	}
	flags, all := cmd.Flags(), cmd.PersistentFlags()
	all.StringVar(&b.Programs, "programs", filepath.Dir(self), "folder of huanxin and simulator")
	all.StringVar(&b.Dir, "state", "var/bench", "folder of everything that is written")
	flags.StringVar(&results, "results", "var/bench.json", "file of the rows")
	flags.StringVar(&only, "only", "", "scenarios, with commas; empty: all")
	all.StringVar(&duration, "duration", "", "of one measurement; empty: the scenario's own")
	flags.IntVar(&b.Rounds, "rounds", 0, "how often each contender runs; 0: the scenario's own")
	all.Float64Var(&b.Part, "part", 0, "of the size of large states, to try a scenario out; 0: all")
	all.BoolVar(&b.Keep, "keep", false, "leave states and logs where they are")
	all.StringVar(&b.Profile, "profile", "", "folder for CPU profiles of the switch, one for each of its rounds")
	cmd.AddCommand(newPeerCommand(), newSeedCommand(), newYearCommand(), newDriveCommand(), newGraphsCommand(&b, prepare))
	return cmd
}
