// Command huanxin is the payment switch and its tools in one program: `huanxin serve` decides purchases, the other
// commands read, check and explain what it works with.
//
// Exit codes: 0 done, 1 failed or refused, 2 bad input; a command may say its own (see its help).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if text := err.Error(); text != "" {
		fmt.Fprintf(errs, "huanxin: %s\n", text)
	}
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	return 1
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "huanxin",
		Short: "焕新：把国家补贴算进授权的支付交换 – a payment switch that decides a state subsidy inside the authorisation",
		// The error is printed once, by run.
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newBudgetCommand(),
		newCheckCommand(),
		newDBCommand(),
		newHoldCommand(),
		newISO8583Command(),
		newJournalCommand(),
		newKeysCommand(),
		newPartyCommand(merchants()),
		newPartyCommand(terminals()),
		newPauseCommand(),
		newPausesCommand(),
		newPolicyCommand(),
		newPurchaseCommand(),
		newResumeCommand(),
		newSAFCommand(),
		newServeCommand(),
		newSupplementCommand(),
		newVersionCommand(),
	)
	return root
}
