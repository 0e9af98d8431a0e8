package main

import "github.com/spf13/cobra"

// newKeysCommand is `huanxin keys`: the line's keys, and the tools with which an integrator checks his own.
func newKeysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "密钥：仪式、密钥库、MAC、PIN 块、TR-31 – keys of the line, and tools for integrators",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 { // it may be a key, so it is not quoted
				return badInput("%s: no such command, see %[1]s --help", cmd.CommandPath())
			}
			return cmd.Help()
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return badInput("%s: %w", cmd.CommandPath(), err) })
	cmd.AddCommand(newKeysKCVCommand(), newKeysMACCommand(), newKeysPINBlockCommand(), newKeysTR31Command())
	return cmd
}
