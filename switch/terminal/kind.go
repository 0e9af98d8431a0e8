package terminal

import (
	"huanxin/switch/event"
	"huanxin/switch/iso8583"
)

// kind is what a message asks for. It is the label of metrics.
type kind uint8

const (
	kindUnknown kind = iota
	kindSignOn
	kindSignOff
	kindEcho
	kindReserve
	kindCancel
	kindStatus
	kindSale
	kindPreAuth // a message of the pre-authorisation family
	kindBalance
	kindVoid
	kindRefund
	kindReversal
	kindSettlement
	kindUpload
	kindUploadEnd
	kindReport
	kindCount
)

var kindNames = [kindCount]string{"unknown", "sign-on", "sign-off", "echo", "reserve", "cancel", "status", "sale",
	"pre-authorisation", "balance", "void", "refund", "reversal", "settlement", "upload", "upload-end", "report"}

func (k kind) String() string { return kindNames[k] }

// required are the fields without which a message is answered 30, beside those by which its kind is recognised. What
// only some messages of a kind need, its reader demands.
var required = [kindCount][]int{
	kindSignOn:     {11, 41, 42, 60},
	kindSignOff:    {11, 41, 42, 60},
	kindEcho:       {41, 42, 60},
	kindReserve:    {3, 4, 11, 41, 42, 59, 60},
	kindCancel:     {3, 11, 41, 42, 59, 60},
	kindStatus:     {3, 11, 41, 42, 60},
	kindSale:       {3, 4, 11, 22, 25, 41, 42, 49, 60},
	kindPreAuth:    {3, 4, 11, 22, 25, 41, 42, 49, 60},
	kindBalance:    {3, 11, 22, 25, 41, 42, 49, 60},
	kindVoid:       {3, 4, 11, 22, 25, 41, 42, 49, 60, 61},
	kindRefund:     {3, 4, 11, 22, 25, 37, 41, 42, 49, 60, 61},
	kindReversal:   {3, 4, 11, 39, 41, 42, 60},
	kindSettlement: {11, 41, 42, 48, 60},
	kindUpload:     {11, 41, 42, 48, 60},
	kindUploadEnd:  {11, 41, 42, 48, 60},
	kindReport:     {11, 41, 42, 60},
}

// offer is one financial message that terminals may send: MTI, DE3 and 60.1 name it (pos-dialect §3).
type offer struct {
	mti     iso8583.MTI
	process string // DE3
	use     uint64 // 60.1
	kind    kind
	sale    event.SaleKind // of the pre-authorisation family
}

// offers begin with what is sent most.
var offers = [...]offer{
	{0x0200, "000000", 22, kindSale, 0},
	{0x0100, "390000", 96, kindReserve, 0},
	{0x0100, "390000", 97, kindCancel, 0},
	{0x0100, "390000", 98, kindStatus, 0},
	{0x0200, "200000", 23, kindVoid, 0},
	{0x0220, "200000", 25, kindRefund, 0},
	{0x0200, "310000", 1, kindBalance, 0},
	{0x0100, "030000", 10, kindPreAuth, event.SaleKind_SALE_KIND_PREAUTH},
	{0x0100, "200000", 11, kindPreAuth, event.SaleKind_SALE_KIND_PREAUTH_VOID},
	{0x0200, "000000", 20, kindPreAuth, event.SaleKind_SALE_KIND_COMPLETION},
	{0x0200, "200000", 21, kindPreAuth, event.SaleKind_SALE_KIND_COMPLETION_VOID},
}

// notTaken are the uses (60.1) that terminals know and the switch does not take: a sale that nobody has authorised yet
// cannot carry a subsidy, and its host link knows no notice. Each is named, so that the till's maker need not guess.
var notTaken = map[uint64]string{
	24: "不支持预授权完成通知，请联机完成",
	30: "不支持离线消费",
	32: "不支持离线调整",
	34: "不支持小费",
}

// classify recognises what the message asks for by MTI, DE3 and DE60. The last digit of the MTI, which marks a repeat,
// makes no difference: repeats are recognised by their key.
func (r *reader) classify(mti iso8583.MTI) *refusal {
	mti &^= 0x000F
	switch mti {
	case 0x0100, 0x0200, 0x0220, 0x0400:
		return r.classifyFinancial(mti)
	case 0x0320, 0x0500, 0x0620, 0x0800, 0x0820:
		return r.classifyManagement(mti)
	}
	return notOffered("不支持的报文类型")
}

func (r *reader) classifyFinancial(mti iso8583.MTI) *refusal {
	if r.m.Len(3) == 0 {
		return missing(field(3))
	}
	if r.m.Len(60) == 0 {
		return missing(field(60))
	}
	use, ok := r.m.SubUint(60, 0, 2)
	if _, batch := r.m.SubUint(60, 2, 6); !ok || !batch {
		return wrong(field(60))
	}
	if mti == 0x0400 {
		// Whatever it is about, it has an answer: at the least that there is nothing to reverse. A till whose original was
		// refused at the door and who did not see that would else send its reversal for ever.
		r.x.kind = kindReversal
		r.offer = r.offered(0, use)
		return nil
	}
	if text, known := notTaken[use]; known {
		return notOffered(text)
	}
	if r.offer = r.offered(mti, use); r.offer == nil {
		return notOffered("不支持的交易类型")
	}
	r.x.kind = r.offer.kind
	return nil
}

// offered returns the offer of these names, nil when there is none. No MTI means any.
func (r *reader) offered(mti iso8583.MTI, use uint64) *offer {
	for i := range offers {
		o := &offers[i]
		if o.use == use && (mti == 0 || o.mti == mti) && r.m.Equal(3, o.process) {
			return o
		}
	}
	return nil
}

// classifyManagement recognises by 60.3 what is no purchase: sessions, the end of a batch, and what terminals report.
func (r *reader) classifyManagement(mti iso8583.MTI) *refusal {
	if r.m.Len(60) == 0 {
		return missing(field(60))
	}
	code, ok := r.m.SubUint(60, 8, 3)
	if mti == 0x0620 { // its 60.3 differs from maker to maker
		ok = r.m.Len(60) >= 8
	}
	if !ok {
		return wrong(field(60))
	}
	switch {
	case mti == 0x0620:
		r.x.kind = kindReport
	case mti == 0x0500 && code == 201:
		r.x.kind = kindSettlement
	case mti == 0x0320 && code == 201:
		r.x.kind = kindUpload
	case mti == 0x0320 && (code == 202 || code == 207):
		r.x.kind = kindUploadEnd
	case mti == 0x0320 && code >= 203 && code <= 206, mti == 0x0820 && code >= 360 && code <= 362:
		r.x.kind = kindReport
	case mti >= 0x0800 && code == 301:
		r.x.kind = kindEcho
	case mti == 0x0800 && (code == 1 || code >= 3 && code <= 6):
		r.x.kind = kindSignOn
	case mti == 0x0820 && code == 2:
		r.x.kind = kindSignOff
	default:
		return notOffered("不支持的管理交易")
	}
	return nil
}
