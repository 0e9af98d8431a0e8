package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"huanxin/internal/postgres/pgtest"
	"huanxin/internal/simulator/till"
	"huanxin/switch/iso8583"
	"huanxin/switch/terminal/terminaltest"
	"huanxin/switch/wire"
)

// spoken is a log that is kept, written by many.
type spoken struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *spoken) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *spoken) text() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.b.Bytes())
}

// rush is a run of a switch with everything that a day has, good and bad, and every secret that went in.
type rush struct {
	t       *testing.T
	sw      *testSwitch
	log     spoken
	line    *till.Line
	api     *till.API
	stan    uint32
	batch   uint32
	secrets []secret
	said    []place // answers over HTTP, outputs of commands
}

// hide enters a secret, once.
func (r *rush) hide(name, text string) string {
	if !slices.ContainsFunc(r.secrets, func(s secret) bool { return s.text == text }) {
		r.secrets = append(r.secrets, secret{name: name, text: text})
	}
	return text
}

func (r *rush) next() uint32 {
	r.stan++
	return r.stan
}

// buyer is one whose number nobody else's looks like.
func (r *rush) buyer(n uint64) till.Person {
	p := till.NewPerson(n)
	p.Name = string([]rune("欧阳诸葛司徒")[n%5:n%5+2]) + p.Name
	r.hide("identity number", p.IDNumber)
	r.hide("name", p.Name)
	r.hide("phone", p.Phone)
	return p
}

func (r *rush) card(n uint64) *till.Card {
	c := &till.Card{PAN: r.hide("card number", till.NewPAN(n)), Expiry: "3012"}
	c.Track2 = r.hide("track 2", c.PAN+"D3012201"+fmt.Sprintf("%09d", n*7919%1_000_000_000))
	return c
}

func (r *rush) serial(n uint64) string { return r.hide("serial number", till.NewSerial(n)) }

// code claims an entitlement and shows its code.
func (r *rush) code(n uint64) string {
	person := r.buyer(n)
	claim, err := r.api.Claim(r.t.Context(), fmt.Sprint("claim-", n), person, "A01", "210100", "store")
	require.NoError(r.t, err)
	require.Equal(r.t, http.StatusCreated, claim.Status, claim.Text)
	shown, err := r.api.ShowCode(r.t.Context(), claim.Entitlement, person, &till.Position{CRS: "WGS84", Lon: 123.4294, Lat: 41.7964, AgeSeconds: 1})
	require.NoError(r.t, err)
	require.NotEmpty(r.t, shown.Code)
	return r.hide("one-time code", shown.Code)
}

func (r *rush) request(mti iso8583.MTI, kind int) *till.Request {
	return &till.Request{MTI: mti, Kind: kind, Terminal: testTerminal, Merchant: testMerchant, Batch: r.batch, STAN: r.next()}
}

// buy is a purchase with a subsidy, and its sale.
func (r *rush) buy(n uint64, card *till.Card) (*till.Request, *till.Answer) {
	reserve := r.request(0x0100, till.KindReserve)
	reserve.Amount = 599900
	reserve.Tags = []till.Tag{{Name: "S1", Value: r.code(n)}, {Name: "S2", Value: "6901234567892"}, {Name: "S3", Value: r.serial(n)}}
	hold := ask(r.t, r.line, reserve)
	require.Equal(r.t, "00", hold.Response, "%v %s", hold.Reasons, hold.Text)
	sale := r.request(0x0200, till.KindSale)
	sale.Amount, sale.Card, sale.Tags = hold.Payable, card, []till.Tag{{Name: "S7", Value: fmt.Sprintf("%012d", hold.Hold)}}
	return sale, ask(r.t, r.line, sale)
}

// raw sends a message that no till would, or bytes that are none, over a connection of its own, and waits for an answer or the end
// of the connection.
func (r *rush) raw(port string, frame []byte) {
	nc, err := net.Dial("tcp", r.sw.front.Addr(port).String())
	require.NoError(r.t, err)
	defer nc.Close()
	_, err = nc.Write(frame)
	require.NoError(r.t, err)
	require.NoError(r.t, nc.(*net.TCPConn).CloseWrite())
	require.NoError(r.t, nc.SetDeadline(time.Now().Add(time.Minute)))
	_, _ = io.Copy(io.Discard, nc) // an answer, or a reset: both will do
}

var tpdu, header = []byte{0x60, 0, 3, 0, 0}, []byte{0x60, 0x31, 0, 0x31, 1, 0}

func (r *rush) framed(body []byte) []byte {
	frame, err := wire.CUP.AppendFrame(nil, tpdu, header, body)
	require.NoError(r.t, err)
	return frame
}

// message builds what a till of this test does not: with PIN, track and chip data.
func (r *rush) message(fill func(b *iso8583.Builder)) []byte {
	var b iso8583.Builder
	b.Reset(cupCodec(r.t), 0x0200)
	b.SetString(3, "000000")
	b.SetDigits(4, 10000, 12)
	b.SetDigits(11, uint64(r.next()), 6)
	b.SetString(25, "00")
	b.SetString(41, testTerminal)
	b.SetString(42, testMerchant)
	b.SetString(49, "156")
	b.SetString(60, fmt.Sprintf("22%06d00060", r.batch))
	fill(&b)
	body, err := b.Append(nil)
	require.NoError(r.t, err)
	return body
}

// call asks the HTTP interface and keeps what it answers.
func (r *rush) call(method, path, token, body string) {
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://"+r.sw.listener.Addr().String()+path, strings.NewReader(body))
	require.NoError(r.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", fmt.Sprint("raw-", r.next()))
	res, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(r.t, err)
	head, _, _ := strings.Cut(path, "?")
	for _, s := range r.secrets { // that it was asked for stays between the two
		if s.text != "" {
			head = strings.ReplaceAll(head, s.text, "…")
		}
	}
	r.said = append(r.said, place{"answer to " + method + " " + head, text})
}

// command runs a command of the operator and keeps what it prints.
func (r *rush) command(args ...string) {
	var out, errs bytes.Buffer
	socket := r.sw.cfg.Path(r.sw.cfg.Control.Socket)
	code := run(r.t.Context(), append(args, "--socket", socket), nil, &out, &errs)
	r.said = append(r.said, place{fmt.Sprintf("output of %v, exit code %d", args, code), append(out.Bytes(), errs.Bytes()...)})
}

// play is the day.
func (r *rush) play() {
	t := r.t
	signOn := ask(t, r.line, &till.Request{MTI: 0x0800, Net: till.NetSignOn, Terminal: testTerminal, Merchant: testMerchant, STAN: r.next()})
	require.Equal(t, "00", signOn.Response)
	r.batch = signOn.Batch

	// A sale that stays, one with a chip that is voided, one that is refunded, one that its till reverses.
	kept, _ := r.buy(731_905_846, r.card(731_905_846))
	chip := r.card(731_905_857)
	chip.Chip, chip.Seq = true, "001"
	voided, paid := r.buy(731_905_857, chip)
	require.Equal(t, "00", paid.Response)
	void := r.request(0x0200, till.KindVoid)
	void.Amount, void.Card, void.RRN, void.Approval = voided.Amount, voided.Card, paid.RRN, paid.Approval
	void.Original = &till.Original{Batch: voided.Batch, STAN: voided.STAN}
	require.Equal(t, "00", ask(t, r.line, void).Response)
	back, paid := r.buy(731_905_868, r.card(731_905_868))
	require.Equal(t, "00", paid.Response)
	refund := r.request(0x0220, till.KindRefund)
	refund.Amount, refund.Card, refund.RRN = back.Amount, back.Card, paid.RRN
	refund.Original = &till.Original{Batch: back.Batch, STAN: back.STAN, Date: paid.At.Format("0102")}
	require.Equal(t, "00", ask(t, r.line, refund).Response)
	reversed, paid := r.buy(731_905_879, r.card(731_905_879))
	require.Equal(t, "00", paid.Response)
	reversal := *reversed
	reversal.MTI, reversal.Cause, reversal.Tags = 0x0400, "98", nil
	require.Equal(t, "00", ask(t, r.line, &reversal).Response)

	// Refused by the switch, by the network, and by the rules; a resend, and one with other content.
	for i, pan := range []uint64{731_905_880, 731_905_891} {
		wrong := r.request(0x0200, till.KindSale)
		wrong.Amount, wrong.Card, wrong.Tags = 100, r.card(pan), []till.Tag{{Name: "S7", Value: fmt.Sprintf("%012d", 1+i*999)}}
		require.NotEqual(t, "00", ask(t, r.line, wrong).Response)
	}
	ask(t, r.line, kept)
	other := *kept
	other.Card = r.card(731_905_802)
	require.Equal(t, "94", ask(t, r.line, &other).Response)
	unknown := r.request(0x0100, till.KindReserve)
	unknown.Amount = 599900
	unknown.Tags = []till.Tag{{Name: "S1", Value: r.hide("one-time code", "58310472")}, {Name: "S2", Value: "6901234567892"}, {Name: "S3", Value: r.serial(731_905_813)}}
	require.NotEqual(t, "00", ask(t, r.line, unknown).Response)
	personal := r.request(0x0100, till.KindReserve) // what people type where it does not belong
	personal.Amount = 599900
	personal.Tags = []till.Tag{{Name: "S1", Value: r.code(731_905_824)}, {Name: "S2", Value: "6901234567892"},
		{Name: "S3", Value: r.buyer(731_905_835).IDNumber}, {Name: "S4", Value: r.card(731_905_835).PAN}}
	ask(t, r.line, personal)

	// A payment code at a till, paid by the wallet.
	qr := r.request(0x0200, till.KindSale)
	qr.Amount, qr.Card = 12300, &till.Card{Code: r.hide("payment code", "281234567890123456")}
	require.Equal(t, "00", ask(t, r.line, qr).Response)

	// With PIN, track 1 to 3 and chip data; on this port a PIN is refused.
	r.odd()
	// What is no message at all, or too much of one.
	r.noise()
	r.web()

	r.settle(kept)
}

// settle closes the batch with totals that are not the switch's, and sends the records.
func (r *rush) settle(kept *till.Request) {
	settle := &till.Request{MTI: 0x0500, Net: till.NetSettle, Terminal: testTerminal, Merchant: testMerchant, Batch: r.batch, STAN: r.next(),
		Details: strings.Repeat("0", 62)}
	ask(r.t, r.line, settle)
	r.batch++
	upload := &till.Request{MTI: 0x0320, Net: till.NetSettle, Terminal: testTerminal, Merchant: testMerchant, Batch: r.batch - 1, STAN: r.next(),
		Details: "01" + fmt.Sprintf("00%06d%020s%012d", kept.STAN, kept.Card.PAN, kept.Amount)}
	ask(r.t, r.line, upload)
}

// odd sends good messages with everything in them.
func (r *rush) odd() {
	pan := r.card(731_905_903).PAN
	block := []byte{0x5a, 0xc3, 0x3c, 0xa5, 0x17, 0xe8, 0x02, 0xfd}
	r.secrets = append(r.secrets, secret{name: "PIN block", binary: block})
	track3 := r.hide("track 3", "99"+pan+"1561560500050000001600000021414000020000000000000000000000000000")
	chip, err := hex.DecodeString("9F2608D1A7C35E9B20F4869F2701809F100807010103A00000019F370400000001950500000000009A032506189C0100")
	require.NoError(r.t, err)
	r.raw("cup", r.framed(r.message(func(b *iso8583.Builder) {
		b.SetString(2, pan)
		b.SetString(14, "3012")
		b.SetString(22, "051")
		b.SetString(23, "001")
		b.SetString(26, "12")
		b.SetString(35, r.hide("track 2", pan+"D301220198765431234"))
		b.SetString(36, track3)
		b.Set(52, block)
		b.SetString(53, "2600000000000000")
		b.Set(55, chip)
	})))
	// With a card number in each of the fields for texts.
	for _, field := range []int{37, 38, 48, 61, 62, 63} {
		number := r.card(731_905_914 + uint64(field)).PAN
		r.raw("cup", r.framed(r.message(func(b *iso8583.Builder) {
			b.SetString(2, number)
			b.SetString(22, "012")
			b.SetString(field, map[int]string{37: number[:12], 38: number[:6]}[field]+map[bool]string{true: number}[field > 38])
		})))
	}
	for _, kind := range []string{"S3", "S4", "S9", "A3"} { // and in the tags
		number := r.card(731_905_990 + uint64(kind[1])).PAN
		r.raw("cup", r.framed(r.message(func(b *iso8583.Builder) {
			b.SetString(22, "012")
			b.Set(59, iso8583.AppendTag59(nil, kind, []byte(number)))
		})))
	}
}

// noise sends what no listener understands, with a card in it.
func (r *rush) noise() {
	card := r.card(731_906_055)
	packed, err := hex.DecodeString(card.PAN)
	require.NoError(r.t, err)
	body := r.message(func(b *iso8583.Builder) {
		b.SetString(2, card.PAN)
		b.SetString(35, card.Track2)
		b.SetString(22, "022")
	})
	for _, cut := range []int{1, 10, 20, 30, len(body) - 1} {
		r.raw("cup", r.framed(body[:cut])) // cut off inside the message
	}
	r.raw("cup", r.framed(append(bytes.Clone(body), packed...)))            // with bytes behind its end
	r.raw("cup", r.framed(append([]byte{0xff, 0xff}, body[2:]...)))         // no MTI
	r.raw("cup", r.framed(body)[:40])                                       // cut off inside the frame
	r.raw("cup", append([]byte{0xff, 0xff}, body...))                       // longer than any
	r.raw("cup", []byte("GET /"+card.PAN+" HTTP/1.1\r\n\r\n"))              // another protocol
	r.raw("nac", append([]byte("\x00\x14\x60\x00\x03\x00\x00"), packed...)) // digits
	text := bytes.Clone(body)
	for i := range 8 { // every bit of the bitmap
		text[2+i] ^= 0xff
	}
	r.raw("cup", r.framed(text))
}

// shop buys over HTTP with a one-time code, and has the wallet charge a payment code; then gives it back.
func (r *rush) shop() {
	hold, err := r.api.Reserve(r.t.Context(), "shop-reserve", &till.Order{
		Merchant: testMerchant, Channel: "store", Code: r.code(731_906_099), Barcode: "6901234567892", Price: 599900, Serial: r.serial(731_906_099),
		Position: &till.Position{CRS: "WGS84", Lon: 123.4294, Lat: 41.7964, AgeSeconds: 1},
	})
	require.NoError(r.t, err)
	require.Equal(r.t, http.StatusCreated, hold.Status, "%v %s", hold.Reasons, hold.Text)
	paid, err := r.api.CommitWallet(r.t.Context(), "shop-commit", hold.Purchase.ID, r.hide("payment code", "287654321098765432"), hold.Purchase.Payable)
	require.NoError(r.t, err)
	require.Equal(r.t, http.StatusOK, paid.Status, "%v %s", paid.Reasons, paid.Text)
	back, err := r.api.Refund(r.t.Context(), "shop-refund", hold.Purchase.ID, till.GiveBack{})
	require.NoError(r.t, err)
	require.Less(r.t, back.Status, 300, "%v %s", back.Reasons, back.Text)
}

// web is the HTTP interface, used well and badly.
func (r *rush) web() {
	r.shop()
	tokens, err := readTokens(r.sw.cfg.Path(r.sw.cfg.HTTP.TokenFile))
	require.NoError(r.t, err)
	token := tokens[0].Secret
	r.hide("token", token)
	person := r.buyer(731_906_066)
	claim, err := json.Marshal(map[string]any{"person": person, "category": "A01", "city": "210100", "channel": "online"})
	require.NoError(r.t, err)
	r.call("POST", "/v1/entitlements", token, string(claim))
	r.call("POST", "/v1/entitlements", token, string(claim[:len(claim)-9]))                                     // no JSON
	r.call("POST", "/v1/entitlements", token, strings.Replace(string(claim), `"name"`, `"nome"`, 1))            // an unknown field
	r.call("POST", "/v1/entitlements", token, strings.Replace(string(claim), `"A01"`, `"`+person.Phone+`"`, 1)) // not a category
	r.call("POST", "/v1/entitlements", "no-such-token-"+person.Phone, string(claim))
	bad := r.hide("identity number with a wrong check digit", person.IDNumber[:17]+map[bool]string{true: "1", false: "2"}[person.IDNumber[17] != '1'])
	r.call("POST", "/v1/entitlements", token, strings.Replace(string(claim), person.IDNumber, bad, 1))
	r.call("GET", "/v1/purchases/"+r.card(731_906_077).PAN, token, "")
	r.call("GET", "/v1/entitlements/"+person.IDNumber+"?phone="+person.Phone, token, "")
	r.call("POST", "/"+person.IDNumber, token, "")
	r.call("DELETE", "/v1/entitlements/"+person.Phone, "", "")
	reserve := map[string]any{
		"merchant": testMerchant, "price_fen": 599900, "barcode": "6901234567892", "serial": r.serial(731_906_088), "order": r.card(731_906_088).PAN,
		"person": map[string]string{"id_kind": "ID", "id_number": person.IDNumber}, "channel": "online",
	}
	text, err := json.Marshal(reserve)
	require.NoError(r.t, err)
	r.call("POST", "/v1/reservations", token, string(text))
	code := r.hide("payment code", "289876543210987654")
	r.call("POST", "/v1/reservations/P000000000001/commit", token, `{"payment":{"method":"wallet","code":"`+code+`","paid_fen":1}}`)
	r.call("POST", "/v1/wallets/wallet/notifications", token, `{"code":"`+code+`"}`)
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		r.call("GET", path, "", "")
	}
}

// secured plays the same on a listener with keys: MAC, PIN, and what goes wrong with them. Clear master keys, working keys, PINs and
// PIN blocks are secrets, and so are the blocks under the terminal's key.
func (r *rush) secured(listener string, master []byte) {
	t := r.t
	keep := func(name string, key []byte) {
		r.secrets = append(r.secrets, secret{name: listener + " " + name, binary: bytes.Clone(key)})
	}
	keep("master key", master)
	code, control := "003", "2600000000000000"
	if listener == "sm" {
		code, control = "005", "2300000000000000"
	}
	stan := func() int { return int(r.next()) }
	k := r.sw.till(t, listener, master)
	for range 2 { // the second time the keys are other ones
		require.Equal(t, "00", k.SignOn(message("0800", "00000001"+code, stan(), nil), 16, 4, 16)[39])
		keep("PIN key", k.PIN)
		keep("MAC key", k.MAC)
		number := uint64(731_907_000) + uint64(r.next())
		card := r.card(number)
		block := func(pin, pan string) string {
			under := k.PINBlock(r.hide("PIN", pin), pan)
			raw, err := hex.DecodeString(under)
			require.NoError(t, err)
			keep("PIN block under the terminal's key", raw)
			digits := pan[len(pan)-13 : len(pan)-1]
			open := []byte(fmt.Sprintf("0%d%s%s", len(pin), pin, strings.Repeat("F", 14-len(pin))))
			clear, err := hex.DecodeString(string(open))
			require.NoError(t, err)
			keep("PIN field", clear)
			account, err := hex.DecodeString("0000" + digits)
			require.NoError(t, err)
			for i := range clear {
				clear[i] ^= account[i]
			}
			keep("clear PIN block", clear)
			return under
		}
		hold := k.Ask(message("0100", fmt.Sprintf("96%06d000", r.batch), stan(), map[int]string{
			3: "390000", 4: "000000599900", 22: "012", 25: "00", 49: "156",
			59: tag("S1", r.code(number)) + tag("S2", "6901234567892") + tag("S3", r.serial(number)),
		}))
		require.Equal(t, "00", hold[39], hold[59])
		sale := message("0200", fmt.Sprintf("22%06d000501", r.batch), stan(), map[int]string{
			2: card.PAN, 3: "000000", 4: tagOf(t, hold, "S9"), 14: "3012", 22: "021", 25: "00", 26: "09", 35: card.Track2, 49: "156",
			52: block("730591846", card.PAN), 53: control, 59: tag("S7", tagOf(t, hold, "S7")),
		})
		good := k.Message(sale)
		bad := bytes.Clone(good)
		bad[len(bad)/2] ^= 1
		flipped := *k
		r.sw.connect(t, &flipped, listener)
		flipped.SendRaw(bad)
		flipped.SendRaw(good[:len(good)-3]) // and one that is cut off
		require.NoError(t, flipped.Conn.(*net.TCPConn).CloseWrite())
		require.NoError(t, flipped.Conn.SetDeadline(time.Now().Add(time.Minute)))
		_, _ = io.Copy(io.Discard, flipped.Conn)
		k.SendRaw(good)
		require.Equal(t, "00", k.Decode(k.ReceiveRaw())[39])
		// A PIN over another card, and one that nobody asked to be translated so.
		other := r.card(number + 1_000_000)
		wrong := terminaltest.With(sale, map[int]string{11: fmt.Sprintf("%06d", stan()), 4: "000000010000", 59: "", 52: block("846205917", other.PAN)})
		k.Ask(wrong) // what comes out may be digits, which only the issuer knows to be no PIN
		odd := terminaltest.With(wrong, map[int]string{11: fmt.Sprintf("%06d", stan()), 53: "9900000000000000"})
		require.NotEqual(t, "00", k.Ask(odd)[39])
	}
}

// operate looks at everything that an operator may look at, by what he may type.
func (r *rush) operate() {
	for _, args := range [][]string{
		{"saf", "list"}, {"hold", "list"}, {"budget", "show", "--all"}, {"pauses"}, {"merchant", "show"}, {"terminal", "show"},
		{"purchase", "find", "--terminal", testTerminal}, {"purchase", "find", "--serial", till.NewSerial(731_905_846)},
		{"purchase", "show", "1"}, {"purchase", "show", "1", "--json"}, {"purchase", "show", "2"}, {"purchase", "show", "3"}, {"purchase", "show", "4"},
		{"purchase", "show", "5"}, {"purchase", "show", "6"},
	} {
		r.command(args...)
	}
	dir := r.sw.cfg.Path(r.sw.cfg.Journal.Folder)
	for _, args := range [][]string{
		{"journal", "cat", "--dir", dir}, {"journal", "verify", "--dir", dir}, {"check", "--quiet", "--dir", dir, "--database", r.sw.database.URL()},
		{"check", "--quiet", "--json", "--dir", dir, "--database", r.sw.database.URL()},
	} {
		var out, errs bytes.Buffer
		require.Zero(r.t, run(r.t.Context(), args, nil, &out, &errs), "%v: %s%s", args, out.Bytes(), errs.Bytes())
		r.said = append(r.said, place{fmt.Sprintf("output of %v", args), append(out.Bytes(), errs.Bytes()...)})
	}
}

// left is what the run has left behind: every file of the state folder but the three that are a secret themselves. The key store
// is among them: what it holds is wrapped.
func (r *rush) left(dir string) (places []place) {
	keys := []string{r.sw.cfg.Path(r.sw.cfg.HTTP.TokenFile), filepath.Join(dir, "wallet.key"), r.sw.cfg.Path(r.sw.cfg.Keys.LMKFile)}
	require.NoError(r.t, filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if slices.Contains(keys, name) {
			return nil
		}
		// Of the database the rows are read instead of its files, and what its server says.
		inDatabase := strings.HasPrefix(name, filepath.Join(dir, "postgres")+"/")
		if !entry.Type().IsRegular() || inDatabase && filepath.Ext(name) != ".log" {
			return nil
		}
		b, err := os.ReadFile(name)
		places = append(places, place{name[len(dir):], bytes.TrimRight(b, "\x00")})
		return err
	}))
	return places
}

// Everything that is secret about cards, persons, codes and keys goes in, in all the ways that a day has and some that it has not;
// nothing of it is found in journal, snapshots, cold log, rows, logs at their most talkative, metrics, answers or outputs.
func TestNothingSecretIsLeftBehind(t *testing.T) {
	network, _ := startNetwork(t)
	dir := t.TempDir()
	r := &rush{t: t}
	_, masters := keyedSwitch(t, dir, network)
	cfg := testConfig(t, dir, network, "HUANXIN_LOG_LEVEL=debug", "HUANXIN_HOSTS_UNIONPAY_PIN=iso-0")
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewDevelopmentEncoderConfig()), zapcore.AddSync(&r.log), zapcore.DebugLevel)
	sw, err := newSwitch(t.Context(), cfg, "", zap.New(core))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	r.sw = &testSwitch{Switch: sw, stop: cancel, ended: make(chan error, 1)}
	go func() { r.sw.ended <- sw.Run(ctx) }()
	t.Cleanup(cancel)
	r.sw.ready(t, everythingReady)
	r.line, r.api = r.sw.dial(t), r.sw.api(t)

	lmk, err := os.ReadFile(cfg.Path(cfg.Keys.LMKFile))
	require.NoError(t, err)
	r.hide("local master key", strings.TrimSpace(string(lmk)))
	if raw, err := hex.DecodeString(strings.TrimSpace(string(lmk))); err == nil {
		r.secrets = append(r.secrets, secret{name: "local master key", binary: raw})
	}

	r.play()
	for _, listener := range []string{"secure", "sm"} {
		r.secured(listener, masters[listener])
	}
	require.NoError(t, sw.projector.Wait(t.Context(), sw.journal.Position()))
	r.operate()
	dump := pgtest.Dump(t, sw.database.URL())
	require.Contains(t, string(dump), till.NewPAN(731_905_846)[:6]+"******", "the masks are there")
	r.sw.end(t)

	places := append(r.left(dir), place{"rows", dump}, place{"log", r.log.text()})
	places = append(places, r.said...)
	sieve := newSieve(r.secrets)
	require.Empty(t, sieve.leaks(places...))

	// Had one been anywhere, it would have been found.
	require.Greater(t, len(r.secrets), 60)
	names := map[string]bool{}
	for _, p := range places {
		names[strings.SplitN(strings.TrimPrefix(p.name, "/"), "/", 2)[0]] = true
		middle := len(p.bytes) / 2
		planted := slices.Concat(p.bytes[:middle], []byte(r.secrets[0].text), p.bytes[middle:])
		require.NotEmpty(t, sieve.leaks(place{p.name, planted}), p.name)
		t.Logf("%8d bytes of %s", len(p.bytes), p.name)
	}
	for _, name := range []string{"journal", "rows", "log"} {
		require.True(t, names[name], name)
	}
}
