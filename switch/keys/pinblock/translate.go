package pinblock

import (
	"crypto/cipher"
	"crypto/subtle"
	"fmt"
)

// Side is one end of a translation.
type Side struct {
	Format Format
	Block  cipher.Block
	PAN    []byte // not looked at where the format has none
}

// Translate opens src, a block of the side from, and appends the same PIN as a block of the side to. dst may begin where
// src does.
//
// It refuses a format without the PAN on the side to, and another PAN than on the side from: the two translations that
// would let an attacker learn about PINs (ISO 9564-1, table of permitted translations).
func Translate(dst, src []byte, from, to Side, fill Fill) ([]byte, error) {
	if !to.Format.valid() || !to.Format.HasPAN() {
		return dst, fmt.Errorf("%w: %s", ErrNoPAN, to.Format)
	}
	if from.Format.HasPAN() && subtle.ConstantTimeCompare(from.PAN, to.PAN) != 1 {
		return dst, ErrPANChange
	}
	if len(to.PAN) < minPAN {
		return dst, ErrPAN
	}
	w := works.Get().(*work)
	defer w.release()
	if err := w.open(from.Format, from.Block, src, from.PAN); err != nil {
		return dst, err
	}
	clear(w.block[:])
	clear(w.pan[:])
	return w.seal(dst, to.Format, to.Block, to.PAN, fill)
}
