package till

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestChecksOfPublishedNumbers(t *testing.T) {
	require.Equal(t, byte('X'), idCheck("11010519491231002"))
	require.Equal(t, byte('7'), luhn("622424000000001"))
	require.Equal(t, byte('8'), luhn("49015420323751"))
}

func TestPersonsAreDifferentAndValid(t *testing.T) {
	seen := make(map[string]uint64)
	for n := range uint64(50000) {
		p := NewPerson(n)
		require.Len(t, p.IDNumber, 18)
		require.Equal(t, idCheck(p.IDNumber), p.IDNumber[17])
		other, twice := seen[p.IDNumber]
		require.False(t, twice, "%d and %d", n, other)
		seen[p.IDNumber] = n
	}
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Uint64Range(0, People-1).Draw(t, "a")
		b := rapid.Uint64Range(0, People-1).Draw(t, "b")
		born, err := time.Parse("20060102", NewPerson(a).IDNumber[6:14])
		require.NoError(t, err)
		require.Less(t, born.Year(), 2006)
		require.Equal(t, a == b, NewPerson(a).IDNumber == NewPerson(b).IDNumber)
	})
}

func TestSerialsAndCardsHaveTheirForm(t *testing.T) {
	require.Regexp(t, `^86\d{13}$`, NewIMEI(7))
	require.Regexp(t, `^622424\d{10}$`, NewPAN(7))
	require.NotEqual(t, NewIMEI(1), NewIMEI(2))
	require.NotEqual(t, NewSerial(1), NewSerial(2))
}
