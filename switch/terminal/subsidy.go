package terminal

import (
	"bytes"

	"huanxin/internal/money"
	"huanxin/subsidy/label"
	"huanxin/subsidy/policy"
	"huanxin/switch/engine"
)

// Limits of DE59's values in bytes.
const (
	maxCode       = 32
	minBarcode    = 8 // GTIN-8
	maxBarcode    = 14
	maxSerial     = 64 // what may be sent; what is a serial, the label package says
	maxOrder      = 40
	maxKind       = 32
	maxComponents = 16
	maxPayCode    = 64
	minPayCode    = 12
	holdDigits    = 12
)

// subsidyTags are the values of DE59 that the switch reads; slices of the message, nil when absent.
type subsidyTags struct {
	code, barcode, serial, order, position, baidu, hold, delivery, oldItem, payCode []byte
	subsidyCount, subsidySum, activated                                             []byte

	components []policy.Component // made anew for each message: the engine keeps them

	any bool // a tag of the S family is there, whichever
}

func (t *subsidyTags) reset() { *t = subsidyTags{} }

// read takes DE59 apart. Tags that it does not know are left alone; one that stands twice, though it says one thing, is
// refused: which of the two would count?
func (t *subsidyTags) read(field59 []byte) *refusal {
	t.reset()
	for walk := (tags{rest: field59}); ; {
		name, value, ok, done := walk.next()
		if done {
			return nil
		}
		if !ok {
			return wrong(field(59))
		}
		t.any = t.any || name[0] == 'S'
		if string(name[:]) == tagComponent {
			if no := t.component(value); no != nil {
				return no
			}
			continue
		}
		slot := t.slot(string(name[:]))
		if slot == nil {
			continue
		}
		if *slot != nil || len(value) == 0 {
			return wrong(tag59(string(name[:])))
		}
		*slot = value
	}
}

func (t *subsidyTags) slot(name string) *[]byte {
	switch name {
	case tagCode:
		return &t.code
	case tagBarcode:
		return &t.barcode
	case tagSerial:
		return &t.serial
	case tagOrder:
		return &t.order
	case tagPosition:
		return &t.position
	case tagBaidu:
		return &t.baidu
	case tagHold:
		return &t.hold
	case tagDelivery:
		return &t.delivery
	case tagOldItem:
		return &t.oldItem
	case tagPayCode:
		return &t.payCode
	case tagSubsidyCount:
		return &t.subsidyCount
	case tagSubsidySum:
		return &t.subsidySum
	case tagActivated:
		return &t.activated
	}
	return nil
}

// component reads S6, kind=fen.
func (t *subsidyTags) component(value []byte) *refusal {
	kind, sum, found := bytes.Cut(value, []byte{'='})
	v := amount(sum)
	if !found || v < 0 || !word(kind, maxKind) || len(t.components) == maxComponents {
		return wrong(tag59(tagComponent))
	}
	t.components = append(t.components, policy.Component{Kind: string(kind), Amount: money.Amount(v)})
	return nil
}

// fill checks the tags of a reserve and puts them into the input. What only concerns the subsidy – an unknown barcode, a
// serial of the wrong form, a place that is none – is not malformed: the engine refuses it with its reason.
func (t *subsidyTags) fill(in *engine.ReserveRequest, h Hasher) *refusal {
	switch {
	case t.code == nil:
		return missing(tag59(tagCode))
	case len(t.code) > maxCode || !allDigits(t.code):
		return wrong(tag59(tagCode))
	case t.barcode == nil:
		return missing(tag59(tagBarcode))
	case len(t.barcode) < minBarcode || len(t.barcode) > maxBarcode || !allDigits(t.barcode):
		return wrong(tag59(tagBarcode))
	case len(t.serial) > maxSerial:
		return wrong(tag59(tagSerial))
	case len(t.order) > maxOrder || !printable(t.order):
		return wrong(tag59(tagOrder))
	case t.delivery != nil && (len(t.delivery) != 6 || !allDigits(t.delivery)):
		return wrong(tag59(tagDelivery))
	case t.oldItem != nil && !word(t.oldItem, maxKind):
		return wrong(tag59(tagOldItem))
	}
	in.Code = engine.Hash(h.Code(t.code))
	in.Barcode, in.Order = string(t.barcode), label.Reference(t.order)
	in.Delivery, in.OldItem = string(t.delivery), string(t.oldItem)
	in.Components = t.components
	if t.serial != nil {
		in.SerialMask = label.MaskSerial(t.serial)
		in.SerialOK, in.SerialIMEI = label.SerialForm(t.serial)
		in.Serial = engine.Hash(h.Serial(label.FoldSerial(t.serial)))
	}
	switch {
	case t.position != nil:
		in.Position = readPosition(t.position)
	case t.baidu != nil:
		in.Position = readBaidu(t.baidu)
	}
	return nil
}

// holdID reads S7; 0 when it is no hold id.
func (t *subsidyTags) holdID() uint64 {
	if len(t.hold) != holdDigits {
		return 0
	}
	return uint64(max(0, amount(t.hold)))
}

// mentions tells whether a DE59 that cannot be read may have been meant for this switch: it begins with a tag of the S
// family, or the name of the tag that counts stands somewhere in it.
func mentions(field59 []byte, name string) bool {
	return len(field59) > 1 && field59[0] == 'S' && alnum(field59[1]) || bytes.Contains(field59, []byte(name))
}

// word tells whether b is a name of the policy: 1 to max of a–z, 0–9, - and _, in either case.
func word(b []byte, max int) bool {
	for _, c := range b {
		if !isDigit(c) && (upper(c) < 'A' || upper(c) > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return len(b) > 0 && len(b) <= max
}
