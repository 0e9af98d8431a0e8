package projection

import (
	"database/sql/driver"
	"fmt"
	"time"
)

// Instant is Unix nanoseconds, as in the events. In the database it is a timestamp with microseconds; 0 is null.
type Instant int64

// Value gives the instant to a database.
func (i Instant) Value() (driver.Value, error) {
	if i == 0 {
		return nil, nil
	}
	return i.Time(), nil
}

// Scan takes an instant from a database.
func (i *Instant) Scan(from any) error {
	switch t := from.(type) {
	case nil:
		*i = 0
	case time.Time:
		*i = Instant(t.UnixNano())
	default:
		return fmt.Errorf("instant from a %T", from)
	}
	return nil
}

// Time returns the instant in UTC, cut to the microseconds that a database keeps.
func (i Instant) Time() time.Time {
	return time.Unix(0, int64(i)).UTC().Truncate(time.Microsecond)
}

// Micros is the instant in microseconds since 1970, as a database keeps it.
func (i Instant) Micros() int64 {
	micros := int64(i) / 1000
	if int64(i)%1000 < 0 {
		micros--
	}
	return micros
}
