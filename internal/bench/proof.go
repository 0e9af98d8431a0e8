package bench

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"huanxin/internal/bench/client"
	"huanxin/switch/stage"
)

// proof gathers what shows that every answer was durable: batches and syncs counted, acknowledged purchases found.
type proof struct {
	syncs        Syncs
	uncounted    error // why syncs cannot be counted on this machine
	rounds       int
	acknowledged int
	batches      uint64
	synced       uint64
	behind       float64                       // events that the follower had put off at the end of a round, at most
	cpu, client  time.Duration                 // of the switch, of this process
	stages       map[stage.Stage]time.Duration // means of the last round
}

func (b *Bench) newProof() (*proof, error) {
	if err := os.MkdirAll(b.Dir, 0o755); err != nil {
		return nil, err
	}
	syncs, err := SyncsOf(b.Dir)
	if err != nil {
		b.Say("  syncs cannot be counted here: %v", err)
		return &proof{uncounted: err}, nil
	}
	return &proof{syncs: syncs}, nil
}

// watched lets a switch be loaded and holds the batches that it appends meanwhile against what the device flushes. That an
// acknowledged purchase is found after kill -9 shows that it was written; that it was synced, only the device's count shows.
func (p *proof) watched(ctx context.Context, site *Site, load func() error) error {
	before, err := p.count()
	if err != nil {
		return err
	}
	appended, err := site.Batches(ctx)
	if err != nil {
		return err
	}
	if err := load(); err != nil {
		return err
	}
	now, err := site.Batches(ctx)
	if err != nil {
		return err
	}
	after, err := p.count()
	if err != nil {
		return err
	}
	batches, synced := now-appended, after-before
	p.batches, p.synced = p.batches+batches, p.synced+synced
	if p.uncounted == nil && synced < batches {
		return fmt.Errorf("%d batches were appended and the disk saw %d %s: something was answered before it was durable",
			batches, synced, p.syncs)
	}
	return nil
}

// count is how much the device has flushed so far, where that is counted.
func (p *proof) count() (uint64, error) {
	if p.uncounted != nil {
		return 0, nil
	}
	return p.syncs.Count()
}

// lag notes how far the follower is behind at the end of a round: work that the round has put off.
func (p *proof) lag(ctx context.Context, site *Site) error {
	v, err := site.Figure(ctx, "huanxin_follower_lag_events")
	p.behind = max(p.behind, v)
	return err
}

// found looks up what was acknowledged; the journal up to position from, which a scenario began with, holds none of it.
func (p *proof) found(dir string, from uint64, acks []client.Ack) error {
	p.acknowledged += len(acks)
	p.rounds++
	_, _, err := Found(dir, from, acks)
	return err
}

func (p *proof) String() string {
	counted := fmt.Sprintf("%d batches, %d %s", p.batches, p.synced, p.syncs)
	if p.uncounted != nil {
		counted = fmt.Sprintf("%d batches; syncs could NOT be counted (%v)", p.batches, p.uncounted)
	}
	return fmt.Sprintf("synced before the answer: %s; all %d purchases acknowledged in %d rounds found in the journal after kill -9%s%s",
		counted, p.acknowledged, p.rounds, p.each(), p.putOff())
}

// way says where the time of a message went in the last round.
func (p *proof) way() string {
	var parts []string
	for st := stage.Read; st <= stage.Reply; st++ {
		parts = append(parts, fmt.Sprintf("%s %.0f µs", st, p.stages[st].Seconds()*1e6))
	}
	return "means of the stages: " + strings.Join(parts, ", ")
}

// putOff says what the rounds have left to be done after them.
func (p *proof) putOff() string {
	if p.behind == 0 {
		return ""
	}
	return fmt.Sprintf("; at the end of a round the follower was at most %s events behind", number(p.behind))
}

// each is the processor time of an answer, where it was taken.
func (p *proof) each() string {
	if p.cpu == 0 {
		return ""
	}
	each := 1e6 / float64(max(1, p.acknowledged))
	return fmt.Sprintf("; %.1f µs of processor time of the switch each, %.1f of the client", p.cpu.Seconds()*each, p.client.Seconds()*each)
}
