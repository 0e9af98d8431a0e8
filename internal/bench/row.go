package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
)

// Row is one target and what was measured for it. Field names are those of var/bench.json.
type Row struct {
	Scenario   string  `json:"scenario"`
	Metric     string  `json:"metric"`
	Figure     float64 `json:"figure"` // ours
	Unit       string  `json:"unit"`
	Peer       string  `json:"peer"` // what it is compared with; "" when the target is absolute
	PeerFigure float64 `json:"peer_figure"`
	Ratio      float64 `json:"ratio"` // figure / peer_figure, the median over the rounds
	Target     string  `json:"target"`
	Met        bool    `json:"met"`
}

// AtLeast is a row whose target is a ratio from below: ours is to be at least want times the peer's.
func AtLeast(metric, unit string, ours, peer Series, want float64) Row {
	row := compare(metric, unit, ours, peer)
	row.Target, row.Met = "≥ "+number(want)+" ×", row.Ratio >= want
	return row
}

// AtMost is a row whose target is a ratio from above.
func AtMost(metric, unit string, ours, peer Series, want float64) Row {
	row := compare(metric, unit, ours, peer)
	row.Target, row.Met = "≤ "+number(want)+" ×", row.Ratio <= want && row.Ratio > 0
	return row
}

// Reported is a comparison without a target.
func Reported(metric, unit string, ours, peer Series) Row {
	row := compare(metric, unit, ours, peer)
	row.Target, row.Met = "reported", true
	return row
}

// Limit is a row whose target is a figure from above, Floor one from below.
func Limit(metric, unit string, ours Series, want float64) Row {
	row := Row{Metric: metric, Figure: ours.Median(), Unit: unit, Target: "≤ " + number(want)}
	row.Met = row.Figure <= want
	return row
}

// Floor is a row whose target is a figure from below.
func Floor(metric, unit string, ours Series, want float64) Row {
	row := Row{Metric: metric, Figure: ours.Median(), Unit: unit, Target: "≥ " + number(want)}
	row.Met = row.Figure >= want
	return row
}

// Missing is the row of a peer that cannot be had on this machine. A target that was not measured is not met.
func Missing(metric, unit string, ours Series, peer, target string) Row {
	return Row{Metric: metric, Figure: ours.Median(), Unit: unit, Peer: peer, Target: target}
}

func compare(metric, unit string, ours, peer Series) Row {
	return Row{
		Metric: metric, Figure: ours.Median(), Unit: unit, Peer: peer.Name, PeerFigure: peer.Median(), Ratio: ours.Over(peer).Median(),
	}
}

// number prints a figure with as many digits as mean something.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1000:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 100 || v == math.Trunc(v):
		return strconv.FormatFloat(v, 'f', -1, 64)[:len(strconv.FormatFloat(v, 'f', 0, 64))]
	case a >= 0.1:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// Result is what one scenario found: its rows, and remarks for people (spreads, tails, what was checked).
type Result struct {
	Rows  []Row
	Notes []string
}

// Note adds a remark.
func (r *Result) Note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// WriteRows writes {"results": […]} to file, whole or not at all.
func WriteRows(file string, rows []Row) error {
	if rows == nil {
		rows = []Row{}
	}
	text, err := json.MarshalIndent(struct {
		Results []Row `json:"results"`
	}{rows}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

const tableHead = "| scenario | metric | figure | peer | peer's figure | ratio | target | met |\n|---|---|---:|---|---:|---:|---|---|\n"

// WriteTable prints the rows as a Markdown table.
func WriteTable(w io.Writer, rows []Row) error {
	if _, err := io.WriteString(w, tableHead); err != nil {
		return err
	}
	for _, r := range rows {
		peer, peerFigure, ratio, met := "", "", "", "**no**"
		if r.Peer != "" {
			peer = r.Peer
		}
		if r.PeerFigure != 0 {
			peerFigure, ratio = number(r.PeerFigure)+" "+r.Unit, number(r.Ratio)
		}
		if r.Met {
			met = "yes"
		}
		if _, err := fmt.Fprintf(w, "| %s | %s | %s %s | %s | %s | %s | %s | %s |\n",
			r.Scenario, r.Metric, number(r.Figure), r.Unit, peer, peerFigure, ratio, r.Target, met); err != nil {
			return err
		}
	}
	return nil
}
