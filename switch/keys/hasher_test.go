package keys

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// counter is a source of "random" bytes that repeats itself from run to run.
type counter struct{ n byte }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		c.n++
		p[i] = c.n
	}
	return len(p), nil
}

func testSet(t testing.TB) *Set {
	s, err := Generate(&counter{})
	require.NoError(t, err)
	return s
}

// reference is the hash as its doc comment describes it.
func reference(s *plain, p purpose, fields ...string) [16]byte {
	msg := []byte("huanxin " + purposeNames[p] + "\x00")
	for _, f := range fields {
		msg = binary.BigEndian.AppendUint32(msg, uint32(len(f)))
		msg = append(msg, f...)
	}
	mac := hmac.New(sha256.New, s.hash[p][:])
	mac.Write(msg)
	return [16]byte(mac.Sum(nil))
}

func TestHashesAreThoseOfTheDescription(t *testing.T) {
	s := testPlain(t)
	h := testSet(t).Hasher()
	require.Equal(t, reference(s, purposePerson, "ID", "11010519491231002X"), h.Person("ID", "11010519491231002X"))
	require.Equal(t, reference(s, purposeCard, "6224240000000017"), h.Card([]byte("6224240000000017")))
	require.Equal(t, reference(s, purposeSerial, "SN12AB"), h.Serial([]byte("SN12AB")))
	require.Equal(t, reference(s, purposeCode, "123456789012345678"), h.Code([]byte("123456789012345678")))
	require.Equal(t, reference(s, purposeContent, "000000", "", "S1"), h.Content([]byte("000000"), nil, []byte("S1")))
	require.Equal(t, reference(s, purposeRequest, "app", "k1"), h.Request("app", "k1"))
}

// The hashes stand in journals: this is a fixture, not a computation. A change here breaks every journal there is.
func TestPersonHashStaysTheSameForEver(t *testing.T) {
	s := testSet(t)
	h := s.Hasher().Person("ID", "11010519491231002X")
	check := s.PersonKeyCheck()
	require.Equal(t, "28c5bf4c093cb92e0adce164bc509f44", hex.EncodeToString(h[:]))
	require.Equal(t, "9b87058455aeb129", hex.EncodeToString(check[:]))
}

func TestPersonHashIgnoresCaseOfTheCheckLetterOnly(t *testing.T) {
	h := testSet(t).Hasher()
	require.Equal(t, h.Person("ID", "11010519491231002X"), h.Person("ID", "11010519491231002x"))
	require.NotEqual(t, h.Person("ID", "11010519491231002X"), h.Person("ID", "110105194912310021"))
	require.NotEqual(t, h.Person("ID", "H12345678"), h.Person("HKMO", "H12345678"))
}

func TestSerialInLowerCaseIsTheSameItem(t *testing.T) {
	h := testSet(t).Hasher()
	require.Equal(t, h.Serial([]byte("SN12AB")), h.Serial([]byte("sn12ab")))
}

func TestSameInputUnderTwoPurposesGivesTwoHashes(t *testing.T) {
	h := testSet(t).Hasher()
	x := []byte("123456789012345678")
	seen := map[[16]byte]bool{h.Card(x): true, h.Serial(x): true, h.Code(x): true, h.Content(x): true}
	require.Len(t, seen, 4)

	// Also when an operator has put the same key everywhere: the label alone separates.
	same := testPlain(t)
	for p := range same.hash {
		same.hash[p] = same.hash[0]
	}
	set, err := same.set(&counter{})
	require.NoError(t, err)
	h = set.Hasher()
	seen = map[[16]byte]bool{h.Card(x): true, h.Serial(x): true, h.Code(x): true, h.Content(x): true}
	require.Len(t, seen, 4)
}

func TestContentKeepsFieldBordersApart(t *testing.T) {
	h := testSet(t).Hasher()
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOfN(rapid.SliceOfN(rapid.ByteRange('a', 'b'), 0, 3), 0, 4).Draw(t, "a")
		b := rapid.SliceOfN(rapid.SliceOfN(rapid.ByteRange('a', 'b'), 0, 3), 0, 4).Draw(t, "b")
		same := len(a) == len(b)
		for i := 0; same && i < len(a); i++ {
			same = bytes.Equal(a[i], b[i])
		}
		if (h.Content(a...) == h.Content(b...)) != same {
			t.Fatalf("%q and %q", a, b)
		}
	})
}

func TestHasherIsSafeForConcurrentUse(t *testing.T) {
	h := testSet(t).Hasher()
	want := reference(testPlain(t), purposeContent, "one", "two")
	var wg sync.WaitGroup
	results := make([][16]byte, 64)
	for i := range results {
		wg.Go(func() { results[i] = h.Content([]byte("one"), []byte("two")) })
	}
	wg.Wait()
	for _, got := range results {
		require.Equal(t, want, got)
	}
}

func BenchmarkContent(b *testing.B) {
	h := testSet(b).Hasher()
	pan, amount, tags := []byte("6224240000000017"), []byte("000000000001"), bytes.Repeat([]byte("x"), 120)
	b.ReportAllocs()
	for b.Loop() {
		h.Content(pan, amount, nil, tags)
	}
}
