// Package graph draws figures as line charts in SVG, to be looked at in a repository: no script, no font of its own,
// readable on light and dark pages.
package graph

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Graph is one chart. Every series has its points in ascending order of X.
type Graph struct {
	Title  string
	X, Y   Axis
	Series []Series
}

// Axis is one direction of a chart.
type Axis struct {
	Label string // with the unit
	Log   bool   // logarithmic; every value must be above 0
}

// Series is one line.
type Series struct {
	Name   string
	Points []Point
}

// Point is one measurement.
type Point struct{ X, Y float64 }

// The page, in pixels: the plot lies within the margins.
const (
	width, height            = 760, 400
	left, right, top, bottom = 76, 24, 48, 56
	tickLength               = 5
	legendLine               = 18
)

// colours are told apart by people who see red and green alike, and on both backgrounds.
var colours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"}

// Write draws the graph. It returns an error for a graph without points, for values that have no place on an axis, and
// for what the writer says.
func (g *Graph) Write(to io.Writer) error {
	x, y, err := g.scales()
	if err != nil {
		return fmt.Errorf("graph %q: %w", g.Title, err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, "<title>%s</title>\n", escape(g.Title))
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	text(&b, left, top-26, `font-size="15" font-weight="bold"`, g.Title)
	x.draw(&b, func(at float64, label string) {
		line(&b, at, top, at, height-bottom, "#ddd")
		line(&b, at, height-bottom, at, height-bottom+tickLength, "#444")
		text(&b, at, height-bottom+18, `text-anchor="middle"`, label)
	})
	y.draw(&b, func(at float64, label string) {
		line(&b, left, at, width-right, at, "#ddd")
		line(&b, left-tickLength, at, left, at, "#444")
		text(&b, left-9, at+4, `text-anchor="end"`, label)
	})
	line(&b, left, height-bottom, width-right, height-bottom, "#444")
	line(&b, left, top, left, height-bottom, "#444")
	text(&b, (left+width-right)/2, height-14, `text-anchor="middle"`, g.X.Label)
	fmt.Fprintf(&b, `<text transform="translate(16 %d) rotate(-90)" text-anchor="middle" fill="#222">%s</text>`+"\n",
		(top+height-bottom)/2, escape(g.Y.Label))
	for i, s := range g.Series {
		g.drawSeries(&b, i, s, x, y)
	}
	b.WriteString("</svg>\n")
	_, err = io.WriteString(to, b.String())
	return err
}

func (g *Graph) drawSeries(b *strings.Builder, i int, s Series, x, y scale) {
	colour := colours[i%len(colours)]
	var path []string
	for _, p := range s.Points {
		path = append(path, number(x.at(p.X))+","+number(y.at(p.Y)))
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(path, " "), colour)
	for _, p := range s.Points {
		fmt.Fprintf(b, `<circle cx="%s" cy="%s" r="3" fill="%s"/>`+"\n", number(x.at(p.X)), number(y.at(p.Y)), colour)
	}
	at := float64(top + 8 + i*legendLine)
	fmt.Fprintf(b, `<rect x="%d" y="%s" width="12" height="3" fill="%s"/>`+"\n", left+12, number(at-4), colour)
	text(b, left+30, at, "", s.Name)
}

func (g *Graph) scales() (x, y scale, err error) {
	var xs, ys []float64
	for _, s := range g.Series {
		for _, p := range s.Points {
			xs, ys = append(xs, p.X), append(ys, p.Y)
		}
	}
	if len(xs) == 0 {
		return x, y, fmt.Errorf("no points")
	}
	if x, err = newScale(g.X, xs, left, width-right); err != nil {
		return x, y, err
	}
	y, err = newScale(g.Y, ys, height-bottom, top)
	return x, y, err
}

// scale maps values to pixels, from the first to the last tick.
type scale struct {
	axis      Axis
	ticks     []float64
	low, high float64 // pixels of the first and the last tick
}

// newScale finds round ticks around all values. A linear axis begins at 0.
func newScale(axis Axis, values []float64, low, high float64) (scale, error) {
	least, most := slices.Min(values), slices.Max(values)
	if math.IsNaN(least) || math.IsInf(most, 0) || least < 0 || axis.Log && least <= 0 {
		return scale{}, fmt.Errorf("a value from %g to %g has no place on the axis %q", least, most, axis.Label)
	}
	s := scale{axis: axis, low: low, high: high}
	if axis.Log {
		s.ticks = decades(least, most)
	} else {
		s.ticks = steps(most)
	}
	return s, nil
}

// steps are multiples of 1, 2 or 5 times a power of ten, from 0 to the first that is not below most: at most eleven.
func steps(most float64) []float64 {
	if most == 0 {
		most = 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(most/5)))
	for _, of := range []float64{1, 2, 5, 10} {
		if most/(unit*of) <= 10 {
			unit *= of
			break
		}
	}
	ticks := []float64{0}
	for i := 1; ticks[len(ticks)-1] < most; i++ {
		ticks = append(ticks, float64(i)*unit)
	}
	return ticks
}

// decades are powers of ten around least and most, with 2 and 5 between them while they are few.
func decades(least, most float64) []float64 {
	from, to := int(math.Floor(math.Log10(least))), int(math.Ceil(math.Log10(most)))
	between := []float64{1}
	if to-from <= 3 {
		between = []float64{1, 2, 5}
	}
	var ticks []float64
	for e := from; e <= to; e++ {
		for _, of := range between {
			ticks = append(ticks, of*math.Pow10(e))
		}
	}
	// Of the ticks outside only the nearest.
	for len(ticks) > 2 && ticks[1] <= least {
		ticks = ticks[1:]
	}
	for len(ticks) > 2 && ticks[len(ticks)-2] >= most {
		ticks = ticks[:len(ticks)-1]
	}
	return ticks
}

func (s scale) at(v float64) float64 {
	first, last := s.ticks[0], s.ticks[len(s.ticks)-1]
	if s.axis.Log {
		v, first, last = math.Log(v), math.Log(first), math.Log(last)
	}
	return s.low + (v-first)/(last-first)*(s.high-s.low)
}

func (s scale) draw(b *strings.Builder, tick func(at float64, label string)) {
	for _, v := range s.ticks {
		tick(s.at(v), short(v))
	}
}

// short writes a tick: 20k, 10M, 0.5.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'g', 4, 64) + "M"
	case v >= 1e4:
		return strconv.FormatFloat(v/1e3, 'g', 4, 64) + "k"
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

func line(b *strings.Builder, x1, y1, x2, y2 float64, colour string) {
	fmt.Fprintf(b, `<line x1="%s" y1="%s" x2="%s" y2="%s" stroke="%s"/>`+"\n", number(x1), number(y1), number(x2), number(y2), colour)
}

func text(b *strings.Builder, x, y float64, attributes, content string) {
	fmt.Fprintf(b, `<text x="%s" y="%s" fill="#222" %s>%s</text>`+"\n", number(x), number(y), attributes, escape(content))
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder does not fail
	return b.String()
}
