package host

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"huanxin/switch/engine"
	"huanxin/switch/iso8583"
	"huanxin/switch/keys"
)

// forwarded are the fields of a terminal's request that go to the network as they are (pos-dialect §3). DE59 is not among
// them: only its A-tags go. What is left out belongs to the line between terminal and switch, or says it in the
// terminal's numbers: DE37, and DE61 of a void or refund.
var forwarded = []int{2, 3, 4, 12, 13, 14, 22, 23, 25, 35, 36, 41, 42, 45, 48, 49, 54, 55, 60}

// passed are the fields that go on unchanged in the pre-authorisation family only: the approval code by which a network
// knows a pre-authorisation again, and what the terminal says about it.
var passed = []int{38, 61}

// forward writes the terminal's own request under the switch's numbers. A void and a refund name their sale as the network
// knows it.
func (w *words) forward(dst []byte, req *engine.HostRequest, terminal *iso8583.Message, pin []byte) ([]byte, error) {
	p := w.pens.Get().(*pen)
	b := &p.builder
	b.Reset(w.codec, requestMTI(req.Kind, terminal))
	w.copyFields(b, terminal, forwarded)
	if err := w.setPIN(b, terminal, pin); err != nil {
		p.wipe()
		w.pens.Put(p)
		return dst, err
	}
	switch {
	case req.Kind == engine.HostVoid || req.Kind == engine.HostRefund:
		w.approvalOf(b, &req.Original)
		w.original(p, &req.Original, mtiFinancial, batchOf(req, terminal))
	case isPreauth(terminal):
		w.copyFields(b, terminal, passed)
	}
	w.privateTags(p, terminal)
	w.numbers(p, req)
	return w.sealed(dst, p)
}

// setPIN sets the PIN block that has been translated for this host, and what is said about it: DE26 and DE53. Without a PIN these
// go as the terminal sent them. The terminal's own DE52 never leaves: under its key the host could make nothing of it.
func (w *words) setPIN(b *iso8583.Builder, terminal *iso8583.Message, pin []byte) error {
	if !terminal.Has(52) {
		w.copyFields(b, terminal, aboutPIN)
		return nil
	}
	if w.pin == nil || len(pin) == 0 {
		return errPIN
	}
	b.Set(52, pin)
	control, capture := w.pin.say()
	if w.codec.Defines(26) {
		b.SetString(26, capture)
	}
	if w.codec.Defines(53) {
		b.SetString(53, control)
	}
	return nil
}

// aboutPIN are the fields that say something about a PIN.
var aboutPIN = []int{26, 53}

// errPIN is returned for a PIN block that was not translated.
var errPIN = errors.New("the PIN block was not translated for this host")

// requestMTI is the type of the message that carries a request. The pre-authorisation family has two.
func requestMTI(kind engine.HostKind, terminal *iso8583.Message) iso8583.MTI {
	switch {
	case kind == engine.HostRefund:
		return mtiRefund
	case kind == engine.HostSale && terminal.MTI() == mtiPreauth:
		return mtiPreauth
	}
	return mtiFinancial
}

// isPreauth reports whether a request is a pre-authorisation, a completion or the void of one: DE25 = 06 (pos-dialect §3).
func isPreauth(terminal *iso8583.Message) bool {
	return terminal.MTI() == mtiPreauth || terminal.Equal(25, "06")
}

// batchOf is 61.1 of a void or refund: the batch of the sale. The terminal has named it and the engine has compared it
// with its record; a terminal that names none voids in the batch it is in.
func batchOf(req *engine.HostRequest, terminal *iso8583.Message) uint32 {
	if batch, ok := terminal.SubUint(61, 0, 6); ok {
		return uint32(batch)
	}
	return req.Key.Batch
}

func (w *words) copyFields(b *iso8583.Builder, m *iso8583.Message, fields []int) {
	for _, n := range fields {
		if w.codec.Defines(n) {
			b.Copy(m, n)
		}
	}
}

func (w *words) approvalOf(b *iso8583.Builder, original *engine.OriginalData) {
	if original.Approval != "" && w.codec.Defines(38) {
		b.SetString(38, original.Approval)
	}
}

// privateTags copies the A-tags of DE59, such as a payment code, and nothing else of it.
func (w *words) privateTags(p *pen, terminal *iso8583.Message) {
	if !w.codec.Defines(59) {
		return
	}
	p.whole = terminal.AppendField(p.whole[:0], 59)
	p.value = appendATags(p.value[:0], p.whole)
	clear(p.whole) // it may hold a payment code
	if len(p.value) > 0 {
		p.builder.Set(59, p.value)
	}
}

// numbers sets what the switch says about itself: DE7, DE11, DE32, DE33 and DE37.
func (w *words) numbers(p *pen, req *engine.HostRequest) {
	b := &p.builder
	w.stamp(p, time.Unix(0, req.TransmittedAt), req.STAN)
	b.SetString(37, req.RRN)
}

func (w *words) stamp(p *pen, at time.Time, stan uint32) {
	b := &p.builder
	if w.codec.Defines(7) {
		p.value = at.In(w.cfg.Zone).AppendFormat(p.value[:0], transmission)
		b.Set(7, p.value)
	}
	b.SetDigits(11, uint64(stan), 6)
	if w.cfg.Acquirer != "" && w.codec.Defines(32) {
		b.SetString(32, w.cfg.Acquirer)
	}
	if w.cfg.Forwarder != "" && w.codec.Defines(33) {
		b.SetString(33, w.cfg.Forwarder)
	}
}

// transmission is the format of DE7.
const transmission = "0102150405"

// reversal writes 0400, or 0401 when it has been sent before, from what the switch keeps of a card: neither track nor PIN
// block. What it takes back may be a sale, a void, or a message of the pre-authorisation family: DE3 and the original say
// which. A refund is never reversed.
func (w *words) reversal(dst []byte, req *engine.HostRequest, card *keys.CardRecord) ([]byte, error) {
	p := w.pens.Get().(*pen)
	b := &p.builder
	mti := mtiReversal
	if req.Attempt > 1 {
		mti = mtiReversalRepeat
	}
	b.Reset(w.codec, mti)
	for _, f := range []struct {
		n     int
		value []byte
	}{
		{2, card.PAN}, {14, card.Expiry}, {22, card.EntryMode}, {23, card.Sequence}, {25, card.Condition},
		{49, card.Currency}, {55, card.ICC}, {60, card.POSData},
	} {
		if len(f.value) > 0 && w.codec.Defines(f.n) {
			b.Set(f.n, f.value)
		}
	}
	if len(card.QRCode) > 0 && w.codec.Defines(59) {
		p.value = fmt.Appendf(p.value[:0], "A3%03d%s", len(card.QRCode), card.QRCode)
		b.Set(59, p.value)
	}
	b.SetString(3, cmp.Or(req.Processing, "000000"))
	b.SetDigits(4, uint64(req.Amount), 12)
	w.approvalOf(b, &req.Original)
	b.SetString(39, req.Reason)
	b.Set(41, req.Key.Terminal[:])
	b.Set(42, req.Key.Merchant[:])
	w.original(p, &req.Original, originalMTI(req.Key.Class), req.Key.Batch)
	w.numbers(p, req)
	return w.sealed(dst, p)
}

// originalMTI is the type of what a reversal takes back, by the class of its key.
func originalMTI(class byte) iso8583.MTI {
	if class == '1' {
		return mtiPreauth
	}
	return mtiFinancial
}

// original names an earlier message to this network: DE61 = batch, STAN, date (pos-dialect §2), or DE90 = MTI, STAN, DE7,
// acquirer, forwarder.
func (w *words) original(p *pen, o *engine.OriginalData, mti iso8583.MTI, batch uint32) {
	at := time.Unix(0, o.TransmittedAt).In(w.cfg.Zone)
	if w.cfg.Original == "de61" {
		p.value = fmt.Appendf(p.value[:0], "%06d%06d%s", batch, o.STAN, at.Format("0102"))
		p.builder.Set(61, p.value)
		return
	}
	p.value = fmt.Appendf(p.value[:0], "%s%06d%s%011s%011s", mti, o.STAN, at.Format(transmission), w.cfg.Acquirer, w.cfg.Forwarder)
	p.builder.Set(90, p.value)
}

// key is what the answer to req will be matched by.
func (w *words) key(req *engine.HostRequest) matchKey {
	key := matchKey{reversal: req.Kind == engine.HostReversal}
	for _, n := range w.cfg.MatchKey {
		switch n {
		case 7:
			time.Unix(0, req.TransmittedAt).In(w.cfg.Zone).AppendFormat(key.de7[:0], transmission)
		case 11:
			iso8583.AppendDigits(key.de11[:0], uint64(req.STAN), len(key.de11))
		case 37:
			copy(key.de37[:], req.RRN)
		}
	}
	return key
}
