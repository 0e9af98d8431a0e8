package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/journal"
	"huanxin/switch/projection"
)

func TestOnlyProofAboutTheJournalEndsItsReaders(t *testing.T) {
	for _, proof := range []error{journal.ErrShort, journal.ErrDiverged, journal.ErrDamaged, journal.ErrClosed, context.Canceled} {
		require.NotErrorIs(t, passing(fmt.Errorf("position 7: %w", proof)), projection.ErrUnreadable)
	}
	for _, shortage := range []error{syscall.EMFILE, errors.New("nats: no servers available for connection")} {
		err := passing(fmt.Errorf("position 7: %w", shortage))
		require.ErrorIs(t, err, projection.ErrUnreadable)
		require.ErrorIs(t, err, shortage)
	}
	require.NoError(t, passing(nil))
}
