package policy

import "time"

// China is the zone of every date and hour in a programme: a fixed +08:00, never the machine's zone.
func China() *time.Location { return time.FixedZone("+08:00", 8*3600) }

const (
	second = int64(time.Second)
	day    = 24 * int64(time.Hour)
	// toChina shifts a Unix instant so that days begin at midnight in China.
	toChina = 8 * int64(time.Hour)
)

// dayOf returns the number of the business day (Asia/Shanghai) that holds an instant.
func dayOf(at int64) int64 {
	shifted := at + toChina
	d := shifted / day
	if shifted%day < 0 {
		d--
	}
	return d
}

// startOf returns the instant at which a business day begins.
func startOf(dayNumber int64) int64 { return dayNumber*day - toChina }

// Window is the time [From, To), Unix nanoseconds.
type Window struct{ From, To int64 }

func (w Window) holds(at int64) bool { return at >= w.From && at < w.To }

// Hours is a part of every day, in seconds after midnight in China: [From, To). The zero Hours is the whole day.
type Hours struct{ From, To int32 }

func (h Hours) hold(at int64) bool {
	if h == (Hours{}) {
		return true
	}
	s := int32((at - startOf(dayOf(at))) / second)
	return s >= h.From && s < h.To
}

// Opening says when one level of the scope (a city, a category …) takes part. The zero Opening is "always".
type Opening struct {
	Closed  bool
	Windows []Window // empty = at any date
	Hours   Hours
}

func (o *Opening) holds(at int64) bool {
	if o.Closed || !o.Hours.hold(at) {
		return false
	}
	for _, w := range o.Windows {
		if w.holds(at) {
			return true
		}
	}
	return len(o.Windows) == 0
}
