// Package scrape reads figures off a switch's /metrics page, for the programs that watch one.
package scrape

import (
	"bufio"
	"strconv"
	"strings"
)

// Sample reads one sample of a page in Prometheus' text format: its name and all of its labels, as name, value, in
// alphabetical order. One that is not there yet is 0.
func Sample(page, name string, labels ...string) (float64, error) {
	want := name
	for i := 0; i+1 < len(labels); i += 2 {
		if i == 0 {
			want += "{"
		} else {
			want += ","
		}
		want += labels[i] + "=" + strconv.Quote(labels[i+1])
	}
	if len(labels) > 0 {
		want += "}"
	}
	lines := bufio.NewScanner(strings.NewReader(page))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), want+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, lines.Err()
}
