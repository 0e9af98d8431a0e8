package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"huanxin/internal/bench/client"
	"huanxin/internal/bench/seed"
	"huanxin/internal/process"
	"huanxin/switch/event"
	"huanxin/switch/journal"
)

// hosted is the second exchange of a purchase: the sale on a hold goes to the card network, in another process, and comes
// back, and both ways are synced.
func hosted() Scenario {
	return Scenario{
		Name: "hosted", What: "64 long connections, one sale on a hold in flight on each, a card network in another process",
		Run: func(ctx context.Context, b *Bench) (Result, error) {
			h := &hostedRounds{b: b, lasts: b.Lasts(5 * time.Second)}
			var err error
			if h.from, err = b.Seeded(ctx, enough(b, waitingRate)); err != nil {
				return Result{}, err
			}
			if h.proof, err = b.newProof(); err != nil {
				return Result{}, err
			}
			list, err := b.Alternate(ctx, b.Repeats(5), Contender{"switch", h.ours}, Contender{naivePeer, h.naive})
			if err != nil {
				return Result{}, err
			}
			r := Result{Rows: []Row{AtLeast("sales", "/s", list[0], list[1], 4)}}
			for i, run := range []*client.Run{h.lastOurs, h.lastNaive} {
				r.Note("%s; last round %s", list[i], tails(run))
			}
			r.Note("%s", h.proof)
			return r, nil
		},
	}
}

// hostedRounds are the rounds of both sides.
type hostedRounds struct {
	b                   *Bench
	lasts               time.Duration
	from                string
	proof               *proof
	lastOurs, lastNaive *client.Run
}

const hostedTerminals = 64

// holds that one round can need, at rates that neither side reaches.
func (h *hostedRounds) holds(rate int) int { return int(h.lasts.Seconds()+2) * rate }

// host starts a fresh card network with a ledger of its own.
func (h *hostedRounds) host(ctx context.Context, dir, address string) (*process.Process, error) {
	args := []string{"host", "--listen", address, "--ledger", filepath.Join(dir, "ledger.jsonl")}
	return startListening(ctx, dir, "host", h.b.Program("simulator"), address, args)
}

// sell runs the counted part.
func (h *hostedRounds) sell(ctx context.Context, address string, sales *client.Sales) (*client.Run, error) {
	loop := client.Closed{
		Address: address, Connections: hostedTerminals, InFlight: 1, Script: sales, WarmUp: time.Second, Duration: h.lasts,
	}
	return loop.Run(ctx)
}

// ours makes the holds by the reserve exchange, then counts sales on them.
func (h *hostedRounds) ours(ctx context.Context, _ int) (perSecond float64, err error) {
	b := h.b
	dir, err := b.copied(h.from, "switch")
	if err != nil {
		return 0, err
	}
	site, err := b.NewSite(dir)
	if err != nil {
		return 0, err
	}
	host, err := h.host(ctx, dir, site.Host)
	if err != nil {
		return 0, err
	}
	defer host.Kill()
	defer func() { err = errors.Join(err, site.Discard()) }()
	if err := site.Start(ctx, "host unionpay"); err != nil {
		return 0, err
	}
	reserves, err := client.NewReserves(client.ReserveConfig{
		Codec: b.Codec, Slots: hostedTerminals, Persons: client.NewNumbers(0, uint64(h.holds(30_000))), Barcodes: seed.Programme{}.Barcodes(1),
	})
	if err != nil {
		return 0, err
	}
	fill := client.Closed{Address: site.CUP, Connections: hostedTerminals, InFlight: 1, Script: reserves, Duration: holdLimit}
	if _, err := fill.Run(ctx); err != nil {
		return 0, fmt.Errorf("make holds: %w", err)
	}
	if err := site.Quiet(ctx); err != nil {
		return 0, err
	}
	sales, err := client.NewSales(b.Codec, 0, reserves.Holds(), reserves.STAN)
	if err != nil {
		return 0, err
	}
	var run *client.Run
	err = h.proof.watched(ctx, site, func() error {
		profiled, err := site.profile(ctx, time.Second, h.lasts)
		if err != nil {
			return err
		}
		run, err = h.sell(ctx, site.CUP, sales)
		return errors.Join(err, profiled())
	})
	if err != nil {
		return 0, err
	}
	if err := h.proof.lag(ctx, site); err != nil {
		return 0, err
	}
	site.Process().Kill()
	h.lastOurs = run
	acks := sales.Acks()
	h.proof.rounds, h.proof.acknowledged = h.proof.rounds+1, h.proof.acknowledged+len(acks)
	return run.PerSecond(), captured(dir, acks)
}

// holdLimit is how long the making of holds may take: less than a hold lives.
const holdLimit = 2 * time.Minute

func (h *hostedRounds) naive(ctx context.Context, _ int) (perSecond float64, err error) {
	b := h.b
	dir, err := b.Folder("host")
	if err != nil {
		return 0, err
	}
	addresses, err := freeAddresses(1)
	if err != nil {
		return 0, err
	}
	host, err := h.host(ctx, dir, addresses[0])
	if err != nil {
		return 0, err
	}
	defer host.Kill()
	n := h.holds(10_000)
	address, p, err := b.startPeer(ctx, b.place(naivePeer), naivePeer, "--host", addresses[0], "--holds", fmt.Sprint(n),
		"--terminals", fmt.Sprint(hostedTerminals))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.Stop(stopLimit)) }()
	holds := make([][]uint64, hostedTerminals)
	for i := range n {
		holds[i%hostedTerminals] = append(holds[i%hostedTerminals], uint64(i+1))
	}
	sales, err := client.NewSales(b.Codec, 0, holds, func(int) uint32 { return 0 })
	if err != nil {
		return 0, err
	}
	run, err := h.sell(ctx, address, sales)
	if err != nil {
		return 0, err
	}
	h.lastNaive = run
	return run.PerSecond(), nil
}

// captured looks for the approval of every acknowledged sale in the journal of the state in dir.
func captured(dir string, acks []client.Ack) error {
	folder, err := journal.OpenFolder(filepath.Join(dir, "journal"), "")
	if err != nil {
		return err
	}
	approved := map[uint64]bool{}
	err = folder.Replay(1, 0, func(b *journal.Batch) error {
		for _, ev := range b.Events {
			if body, ok := ev.Body.(*event.Event_SaleApproved); ok {
				approved[body.SaleApproved.Purchase] = true
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, a := range acks {
		if !approved[a.Hold] {
			return fmt.Errorf("the sale on hold %d was acknowledged, and its approval is not in the journal", a.Hold)
		}
	}
	return nil
}
