package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVersionNamesProgramAndToolchain(t *testing.T) {
	var out, errs strings.Builder
	require.Zero(t, run(t.Context(), []string{"version"}, strings.NewReader(""), &out, &errs))
	require.Regexp(t, `^huanxin \S+ go1\.\d+\S* \w+/\w+\n$`, out.String())
	require.Empty(t, errs.String())
}

func TestUnknownCommandFailsWithItsName(t *testing.T) {
	var out, errs strings.Builder
	require.Equal(t, 1, run(t.Context(), []string{"srve"}, strings.NewReader(""), &out, &errs))
	require.Contains(t, errs.String(), `"srve"`)
	require.Empty(t, out.String())
}
