package moovspec

import (
	"testing"

	moov "github.com/moov-io/iso8583"
	"github.com/stretchr/testify/require"
)

func TestTrackGoesThroughTheLibrary(t *testing.T) {
	spec, err := Load("cup")
	require.NoError(t, err)
	m := moov.NewMessage(spec)
	m.MTI("0200")
	const track = "6224240000000017D30122010000000000"
	require.NoError(t, m.Field(35, track))
	raw, err := m.Pack()
	require.NoError(t, err)
	again := moov.NewMessage(spec)
	require.NoError(t, again.Unpack(raw))
	got, err := again.GetString(35)
	require.NoError(t, err)
	require.Equal(t, track, got)
	_, err = Load("nonsense")
	require.Error(t, err)
}
