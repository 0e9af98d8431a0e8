package drill

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/event"
	"huanxin/switch/journal"
)

// sales writes a journal of so many batches with an ordinary sale each.
func sales(t *testing.T, n int) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "journal")
	j, err := journal.Open(t.Context(), journal.Config{Programme: "p", Dir: dir, MinFree: -1})
	require.NoError(t, err)
	var draft journal.Draft
	for i := range uint64(n) {
		require.NoError(t, draft.Add(&event.Event{Seq: i + 1, At: 1, Body: &event.Event_SaleSent{SaleSent: &event.SaleSent{
			Purchase: i + 1, Ordinary: true, Amount: 10000, Key: exchange(2, uint32(i+1)), Rrn: rrn(i + 1),
		}}}))
		_, err := j.Append(context.Background(), &draft)
		require.NoError(t, err)
		draft.Reset()
	}
	require.NoError(t, j.Close())
	return dir
}

func TestEditedEventBreaksTheChainAndARewrittenChainHolds(t *testing.T) {
	dir := sales(t, 8)
	what, err := forge(dir, editedEvent)
	require.NoError(t, err)
	require.Equal(t, "event 5, purchase 5: amount 10000 → 10001 fen", what)
	_, err = ReadBook(dir)
	require.ErrorIs(t, err, journal.ErrChain)

	dir = sales(t, 8)
	_, err = forge(dir, rewrittenChain)
	require.NoError(t, err)
	book, err := ReadBook(dir)
	require.NoError(t, err)
	require.EqualValues(t, 8, book.Events)
	require.EqualValues(t, 10001, book.Purchases[5].Amount)
}

func TestForgerNeedsASale(t *testing.T) {
	_, err := forge(sales(t, 0), editedEvent)
	require.ErrorContains(t, err, "no ordinary sale")
}
