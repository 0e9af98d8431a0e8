package sim

import (
	"fmt"
	"time"

	"huanxin/internal/money"
	"huanxin/risk/geo"
	"huanxin/switch/engine"
	"huanxin/switch/event"
)

// call is one question to the switch with all its repeats. Whoever asks waits for a while, asks again, and gives up.
type call struct {
	body   func(engine.Token) any // a new one each time: the engine may keep what it gets
	done   func(answer any)       // the first answer; may be nil
	silent func()                 // no answer, and no more patience; may be nil
	left   int                    // repeats that are left
	heard  bool
	fresh  bool // an answer has said that this was new to the switch
	wait   time.Duration
}

// ask sends a question and waits for its answer.
func (w *world) ask(c *call) {
	if c.wait == 0 {
		c.wait = 35 * time.Second
	}
	w.tokens++
	token := w.tokens
	w.calls[token], w.asked[token] = c, c
	times := 1
	if w.double() {
		times = 2
	}
	for i := range times {
		if w.lose() {
			continue
		}
		t := token
		if i > 0 {
			w.tokens++
			t = w.tokens
			w.calls[t], w.asked[t] = c, c
		}
		w.after(w.delay(), func() { w.submit(c.body(t)) })
	}
	w.after(c.wait, func() {
		delete(w.calls, token)
		switch {
		case c.heard:
		case c.left > 0:
			c.left--
			w.ask(c)
		case c.silent != nil:
			c.silent()
		}
	})
}

// once holds the switch to it that of all answers to one request, however often it is sent, one at most calls it new.
func (w *world) once(r *engine.Reply) {
	c := w.asked[r.Token]
	if c == nil || !r.Fresh {
		return
	}
	w.count("check: fresh answers")
	if c.fresh {
		w.fail("a request is new once", "%+v", r)
	}
	c.fresh = true
}

// answered brings an answer to who waits for it, if the line does.
func (w *world) answered(token engine.Token, answer any) {
	c := w.calls[token]
	if c == nil {
		return
	}
	if w.lose() {
		return
	}
	w.after(w.delay(), func() {
		if c.heard {
			return
		}
		c.heard = true
		if c.done != nil {
			c.done(answer)
		}
	})
}

// till is a terminal.
type till struct {
	id, merchant string
	city         string
	categories   []string
	batch, stan  uint32
	sent         []*call // what it may send again, also days later
	reserves     []engine.Key
}

// slip is what a till knows of a sale.
type slip struct {
	till   *till
	key    engine.Key
	amount money.Amount
	rrn    string // "" = the slip has not printed
	card   *event.Card
	voids  []engine.Key
	ok     bool // it says 00
	no     bool // it says something else, and what the host has answered
	undone bool // somebody has asked for it to be undone
}

var cards = []*event.Card{
	{Mask: "622424******0017", Token: []byte("card-0000000001!"), KeyId: "k1", Envelope: []byte{1}},
	{Mask: "622424******0025", Token: []byte("card-0000000002!"), KeyId: "k1", Envelope: []byte{2}},
	{Mask: "625000******0033", Token: []byte("card-0000000003!"), KeyId: "k1", Envelope: []byte{3}},
}

func (w *world) key(t *till, class byte) engine.Key {
	t.stan = t.stan%999_999 + 1
	k := engine.Key{Class: class, Batch: t.batch, STAN: t.stan}
	copy(k.Terminal[:], t.id)
	copy(k.Merchant[:], t.merchant)
	return k
}

func hashOf(format string, args ...any) (h engine.Hash) {
	copy(h[:], fmt.Sprintf(format, args...))
	return h
}

// remember keeps a call to be sent again.
func (t *till) remember(c *call) {
	if t.sent = append(t.sent, c); len(t.sent) > 40 {
		t.sent = t.sent[1:]
	}
}

// signOn asks for the batch.
func (w *world) signOn(t *till) {
	w.codes++
	keys := &engine.NewKeys{
		Kind: 1 + t.stan%2, Wrapped: fmt.Appendf(nil, "wrapped %d", w.codes), Checks: []byte{1, 2, 3, 4, 5, 6, 7, 8},
		Master: [4]byte{byte(t.stan / 12)}, // the terminal gets another one now and then
	}
	if t.stan%3 == 0 {
		keys = nil
	}
	w.ask(&call{left: 2, body: func(token engine.Token) any {
		in := &engine.SignOnRequest{Token: token, Keys: keys}
		copy(in.Terminal[:], t.id)
		copy(in.Merchant[:], t.merchant)
		return in
	}, done: func(a any) {
		if r := a.(*engine.Reply); r.Response == [2]byte{'0', '0'} {
			t.batch = r.Batch
			if r.Keys != nil { // the front sees a good MAC under them
				w.prove(t, r.Keys.Generation)
			}
		}
	}})
}

func (w *world) prove(t *till, generation uint32) {
	in := &engine.KeysProved{Generation: generation}
	copy(in.Terminal[:], t.id)
	w.after(w.delay(), func() { w.submit(in) })
}

func (w *world) signOff(t *till) {
	key := w.key(t, '8')
	w.ask(&call{body: func(token engine.Token) any {
		return &engine.SignOffRequest{Token: token, Key: key}
	}})
}

// person is somebody who buys.
type person struct {
	hash         engine.Hash
	entitlements map[string]uint64 // by category, as far as the person knows
}

// products by category: barcode and price.
var products = map[string]struct {
	barcode string
	price   money.Amount
}{
	"A01": {"6901234567892", 500_000},
	"A02": {"6901234101485", 100_000},
	"A04": {"6901234102963", 300_000},
}

// shop is one visit: claim, show a code, reserve, pay. Each step waits for the answer of the one before.
func (w *world) visit(t *till) {
	p := oneOf(w, w.persons...)
	category := oneOf(w, t.categories...)
	w.claim(p, category, t.city, func(id uint64) {
		w.codes++
		code := hashOf("code %d", w.codes)
		at := geo.Point{Lon: 123_431_500, Lat: 41_805_700}
		w.ask(&call{body: func(token engine.Token) any {
			return &engine.ShowCodeRequest{Token: token, Entitlement: id, Person: p.hash, Code: code,
				Position: engine.Position{Given: true, At: at, CRS: geo.WGS84, Age: 5}}
		}, done: func(a any) {
			if a.(*engine.APIReply).Status == engine.APIDone {
				w.reserve(t, code, category)
			}
		}})
	})
}

// claim gets an entitlement, or remembers that there is one.
func (w *world) claim(p *person, category, city string, then func(id uint64)) {
	if id := p.entitlements[category]; id != 0 && w.chance(800) {
		then(id)
		return
	}
	w.codes++
	request := hashOf("claim %d", w.codes)
	w.ask(&call{left: 2, body: func(token engine.Token) any {
		return &engine.ClaimRequest{Token: token, Request: request, Content: hashOf("c"), Person: p.hash, IDKind: "id-card",
			Category: category, City: city, Channel: "store"}
	}, done: func(a any) {
		switch r := a.(*engine.APIReply); r.Status {
		case engine.APIDone, engine.APIRepeated:
			p.entitlements[category] = r.View.ID
			then(r.View.ID)
		default:
			if id := p.entitlements[category]; id != 0 {
				then(id)
			}
		}
	}})
}

func (w *world) serial() engine.Hash {
	w.serials++
	if w.chance(150) {
		return hashOf("serial %d", 1+w.rng.IntN(w.serials))
	}
	return hashOf("serial %d", w.serials)
}

func (w *world) reserve(t *till, code engine.Hash, category string) {
	key, product, serial := w.key(t, '1'), products[category], w.serial()
	w.codes++
	order := fmt.Sprint("order ", w.codes)
	c := &call{left: w.rng.IntN(2), body: func(token engine.Token) any {
		return &engine.ReserveRequest{Token: token, Key: key, Content: code, Code: code, Barcode: product.barcode, Price: product.price,
			Serial: serial, SerialMask: "***", SerialOK: true, Order: order}
	}}
	c.silent = func() {
		if w.chance(700) {
			w.reverse(key, product.price)
		}
	}
	c.done = func(a any) {
		r := a.(*engine.Reply)
		w.heard(t, r)
		if r.Response != [2]byte{'0', '0'} {
			return
		}
		if p := w.model.purchases[r.Hold]; p == nil || p.price != int64(r.Price) || p.granted != int64(r.Subsidy) || p.payable != int64(r.Payable) {
			w.fail("what was answered is in the books", "hold %d over %s with %s of subsidy", r.Hold, r.Price, r.Subsidy)
		}
		switch {
		case w.chance(60):
			w.cancel(t, r.Hold)
		case w.chance(80): // the buyer has walked away, or comes back too late
			if w.chance(500) {
				w.after(w.between(170*time.Second, 200*time.Second), func() { w.sell(t, r.Hold, r.Payable) })
			}
		default:
			w.after(w.between(0, 20*time.Second), func() { w.sell(t, r.Hold, r.Payable) })
		}
	}
	t.remember(c)
	t.reserves = append(t.reserves, key)
	w.ask(c)
}

// heard is what a till does about an answer that is about its session.
func (w *world) heard(t *till, r *engine.Reply) {
	if r.Response == [2]byte{'7', '7'} {
		w.signOn(t)
	}
}

func (w *world) cancel(t *till, hold uint64) {
	key := w.key(t, '1')
	c := &call{left: 1, body: func(token engine.Token) any {
		return &engine.CancelRequest{Token: token, Key: key, Content: hashOf("cancel %d", hold), Hold: hold}
	}, done: func(a any) {
		r := a.(*engine.Reply)
		if w.heard(t, r); r.Response == [2]byte{'0', '0'} {
			w.promised(func() bool { return w.model.taken(target{purchase: hold}) }, "hold %d was cancelled", hold)
		}
	}}
	t.remember(c)
	w.ask(c)
}

// sell asks for a payment; hold 0 is an ordinary sale.
func (w *world) sell(t *till, hold uint64, amount money.Amount) *call {
	return w.pay(t, &engine.SaleRequest{Hold: hold, Amount: amount, Host: oneOf(w, "cup", "cup", "bank", "wallet")})
}

func (w *world) pay(t *till, in *engine.SaleRequest) *call {
	in.Key, in.Card, in.ICCAmount, in.EntryMode = w.key(t, '2'), oneOf(w, cards...), -1, [3]byte([]byte("051"))
	if in.Key.STAN%7 == 0 && in.Hold != 0 && w.chance(200) {
		in.Amount-- // a till that cannot compute
	}
	in.Content = hashOf("%d %d", in.Amount, in.Hold)
	s := &slip{till: t, key: in.Key, amount: in.Amount, card: in.Card}
	w.slips = append(w.slips, s)
	c := &call{left: w.rng.IntN(2), body: func(token engine.Token) any {
		again := *in
		again.Token = token
		return &again
	}}
	c.done = func(a any) {
		r := a.(*engine.Reply)
		w.heard(t, r)
		s.rrn, s.ok = r.RRN, r.Response == [2]byte{'0', '0'}
		s.no = !s.ok && r.RRN != ""
		if s.ok && w.chance(40) { // the printer is out of paper, or the card refuses
			w.reverse(in.Key, in.Amount)
		}
	}
	c.silent = func() {
		if w.chance(750) {
			w.reverse(in.Key, in.Amount)
		}
	}
	t.remember(c)
	w.ask(c)
	return c
}

// reverse is the 0400, repeated until it is answered.
func (w *world) reverse(key engine.Key, amount money.Amount) {
	w.reversed[key] = true
	w.ask(&call{left: 4, body: func(token engine.Token) any {
		return &engine.ReversalRequest{Token: token, Original: key, Content: hashOf("r"), Amount: amount, Cause: [2]byte{'9', '8'}}
	}, done: func(a any) {
		if a.(*engine.Reply).Response == [2]byte{'0', '0'} {
			w.promised(func() bool { return w.model.taken(w.model.begun(key)) }, "the 0400 of %s %06d was answered 00", key.Terminal, key.STAN)
		}
	}})
}

// original is DE61 of a slip.
func (s *slip) original() engine.Original {
	return engine.Original{Batch: s.key.Batch, STAN: s.key.STAN}
}

func (w *world) void(s *slip) {
	key := w.key(s.till, '2')
	c := &call{left: w.rng.IntN(2), body: func(token engine.Token) any {
		return &engine.VoidRequest{Token: token, Key: key, Content: hashOf("void"), Amount: s.amount, Card: s.card, Original: s.original(), RRN: s.rrn}
	}}
	c.done = func(a any) {
		r := a.(*engine.Reply)
		if w.heard(s.till, r); r.Response == [2]byte{'0', '0'} {
			w.promised(func() bool { return w.reversed[key] || w.model.given(w.model.begun(key)) }, "void %s %06d was answered 00", key.Terminal, key.STAN)
		}
		switch {
		case w.chance(200): // at once, or when what it frees may be another's by now
			w.after(w.between(0, 9*time.Minute), func() { w.reverse(key, s.amount) })
		case w.chance(150):
			w.after(w.between(9*time.Minute, 30*time.Minute), func() { w.reverse(key, s.amount) })
		}
	}
	c.silent = func() { w.reverse(key, s.amount) }
	s.voids, s.undone = append(s.voids, key), true
	s.till.remember(c)
	w.ask(c)
}

func (w *world) refund(s *slip, t *till) {
	if t.merchant != s.till.merchant {
		t = s.till
	}
	amount := s.amount
	s.undone = true
	if w.chance(500) {
		amount = max(s.amount/money.Amount(2+w.rng.IntN(4)), 1)
	}
	times := 1
	if w.chance(300) {
		times = 2
	}
	for range times {
		key, activated := w.key(t, '2'), w.chance(100)
		c := &call{left: w.rng.IntN(2), body: func(token engine.Token) any {
			return &engine.RefundRequest{Token: token, Key: key, Content: hashOf("refund %d", amount), Amount: amount, Card: s.card,
				Original: s.original(), RRN: s.rrn, Activated: activated}
		}, done: func(a any) {
			r := a.(*engine.Reply)
			if w.heard(t, r); r.Response == [2]byte{'0', '0'} {
				w.promised(func() bool { return w.model.given(w.model.begun(key)) }, "refund %s %06d was answered 00", key.Terminal, key.STAN)
			}
		}}
		if w.chance(150) {
			c.silent = func() { w.reverse(key, amount) }
		}
		t.remember(c)
		w.ask(c)
	}
}

// settle closes the batch and sends its records.
func (w *world) settle(t *till) {
	key := w.key(t, '5')
	batch := t.batch
	c := &call{left: 3, body: func(token engine.Token) any {
		return &engine.SettlementRequest{Token: token, Key: key, Content: hashOf("settle")}
	}}
	c.done = func(a any) {
		r := a.(*engine.Reply)
		w.heard(t, r)
		if r.Totals == nil {
			return
		}
		if t.batch == batch {
			t.batch++
		}
		w.upload(t, batch)
	}
	t.remember(c)
	w.ask(c)
}

func (w *world) upload(t *till, batch uint32) {
	var records []engine.UploadRecord
	for _, s := range w.slips {
		if s.till == t && s.key.Batch == batch && s.ok && len(records) < 8 {
			records = append(records, engine.UploadRecord{STAN: s.key.STAN, Amount: s.amount})
		}
	}
	key, end := w.key(t, '3'), w.key(t, '3')
	key.Batch, end.Batch = batch, batch
	w.ask(&call{left: 2, body: func(token engine.Token) any {
		return &engine.UploadRequest{Token: token, Key: key, Content: hashOf("upload"), Records: records}
	}, done: func(any) {
		w.ask(&call{left: 2, body: func(token engine.Token) any {
			return &engine.UploadEndRequest{Token: token, Key: end, Content: hashOf("end"), Count: uint32(len(records))}
		}})
	}})
}

// look asks how a purchase stands; the answer must not contradict what the slip says.
func (w *world) look(t *till, s *slip) {
	w.ask(&call{body: func(token engine.Token) any {
		in := &engine.StatusRequest{Token: token, Key: w.key(t, '1')}
		if s != nil {
			in.Original = s.original()
		}
		return in
	}, done: func(a any) {
		r := a.(*engine.Reply)
		if s != nil && s.till == t && r.Purchase != nil && s.rrn == "" && r.RRN != "" {
			s.rrn = r.RRN
		}
	}})
}
