package engine_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/switch/engine"
)

// A restart may come between any two steps of any story. A new process then knows what the recorded facts say and
// nothing else; it must send no sale, void or refund a second time, and what was in flight must still come to an end.
func TestARestartBetweenAnyTwoStepsSendsNothingTwice(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "transcripts", "*.txt"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		commands := commandsOf(string(text))
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			for before := 1; before <= len(commands); before++ {
				playWithRestart(t, newLab(t), commands, before)
				playWithRestart(t, newCoolingLab(t, atOnce), commands, before)
			}
		})
	}
}

func commandsOf(text string) []string {
	var list []string
	for _, block := range strings.Split(text, "\n\n") {
		commands, _, _ := strings.Cut(block+"\n", "----\n")
		for _, line := range strings.Split(commands, "\n") {
			if line != "" && line[0] != '#' {
				list = append(list, line)
			}
		}
	}
	return list
}

func playWithRestart(t *testing.T, l *lab, commands []string, before int) {
	s := &story{lab: l, t: t}
	sent := map[string]int{}
	s.watch = func(out engine.Output) {
		for _, send := range out.Sends {
			if h := send.Host; h != nil && (h.Kind == engine.HostSale || h.Kind == engine.HostVoid || h.Kind == engine.HostRefund) {
				sent[h.RRN]++
				require.Equal(t, 1, sent[h.RRN], "restart before %q: %s is sent once", commands[:before], h.RRN)
			}
		}
	}
	var said strings.Builder
	for i, line := range commands {
		if i == before {
			s.run(&said, "restart")
		}
		s.run(&said, line)
	}
	if before == len(commands) {
		s.run(&said, "restart")
	}
	// Silence, past every deadline: what was held for a purchase in flight is let go, or waits for a person by name.
	s.now += int64(50 * time.Hour)
	for range 1000 {
		if s.live.NextDeadline() > s.now {
			break
		}
		s.step(&engine.Tick{})
	}
	v := s.live.Vitals()
	if s.live.Book().OpenHolds() > 0 {
		require.Positive(t, v.Unknown+v.Queued+v.Dead, "restart before %q: a hold that nobody waits for", commands[:before])
	}
}
