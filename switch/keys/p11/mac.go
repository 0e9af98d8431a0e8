//go:build pkcs11

package p11

import (
	"crypto/subtle"
	"fmt"

	"github.com/miekg/pkcs11"

	"huanxin/switch/keys/hsm"
)

// makes reports whether the token makes codes of a.
func (m *Module) makes(a hsm.MACAlgorithm) bool {
	switch a {
	case hsm.AESCMAC:
		return true
	case hsm.CUPECB:
		return m.holds(hsm.TDES, 16)
	case hsm.TDESCBC:
		return m.holds(hsm.TDES, 16) && m.can[pkcs11.CKM_DES3_CBC]
	case hsm.TDESCMAC:
		return m.holds(hsm.TDES, 16) && m.can[pkcs11.CKM_DES3_CMAC]
	}
	return false
}

// unsupportedMAC says what codes of a would take.
func unsupportedMAC(a hsm.MACAlgorithm) error {
	what := map[hsm.MACAlgorithm]string{
		hsm.CUPECB: "CKM_DES3_ECB", hsm.TDESCBC: "CKM_DES3_CBC or CKM_DES3_MAC_GENERAL", hsm.TDESCMAC: "CKM_DES3_CMAC",
		hsm.X99:     "CKM_DES_MAC_GENERAL, which no approved mode of a certified module has",
		hsm.X919:    "CKM_DES3_X919_MAC_GENERAL (Thales Luna) or payShield command M6",
		hsm.HMACSM3: "SDF_HashInit with SGD_SM3 and a key (GM/T 0018)", hsm.HMACSHA256: "CKM_SHA256_HMAC",
	}[a]
	if what == "" {
		what = "SDF_CalculateMAC with SGD_SM4_MAC (GM/T 0018)"
	}
	return hsm.Unsupported("make a code of "+a.String(), what)
}

// MAC appends the whole code.
func (m *Module) MAC(dst []byte, handle hsm.Key, a hsm.MACAlgorithm, data []byte) ([]byte, error) {
	code, err := m.codeOf(handle, hsm.OpMAC, a, data)
	return append(dst, code...), err
}

// minCode is the shortest code in bytes that Verify accepts.
const minCode = 4

// Verify compares in constant time.
func (m *Module) Verify(handle hsm.Key, a hsm.MACAlgorithm, data, mac []byte) error {
	code, err := m.codeOf(handle, hsm.OpVerify, a, data)
	if err != nil {
		return err
	}
	if len(mac) < minCode || len(mac) > len(code) || subtle.ConstantTimeCompare(code[:len(mac)], mac) != 1 {
		return hsm.ErrMAC
	}
	return nil
}

func (m *Module) codeOf(handle hsm.Key, o hsm.Operation, a hsm.MACAlgorithm, data []byte) (code []byte, err error) {
	k, err := m.of(handle)
	if err != nil {
		return nil, err
	}
	if err := hsm.AllowMAC(k.info, o, a); err != nil {
		return nil, err
	}
	if !m.makes(a) {
		return nil, unsupportedMAC(a)
	}
	switch a {
	case hsm.AESCMAC:
		code, err = m.sign(k.handle, pkcs11.CKM_AES_CMAC, data)
	case hsm.TDESCMAC:
		code, err = m.sign(k.handle, pkcs11.CKM_DES3_CMAC, data)
	case hsm.TDESCBC:
		code, err = m.cbc(k, data)
	case hsm.CUPECB:
		code, err = m.cup(k, data)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a, gone(err))
	}
	return code, nil
}

// tdesSize is the length of a block of 3DES in bytes.
const tdesSize = 8

// cbc is the last block of data enciphered by CBC from zeros, padded with zeros (ISO 9797-1 method 1). Many tokens have no
// CKM_DES3_MAC_GENERAL, which is the same.
func (m *Module) cbc(k *key, data []byte) ([]byte, error) {
	whole := make([]byte, max(1, (len(data)+tdesSize-1)/tdesSize)*tdesSize)
	copy(whole, data)
	out, err := m.encipher(k.handle, pkcs11.CKM_DES3_CBC, make([]byte, tdesSize), whole)
	if err != nil {
		return nil, err
	}
	return out[len(out)-tdesSize:], nil
}

// cup is the terminals' code (pos-dialect §7.1): see mac.CUPECB. The token enciphers its two blocks.
func (m *Module) cup(k *key, data []byte) ([]byte, error) {
	var sum [tdesSize]byte
	for i, b := range data {
		sum[i%tdesSize] ^= b
	}
	text := fmt.Appendf(nil, "%X", sum)
	out, err := m.encipher(k.handle, k.kind.ecb, nil, text[:tdesSize])
	if err != nil {
		return nil, err
	}
	subtle.XORBytes(out, out, text[tdesSize:])
	if out, err = m.encipher(k.handle, k.kind.ecb, nil, out); err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%X", out)[:8], nil
}
