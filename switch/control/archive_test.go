package control

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/trail"
)

func key(class, stan, batch uint32) *event.ExchangeKey {
	return &event.ExchangeKey{Class: class, Terminal: "21010001", Merchant: "898210157220001", Batch: batch, Stan: stan}
}

var testBatch = trail.Batch{Terminal: "21010001", Merchant: "898210157220001", Number: 1}

// day is a history: purchase 12 at 3, 6 and 7, the settlement of its batch at 10, others between.
func day() *fakeJournal {
	other := &event.CodeShown{}
	return history(
		other, &event.BatchSettled{Key: key(5, 1, 1), Kept: &event.BatchTotals{}}, // 2: the same number, long ago
		&event.Reserved{Purchase: 12, Key: key(1, 2, 1), Person: []byte(strings.Repeat("p", 16))},
		other, &event.Reserved{Purchase: 13, Key: key(1, 9, 1)},
		&event.SaleSent{Purchase: 12, Key: key(2, 3, 1), Rrn: "000000000077"},
		&event.SaleApproved{Purchase: 12, Answer: &event.HostAnswer{Response: "00"}},
		other, other,
		&event.BatchSettled{Key: key(5, 4, 1), Kept: &event.BatchTotals{}, Equal: true}, // 10
		other, &event.BatchSettled{Key: key(5, 5, 2), Kept: &event.BatchTotals{}, Equal: true},
	)
}

func names(t *trail.Trail) (list []string) {
	for _, e := range t.Entries {
		list = append(list, e.Event)
	}
	return list
}

var whole = []string{"Reserved", "SaleSent", "SaleApproved", "BatchSettled"}

func TestTheIndexSaysWhereAStoryIsReadAndNothingElseIs(t *testing.T) {
	j := day()
	a := &Archive{Journal: j, Index: &fakeIndex{
		at: 12, positions: map[uint64][]uint64{12: {3, 6, 7}}, settled: map[trail.Batch][]uint64{testBatch: {10, 2}},
	}}
	told, err := a.Trail(t.Context(), 12)
	require.NoError(t, err)
	require.Equal(t, whole, names(told))
	require.Empty(t, told.Incomplete)
	for _, other := range []uint64{1, 2, 4, 5, 9} { // of the others only what the search for the settlement has looked at
		require.NotContains(t, j.read, other)
	}
}

func TestWhatTheIndexDoesNotHaveYetIsReadFromTheJournal(t *testing.T) {
	for at := range uint64(13) {
		index := &fakeIndex{at: at, positions: map[uint64][]uint64{}, settled: map[trail.Batch][]uint64{}}
		for _, p := range []uint64{3, 6, 7} {
			if p <= at {
				index.positions[12] = append(index.positions[12], p)
			}
		}
		if at >= 10 {
			index.settled[testBatch] = []uint64{2, 10}
		}
		told, err := (&Archive{Journal: day(), Index: index}).Trail(t.Context(), 12)
		require.NoError(t, err)
		require.Equal(t, whole, names(told), "index at %d", at)
	}
}

func TestWithoutTheIndexTheWholeJournalIsRead(t *testing.T) {
	a := &Archive{Journal: day(), Index: &fakeIndex{away: errors.New("connection refused")}}
	told, err := a.Trail(t.Context(), 12)
	require.NoError(t, err)
	require.Equal(t, whole, names(told))
	require.Empty(t, told.Incomplete)
}

func TestAStoryThatCannotBeReadInTimeSaysThatItIsIncomplete(t *testing.T) {
	j := day()
	j.hangAt = 6
	r := newRig(t, j, func(c *Config) { c.ReadTimeout = 50 * time.Millisecond })
	r.index.away = errors.New("connection refused")
	r.engine.answer = func(any) *engine.AdminReply { return &engine.AdminReply{Result: (*engine.PurchaseView)(nil)} }
	story, err := r.client.Purchase(t.Context(), 12)
	require.NoError(t, err)
	require.Equal(t, []string{"Reserved"}, names(&story.Trail))
	require.Contains(t, story.Incomplete, "connection refused")
	found, err := r.client.Find(t.Context(), &FindRequest{Terminal: "21010001", STAN: 2})
	require.NoError(t, err)
	require.Len(t, found.Purchases, 1)
	require.Contains(t, found.Incomplete, "up to batch 5 only")
}

func TestAPurchaseIsShownWithHowItStandsAndOneThatIsNotThereIsNotFound(t *testing.T) {
	r := newRig(t, day(), nil)
	r.engine.answer = func(body any) *engine.AdminReply {
		if body.(*engine.Look).What == (engine.LookPurchase{ID: 12}) {
			return &engine.AdminReply{Result: &engine.PurchaseView{ID: 12, State: engine.Captured, Subsidy: 119980}}
		}
		return &engine.AdminReply{Result: (*engine.PurchaseView)(nil)}
	}
	story, err := r.client.Purchase(t.Context(), 12)
	require.NoError(t, err)
	require.Equal(t, "captured", story.Now.State)
	require.Equal(t, whole, names(&story.Trail))
	_, err = r.client.Purchase(t.Context(), 99)
	require.Equal(t, http.StatusNotFound, status(err))
	_, err = r.client.Purchase(t.Context(), 0)
	require.Equal(t, http.StatusBadRequest, status(err))
}

func TestFindAsksTheIndexAndWhileThatIsBehindTheJournal(t *testing.T) {
	r := newRig(t, day(), nil)
	r.index.at = 12
	r.index.found = []trail.Found{{Purchase: 12, State: "captured"}, {Purchase: 11}, {Purchase: 10}}
	token := strings.Repeat("70", 16)
	found, err := r.client.Find(t.Context(), &FindRequest{Person: token, Serial: "sn-12345678", Limit: 2})
	require.NoError(t, err)
	require.Len(t, found.Purchases, 2)
	require.True(t, found.More)
	serial := fakeHasher{}.Serial([]byte("SN12345678"))
	require.Equal(t, trail.Query{Person: []byte(strings.Repeat("p", 16)), Serial: serial[:]}, r.index.asked)

	r.index.at = 11
	found, err = r.client.Find(t.Context(), &FindRequest{Person: token})
	require.NoError(t, err)
	require.Len(t, found.Purchases, 1)
	require.Equal(t, "captured", found.Purchases[0].State)
	require.Empty(t, found.Incomplete)
}

func TestASearchForNothingOrByHalfATokenIsRefused(t *testing.T) {
	r := newRig(t, day(), nil)
	for _, q := range []FindRequest{{}, {Card: "00"}, {Card: "zz"}, {Person: strings.Repeat("0", 31)}, {STAN: 3},
		{Terminal: "t", Limit: -1}, {Terminal: "t", Limit: 1001}} {
		_, err := r.client.Find(t.Context(), &q)
		require.Equal(t, http.StatusBadRequest, status(err), "%+v", q)
	}
}
