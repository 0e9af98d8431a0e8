package engine_test

import (
	"fmt"
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
	charged  map[string]int64 // by RRN: net charge
	seen     map[string]*event.HostAnswer
	reversed map[string]bool
	requests []*engine.HostRequest
	answers  []*engine.HostAnswered
}

func newNetwork() *network {
	return &network{charged: map[string]int64{}, seen: map[string]*event.HostAnswer{}, reversed: map[string]bool{}}
}

// process lets the host work on one request. fate decides what it says to a sale.
func (n *network) process(r *engine.HostRequest, fate int) {
	answer := &engine.HostAnswered{Host: r.Host, Kind: r.Kind, RRN: r.RRN, STAN: r.STAN}
	if r.Kind == engine.HostReversal {
		answer.Answer.Response = "25"
		if _, ok := n.seen[r.RRN]; ok {
			answer.Answer.Response = "00"
			n.charged[r.RRN] = 0
			n.reversed[r.RRN] = true
		}
		n.answers = append(n.answers, answer)
		return
	}
	a, again := n.seen[r.RRN]
	if !again {
		a = &event.HostAnswer{Response: "00", Approval: "A00001", ClearingDate: "0302", Amount: int64(r.Amount)}
		switch fate {
		case 0:
			a = &event.HostAnswer{Response: "51"}
		case 1:
			a.Response, a.Amount = "10", int64(r.Amount)/2
		}
		n.seen[r.RRN] = a
		n.charged[r.RRN] = a.Amount
	}
	answer.Answer.Response, answer.Answer.Approval, answer.Answer.ClearingDate, answer.Answer.Amount = a.Response, a.Approval, a.ClearingDate, a.Amount
	n.answers = append(n.answers, answer)
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
}

func newBook() *book {
	return &book{rrn: map[uint64]string{}, captured: map[uint64]bool{}, subsidised: map[uint64]bool{}, subsidy: map[uint64]int64{},
		amount: map[uint64]int64{}, payable: map[uint64]int64{}, serial: map[string]uint64{}, serialOf: map[uint64]string{},
		items: map[string]int{}, personOf: map[uint64]string{}, pending: map[uint64]bool{}}
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
	case *event.Event_ReversalQueued:
		b.release(t, m.ReversalQueued.Purchase)
		b.captured[m.ReversalQueued.Purchase] = false
		b.pending[m.ReversalQueued.Purchase] = true
	}
}

// Whatever crosses – resends, reversals before and after their sale, lost, late, double and partial answers, expiry,
// restarts – when everything has settled, the network has charged exactly the captured purchases, the budget has spent
// exactly their subsidies, and nothing is left on hold.
func TestWhateverCrossesTheBooksAgreeInTheEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, lab: newLab(t), network: newNetwork(), book: newBook()}
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
	k := engine.Key{Class: class, Batch: 1, STAN: w.stan}
	copy(k.Terminal[:], terminal)
	copy(k.Merchant[:], "898210157220001")
	return k
}

func (w *world) terminal() string {
	return rapid.SampledFrom([]string{"21010001", "21010002"}).Draw(w.t, "terminal")
}

func (w *world) move() {
	switch rapid.IntRange(0, 13).Draw(w.t, "move") {
	case 0, 1, 2:
		w.shop()
	case 3, 4:
		w.sell()
	case 5: // an ordinary sale
		w.sale(&engine.SaleRequest{Key: w.key('2', w.terminal()), Host: "cup", Amount: 700, ICCAmount: -1, EntryMode: [3]byte([]byte("051"))})
	case 6:
		w.resend()
	case 7:
		w.reverse()
	case 8, 9:
		w.hostWorks()
	case 10, 11:
		w.hostSpeaks()
	case 12:
		w.lab.now += int64(rapid.SampledFrom([]time.Duration{time.Second, 10 * time.Second, 26 * time.Second, 200 * time.Second}).Draw(w.t, "wait"))
		w.tick()
	case 13:
		if rapid.IntRange(0, 2).Draw(w.t, "crash") == 0 {
			w.take(w.lab.restart())
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
	w.sale(&engine.SaleRequest{Key: w.key('2', h.terminal), Host: "cup", Hold: h.id, Amount: 400_000, ICCAmount: -1, EntryMode: [3]byte([]byte("051"))})
}

func (w *world) sale(in *engine.SaleRequest) {
	in.Token = w.lab.nextToken()
	in.Content = hashOf(fmt.Sprint(in.Amount, in.Hold))
	in.Card = &event.Card{Mask: "622424******0017"}
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
		w.step(&engine.HostUnsent{Kind: r.Kind, Purchase: r.Purchase, Reversal: r.Reversal, Attempt: r.Attempt})
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

// settle lets everything come to its end over a reliable line.
func (w *world) settle() {
	n := w.network
	for range 200 {
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
	}
	require.Zero(w.t, w.lab.live.Book().OpenHolds(), "no orphan hold")
	var spent int64
	for id, rrn := range w.book.rrn {
		want := int64(0)
		if w.book.captured[id] {
			want = w.book.amount[id]
		}
		require.Equal(w.t, want, n.charged[rrn], "purchase %d: the network charges exactly what is captured", id)
	}
	for id := range w.book.captured {
		if w.book.captured[id] && w.book.subsidised[id] {
			spent += w.book.subsidy[id]
		}
	}
	root, _ := w.lab.live.Book().Budget.Find("")
	require.Equal(w.t, spent, int64(w.lab.live.Book().Budget.View(root).Spent), "the budget has spent exactly the captured subsidies")
	require.Zero(w.t, w.lab.live.Book().Budget.View(root).Held)
}
