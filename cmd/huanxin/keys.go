package main

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

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
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return badInput("%s: %s", cmd.CommandPath(), flagFault(err))
	})
	cmd.AddCommand(newKeysKCVCommand(), newKeysMACCommand(), newKeysPINBlockCommand(), newKeysTR31Command())
	cmd.AddCommand(newKeysCeremonyCommand(), newKeysGenerateCommand(), newKeysImportCommand(), newKeysExportCommand(), newKeysListCommand(),
		newKeysRotateCommand(), newKeysActivateCommand(), newKeysRetireCommand(), newKeysAuditCommand(), newKeysLMKCommand())
	return cmd
}

// flagFault says what is wrong with the flags and quotes nothing that was given: one slip puts a key where a number or a
// flag's name belongs.
func flagFault(err error) string {
	var value *pflag.InvalidValueError
	var missing *pflag.ValueRequiredError
	switch {
	case errors.As(err, &value):
		return "--" + value.GetFlag().Name + ": wrong value"
	case errors.As(err, &missing):
		return "--" + missing.GetFlag().Name + ": its value is missing"
	}
	return "an unknown flag, see --help"
}
