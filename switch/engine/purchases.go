package engine

import "fmt"

// purchases are all purchases of the programme with their voids and refunds, and what finds them. Whoever wants one asks
// Engine.purchase, Engine.operation or target; whoever changes one, Engine.mustPurchase or Engine.mustOperation. Nothing
// else looks into the tables but what writes, reads and checks them as a whole.
type purchases struct {
	hot            map[uint64]*purchase
	operations     map[uint64]*operation // of hot purchases
	byRRN          map[uint64]target     // by the number of the RRN; inquiries under way too
	byTransmission map[transmission]target
}

func newPurchases() purchases {
	return purchases{
		hot: map[uint64]*purchase{}, operations: map[uint64]*operation{}, byRRN: map[uint64]target{},
		byTransmission: map[transmission]target{},
	}
}

// purchase finds a purchase, nil when there is none.
func (e *Engine) purchase(id uint64) *purchase { return e.purchases.hot[id] }

// operation finds a void or refund, nil when there is none.
func (e *Engine) operation(id uint64) *operation { return e.purchases.operations[id] }

// mustPurchase is the purchase that an event changes.
func (e *Engine) mustPurchase(id uint64) *purchase {
	p := e.purchase(id)
	if p == nil {
		panic(fmt.Sprintf("event for purchase %d, which does not exist", id))
	}
	return p
}

// mustOperation is the void or refund that an event changes, with its purchase.
func (e *Engine) mustOperation(id uint64) (*operation, *purchase) {
	o := e.operation(id)
	if o == nil {
		panic(fmt.Sprintf("event for operation %d, which does not exist", id))
	}
	return o, e.mustPurchase(o.purchase)
}

// add enters a purchase that begins.
func (s *purchases) add(p *purchase) { s.hot[p.id] = p }

// addOperation enters a void or refund that begins.
func (s *purchases) addOperation(o *operation) {
	s.operations[o.id] = o
	s.index(o.request(), target{purchase: o.purchase, operation: o.id})
}

// drop forgets a purchase with its voids and refunds.
func (e *Engine) drop(p *purchase) {
	s := &e.purchases
	if p.sale != nil {
		s.unindex(p.sale)
	}
	for _, id := range p.operations {
		s.unindex(s.operations[id].request())
		delete(s.operations, id)
	}
	delete(e.reversals, p.reversal)
	delete(s.hot, p.id)
}

// target is what a number that a host echoes stands for.
type target struct {
	purchase  uint64
	operation uint64 // 0 = the sale
	inquiry   uint64 // number of the RRN; then there is no purchase
}

// sentAs finds what was sent to a host under the number of an RRN.
func (e *Engine) sentAs(rrn uint64) target { return e.purchases.byRRN[rrn] }

// sentAt finds what was sent to a host under a DE11 at a DE7.
func (e *Engine) sentAt(t transmission) target { return e.purchases.byTransmission[t] }

// index makes a request findable by what a host echoes.
func (s *purchases) index(r request, t target) {
	s.byRRN[rrnNumber(r.GetRrn())] = t
	s.byTransmission[transmissionAt(r.GetHostStan(), r.GetTransmittedAt())] = t
}

// ask makes an inquiry findable while it is under way, answered no longer.
func (s *purchases) ask(rrn uint64, at transmission) {
	s.byRRN[rrn], s.byTransmission[at] = target{inquiry: rrn}, target{inquiry: rrn}
}

func (s *purchases) answered(rrn uint64, at transmission) {
	delete(s.byTransmission, at)
	delete(s.byRRN, rrn)
}

func (s *purchases) unindex(r request) {
	delete(s.byRRN, rrnNumber(r.GetRrn()))
	delete(s.byTransmission, transmissionAt(r.GetHostStan(), r.GetTransmittedAt()))
}
