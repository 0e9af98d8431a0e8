package main

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"huanxin/config"
)

func TestStartIsRefusedWithFewerDescriptorsThanItsConnectionsMayTake(t *testing.T) {
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	cfg := config.Defaults()
	need, _ := neededDescriptors(&cfg)
	require.LessOrEqual(t, need, 20_000, "the defaults fit systems that allow no more")

	cup := cfg.Listeners["cup"]
	cup.Connections = int(min(limit.Max, 1<<40))
	cfg.Listeners["cup"] = cup
	err := openFiles(&cfg, zap.NewNop())
	require.ErrorContains(t, err, "listeners.cup.connections")
	require.ErrorContains(t, err, "LimitNOFILE=")
	var exit *exitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 2, exit.ExitCode())

	cfg.Drill.FewDescriptors = true
	require.NoError(t, openFiles(&cfg, zap.NewNop()))
}
