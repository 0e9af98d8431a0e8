//go:build pkcs11

package p11

import (
	"errors"
	"fmt"

	"huanxin/switch/keys/hsm"
)

// unsupportedWrap says what a wrapping would take.
func unsupportedWrap(operation string, w hsm.Wrapping) error {
	what := "a key block command of the vendor, as payShield A6 and A8"
	if w == hsm.WrapECB {
		what = "C_WrapKey and C_UnwrapKey with CKM_DES3_ECB, which SoftHSM has not, or payShield commands A6 and A8"
	}
	return hsm.Unsupported(operation+" a key as "+w.String(), what)
}

// Import takes in a key by AES Key Wrap.
func (m *Module) Import(spec hsm.Spec, under hsm.Key, w hsm.Wrapping, wrapped, check []byte) (hsm.Key, []byte, error) {
	wrapper, err := m.of(under)
	if err != nil {
		return nil, nil, err
	}
	if spec.Length == 0 && w == hsm.WrapAESKW {
		spec.Length = len(wrapped) - wrapLonger
	}
	spec, kind, err := m.wanted("import", spec)
	if err != nil {
		return nil, nil, err
	}
	info := hsm.Info{Purpose: spec.Purpose, Algorithm: spec.Algorithm, Length: spec.Length, Exportable: spec.Exportable}
	if err := hsm.AllowWrap(info, wrapper.info, w); err != nil {
		return nil, nil, err
	}
	if w != hsm.WrapAESKW {
		return nil, nil, unsupportedWrap("import", w)
	}
	if len(wrapped) != spec.Length+wrapLonger {
		return nil, nil, fmt.Errorf("%w: %d bytes, want %d", hsm.ErrWrapped, len(wrapped), spec.Length+wrapLonger)
	}
	handle, err := m.unwrapKey(spec, kind, wrapper.handle, wrapped)
	if err != nil {
		if err = gone(err); errors.Is(err, hsm.ErrKey) {
			return nil, nil, err
		}
		return nil, nil, fmt.Errorf("%w: %w", hsm.ErrWrapped, err)
	}
	return m.take(spec, kind, handle, check)
}

// Export gives a key out by AES Key Wrap.
func (m *Module) Export(handle, under hsm.Key, w hsm.Wrapping) ([]byte, error) {
	k, err := m.of(handle)
	if err != nil {
		return nil, err
	}
	wrapper, err := m.of(under)
	if err != nil {
		return nil, err
	}
	if err := hsm.AllowExport(k.info, wrapper.info, w); err != nil {
		return nil, err
	}
	if w != hsm.WrapAESKW {
		return nil, unsupportedWrap("export", w)
	}
	wrapped, err := m.wrapKey(wrapper.handle, k.handle)
	if err != nil {
		return nil, fmt.Errorf("export a %s: %w", k.info.Purpose, gone(err))
	}
	return wrapped, nil
}

// TranslatePIN is no operation of PKCS#11: with its mechanisms the clear PIN would leave the token.
func (m *Module) TranslatePIN(dst []byte, from, to hsm.PIN, sealed []byte) ([]byte, error) {
	if err := hsm.AllowPIN(from, to, sealed); err != nil {
		return dst, err
	}
	for _, side := range []hsm.PIN{from, to} {
		if _, err := m.of(side.Key); err != nil {
			return dst, err
		}
	}
	return dst, hsm.Unsupported("translate a PIN block", "payShield commands CA and CC, or the vendor's payment firmware")
}
