package drill

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"huanxin/internal/money"
	"huanxin/internal/simulator/load"
	"huanxin/internal/simulator/till"
	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

// Sample ids of the Liaoning programme that the drills use; the README lists more.
const (
	applianceTerminal = "21010001"
	otherTerminal     = "21010002"
	applianceMerchant = "898210157220001"
	digitalTerminal   = "21010004"
	digitalMerchant   = "898210157320002"
	huludaoTerminal   = "21140001" // its dishwasher leaf holds 1 500 yuan
	huludaoMerchant   = "898211457220001"
	refrigerator      = "6901234567892" // A01, grade 1: 20 %
	dearPhone         = "6901234107777" // B01, 8 999 yuan, ceiling 6 000
	dishwasher        = "6901234105926" // A10, grade 1: 20 %
	shenyang          = "210100"
	huludao           = "211400"
	firstBatch        = 1

	refrigeratorPrice = money.Amount(599900)
	dishwasherPrice   = money.Amount(499900)
)

// What no registry knows and no terminal uses.
const (
	strangerTerminal = "99999999"
	strangerMerchant = "999999999999999"
	strangerSTAN     = 900001
)

// closedUnanswered stands for DE39 where the switch ended the connection without an answer.
const closedUnanswered = "closed"

// microDegrees are in one degree.
const microDegrees = 1_000_000

// spot is a place in WGS-84 micro-degrees.
type spot struct{ lon, lat int }

var (
	inShenyang = spot{123_429400, 41_796400}
	inHuludao  = spot{120_840000, 40_710000}
	inBeijing  = spot{116_397000, 39_909000}
)

func (s spot) position() *till.Position {
	return &till.Position{
		CRS: "WGS84", Lon: float64(s.lon) / microDegrees, Lat: float64(s.lat) / microDegrees, AgeSeconds: 5,
	}
}

// Outcome is what the switch did with one piece of bad input. Code is DE39, or "closed" when the connection was ended
// without an answer; Reason is the stable name of a refusal, or the cause by which the close was counted.
type Outcome struct {
	Input        string
	Code, Reason string
	Said         string // what the cashier reads
	Want         [2]string
	Err          error
}

// OK reports whether it was refused as documented.
func (o Outcome) OK() bool { return o.Err == nil && o.Want == [2]string{o.Code, o.Reason} }

func (o Outcome) String() string {
	reason := o.Reason
	if reason == "" {
		reason = "–"
	}
	text := strings.TrimSpace(fmt.Sprintf("bad-input %-37s code %-6s reason %-19s %s", o.Input, o.Code, reason, o.Said))
	switch {
	case o.Err != nil:
		text += fmt.Sprintf("  FAILED: %v", o.Err)
	case !o.OK():
		text += fmt.Sprintf("  FAILED: want code %s reason %s", o.Want[0], o.Want[1])
	}
	return text
}

// Mischief sends bad input to a running switch. The programme in force must be the drill's, with short times. It has one
// owner.
type Mischief struct {
	Terminals string // address of a port with framing cup
	Codec     *iso8583.Codec
	API       *till.API
	Counter   func(ctx context.Context, name string, labels ...string) (float64, error) // of /metrics
	People    uint64                                                                    // number of the first person to use

	Heard []Answer // every answer

	stan uint32
	used uint64
	said string // text of the last answer
}

// trick is one piece of bad input.
type trick struct {
	input, code, reason string
	play                func(*Mischief, context.Context) (code, reason string, err error)
}

func tricks() []trick {
	return []trick{
		{"truncated frame", closedUnanswered, "truncated", (*Mischief).truncatedFrame},
		{"64 KiB frame", closedUnanswered, "oversized", (*Mischief).hugeFrame},
		{"bitmap and body do not match", "30", "", (*Mischief).bitmapMismatch},
		{"wrong batch", "77", "", (*Mischief).wrongBatch},
		{"unknown terminal", "97", "", (*Mischief).unknownTerminal},
		{"unknown merchant", "03", "", (*Mischief).unknownMerchant},
		{"expired code", "57", "CODE_EXPIRED", (*Mischief).expiredCode},
		{"used serial", "57", "SERIAL_USED", (*Mischief).usedSerial},
		{"price over the ceiling", "57", "PRICE_ABOVE_CEILING", (*Mischief).priceAboveCeiling},
		{"position outside the province", "57", "POSITION_OUTSIDE", (*Mischief).outsideProvince},
		{"exhausted budget", "57", "BUDGET_EXHAUSTED", (*Mischief).exhaustedBudget},
		{"sale amount is not the payable", "13", "PAYABLE_MISMATCH", (*Mischief).otherAmount},
		{"sale on an expired hold", "12", "HOLD_EXPIRED", (*Mischief).expiredHold},
		{"duplicate STAN with other content", "94", "", (*Mischief).otherContent},
		{"reversal of nothing", "25", "", (*Mischief).reversalOfNothing},
		{"its late original", "94", "", (*Mischief).lateOriginal},
		{"void of nothing", "25", "", (*Mischief).voidOfNothing},
		{"refund of nothing", "25", "", (*Mischief).refundOfNothing},
		{"pre-authorisation with a hold", "40", "", (*Mischief).subsidisedPreauth},
		{"settlement of another batch", "77", "", (*Mischief).otherBatchSettled},
		{"upload of a batch that is not settled", "77", "", (*Mischief).unsettledUpload},
	}
}

// Play tries every trick, one after the other, and says what became of each.
func (m *Mischief) Play(ctx context.Context) []Outcome {
	var list []Outcome
	for _, t := range tricks() {
		o := Outcome{Input: t.input, Want: [2]string{t.code, t.reason}}
		m.said = ""
		o.Code, o.Reason, o.Err = t.play(m, ctx)
		o.Said = m.said
		list = append(list, o)
	}
	return list
}

// ---- Frames ---------------------------------------------------------------------------------------------------------

func (m *Mischief) truncatedFrame(ctx context.Context) (string, string, error) {
	frame, err := m.frame(echo(applianceTerminal, applianceMerchant))
	if err != nil {
		return "", "", err
	}
	return m.endedBy(ctx, "truncated", func(nc *net.TCPConn) error {
		if _, err := nc.Write(frame[:len(frame)/2]); err != nil {
			return err
		}
		return nc.CloseWrite()
	})
}

func (m *Mischief) hugeFrame(ctx context.Context) (string, string, error) {
	return m.endedBy(ctx, "oversized", func(nc *net.TCPConn) error {
		frame := make([]byte, 64<<10)
		binary.BigEndian.PutUint16(frame, 0xFFFF)
		// The switch may close before all of it is written: that is what is wanted.
		_, _ = nc.Write(frame)
		return nil
	})
}

// endedBy sends on a connection of its own, waits until the switch ends it, and finds the cause under which that was
// counted.
func (m *Mischief) endedBy(ctx context.Context, cause string, send func(*net.TCPConn) error) (string, string, error) {
	before, err := m.closes(ctx, cause)
	if err != nil {
		return "", "", err
	}
	nc, err := m.dial(ctx)
	if err != nil {
		return "", "", err
	}
	defer nc.Close()
	if err := send(nc); err != nil {
		return "", "", err
	}
	answer, err := io.ReadAll(nc)
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return "", "", errors.New("the connection was not ended")
	}
	if len(answer) > 0 {
		return "answered", fmt.Sprintf("%d bytes", len(answer)), nil
	}
	for ctx.Err() == nil {
		after, err := m.closes(ctx, cause)
		if err != nil {
			return "", "", err
		}
		if after == before+1 {
			return closedUnanswered, cause, nil
		}
	}
	return closedUnanswered, "not counted", ctx.Err()
}

func (m *Mischief) closes(ctx context.Context, cause string) (float64, error) {
	return m.Counter(ctx, "huanxin_wire_closes_total", "cause", cause, "port", "cup")
}

// bitmapMismatch sends an echo with nine bytes that no bit of its bitmap announces.
func (m *Mischief) bitmapMismatch(ctx context.Context) (string, string, error) {
	message, err := m.message(echo(applianceTerminal, applianceMerchant))
	if err != nil {
		return "", "", err
	}
	return m.rawAnswer(ctx, append(message, 0, 1, 0x10, 0, 0, 0x01, 0, 0, 0x42))
}

func echo(terminal, merchant string) *till.Request {
	return &till.Request{MTI: 0x0820, Kind: till.KindManagement, Net: till.NetEcho, Terminal: terminal, Merchant: merchant,
		Batch: firstBatch, STAN: strangerSTAN}
}

// ---- Who and when ---------------------------------------------------------------------------------------------------

func (m *Mischief) wrongBatch(ctx context.Context) (string, string, error) {
	r := m.ordinary(applianceTerminal, applianceMerchant)
	r.Batch = 999
	return m.ask(ctx, r)
}

func (m *Mischief) unknownTerminal(ctx context.Context) (string, string, error) {
	return m.ask(ctx, m.ordinary(strangerTerminal, applianceMerchant))
}

func (m *Mischief) unknownMerchant(ctx context.Context) (string, string, error) {
	return m.ask(ctx, m.ordinary(applianceTerminal, strangerMerchant))
}

func (m *Mischief) otherContent(ctx context.Context) (string, string, error) {
	r := m.ordinary(otherTerminal, applianceMerchant)
	if code, _, err := m.ask(ctx, r); err != nil || code != "00" {
		return code, "of the first sale", err
	}
	r.Amount++
	return m.ask(ctx, r)
}

func (m *Mischief) reversalOfNothing(ctx context.Context) (string, string, error) {
	r := m.ordinary(otherTerminal, applianceMerchant)
	r.STAN, r.MTI, r.Cause = strangerSTAN, 0x0400, "98"
	return m.ask(ctx, r)
}

func (m *Mischief) lateOriginal(ctx context.Context) (string, string, error) {
	r := m.ordinary(otherTerminal, applianceMerchant)
	r.STAN = strangerSTAN
	return m.ask(ctx, r)
}

// ---- After the sale -------------------------------------------------------------------------------------------------

// nothing is a message about a sale that never was.
func (m *Mischief) nothing(mti iso8583.MTI, kind int) *till.Request {
	r := m.ordinary(otherTerminal, applianceMerchant)
	r.MTI, r.Kind, r.RRN = mti, kind, "999999999999"
	r.Original = &till.Original{Batch: firstBatch, STAN: strangerSTAN, Date: "0618"}
	return r
}

func (m *Mischief) voidOfNothing(ctx context.Context) (string, string, error) {
	return m.ask(ctx, m.nothing(0x0200, till.KindVoid))
}

func (m *Mischief) refundOfNothing(ctx context.Context) (string, string, error) {
	return m.ask(ctx, m.nothing(0x0220, till.KindRefund))
}

func (m *Mischief) subsidisedPreauth(ctx context.Context) (string, string, error) {
	r := m.ordinary(otherTerminal, applianceMerchant)
	r.MTI, r.Kind, r.Tags = 0x0100, till.KindPreauth, []till.Tag{{Name: "S7", Value: "000000000001"}}
	return m.ask(ctx, r)
}

func (m *Mischief) otherBatchSettled(ctx context.Context) (string, string, error) {
	r := till.SettleRequest(till.Till{Terminal: otherTerminal, Merchant: applianceMerchant}, 999, m.nextSTAN(), &till.Totals{})
	return m.ask(ctx, &r)
}

func (m *Mischief) unsettledUpload(ctx context.Context) (string, string, error) {
	r := till.UploadEndRequest(till.Till{Terminal: otherTerminal, Merchant: applianceMerchant}, firstBatch, m.nextSTAN(), 0, true)
	return m.ask(ctx, &r)
}

// ---- The subsidy ----------------------------------------------------------------------------------------------------

func (m *Mischief) expiredCode(ctx context.Context) (string, string, error) {
	r, err := m.reserve(ctx, applianceTerminal, applianceMerchant, shenyang, "A01", refrigerator, refrigeratorPrice, inShenyang)
	if err != nil {
		return "", "", err
	}
	if err := wait(ctx, codeLife+time.Second); err != nil {
		return "", "", err
	}
	return m.ask(ctx, r)
}

func (m *Mischief) usedSerial(ctx context.Context) (string, string, error) {
	first, err := m.reserve(ctx, applianceTerminal, applianceMerchant, shenyang, "A01", refrigerator, refrigeratorPrice, inShenyang)
	if err != nil {
		return "", "", err
	}
	second, err := m.reserve(ctx, applianceTerminal, applianceMerchant, shenyang, "A01", refrigerator, refrigeratorPrice, inShenyang)
	if err != nil {
		return "", "", err
	}
	second.Tags = append(slices.DeleteFunc(second.Tags, func(t till.Tag) bool { return t.Name == "S3" }), till.Tag{Name: "S3", Value: serialOf(first)})
	if code, reason, err := m.ask(ctx, first); err != nil || code != "00" {
		return code, "of the first reserve: " + reason, err
	}
	return m.ask(ctx, second)
}

func (m *Mischief) priceAboveCeiling(ctx context.Context) (string, string, error) {
	return m.reserveAnd(ctx, digitalTerminal, digitalMerchant, shenyang, "B01", dearPhone, 899900, inShenyang)
}

func (m *Mischief) outsideProvince(ctx context.Context) (string, string, error) {
	return m.reserveAnd(ctx, applianceTerminal, applianceMerchant, shenyang, "A01", refrigerator, refrigeratorPrice, inBeijing)
}

// exhaustedBudget buys from the smallest leaf of the programme until it is empty.
func (m *Mischief) exhaustedBudget(ctx context.Context) (code, reason string, err error) {
	for range 3 {
		code, reason, err = m.reserveAnd(ctx, huludaoTerminal, huludaoMerchant, huludao, "A10", dishwasher, dishwasherPrice, inHuludao)
		if err != nil || code != "00" {
			return code, reason, err
		}
	}
	return code, reason, nil
}

func (m *Mischief) otherAmount(ctx context.Context) (string, string, error) {
	answer, err := m.hold(ctx)
	if err != nil {
		return "", "", err
	}
	return m.ask(ctx, m.sale(answer.Hold, answer.Payable+1))
}

func (m *Mischief) expiredHold(ctx context.Context) (string, string, error) {
	answer, err := m.hold(ctx)
	if err != nil {
		return "", "", err
	}
	if err := wait(ctx, holdLife+time.Second); err != nil {
		return "", "", err
	}
	return m.ask(ctx, m.sale(answer.Hold, answer.Payable))
}

// hold reserves a refrigerator.
func (m *Mischief) hold(ctx context.Context) (*till.Answer, error) {
	r, err := m.reserve(ctx, applianceTerminal, applianceMerchant, shenyang, "A01", refrigerator, refrigeratorPrice, inShenyang)
	if err != nil {
		return nil, err
	}
	answer, err := m.answer(ctx, r)
	if err == nil && answer.Refused() {
		err = fmt.Errorf("the reserve was refused: %s %s", answer.Response, strings.Join(answer.Reasons, " "))
	}
	return answer, err
}

// ---- Building blocks ------------------------------------------------------------------------------------------------

// wait is not a synchronisation: what is waited for is the switch's own time.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *Mischief) nextSTAN() uint32 {
	m.stan++
	return m.stan
}

// nextPerson numbers persons, serials and cards.
func (m *Mischief) nextPerson() uint64 {
	m.used++
	return m.People + m.used
}

func (m *Mischief) ordinary(terminal, merchant string) *till.Request {
	return &till.Request{
		MTI: 0x0200, Kind: till.KindSale, Terminal: terminal, Merchant: merchant, Batch: firstBatch, STAN: m.nextSTAN(),
		Amount: 10000, Card: card(1),
	}
}

func card(n uint64) *till.Card {
	pan := till.NewPAN(n)
	return &till.Card{PAN: pan, Expiry: "3012", Track2: pan + "D30122010000000000"}
}

func (m *Mischief) sale(hold uint64, amount money.Amount) *till.Request {
	r := m.ordinary(applianceTerminal, applianceMerchant)
	r.Amount = amount
	r.Tags = []till.Tag{{Name: "S7", Value: fmt.Sprintf("%012d", hold)}}
	return r
}

// reserve claims an entitlement for a new person, shows its code at place, and builds the reserve.
func (m *Mischief) reserve(ctx context.Context, terminal, merchant, city, category, barcode string, price money.Amount, place spot) (*till.Request, error) {
	n := m.nextPerson()
	person := till.NewPerson(n)
	claimed, err := m.API.Claim(ctx, fmt.Sprintf("drill-%d", n), person, category, city, "store")
	if err != nil {
		return nil, err
	}
	if claimed.Entitlement == "" {
		return nil, fmt.Errorf("claim was refused: %d %s", claimed.Status, strings.Join(claimed.Reasons, " "))
	}
	shown, err := m.API.ShowCode(ctx, claimed.Entitlement, person, place.position())
	if err != nil {
		return nil, err
	}
	if shown.Status >= 300 {
		return nil, fmt.Errorf("code was refused: %d %s", shown.Status, strings.Join(shown.Reasons, " "))
	}
	serial := till.NewSerial(n)
	if category == "B01" {
		serial = till.NewIMEI(n)
	}
	return &till.Request{
		MTI: 0x0100, Kind: till.KindReserve, Terminal: terminal, Merchant: merchant, Batch: firstBatch, STAN: m.nextSTAN(), Amount: price,
		Tags: []till.Tag{{Name: "S1", Value: shown.Code}, {Name: "S2", Value: barcode}, {Name: "S3", Value: serial}},
	}, nil
}

func (m *Mischief) reserveAnd(ctx context.Context, terminal, merchant, city, category, barcode string, price money.Amount, place spot) (string, string, error) {
	r, err := m.reserve(ctx, terminal, merchant, city, category, barcode, price, place)
	if err != nil {
		return "", "", err
	}
	return m.ask(ctx, r)
}

func serialOf(r *till.Request) string {
	for _, tag := range r.Tags {
		if tag.Name == "S3" {
			return tag.Value
		}
	}
	return ""
}

func (m *Mischief) ask(ctx context.Context, r *till.Request) (code, reason string, err error) {
	answer, err := m.answer(ctx, r)
	if err != nil {
		return "", "", err
	}
	m.said = answer.Text
	return answer.Response, strings.Join(answer.Reasons, " "), nil
}

// answer asks on a connection of its own, as terminals do in the short-connection mode.
func (m *Mischief) answer(ctx context.Context, r *till.Request) (*till.Answer, error) {
	line, err := till.DialLine(ctx, till.LineConfig{Address: m.Terminals, Framing: wire.CUP, Codec: m.Codec})
	if err != nil {
		return nil, err
	}
	defer line.Close()
	a, err := line.Ask(ctx, r)
	if err == nil {
		m.Heard = append(m.Heard, heard(r, a))
	}
	return a, err
}

// heard is an answer as the load generator would write it down.
func heard(r *till.Request, a *till.Answer) Answer {
	kinds := map[int]load.Kind{
		till.KindReserve: load.Reserve, till.KindSale: load.Ordinary, till.KindVoid: load.Void, till.KindRefund: load.Refund,
		till.KindPreauth: load.Preauth, till.KindManagement: load.Settle,
	}
	class := uint32(r.MTI >> 8)
	if r.MTI == 0x0400 { // of a sale: no other is reversed here
		class = 2
	}
	return Answer{
		Kind: kinds[r.Kind], MTI: r.MTI.String(), Terminal: r.Terminal, Merchant: r.Merchant, Batch: r.Batch, STAN: r.STAN, Class: class,
		Response: a.Response, Hold: a.Hold, RRN: a.RRN, Amount: int64(r.Amount), Subsidy: int64(a.Subsidy),
	}
}

func (m *Mischief) dial(ctx context.Context) (*net.TCPConn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", m.Terminals)
	if err != nil {
		return nil, err
	}
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		nc.Close()
		return nil, fmt.Errorf("%s is no TCP address", m.Terminals)
	}
	return tcp, tcp.SetDeadline(time.Now().Add(30 * time.Second))
}

var (
	drillTPDU   = []byte{0x60, 0x00, 0x03, 0x00, 0x00}
	drillHeader = []byte{0x60, 0x31, 0x00, 0x31, 0x01, 0x00}
)

// message is a management message without its frame. The fields are those of till's own.
func (m *Mischief) message(r *till.Request) ([]byte, error) {
	var b iso8583.Builder
	b.Reset(m.Codec, r.MTI)
	b.SetDigits(11, uint64(r.STAN), 6)
	b.SetString(41, r.Terminal)
	b.SetString(42, r.Merchant)
	b.SetString(60, fmt.Sprintf("00%06d%03d", r.Batch, r.Net))
	return b.Append(nil)
}

func (m *Mischief) frame(r *till.Request) ([]byte, error) {
	message, err := m.message(r)
	if err != nil {
		return nil, err
	}
	return wire.CUP.AppendFrame(nil, drillTPDU, drillHeader, message)
}

// rawAnswer sends a message that no terminal would build and reads DE39 of what comes back.
func (m *Mischief) rawAnswer(ctx context.Context, message []byte) (code, reason string, err error) {
	frame, err := wire.CUP.AppendFrame(nil, drillTPDU, drillHeader, message)
	if err != nil {
		return "", "", err
	}
	nc, err := m.dial(ctx)
	if err != nil {
		return "", "", err
	}
	defer nc.Close()
	if _, err := nc.Write(frame); err != nil {
		return "", "", err
	}
	buffer := make([]byte, 0, 8<<10)
	for {
		n, err := nc.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		answer, size, frameErr := wire.CUP.Next(buffer, cap(buffer))
		switch {
		case frameErr != nil:
			return "", "", frameErr
		case size > 0:
			var parsed iso8583.Message
			if err := m.Codec.Parse(answer.Message, &parsed); err != nil {
				return "", "", err
			}
			m.said = textOf(&parsed)
			return string(parsed.AppendField(nil, 39)), "", nil
		case err == io.EOF:
			return closedUnanswered, "", nil
		case err != nil:
			return "", "", err
		}
	}
}

// textOf is what the cashier reads: DE59 tag SC.
func textOf(m *iso8583.Message) string {
	tags := iso8583.WalkTags59(m.Raw(59))
	for {
		name, value, ok := tags.Next()
		if !ok {
			return ""
		}
		if name.String() == "SC" {
			text, _ := iso8583.AppendUTF8(nil, value) // what is no GBK is shown as far as it goes
			return string(text)
		}
	}
}
