package year

import "time"

// plan is the year's timetable: which purchase happens when, and at which terminal. On a day some of the terminals trade,
// about ten purchases each, and settle in the evening; the next day it is others' turn. Ten million purchases a year are
// less than one a day and terminal: spread thinly over all of them, most facts of the year would be settlements.
type plan struct {
	purchases int
	perDay    int
	active    int // terminals that trade on one day
	groups    int // of so many
	wave      int // purchases at the same time
	snapshot  int // the snapshot comes before this purchase, or as soon after as a wave begins
	begins    time.Time
}

const (
	perTerminal    = 10  // purchases of a terminal that trades, on one day
	waveSize       = 256 // at most
	eventsEach     = 5   // of a purchase at least: claimed, code shown, reserved, sent, approved
	refundEvery    = 200 // purchases are one that is refunded
	refundAfter    = 2   // days
	opens          = 9 * time.Hour
	shopping       = 11 * time.Hour
	refunds        = 8 * time.Hour
	settles        = 21 * time.Hour
	stepOfPurchase = time.Second // from claim to code to reserve to sale to answer
)

var china = time.FixedZone("+08:00", 8*60*60)

// newPlan spreads the purchases over the days before today. Who has given back what he bought is replaced by another, so
// that cfg.Persons have a used entitlement in the end.
func newPlan(cfg Config, today time.Time) plan {
	p := plan{purchases: cfg.Persons + cfg.Persons/(refundEvery-1)}
	p.perDay = (p.purchases + cfg.Days - 1) / cfg.Days
	terminals := cfg.Terminals - FirstTerminal
	p.active = min(max(p.perDay/perTerminal, 1), terminals)
	p.groups = terminals / p.active
	p.wave = min(waveSize, p.active)
	tail := min((cfg.Tail+eventsEach-1)/eventsEach, p.purchases/2)
	p.snapshot = p.purchases - tail - p.wave
	today = today.In(china)
	p.begins = time.Date(today.Year(), today.Month(), today.Day()-cfg.Days, 0, 0, 0, 0, china)
	return p
}

// day is when the day of a purchase begins.
func (p plan) day(purchase int) time.Time { return p.begins.AddDate(0, 0, purchase/p.perDay) }

// waveAt is how many purchases the wave has that begins with first: a wave belongs to one day.
func (p plan) waveAt(first int) int {
	return min(p.wave, p.perDay-first%p.perDay, p.purchases-first)
}

// at is when the wave with this purchase begins.
func (p plan) at(purchase int) time.Time {
	waves := (p.perDay + p.wave - 1) / p.wave
	return p.day(purchase).Add(opens + shopping/time.Duration(waves)*time.Duration(purchase%p.perDay/p.wave))
}

// terminal is the one at which a purchase happens, counted from FirstTerminal. Those of a wave are all different.
func (p plan) terminal(purchase int) int {
	day, i := purchase/p.perDay, purchase%p.perDay
	return day%p.groups*p.active + i%p.active
}

// refunded reports whether a purchase is given back later.
func refunded(purchase int) bool { return purchase%refundEvery == refundEvery/2 }
