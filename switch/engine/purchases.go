package engine

import (
	"fmt"

	"huanxin/internal/flat"
	"huanxin/internal/money"
	"huanxin/subsidy"
)

// purchases are all purchases of the programme with their voids and refunds, and what finds them. Whoever wants one asks
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

// purchase finds a purchase, nil when there is none. A cold one is read for the Step under way and stays cold.
func (e *Engine) purchase(id uint64) *purchase {
	if p := e.purchases.hot.get(id); p != nil {
		return p
	}
	return e.purchases.look(id).purchase
}

// operation finds a void or refund, nil when there is none.
func (e *Engine) operation(id uint64) *operation {
	if o := e.purchases.operations[id]; o != nil {
		return o
	}
	return e.purchases.look(uint64(e.purchases.byOperation.Get(id))).operation(id)
}

// ifHot is a purchase if it is hot.
func (s *purchases) ifHot(id uint64) *purchase { return s.hot.get(id) }

// known reports whether there is such a purchase.
func (s *purchases) known(id uint64) bool { return s.hot.get(id) != nil || s.at.Get(id) != 0 }

// mustPurchase is the purchase that an event changes: it is hot from here on.
func (e *Engine) mustPurchase(id uint64) *purchase {
	p := e.purchases.hot.get(id)
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
