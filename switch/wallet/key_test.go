package wallet

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var signedAt = time.Date(2025, 6, 18, 10, 5, 12, 0, shanghai)

// The example of docs/interface/wallet.md, computed with openssl.
func TestSignatureIsTheOneOfTheDocument(t *testing.T) {
	document, err := os.ReadFile("../../docs/interface/wallet.md")
	require.NoError(t, err)
	header := http.Header{}
	testKey(t).Sign(header, "POST", "/v1/payments/516910000001/cancel", nil, signedAt)
	require.Equal(t, "1750212312", header.Get(HeaderTimestamp))
	for _, text := range []string{testSecret, header.Get(HeaderTimestamp), header.Get(HeaderSignature)} {
		require.Contains(t, string(document), text)
	}
}

func TestSignatureCoversMethodPathTimeAndBody(t *testing.T) {
	key := testKey(t)
	body := []byte(`{"payment":"516910000001"}`)
	sign := func() http.Header {
		header := http.Header{}
		key.Sign(header, "POST", "/v1/payments", body, signedAt)
		return header
	}
	require.NoError(t, key.Verify(sign(), "POST", "/v1/payments", body, signedAt))
	require.ErrorIs(t, key.Verify(sign(), "PUT", "/v1/payments", body, signedAt), ErrSignature)
	require.ErrorIs(t, key.Verify(sign(), "POST", "/v1/payments/", body, signedAt), ErrSignature)
	require.ErrorIs(t, key.Verify(sign(), "POST", "/v1/payments", body[1:], signedAt), ErrSignature)
	require.ErrorIs(t, key.Verify(sign(), "POST", "/v1/payments", nil, signedAt), ErrSignature)
	other, err := ParseKey([]byte(strings.Repeat("ab", keySize)))
	require.NoError(t, err)
	require.ErrorIs(t, other.Verify(sign(), "POST", "/v1/payments", body, signedAt), ErrSignature)

	moved := sign()
	moved.Set(HeaderTimestamp, strconv.FormatInt(signedAt.Unix()+1, 10))
	require.ErrorIs(t, key.Verify(moved, "POST", "/v1/payments", body, signedAt), ErrSignature)
	for name, change := range map[string]func(http.Header){
		"no time":        func(h http.Header) { h.Del(HeaderTimestamp) },
		"no signature":   func(h http.Header) { h.Del(HeaderSignature) },
		"two times":      func(h http.Header) { h.Add(HeaderTimestamp, h.Get(HeaderTimestamp)) },
		"two signatures": func(h http.Header) { h.Add(HeaderSignature, h.Get(HeaderSignature)) },
		"cut":            func(h http.Header) { h.Set(HeaderSignature, h.Get(HeaderSignature)[:62]) },
		"no hex":         func(h http.Header) { h.Set(HeaderSignature, strings.Repeat("x", 64)) },
		"time as text":   func(h http.Header) { h.Set(HeaderTimestamp, "now") },
	} {
		header := sign()
		change(header)
		require.ErrorIs(t, key.Verify(header, "POST", "/v1/payments", body, signedAt), ErrSignature, name)
	}
}

func TestSignatureIsGoodForFiveMinutesEitherWay(t *testing.T) {
	key := testKey(t)
	rapid.Check(t, func(t *rapid.T) {
		off := time.Duration(rapid.Int64Range(-1000, 1000).Draw(t, "seconds")) * time.Second
		header := http.Header{}
		key.Sign(header, "GET", "/x", nil, signedAt)
		err := key.Verify(header, "GET", "/x", nil, signedAt.Add(off))
		require.Equal(t, off.Abs() <= 5*time.Minute, err == nil, "%v", off)
	})
	header := http.Header{HeaderTimestamp: {"-9223372036854775808"}, HeaderSignature: {strings.Repeat("0", 64)}}
	require.ErrorIs(t, key.Verify(header, "GET", "/x", nil, signedAt), ErrSignature)
}

func TestKeyFileIsCreatedOnceForItsOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deeper", "wallet.key")
	first, created, err := OpenKey(path, rand.Reader)
	require.NoError(t, err)
	require.True(t, created)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	again, created, err := OpenKey(path, rand.Reader)
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, first.secret, again.secret)
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1)

	require.NoError(t, os.Chmod(path, 0o640))
	_, _, err = OpenKey(path, rand.Reader)
	require.ErrorIs(t, err, ErrKeyFile)
}

func TestTwoProgramsThatStartAtOnceShareOneKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wallet.key")
	found := make(chan *Key, 8)
	for range cap(found) {
		go func() {
			key, _, err := OpenKey(path, rand.Reader)
			if err != nil {
				key = nil
			}
			found <- key
		}()
	}
	first := <-found
	require.NotNil(t, first)
	for range cap(found) - 1 {
		key := <-found
		require.NotNil(t, key)
		require.Equal(t, first.secret, key.secret)
	}
}

func TestKeyIsNeverPrinted(t *testing.T) {
	for _, text := range []string{"", "00", testSecret + "00", strings.Repeat("g", 64)} {
		_, err := ParseKey([]byte(text))
		require.ErrorIs(t, err, ErrKeyFile)
		if len(text) > 4 {
			require.NotContains(t, err.Error(), text[:4])
		}
	}
	key := testKey(t)
	var out bytes.Buffer
	fmt.Fprintf(&out, "%v %+v %#v %x %v", key, key, key, key, Config{Name: "a", Key: key})
	require.NoError(t, json.NewEncoder(&out).Encode(map[string]any{"key": key}))
	require.NotContains(t, out.String(), testSecret[:8])
	require.NotContains(t, out.String(), "0x0, 0x1")
}
