package config

import (
	"fmt"
	"strconv"
	"time"
)

// TimeOfDay is the end of a day's period in Asia/Shanghai, counted from midnight: more than nothing, at most 24 h. In the
// file it is hh:mm or hh:mm:ss, in quotes: "23:00". Both "00:00" and "24:00" are the end of the calendar day.
type TimeOfDay time.Duration

const wholeDay = TimeOfDay(24 * time.Hour)

// ParseTimeOfDay reads a time of day.
func ParseTimeOfDay(text string) (TimeOfDay, error) {
	bad := fmt.Errorf("%q is not a time of day: want hh:mm or hh:mm:ss, such as \"23:00\"", text)
	if len(text) != len("hh:mm") && len(text) != len("hh:mm:ss") {
		return 0, bad
	}
	var at TimeOfDay
	unit := time.Hour
	for i := 0; i < len(text); i += 3 {
		n, err := strconv.ParseUint(text[i:i+2], 10, 8)
		if err != nil || i > 0 && (text[i-1] != ':' || n > 59) {
			return 0, bad
		}
		at += TimeOfDay(n) * TimeOfDay(unit)
		unit /= 60
	}
	if at > wholeDay {
		return 0, bad
	}
	if at == 0 {
		return wholeDay, nil
	}
	return at, nil
}

// String writes hh:mm, with :ss where there are seconds.
func (t TimeOfDay) String() string {
	seconds := int64(time.Duration(t) / time.Second)
	text := fmt.Sprintf("%02d:%02d", seconds/3600, seconds/60%60)
	if seconds%60 != 0 {
		text += fmt.Sprintf(":%02d", seconds%60)
	}
	return text
}
