package keys

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/store"
)

func testVault(t testing.TB, s *Set) *Vault {
	return s.Vault()
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

// TestFirstEnvelopesStillOpen is a fixture: version 1, as a release before sealed it, under the keys of testSet.
func TestFirstEnvelopesStillOpen(t *testing.T) {
	p := testPlain(t)
	key := p.card["c1"]
	block, err := aes.NewCipher(key[:])
	require.NoError(t, err)
	aead, err := cipher.NewGCM(block)
	require.NoError(t, err)
	nonce := []byte("twelve bytes")
	sealed := append([]byte("\x01\x02c1"), nonce...)
	sealed = aead.Seal(sealed, nonce, []byte("6224240000000017"), []byte("huanxin envelope 1\x00card\x00c1\x00place"))
	v := testVault(t, testSet(t))
	opened, err := v.Open(nil, sealed, []byte("place"))
	require.NoError(t, err)
	require.Equal(t, "6224240000000017", string(opened))

	// The same bytes do not open as version 2, and no envelope of version 2 as version 1.
	moved := append([]byte("\x02\x02c1\x03"), sealed[4:]...)
	_, err = v.Open(nil, moved, []byte("place"))
	require.ErrorIs(t, err, ErrOpen)
	again, err := v.Seal(nil, []byte("x"), []byte("place"))
	require.NoError(t, err)
	require.Equal(t, "\x02\x02c1\x03", string(again[:5]))
	_, err = v.Open(nil, append([]byte("\x01\x02c1"), again[5:]...), []byte("place"))
	require.ErrorIs(t, err, ErrOpen)
}

// A card key rotates while vaults are in use; the new one may be of another cipher.
func TestOldCardKeyStillOpensAfterANewOneSeals(t *testing.T) {
	cfg := testConfig(t)
	_, err := Create(cfg, Options{By: byTest})
	require.NoError(t, err)
	running, _, err := Open(cfg, Options{By: byTest})
	require.NoError(t, err)
	set, err := FromStore(running)
	require.NoError(t, err)
	v, r := set.Vault(), testRecord()
	card, err := v.SealCard(&r)
	require.NoError(t, err)
	require.Equal(t, "c1", card.KeyId)

	operator, _, err := Open(cfg, Options{By: byTest})
	require.NoError(t, err)
	require.NoError(t, operator.Edit(byTest, func(e *store.Edit) error { _, err := e.Rotate("card", hsm.SM4, false); return err }))
	changed, err := running.Reload()
	require.NoError(t, err)
	require.True(t, changed)
	require.NoError(t, set.Follow(running))
	require.Equal(t, "c2", set.CardKeyID())

	opened, err := v.OpenCard(card)
	require.NoError(t, err)
	require.Equal(t, testRecord().PAN, opened.PAN)
	card2, err := v.SealCard(&r)
	require.NoError(t, err)
	require.Equal(t, "c2", card2.KeyId)
	require.Equal(t, "\x02\x02c2\x04", string(card2.Envelope[:5]), "SM4-GCM")
	require.Equal(t, card.Token, card2.Token, "the look-up token does not depend on the card key")
	opened, err = v.OpenCard(card2)
	require.NoError(t, err)
	require.Equal(t, testRecord().PAN, opened.PAN)
	_, err = testVault(t, testSet(t)).OpenCard(card2)
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
	set, err := testPlain(t).set(io.MultiReader(bytes.NewReader(bytes.Repeat([]byte{1}, 32+7*12)), bytes.NewReader([]byte{1, 2, 3})))
	require.NoError(t, err)
	v := set.Vault()
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
	}{s, v, h, r, &r, testPlain(t).hash[0]}
	p := testPlain(t)
	key := p.hash[0]
	var printed []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
		for _, x := range []any{s, v, p, h, s.hash[0], s.module, r, &r, key, &key, holder, []CardRecord{r}, map[string]secret{"k": key}} {
			printed = append(printed, fmt.Sprintf(verb, x))
		}
	}
	asJSON, err := json.Marshal(holder)
	require.NoError(t, err)
	asYAML, err := yaml.Marshal(holder)
	require.NoError(t, err)
	printed = append(printed, string(asJSON), string(asYAML))

	forbidden := []string{"6224240000000017", fmt.Sprintf("%x", r.PAN), fmt.Sprintf("%d", r.PAN)}
	for _, k := range append(p.hash[:], p.card["c1"]) {
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
	v := testVault(f, testSet(f))
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
