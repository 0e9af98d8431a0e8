package year

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"huanxin/internal/bench/seed"
	"huanxin/internal/simulator/till"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/keys"
)

// firstPerson is where the numbers of a year's persons, codes, serials and orders begin: far from those of the crowd that
// loads the switch later.
const firstPerson = 500_000_000_000

// buyer is one purchase before it happens: everything about it that takes hashing or sealing.
type buyer struct {
	person, claim, claimed, code, serial, reserve, sale engine.Hash
	barcode, mask, order                                string
	card                                                *event.Card
}

// wave is a number of buyers who shop at the same time, each at another terminal.
type wave struct {
	first  int // number of its first purchase
	buyers []buyer
}

// crowd prepares waves beside the engine, in order.
type crowd struct {
	hasher   *keys.Hasher
	vault    *keys.Vault
	products int
	ready    chan *wave
	free     chan *wave
	err      error // read after ready is closed

	scratch [8]byte
}

// wavesAhead is how many waves wait for the engine at most.
const wavesAhead = 8

func newCrowd(hasher *keys.Hasher, vault *keys.Vault, products int) *crowd {
	c := &crowd{hasher: hasher, vault: vault, products: products, ready: make(chan *wave, wavesAhead), free: make(chan *wave, wavesAhead+2)}
	for range cap(c.free) {
		c.free <- new(wave)
	}
	return c
}

// run prepares the waves of a plan.
func (c *crowd) run(ctx context.Context, p plan) {
	defer close(c.ready)
	for first := 0; first < p.purchases; {
		var w *wave
		select {
		case w = <-c.free:
		case <-ctx.Done():
			return
		}
		n := p.waveAt(first)
		w.first, w.buyers = first, w.buyers[:0]
		for i := range n {
			b, err := c.buyer(uint64(first + i))
			if err != nil {
				c.err = err
				return
			}
			w.buyers = append(w.buyers, b)
		}
		first += n
		select {
		case c.ready <- w:
		case <-ctx.Done():
			return
		}
	}
}

func (c *crowd) buyer(n uint64) (b buyer, err error) {
	number := binary.BigEndian.AppendUint64(c.scratch[:0], n)
	n += firstPerson
	b.person = c.hasher.Person("id-card", string(seed.AppendIdentity(nil, n)))
	b.claim = c.hasher.Request("year", string(number))
	b.claimed = c.hasher.Content([]byte("claim"), number)
	b.code = c.hasher.Code(seed.AppendCode(nil, n))
	serial := till.NewSerial(n)
	b.serial = c.hasher.Serial([]byte(serial))
	b.mask = serial[:2] + "******" + serial[len(serial)-4:]
	b.order, b.barcode = fmt.Sprintf("PO%012d", n), seed.Barcode(int(n%uint64(c.products)))
	b.reserve = c.hasher.Content([]byte("reserve"), number)
	b.sale = c.hasher.Content([]byte("sale"), number)
	b.card, err = c.vault.SealCard(&keys.CardRecord{
		PAN: []byte(till.NewPAN(n)), Expiry: []byte("3012"), Sequence: []byte("001"), EntryMode: []byte("051"), Condition: []byte("00"),
		Currency: []byte("156"), ICC: cardICC, POSData: []byte("22000001000600"),
	})
	return b, err
}

// cardICC is what is kept of DE55 for a reversal: 95, 9F1E, 9F10, 9F36.
var cardICC = bytes.Join([][]byte{
	{0x95, 5, 0, 0, 0, 0, 0}, append([]byte{0x9F, 0x1E, 8}, "20260001"...), {0x9F, 0x10, 8, 7, 1, 1, 3, 0xA0, 0, 0, 1}, {0x9F, 0x36, 2, 0, 0x2A},
}, nil)
