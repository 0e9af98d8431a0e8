package gateway

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/valyala/fasthttp"
)

// Token is one caller's secret.
type Token struct {
	// Name stands in logs for the caller, and scopes its idempotency keys: 1 to 32 of a-z, 0-9 and -. Renaming a caller
	// forgets its keys.
	Name string
	// Secret is what follows "Bearer ": 16 to 256 letters, digits and -._~+/=
	Secret string
}

// Format prints the name only.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "token "+t.Name) }

// MarshalText prints the name only.
func (t Token) MarshalText() ([]byte, error) { return []byte("token " + t.Name), nil }

var (
	tokenName   = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	tokenSecret = regexp.MustCompile(`^[A-Za-z0-9._~+/=-]{16,256}$`)
)

const (
	// maxTokens bounds the list of callers; every request is compared with all of them.
	maxTokens = 64
	// defaultName is the caller of a token file that holds a bare secret.
	defaultName = "app"
)

// ParseTokens reads a token file: a secret by itself, or one line "name secret" for each caller; empty lines and lines
// that begin with # are passed over. Its errors name the line, never the content.
func ParseTokens(text []byte) ([]Token, error) {
	var tokens []Token
	for i, line := range bytes.Split(text, []byte("\n")) {
		fields := strings.Fields(string(line))
		switch {
		case len(fields) == 0 || strings.HasPrefix(fields[0], "#"):
		case len(fields) == 1:
			tokens = append(tokens, Token{defaultName, fields[0]})
		case len(fields) == 2:
			tokens = append(tokens, Token{fields[0], fields[1]})
		default:
			return nil, fmt.Errorf("token file: line %d: want a name and a secret", i+1)
		}
	}
	if err := checkTokens(tokens); err != nil {
		return nil, fmt.Errorf("token file: %w", err)
	}
	return tokens, nil
}

// NewSecret draws a secret of 256 bits.
func NewSecret(rand io.Reader) (string, error) {
	var b [32]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return "", fmt.Errorf("draw token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

func checkTokens(tokens []Token) error {
	if len(tokens) == 0 || len(tokens) > maxTokens {
		return fmt.Errorf("%d tokens, want 1 to %d", len(tokens), maxTokens)
	}
	names, secrets := map[string]bool{}, map[string]bool{}
	for i, t := range tokens {
		if !tokenName.MatchString(t.Name) {
			return fmt.Errorf("token %d: the name is not 1 to 32 of a-z, 0-9 and -", i+1)
		}
		if !tokenSecret.MatchString(t.Secret) {
			return fmt.Errorf("token %s: the secret is not 16 to 256 letters, digits and -._~+/=", t.Name)
		}
		if names[t.Name] || secrets[t.Secret] {
			return fmt.Errorf("token %s: name or secret is given twice", t.Name)
		}
		names[t.Name], secrets[t.Secret] = true, true
	}
	return nil
}

// caller is a Token as it is kept: the secret itself is not needed.
type caller struct {
	name   string
	digest [sha256.Size]byte
}

func callersOf(tokens []Token) []caller {
	callers := make([]caller, 0, len(tokens))
	for _, t := range tokens {
		callers = append(callers, caller{t.Name, sha256.Sum256([]byte(t.Secret))})
	}
	return callers
}

// authenticate finds the caller of a bearer token (RFC 6750). Every known token is compared, in constant time, so that
// the time taken tells nothing.
func (g *Gateway) authenticate(r *fasthttp.Request) (string, *problem) {
	var scheme, secret []byte
	var ok bool
	given := r.Header.PeekAll(fasthttp.HeaderAuthorization)
	if len(given) == 1 {
		scheme, secret, ok = bytes.Cut(given[0], []byte(" "))
	}
	digest := sha256.Sum256(secret)
	name := ""
	for _, known := range g.callers {
		if subtle.ConstantTimeCompare(digest[:], known.digest[:]) == 1 {
			name = known.name
		}
	}
	if !ok || !bytes.EqualFold(scheme, []byte("Bearer")) || name == "" {
		return "", newProblem(codeUnauthenticated)
	}
	return name, nil
}
