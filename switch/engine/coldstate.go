package engine

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"

	"huanxin/internal/flat"
	"huanxin/internal/money"
	"huanxin/subsidy"
)

// The cold purchases in a state: tables of numbers, each as the difference to the one before, and what the orders of all
// purchases have had. The records themselves stay in the cold log.

func (e *Engine) writeCold(w *stateWriter) {
	s := &e.purchases
	w.Uint(uint64(s.cooling.Len()))
	for _, c := range s.cooling.All() {
		w.Uint(c.purchase)
		w.Int(c.at)
	}
	w.Int(s.end)
	w.Int(s.last)
	writeColumn(w, s.at.All())
	writeColumn(w, s.byNumber.All())
	writeColumn(w, s.byOperation.All())
	w.Uint(uint64(len(s.crowded)))
	for _, rrn := range slices.Sorted(maps.Keys(s.crowded)) {
		w.Uint(rrn)
		w.Uint(s.crowded[rrn])
	}
	w.Int(int64(s.sums.using))
	w.Int(int64(s.sums.ordered))
	w.Uint(uint64(len(s.sums.spent)))
	for _, leaf := range slices.Sorted(maps.Keys(s.sums.spent)) {
		w.Int(int64(leaf))
		w.Int(int64(s.sums.spent[leaf]))
	}
	for k := range flat.Parts {
		w.scratch = e.orders.AppendPart(w.scratch[:0], k)
		w.Bytes(w.scratch)
	}
}

// columnBlock is how many bytes of a column are written at once.
const columnBlock = 1 << 16

// writeColumn writes the places that are not zero, in blocks of differences; an empty block ends it.
func writeColumn[T uint32 | uint64](w *stateWriter, column iter.Seq2[uint64, T]) {
	block := w.scratch[:0]
	lastPlace, lastValue := uint64(0), int64(0)
	for i, v := range column {
		block = binary.AppendUvarint(block, i-lastPlace)
		block = binary.AppendVarint(block, int64(v)-lastValue)
		lastPlace, lastValue = i, int64(v)
		if len(block) >= columnBlock {
			w.Bytes(block)
			block = block[:0]
		}
	}
	if len(block) > 0 {
		w.Bytes(block)
	}
	w.Bytes(nil)
	w.scratch = block[:0]
}

// readColumn reads a column whose places go up to last and whose values to most. No purchase of a larger number goes cold, so
// a damaged last asks for no more room than that.
func readColumn[T uint32 | uint64](r *stateReader, column *flat.Column[T], last, most uint64) {
	last = min(last, math.MaxUint32)
	place, value := uint64(0), int64(0)
	for r.err == nil {
		r.scratch = r.Block(r.scratch)
		if len(r.scratch) == 0 {
			return
		}
		for b := r.scratch; len(b) > 0; {
			step, n := binary.Uvarint(b)
			if n <= 0 {
				r.fail(errColumn)
				return
			}
			change, m := binary.Varint(b[n:])
			place, value = place+step, value+change
			if m <= 0 || step > last || place > last || value <= 0 || uint64(value) > most {
				r.fail(errColumn)
				return
			}
			column.Set(place, T(value))
			b = b[n+m:]
		}
	}
}

var errColumn = errors.New("a column of cold purchases is damaged")

// readCold reads what writeCold wrote. A state whose log is not there, or ends before the state's last record, is refused:
// another state, or none, will do.
func (e *Engine) readCold(r *stateReader) error {
	s := &e.purchases
	for range r.Each() {
		s.cooling.Push(cooling{r.Uint(), r.Int()})
	}
	s.end, s.last = r.Int(), r.Int()
	readColumn(r, &s.at, e.lastPurchase, uint64(max(s.last, 0))<<1|placeForgettable)
	readColumn(r, &s.byNumber, numbers-1, min(e.lastPurchase, math.MaxUint32))
	readColumn(r, &s.byOperation, e.lastOperation, min(e.lastPurchase, math.MaxUint32))
	for range r.Each() {
		rrn := r.Uint()
		s.crowded[rrn] = r.Uint()
	}
	s.sums.using, s.sums.ordered = int(r.Int()), money.Amount(r.Int())
	for range r.Each() {
		leaf := subsidy.NodeID(r.Int())
		s.sums.spent[leaf] = money.Amount(r.Int())
	}
	for k := range flat.Parts {
		r.scratch = r.Block(r.scratch)
		if r.err == nil && !e.orders.ReadPart(k, r.scratch) {
			return fmt.Errorf("the orders of part %d are damaged", k)
		}
	}
	if r.err != nil || s.end == 0 {
		return nil
	}
	begins := make([]byte, len(preamble))
	if _, err := s.log.ReadAt(begins, 0); !bytes.Equal(begins, preamble) {
		return fmt.Errorf("the cold log begins with %q: %w", begins, cmp.Or(err, errRecord))
	}
	body, _, err := s.frame.body(s.log, s.last)
	if err == nil && s.last+recordHeader+int64(len(body)) != s.end {
		err = errRecord
	}
	if err != nil {
		return fmt.Errorf("the cold log does not hold what the state refers to, up to %d: %w", s.end, err)
	}
	return nil
}

// checkCold holds the sums over cold purchases against the book and the hot ones.
func (e *Engine) checkCold(spent map[subsidy.NodeID]money.Amount, using int, ordered money.Amount, step func()) error {
	s := &e.purchases
	for leaf, sum := range s.sums.spent {
		spent[leaf] += sum
	}
	for id := range e.book.Budget.Len() {
		if v := e.book.Budget.View(subsidy.NodeID(id)); v.Leaf && v.Spent != spent[subsidy.NodeID(id)] {
			return fmt.Errorf("budget node %q has spent %s, captured purchases %s", v.Path, v.Spent, spent[subsidy.NodeID(id)])
		}
	}
	used := 0
	for id := uint64(1); id < e.book.NextEntitlement(); id++ {
		step()
		if en, _ := e.book.Entitlement(id); en.State == subsidy.Held || en.State == subsidy.Used {
			used++
		}
	}
	if used != using+s.sums.using {
		return fmt.Errorf("%d entitlements are held or used, %d hot and %d cold purchases have one", used, using, s.sums.using)
	}
	var sum money.Amount
	for _, amount := range e.orders.All() {
		step()
		sum += money.Amount(amount)
	}
	if sum != ordered+s.sums.ordered {
		return fmt.Errorf("orders have had %s, hot purchases %s and cold ones %s", sum, ordered, s.sums.ordered)
	}
	return nil
}

// CheckCold reads every cold purchase and holds it against the state, as CheckInvariants does with the hot ones. It takes
// as long as reading the log takes.
func (e *Engine) CheckCold() error {
	s := &e.purchases
	var sums coldSums
	sums.spent = map[subsidy.NodeID]money.Amount{}
	orders := map[flat.Digest]money.Amount{}
	numbered, operations := 0, 0
	for id, place := range s.at.All() {
		if s.hot.has(id) {
			return fmt.Errorf("purchase %d is hot and cold", id)
		}
		c, err := s.frame.read(s.log, int64(place>>1), id)
		if err != nil {
			return err
		}
		p := c.purchase
		if p.id != id || !p.final() || p.forgettable() != (place&placeForgettable != 0) || p.isHolding() {
			return fmt.Errorf("purchase %d is cold and %s", id, p.state)
		}
		if err := e.checkHold(p); err != nil {
			return err
		}
		sums.add(p, 1)
		if d, ok := p.order(); ok && p.live() {
			orders[d] += p.subsidy
		}
		if p.sale != nil {
			numbered++
			if got := e.sentAs(rrnNumber(p.sale.Rrn)); got != (target{purchase: id}) {
				return fmt.Errorf("RRN %s of cold purchase %d finds %+v", p.sale.Rrn, id, got)
			}
		}
		for _, o := range c.operations {
			numbered++
			operations++
			if got := e.sentAs(rrnNumber(o.request().GetRrn())); got != (target{purchase: id, operation: o.id}) || e.operation(o.id) == nil {
				return fmt.Errorf("RRN %s of cold operation %d finds %+v", o.request().GetRrn(), o.id, got)
			}
		}
		s.putAway()
	}
	if sums.using != s.sums.using || sums.ordered != s.sums.ordered || !maps.Equal(sums.spent, s.sums.spent) {
		return fmt.Errorf("cold purchases are %+v, counted are %+v", sums, s.sums)
	}
	if numbered != s.byNumber.Len()+len(s.crowded) || operations != s.byOperation.Len() {
		return fmt.Errorf("cold purchases have %d requests and %d operations, %d and %d are listed", numbered, operations,
			s.byNumber.Len()+len(s.crowded), s.byOperation.Len())
	}
	for p := range s.all() {
		if d, ok := p.order(); ok && p.live() {
			orders[d] += p.subsidy
		}
	}
	for d, sum := range orders {
		if got := e.orders.Get(d); got != int64(sum) {
			return fmt.Errorf("an order has had %s, %s is counted", sum, money.Amount(got))
		}
	}
	return nil
}
