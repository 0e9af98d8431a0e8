package soft

import (
	"errors"
	"fmt"

	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/pinblock"
)

var formatOf = [...]pinblock.Format{
	hsm.ISO0: pinblock.ISO0, hsm.ISO3: pinblock.ISO3, hsm.ISO4: pinblock.ISO4, hsm.ISO0SM4: pinblock.Wide0,
	hsm.Bare: pinblock.Bare, hsm.BareSM4: pinblock.BareWide,
}

// TranslatePIN moves a PIN from one key to another. The clear block lies in memory of package pinblock, which wipes it.
func (m *Module) TranslatePIN(dst []byte, from, to hsm.PIN, src []byte) ([]byte, error) {
	if err := hsm.AllowPIN(from, to, src); err != nil {
		return dst, err
	}
	source, err := m.side(from)
	if err != nil {
		return dst, err
	}
	target, err := m.side(to)
	if err != nil {
		return dst, err
	}
	out, err := pinblock.Translate(dst, src, source, target, pinblock.RandomFill(m.rand))
	switch {
	case errors.Is(err, pinblock.ErrBlock):
		return dst, hsm.ErrPINBlock
	case err != nil:
		return dst, fmt.Errorf("%w: %w", hsm.ErrPIN, err)
	}
	return out, nil
}

func (m *Module) side(p hsm.PIN) (pinblock.Side, error) {
	k, err := m.of(p.Key)
	if err != nil {
		return pinblock.Side{}, err
	}
	b, err := k.block()
	return pinblock.Side{Format: formatOf[p.Format], Block: b, PAN: p.PAN}, err
}
