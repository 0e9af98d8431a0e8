package keys

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

func testVault(t testing.TB, s *Set) *Vault {
	v, err := s.Vault(rand.Reader)
	require.NoError(t, err)
	return v
}

func testRecord() CardRecord {
	return CardRecord{
		PAN: []byte("6224240000000017"), Expiry: []byte("3012"), Sequence: []byte("001"), EntryMode: []byte("051"),
		Condition: []byte("00"), Currency: []byte("156"), ICC: []byte{0x95, 1, 0}, POSData: []byte("22000001000600"),
	}
}

func TestWhatIsSealedOpensAgain(t *testing.T) {
	v := testVault(t, testSet(t))
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "plain")
		aad := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "aad")
		sealed, err := v.Seal([]byte("head"), plain, aad)
		if err != nil || !bytes.HasPrefix(sealed, []byte("head")) {
			t.Fatal(err)
		}
		if len(plain) > 3 && bytes.Contains(sealed, plain) {
			t.Fatal("the plaintext stands in the envelope")
		}
		opened, err := v.Open([]byte("x"), sealed[4:], aad)
		if err != nil || !bytes.Equal(opened, append([]byte("x"), plain...)) {
			t.Fatalf("%v: %x", err, opened)
		}
	})
}

func TestEveryFlippedBitOfAnEnvelopeIsNoticed(t *testing.T) {
	v := testVault(t, testSet(t))
	sealed, err := v.Seal(nil, []byte("6224240000000017"), []byte("place"))
	require.NoError(t, err)
	for i := range sealed {
		for bit := range 8 {
			bad := bytes.Clone(sealed)
			bad[i] ^= 1 << bit
			out, err := v.Open(nil, bad, []byte("place"))
			require.Error(t, err, "byte %d bit %d", i, bit)
			require.Empty(t, out)
		}
	}
	for n := range sealed {
		_, err := v.Open(nil, sealed[:n], []byte("place"))
		require.Error(t, err, "%d bytes", n)
	}
}

func TestEnvelopeOpensOnlyInItsPlace(t *testing.T) {
	v := testVault(t, testSet(t))
	sealed, err := v.Seal(nil, []byte("secret"), []byte("a"))
	require.NoError(t, err)
	_, err = v.Open(nil, sealed, []byte("b"))
	require.ErrorIs(t, err, ErrOpen)
	other := testVault(t, testSet(t))
	other.purpose = "dossier"
	_, err = other.Open(nil, sealed, []byte("a"))
	require.ErrorIs(t, err, ErrOpen)
}

func TestOldCardKeyStillOpensAfterANewOneIsCurrent(t *testing.T) {
	s := testSet(t)
	r := testRecord()
	card, err := testVault(t, s).SealCard(&r)
	require.NoError(t, err)
	s.card["c2"], s.current = secret{9}, "c2"
	v := testVault(t, s)
	opened, err := v.OpenCard(card)
	require.NoError(t, err)
	require.Equal(t, testRecord().PAN, opened.PAN)
	card2, err := v.SealCard(&r)
	require.NoError(t, err)
	require.Equal(t, "c2", card2.KeyId)
	require.Equal(t, card.Token, card2.Token, "the look-up token does not depend on the card key")

	delete(s.card, "c1")
	_, err = testVault(t, s).OpenCard(card)
	require.ErrorIs(t, err, ErrUnknownKey)
}

func TestEnvelopeMovedToAnotherCardDoesNotOpen(t *testing.T) {
	v := testVault(t, testSet(t))
	a, b := testRecord(), testRecord()
	b.PAN = []byte("6224240000000025")
	cardA, err := v.SealCard(&a)
	require.NoError(t, err)
	cardB, err := v.SealCard(&b)
	require.NoError(t, err)
	cardA.Envelope = cardB.Envelope
	_, err = v.OpenCard(cardA)
	require.ErrorIs(t, err, ErrOpen)
}

func TestTwoEnvelopesOfOneCardDiffer(t *testing.T) {
	v := testVault(t, testSet(t))
	r := testRecord()
	a, err := v.SealCard(&r)
	require.NoError(t, err)
	b, err := v.SealCard(&r)
	require.NoError(t, err)
	require.NotEqual(t, a.Envelope, b.Envelope)
	require.Equal(t, a.Token, b.Token)
	require.Equal(t, "622424******0017", a.Mask)
}

func TestExhaustedRandomnessIsAnErrorNotAZeroNonce(t *testing.T) {
	v, err := testSet(t).Vault(bytes.NewReader([]byte{1, 2, 3}))
	require.NoError(t, err)
	out, err := v.Seal(nil, []byte("secret"), nil)
	require.Error(t, err)
	require.Empty(t, out)
	_, err = Generate(bytes.NewReader(make([]byte, 10)))
	require.Error(t, err)
}

func TestNothingPrintsAKeyOrACardNumber(t *testing.T) {
	s := testSet(t)
	v, h, r := testVault(t, s), s.Hasher(), testRecord()
	holder := struct {
		S *Set
		V *Vault
		H *Hasher
		R CardRecord
		P *CardRecord
		K secret
	}{s, v, h, r, &r, s.hash[0]}
	key := s.hash[0]
	var printed []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
		for _, x := range []any{s, *s, v, *v, h, r, &r, key, &key, holder, []CardRecord{r}, map[string]secret{"k": key}} {
			printed = append(printed, fmt.Sprintf(verb, x))
		}
	}
	asJSON, err := json.Marshal(holder)
	require.NoError(t, err)
	asYAML, err := yaml.Marshal(holder)
	require.NoError(t, err)
	printed = append(printed, string(asJSON), string(asYAML))

	forbidden := []string{"6224240000000017", fmt.Sprintf("%x", r.PAN), fmt.Sprintf("%d", r.PAN)}
	for _, k := range append(s.hash[:], s.card["c1"]) {
		raw := [KeySize]byte(k)
		forbidden = append(forbidden, fmt.Sprintf("%x", raw[:4]), fmt.Sprintf("%X", raw[:4]), string(raw[:8]),
			fmt.Sprintf("%d %d %d %d", raw[0], raw[1], raw[2], raw[3]), fmt.Sprintf("%#x, %#x, %#x", raw[0], raw[1], raw[2]))
	}
	for _, text := range printed {
		for _, bad := range forbidden {
			require.NotContains(t, text, bad)
		}
	}
}

func FuzzOpen(f *testing.F) {
	// The same envelope in every worker process: nonces come from a counter.
	v, err := testSet(f).Vault(&counter{})
	require.NoError(f, err)
	sealed, err := v.Seal(nil, []byte("6224240000000017"), []byte("place"))
	require.NoError(f, err)
	f.Add(sealed)
	f.Add(sealed[:20])
	f.Add([]byte{1, 255, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := v.Open(nil, b, []byte("place"))
		if bytes.Equal(b, sealed) {
			require.NoError(t, err)
			return
		}
		require.True(t, errors.Is(err, ErrEnvelope) || errors.Is(err, ErrUnknownKey) || errors.Is(err, ErrOpen), "%v", err)
		require.Empty(t, out)
	})
}
