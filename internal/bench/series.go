package bench

import (
	"context"
	"fmt"
	"slices"
)

// Series are the figures of one contender, one of each round.
type Series struct {
	Name   string
	Values []float64
}

// Of is a series of given figures.
func Of(name string, values ...float64) Series { return Series{name, values} }

// Median is the middle figure, the mean of the two middle ones of an even number; 0 of none.
func (s Series) Median() float64 {
	n := len(s.Values)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s.Values))
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// Spread is the distance from the smallest figure to the largest, as a part of the median.
func (s Series) Spread() float64 {
	if m := s.Median(); m != 0 {
		return (slices.Max(s.Values) - slices.Min(s.Values)) / m
	}
	return 0
}

// Over are the ratios round by round: what drifted between two rounds drifted for both.
func (s Series) Over(peer Series) Series {
	ratios := Series{Name: s.Name + " / " + peer.Name}
	for i := range min(len(s.Values), len(peer.Values)) {
		if peer.Values[i] != 0 {
			ratios.Values = append(ratios.Values, s.Values[i]/peer.Values[i])
		}
	}
	return ratios
}

// String is the median with the spread, for notes.
func (s Series) String() string {
	return fmt.Sprintf("%s %s (spread %.0f %%, %d rounds)", s.Name, number(s.Median()), 100*s.Spread(), len(s.Values))
}

// Contender is one side of a comparison. Measure runs one round and returns its figure.
type Contender struct {
	Name    string
	Measure func(ctx context.Context, round int) (float64, error)
}

// Alternate lets every contender run once a round, in an order that turns from round to round, so that whatever the
// machine does meanwhile hits all of them and none always comes after the same other.
func (b *Bench) Alternate(ctx context.Context, rounds int, contenders ...Contender) ([]Series, error) {
	list := make([]Series, len(contenders))
	for i, c := range contenders {
		list[i].Name = c.Name
	}
	for round := range rounds {
		for k := range contenders {
			i := (k + round) % len(contenders)
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			figure, err := contenders[i].Measure(ctx, round)
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", contenders[i].Name, round+1, err)
			}
			if rounds <= 10 { // of many short turns nobody wants to read each
				b.Say("  round %d %s: %s", round+1, contenders[i].Name, number(figure))
			}
			list[i].Values = append(list[i].Values, figure)
		}
	}
	return list, nil
}
