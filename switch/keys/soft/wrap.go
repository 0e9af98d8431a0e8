package soft

import (
	"crypto/subtle"
	"errors"
	"fmt"

	"huanxin/switch/keys/block"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/tr31"
)

// Import takes in a wrapped key.
func (m *Module) Import(spec hsm.Spec, under hsm.Key, w hsm.Wrapping, wrapped, check []byte) (hsm.Key, []byte, error) {
	wrapper, err := m.of(under)
	if err != nil {
		return nil, nil, err
	}
	var secret []byte
	if w == hsm.WrapECB || w == hsm.WrapAESKW {
		spec, secret, err = wrapper.importBare(spec, w, wrapped)
	} else {
		spec, secret, err = wrapper.importBlock(spec, w, wrapped)
	}
	if err != nil {
		return nil, nil, err
	}
	defer clear(secret)
	kcv, err := checkValue(spec.Algorithm, secret)
	if err != nil {
		return nil, nil, err
	}
	if len(check) > len(kcv) || len(check) == 0 && w == hsm.WrapECB || subtle.ConstantTimeCompare(kcv[:len(check)], check) != 1 {
		return nil, nil, hsm.ErrKCV
	}
	if err := weak(spec.Algorithm, secret); err != nil {
		return nil, nil, err
	}
	return m.take(spec, secret)
}

// importBare opens a wrapped key that does not say what it is.
func (k *key) importBare(spec hsm.Spec, w hsm.Wrapping, wrapped []byte) (hsm.Spec, []byte, error) {
	longer := 0
	if w == hsm.WrapAESKW {
		longer = 8
	}
	if spec.Length == 0 {
		spec.Length = len(wrapped) - longer
	}
	spec, err := spec.Check()
	if err != nil {
		return spec, nil, err
	}
	if err := hsm.AllowWrap(infoOf(spec), k.info, w); err != nil {
		return spec, nil, err
	}
	if len(wrapped) != spec.Length+longer {
		return spec, nil, fmt.Errorf("%w: %d bytes, want %d", hsm.ErrWrapped, len(wrapped), spec.Length+longer)
	}
	b, err := k.block()
	if err != nil {
		return spec, nil, err
	}
	open := block.AppendECBOpened
	if w == hsm.WrapAESKW {
		open = block.AppendUnwrapped
	}
	secret, err := open(make([]byte, 0, len(wrapped)), b, wrapped)
	if err != nil {
		return spec, nil, fmt.Errorf("%w: %w", hsm.ErrWrapped, err)
	}
	return spec, secret, nil
}

// importBlock opens a key block. What it may be used for is in it: a block that allows less than the purpose takes is
// refused, since a key of this module has its whole purpose.
func (k *key) importBlock(spec hsm.Spec, w hsm.Wrapping, wrapped []byte) (hsm.Spec, []byte, error) {
	if err := hsm.Allow(k.info, hsm.OpBlock); err != nil {
		return spec, nil, err
	}
	if len(wrapped) == 0 || w == hsm.WrapTR31B && wrapped[0] != byte(tr31.B) || w == hsm.WrapTR31D && wrapped[0] != byte(tr31.D) {
		return spec, nil, fmt.Errorf("%w: not a block of %s", hsm.ErrWrapped, w)
	}
	var head tr31.Header
	var secret []byte
	err := k.with(func(own []byte) (err error) {
		if head, secret, err = tr31.Unwrap(own, string(wrapped)); err != nil {
			return errors.Join(hsm.ErrWrapped, err)
		}
		return nil
	})
	if err != nil {
		return spec, nil, err
	}
	spec, err = agree(spec, &head, len(secret))
	if err == nil {
		err = hsm.AllowWrap(infoOf(spec), k.info, w)
	}
	if err != nil {
		clear(secret)
		return spec, nil, err
	}
	return spec, secret, nil
}

// agree holds what a block says against what is wanted.
func agree(spec hsm.Spec, head *tr31.Header, length int) (hsm.Spec, error) {
	algorithm := map[byte]hsm.Algorithm{'D': hsm.DES, 'T': hsm.TDES, 'A': hsm.AES, 'H': hsm.HMAC}[head.Algorithm]
	switch {
	case algorithm == 0:
		return spec, fmt.Errorf("%w: a block for algorithm %c", hsm.ErrAlgorithm, head.Algorithm)
	case spec.Algorithm != 0 && spec.Algorithm != algorithm, spec.Length != 0 && spec.Length != length:
		return spec, fmt.Errorf("%w: the block holds %s of %d bytes", hsm.ErrAlgorithm, algorithm, length)
	}
	spec.Algorithm, spec.Length = algorithm, length
	spec, err := spec.Check()
	if err != nil {
		return spec, err
	}
	use := blockUse(spec.Purpose, spec.Algorithm)
	if head.Usage != use.usage && !(use.usage[0] == 'M' && head.Usage[0] == 'M') {
		return spec, fmt.Errorf("%w: the block is for usage %s, a %s is %s", hsm.ErrPurpose, head.Usage, spec.Purpose, use.usage)
	}
	if !contains(use.modes, head.Mode) {
		return spec, fmt.Errorf("%w: the block is for mode %c, a %s takes one of %s", hsm.ErrPurpose, head.Mode, spec.Purpose, use.modes)
	}
	if spec.Exportable && head.Exportability == 'N' {
		return spec, fmt.Errorf("%w: so says its block", hsm.ErrExport)
	}
	return spec, nil
}

// use is what a key block says of a key of a purpose, by ANSI X9.143 §6.3.
type use struct {
	usage string
	modes string // those that are taken in; the first is what is written
}

func blockUse(p hsm.Purpose, a hsm.Algorithm) use {
	switch p {
	case hsm.PIK:
		return use{"P0", "BDN"}
	case hsm.ZPK:
		return use{"P0", "BEN"}
	case hsm.MAK, hsm.ZAK:
		switch a {
		case hsm.HMAC:
			return use{"M7", "CN"}
		case hsm.AES:
			return use{"M6", "CN"}
		case hsm.DES:
			return use{"M1", "CN"}
		}
		return use{"M3", "CN"}
	case hsm.TDK:
		return use{"D0", "BDEN"}
	case hsm.TMK, hsm.ZMK:
		return use{"K0", "BDEN"}
	}
	return use{"K1", "BDEN"}
}

func contains(letters string, c byte) bool {
	for i := range len(letters) {
		if letters[i] == c {
			return true
		}
	}
	return false
}

func infoOf(s hsm.Spec) hsm.Info {
	return hsm.Info{Purpose: s.Purpose, Algorithm: s.Algorithm, Length: s.Length, Exportable: s.Exportable}
}

// Export wraps a key under another.
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
	var wrapped []byte
	err = k.with(func(secret []byte) (err error) {
		if w == hsm.WrapECB || w == hsm.WrapAESKW {
			wrapped, err = wrapper.exportBare(w, secret)
		} else {
			wrapped, err = wrapper.exportBlock(w, k.info, secret)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return wrapped, nil
}

func (k *key) exportBare(w hsm.Wrapping, secret []byte) ([]byte, error) {
	b, err := k.block()
	if err != nil {
		return nil, err
	}
	if w == hsm.WrapAESKW {
		return block.AppendWrapped(nil, b, secret)
	}
	return block.AppendECB(nil, b, secret)
}

// exportBlock makes the key block of secret, which is a key like info.
func (k *key) exportBlock(w hsm.Wrapping, info hsm.Info, secret []byte) (wrapped []byte, err error) {
	letter := map[hsm.Algorithm]byte{hsm.DES: 'D', hsm.TDES: 'T', hsm.AES: 'A', hsm.HMAC: 'H'}[info.Algorithm]
	if letter == 0 {
		return nil, fmt.Errorf("%w: X9.143 has no letter for %s", hsm.ErrAlgorithm, info.Algorithm)
	}
	use := blockUse(info.Purpose, info.Algorithm)
	version, hide := tr31.B, 24 // of the cipher's longest key
	if w == hsm.WrapTR31D {
		version, hide = tr31.D, 32
	}
	err = k.with(func(own []byte) error {
		text, err := tr31.Wrap(own, tr31.Header{
			Version: version, Usage: use.usage, Algorithm: letter, Mode: use.modes[0], KeyVersion: "00", Exportability: 'E',
		}, secret, hide, k.module.rand)
		if err != nil {
			return fmt.Errorf("export a %s: %w", info.Purpose, err)
		}
		wrapped = []byte(text)
		return nil
	})
	return wrapped, err
}
