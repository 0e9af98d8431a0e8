package engine_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/risk/geo"
	"huanxin/switch/engine"
	"huanxin/switch/event"
)

// network is a card network with its own ledger and an unreliable line: messages wait, get lost and are answered twice;
// answers overtake each other, and so do requests, but never those of one purchase. It charges a sale once and returns
// a charge once, by RRN, as a real one does.
type network struct {
	charged  map[string]int64 // by RRN of the sale: net charge
	seen     map[string]*event.HostAnswer
	undone   map[string]bool   // by RRN: reversed, or closed by a wallet
	voids    map[string]string // RRN of a void → of its sale
	requests []*engine.HostRequest
	answers  []*engine.HostAnswered
}

func newNetwork() *network {
	return &network{charged: map[string]int64{}, seen: map[string]*event.HostAnswer{}, undone: map[string]bool{}, voids: map[string]string{}}
}

// process lets the host work on one request. fate decides what it says to a sale, void or refund.
func (n *network) process(r *engine.HostRequest, fate int) {
	answer := &engine.HostAnswered{Host: r.Host, Kind: engine.HostSale, RRN: r.RRN, STAN: r.STAN}
	var a *event.HostAnswer
	switch r.Kind {
	case engine.HostReversal:
		answer.Kind, a = engine.HostReversal, n.reverse(r)
	case engine.HostQuery:
		answer.Kind = engine.HostQuery
		switch a = n.seen[r.RRN]; {
		case a == nil && r.Operation != 0 && r.TransmittedAt-r.Original.TransmittedAt >= int64(time.Minute):
			n.undone[r.RRN] = true // the link withdraws what has not arrived for so long
			a = &event.HostAnswer{Response: "12"}
		case a == nil:
			answer.Pending, a = true, &event.HostAnswer{Response: "25"}
		case n.undone[r.RRN]:
			a = &event.HostAnswer{Response: "12"}
		case a.Response == "09" && fate < 3:
			answer.Pending = true
		case a.Response == "09": // the payer has typed the password
			a = n.charge(r.RRN, int64(r.Original.Amount))
		case !engineApproves(a):
			a = &event.HostAnswer{Response: "12"}
		}
	default:
		if a = n.seen[r.RRN]; a == nil {
			a = n.work(r, fate)
		}
		answer.Pending = a.Response == "09"
	}
	answer.Answer.Response, answer.Answer.Approval, answer.Answer.ClearingDate, answer.Answer.Amount = a.Response, a.Approval, a.ClearingDate, a.Amount
	n.answers = append(n.answers, answer)
}

func engineApproves(a *event.HostAnswer) bool { return a.Response == "00" }

func (n *network) charge(rrn string, amount int64) *event.HostAnswer {
	n.seen[rrn] = &event.HostAnswer{Response: "00", Approval: "A00001", ClearingDate: "0302", Amount: amount}
	n.charged[rrn] = amount
	return n.seen[rrn]
}

// work does what is asked for the first time.
func (n *network) work(r *engine.HostRequest, fate int) *event.HostAnswer {
	amount, of := int64(r.Amount), r.Original.RRN
	switch {
	case n.undone[r.RRN]: // a wallet's tombstone: cancelled before it came
		n.seen[r.RRN] = &event.HostAnswer{Response: "12"}
	case fate == 0:
		n.seen[r.RRN] = &event.HostAnswer{Response: "51"}
	case r.Kind == engine.HostVoid && n.charged[of] != amount || r.Kind == engine.HostRefund && n.charged[of] < amount:
		n.seen[r.RRN] = &event.HostAnswer{Response: "22"}
	case r.Kind != engine.HostSale:
		n.charged[of] -= amount
		n.voids[r.RRN] = of
		n.seen[r.RRN] = &event.HostAnswer{Response: "00", Approval: "V00001", ClearingDate: "0302", Amount: amount}
	case fate == 1 && r.Host == "cup":
		n.seen[r.RRN] = &event.HostAnswer{Response: "10", Approval: "A00001", ClearingDate: "0302", Amount: amount / 2}
		n.charged[r.RRN] = amount / 2
	case fate == 1: // pending at the wallet
		n.seen[r.RRN] = &event.HostAnswer{Response: "09"}
	default:
		return n.charge(r.RRN, amount)
	}
	return n.seen[r.RRN]
}

// reverse undoes a sale, gives a payment back, or charges anew what a void had given back.
func (n *network) reverse(r *engine.HostRequest) *event.HostAnswer {
	a, done := n.seen[r.RRN], n.undone[r.RRN]
	switch {
	case r.Host == "wallet":
		n.undone[r.RRN], n.charged[r.RRN] = true, 0
	case a == nil:
		return &event.HostAnswer{Response: "25"}
	case a.Response != "00" && a.Response != "10":
		return &event.HostAnswer{Response: "12"}
	case done:
	case r.Processing == "200000":
		n.undone[r.RRN] = true
		n.charged[n.voids[r.RRN]] += int64(r.Amount)
	default:
		n.undone[r.RRN], n.charged[r.RRN] = true, 0
	}
	return &event.HostAnswer{Response: "00"}
}

// book is what the events say of each purchase, kept by hand: the facts, read as an auditor would.
type book struct {
	rrn        map[uint64]string
	captured   map[uint64]bool
	subsidised map[uint64]bool
	subsidy    map[uint64]int64
	amount     map[uint64]int64
	payable    map[uint64]int64
	serial     map[string]uint64 // live purchase of a serial
	serialOf   map[uint64]string
	items      map[string]int // live items by person and category
	personOf   map[uint64]string
	pending    map[uint64]bool // being reversed
	refunded   map[uint64]int64
	keeps      map[uint64]bool // a wallet's: let go when the reversal is done
	refunds    map[uint64]*event.RefundSent
	voidedBy   map[uint64]uint64 // the void by which it is voiding or voided
}

func newBook() *book {
	return &book{rrn: map[uint64]string{}, captured: map[uint64]bool{}, subsidised: map[uint64]bool{}, subsidy: map[uint64]int64{},
		amount: map[uint64]int64{}, payable: map[uint64]int64{}, serial: map[string]uint64{}, serialOf: map[uint64]string{},
		items: map[string]int{}, personOf: map[uint64]string{}, pending: map[uint64]bool{}, refunded: map[uint64]int64{},
		keeps: map[uint64]bool{}, refunds: map[uint64]*event.RefundSent{}, voidedBy: map[uint64]uint64{}}
}

func (b *book) release(t require.TestingT, id uint64) {
	if s, ok := b.serialOf[id]; ok {
		require.Equal(t, id, b.serial[s], "a serial is freed by its own purchase")
		delete(b.serial, s)
		delete(b.serialOf, id)
		b.items[b.personOf[id]]--
	}
}

func (b *book) read(t require.TestingT, ev *event.Event) {
	switch m := ev.Body.(type) {
	case *event.Event_Reserved:
		r := m.Reserved
		serial, person := string(r.Serial), string(r.Person)+r.Category
		require.Zero(t, b.serial[serial], "a serial belongs to one live purchase")
		quota := map[string]int{"A01": 1, "A02": 1, "A04": 3}[r.Category]
		require.Less(t, b.items[person], quota, "no person gets more items than the quota")
		b.serial[serial], b.serialOf[r.Purchase] = r.Purchase, serial
		b.items[person]++
		b.personOf[r.Purchase] = person
		b.subsidised[r.Purchase], b.subsidy[r.Purchase], b.payable[r.Purchase] = true, r.Subsidy, r.Payable
		require.Equal(t, r.Price, r.Subsidy+r.Payable)
	case *event.Event_SaleSent:
		s := m.SaleSent
		require.Empty(t, b.rrn[s.Purchase], "a sale is sent once")
		b.rrn[s.Purchase], b.amount[s.Purchase] = s.Rrn, s.Amount
		if b.subsidised[s.Purchase] {
			require.Equal(t, b.payable[s.Purchase], s.Amount, "what is charged is the payable")
		}
	case *event.Event_SaleApproved:
		require.False(t, b.pending[m.SaleApproved.Purchase], "a purchase that is being reversed is never captured")
		b.captured[m.SaleApproved.Purchase] = true
	case *event.Event_SaleDeclined:
		b.release(t, m.SaleDeclined.Purchase)
	case *event.Event_HoldExpired:
		b.release(t, m.HoldExpired.Purchase)
	case *event.Event_HoldCancelled:
		b.release(t, m.HoldCancelled.Purchase)
	default:
		b.readAfterSale(t, ev)
	}
}

func (b *book) readAfterSale(t require.TestingT, ev *event.Event) {
	switch m := ev.Body.(type) {
	case *event.Event_ReversalQueued:
		id := m.ReversalQueued.Purchase
		if op := m.ReversalQueued.Operation; op != 0 { // a void is taken back
			if b.voidedBy[id] == op {
				b.captured[id], b.voidedBy[id] = true, 0
			}
			return
		}
		require.Zero(t, b.refunded[id], "what is refunded is never reversed")
		b.captured[id], b.pending[id] = false, true
		if b.keeps[id] = m.ReversalQueued.KeepsHold; !b.keeps[id] {
			b.release(t, id)
		}
	case *event.Event_ReversalResolved:
		if r := m.ReversalResolved; r.Operation != 0 && r.Outcome == "returned" { // the void stands
			require.True(t, b.captured[r.Purchase])
			b.captured[r.Purchase] = false
			b.release(t, r.Purchase)
		}
	case *event.Event_ReversalDone:
		if id := m.ReversalDone.Purchase; b.keeps[id] {
			b.keeps[id] = false
			b.release(t, id)
		}
	case *event.Event_VoidSent:
		b.voidedBy[m.VoidSent.Purchase] = m.VoidSent.Operation
	case *event.Event_VoidDeclined:
		b.voidedBy[m.VoidDeclined.Purchase] = 0
	case *event.Event_VoidApproved:
		require.True(t, b.captured[m.VoidApproved.Purchase])
		b.captured[m.VoidApproved.Purchase] = false
	case *event.Event_VoidReleased:
		require.False(t, b.captured[m.VoidReleased.Purchase], "what a void frees is not charged any more")
		b.release(t, m.VoidReleased.Purchase)
	case *event.Event_RefundSent:
		b.refunds[m.RefundSent.Operation] = m.RefundSent
	case *event.Event_RefundApproved:
		r := m.RefundApproved
		b.refunded[r.Purchase] += b.refunds[r.Operation].Amount
		require.LessOrEqual(t, b.refunded[r.Purchase], b.amount[r.Purchase], "never more is refunded than was paid")
		b.subsidy[r.Purchase] -= r.Returned
		var parts int64
		for _, part := range r.Parts {
			require.GreaterOrEqual(t, part.Amount, int64(0))
			parts += part.Amount
		}
		require.Equal(t, r.Returned, parts)
		if r.Whole {
			require.Zero(t, b.subsidy[r.Purchase], "of what is given back as a whole no subsidy stays")
		}
	case *event.Event_EntitlementRestored:
		b.release(t, m.EntitlementRestored.Purchase)
	}
}

// Whatever crosses – resends, reversals before and after their sale, lost, late, double and partial answers, expiry,
// restarts, days that pass while all that is on a line – when everything has settled, the network has charged exactly the captured purchases, the budget has spent
// exactly their subsidies, and nothing is left on hold.
func TestWhateverCrossesTheBooksAgreeInTheEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wait := rapid.SampledFrom([]int64{0, atOnce, int64(5 * time.Second), int64(2 * time.Minute)}).Draw(t, "cold after")
		w := &world{t: t, lab: newCoolingLab(t, wait), network: newNetwork(), book: newBook(), batch: map[string]uint32{}}
		for range rapid.IntRange(5, 60).Draw(t, "moves") {
			w.move()
		}
		w.settle()
	})
}

type world struct {
	t       *rapid.T
	lab     *lab
	network *network
	book    *book
	stan    uint32
	codes   int
	holds   []hold
	sales   []*engine.SaleRequest
	reserve []*engine.ReserveRequest
	voids   []*engine.VoidRequest
	refunds []*engine.RefundRequest
	batch   map[string]uint32
	saved   snapshot
}

type hold struct {
	id       uint64
	terminal string
	payable  int64
}

func (w *world) step(body any) engine.Output {
	out := w.lab.step(body)
	w.take(out)
	return out
}

func (w *world) take(out engine.Output) {
	for _, ev := range out.Events {
		w.book.read(w.t, ev)
	}
	for _, s := range out.Sends {
		if s.Host != nil {
			w.network.requests = append(w.network.requests, s.Host)
		}
	}
}

func (w *world) key(class byte, terminal string) engine.Key {
	w.stan++
	k := engine.Key{Class: class, Batch: 1 + w.batch[terminal], STAN: w.stan}
	copy(k.Terminal[:], terminal)
	copy(k.Merchant[:], "898210157220001")
	return k
}

func (w *world) terminal() string {
	return rapid.SampledFrom([]string{"21010001", "21010002"}).Draw(w.t, "terminal")
}

func (w *world) host() string {
	return rapid.SampledFrom([]string{"cup", "cup", "wallet"}).Draw(w.t, "host")
}

func (w *world) move() {
	switch rapid.IntRange(0, 20).Draw(w.t, "move") {
	case 0, 1, 2:
		w.shop()
	case 3, 4:
		w.sell()
	case 5: // an ordinary sale
		w.sale(&engine.SaleRequest{Key: w.key('2', w.terminal()), Host: w.host(), Amount: 700, ICCAmount: -1, EntryMode: [3]byte([]byte("051"))})
	case 6:
		w.resend()
	case 7:
		w.reverse()
	case 8, 9:
		w.hostWorks()
	case 10, 11:
		w.hostSpeaks()
	case 12:
		wait := rapid.SampledFrom([]time.Duration{time.Second, 10 * time.Second, 26 * time.Second, 200 * time.Second, 26 * time.Hour, 80 * time.Hour}).Draw(w.t, "wait")
		w.lab.now += int64(wait)
		w.tick()
	case 13:
		w.crash()
	case 14, 15:
		w.void()
	case 16, 17:
		w.refund()
	case 18:
		w.closeBatch()
	case 19:
		w.takeVoidBack()
	case 20:
		w.operate(rapid.Bool().Draw(w.t, "again"))
	}
}

// crash restarts from the newest state, from an older one, or from the events alone; or it saves a state for later.
func (w *world) crash() {
	switch rapid.IntRange(0, 5).Draw(w.t, "crash") {
	case 0:
		w.take(w.lab.restart())
	case 1:
		w.take(w.lab.restartFrom(w.saved))
	case 2:
		w.take(w.lab.restartFrom(snapshot{}))
	case 3:
		w.saved = w.lab.save()
	}
}

// void asks for a void of any sale so far, or the same void again.
func (w *world) void() {
	if len(w.voids) > 0 && rapid.IntRange(0, 4).Draw(w.t, "again") == 0 {
		again := *rapid.SampledFrom(w.voids).Draw(w.t, "which")
		again.Token = w.lab.nextToken()
		w.step(&again)
		return
	}
	if len(w.sales) == 0 {
		return
	}
	s := rapid.SampledFrom(w.sales).Draw(w.t, "sale to void")
	in := &engine.VoidRequest{Token: w.lab.nextToken(), Key: w.key('2', string(s.Key.Terminal[:])), Amount: s.Amount, Card: s.Card,
		Original: engine.Original{Batch: s.Key.Batch, STAN: s.Key.STAN}, Content: hashOf("void")}
	w.voids = append(w.voids, in)
	w.step(in)
}

func (w *world) takeVoidBack() {
	if len(w.voids) == 0 {
		return
	}
	v := rapid.SampledFrom(w.voids).Draw(w.t, "void to take back")
	w.step(&engine.ReversalRequest{Token: w.lab.nextToken(), Original: v.Key, Amount: v.Amount, Cause: [2]byte{'9', '8'}})
}

// refund asks for all or a part of any sale so far, at any terminal of the merchant.
func (w *world) refund() {
	if len(w.sales) == 0 {
		return
	}
	s := rapid.SampledFrom(w.sales).Draw(w.t, "sale to refund")
	amount := s.Amount
	if rapid.Bool().Draw(w.t, "part") {
		amount = s.Amount / 5
	}
	in := &engine.RefundRequest{Token: w.lab.nextToken(), Key: w.key('2', w.terminal()), Amount: amount, Card: s.Card, Content: hashOf("refund"),
		RRN: w.rrnOf(s), Original: engine.Original{Batch: s.Key.Batch, STAN: s.Key.STAN}}
	w.refunds = append(w.refunds, in)
	w.step(in)
	if rapid.IntRange(0, 4).Draw(w.t, "take back") == 0 { // which a refund never is
		w.step(&engine.ReversalRequest{Token: w.lab.nextToken(), Original: in.Key, Amount: amount, Cause: [2]byte{'9', '8'}})
	}
}

// rrnOf is what the slip of a sale says, "" when there is none.
func (w *world) rrnOf(s *engine.SaleRequest) string {
	for _, send := range w.step(&engine.StatusRequest{Token: w.lab.nextToken(), Key: s.Key, Original: engine.Original{Batch: s.Key.Batch, STAN: s.Key.STAN}}).Sends {
		if send.Reply != nil && send.Reply.Purchase != nil {
			return send.Reply.Purchase.RRN
		}
	}
	return ""
}

func (w *world) closeBatch() {
	terminal := w.terminal()
	key := w.key('5', terminal)
	for _, send := range w.step(&engine.SettlementRequest{Token: w.lab.nextToken(), Key: key}).Sends {
		if r := send.Reply; r != nil && r.Totals != nil {
			w.batch[terminal]++
		}
	}
}

func (w *world) tick() {
	for w.lab.live.NextDeadline() <= w.lab.now {
		w.step(&engine.Tick{})
	}
}

// shop claims, shows a code and reserves, for one of four persons and six serial numbers, so that they collide.
func (w *world) shop() {
	person := hashOf(rapid.SampledFrom([]string{"p1", "p2", "p3", "p4"}).Draw(w.t, "person"))
	category := rapid.SampledFrom([]string{"A01", "A04"}).Draw(w.t, "category")
	w.step(&engine.ClaimRequest{Token: w.lab.nextToken(), Person: person, IDKind: "id-card", Category: category, City: "210100", Channel: "store"})
	at, crs, age, err := geo.ParsePosition([]byte("W123.4315,41.8057,5"))
	require.NoError(w.t, err)
	for id := uint64(1); id < w.lab.live.Book().NextEntitlement(); id++ {
		en, _ := w.lab.live.Book().Entitlement(id)
		if w.lab.live.Book().PersonOf(en) != person || w.lab.live.Book().CategoryOf(en) != category {
			continue
		}
		w.codes++
		code := hashOf(fmt.Sprintf("code %d", w.codes))
		w.step(&engine.ShowCodeRequest{Token: w.lab.nextToken(), Entitlement: id, Person: person, Code: code,
			Position: engine.Position{Given: true, At: at, CRS: crs, Age: age}})
		terminal := w.terminal()
		barcode := map[string]string{"A01": "6901234567892", "A04": "6901234102963"}[category]
		in := &engine.ReserveRequest{Token: w.lab.nextToken(), Key: w.key('1', terminal), Code: code, Barcode: barcode,
			Price: 500_000, SerialOK: true, Content: code,
			Order: fmt.Sprintf("order %d", w.codes), Serial: hashOf(fmt.Sprintf("serial %d", rapid.IntRange(1, 6).Draw(w.t, "serial")))}
		w.reserve = append(w.reserve, in)
		for _, s := range w.step(in).Sends {
			if r := s.Reply; r != nil && r.Response == [2]byte{'0', '0'} {
				w.holds = append(w.holds, hold{r.Hold, terminal, int64(r.Payable)})
			}
		}
		return
	}
}

func (w *world) sell() {
	if len(w.holds) == 0 {
		return
	}
	h := rapid.SampledFrom(w.holds).Draw(w.t, "hold")
	w.sale(&engine.SaleRequest{Key: w.key('2', h.terminal), Host: w.host(), Hold: h.id, Amount: 400_000, ICCAmount: -1, EntryMode: [3]byte([]byte("051"))})
}

func (w *world) sale(in *engine.SaleRequest) {
	in.Token = w.lab.nextToken()
	in.Content = hashOf(fmt.Sprint(in.Amount, in.Hold))
	in.Card = &event.Card{Mask: "622424******0017", Token: make([]byte, 16)}
	w.sales = append(w.sales, in)
	w.step(in)
}

func (w *world) resend() {
	if len(w.sales) > 0 && rapid.Bool().Draw(w.t, "sale") {
		again := *rapid.SampledFrom(w.sales).Draw(w.t, "which")
		again.Token = w.lab.nextToken()
		w.step(&again)
	} else if len(w.reserve) > 0 {
		again := *rapid.SampledFrom(w.reserve).Draw(w.t, "which")
		again.Token = w.lab.nextToken()
		w.step(&again)
	}
}

func (w *world) reverse() {
	in := &engine.ReversalRequest{Token: w.lab.nextToken(), Cause: [2]byte{'9', '8'}}
	switch {
	case len(w.sales) > 0 && rapid.IntRange(0, 3).Draw(w.t, "what") > 0:
		s := rapid.SampledFrom(w.sales).Draw(w.t, "which")
		in.Original, in.Amount = s.Key, s.Amount
	case len(w.reserve) > 0 && rapid.Bool().Draw(w.t, "reserve"):
		r := rapid.SampledFrom(w.reserve).Draw(w.t, "which")
		in.Original, in.Amount = r.Key, r.Price
	default: // before its original
		s := &engine.SaleRequest{Key: w.key('2', w.terminal()), Host: "cup", Amount: 700, ICCAmount: -1, EntryMode: [3]byte([]byte("051")),
			Content: hashOf(fmt.Sprint(7.00, 0)), Card: &event.Card{Mask: "x"}}
		in.Original, in.Amount = s.Key, s.Amount
		w.sales = append(w.sales, s)
	}
	w.step(in)
}

func (w *world) hostWorks() {
	n := w.network
	if len(n.requests) == 0 {
		return
	}
	i := rapid.IntRange(0, len(n.requests)-1).Draw(w.t, "request")
	for j := range i { // a link is first in, first out: a reversal never overtakes its own sale
		if n.requests[j].RRN == n.requests[i].RRN {
			i = j
			break
		}
	}
	r := n.requests[i]
	n.requests = append(n.requests[:i:i], n.requests[i+1:]...)
	switch rapid.IntRange(0, 7).Draw(w.t, "fate") {
	case 0: // lost on the way
	case 1: // certainly never left
		w.step(&engine.HostUnsent{Kind: r.Kind, Purchase: r.Purchase, Operation: r.Operation, Reversal: r.Reversal, Attempt: r.Attempt, RRN: r.RRN})
	default:
		n.process(r, rapid.IntRange(0, 6).Draw(w.t, "says"))
	}
}

func (w *world) hostSpeaks() {
	n := w.network
	if len(n.answers) == 0 {
		return
	}
	i := rapid.IntRange(0, len(n.answers)-1).Draw(w.t, "answer")
	a := n.answers[i]
	if rapid.IntRange(0, 3).Draw(w.t, "twice") > 0 {
		n.answers = append(n.answers[:i:i], n.answers[i+1:]...)
	}
	if rapid.IntRange(0, 5).Draw(w.t, "lost") > 0 {
		w.step(a)
	}
}

// minute is one over a reliable line.
func (w *world) minute() {
	n := w.network
	for len(n.requests) > 0 {
		r := n.requests[0]
		n.requests = n.requests[1:]
		n.process(r, 6)
	}
	for len(n.answers) > 0 {
		a := n.answers[0]
		n.answers = n.answers[1:]
		w.step(a)
	}
	w.lab.now += int64(time.Minute)
	w.tick()
	w.operate(false)
}

// settle lets everything come to its end, and holds the books against the network's.
func (w *world) settle() {
	n := w.network
	for range 200 {
		w.minute()
	}
	require.Zero(w.t, w.lab.live.Book().OpenHolds(), "no orphan hold")
	v := w.lab.live.Vitals()
	require.Zero(w.t, v.Queued+v.Unknown+v.Dead, "everything has an end")
	var spent int64
	for id, rrn := range w.book.rrn {
		want := int64(0)
		if w.book.captured[id] {
			want = w.book.amount[id] - w.book.refunded[id]
		}
		require.Equal(w.t, want, n.charged[rrn], "purchase %d: the network charges exactly what is captured", id)
	}
	for id := range w.book.captured {
		if w.book.captured[id] && w.book.subsidised[id] {
			spent += w.book.subsidy[id]
		}
	}
	root, _ := w.lab.live.Book().Budget.Find("")
	require.NoError(w.t, w.lab.live.CheckInvariants())
	require.Equal(w.t, spent, int64(w.lab.live.Book().Budget.View(root).Spent), "the budget has spent exactly the captured subsidies")
	require.Zero(w.t, w.lab.live.Book().Budget.View(root).Held)
}

// operate is the operator with the hosts' ledgers: they decide how what waits for a person has ended. What is still on a line
// they cannot show, so that is left alone. again has reversals sent once more instead.
func (w *world) operate(again bool) {
	n := w.network
	for _, v := range w.look() {
		var act any
		switch charged := n.charged[v.RRN]; {
		case w.onLine(v.RRN):
			continue
		case v.ID[0] == 'F' && v.State != "sent" && v.Host == "cup":
			outcome := "failed"
			if n.took(v.RRN) {
				outcome = "confirmed"
			}
			act = engine.ResolveItem{ID: v.ID, Outcome: outcome}
		case v.Kind == "repayment": // by a transfer of the bank's
			n.charged[v.RRN] = 0
			act = engine.ResolveItem{ID: v.ID}
		case v.State != "dead" && v.State != "refused":
			continue
		case again:
			act = engine.RetryItem{ID: v.ID}
		case v.Kind == "void-reversal" && !n.took(v.RRN) || v.Kind != "void-reversal" && charged != 0:
			act = engine.ResolveItem{ID: v.ID, Outcome: "charged"}
		default:
			act = engine.ResolveItem{ID: v.ID, Outcome: "returned"}
		}
		for _, problem := range w.act(act) {
			require.Contains(w.t, problem, "its void can no longer stand")
			require.Empty(w.t, w.act(engine.RetryItem{ID: v.ID}), "so it is taken back all the same")
		}
	}
}

// took reports whether a void or refund has given something back, and that has not been charged anew.
func (n *network) took(rrn string) bool {
	a := n.seen[rrn]
	return a != nil && engineApproves(a) && !n.undone[rrn]
}

// onLine reports whether a message about a request is on its way.
func (w *world) onLine(rrn string) bool {
	return slices.ContainsFunc(w.network.requests, func(r *engine.HostRequest) bool { return r.RRN == rrn }) ||
		slices.ContainsFunc(w.network.answers, func(a *engine.HostAnswered) bool { return a.RRN == rrn })
}

func (w *world) look() (list []engine.SAFView) {
	for _, s := range w.step(&engine.Look{Token: 1, What: engine.LookSAF{}}).Sends {
		list = s.Admin.Result.([]engine.SAFView)
	}
	return list
}

func (w *world) act(act any) (problems []string) {
	in := &engine.Operate{Token: 1, By: event.Authority{Actor: "operator", Reason: "clearing file", Document: "the ledger"}, Act: act}
	for _, s := range w.step(in).Sends {
		if s.Admin != nil {
			problems = append(problems, s.Admin.Problems...)
		}
	}
	return problems
}
