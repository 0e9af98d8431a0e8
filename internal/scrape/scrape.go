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

// Sum adds up all samples of a name that have the given labels, as name, value, whatever their others.
func Sum(page, name string, labels ...string) (sum float64, err error) {
	lines := bufio.NewScanner(strings.NewReader(page))
	lines.Buffer(nil, 1<<20)
next:
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		end := strings.LastIndexByte(rest, ' ')
		if !ok || end < 0 || end > 0 && rest[0] != '{' {
			continue
		}
		for i := 0; i+1 < len(labels); i += 2 {
			pair := labels[i] + "=" + strconv.Quote(labels[i+1])
			if !strings.Contains(rest[:end], "{"+pair) && !strings.Contains(rest[:end], ","+pair) {
				continue next
			}
		}
		value, err := strconv.ParseFloat(rest[end+1:], 64)
		if err != nil {
			return 0, err
		}
		sum += value
	}
	return sum, lines.Err()
}
