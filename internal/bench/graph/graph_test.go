package graph

import (
	"encoding/xml"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestAGraphIsWellFormedAndHasEveryPoint(t *testing.T) {
	g := Graph{
		Title: `throughput & "load"`, X: Axis{Label: "connections", Log: true}, Y: Axis{Label: "answers/s"},
		Series: []Series{
			{Name: "switch", Points: []Point{{1, 900}, {64, 31_000}, {1024, 88_000}}},
			{Name: "<limit>", Points: []Point{{1, 4_000}, {64, 52_000}}},
		},
	}
	var out strings.Builder
	require.NoError(t, g.Write(&out))
	circles := 0
	for d := xml.NewDecoder(strings.NewReader(out.String())); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "circle" {
			circles++
		}
	}
	require.Equal(t, 5, circles)
	require.Contains(t, out.String(), "&lt;limit&gt;")
}

func TestWhatHasNoPlaceOnAnAxisIsRefused(t *testing.T) {
	for name, g := range map[string]Graph{
		"nothing":     {Series: []Series{{}}},
		"log of zero": {X: Axis{Log: true}, Series: []Series{{Points: []Point{{0, 1}}}}},
		"negative":    {Series: []Series{{Points: []Point{{1, -1}}}}},
		"infinite":    {Series: []Series{{Points: []Point{{1, math.Inf(1)}}}}},
	} {
		require.Error(t, g.Write(io.Discard), name)
	}
}

func TestEveryValueLiesBetweenTheFirstAndTheLastTick(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		axis := Axis{Log: rapid.Bool().Draw(t, "log")}
		values := rapid.SliceOfN(rapid.Float64Range(1e-6, 1e9), 1, 20).Draw(t, "values")
		s, err := newScale(axis, values, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.ticks) < 2 || len(s.ticks) > 18 {
			t.Fatalf("%d ticks", len(s.ticks))
		}
		for _, v := range values {
			if at := s.at(v); at < -1e-6 || at > 100+1e-6 {
				t.Fatalf("%g lies at %g", v, at)
			}
		}
	})
}
