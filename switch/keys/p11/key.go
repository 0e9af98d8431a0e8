//go:build pkcs11

package p11

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/miekg/pkcs11"

	"huanxin/switch/keys/hsm"
)

// key is a handle of this module.
type key struct {
	module   *Module
	kind     kind
	info     hsm.Info
	handle   pkcs11.ObjectHandle
	released atomic.Bool
}

func (k *key) Info() hsm.Info { return k.info }

// Release destroys the object in the token. A call that is using it fails with ErrKey.
func (k *key) Release() {
	if k.released.CompareAndSwap(false, true) {
		k.module.destroy(k.handle)
	}
}

// Format prints no key.
func (k *key) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, k.info.Purpose.String()+" [redacted]")
}

// MarshalText prints no key.
func (k *key) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// of is the key behind a handle, if it is one of this module's.
func (m *Module) of(k hsm.Key) (*key, error) {
	own, ok := k.(*key)
	if !ok || own == nil || own.module != m || own.released.Load() {
		return nil, hsm.ErrKey
	}
	return own, nil
}

func (m *Module) destroy(handle pkcs11.ObjectHandle) {
	_ = m.atHome(func() error { return m.ctx.DestroyObject(m.home, handle) })
}

// makesCodes reports whether keys of a purpose make MACs.
func makesCodes(p hsm.Purpose) bool { return p.Allows(hsm.OpMAC) }

// template is what the token is told of a key. Nothing may be deciphered with any of them. Every key enciphers and is
// extractable until its check value and its token are made; take ends both where the purpose does not want them.
func template(spec hsm.Spec, k kind) []*pkcs11.Attribute {
	wraps := spec.Purpose == hsm.KBPK && spec.Algorithm == hsm.AES
	return []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, k.keyType),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, true),
		pkcs11.NewAttribute(pkcs11.CKA_ENCRYPT, true),
		pkcs11.NewAttribute(pkcs11.CKA_DECRYPT, false),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN, makesCodes(spec.Purpose)),
		pkcs11.NewAttribute(pkcs11.CKA_VERIFY, false),
		pkcs11.NewAttribute(pkcs11.CKA_WRAP, wraps),
		pkcs11.NewAttribute(pkcs11.CKA_UNWRAP, wraps),
		pkcs11.NewAttribute(pkcs11.CKA_DERIVE, false),
	}
}

// take makes handle and token of an object, or destroys it. check, if there is one, must be its check value's beginning.
// What is loaded has its token already; it is given, and stays.
func (m *Module) take(spec hsm.Spec, k kind, handle pkcs11.ObjectHandle, check []byte) (_ hsm.Key, token []byte, err error) {
	defer func() {
		if err != nil {
			m.destroy(handle)
		}
	}()
	made, err := m.loaded(spec, k, handle, func(kcv []byte) error {
		if len(check) > len(kcv) || subtle.ConstantTimeCompare(kcv[:len(check)], check) != 1 {
			return hsm.ErrKCV
		}
		token, err = m.wrapToken(spec, handle)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return made, token, nil
}

// loaded makes the handle. meanwhile runs while the key may still be wrapped.
func (m *Module) loaded(spec hsm.Spec, k kind, handle pkcs11.ObjectHandle, meanwhile func(kcv []byte) error) (*key, error) {
	size := 16
	if spec.Algorithm == hsm.TDES {
		size = 8
	}
	value, err := m.encipher(handle, k.ecb, nil, make([]byte, size))
	if err != nil {
		return nil, fmt.Errorf("check a %s: %w", spec.Purpose, err)
	}
	made := &key{module: m, kind: k, handle: handle, info: hsm.Info{
		Purpose: spec.Purpose, Algorithm: spec.Algorithm, Length: spec.Length, Exportable: spec.Exportable, KCV: [hsm.KCVSize]byte(value),
	}}
	if err := meanwhile(made.info.KCV[:]); err != nil {
		return nil, err
	}
	var ends []*pkcs11.Attribute
	if !spec.Exportable {
		ends = append(ends, pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false))
	}
	if !makesCodes(spec.Purpose) {
		ends = append(ends, pkcs11.NewAttribute(pkcs11.CKA_ENCRYPT, false))
	}
	if len(ends) > 0 {
		if err := m.atHome(func() error { return m.ctx.SetAttributeValue(m.home, handle, ends) }); err != nil {
			return nil, fmt.Errorf("restrict a %s: %w", spec.Purpose, err)
		}
	}
	return made, nil
}

// The token's layout is in the package comment.
const (
	tokenVersion   = 2
	tokenHead      = 9
	codeSize       = 16
	wrapLonger     = 8 // bytes that AES Key Wrap adds
	flagExportable = 1
)

func (m *Module) head(spec hsm.Spec) []byte {
	flags := byte(0)
	if spec.Exportable {
		flags = flagExportable
	}
	token := append([]byte{tokenVersion}, m.id[:]...)
	return append(token, byte(spec.Purpose), byte(spec.Algorithm), byte(spec.Length), flags)
}

func (m *Module) wrapToken(spec hsm.Spec, handle pkcs11.ObjectHandle) ([]byte, error) {
	wrapped, err := m.wrapKey(m.wrap, handle)
	if err != nil {
		return nil, fmt.Errorf("wrap a %s: %w", spec.Purpose, err)
	}
	if len(wrapped) != spec.Length+wrapLonger {
		return nil, fmt.Errorf("wrap a %s: %d bytes for a key of %d", spec.Purpose, len(wrapped), spec.Length)
	}
	token := append(m.head(spec), wrapped...)
	code, err := m.sign(m.code, pkcs11.CKM_AES_CMAC, append(bytes.Clone(token), spec.Bind...))
	if err != nil {
		return nil, err
	}
	return append(token, code...), nil
}

func (m *Module) wrapKey(under, handle pkcs11.ObjectHandle) (wrapped []byte, err error) {
	err = m.with(func(s pkcs11.SessionHandle) error {
		wrapped, err = m.ctx.WrapKey(s, mechanism(pkcs11.CKM_AES_KEY_WRAP), under, handle)
		return err
	})
	return wrapped, err
}

func (m *Module) unwrapKey(spec hsm.Spec, k kind, under pkcs11.ObjectHandle, wrapped []byte) (handle pkcs11.ObjectHandle, err error) {
	err = m.atHome(func() error {
		handle, err = m.ctx.UnwrapKey(m.home, mechanism(pkcs11.CKM_AES_KEY_WRAP), under, wrapped, template(spec, k))
		return err
	})
	return handle, err
}

// Load takes back a token. Its code is checked before anything in it is believed.
func (m *Module) Load(bind string, token []byte) (hsm.Key, error) {
	if len(token) < tokenHead+wrapLonger+codeSize || token[0] != tokenVersion {
		return nil, fmt.Errorf("%w: not a token of this version", hsm.ErrToken)
	}
	if [4]byte(token[1:5]) != m.id {
		return nil, fmt.Errorf("%w: it is under another master key", hsm.ErrToken)
	}
	body := token[:len(token)-codeSize]
	code, err := m.sign(m.code, pkcs11.CKM_AES_CMAC, append(bytes.Clone(body), bind...))
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(code, token[len(body):]) != 1 {
		return nil, fmt.Errorf("%w: altered, or of another place", hsm.ErrToken)
	}
	spec, kind, err := m.wanted("load", hsm.Spec{
		Bind: bind, Purpose: hsm.Purpose(token[5]), Algorithm: hsm.Algorithm(token[6]), Length: int(token[7]),
		Exportable: token[8]&flagExportable != 0,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", hsm.ErrToken, err)
	}
	handle, err := m.unwrapKey(spec, kind, m.wrap, body[tokenHead:])
	if err != nil { // of the device: the token is whole
		return nil, fmt.Errorf("unwrap: %w", err)
	}
	made, err := m.loaded(spec, kind, handle, func([]byte) error { return nil })
	if err != nil {
		m.destroy(handle)
		return nil, err
	}
	return made, nil
}

// gone makes ErrKey of what the token says of an object that was released meanwhile.
func gone(err error) error {
	for _, code := range []pkcs11.Error{pkcs11.CKR_KEY_HANDLE_INVALID, pkcs11.CKR_OBJECT_HANDLE_INVALID, pkcs11.CKR_WRAPPING_KEY_HANDLE_INVALID, pkcs11.CKR_UNWRAPPING_KEY_HANDLE_INVALID} {
		if errors.Is(err, code) {
			return fmt.Errorf("%w: %w", hsm.ErrKey, err)
		}
	}
	return err
}
