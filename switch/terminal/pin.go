package terminal

import (
	"errors"

	"huanxin/switch/keys/hsm"
)

// PINs translates PIN blocks of terminals for hosts, inside a module. It is safe for concurrent use.
type PINs interface {
	// TranslatePIN appends a block to dst, deciphered as from says and enciphered for the host. ErrNoPINKey: nothing is agreed
	// with the host. Other errors are the module's.
	TranslatePIN(dst []byte, host string, from hsm.PIN, block []byte) ([]byte, error)
}

// ErrNoPINKey is returned by PINs for a host that gets no PIN blocks.
var ErrNoPINKey = errors.New("no PIN key is agreed with the host")

// maxPINBlock is the longest PIN block in bytes.
const maxPINBlock = 16

// Answers to a PIN that cannot be passed on. Nothing is recorded then, and nothing charged.
var (
	badPIN      = [2]byte{'9', '9'}
	notSecured  = [2]byte{'A', '7'}
	pinFormat   = &refusal{badPIN, "密码格式错误，请重新签到"}
	pinUnwanted = &refusal{badPIN, "该交易不受理密码"}
	pinFailed   = &refusal{notSecured, "密码转换失败，未扣款"}
	pinNoHost   = &refusal{notSecured, "支付渠道未配置密码密钥，未扣款"}
	pinForQR    = &refusal{badPIN, "扫码交易不受理密码"}
)

// takesPIN are the kinds that go to a card network, and so may carry DE52.
var takesPIN = [kindCount]bool{kindSale: true, kindPreAuth: true, kindBalance: true, kindVoid: true, kindRefund: true}

// pin translates the PIN block of DE52 for the host of a message. It has a MAC: without one nothing comes so far.
func (r *reader) pin(host string, qr bool, pan []byte) *refusal {
	if !r.m.Has(52) {
		return nil
	}
	if qr {
		return pinForQR
	}
	l := r.x.port.Line
	var control [2]byte // of DE53: format and algorithm
	text, ok := r.m.AppendSub(control[:0], 53, 0, 2)
	if !ok || len(text) != 2 {
		return pinFormat
	}
	format, known := l.PINFormats[text[0]]
	if !known || text[1] != l.algorithmDigit() || r.m.Len(52) != format.Size() {
		return pinFormat
	}
	if r.x.pair == nil || r.front.cfg.Keys.PINs == nil {
		return pinNoHost
	}
	module := r.front.cfg.Keys.Module
	key, err := openOne(module, r.x.terminal, []byte(r.x.pair.Wrapped), pinKey)
	if err != nil {
		r.front.keyFailed(err)
		return pinFailed
	}
	defer key.Release()
	from := hsm.PIN{Key: key, Format: format, PAN: pan}
	var block [maxPINBlock]byte
	defer clear(block[:])
	n := r.m.CopyField(block[:], 52)
	translated, err := r.front.cfg.Keys.PINs.TranslatePIN(r.x.pin[:0], host, from, block[:n])
	switch {
	case err == nil && len(translated) <= maxPINBlock:
		r.x.pinSize = copy(r.x.pin[:], translated)
		r.front.m.pins.Inc()
		return nil
	case errors.Is(err, hsm.ErrPINBlock):
		r.front.m.pinFaults.Inc()
		return pinFormat
	case errors.Is(err, ErrNoPINKey):
		return pinNoHost
	}
	r.front.m.pinFaults.Inc()
	r.front.keyFailed(err)
	return pinFailed
}
