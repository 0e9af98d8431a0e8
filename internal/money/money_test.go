package money

import (
	"math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestAddAndSubRefuseOverflow(t *testing.T) {
	for _, c := range []struct{ a, b Amount }{
		{math.MaxInt64, 1}, {math.MinInt64, -1}, {math.MaxInt64, math.MaxInt64},
	} {
		_, err := c.a.Add(c.b)
		require.ErrorIs(t, err, ErrOverflow)
	}
	for _, c := range []struct{ a, b Amount }{
		{math.MinInt64, 1}, {math.MaxInt64, -1}, {0, math.MinInt64},
	} {
		_, err := c.a.Sub(c.b)
		require.ErrorIs(t, err, ErrOverflow)
	}
}

func TestAddAgreesWithBigIntegers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b")
		want := new(big.Int).Add(big.NewInt(a), big.NewInt(b))
		got, err := Amount(a).Add(Amount(b))
		require.Equal(t, want.IsInt64(), err == nil)
		if err == nil {
			require.Equal(t, want.Int64(), int64(got))
		}
		want.Sub(big.NewInt(a), big.NewInt(b))
		got, err = Amount(a).Sub(Amount(b))
		require.Equal(t, want.IsInt64(), err == nil)
		if err == nil {
			require.Equal(t, want.Int64(), int64(got))
		}
	})
}

func TestMulDivAgreesWithBigIntegers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Int64().Draw(t, "a")
		num := rapid.Int64Range(0, math.MaxInt64).Draw(t, "num")
		den := rapid.Int64Range(1, math.MaxInt64).Draw(t, "den")
		r := rapid.SampledFrom([]Rounding{Truncate, HalfUp, HalfEven}).Draw(t, "rounding")

		exact := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(a), big.NewInt(num)), big.NewInt(den))
		want := referenceRound(exact, r)
		got, err := Amount(a).MulDiv(num, den, r)
		if !want.IsInt64() || want.Int64() == math.MinInt64 { // -2^63 is out of MulDiv's symmetric range
			require.ErrorIs(t, err, ErrOverflow)
			return
		}
		require.NoError(t, err)
		require.Equal(t, want.Int64(), int64(got))
	})
}

// referenceRound is the slow and obvious rounding: compare the remainder with one half as rationals.
func referenceRound(x *big.Rat, r Rounding) *big.Int {
	abs := new(big.Rat).Abs(x)
	q := new(big.Int).Quo(abs.Num(), abs.Denom())
	rest := new(big.Rat).Sub(abs, new(big.Rat).SetInt(q))
	up := false
	switch half := rest.Cmp(big.NewRat(1, 2)); r {
	case HalfUp:
		up = half >= 0
	case HalfEven:
		up = half > 0 || half == 0 && q.Bit(0) == 1
	}
	if up {
		q.Add(q, big.NewInt(1))
	}
	if x.Sign() < 0 {
		q.Neg(q)
	}
	return q
}

func TestSplitPartsSumExactlyAndStayWithinOneFen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Amount(rapid.Int64Range(-1e15, 1e15).Draw(t, "a"))
		weights := rapid.SliceOfN(rapid.Int64Range(0, 1e6), 1, 6).Draw(t, "weights")
		var total int64
		for _, w := range weights {
			total += w
		}
		parts, err := a.Split(nil, weights)
		if total == 0 {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		var sum Amount
		for i, p := range parts {
			sum += p
			share, err := a.MulDiv(weights[i], total, Truncate)
			require.NoError(t, err)
			require.LessOrEqual(t, max(p-share, share-p), Amount(1))
		}
		require.Equal(t, a, sum)
	})
}

func TestFundingSharesOf85And15KeepTheOddFen(t *testing.T) {
	parts, err := Amount(101).Split(nil, []int64{85, 15})
	require.NoError(t, err)
	require.Equal(t, []Amount{86, 15}, parts)
}

func TestParseYuanIsStrict(t *testing.T) {
	for text, want := range map[string]Amount{"0": 0, "5999": 599900, "5999.5": 599950, "5999.05": 599905} {
		got, err := ParseYuan(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"", ".", "1.", ".5", "-1", "+1", "1e3", "1,000", "1.234", " 1", "99999999999999999999"} {
		_, err := ParseYuan(text)
		require.ErrorIs(t, err, ErrSyntax, text)
	}
}

func TestN12RoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Amount(rapid.Int64Range(0, int64(MaxN12)).Draw(t, "a"))
		got, err := ParseN12(a.AppendN12(nil))
		require.NoError(t, err)
		require.Equal(t, a, got)
	})
	require.Panics(t, func() { (MaxN12 + 1).AppendN12(nil) })
	_, err := ParseN12([]byte("00000000000A"))
	require.ErrorIs(t, err, ErrSyntax)
}

func TestStringPrintsYuan(t *testing.T) {
	require.Equal(t, "-0.05", Amount(-5).String())
	require.Equal(t, "4799.20", Amount(479920).String())
	require.Equal(t, "-92233720368547758.08", Amount(math.MinInt64).String())
}

func FuzzParseYuan(f *testing.F) {
	f.Add("5999.00")
	f.Add("0.1")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseYuan(text)
		if err != nil {
			return
		}
		again, err := ParseYuan(a.String())
		require.NoError(t, err)
		require.Equal(t, a, again)
	})
}

func FuzzParseN12(f *testing.F) {
	f.Add([]byte("000000479920"))
	f.Add([]byte("00000000000/"))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := ParseN12(text)
		if err != nil {
			require.ErrorIs(t, err, ErrSyntax)
			require.Zero(t, a)
			return
		}
		require.Equal(t, text, a.AppendN12(nil))
	})
}
