package terminal

import (
	"bytes"
	"slices"

	"huanxin/internal/money"
	"huanxin/switch/event"
	"huanxin/switch/iso8583"
)

// tagAmount is 9F02 of DE55: amount authorised, n12, what the chip's cryptogram is over.
const tagAmount = 0x9F02

// reversalTags are what a reversal repeats of DE55: the verification results, the reader's number, issuer data, the
// counter, and the issuer script's result. The cryptogram is not among them.
var reversalTags = [...]uint32{0x95, 0x9F1E, 0x9F10, 0x9F36, 0xDF31}

const (
	minPAN = 8
	maxPAN = 19
)

// maxTemplates is how deep templates of DE55 may lie in one another. EMV has one in one.
const maxTemplates = 4

// certificateTags are what a certificate is verified with: the cryptogram itself, what it says of itself, and the data it
// is over (EMV book 2 §8.1.1).
var certificateTags = [...]uint32{0x9F26, 0x9F27, 0x9F02, 0x9F03, 0x9F1A, 0x5F2A, 0x9A, 0x9C, 0x9F37, 0x82, 0x9F33, 0x9F34}

func reversalTag(tag uint32) bool    { return slices.Contains(reversalTags[:], tag) }
func certificateTag(tag uint32) bool { return slices.Contains(certificateTags[:], tag) }

// icc reads DE55: 9F02 for the engine, and what a reversal will need.
func (r *reader) icc(sum *money.Amount) *refusal {
	kept, data, no := r.keptICC(false)
	if no != nil {
		return no
	}
	r.record.ICC = kept
	return iccAmount(data, sum, 0)
}

// keptICC returns the tags of DE55 that are kept, in scratch, and all of DE55: of the tags those of a reversal, and of a
// certificate also what it is verified with. No card number is among them.
func (r *reader) keptICC(certificate bool) (kept, data []byte, no *refusal) {
	if !r.m.Has(55) {
		return nil, nil, nil
	}
	data = unhexed(r.canonical(55))
	start := len(r.scratch)
	walk := iso8583.WalkTLV(data)
	for tag, value, ok := walk.Next(); ok; tag, value, ok = walk.Next() {
		if reversalTag(tag) || certificate && certificateTag(tag) {
			r.scratch = iso8583.AppendTLV(r.scratch, tag, value)
		}
	}
	kept = r.scratch[start:len(r.scratch):len(r.scratch)]
	if walk.Err() != nil || len(kept) > maxICC {
		return nil, nil, wrong(field(55))
	}
	return kept, data, nil
}

// iccAmount looks for 9F02 in every object, those in templates included: which of them the chip has signed, nobody here
// can tell, so all must say the same.
func iccAmount(data []byte, sum *money.Amount, depth int) *refusal {
	walk := iso8583.WalkTLV(data)
	for {
		tag, value, ok := walk.Next()
		switch {
		case !ok && walk.Err() != nil, ok && depth > maxTemplates:
			return wrong(field(55))
		case !ok:
			return nil
		case tag == tagAmount:
			v := bcdAmount(value)
			if v < 0 || *sum >= 0 && *sum != v {
				return wrong("域55标签9F02")
			}
			*sum = v
		case template(tag):
			if no := iccAmount(value, sum, depth+1); no != nil {
				return no
			}
		}
	}
}

// template tells whether a tag's object is made of objects: bit 6 of the tag's first byte (EMV book 3, annex B1).
func template(tag uint32) bool {
	for tag > 0xFF {
		tag >>= 8
	}
	return tag&0x20 != 0
}

// maxICC is what keys.CardRecord holds, and the most that is kept of a report.
const maxICC = 255

// unhexed undoes hexadecimal text: dialects that have no binary DE55 carry it so. Chip data in binary never consists of
// the characters 0–9 A–F alone: its tags begin with other bytes.
func unhexed(data []byte) []byte {
	if len(data)%2 != 0 {
		return data
	}
	for _, c := range data {
		if !isDigit(c) && (upper(c) < 'A' || upper(c) > 'F') {
			return data
		}
	}
	for i := 0; i < len(data); i += 2 {
		data[i/2] = hexDigit(data[i])<<4 | hexDigit(data[i+1])
	}
	return data[:len(data)/2]
}

func hexDigit(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return upper(c) - 'A' + 10
}

// bcdAmount reads an n12 of six bytes; −1 when it is none.
func bcdAmount(b []byte) money.Amount {
	if len(b) != 6 {
		return -1
	}
	v := int64(0)
	for _, x := range b {
		if x>>4 > 9 || x&0xF > 9 {
			return -1
		}
		v = v*100 + int64(x>>4)*10 + int64(x&0xF)
	}
	return money.Amount(v)
}

// card finds what is charged or given back – the card number of DE2 or track 2, or the payment code of a QR sale – and
// seals what a reversal needs of it. The track itself is not in the record: it never touches the disk.
func (r *reader) card(mode [3]byte) (card *event.Card, qr bool, no *refusal) {
	entry := string(mode[:2])
	pan, no := r.pan()
	if no != nil {
		return nil, false, no
	}
	code := r.tags.payCode
	qr = entry == "03" || pan == nil && code != nil && entry != "02" && entry != "05" && entry != "07"
	switch {
	case qr && code == nil:
		return nil, false, missing(tag59(tagPayCode))
	case qr && !payCode(code):
		return nil, false, wrong(tag59(tagPayCode))
	case !qr && pan == nil:
		return nil, false, missing("卡号（域2或域35）")
	}
	if qr {
		r.record.QRCode = code
	} else {
		r.record.PAN = pan
	}
	for _, f := range []struct {
		n, size int
		to      *[]byte
	}{
		{14, 4, &r.record.Expiry}, {22, 3, &r.record.EntryMode}, {23, 3, &r.record.Sequence},
		{25, 2, &r.record.Condition}, {49, 3, &r.record.Currency}, {60, 0, &r.record.POSData},
	} {
		v := r.canonical(f.n)
		if v != nil && (!allDigits(v) || f.size > 0 && len(v) != f.size) {
			return nil, false, wrong(field(f.n))
		}
		*f.to = v
	}
	card, err := r.front.cfg.Vault.SealCard(&r.record)
	if err != nil {
		r.front.sealFailed(err)
		return nil, false, overload
	}
	return card, qr, nil
}

// pan returns the card number of DE2 or, without it, of track 2; nil when there is neither. When there are both they
// must agree. The check digit is not looked at: it is the issuer's affair.
func (r *reader) pan() ([]byte, *refusal) {
	pan := r.canonical(2)
	if pan != nil && (len(pan) < minPAN || len(pan) > maxPAN || !allDigits(pan)) {
		return nil, wrong(field(2))
	}
	track := r.canonical(35)
	if track == nil {
		return pan, nil
	}
	number := trackNumber(track)
	if number == nil {
		if pan != nil { // an enciphered track: the host's to read
			return pan, nil
		}
		return nil, wrong(field(35))
	}
	if pan != nil && !bytes.Equal(pan, number) {
		return nil, &refusal{malformed, "域2与域35卡号不一致"}
	}
	return number, nil
}

// trackNumber returns the card number of a track 2, nil when there is none to be read.
func trackNumber(track []byte) []byte {
	number, _, found := bytes.Cut(track, []byte{'D'})
	if !found || len(number) < minPAN || len(number) > maxPAN || !allDigits(number) {
		return nil
	}
	return number
}

// payCode checks the form of a wallet's payment code.
func payCode(b []byte) bool {
	if len(b) < minPayCode || len(b) > maxPayCode {
		return false
	}
	for _, c := range b {
		if !isDigit(c) && (upper(c) < 'A' || upper(c) > 'Z') {
			return false
		}
	}
	return true
}
