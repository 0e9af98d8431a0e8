package engine

import (
	"bytes"
	"fmt"
	"iter"
	"strings"

	"huanxin/internal/flat"
	"huanxin/internal/money"
	"huanxin/subsidy"
	"huanxin/switch/event"
)

// purchases are all purchases of the programme with their voids and refunds, and what finds them. One that was reserved and
// nothing else rests; see hot.go. Whoever wants one asks
// Engine.purchase, Engine.operation, sentAs or sentAt; whoever changes one, Engine.mustPurchase or Engine.mustOperation.
// Nothing else looks into the tables but what writes, reads and checks them as a whole.
//
// Most purchases are cold: nothing has happened to them for a day and nothing is to be expected. Such a one is a record in
// the cold log, and here no more than where that lies; see cold.go.
type purchases struct {
	hot            hot
	operations     map[uint64]*operation // of hot purchases
	byRRN          map[uint64]target     // of hot purchases, by the number of the RRN; inquiries under way too
	byTransmission map[transmission]target
	cooling        flat.Queue[cooling] // every hot purchase once
	coolAfter      int64

	log         ColdLog
	end         int64                // of the log: where the next record goes
	last        int64                // where the last one lies
	at          flat.Column[uint64]  // by id of a cold purchase: its place
	byNumber    flat.Column[uint32]  // by the last eight digits of an RRN: the cold purchase
	byOperation flat.Column[uint32]  // by id of an operation: the cold purchase
	crowded     map[uint64]uint64    // the same by RRN, where another has those digits
	sums        coldSums             // over cold purchases
	read        map[uint64]coldEntry // what the Step under way has read, or made cold
	frame       frame

	loan   event.Loan
	scroll struct { // the purchase at rest that all gives
		purchase
		reservation
	}
}

func newPurchases(log ColdLog) purchases {
	if log == nil {
		log = &memoryLog{}
	}
	return purchases{
		hot: hot{pages: map[uint64]*hotPage{}}, operations: map[uint64]*operation{}, byRRN: map[uint64]target{},
		byTransmission: map[transmission]target{}, crowded: map[uint64]uint64{}, read: map[uint64]coldEntry{},
		coolAfter: coolAfter, log: log, sums: coldSums{spent: map[subsidy.NodeID]money.Amount{}},
	}
}

// purchase finds a purchase, nil when there is none. One that rests or is cold is read for the Step under way and stays so.
func (e *Engine) purchase(id uint64) *purchase {
	if p := e.purchases.hot.get(id); p != nil {
		return p
	}
	if p := e.purchases.rested(id); p != nil {
		return p
	}
	return e.purchases.look(id).purchase
}

// rested reads a purchase that rests, nil when it does not. As with look, two of them within a Step give the same purchase.
func (s *purchases) rested(id uint64) *purchase {
	r, ok := s.hot.rested(id)
	if !ok {
		return nil
	}
	if p := s.read[id].purchase; p != nil {
		return p
	}
	both := &struct { // in one piece of memory
		purchase
		reservation
	}{}
	both.purchase.reserved = &both.reservation
	s.unpack(&both.purchase, id, r, strings.Clone(s.hot.packed(r))) // it may outlast what rests beside it
	s.read[id] = coldEntry{purchase: &both.purchase}
	return &both.purchase
}

// unpack makes p the purchase that rests, out of its fact.
func (s *purchases) unpack(p *purchase, id uint64, r resting, packed string) {
	m, err := s.loan.Reserved(packed)
	if err != nil {
		panic(fmt.Sprintf("unpack the reserve of purchase %d: %v", id, err))
	}
	*p = purchase{id: id, state: Reserved, leaf: r.leaf, changed: r.at, reserved: p.reserved}
	p.take(m, packed, r.at)
}

// all iterates over the hot purchases in the order of ids. One that rests is good until the next.
func (s *purchases) all() iter.Seq[*purchase] {
	return func(yield func(*purchase) bool) {
		for id, p := range s.hot.all() {
			if p == nil {
				r, _ := s.hot.rested(id)
				p = &s.scroll.purchase
				p.reserved = &s.scroll.reservation
				s.unpack(p, id, r, s.hot.packed(r))
			}
			if !yield(p) {
				return
			}
		}
	}
}

// operation finds a void or refund, nil when there is none.
func (e *Engine) operation(id uint64) *operation {
	if o := e.purchases.operations[id]; o != nil {
		return o
	}
	return e.purchases.look(uint64(e.purchases.byOperation.Get(id))).operation(id)
}

// ifAwake is a purchase if it is hot and does not rest.
func (s *purchases) ifAwake(id uint64) *purchase { return s.hot.get(id) }

// rests reports whether a purchase was reserved and nothing else.
func (s *purchases) rests(id uint64) bool {
	_, ok := s.hot.rested(id)
	return ok
}

// known reports whether there is such a purchase.
func (s *purchases) known(id uint64) bool { return s.hot.has(id) || s.at.Get(id) != 0 }

// mustPurchase is the purchase that an event changes: it is hot and awake from here on.
func (e *Engine) mustPurchase(id uint64) *purchase {
	p := e.purchases.hot.get(id)
	if p == nil {
		p = e.wake(id)
	}
	if p == nil {
		p = e.thaw(id)
	}
	if p == nil {
		panic(fmt.Sprintf("event for purchase %d, which does not exist", id))
	}
	return p
}

// mustOperation is the void or refund that an event changes, with its purchase.
func (e *Engine) mustOperation(id uint64) (*operation, *purchase) {
	s := &e.purchases
	if s.operations[id] == nil {
		e.thaw(uint64(s.byOperation.Get(id)))
	}
	o := s.operations[id]
	if o == nil {
		panic(fmt.Sprintf("event for operation %d, which does not exist", id))
	}
	return o, e.mustPurchase(o.purchase)
}

// wake has a purchase rest no longer. It returns nil when it did not.
func (e *Engine) wake(id uint64) *purchase {
	s := &e.purchases
	p := s.rested(id)
	if p == nil {
		return nil
	}
	delete(s.read, id)
	s.hot.wake(p)
	e.track(p)
	return p
}

// addReserved enters a purchase that begins with a reserve, at rest. packed is that fact, "" to pack it here.
func (e *Engine) addReserved(m *event.Reserved, packed string, leaf subsidy.NodeID) {
	s := &e.purchases
	if r := (resting{at: e.now, leaf: leaf}); packed != "" {
		s.rest(m.Purchase, r, packed)
	} else {
		b := e.scratch.pack(m)
		r.fact, r.size = s.hot.facts.AddBytes(b), uint32(len(b))
		s.hot.lay(m.Purchase, r)
	}
	s.cooling.Push(cooling{m.Purchase, e.now})
}

func (s *purchases) rest(id uint64, r resting, packed string) {
	r.fact, r.size = s.hot.facts.Add(packed), uint32(len(packed))
	s.hot.lay(id, r)
}

// packed is the fact of a purchase that rests.
func (s *purchases) packed(id uint64) string {
	r, _ := s.hot.rested(id)
	return s.hot.packed(r)
}

// open iterates, in no order, over the purchases of which somebody may ask why they still have a subsidy, entitlement or
// serial, and since when they are as they are.
func (e *Engine) open() iter.Seq2[int64, uint64] {
	return func(yield func(int64, uint64) bool) {
		for _, p := range e.holding {
			if !yield(p.changed, p.id) {
				return
			}
		}
		for id, p := range e.purchases.hot.all() {
			if p != nil {
				continue
			}
			if r, _ := e.purchases.hot.rested(id); !yield(r.at, id) {
				return
			}
		}
	}
}

// canRest reports whether a purchase is what its fact alone would make it.
func (s *purchases) canRest(p *purchase) bool {
	if p.state != Reserved || p.reserved == nil || p.reserved.packed == "" || p.sale != nil {
		return false
	}
	q := &s.scroll.purchase
	q.reserved = &s.scroll.reservation
	s.unpack(q, p.id, resting{at: p.changed, leaf: p.leaf}, p.reserved.packed)
	is := bytes.Clone(s.frame.encode(coldEntry{purchase: p}))
	return bytes.Equal(is, s.frame.encode(coldEntry{purchase: q}))
}

// add enters a purchase that begins.
func (e *Engine) add(p *purchase) {
	e.purchases.hot.put(p)
	e.purchases.cooling.Push(cooling{p.id, e.now})
}

// addOperation enters a void or refund that begins.
func (s *purchases) addOperation(o *operation) {
	s.operations[o.id] = o
	s.index(o.request(), target{purchase: o.purchase, operation: o.id})
}

// drop forgets a purchase with its voids and refunds.
func (e *Engine) drop(p *purchase) {
	s := &e.purchases
	delete(e.reversals, p.reversal)
	if s.hot.get(p.id) == nil {
		s.leave(s.look(p.id))
		delete(s.read, p.id)
		return
	}
	s.remove(p)
}

// remove takes a hot purchase out of the tables.
func (s *purchases) remove(p *purchase) {
	if p.sale != nil {
		s.unindex(p.sale, target{purchase: p.id})
	}
	for _, id := range p.operations {
		s.unindex(s.operations[id].request(), target{purchase: p.id, operation: id})
		delete(s.operations, id)
	}
	s.hot.remove(p.id)
}

// target is what a number that a host echoes stands for.
type target struct {
	purchase  uint64
	operation uint64 // 0 = the sale
	inquiry   uint64 // number of the RRN; then there is no purchase
}

// sentAs finds what was sent to a host under the number of an RRN.
func (e *Engine) sentAs(rrn uint64) target {
	s := &e.purchases
	if t, ok := s.byRRN[rrn]; ok {
		return t
	}
	id, ok := s.crowded[rrn]
	if !ok {
		id = uint64(s.byNumber.Get(rrn % numbers))
	}
	return s.look(id).sent(func(r request) bool { return rrnNumber(r.GetRrn()) == rrn })
}

// sentAt finds what was sent to a host under a DE11 at a DE7. Of the cold it asks those with that DE11, one in a million;
// an answer without an RRN, more than a day late, is rare enough.
func (e *Engine) sentAt(t transmission) target {
	s := &e.purchases
	if found, ok := s.byTransmission[t]; ok {
		return found
	}
	stan := uint64(t >> 32)
	if stan == 0 || stan > lastSTAN {
		return target{}
	}
	for n := e.hostCounter/lastSTAN*lastSTAN + stan; n > 0; n -= min(n, lastSTAN) {
		if id := s.byNumber.Get(n % numbers); id != 0 {
			found := s.look(uint64(id)).sent(func(r request) bool {
				return transmissionAt(r.GetHostStan(), r.GetTransmittedAt()) == t
			})
			if found != (target{}) {
				return found
			}
		}
	}
	return target{}
}

// index makes a request findable by what a host echoes.
func (s *purchases) index(r request, t target) {
	s.byRRN[rrnNumber(r.GetRrn())] = t
	s.byTransmission[transmissionAt(r.GetHostStan(), r.GetTransmittedAt())] = t
}

func (s *purchases) unindex(r request, t target) {
	if n := rrnNumber(r.GetRrn()); s.byRRN[n] == t {
		delete(s.byRRN, n)
	}
	if at := transmissionAt(r.GetHostStan(), r.GetTransmittedAt()); s.byTransmission[at] == t {
		delete(s.byTransmission, at)
	}
}

// ask makes an inquiry findable while it is under way, answered no longer.
func (s *purchases) ask(rrn uint64, at transmission) {
	s.byRRN[rrn], s.byTransmission[at] = target{inquiry: rrn}, target{inquiry: rrn}
}

func (s *purchases) answered(rrn uint64, at transmission) {
	delete(s.byTransmission, at)
	delete(s.byRRN, rrn)
}

// numbers is how many RRNs there are before the eight digits of the counter in them come again.
const numbers = 100_000_000

// number makes a request of a cold purchase findable by its RRN.
func (s *purchases) number(r request, id uint64) {
	rrn := rrnNumber(r.GetRrn())
	switch other := s.byNumber.Get(rrn % numbers); {
	case rrn == 0:
	case other == 0:
		s.byNumber.Set(rrn%numbers, uint32(id))
	default:
		s.crowded[rrn] = id
	}
}

func (s *purchases) unnumber(r request, id uint64) {
	rrn := rrnNumber(r.GetRrn())
	switch {
	case rrn == 0:
	case s.crowded[rrn] == id:
		delete(s.crowded, rrn)
	case uint64(s.byNumber.Get(rrn%numbers)) == id:
		s.byNumber.Set(rrn%numbers, 0)
	}
}
