package engine_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/engine"
	"huanxin/switch/event"
)

// record writes a history from today's transcripts. It is run once for each version of the schema; what it wrote is
// never written again, because journals out there cannot be rewritten either.
var record = flag.String("record", "", "write the history of all transcripts to this new file")

// A history file holds, for every transcript of its day, the name, the events as bytes and the balances they led to;
// each as a length (uvarint) and bytes, the events preceded by their count.
type historyWriter struct{ bytes.Buffer }

func (w *historyWriter) put(b []byte) {
	w.Write(binary.AppendUvarint(nil, uint64(len(b))))
	w.Write(b)
}

func recordHistory(t *testing.T, name string) {
	files, err := filepath.Glob(filepath.Join("testdata", "transcripts", "*.txt"))
	require.NoError(t, err)
	var w historyWriter
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		l := newLab(t)
		play(t, l, string(text))
		w.put([]byte(filepath.Base(file)))
		w.Write(binary.AppendUvarint(nil, uint64(len(l.recorded))))
		for _, ev := range l.recorded {
			w.put(ev)
		}
		var b strings.Builder
		l.balances(&b)
		w.put([]byte(b.String()))
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	require.NoError(t, err)
	_, err = w.WriteTo(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// factsIn is how many kinds of facts the schema had when each history was written.
var factsIn = map[string]int{"v1.events": 29, "v2.events": 56, "v3.events": 58}

func TestHistoriesStillReplay(t *testing.T) {
	if *record != "" {
		recordHistory(t, *record)
	}
	files, err := filepath.Glob(filepath.Join("testdata", "history", "*.events"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		r := bytes.NewReader(raw)
		get := func() []byte {
			n, err := binary.ReadUvarint(r)
			require.NoError(t, err)
			b := make([]byte, n)
			_, err = io.ReadFull(r, b)
			require.NoError(t, err)
			return b
		}
		bodies := map[string]bool{}
		for r.Len() > 0 {
			name := string(get())
			count, err := binary.ReadUvarint(r)
			require.NoError(t, err)
			e, err := engine.New(labConfig(t))
			require.NoError(t, err)
			for range count {
				ev := &event.Event{}
				require.NoError(t, ev.UnmarshalVT(get()))
				m := ev.ProtoReflect()
				bodies[string(m.WhichOneof(m.Descriptor().Oneofs().ByName("body")).Name())] = true
				e.Apply(ev)
			}
			require.NoError(t, e.CheckInvariants(), name)
			var b strings.Builder
			(&lab{t: t, live: e}).balances(&b)
			require.Equal(t, string(get()), b.String(), name)
		}
		require.Len(t, bodies, factsIn[filepath.Base(file)], "a history holds every kind of fact of the schema of its day")
	}
}
