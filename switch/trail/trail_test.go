package trail

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"pgregory.net/rapid"

	"huanxin/switch/event"
)

var rewrite = flag.Bool("rewrite", false, "write the transcripts anew")

type placed struct {
	position uint64
	ev       *event.Event
}

// story reads a transcript: comments, "purchase N", one event a line, "----", and what is told of it.
func story(t testing.TB, path string) (purchase uint64, events []placed, input, told string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	input, told, found := strings.Cut(string(text), "----\n")
	require.True(t, found, path)
	for line := range strings.Lines(input) {
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "purchase "):
			_, err := fmt.Sscanf(line, "purchase %d", &purchase)
			require.NoError(t, err)
		default:
			var raw struct {
				Position uint64
				Event    json.RawMessage
			}
			require.NoError(t, json.Unmarshal([]byte(line), &raw), line)
			ev := new(event.Event)
			require.NoError(t, protojson.Unmarshal(raw.Event, ev), line)
			events = append(events, placed{raw.Position, ev})
		}
	}
	return purchase, events, input, told
}

func stories(t testing.TB) []string {
	paths, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	return paths
}

func tell(purchase uint64, events []placed) *Trail {
	b := New(purchase)
	for _, p := range events {
		b.Add(p.position, p.ev)
	}
	return b.Trail()
}

// To see what a change does: go test ./switch/trail -rewrite, then read the difference.
func TestStoriesAreToldWhole(t *testing.T) {
	for _, path := range stories(t) {
		purchase, events, input, want := story(t, path)
		told := string(tell(purchase, events).AppendText(nil))
		if *rewrite {
			require.NoError(t, os.WriteFile(path, []byte(input+"----\n"+told), 0o644))
			continue
		}
		require.Equal(t, want, told, path)
	}
}

func TestEveryKindOfEventThatNamesAPurchaseIsTold(t *testing.T) {
	told := map[string]bool{}
	for _, path := range stories(t) {
		purchase, events, _, _ := story(t, path)
		for _, e := range tell(purchase, events).Entries {
			told[e.Event] = true
			require.NotEmpty(t, e.What.ZH, e.Event)
			require.NotEmpty(t, e.What.EN, e.Event)
		}
	}
	fields := new(event.Event).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
	for i := range fields.Len() {
		m := fields.Get(i).Message()
		named := m.Fields().ByName("purchase") != nil || m.Fields().ByName("reversal") != nil
		if !named && m.Name() != "Supplemented" && m.Name() != "BatchSettled" {
			continue
		}
		require.True(t, told[string(m.Name())], "no story has a %s", m.Name())
	}
}

// A trail is read by people and machines outside the switch: hashes and envelopes have no place in it.
func TestATrailHoldsNoTokenAndNoHash(t *testing.T) {
	for _, path := range stories(t) {
		purchase, events, _, _ := story(t, path)
		text, err := json.Marshal(tell(purchase, events))
		require.NoError(t, err)
		for n := 1; n < 10; n++ {
			require.NotContains(t, string(text), strings.Repeat(fmt.Sprintf("%02x", n), 8), path)
		}
		require.NotContains(t, string(text), "envelope")
	}
}

func TestAStoryThatBeginsInTheMiddleIsToldAsFarAsItGoes(t *testing.T) {
	for _, path := range stories(t) {
		purchase, events, _, _ := story(t, path)
		for i := range events {
			tell(purchase, events[i:])
			tell(purchase, []placed{events[i]})
		}
	}
}

func TestAnotherPurchaseIsNoPartOfTheStory(t *testing.T) {
	for _, path := range stories(t) {
		_, events, _, _ := story(t, path)
		require.Empty(t, tell(99, events).Entries)
		require.Empty(t, tell(0, events).Entries)
	}
}

func TestOpenBatchesAreThoseWhoseSettlementIsStillToBeTold(t *testing.T) {
	purchase, events, _, _ := story(t, "testdata/refunds.txt")
	b := New(purchase)
	for _, p := range events {
		b.Add(p.position, p.ev)
	}
	require.Equal(t, []Batch{{"21010001", "898210157220001", 1}, {"21010001", "898210157220001", 2}}, b.Batches())
	b.Add(99, &event.Event{Seq: 99, Body: &event.Event_BatchSettled{BatchSettled: &event.BatchSettled{
		Key: &event.ExchangeKey{Class: 5, Terminal: "21010001", Merchant: "898210157220001", Batch: 1},
	}}})
	require.Equal(t, []Batch{{"21010001", "898210157220001", 2}}, b.Batches())
}

func TestFinderMeetsWhatTheWholeQuerySays(t *testing.T) {
	_, events, _, _ := story(t, "testdata/voids.txt")
	hash := func(n byte) []byte { return []byte(strings.Repeat(string([]byte{n}), 16)) }
	for name, c := range map[string]struct {
		query Query
		found bool
	}{
		"terminal":               {Query{Terminal: "21010001"}, true},
		"another":                {Query{Terminal: "21010002"}, false},
		"STAN of the sale":       {Query{Terminal: "21010001", STAN: 3}, true},
		"STAN of the reserve":    {Query{STAN: 2}, true},
		"STAN of a void":         {Query{STAN: 7}, true},
		"another STAN":           {Query{Terminal: "21010001", STAN: 99}, false},
		"RRN of the sale":        {Query{RRN: "000000000077"}, true},
		"RRN of a void":          {Query{RRN: "000000000080"}, true},
		"card":                   {Query{Card: hash(9)}, true},
		"serial":                 {Query{Serial: hash(3)}, true},
		"person":                 {Query{Person: hash(2)}, true},
		"all":                    {Query{"21010001", 3, "000000000077", hash(9), hash(3), hash(2)}, true},
		"all but the person":     {Query{"21010001", 3, "000000000077", hash(9), hash(3), hash(8)}, false},
		"card of another person": {Query{Card: hash(9), Person: hash(1)}, false},
	} {
		require.NoError(t, c.query.Check(), name)
		f := NewFinder(c.query)
		for _, p := range events {
			f.Add(p.ev)
		}
		list, more := f.Found(10)
		require.False(t, more)
		if !c.found {
			require.Empty(t, list, name)
			continue
		}
		require.Len(t, list, 1, name)
		require.Equal(t, uint64(12), list[0].Purchase)
		require.Equal(t, "voided", list[0].State, name)
	}
	require.ErrorIs(t, (&Query{}).Check(), ErrNothing)
	require.ErrorContains(t, (&Query{Card: []byte{1}}).Check(), "card")
}

func TestFinderFollowsTheStateOfEveryStory(t *testing.T) {
	want := map[string]string{
		"cancelled": "cancelled", "expired": "expired", "lost-answer-reversal-late-approval": "reversed", "preauth-approved-in-part": "reversing",
		"refunds": "captured", "supplement": "captured", "voids": "voided", "wallet-over-http": "reversed",
	}
	for _, path := range stories(t) {
		purchase, events, _, _ := story(t, path)
		f := NewFinder(Query{Person: []byte(strings.Repeat("\x02", 16))})
		if strings.Contains(path, "preauth") {
			f = NewFinder(Query{STAN: 3})
		}
		for _, p := range events {
			f.Add(p.ev)
		}
		list, _ := f.Found(10)
		require.NotEmpty(t, list, path)
		require.Equal(t, purchase, list[len(list)-1].Purchase)
		require.Equal(t, want[strings.TrimSuffix(filepath.Base(path), ".txt")], list[len(list)-1].State, path)
		require.Equal(t, strings.Contains(path, "supplement"), list[len(list)-1].Manual, path)
	}
}

// The refund by which a purchase is found comes after its supplement.
func TestFinderKnowsASupplementFromBeforeItMetThePurchase(t *testing.T) {
	f := NewFinder(Query{STAN: 9})
	f.Add(&event.Event{Seq: 1, Body: &event.Event_Supplemented{Supplemented: &event.Supplemented{Facts: &event.Reserved{Purchase: 4}}}})
	f.Add(&event.Event{Seq: 2, Body: &event.Event_RefundSent{RefundSent: &event.RefundSent{Purchase: 4, Key: &event.ExchangeKey{Stan: 9}}}})
	list, _ := f.Found(10)
	require.Len(t, list, 1)
	require.True(t, list[0].Manual)
}

func TestFoundIsBounded(t *testing.T) {
	f := NewFinder(Query{STAN: 1})
	for i := range 5 {
		f.Add(&event.Event{Seq: uint64(i + 1), Body: &event.Event_SaleSent{SaleSent: &event.SaleSent{
			Purchase: uint64(i + 1), Ordinary: true, Key: &event.ExchangeKey{Stan: 1},
		}}})
	}
	list, more := f.Found(2)
	require.True(t, more)
	require.Equal(t, uint64(5), list[0].Purchase)
	require.Len(t, list, 2)
}

func TestInstantSurvivesJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := Instant(rapid.Int64Range(0, 7e15).Draw(t, "ms") / 1e3 * 1e6)
		text, err := json.Marshal(at)
		require.NoError(t, err)
		var back Instant
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, at, back)
	})
}

func FuzzInstant(f *testing.F) {
	f.Add([]byte(`"2025-06-18T10:00:00.000+08:00"`))
	f.Add([]byte(`""`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var at Instant
		if json.Unmarshal(text, &at) == nil {
			_ = at.String()
		}
	})
}

// Whatever a journal of a later version may hold, telling it does not end the process.
func FuzzBuilder(f *testing.F) {
	for _, path := range stories(f) {
		_, events, _, _ := story(f, path)
		var all []byte
		for _, p := range events {
			raw, err := p.ev.MarshalVT()
			require.NoError(f, err)
			all = append(append(all, byte(len(raw)>>8), byte(len(raw))), raw...)
		}
		f.Add(all)
	}
	f.Fuzz(func(t *testing.T, all []byte) {
		b, finder := New(12), NewFinder(Query{STAN: 3})
		for len(all) > 2 {
			n := min(int(all[0])<<8|int(all[1]), len(all)-2)
			ev := new(event.Event)
			if ev.UnmarshalVT(all[2:2+n]) == nil {
				b.Add(1, ev)
				finder.Add(ev)
			}
			all = all[2+n:]
		}
		b.Trail().AppendText(nil)
		finder.Found(3)
	})
}

func TestALineShowsNoWrappedKeys(t *testing.T) {
	line, err := AppendLine(nil, 7, &event.Event{Seq: 1, At: 1, Body: &event.Event_TerminalSignedOn{TerminalSignedOn: &event.TerminalSignedOn{
		Terminal: "21010001", Keys: &event.WorkingKeys{Generation: 3, Wrapped: []byte("sealed"), Checks: []byte{1, 2, 3, 4}},
	}}})
	require.NoError(t, err)
	require.Contains(t, string(line), `"wrapped":"6 bytes"`)
	require.NotContains(t, string(line), "c2VhbGVk")
}
