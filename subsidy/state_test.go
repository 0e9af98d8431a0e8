package subsidy

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// several is a book in which every part of a state has something in it.
func several(t require.TestingT) *Book {
	b := book(t)
	for i, category := range []string{"B01", "A01", "B01", "A01"} {
		e := claimed(t, b, Hash{byte(i % 2)}, category, i%2*500)
		b.ShowCode(Hash{5, byte(i)}, e.ID, 60, CodePosition{Given: i%2 == 1, Lon: -7})
		if i < 3 {
			b.Reserve(Hold{Purchase: e.ID, Entitlement: e.ID, Code: Hash{5, byte(i)}, Serial: Hash{9, byte(i)}, Leaf: 1, Subsidy: 300})
		}
	}
	b.Use(Hold{Purchase: 1, Entitlement: 1, Serial: Hash{9}, Leaf: 1, Subsidy: 300})
	return b
}

// TestADamagedStateIsNoBook flips every bit and cuts at every byte: what is read then is refused, or contradicts nothing.
func TestADamagedStateIsNoBook(t *testing.T) {
	state := written(several(t))
	read := func(state []byte) (*Book, error) {
		r := &stateSource{in: bytes.NewReader(state)}
		b, err := ReadBook(r)
		if err == nil {
			err = r.err
		}
		return b, err
	}
	whole, err := read(state)
	require.NoError(t, err)
	require.NoError(t, whole.Check(600))
	for end := range state {
		_, err := read(state[:end])
		require.Error(t, err, "cut after %d bytes", end)
	}
	for bit := range 8 * len(state) {
		damaged := bytes.Clone(state)
		damaged[bit/8] ^= 1 << (bit % 8)
		b, err := read(damaged)
		if err != nil {
			continue
		}
		_ = b.Check(600) // whatever it says, it reads no table beyond its end
		for id := uint64(1); id < b.NextEntitlement(); id++ {
			e, _ := b.Entitlement(id)
			b.UsageOf(b.PersonOf(e), b.CategoryOf(e))
			b.Name(e.Channel)
		}
	}
}

func TestAPersonOrASerialThatStandsTwiceIsRefused(t *testing.T) {
	b := several(t)
	b.people.list.At(1).hash = b.people.list.At(0).hash
	_, err := ReadBook(&stateSource{in: bytes.NewReader(written(b))})
	require.ErrorContains(t, err, "persons 0 and 1 are one")

	b = several(t)
	b.entitlements.At(1).serial = b.entitlements.At(0).serial
	_, err = ReadBook(&stateSource{in: bytes.NewReader(written(b))})
	require.ErrorContains(t, err, "have one serial")
}

// TestCheckNamesThePersonWhoseCountersAreWrong, although its sums know nobody.
func TestCheckNamesThePersonWhoseCountersAreWrong(t *testing.T) {
	for name, spoil := range map[string]func(u *use){
		"claims": func(u *use) { u.claims++ }, "items": func(u *use) { u.items++ }, "live": func(u *use) { u.live += 2 },
	} {
		b := several(t)
		require.NoError(t, b.Check(600))
		spoil(b.people.use(1, b.byCategory["A01"]))
		require.ErrorContains(t, b.Check(600), "person 1, category A01", name)
	}
	b := several(t)
	b.people.first(0).claims++
	b.people.first(1).claims-- // the sum is right, whose it is wrong
	require.ErrorContains(t, b.Check(600), "person 0")
}

// TestACrowdIsReadAsItWasWritten crosses the ends of blocks, chunks and shards.
func TestACrowdIsReadAsItWasWritten(t *testing.T) {
	const n = 2*blockRows + 100
	b := crowd(n)
	for i := range n {
		if i%3 == 0 {
			b.Restore(crowdHold(i))
		}
		b.ShowCode(crowdHash(3, i), uint64(i)+1, int64(i), CodePosition{})
	}
	again := reread(t, b)
	require.NoError(t, again.Check(0))
	for i := range n {
		want, _ := b.Entitlement(uint64(i) + 1)
		got, _ := again.Entitlement(uint64(i) + 1)
		code, ok := again.Code(crowdHash(3, i))
		if got != want || again.PersonOf(got) != crowdHash(0, i) || again.SerialHolder(crowdHash(1, i)) != want.Purchase ||
			!ok || code.Entitlement != uint64(i)+1 || again.UsageOf(crowdHash(0, i), b.CategoryOf(want)) != b.UsageOf(crowdHash(0, i), b.CategoryOf(want)) {
			require.Fail(t, "read otherwise", "entitlement %d", i+1)
		}
	}
	b.ForgetCodes(codeMemory + n/2)
	again.ForgetCodes(codeMemory + n/2)
	require.Equal(t, written(b), written(again))
	_, ok := again.Code(crowdHash(3, n/2))
	require.False(t, ok)
	_, ok = again.Code(crowdHash(3, n/2+1))
	require.True(t, ok)
}
