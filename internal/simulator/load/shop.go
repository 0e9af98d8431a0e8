package load

import (
	"context"
	"fmt"
	"time"

	"huanxin/internal/money"
	"huanxin/internal/simulator/till"
)

// shop is one purchase over HTTP: a buyer claims, the shop reserves, and commits or drops it; some of what was paid is
// given back.
func (w *worker) shop(soft, hard context.Context) {
	if _, ok := w.run.schedule.ticket(soft); !ok {
		return
	}
	n := w.run.persons.Add(1) - 1
	goods := w.run.cfg.Goods[n%uint64(len(w.run.cfg.Goods))]
	one := ticketed{goods: goods, person: till.NewPerson(n)}
	if !w.run.claim(soft, n, &one, w.run.cfg.Shop.Channel) {
		return
	}
	o := till.Order{
		Merchant: w.run.cfg.Shop.Merchant, Channel: w.run.cfg.Shop.Channel, Entitlement: one.entitlement,
		Person: one.person.Document(), Barcode: goods.Barcode, Price: goods.Price, Serial: w.run.serial(&goods),
		Order: fmt.Sprintf("L%d", n), Delivery: w.run.cfg.Shop.Delivery, OldItem: goods.OldItem,
	}
	buyer := &customer{worker: w, hard: hard, key: fmt.Sprintf("load-%d-%d", w.run.cfg.Seed, n)}
	api := w.run.cfg.API
	a := buyer.ask(Order, func(key string) (till.APIAnswer, error) { return api.Reserve(hard, key, &o) })
	if a == nil || a.Status >= 300 {
		return
	}
	buyer.purchase = a.Purchase
	if w.dice.IntN(6) == 0 {
		buyer.ask(Drop, func(key string) (till.APIAnswer, error) { return api.CancelReservation(hard, key, buyer.purchase.ID) })
		return
	}
	buyer.pay()
}

// customer is a buyer of an online shop, and the shop.
type customer struct {
	*worker
	hard     context.Context
	key      string
	asked    int
	purchase till.PurchaseView
}

// pay commits, waits for the end of the payment, and gives something back in one of three cases.
func (c *customer) pay() {
	api, id := c.run.cfg.API, c.purchase.ID
	wallet := c.dice.Float64() < c.run.cfg.Wallet
	code := payCode(c.dice.Uint64N(1_000_000))
	a := c.ask(Commit, func(key string) (till.APIAnswer, error) {
		if wallet {
			return api.CommitWallet(c.hard, key, id, code, c.purchase.Payable)
		}
		return api.CommitExternal(c.hard, key, id, "PAY-"+key, c.purchase.Payable)
	})
	if a = c.settled(a); a == nil || a.State != "captured" || c.dice.IntN(3) != 0 {
		return
	}
	back := till.GiveBack{Reference: "BACK-" + c.key}
	if wallet {
		back.Reference = ""
	}
	if c.dice.IntN(2) == 0 {
		back.Amount = money.Amount(100 * (1 + c.dice.Int64N(int64(c.purchase.Payable)/200)))
	}
	c.settled(c.ask(GiveBack, func(key string) (till.APIAnswer, error) { return api.Refund(c.hard, key, id, back) }))
}

// settled waits while an answer says that there is no end yet.
func (c *customer) settled(a *till.APIAnswer) *till.APIAnswer {
	for a != nil && a.Status == 202 && c.hard.Err() == nil {
		pause(c.hard, time.Second)
		a = c.ask(LookUp, func(string) (till.APIAnswer, error) { return c.run.cfg.API.Purchase(c.hard, c.purchase.ID) })
		if a != nil && (a.State == "sent" || a.State == "unknown" || a.State == "refunding" || a.State == "reversing") {
			a.Status = 202
		}
	}
	return a
}

// ask sends a request, the same with the same key again when its answer is lost or says so, and writes the answer down.
// nil when the run is over before an answer has come.
func (c *customer) ask(kind Kind, send func(key string) (till.APIAnswer, error)) *till.APIAnswer {
	c.asked++
	key := fmt.Sprintf("%s-%d", c.key, c.asked)
	for c.hard.Err() == nil {
		begin := c.run.cfg.Now()
		a, err := send(key)
		if err != nil {
			if c.hard.Err() == nil {
				c.run.tally.failed(kind, err)
				pause(c.hard, again)
			}
			continue
		}
		c.run.api(kind, &a, begin)
		if a.Status == 429 || a.Status >= 500 {
			pause(c.hard, again)
			continue
		}
		c.acknowledgeHTTP(kind, &a)
		return &a
	}
	return nil
}

func (c *customer) acknowledgeHTTP(kind Kind, a *till.APIAnswer) {
	var id uint64
	_, _ = fmt.Sscanf(a.Purchase.ID, "P%d", &id)
	err := c.run.record.write(&Acknowledged{
		Kind: kind, Response: fmt.Sprint(a.Status), Hold: id, State: a.State, Subsidy: int64(a.Purchase.Subsidy),
		Payable: int64(a.Purchase.Payable), Amount: int64(a.Purchase.Payment.Amount), Refunded: int64(a.Purchase.Payment.Refunded),
		RRN: a.Purchase.Payment.RRN, At: c.run.cfg.Now().Format(time.RFC3339Nano),
	})
	if err != nil {
		c.run.fail(err)
	}
}
