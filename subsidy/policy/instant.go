package policy

import "math"

// NextInstant returns the next instant after now at which the plan changes by itself: a round opens or closes, or money
// is released. math.MaxInt64 when nothing more will happen.
func (b *Budget) NextInstant(now int64) int64 {
	next := int64(math.MaxInt64)
	consider := func(at int64) {
		if at > now {
			next = min(next, at)
		}
	}
	for i := range b.Rounds {
		consider(b.Rounds[i].Open)
		consider(b.Rounds[i].Close)
	}
	for i := range b.Nodes {
		n := &b.Nodes[i]
		for _, release := range n.Releases {
			consider(release.At)
		}
		if n.Daily == nil || n.Round < 0 {
			continue
		}
		if r := &b.Rounds[n.Round]; now < r.Close {
			at := n.Daily.Instant(max(now, r.Open))
			if at <= now || at < r.Open {
				at += day
			}
			if at < r.Close {
				consider(at)
			}
		}
	}
	return next
}

// Instant returns when the release of the business day that holds an instant is made.
func (d *DailyRelease) Instant(at int64) int64 { return startOf(dayOf(at)) + int64(d.Second)*second }

// Day returns the number of the business day whose release is the last one made at an instant.
func (d *DailyRelease) Day(at int64) int64 {
	if n := dayOf(at); d.Instant(at) <= at {
		return n
	}
	return dayOf(at) - 1
}
