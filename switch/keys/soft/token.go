package soft

import (
	"fmt"
	"io"

	"huanxin/switch/keys/hsm"
)

// Token layout:
//
//	0         1        5         6           7        8       9          21               21+n      37+n
//	+---------+--------+---------+-----------+--------+-------+----------+----------------+---------+
//	| version | LMK id | purpose | algorithm | length | flags | nonce 12 | ciphertext, n  | tag 16  |
//	+---------+--------+---------+-----------+--------+-------+----------+----------------+---------+
//
// version is 1; flag 1 is "exportable"; n is length. Wrapped with AES-256-GCM or SM4-GCM by the mode of the local master
// key; additional data are the first 9 bytes and the bind, so a token is worth nothing in another place.
const (
	tokenVersion    = 1
	tokenHead       = 9
	nonceSize       = 12
	tagSize         = 16
	flagExportable  = 1
	maxKey          = 64
	maxTokenOverall = tokenHead + nonceSize + maxKey + tagSize
)

// wrap makes the token of a clear key under l.
func (l *LMK) wrapKey(rand io.Reader, s hsm.Spec, clear []byte) ([]byte, error) {
	token := make([]byte, 0, tokenHead+nonceSize+len(clear)+tagSize)
	token = append(token, tokenVersion)
	token = append(token, l.id[:]...)
	token = append(token, byte(s.Purpose), byte(s.Algorithm), byte(len(clear)), 0)
	if s.Exportable {
		token[tokenHead-1] |= flagExportable
	}
	additional := append(append([]byte(nil), token...), s.Bind...)
	token = token[:tokenHead+nonceSize]
	if _, err := io.ReadFull(rand, token[tokenHead:]); err != nil {
		return nil, fmt.Errorf("draw nonce: %w", err)
	}
	return l.wrap.Seal(token, token[tokenHead:], clear, additional), nil
}

// head is what a token says of itself.
type head struct {
	lmk  LMKID
	spec hsm.Spec
}

func parseToken(bind string, token []byte) (head, error) {
	if len(token) < tokenHead+nonceSize+tagSize || len(token) > maxTokenOverall || token[0] != tokenVersion {
		return head{}, fmt.Errorf("%w: not a token of this version", hsm.ErrToken)
	}
	h := head{lmk: LMKID(token[1:5]), spec: hsm.Spec{
		Bind: bind, Purpose: hsm.Purpose(token[5]), Algorithm: hsm.Algorithm(token[6]), Length: int(token[7]),
		Exportable: token[8]&flagExportable != 0,
	}}
	spec, err := h.spec.Check()
	if err != nil || spec != h.spec || token[8]&^flagExportable != 0 || len(token) != tokenHead+nonceSize+spec.Length+tagSize {
		return head{}, fmt.Errorf("%w: its head is malformed", hsm.ErrToken)
	}
	return h, nil
}

// unwrapKey opens a token whose head names this key.
func (l *LMK) unwrapKey(bind string, token []byte) ([]byte, error) {
	additional := append(append([]byte(nil), token[:tokenHead]...), bind...)
	clear, err := l.wrap.Open(nil, token[tokenHead:tokenHead+nonceSize], token[tokenHead+nonceSize:], additional)
	if err != nil {
		return nil, fmt.Errorf("%w: altered, or of another place", hsm.ErrToken)
	}
	return clear, nil
}

// TokenLMK is the id of the local master key that a token is wrapped under.
func TokenLMK(token []byte) (LMKID, error) {
	h, err := parseToken("", token)
	return h.lmk, err
}
