package event

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// What a shelf lends is what the schema reads, all of it until Clear, and nothing of it stays for what is lent afterwards.
func TestAShelfLendsManyEventsAtOnce(t *testing.T) {
	var shelf Shelf
	rapid.Check(t, func(t *rapid.T) {
		shelf.Clear()
		var want, got []*Event
		for i := range rapid.IntRange(1, 20).Draw(t, "events") {
			ev := &Event{Seq: uint64(i + 1), At: rapid.Int64Min(1).Draw(t, "at")}
			if rapid.Bool().Draw(t, "reserved") {
				m := &Reserved{}
				drawn(t, m.ProtoReflect())
				ev.Body = &Event_Reserved{Reserved: m}
			} else {
				ev.Body = &Event_SaleSent{SaleSent: &SaleSent{
					Purchase: rapid.Uint64().Draw(t, "purchase"), Rrn: rapid.StringN(0, 12, 12).Draw(t, "rrn"),
				}}
			}
			raw, err := ev.MarshalVT()
			require.NoError(t, err)
			lent, packed, err := shelf.Decode(raw)
			require.NoError(t, err)
			if m := ev.GetReserved(); m != nil {
				body, err := m.MarshalVT()
				require.NoError(t, err)
				require.Equal(t, string(body), packed)
			} else {
				require.Empty(t, packed)
			}
			clear(raw) // it was copied
			want, got = append(want, ev), append(got, lent)
		}
		require.Equal(t, len(want), shelf.Len())
		for i := range want {
			require.True(t, proto.Equal(want[i], got[i]), "want %v\ngot  %v", want[i], got[i])
		}
	})
}

// A fact that is no Reserved outlives the shelf: an engine keeps parts of it.
func TestAShelfGivesAwayWhatIsNoReserved(t *testing.T) {
	var shelf Shelf
	decode := func(purchase uint64) *HoldExpired {
		raw, err := (&Event{Seq: 1, At: 2, Body: &Event_HoldExpired{HoldExpired: &HoldExpired{Purchase: purchase}}}).MarshalVT()
		require.NoError(t, err)
		ev, _, err := shelf.Decode(raw)
		require.NoError(t, err)
		return ev.GetHoldExpired()
	}
	first := decode(3)
	shelf.Clear()
	require.Equal(t, uint64(4), decode(4).Purchase)
	require.Equal(t, uint64(3), first.Purchase)
}
