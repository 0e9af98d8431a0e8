package bench

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"huanxin/internal/bench/seed"
	"huanxin/switch/engine"
)

// decidePersons is how many have claimed when the decisions are timed.
const decidePersons = 1_000_000

// decide times single decisions: no socket, no journal.
func decide() Scenario {
	return Scenario{
		Name: "decide", What: "Step of a reserve with 1 million persons in state",
		Run: func(ctx context.Context, b *Bench) (Result, error) {
			// The engine's memory is this process's own: give it back before the next scenario is driven from here.
			defer debug.FreeOSMemory()
			s, err := b.crowd(ctx, decidePersons)
			if err != nil {
				return Result{}, err
			}
			defer s.Close()
			rounds := b.Repeats(10)
			medians, tails, mallocs := Series{Name: "median"}, Series{Name: "p99"}, Series{Name: "allocations"}
			for round := range rounds {
				took, per, err := decisions(s, round)
				if err != nil {
					return Result{}, err
				}
				slices.Sort(took)
				medians.Values = append(medians.Values, micros(took[len(took)/2]))
				tails.Values = append(tails.Values, micros(took[len(took)*99/100]))
				mallocs.Values = append(mallocs.Values, per)
			}
			r := Result{Rows: []Row{Limit("median Step", "µs", medians, 5), Limit("allocations", "per Step", mallocs, 4)}}
			r.Note("%s µs; %s µs; %s", medians, tails, mallocs)
			return r, nil
		},
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// crowd seeds a state whose engine stays in this process.
func (b *Bench) crowd(ctx context.Context, persons int) (*seed.Seeder, error) {
	dir, err := b.Folder("decide")
	if err != nil {
		return nil, err
	}
	s, err := seed.New(ctx, dir, seed.Programme{Terminals: terminals})
	if err != nil {
		return nil, err
	}
	if err := s.Crowd(persons); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// decisionsAtOnce is how many reserves one round decides.
const decisionsAtOnce = 20_000

// decisions times one round of reserves, each by another person, and counts allocations.
func decisions(s *seed.Seeder, round int) (took []time.Duration, mallocs float64, err error) {
	inputs := make([]engine.ReserveRequest, decisionsAtOnce)
	var text []byte
	for i := range inputs {
		person := uint64(round*decisionsAtOnce + i)
		in := &inputs[i]
		*in = engine.ReserveRequest{
			Token: engine.Token(i + 1), Price: seed.Price, Barcode: seed.Programme{}.Barcodes(1)[0],
			SerialOK: true, SerialMask: "SN****01", Order: fmt.Sprintf("PO%012d", person),
		}
		text = seed.AppendCode(text[:0], person)
		in.Code = s.Hasher().Code(text)
		in.Serial = s.Hasher().Serial(fmt.Appendf(nil, "SN%012d", person))
		in.Content = s.Hasher().Content(text)
		terminal := i % terminals
		in.Key = engine.Key{Class: '1', Batch: 1, STAN: uint32(round*decisionsAtOnce + i + 1)}
		copy(in.Key.Terminal[:], seed.Terminal(terminal))
		copy(in.Key.Merchant[:], seed.Merchant(terminal))
	}
	took = make([]time.Duration, len(inputs))
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range inputs {
		begun := time.Now()
		out := s.Engine().Step(engine.Input{At: s.Now(), Body: &inputs[i]})
		took[i] = time.Since(begun)
		if len(out.Sends) != 1 || out.Sends[0].Reply == nil || out.Sends[0].Reply.Response != [2]byte{'0', '0'} {
			return nil, 0, fmt.Errorf("reserve of person %d was refused: %+v", round*decisionsAtOnce+i, out.Sends)
		}
	}
	runtime.ReadMemStats(&after)
	return took, float64(after.Mallocs-before.Mallocs) / float64(len(inputs)), nil
}
