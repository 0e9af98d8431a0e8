package drill

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"huanxin/switch/control"
)

// The drill plays the operator, too. What cannot end by itself – a refund that its host never answered, a reversal that is
// a dead letter or was refused – is settled as the document says: by what the host's clearing shows, which is its ledger.

// resolution is one item and what the ledger says of it.
type resolution struct{ item, outcome string }

// resolutions are what an operator does about everything that waits for a person.
func resolutions(b *Book, ledger []Movement, refunds map[string]bool) (list []resolution) {
	net := map[string]int64{}
	for _, m := range ledger {
		net[m.RRN] += m.Amount
	}
	for _, id := range slices.Sorted(maps.Keys(b.Operations)) {
		o := b.Operations[id]
		if o.Void || o.State != "unknown" || b.Purchases[o.Purchase].wallet {
			continue
		}
		outcome := "failed"
		if refunds[o.RRN] {
			outcome = "confirmed"
		}
		list = append(list, resolution{fmt.Sprintf("F%d", id), outcome})
	}
	for _, id := range slices.Sorted(maps.Keys(b.Open)) {
		r := b.Open[id]
		if r.State != "dead" && r.State != "refused" {
			continue
		}
		outcome := "returned"
		if net[b.Purchases[r.Purchase].RRN] != 0 {
			outcome = "charged"
		}
		list = append(list, resolution{fmt.Sprintf("R%d", id), outcome})
	}
	return list
}

// settledByHand drains, settles what waits for a person, and drains again, until nothing waits.
func (s *Site) settledByHand(ctx context.Context, holds bool) (*Book, error) {
	for round := 1; ; round++ {
		book, err := s.drained(ctx, holds)
		if err != nil {
			return nil, err
		}
		list, err := s.resolutions(book)
		if err != nil || len(list) == 0 || round > resolveRounds {
			return book, err
		}
		s.say("  operator: %d items are settled by the hosts' ledgers", len(list))
		if err := s.resolve(ctx, list); err != nil {
			return nil, err
		}
	}
}

// resolve does what `huanxin saf resolve` does.
func (s *Site) resolve(ctx context.Context, list []resolution) error {
	client, err := control.NewClient(s.controlSocket())
	if err != nil {
		return err
	}
	for _, r := range list {
		answer, err := client.Operate(ctx, &control.OperateRequest{
			By: "drill", Reason: "by the host's clearing file", Document: "the host's ledger",
			Act: control.Act{ResolveItem: &control.Resolution{ID: r.item, Outcome: r.outcome}},
		})
		if err == nil && !answer.Done {
			err = errors.New(strings.Join(answer.Problems, "; "))
		}
		if err != nil {
			return fmt.Errorf("resolve %s as %s: %w", r.item, r.outcome, err)
		}
	}
	return nil
}

// resolveRounds bounds how often new items may turn up: a reversal that was settled lets the one behind it go.
const resolveRounds = 5

func (s *Site) resolutions(book *Book) ([]resolution, error) {
	movements, err := s.Movements()
	if err != nil {
		return nil, err
	}
	lines, err := s.Ledger()
	if err != nil {
		return nil, err
	}
	refunds := map[string]bool{}
	for i := range lines {
		if lines[i].Kind == "refund" {
			refunds[lines[i].RRN] = true
		}
	}
	return resolutions(book, movements, refunds), nil
}
