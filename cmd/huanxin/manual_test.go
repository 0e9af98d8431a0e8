package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every command line of the operator's manual must be one that the program takes: command, flags and number of arguments.
func TestEveryCommandOfTheOperatorsManualExists(t *testing.T) {
	text, err := os.ReadFile("../../docs/operator.md")
	require.NoError(t, err)
	shown := 0
	for line := range strings.Lines(string(text)) {
		line, found := strings.CutPrefix(strings.TrimSpace(line), "huanxin ")
		if !found {
			continue
		}
		shown++
		args := words(line)
		root := newRootCommand()
		cmd, rest, err := root.Find(args)
		require.NoError(t, err, line)
		require.True(t, cmd.Runnable() && !cmd.HasSubCommands(), line)
		require.NoError(t, cmd.ParseFlags(rest), line)
		require.NoError(t, cmd.ValidateArgs(cmd.Flags().Args()), line)
	}
	require.Greater(t, shown, 30)
}

// words splits a command line; quotes hold words together.
func words(line string) (list []string) {
	quoted := false
	list = append(list, "")
	for _, c := range line {
		switch {
		case c == '"':
			quoted = !quoted
		case c == ' ' && !quoted:
			list = append(list, "")
		default:
			list[len(list)-1] += string(c)
		}
	}
	return list
}

// Every command that acts stands in the manual.
func TestEveryOperatorsCommandIsInTheManual(t *testing.T) {
	text, err := os.ReadFile("../../docs/operator.md")
	require.NoError(t, err)
	for _, cmd := range newRootCommand().Commands() {
		all := append(cmd.Commands(), cmd)
		for _, c := range all {
			if c.Flags().Lookup("socket") != nil {
				name := strings.TrimPrefix(c.CommandPath(), "huanxin ")
				if strings.HasPrefix(name, "terminal ") || strings.HasPrefix(name, "merchant ") {
					_, name, _ = strings.Cut(name, " ")
				}
				require.Contains(t, string(text), name, c.CommandPath())
			}
		}
	}
}
