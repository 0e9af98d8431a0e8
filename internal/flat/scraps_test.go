package flat_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/internal/flat"
)

// Whatever comes and goes, what is there reads as it was written, and the pieces follow what is there.
func TestScrapsReadAsTheyWereWritten(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	type kept struct {
		at   flat.Scrap
		text string
	}
	var s flat.Scraps
	var there []kept
	for i := range 60_000 {
		text := strings.Repeat(fmt.Sprint(i), random.IntN(60))
		if i%2 == 0 {
			there = append(there, kept{s.Add(text), text})
		} else {
			there = append(there, kept{s.AddBytes([]byte(text)), text})
		}
		for len(there) > 2000 || len(there) > 0 && random.IntN(3) == 0 {
			gone := random.IntN(min(len(there), 300))
			require.Equal(t, there[gone].text, s.At(there[gone].at, len(there[gone].text)))
			s.Remove(there[gone].at)
			there = append(there[:gone], there[gone+1:]...)
		}
	}
	for _, k := range there {
		require.Equal(t, k.text, s.At(k.at, len(k.text)))
	}
	for _, k := range there {
		s.Remove(k.at)
	}
	require.Equal(t, 1, s.Pieces(), "to be written on")
}

// A text of any length is kept, also where a piece is full to its last byte.
func TestScrapsKeepTextsLongerThanAPiece(t *testing.T) {
	var s flat.Scraps
	for _, n := range []int{1 << 18, 0, 1<<18 + 1, 5} {
		text := strings.Repeat("x", n)
		at := s.Add(text)
		require.Equal(t, text, s.At(at, n))
		s.Remove(at)
	}
	require.Equal(t, 1, s.Pieces())
}
