package outbox

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// busy refuses the first so many offers and keeps what it takes.
type busy struct {
	refuse int
	taken  []any
}

func (b *busy) Submit(body any) error {
	if b.refuse > 0 {
		b.refuse--
		return errors.New("overload")
	}
	b.taken = append(b.taken, body)
	return nil
}

func TestRefusedBodiesAreOfferedAgainInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &busy{refuse: 100}
		o := New(server, 2, prometheus.NewCounter(prometheus.CounterOpts{Name: "refused"}))
		ctx, stop := context.WithCancel(t.Context())
		go o.Run(ctx)
		for n := range 20 {
			o.Put(ctx, n)
		}
		synctest.Wait()
		for len(server.taken) < 20 { // the clock of the bubble moves on while the outbox waits
			advance(ctx)
		}
		for n := range 20 {
			require.Equal(t, n, server.taken[n])
		}
		stop()
		synctest.Wait()
	})
}

// advance lets the outbox's own timer fire: this goroutine waits for a later one.
func advance(ctx context.Context) {
	later, cancel := context.WithTimeout(ctx, offerAgainMax)
	defer cancel()
	<-later.Done()
	synctest.Wait()
}

func TestBodyThatNothingWaitsBeforeIsSubmittedInPlace(t *testing.T) {
	server := &busy{}
	o := New(server, 1, prometheus.NewCounter(prometheus.CounterOpts{Name: "refused"}))
	o.Put(t.Context(), 1)
	require.True(t, o.Offer(2))
	require.Equal(t, []any{1, 2}, server.taken, "nobody runs the outbox")
}

func TestFullOutboxTakesNoMoreOffers(t *testing.T) {
	o := New(&busy{refuse: 1}, 1, prometheus.NewCounter(prometheus.CounterOpts{Name: "refused"}))
	require.True(t, o.Offer(1))
	require.False(t, o.Offer(2))
	ended, stop := context.WithCancel(t.Context())
	stop()
	o.Put(ended, 3) // returns
}
