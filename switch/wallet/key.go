package wallet

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Headers of every request and notification.
const (
	HeaderSignature = "X-Wallet-Signature" // 64 lower-case hex digits
	HeaderTimestamp = "X-Wallet-Timestamp" // Unix seconds, decimal
)

// Window is how far the clock of a sender may be from the receiver's.
const Window = 5 * time.Minute

// keySize is the length of the shared secret in bytes; its file has twice as many hex digits.
const keySize = 32

// Errors of a key and of its signatures.
var (
	// ErrKeyFile is returned for a key file that others may read, or that holds no key.
	ErrKeyFile = errors.New("wallet key file")
	// ErrSignature is returned for a message whose signature is missing, too old, too new or not made with this key. It
	// does not say which: that would help only whoever tries.
	ErrSignature = errors.New("not signed with the shared key, or not now")
)

// Key is the secret that the switch shares with one wallet. It prints as [redacted].
type Key struct{ secret [keySize]byte }

const redacted = "[redacted]"

// Format prints no key.
func (*Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText prints no key.
func (*Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// ParseKey reads the text of a key file: 64 hex digits.
func ParseKey(text []byte) (*Key, error) {
	var k Key
	digits := strings.TrimSpace(string(text))
	if len(digits) != 2*keySize {
		return nil, fmt.Errorf("%w: want %d hex digits", ErrKeyFile, 2*keySize)
	}
	if _, err := hex.Decode(k.secret[:], []byte(digits)); err != nil {
		// The error of hex names the digit that it could not read.
		return nil, fmt.Errorf("%w: want %d hex digits", ErrKeyFile, 2*keySize)
	}
	return &k, nil
}

// OpenKey reads the key file at path, or draws a key from rand and creates the file when there is none. The file is
// complete from the moment it exists, so two programs may start at once: both have the key of the one that came first.
func OpenKey(path string, rand io.Reader) (key *Key, created bool, err error) {
	key, err = readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, false, err
	}
	if err := createKey(path, rand); err == nil {
		created = true
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, false, fmt.Errorf("create wallet key: %w", err)
	}
	key, err = readKey(path)
	return key, created, err
}

func readKey(path string) (*Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s has mode %04o, want 0600 (chmod 0600 %s)", ErrKeyFile, path, mode, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	key, err := ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

func createKey(path string, rand io.Reader) (err error) {
	var secret [keySize]byte
	if _, err := io.ReadFull(rand, secret[:]); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".wallet-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(tmp.Name())) }()
	if _, err = fmt.Fprintf(tmp, "%s\n", hex.EncodeToString(secret[:])); err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Link(tmp.Name(), path) // refuses to replace
}

// Sign puts signature and time into the headers of a request. path is the path of the request line: escaped, without
// query.
func (k *Key) Sign(header http.Header, method, path string, body []byte, at time.Time) {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := k.mac(method, path, stamp, body)
	header.Set(HeaderTimestamp, stamp)
	header.Set(HeaderSignature, hex.EncodeToString(mac[:]))
}

// Verify checks what Sign has written; at is the receiver's clock.
func (k *Key) Verify(header http.Header, method, path string, body []byte, at time.Time) error {
	stamps, signatures := header.Values(HeaderTimestamp), header.Values(HeaderSignature)
	if len(stamps) != 1 || len(signatures) != 1 {
		return ErrSignature
	}
	seconds, err := strconv.ParseInt(stamps[0], 10, 64)
	now := at.Unix()
	if err != nil || seconds < now-int64(Window/time.Second) || seconds > now+int64(Window/time.Second) {
		return ErrSignature
	}
	given, err := hex.DecodeString(signatures[0])
	mac := k.mac(method, path, stamps[0], body)
	if err != nil || !hmac.Equal(given, mac[:]) {
		return ErrSignature
	}
	return nil
}

// mac is HMAC-SHA-256 over four lines: method, path, time stamp, and the SHA-256 of the body in lower-case hex. No line
// ends the last one.
func (k *Key) mac(method, path, stamp string, body []byte) [sha256.Size]byte {
	sum := sha256.Sum256(body)
	mac := hmac.New(sha256.New, k.secret[:])
	for _, part := range []string{method, path, stamp} {
		_, _ = io.WriteString(mac, part+"\n")
	}
	_, _ = io.WriteString(mac, hex.EncodeToString(sum[:]))
	return [sha256.Size]byte(mac.Sum(nil))
}
