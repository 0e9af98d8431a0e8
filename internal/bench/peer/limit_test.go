package peer

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/config/dialects"
	"huanxin/internal/bench/client"
	"huanxin/internal/bench/seed"
	"huanxin/switch/iso8583"
)

func TestLimitGivesBackWhatItGot(t *testing.T) {
	l, err := NewLimit(t.TempDir(), "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- l.Serve() }()
	spec, _, err := dialects.Load("", "cup")
	require.NoError(t, err)
	codec, err := iso8583.Compile(spec)
	require.NoError(t, err)
	script, err := client.NewReserves(client.ReserveConfig{
		Codec: codec, Slots: 24, Persons: client.NewNumbers(0, 3000), Barcodes: seed.Programme{}.Barcodes(1), Echo: true,
	})
	require.NoError(t, err)
	run, err := (&client.Closed{Address: l.Addr().String(), Connections: 3, InFlight: 8, Script: script, Duration: time.Hour}).Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(3000), run.All)
	require.NoError(t, l.Close())
	require.Error(t, <-ended)
}

func TestWholeFramesAreCounted(t *testing.T) {
	frame := []byte{0, 3, 1, 2, 3}
	n, bad := wholeFrames(append(append([]byte{}, frame...), frame[:4]...))
	require.Equal(t, 5, n)
	require.False(t, bad)
	_, bad = wholeFrames([]byte{0xff, 0xff})
	require.True(t, bad)
}
