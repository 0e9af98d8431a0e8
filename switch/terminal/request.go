package terminal

import (
	"bytes"
	"errors"

	"huanxin/internal/money"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/iso8583"
	"huanxin/switch/keys"
)

// pinRefused is the answer to DE52 while there are no keys to translate it with.
const pinRefused = "演示模式不受理密码，请勿输入密码"

// zeroAmount is the answer to a message that is to move nothing.
const zeroAmount = "金额不能为零"

// reader turns a parsed message into an engine input. It belongs to one goroutine at a time and keeps nothing between
// messages: what it collects for hashing and sealing is wiped.
type reader struct {
	front   *Front
	x       *exchange
	m       *iso8583.Message
	offer   *offer // of a financial message; nil for a reversal of something that is not offered
	tags    subsidyTags
	record  keys.CardRecord
	scratch []byte     // canonical values of the message
	content [][]byte   // slices of scratch: what its hash is over
	fields  [12][]byte // what content grows in
	mac     [macSize]byte
}

// reads are the readers of each kind.
var reads = [kindCount]func(*reader) (any, *refusal){
	kindSignOn: (*reader).session, kindSignOff: (*reader).session, kindEcho: (*reader).session,
	kindReserve: (*reader).reserve, kindCancel: (*reader).cancel, kindStatus: (*reader).status,
	kindSale: (*reader).sale, kindPreAuth: (*reader).preAuth, kindBalance: (*reader).balance,
	kindVoid: (*reader).void, kindRefund: (*reader).refund, kindReversal: (*reader).reversal,
	kindSettlement: (*reader).settlement, kindUpload: (*reader).upload, kindUploadEnd: (*reader).uploadEnd,
	kindReport: (*reader).report,
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
	if r.tooMany() {
		return nil, overload
	}
	if err != nil {
		bad, _ := err.(*iso8583.ParseError)
		return nil, misparsed(bad)
	}
	no = r.classify(mti)
	if x.port.Line != nil {
		if bad := r.guard(); bad != nil { // also of what is not offered: its answer has no MAC then
			return nil, bad
		}
	}
	if no != nil {
		return nil, no
	}
	if turn := r.front.cfg.TurnsAway; turn != nil && (x.kind == kindReserve || x.kind == kindBalance) && turn() {
		return nil, overload
	}
	if r.m.Has(52) && x.port.Line == nil {
		return nil, notOffered(pinRefused)
	}
	if r.m.Has(52) && !takesPIN[x.kind] && x.kind != kindReversal { // a reversal must not fail over what it does not need
		return nil, pinUnwanted
	}
	if no := r.require(required[x.kind]...); no != nil {
		return nil, no
	}
	if x.kind != kindReversal && r.m.Has(49) && !r.m.Equal(49, "156") {
		return nil, notOffered("仅支持人民币交易")
	}
	return reads[x.kind](r)
}

// tooMany tells whether the sender, or the terminal behind it, has sent more than it may. It comes before everything that costs
// anything; what the terminal says of itself is not proved yet, which is why it is counted behind its sender only.
func (r *reader) tooMany() bool {
	limits, source := &r.front.cfg.Limits, r.x.conn.Source()
	if !source.Limited() {
		return false
	}
	if !limits.Messages.Allow(source.Number(), r.x.at) {
		r.front.m.limited[limitedSource].Inc()
		return true
	}
	var name [8]byte
	r.m.CopyField(name[:], 41)
	if !limits.Terminals.Allow(limits.Sources.Within(source, name[:]), r.x.at) {
		r.front.m.limited[limitedTerminal].Inc()
		return true
	}
	return false
}

// require refuses a message that lacks one of the fields.
func (r *reader) require(fields ...int) *refusal {
	for _, n := range fields {
		if r.m.Len(n) == 0 {
			return missing(field(n))
		}
	}
	return nil
}

// request tells whether an MTI is one that has an answer: ISO 8583:1987, a class, and a function that asks. To answer an
// answer would never end.
func request(mti iso8583.MTI) bool {
	return mti>>12 == 0 && mti>>8&0xF != 0 && mti>>4&1 == 0
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
		if no := r.signOn(&in); no != nil {
			return nil, no
		}
		return &in, nil
	case kindSignOff:
		batch, ok := r.m.SubUint(60, 2, 6)
		if !ok {
			return nil, wrong(field(60))
		}
		return &engine.SignOffRequest{Token: in.Token, Key: engine.Key{
			Class: '8', Terminal: in.Terminal, Merchant: in.Merchant, Batch: uint32(batch), STAN: in.STAN,
		}}, nil
	}
	out := engine.EchoRequest(in)
	return &out, nil
}

// signOn reads what proves a terminal, and makes its working keys ready.
func (r *reader) signOn(in *engine.SignOnRequest) *refusal {
	serial, no := terminalSerial(r.canonical(62))
	if no != nil {
		return no
	}
	if serial != nil {
		in.Serial = engine.Hash(r.front.cfg.Hasher.Serial(serial))
	}
	l := r.x.port.Line
	if l == nil {
		return nil
	}
	layout, ok := l.form(r.code603())
	if !ok {
		return notOffered("不支持的签到密钥类型")
	}
	var err error
	r.x.delivery, in.Keys, err = r.front.prepare(in.Terminal, l, layout)
	switch {
	case errors.Is(err, ErrNoMaster):
		return &refusal{notSecured, "终端主密钥未登记"}
	case err != nil:
		r.front.keyFailed(err)
		return &refusal{notSecured, "工作密钥生成失败"}
	}
	return nil
}

// terminalSerial reads DE62 of a sign-on (pos-dialect §2): a name, the length in two digits, the serial number. Any other content is
// another maker's, and nil.
func terminalSerial(value []byte) ([]byte, *refusal) {
	rest, found := bytes.CutPrefix(value, []byte("Sequence No"))
	if !found {
		return nil, nil
	}
	if len(rest) < 2 || !allDigits(rest[:2]) {
		return nil, wrong(field(62))
	}
	size := int(rest[0]-'0')*10 + int(rest[1]-'0')
	if size == 0 || len(rest) != 2+size || !printable(rest) {
		return nil, wrong(field(62))
	}
	return rest[2:], nil
}

func (r *reader) reserve() (any, *refusal) {
	if r.x.reserve == nil {
		r.x.reserve = new(engine.ReserveRequest)
	}
	in := r.x.reserve
	in.Token = r.token()
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
	in := &engine.SaleRequest{Token: r.token(), ICCAmount: -1}
	if no := r.payment(in, '2'); no != nil {
		return nil, no
	}
	if no := r.saleTags(in); no != nil {
		return nil, no
	}
	if no := r.charge(in); no != nil {
		return nil, no
	}
	in.Content = r.hashContent()
	return in, nil
}

// preAuth reads a message of the pre-authorisation family, which passes to the host. A subsidy is decided on a price that
// is final, so a message that speaks of one is not offered.
func (r *reader) preAuth() (any, *refusal) {
	in := &engine.SaleRequest{Token: r.token(), ICCAmount: -1, Kind: r.offer.sale}
	var more []int
	switch in.Kind {
	case event.SaleKind_SALE_KIND_PREAUTH_VOID, event.SaleKind_SALE_KIND_COMPLETION:
		more = []int{38, 61}
	case event.SaleKind_SALE_KIND_COMPLETION_VOID:
		more = []int{61}
	}
	if no := r.require(more...); no != nil {
		return nil, no
	}
	if no := r.payment(in, byte('0'+r.offer.mti>>8)); no != nil {
		return nil, no
	}
	if r.m.Has(59) {
		value := r.canonical(59)
		no := r.tags.read(value)
		if no == nil && r.tags.any || no != nil && mentions(value, tagHold) {
			return nil, notOffered("预授权类交易不支持补贴")
		}
		if no != nil {
			r.tags.reset()
		}
	}
	if no := r.charge(in); no != nil {
		return nil, no
	}
	r.collect(37, 38, 61)
	r.collectUse()
	in.Content = r.hashContent()
	return in, nil
}

// payment reads what every message over an amount begins with: key, DE4, DE22.
func (r *reader) payment(in *engine.SaleRequest, class byte) *refusal {
	if no := r.key(&in.Key, class); no != nil {
		return no
	}
	if no := r.amount(&in.Amount); no != nil {
		return no
	}
	return r.entryMode(&in.EntryMode)
}

// charge reads the card and the chip data of a message that charges it.
func (r *reader) charge(in *engine.SaleRequest) *refusal {
	if no := r.icc(&in.ICCAmount); no != nil {
		return no
	}
	card, qr, no := r.card(in.EntryMode)
	if no != nil {
		return no
	}
	in.Card, in.QR, in.Host = card, qr, r.host(qr)
	return r.pin(in.Host, qr, r.record.PAN)
}

// host is the profile that a card or payment code is routed to.
func (r *reader) host(qr bool) string {
	if qr {
		return r.front.cfg.QRHost
	}
	return r.front.cfg.Host
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
		if mentions(value, tagHold) || in.EntryMode[0] == '0' && in.EntryMode[1] == '3' {
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

// reversal reads 0400. Its key is its original's, class included: DE3 and 60.1 say which class that was.
func (r *reader) reversal() (any, *refusal) {
	in := &engine.ReversalRequest{Token: r.token()}
	class := byte('2')
	if r.offer != nil {
		class = byte('0' + r.offer.mti>>8)
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

// party reads DE41 and DE42. Who speaks for a terminal that its certificate does not name is refused, whatever it asks.
func (r *reader) party(terminal *[8]byte, merchant *[15]byte) *refusal {
	if r.m.CopyField(terminal[:], 41) != len(terminal) || !printable(terminal[:]) {
		return wrong(field(41))
	}
	if !r.x.conn.Peer().Admits(terminal[:]) {
		r.front.m.impostors.Inc()
		return &refusal{unregistered, "终端号与证书不符"}
	}
	if r.m.CopyField(merchant[:], 42) != len(merchant) || !printable(merchant[:]) {
		return wrong(field(42))
	}
	return nil
}

// key reads the identity of a message that is remembered: class, DE41, DE42, 60.2, DE11.
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

// amount reads DE4 of a message that moves money.
func (r *reader) amount(to *money.Amount) *refusal {
	v, ok := r.m.Uint(4)
	if !ok {
		return wrong(field(4))
	}
	if v == 0 {
		return &refusal{badAmount, zeroAmount}
	}
	*to = money.Amount(v)
	return nil
}

func (r *reader) entryMode(to *[3]byte) *refusal {
	if r.m.CopyField(to[:], 22) != len(to) || !allDigits(to[:]) {
		return wrong(field(22))
	}
	return nil
}

// collect adds fields to what the hash of the message's content is over. Absent ones count as such.
func (r *reader) collect(fields ...int) {
	for _, n := range fields {
		r.content = append(r.content, r.canonical(n))
	}
}

// collectUse adds 60.1, where the other fields do not tell one kind of message from another.
func (r *reader) collectUse() {
	at := len(r.scratch)
	r.scratch, _ = r.m.AppendSub(r.scratch, 60, 0, 2)
	r.content = append(r.content, r.scratch[at:len(r.scratch):len(r.scratch)])
}

// hashContent hashes what makes a resend of a financial message the same request: DE2, 3, 4, 22 and 59, and before them
// what was collected. Where the card number is in track 2 alone it counts as DE2: another card under the same number is
// another request. A payment code is in DE59.
func (r *reader) hashContent() engine.Hash {
	number := len(r.content)
	r.collect(2, 3, 4, 22, 59)
	if r.content[number] == nil {
		r.content[number] = trackNumber(r.canonical(35))
	}
	return r.hashCollected()
}

// hashCollected hashes what was collected, and only that.
func (r *reader) hashCollected() engine.Hash {
	return engine.Hash(r.front.cfg.Hasher.Content(r.content...))
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
	r.fields = [len(r.fields)][]byte{}
	r.content = r.fields[:0]
	r.record = keys.CardRecord{}
	r.tags.reset()
	r.x, r.m, r.offer = nil, nil, nil
}

// scratchSize holds every field that canonical is asked for: DE2, 3, 4, 14, 22, 23, 25, 35, 37, 38, 48, 49, 55, 58, 59, 60,
// 61 and 62 at their largest, some twice, in the dialects that come with the program. No kind of message reads them all.
const scratchSize = 8192

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
