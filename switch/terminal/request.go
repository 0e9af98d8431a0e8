package terminal

import (
	"huanxin/internal/money"
	"huanxin/switch/engine"
	"huanxin/switch/iso8583"
	"huanxin/switch/keys"
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
	kindSale
	kindReversal
	kindCount
)

var kindNames = [kindCount]string{"unknown", "sign-on", "sign-off", "echo", "reserve", "cancel", "sale", "reversal"}

func (k kind) String() string { return kindNames[k] }

// required are the fields without which a message is answered 30, beside those by which its kind is recognised.
var required = [kindCount][]int{
	kindSignOn:   {11, 41, 42, 60},
	kindSignOff:  {11, 41, 42, 60},
	kindEcho:     {41, 42, 60},
	kindReserve:  {3, 4, 11, 41, 42, 59, 60},
	kindCancel:   {3, 11, 41, 42, 59, 60},
	kindSale:     {3, 4, 11, 22, 25, 41, 42, 49, 60},
	kindReversal: {3, 4, 11, 39, 41, 42, 60},
}

// pinRefused is the answer to DE52 while there are no keys to translate it with.
const pinRefused = "演示模式不受理密码，请勿输入密码"

// reader turns a parsed message into an engine input. It belongs to one goroutine at a time and keeps nothing between
// messages: what it collects for hashing and sealing is wiped.
type reader struct {
	front   *Front
	x       *exchange
	m       *iso8583.Message
	tags    subsidyTags
	record  keys.CardRecord
	scratch []byte    // canonical values of the message
	content [5][]byte // slices of scratch
}

// read parses and judges the message of x. It returns the engine input, or the refusal to answer with.
func (r *reader) read(x *exchange) (body any, no *refusal) {
	r.x, r.m = x, &x.msg
	defer r.wipe()
	err := x.port.Codec.Parse(x.message(), r.m)
	mti := r.m.MTI()
	if !request(mti) {
		return nil, unreadable()
	}
	if err != nil {
		bad, _ := err.(*iso8583.ParseError)
		return nil, misparsed(bad)
	}
	if no := r.classify(mti); no != nil {
		return nil, no
	}
	if r.m.Has(52) {
		return nil, notOffered(pinRefused)
	}
	for _, n := range required[x.kind] {
		if r.m.Len(n) == 0 {
			return nil, missing(field(n))
		}
	}
	if r.m.Has(49) && !r.m.Equal(49, "156") {
		return nil, notOffered("仅支持人民币交易")
	}
	switch x.kind {
	case kindSignOn, kindSignOff, kindEcho:
		return r.session()
	case kindReserve:
		return r.reserve()
	case kindCancel:
		return r.cancel()
	case kindSale:
		return r.sale()
	}
	return r.reversal()
}

// request tells whether an MTI is one that has an answer: ISO 8583:1987, a class, and a function that asks. To answer an
// answer would never end.
func request(mti iso8583.MTI) bool {
	return mti>>12 == 0 && mti>>8&0xF != 0 && mti>>4&1 == 0
}

// classify recognises what the message asks for by MTI, DE3 and DE60. The last digit of the MTI, which marks a repeat,
// makes no difference: repeats are recognised by their key.
func (r *reader) classify(mti iso8583.MTI) *refusal {
	mti &^= 0x000F
	switch mti {
	case 0x0800, 0x0820:
		return r.classifySession(mti)
	case 0x0100, 0x0200, 0x0400:
	default:
		return notOffered("不支持的报文类型")
	}
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
	reserving := r.m.Equal(3, "390000") && (use == 96 || use == 97)
	selling := r.m.Equal(3, "000000") && use == 22
	switch {
	case mti == 0x0400 && (reserving || selling):
		r.x.kind = kindReversal
	case mti == 0x0100 && reserving && use == 96:
		r.x.kind = kindReserve
	case mti == 0x0100 && reserving:
		r.x.kind = kindCancel
	case mti == 0x0200 && selling:
		r.x.kind = kindSale
	default:
		return notOffered("暂不支持该交易类型")
	}
	return nil
}

func (r *reader) classifySession(mti iso8583.MTI) *refusal {
	if r.m.Len(60) == 0 {
		return missing(field(60))
	}
	code, ok := r.m.SubUint(60, 8, 3)
	if !ok {
		return wrong(field(60))
	}
	switch {
	case code == 301:
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

func (r *reader) session() (any, *refusal) {
	in := engine.SignOnRequest{Token: r.token()}
	stan, ok := r.m.Uint(11)
	if !ok && r.m.Has(11) {
		return nil, wrong(field(11))
	}
	in.STAN = uint32(stan)
	if no := r.party(&in.Terminal, &in.Merchant); no != nil {
		return nil, no
	}
	switch r.x.kind {
	case kindSignOn:
		return &in, nil
	case kindSignOff:
		out := engine.SignOffRequest(in)
		return &out, nil
	}
	out := engine.EchoRequest(in)
	return &out, nil
}

func (r *reader) reserve() (any, *refusal) {
	in := &engine.ReserveRequest{Token: r.token()}
	if no := r.key(&in.Key, '1'); no != nil {
		return nil, no
	}
	price, ok := r.m.Uint(4)
	if !ok {
		return nil, wrong(field(4))
	}
	in.Price = money.Amount(price)
	if no := r.tags.read(r.canonical(59)); no != nil {
		return nil, no
	}
	if no := r.tags.fill(in, r.front.cfg.Hasher); no != nil {
		return nil, no
	}
	if !in.Position.Given && r.m.Has(58) {
		in.Position = readField58(r.canonical(58), r.x.port.Positions)
	}
	in.Content = r.hashContent()
	return in, nil
}

func (r *reader) cancel() (any, *refusal) {
	in := &engine.CancelRequest{Token: r.token()}
	if no := r.key(&in.Key, '1'); no != nil {
		return nil, no
	}
	if no := r.tags.read(r.canonical(59)); no != nil {
		return nil, no
	}
	if r.tags.hold == nil {
		return nil, missing(tag59(tagHold))
	}
	in.Hold = r.tags.holdID()
	if in.Hold == 0 {
		return nil, wrong(tag59(tagHold))
	}
	in.Content = r.hashContent()
	return in, nil
}

func (r *reader) sale() (any, *refusal) {
	in := &engine.SaleRequest{Token: r.token(), ICCAmount: -1, Host: r.front.cfg.Host}
	if no := r.key(&in.Key, '2'); no != nil {
		return nil, no
	}
	amount, ok := r.m.Uint(4)
	if !ok {
		return nil, wrong(field(4))
	}
	if amount == 0 {
		return nil, &refusal{badAmount, "金额不能为零"}
	}
	in.Amount = money.Amount(amount)
	if r.m.CopyField(in.EntryMode[:], 22) != len(in.EntryMode) || !allDigits(in.EntryMode[:]) {
		return nil, wrong(field(22))
	}
	if no := r.saleTags(in); no != nil {
		return nil, no
	}
	if no := r.icc(in); no != nil {
		return nil, no
	}
	if no := r.card(in); no != nil {
		return nil, no
	}
	if in.QR {
		in.Host = r.front.cfg.QRHost
	}
	in.Content = r.hashContent()
	return in, nil
}

// saleTags reads DE59 of a sale. An ordinary sale may carry a DE59 of another make, which goes to the host as it is; but
// a message that speaks of a subsidy and names no hold is never taken for an ordinary sale: that would charge the gross
// price to a buyer who was promised a subsidy.
func (r *reader) saleTags(in *engine.SaleRequest) *refusal {
	if !r.m.Has(59) {
		return nil
	}
	value := r.canonical(59)
	if no := r.tags.read(value); no != nil {
		if mentionsSubsidy(value) || in.EntryMode[0] == '0' && in.EntryMode[1] == '3' {
			return no
		}
		r.tags.reset()
		return nil
	}
	if r.tags.hold == nil {
		if r.tags.any {
			return missing(tag59(tagHold))
		}
		return nil
	}
	if in.Hold = r.tags.holdID(); in.Hold == 0 {
		return wrong(tag59(tagHold))
	}
	return nil
}

func (r *reader) reversal() (any, *refusal) {
	in := &engine.ReversalRequest{Token: r.token()}
	class := byte('2')
	if r.m.Equal(3, "390000") {
		class = '1'
	}
	if no := r.key(&in.Original, class); no != nil {
		return nil, no
	}
	amount, ok := r.m.Uint(4)
	if !ok {
		return nil, wrong(field(4))
	}
	in.Amount = money.Amount(amount)
	in.Cause = r.cause()
	in.Content = r.hashContent()
	return in, nil
}

// cause reads the reason of a reversal. One that the dialect does not know is taken as 06, other: a reversal must not
// fail over its reason, for as long as it fails the buyer's money is gone.
func (r *reader) cause() (cause [2]byte) {
	if r.m.CopyField(cause[:], 39) == len(cause) {
		switch string(cause[:]) {
		case "98", "96", "A0", "06":
			return cause
		case "68", "Q8": // other acquirers' codes for no answer in time
			return [2]byte{'9', '8'}
		}
	}
	return [2]byte{'0', '6'}
}

func (r *reader) token() engine.Token { return engine.Token(r.x.token.Load()) }

// party reads DE41 and DE42.
func (r *reader) party(terminal *[8]byte, merchant *[15]byte) *refusal {
	if r.m.CopyField(terminal[:], 41) != len(terminal) || !printable(terminal[:]) {
		return wrong(field(41))
	}
	if r.m.CopyField(merchant[:], 42) != len(merchant) || !printable(merchant[:]) {
		return wrong(field(42))
	}
	return nil
}

// key reads the identity of a financial message: class, DE41, DE42, 60.2, DE11.
func (r *reader) key(k *engine.Key, class byte) *refusal {
	stan, ok := r.m.Uint(11)
	if !ok {
		return wrong(field(11))
	}
	batch, ok := r.m.SubUint(60, 2, 6)
	if !ok {
		return wrong(field(60))
	}
	k.Class, k.STAN, k.Batch = class, uint32(stan), uint32(batch)
	return r.party(&k.Terminal, &k.Merchant)
}

// hashContent hashes what makes a resend the same request: DE2, 3, 4, 22 and 59. Where the card number is in track 2 alone
// it counts as DE2: another card under the same number is another request. A payment code is in DE59.
func (r *reader) hashContent() engine.Hash {
	for i, n := range [...]int{2, 3, 4, 22, 59} {
		r.content[i] = r.canonical(n)
	}
	if r.content[0] == nil {
		r.content[0] = trackNumber(r.canonical(35))
	}
	return engine.Hash(r.front.cfg.Hasher.Content(r.content[:]...))
}

// canonical returns the canonical form of a field in scratch, nil when it is absent.
func (r *reader) canonical(n int) []byte {
	if !r.m.Has(n) {
		return nil
	}
	at := len(r.scratch)
	r.scratch = r.m.AppendField(r.scratch, n)
	return r.scratch[at:len(r.scratch):len(r.scratch)]
}

// wipe forgets the message: scratch held the card number and the track. A scratch that has grown leaves its former
// array to the collector, so it is made large enough not to.
func (r *reader) wipe() {
	clear(r.scratch)
	if cap(r.scratch) < scratchSize {
		r.scratch = make([]byte, 0, scratchSize)
	}
	r.scratch = r.scratch[:0]
	r.content = [5][]byte{}
	r.record = keys.CardRecord{}
	r.tags.reset()
	r.x, r.m = nil, nil
}

// scratchSize holds every field that canonical is asked for: DE2, 3, 4, 14, 22, 23, 25, 35, 49, 55, 58, 59 and 60 at their
// largest, some twice, in the dialects that come with the program.
const scratchSize = 8192

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
