package check

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// All differences are counted, a fifth of the limit of each kind is told, and a kind that is everywhere hides no other.
func TestDifferencesAreCountedAndTheirListIsBounded(t *testing.T) {
	d := differences{limit: 10, found: map[kind]int{}}
	for range 1_000_000 {
		d.add(Difference{Where: "state", What: "person", Text: "x"})
	}
	d.add(Difference{Where: "database", What: "captures", Text: "y"})
	d.add(Difference{Where: "database", What: "refunds", Count: 7})
	require.Equal(t, 1_000_008, d.total)
	require.Equal(t, []Difference{
		{Where: "state", What: "person", Text: "x"}, {Where: "state", What: "person", Text: "x"}, {Where: "database", What: "captures", Text: "y"},
		{Where: "state", What: "person", Text: "999998 more", Count: 999_998}, {Where: "database", What: "refunds", Text: "7 more", Count: 7},
	}, d.told())
	sum := 0
	for _, x := range d.told() {
		sum += max(x.Count, 1)
	}
	require.Equal(t, d.total, sum)
}
