package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/config/dialects"
	"huanxin/internal/bench/moovspec"
	"huanxin/switch/iso8583"
)

func TestBothCodecsGiveTheSameBytes(t *testing.T) {
	spec, _, err := dialects.Load("", "cup")
	require.NoError(t, err)
	ours, err := iso8583.Compile(spec)
	require.NoError(t, err)
	theirs, err := moovspec.Load("cup")
	require.NoError(t, err)
	x, err := sampleMessages(ours)
	require.NoError(t, err)
	require.Len(t, x[0].numbers, 20, "the sale")
	for name, c := range map[string]codecUnderTest{
		"ours": &ourCodec{codec: ours}, "fresh": &moovCodec{spec: theirs, fresh: true}, "reused": &moovCodec{spec: theirs},
	} {
		rate, _, err := repeat(time.Millisecond, x, c)
		require.NoError(t, err, name)
		require.Positive(t, rate)
	}
}
