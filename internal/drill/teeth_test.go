package drill

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/internal/process"
	simulated "huanxin/internal/simulator/load"
	"huanxin/switch/event"
)

func shell(t *testing.T, script string) *process.Process {
	t.Helper()
	p, err := process.Start(t.TempDir(), "shell", "/bin/sh", []string{"-c", script}, nil)
	require.NoError(t, err)
	t.Cleanup(p.Kill)
	return p
}

func TestKillFindsAProgramThatHasEndedByItself(t *testing.T) {
	require.NoError(t, kill(shell(t, "exec sleep 600")))
	for _, script := range []string{"echo panic: gone; exit 2", "exit 1", "exit 0", "kill -TERM $$"} {
		p := shell(t, script)
		<-p.Done()
		require.ErrorIs(t, kill(p), process.ErrEnded, script)
	}
}

func TestOnlyTheDeathOfThePointIsTheCrashPoints(t *testing.T) {
	for script, want := range map[string]bool{
		"echo 'drill: the point has come'; kill -KILL $$": true,
		"kill -KILL $$": false, // somebody else's
		"echo 'drill: the point has come'; echo panic: dead; exit 2": false,
	} {
		s := &Site{Serve: shell(t, script)}
		require.Equal(t, want, s.crashed(t.Context()) == nil, script)
	}
}

func TestGivingUpIsNeitherASignalNorAPanic(t *testing.T) {
	for script, want := range map[string]bool{"exit 1": true, "exit 2": false, "exit 0": false, "kill -KILL $$": false} {
		p := shell(t, script)
		<-p.Done()
		require.Equal(t, want, gaveUp(p.Finish(stopLimit)), script)
	}
}

func TestStandingStillIsAStateOfTheProcess(t *testing.T) {
	p := shell(t, "exec sleep 600")
	state, err := stateOf(p.PID())
	require.NoError(t, err)
	require.NotEqual(t, "T", state)
	require.NoError(t, p.Signal(syscall.SIGSTOP))
	require.NoError(t, standsStill(t.Context(), p))
}

func TestAPanicInALogIsFound(t *testing.T) {
	s := &Site{Dir: t.TempDir()}
	require.NoError(t, os.WriteFile(s.file("serve.log"), []byte("serving\nhost said: panic: no\n"), 0o600))
	require.NoError(t, s.soundly())
	require.NoError(t, os.WriteFile(s.file("second.log"), []byte("serving\npanic: runtime error\n"), 0o600))
	require.ErrorContains(t, s.soundly(), "second.log")
}

func TestNothingFeltIsAFindingInEveryMood(t *testing.T) {
	for _, m := range moods() {
		require.Error(t, m.felt(linkFigures{}), m.name)
	}
	require.Error(t, inPieces(linkFigures{pieces: 10, bytes: 2000}))
	require.NoError(t, inPieces(linkFigures{pieces: 10, bytes: 500}))
	require.Error(t, tillsCutOff(&simulated.Report{Lost: 1}))
}

func TestKeysAndPINsMustSurvive(t *testing.T) {
	answers := func(code string, typed uint64) *simulated.Report {
		return &simulated.Report{Typed: typed, Kinds: map[simulated.Kind]*simulated.KindReport{simulated.Sale: {Answer: map[string]uint64{"00": 5, code: 1}}}}
	}
	require.NoError(t, keysHeld(answers("51", 1)))
	require.Error(t, keysHeld(answers("51", 0)))
	for _, code := range []string{"A0", "55", "99", "A7"} {
		require.ErrorContains(t, keysHeld(answers(code, 1)), code)
	}
}

func TestTallyKnowsWhyAReversalIsThere(t *testing.T) {
	var seen Tally
	queued := func(cause event.ReversalCause) *event.Event {
		return &event.Event{Body: &event.Event_ReversalQueued{ReversalQueued: &event.ReversalQueued{Cause: cause}}}
	}
	for _, ev := range []*event.Event{
		queued(event.ReversalCause_REVERSAL_CAUSE_TIMEOUT), queued(event.ReversalCause_REVERSAL_CAUSE_TIMEOUT),
		queued(event.ReversalCause_REVERSAL_CAUSE_RESTART), queued(event.ReversalCause_REVERSAL_CAUSE_TERMINAL),
		{Body: &event.Event_OwnershipTaken{OwnershipTaken: &event.OwnershipTaken{}}},
		{Body: &event.Event_PaymentUnknown{PaymentUnknown: &event.PaymentUnknown{}}},
		{Body: &event.Event_KeyActRecorded{KeyActRecorded: &event.KeyActRecorded{}}},
	} {
		seen.count(ev)
	}
	require.Equal(t, Tally{Owners: 1, TimedOut: 2, Restarted: 1, Unknown: 1, KeyActs: 1}, seen)
}
