package engine

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"

	"huanxin/internal/money"
	"huanxin/subsidy"
	"huanxin/subsidy/catalogue"
	"huanxin/subsidy/reason"
	"huanxin/subsidy/registry"
	"huanxin/switch/event"
)

// stateVersion is the first number of a state. A state of another version is refused, and the journal is replayed from
// its beginning: the journal lasts, states do not.
const stateVersion = 9

// StateVersion is stateVersion, for who holds a state against another.
const StateVersion = stateVersion

// ErrState is returned by ReadState for bytes that are no state of this version, or that contradict themselves.
var ErrState = errors.New("not a usable engine state")

// WriteState writes everything that replay would rebuild. Equal engines write equal bytes, so that two states can be
// compared by their hash; callers waiting for answers are not state.
func (e *Engine) WriteState(out io.Writer) error {
	w := &stateWriter{out: bufio.NewWriterSize(out, 1<<16)}
	w.Uint(stateVersion)
	w.Uint(e.seq)
	w.Int(e.lastAt)
	w.Uint(e.epoch)
	w.Text(e.programmeID)
	w.Bytes(e.personKeyCheck)
	w.Uint(uint64(len(e.files)))
	for _, name := range slices.Sorted(maps.Keys(e.files)) {
		w.Text(name)
		w.Bytes(e.files[name])
	}
	e.writeRegistry(w)
	e.book.WriteState(w)
	e.writeTerminals(w)
	e.writeExchanges(w)
	e.writePurchases(w)
	e.writeCold(w)
	w.Uint(e.hostCounter)
	w.Uint(uint64(len(e.clearing)))
	for _, host := range slices.Sorted(maps.Keys(e.clearing)) {
		w.Text(host)
		w.Text(e.clearing[host])
	}
	e.writeItems(w)
	e.writeStops(w)
	w.Uint(uint64(e.claims.queue.Len()))
	for _, c := range e.claims.queue.All() {
		w.Hash(c.request)
		w.Int(c.at)
		w.Hash(c.answer.content)
		w.Uint(c.answer.entitlement)
	}
	e.writeRequests(w)
	if w.err != nil {
		return fmt.Errorf("write engine state: %w", w.err)
	}
	return w.out.Flush()
}

func (e *Engine) writeRegistry(w *stateWriter) {
	merchants, terminals := e.registry.Len()
	w.Uint(uint64(merchants))
	for m := range e.registry.Merchants() {
		w.Texts(m.Record())
	}
	w.Uint(uint64(terminals))
	for t := range e.registry.Terminals() {
		w.Texts(t.Record())
	}
	w.Uint(uint64(e.catalogue.Len()))
	var record []string
	for p := range e.catalogue.All() {
		record = p.AppendRecord(record[:0])
		w.Texts(record)
	}
}

func (e *Engine) writeTerminals(w *stateWriter) {
	ids := make([][8]byte, 0, len(e.terminals))
	for id := range e.terminals {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b [8]byte) int { return bytes.Compare(a[:], b[:]) })
	w.Uint(uint64(len(ids)))
	for _, id := range ids {
		t := e.terminals[id]
		w.Text(string(id[:]))
		w.Uint(uint64(t.batch))
		w.Bool(t.signedOff)
		w.target(t.last)
		w.Bool(t.passed)
		w.uints(t.pending)
		w.uints(t.quarantined)
		w.targets(t.items)
		w.Bool(t.closed != nil)
		if c := t.closed; c != nil {
			w.Uint(uint64(c.batch))
			w.message(true, c.settled)
			w.targets(c.items)
			w.Uint(uint64(len(c.named)))
			for _, stan := range c.named {
				w.Uint(uint64(stan))
			}
			w.Uint(uint64(c.uploaded))
			w.Uint(uint64(c.differed))
			w.Bool(c.ended)
		}
		w.workingKeys(t.keys)
	}
}

// writeExchanges writes the queue in its order, which is part of the state, and of what no longer counts the place alone.
func (e *Engine) writeExchanges(w *stateWriter) {
	w.Uint(uint64(e.exchanges.queue.Len()))
	for number, x := range e.exchanges.queue.All() {
		w.key(x.key)
		w.Int(x.at)
		newest, _ := e.exchanges.find(x.key)
		w.Bool(newest == number)
		if newest != number {
			continue
		}
		w.Hash(x.content)
		w.Uint(uint64(x.kind))
		w.Text(string(x.response[:]))
		w.Text(string(x.reversal[:]))
		w.Uint(x.purchase)
		w.Uint(x.refusal)
		w.Uint(x.operation)
		settled := e.exchanges.settled[x.key]
		w.message(settled != nil, settled)
	}
	w.Uint(uint64(len(e.refusals)))
	for _, id := range slices.Sorted(maps.Keys(e.refusals)) {
		f := e.refusals[id]
		w.Uint(id)
		w.Int(f.price)
		w.Uint(uint64(len(f.reasons)))
		for _, r := range f.reasons {
			w.Uint(uint64(r))
		}
	}
}

func (e *Engine) writePurchases(w *stateWriter) {
	w.Uint(e.lastPurchase)
	w.Uint(uint64(e.purchases.hot.len()))
	for p := range e.purchases.all() {
		w.purchase(p)
	}
	e.writeOperations(w)
	w.Uint(e.lastReversal)
	w.Uint(uint64(len(e.reversals)))
	for _, id := range slices.Sorted(maps.Keys(e.reversals)) {
		r := e.reversals[id]
		w.Uint(r.id)
		w.Uint(r.purchase)
		w.Uint(r.operation)
		w.Text(r.reason)
		w.Int(int64(r.amount))
		w.Uint(uint64(r.attempt))
		w.Int(r.nextAt)
		w.Int(r.sentAt)
		w.Int(r.queuedAt)
		w.Int(r.expiresAt)
		w.Text(r.response)
		w.Uint(uint64(r.state))
	}
}

// purchase writes a purchase but for its operations: in a state, and as a record of the cold log.
func (w *stateWriter) purchase(p *purchase) {
	w.Uint(p.id)
	w.Uint(uint64(p.state))
	w.Int(int64(p.leaf))
	w.Int(p.changed)
	w.Bool(p.reserved != nil)
	if p.reserved != nil {
		w.Text(p.reserved.packed)
	}
	w.Int(p.reservedAt)
	w.message(p.sale != nil, p.sale)
	w.leg(&p.leg)
	w.Int(int64(p.subsidy))
	for _, part := range p.parts {
		w.Int(int64(part))
	}
	w.Int(int64(p.refunded))
	w.Int(int64(p.returned))
	w.uints(p.operations)
	w.Int(p.quarantine)
	w.Bool(p.locked)
	w.Int(p.restoreAt)
	w.Bool(p.manual)
	w.Bool(p.standing)
	w.Bool(p.keepsHold)
	w.Bool(p.spent)
	w.Int(p.queryAt)
	w.Uint(uint64(p.queries))
	w.message(p.proposal != nil, p.proposal)
}

func (w *stateWriter) operation(o *operation) {
	w.Uint(o.id)
	w.Uint(o.purchase)
	w.message(o.void != nil, o.void)
	w.message(o.refund != nil, o.refund)
	w.Uint(uint64(o.state))
	w.leg(&o.leg)
	w.Int(o.changed)
	w.Int(int64(o.returned))
	w.Int(int64(o.kept))
	w.Int(o.expiresAt)
	w.Int(o.queryAt)
	w.Uint(uint64(o.queries))
}

func (e *Engine) writeOperations(w *stateWriter) {
	w.Uint(e.lastOperation)
	w.Uint(uint64(len(e.purchases.operations)))
	for _, id := range slices.Sorted(maps.Keys(e.purchases.operations)) {
		w.operation(e.purchases.operations[id])
	}
	w.Uint(uint64(len(e.inquiries)))
	for _, id := range slices.Sorted(maps.Keys(e.inquiries)) {
		q := e.inquiries[id]
		w.Uint(id)
		w.key(q.key)
		w.Text(q.host)
		w.Int(q.deadline)
		w.Uint(uint64(q.sent))
	}
}

func (e *Engine) writeItems(w *stateWriter) {
	w.Uint(e.lastItem)
	w.Text(e.lastDead)
	w.Uint(uint64(len(e.items)))
	for _, id := range slices.Sorted(maps.Keys(e.items)) {
		w.Uint(id)
		w.Int(e.items[id].at)
		w.message(true, e.items[id].opened)
	}
}

func (e *Engine) writeStops(w *stateWriter) {
	w.Uint(e.lastPause)
	w.Uint(e.keyActs.number)
	w.Bytes(e.keyActs.chain)
	w.Uint(uint64(len(e.pauses)))
	for _, id := range slices.Sorted(maps.Keys(e.pauses)) {
		w.Uint(id)
		w.Int(e.pauses[id].to)
		w.message(true, e.pauses[id].set)
	}
	kills := e.sortedKills()
	w.Uint(uint64(len(kills)))
	for _, k := range kills {
		w.Int(e.kills[k].at)
		w.message(true, e.kills[k].set)
	}
}

func (e *Engine) writeRequests(w *stateWriter) {
	w.Uint(uint64(e.requests.queue.Len()))
	for _, a := range e.requests.queue.All() {
		r, why := a.answer, e.requestWhy[a.request]
		w.Hash(a.request)
		w.Int(a.at)
		w.Hash(r.content)
		w.Uint(uint64(r.kind))
		w.Uint(r.purchase)
		w.Uint(r.operation)
		w.Int(r.price)
		w.Uint(uint64(len(why)))
		for _, code := range why {
			w.Uint(uint64(code))
		}
	}
}

// ReadState builds an engine from what WriteState wrote. Damaged bytes, and contradictions that only another version could
// have written, are errors and wrap ErrState: the caller takes another state, or none.
func ReadState(cfg Config, in io.Reader) (e *Engine, err error) {
	if e, err = New(cfg); err != nil {
		return nil, err
	}
	defer func() {
		// What is built here stops the process for a broken invariant, for then history and state have parted. Here no history
		// has been applied yet and nothing depends on the state, which goes.
		if broken := recover(); broken != nil {
			e, err = nil, fmt.Errorf("%w: %v", ErrState, broken)
		}
	}()
	r := &stateReader{in: bufio.NewReaderSize(in, 1<<16)}
	if v := r.Uint(); v != stateVersion {
		return nil, fmt.Errorf("%w: version %d, want %d", ErrState, v, stateVersion)
	}
	e.seq, e.lastAt, e.epoch, e.programmeID, e.personKeyCheck = r.Uint(), r.Int(), r.Uint(), r.Text(), r.Bytes()
	e.now = e.lastAt
	files := map[string][]byte{}
	for range r.Each() {
		files[r.Text()] = r.Bytes()
	}
	if len(files) > 0 {
		if err := e.loadPolicy(files); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrState, err)
		}
	}
	if err := e.readRegistry(r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	if e.book, err = subsidy.ReadBook(r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, cmp.Or(r.err, err))
	}
	e.readTerminals(r)
	e.readExchanges(r)
	if err := e.readPurchases(r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	if err := e.readCold(r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	e.hostCounter = r.Uint()
	for range r.Each() {
		e.clearing[r.Text()] = r.Text()
	}
	e.readItems(r)
	e.readStops(r)
	for range r.Each() {
		request, at := r.Hash(), r.Int()
		e.claims.put(request, at, claimRequest{content: r.Hash(), entitlement: r.Uint()})
	}
	e.readRequests(r)
	if r.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, r.err)
	}
	if _, err := r.in.ReadByte(); err != io.EOF {
		return nil, fmt.Errorf("%w: it goes on behind its end", ErrState)
	}
	if err := e.CheckInvariants(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	return e, nil
}

func (e *Engine) readRegistry(r *stateReader) error {
	for range r.Each() {
		m, err := registry.ParseMerchant(r.Texts())
		if err != nil {
			return err
		}
		e.registry.SetMerchant(m)
	}
	for range r.Each() {
		t, err := registry.ParseTerminal(r.Texts())
		if err != nil {
			return err
		}
		e.registry.SetTerminal(t)
	}
	for range r.Each() {
		p, err := catalogue.ParseProduct(r.Texts())
		if err != nil {
			return err
		}
		e.catalogue.Set(p)
	}
	return nil
}

func (e *Engine) readTerminals(r *stateReader) {
	for range r.Each() {
		id := terminalID(r.Text())
		t := &terminalState{
			batch: uint32(r.Uint()), signedOff: r.Bool(), last: r.target(), passed: r.Bool(), pending: r.uints(), quarantined: r.uints(), items: r.targets(),
		}
		if r.Bool() {
			c := &closedBatch{batch: uint32(r.Uint()), settled: &event.BatchSettled{}}
			r.present(c.settled)
			c.items = r.targets()
			for range r.Each() {
				c.named = append(c.named, uint32(r.Uint()))
			}
			c.uploaded, c.differed, c.ended = uint32(r.Uint()), uint32(r.Uint()), r.Bool()
			t.closed = c
		}
		t.keys = r.workingKeys()
		e.terminals[id] = t
	}
}

func (e *Engine) readExchanges(r *stateReader) {
	for range r.Each() {
		key, x := r.key(), exchange{at: r.Int()}
		if !r.Bool() {
			e.exchanges.queue.Push(remembered{key, x})
			continue
		}
		x.content, x.kind, x.response, x.reversal = r.Hash(), exchangeKind(r.Uint()), r.code(), r.code()
		x.purchase, x.refusal, x.operation = r.Uint(), r.Uint(), r.Uint()
		if m := (&event.BatchSettled{}); r.present(m) {
			e.exchanges.settled[key] = m
		}
		e.exchanges.put(key, x)
	}
	for range r.Each() {
		id := r.Uint()
		f := refusal{price: r.Int()}
		for range r.Each() {
			f.reasons = append(f.reasons, reason.Code(r.Uint()))
		}
		e.refusals[id] = f
	}
}

func (e *Engine) readPurchases(r *stateReader) error {
	e.lastPurchase = r.Uint()
	for range r.Each() {
		p := r.purchase()
		if r.err == nil && p.reserved == nil && p.sale == nil || p.leaf < subsidy.NoNode ||
			int(p.leaf) >= e.book.Budget.Len() || p.state > Refunded {
			return fmt.Errorf("purchase %d has neither reserve nor sale, or a leaf or state that does not exist", p.id)
		}
		if e.purchases.hot.has(p.id) {
			return fmt.Errorf("purchase %d is there twice", p.id)
		}
		if r.err == nil && e.purchases.canRest(p) {
			e.purchases.rest(p.id, resting{at: p.changed, leaf: p.leaf}, p.reserved.packed)
			continue
		}
		e.purchases.hot.put(p)
		if p.sale != nil {
			e.purchases.index(p.sale, target{purchase: p.id})
		}
		e.track(p)
	}
	if err := e.readOperations(r); err != nil {
		return err
	}
	e.lastReversal = r.Uint()
	for range r.Each() {
		v := &reversal{
			id: r.Uint(), purchase: r.Uint(), operation: r.Uint(), reason: r.Text(), amount: money.Amount(r.Int()),
			attempt: uint32(r.Uint()), nextAt: r.Int(), sentAt: r.Int(), queuedAt: r.Int(), expiresAt: r.Int(), response: r.Text(),
			state: reversalState(r.Uint()),
		}
		if p := e.purchases.hot.get(v.purchase); r.err == nil && (p == nil || p.sale == nil || v.operation != 0 && e.purchases.operations[v.operation] == nil || v.state > reversalRefused) {
			return fmt.Errorf("reversal %d is of purchase %d, which is no sale, or in no state", v.id, v.purchase)
		}
		switch v.state {
		case reversalQueued:
			e.queued++
		case reversalDead:
			e.dead++
		}
		e.reversals[v.id] = v
	}
	return nil
}

func (r *stateReader) purchase() *purchase {
	p := &purchase{id: r.Uint(), state: PurchaseState(r.Uint()), leaf: subsidy.NodeID(r.Int()), changed: r.Int()}
	if r.Bool() {
		packed := r.Text()
		m, err := r.loan.Reserved(packed)
		if err != nil {
			r.fail(err)
			return p
		}
		p.take(m, packed, 0)
	}
	p.reservedAt = r.Int()
	if m := (&event.SaleSent{}); r.present(m) {
		p.sale = m
	}
	p.leg = r.leg()
	p.subsidy = money.Amount(r.Int())
	for i := range p.parts {
		p.parts[i] = money.Amount(r.Int())
	}
	p.refunded, p.returned, p.operations, p.quarantine = money.Amount(r.Int()), money.Amount(r.Int()), r.uints(), r.Int()
	p.locked, p.restoreAt, p.manual, p.standing, p.keepsHold, p.spent = r.Bool(), r.Int(), r.Bool(), r.Bool(), r.Bool(), r.Bool()
	p.queryAt, p.queries = r.Int(), uint32(r.Uint())
	if m := (&event.HoldReleaseProposed{}); r.present(m) {
		p.proposal = m
	}
	return p
}

func (r *stateReader) operation() *operation {
	o := &operation{id: r.Uint(), purchase: r.Uint()}
	if m := (&event.VoidSent{}); r.present(m) {
		o.void = m
	}
	if m := (&event.RefundSent{}); r.present(m) {
		o.refund = m
	}
	o.state, o.leg, o.changed, o.returned = operationState(r.Uint()), r.leg(), r.Int(), money.Amount(r.Int())
	o.kept = money.Amount(r.Int())
	o.expiresAt, o.queryAt, o.queries = r.Int(), r.Int(), uint32(r.Uint())
	return o
}

func (e *Engine) readOperations(r *stateReader) error {
	e.lastOperation = r.Uint()
	for range r.Each() {
		o := r.operation()
		if p := e.purchases.hot.get(o.purchase); r.err == nil && ((o.void == nil) == (o.refund == nil) || p == nil || p.sale == nil ||
			o.state < opSent || o.state > opReversed) {
			return fmt.Errorf("operation %d is neither void nor refund of a purchase", o.id)
		}
		if r.err != nil {
			return nil
		}
		e.purchases.addOperation(o)
		e.trackOperation(o, 0)
	}
	for range r.Each() {
		id := r.Uint()
		q := inquiry{key: r.key(), host: r.Text(), deadline: r.Int(), sent: transmission(r.Uint())}
		e.inquiries[id] = q
		e.purchases.ask(id, q.sent)
	}
	for _, p := range e.purchases.hot.all() {
		if p == nil { // it rests
			continue
		}
		for _, o := range p.operations {
			if r.err == nil && e.purchases.operations[o] == nil {
				return fmt.Errorf("purchase %d has operation %d, which does not exist", p.id, o)
			}
		}
	}
	return nil
}

func (e *Engine) readItems(r *stateReader) {
	e.lastItem, e.lastDead = r.Uint(), r.Text()
	for range r.Each() {
		id, item := r.Uint(), workItem{at: r.Int(), opened: &event.WorkItemOpened{}}
		r.present(item.opened)
		e.items[id] = item
		if item.opened.Kind == itemRefundUnknown {
			e.dead++
			if o := e.operation(item.opened.Operation); o != nil {
				o.item = id
			}
		}
	}
}

func (e *Engine) readStops(r *stateReader) {
	e.lastPause = r.Uint()
	e.keyActs.number = r.Uint()
	e.keyActs.chain = r.Bytes()
	for range r.Each() {
		id, p := r.Uint(), &pause{to: r.Int(), set: &event.PauseSet{}}
		r.present(p.set)
		e.pauses[id] = p
	}
	for range r.Each() {
		k := &kill{at: r.Int(), set: &event.KillSwitchSet{}}
		r.present(k.set)
		e.kills[killKey{k.set.Merchant, k.set.Terminal}] = k
	}
}

func (e *Engine) readRequests(r *stateReader) {
	for range r.Each() {
		request, at := r.Hash(), r.Int()
		known := apiRequest{content: r.Hash(), kind: event.RequestKind(r.Uint()), purchase: r.Uint(), operation: r.Uint(), price: r.Int()}
		var why []reason.Code
		for range r.Each() {
			why = append(why, reason.Code(r.Uint()))
		}
		e.keepRequest(request, at, why, known)
	}
}

// stateWriter writes values in the variable-length encoding of encoding/binary. The first error stays.
type stateWriter struct {
	out     *bufio.Writer
	buf     [binary.MaxVarintLen64]byte
	err     error
	scratch []byte // of one message
}

func (w *stateWriter) put(b []byte) {
	if w.err == nil {
		_, w.err = w.out.Write(b)
	}
}

func (w *stateWriter) Uint(v uint64) { w.put(binary.AppendUvarint(w.buf[:0], v)) }
func (w *stateWriter) Int(v int64)   { w.put(binary.AppendVarint(w.buf[:0], v)) }
func (w *stateWriter) Hash(h Hash)   { w.put(h[:]) }

func (w *stateWriter) Bool(v bool) {
	if v {
		w.Uint(1)
	} else {
		w.Uint(0)
	}
}

func (w *stateWriter) Bytes(b []byte) {
	w.Uint(uint64(len(b)))
	w.put(b)
}

func (w *stateWriter) Text(s string) {
	w.Uint(uint64(len(s)))
	if w.err == nil {
		_, w.err = w.out.WriteString(s)
	}
}

func (w *stateWriter) Texts(list []string) {
	w.Uint(uint64(len(list)))
	for _, s := range list {
		w.Text(s)
	}
}

func (w *stateWriter) key(k Key) {
	w.Uint(uint64(k.Class))
	w.put(k.Terminal[:])
	w.put(k.Merchant[:])
	w.Uint(uint64(k.Batch))
	w.Uint(uint64(k.STAN))
}

func (w *stateWriter) uints(list []uint64) {
	w.Uint(uint64(len(list)))
	for _, v := range list {
		w.Uint(v)
	}
}

func (w *stateWriter) target(t target) {
	w.Uint(t.purchase)
	w.Uint(t.operation)
}

func (w *stateWriter) targets(list []target) {
	w.Uint(uint64(len(list)))
	for _, t := range list {
		w.target(t)
	}
}

func (w *stateWriter) leg(l *leg) {
	w.message(l.answer != nil, l.answer)
	w.Uint(l.reversal)
	w.Text(string(l.undone[:]))
	w.Int(l.charged)
}

func (w *stateWriter) message(present bool, m interface {
	SizeVT() int
	MarshalToSizedBufferVT([]byte) (int, error)
}) {
	w.Bool(present)
	if !present || w.err != nil {
		return
	}
	size := m.SizeVT()
	w.scratch = slices.Grow(w.scratch[:0], size)[:size]
	if _, err := m.MarshalToSizedBufferVT(w.scratch); err != nil {
		w.err = err
		return
	}
	w.Bytes(w.scratch)
}

// maxState bounds one length in a state, so that damaged bytes cannot ask for all memory.
const maxState = 1 << 28

// stateReader reads what stateWriter wrote. The first error stays, and everything read after it is zero.
type stateReader struct {
	in      *bufio.Reader
	err     error
	scratch []byte // see borrow
	ends    []int  // see Texts
	texts   []string
	loan    event.Loan
}

func (r *stateReader) fail(err error) {
	if r.err == nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		r.err = err
	}
}

func (r *stateReader) Uint() uint64 {
	if r.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(r.in)
	if err != nil {
		r.fail(err)
		return 0
	}
	return v
}

func (r *stateReader) Int() int64 {
	if r.err != nil {
		return 0
	}
	v, err := binary.ReadVarint(r.in)
	if err != nil {
		r.fail(err)
		return 0
	}
	return v
}

func (r *stateReader) Bool() bool { return r.Uint() == 1 }

func (r *stateReader) Len() int {
	n := r.Uint()
	if n > maxState {
		r.fail(fmt.Errorf("a length of %d", n))
		return 0
	}
	return int(n)
}

// Each counts up to a length that it reads, and ends with the first error: what a damaged length claims need not be there.
func (r *stateReader) Each() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, n := 0, r.Len(); i < n && r.err == nil && yield(i); i++ {
		}
	}
}

func (r *stateReader) full(b []byte) {
	if r.err != nil {
		return
	}
	if _, err := io.ReadFull(r.in, b); err != nil {
		r.fail(err)
		clear(b)
	}
}

func (r *stateReader) Hash() (h Hash) {
	r.full(h[:])
	return h
}

// borrow is Bytes, good until the next call.
func (r *stateReader) borrow() []byte {
	n := r.Len()
	if n > 1<<16 {
		return r.long(n)
	}
	r.scratch = slices.Grow(r.scratch[:0], n)[:n]
	r.full(r.scratch)
	return r.scratch
}

func (r *stateReader) Bytes() []byte {
	n := r.Len()
	switch {
	case n == 0 || r.err != nil:
		return nil
	case n > 1<<16:
		return r.long(n)
	}
	b := make([]byte, n)
	r.full(b)
	return b
}

// long grows with what is there, not with what a length claims.
func (r *stateReader) long(n int) []byte {
	var b bytes.Buffer
	if _, err := io.CopyN(&b, r.in, int64(n)); err != nil {
		r.fail(err)
		return nil
	}
	return b.Bytes()
}

// maxBlock bounds a block of rows.
const maxBlock = 8 << 20

func (r *stateReader) Block(scratch []byte) []byte {
	n := r.Len()
	if n > maxBlock {
		r.fail(fmt.Errorf("a block of %d bytes", n))
		return nil
	}
	block := slices.Grow(scratch[:0], n)[:n]
	if r.full(block); r.err != nil {
		return nil
	}
	return block
}

func (r *stateReader) Text() string { return string(r.borrow()) }

// maxTexts bounds a list of texts, which is the record of a row.
const maxTexts = 64

// Texts reads a list as pieces of one string, which its rows' parsers copy or keep. The list is good until the next call.
func (r *stateReader) Texts() []string {
	r.scratch, r.ends, r.texts = r.scratch[:0], r.ends[:0], r.texts[:0]
	for i := range r.Each() {
		n := r.Len()
		if n > 1<<16 || i == maxTexts {
			r.fail(fmt.Errorf("text %d of a list has %d bytes", i, n))
		}
		if r.err != nil {
			return nil
		}
		start := len(r.scratch)
		r.scratch = slices.Grow(r.scratch, n)[:start+n]
		r.full(r.scratch[start:])
		r.ends = append(r.ends, len(r.scratch))
	}
	all, start := string(r.scratch), 0
	for _, end := range r.ends {
		r.texts = append(r.texts, all[start:end])
		start = end
	}
	return r.texts
}

func (r *stateReader) code() (c [2]byte) {
	copy(c[:], r.borrow())
	return c
}

func (r *stateReader) key() (k Key) {
	k.Class = byte(r.Uint())
	r.full(k.Terminal[:])
	r.full(k.Merchant[:])
	k.Batch, k.STAN = uint32(r.Uint()), uint32(r.Uint())
	return k
}

func (r *stateReader) uints() (list []uint64) {
	for range r.Each() {
		list = append(list, r.Uint())
	}
	return list
}

func (r *stateReader) target() target { return target{purchase: r.Uint(), operation: r.Uint()} }

func (r *stateReader) targets() (list []target) {
	for range r.Each() {
		list = append(list, r.target())
	}
	return list
}

func (r *stateReader) leg() (l leg) {
	if m := (&event.HostAnswer{}); r.present(m) {
		l.answer = m
	}
	l.reversal, l.undone, l.charged = r.Uint(), r.code(), r.Int()
	return l
}

// present reads a message that may be absent, and reports whether it was there.
func (r *stateReader) present(m interface{ UnmarshalVT([]byte) error }) bool {
	if !r.Bool() {
		return false
	}
	r.message(m)
	return true
}

func (r *stateReader) message(m interface{ UnmarshalVT([]byte) error }) {
	if b := r.borrow(); r.err == nil {
		if err := m.UnmarshalVT(b); err != nil {
			r.fail(err)
		}
	}
}
