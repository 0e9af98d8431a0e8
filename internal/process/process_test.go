package process

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProcessIsStoppedByItsIDAndLeavesNoPIDFile(t *testing.T) {
	dir := t.TempDir()
	p, err := Start(dir, "sleeper", "/bin/sleep", []string{"600"}, nil)
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(dir, "sleeper.pid"))
	p.Kill()
	require.NoFileExists(t, filepath.Join(dir, "sleeper.pid"))
	select {
	case <-p.Done():
	default:
		t.Fatal("the process is still there")
	}
}

func TestStopReportsHowAProgramEnded(t *testing.T) {
	dir := t.TempDir()
	p, err := Start(dir, "shell", "/bin/sh", []string{"-c", "echo about to fail; exit 3"}, []string{"X=1"})
	require.NoError(t, err)
	<-p.Done()
	err = p.Stop(time.Minute)
	require.ErrorContains(t, err, "exit status 3")
	require.ErrorContains(t, err, "about to fail")
}

func TestStopIsQuietAboutAProgramThatEndsWell(t *testing.T) {
	dir := t.TempDir()
	ready := filepath.Join(dir, "ready")
	p, err := Start(dir, "shell", "/bin/sh", []string{"-c", "trap 'exit 0' TERM; : >" + ready + "; while :; do sleep 0.01; done"}, nil)
	require.NoError(t, err)
	require.NoError(t, p.Await(t.Context(), "the trap", func(context.Context) error {
		_, err := os.Stat(ready)
		return err
	}))
	require.NoError(t, p.Stop(time.Minute))
}

func TestWaitingEndsWithTheProgram(t *testing.T) {
	p, err := Start(t.TempDir(), "short", "/bin/sh", []string{"-c", "echo cannot start >&2; exit 1"}, nil)
	require.NoError(t, err)
	err = p.Await(t.Context(), "readiness", func(context.Context) error { return os.ErrNotExist })
	require.ErrorIs(t, err, ErrEnded)
	require.ErrorContains(t, err, "cannot start")
	p.Kill()
}

func TestRunRepeatsWhatAProgramSaidOnStandardError(t *testing.T) {
	out, err := Run(t.Context(), "/bin/sh", []string{"-c", "echo $Y; echo bad >&2; exit 2"}, []string{"Y=yes"})
	require.ErrorContains(t, err, "bad")
	require.Equal(t, "yes\n", string(out))
}
