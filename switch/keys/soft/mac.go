package soft

import (
	"crypto/subtle"
	"fmt"

	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/mac"
)

// algorithmOf is the primitive that makes codes of a with keys like i.
func algorithmOf(a hsm.MACAlgorithm, i hsm.Info) mac.Algorithm {
	if a == hsm.CUPECB && i.Algorithm == hsm.SM4 {
		return mac.CUPECBSM4
	}
	return [...]mac.Algorithm{
		hsm.CUPECB: mac.CUPECB, hsm.X99: mac.X99, hsm.X919: mac.X919, hsm.TDESCBC: mac.TDESCBC, hsm.TDESCMAC: mac.TDESCMAC,
		hsm.AESCMAC: mac.AESCMAC, hsm.SM4CBC: mac.SM4CBC, hsm.SM4EMAC: mac.SM4EMAC, hsm.SM4Retail: mac.SM4Retail,
		hsm.SM4CMAC: mac.SM4CMAC, hsm.HMACSM3: mac.HMACSM3, hsm.HMACSHA256: mac.HMACSHA256,
	}[a]
}

// maker is the prepared key that makes codes of a.
func (m *Module) maker(handle hsm.Key, o hsm.Operation, a hsm.MACAlgorithm) (*mac.Key, error) {
	k, err := m.of(handle)
	if err != nil {
		return nil, err
	}
	if err := hsm.AllowMAC(k.info, o, a); err != nil {
		return nil, err
	}
	if made := k.macs[a].Load(); made != nil {
		return made, nil
	}
	var made *mac.Key
	err = k.with(func(secret []byte) (err error) {
		if made, err = mac.New(mac.Config{Algorithm: algorithmOf(a, k.info)}, secret); err != nil {
			return fmt.Errorf("%w: %w", hsm.ErrAlgorithm, err)
		}
		k.macs[a].Store(made)
		return nil
	})
	return made, err
}

// MAC appends the whole code.
func (m *Module) MAC(dst []byte, handle hsm.Key, a hsm.MACAlgorithm, data []byte) ([]byte, error) {
	k, err := m.maker(handle, hsm.OpMAC, a)
	if err != nil {
		return dst, err
	}
	return k.Append(dst, data), nil
}

// Verify compares in constant time.
func (m *Module) Verify(handle hsm.Key, a hsm.MACAlgorithm, data, code []byte) error {
	k, err := m.maker(handle, hsm.OpVerify, a)
	if err != nil {
		return err
	}
	var room [maxCode]byte
	full := k.Append(room[:0], data)
	if len(code) < minCode || len(code) > len(full) || subtle.ConstantTimeCompare(full[:len(code)], code) != 1 {
		return hsm.ErrMAC
	}
	return nil
}

// Lengths of codes in bytes: what is accepted at least, and the longest that is made.
const (
	minCode = 4
	maxCode = 32
)
