// Command simulator plays everybody around the switch: card network and wallet with ledgers of their own, terminals with their
// receipts, the claiming app, and a load of many terminals at once.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"huanxin/config/dialects"
	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "simulator:", err)
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return 2
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:          "simulator",
		Short:        "模拟终端、领券应用、卡组织与钱包 · simulated terminals, claiming app, card network and wallet",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.AddCommand(newHost(), newWallet(), newLedger(), newTerminal(), newLoad(), newCrowd())
	return root
}

// exitError carries an exit code: 1 for "it ran, and the answer is no", 2 for bad input.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// ExitCode is the process's exit code.
func (e *exitError) ExitCode() int { return e.code }

// speech is the pair of flags that say how messages look.
type speech struct{ dialect, framing string }

func (s *speech) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.dialect, "dialect", "cup", "message dialect: a name of config/dialects, or a path")
	cmd.Flags().StringVar(&s.framing, "framing", "cup", "framing: cup, nac, ncc, ascii4, raw2, raw4")
}

func (s *speech) load() (*iso8583.Codec, wire.Framing, error) {
	framing, err := wire.ParseFraming(s.framing)
	if err != nil {
		return nil, 0, err
	}
	spec, from, err := dialects.Load("", s.dialect)
	if err != nil {
		return nil, 0, fmt.Errorf("dialect %s: %w", s.dialect, err)
	}
	codec, err := iso8583.Compile(spec)
	if err != nil {
		return nil, 0, fmt.Errorf("dialect %s: %w", from, err)
	}
	return codec, framing, nil
}
