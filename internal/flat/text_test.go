package flat

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestATextStaysWhatItWas(t *testing.T) {
	var texts Texts
	var want []string
	var at []uint32
	read := []string{}
	total := 0
	for i := range 3000 {
		parts := []string{strings.Repeat(string(rune('a'+i%26)), i%131), "", "兰"}
		want = append(want, strings.Join(parts, ""))
		at = append(at, texts.Add(parts...))
		read = append(read, texts.At(at[i], len(want[i])))
		total += len(want[i])
	}
	require.Equal(t, want, read)
	for i := range want {
		require.Equal(t, want[i], texts.At(at[i], len(want[i])))
	}
	require.Equal(t, total, texts.Len())
	require.Less(t, len(texts.pieces), total/piece+2)

	empty := texts.Add()
	require.Empty(t, texts.At(empty, 0))
	whole := strings.Repeat("x", piece)
	require.Equal(t, whole, texts.At(texts.Add(whole), piece))
	require.Panics(t, func() { texts.Add(whole, "y") })
}
