// Package policy turns the rules of a programme, written as dated data, into decisions: how large the state's share of
// one price is, what the buyer still pays, and for which reasons nothing is given (P2, P5, D8).
//
// It keeps no state: what a person has used, what is left in a budget, whether a serial number was seen is given in the
// request or checked elsewhere. It reads no file, no clock and no environment, and starts nothing.
//
// The contract:
//
//  1. Compile a whole bundle of files. It returns every problem it finds, each with file and line, or a Programme that
//     is immutable and safe for concurrent use.
//  2. Decide answers one reserve, DecideClaim one claim. Both reuse the decision they are given and allocate nothing in
//     steady state. All reasons are collected, in ascending order; a refused request has subsidy 0.
//  3. Rows of the registry and the product library in a Programme are sample data for a first start. The engine's own
//     tables, filled from the journal, are what a purchase is checked against.
//
// README.md in this folder defines scope and override, the order of the arithmetic and which instant decides;
// docs/programme-format.md is the manual of the files.
package policy

import (
	"huanxin/subsidy/catalogue"
	"huanxin/subsidy/registry"
)

// Limits of one programme. They bound tables that are built from them.
const (
	MaxCategories = 64 // a set of categories is one machine word
	MaxCities     = 64
	MaxChannels   = 8
	MaxGroups     = 16
	MaxVersions   = 64
)

// Status says how well a value of the bundle is founded.
type Status string

const (
	Verified   Status = "verified"   // read in the source
	Assumption Status = "assumption" // chosen; the source says why
)

// Origin is where a value of the bundle was written and what it rests on.
type Origin struct {
	File   string
	Line   int
	Source string
	Status Status
}

// Text is a name in the two languages of the system.
type Text struct{ ZH, EN string }

// Value names one value of the rule files by its key.
type Value struct {
	Key string
	Origin
}

// Programme is one compiled bundle: province × year.
type Programme struct {
	ID       string
	Name     Text
	Province string   // first two digits of the province's division codes, such as "21"
	Digest   [32]byte // SHA-256 over the rule files; see DigestOf

	Channels   []Channel
	Cities     []City
	Groups     []Group
	Categories []Category // at most MaxCategories; the index is the position in the file and never changes
	Documents  []Coded    // what a dossier can hold
	IDKinds    []Coded    // identity documents
	OldItems   []Coded    // kinds of old items that can be handed in
	Decides    Instant
	Versions   []Version // ascending by From, not overlapping
	Budget     Budget

	Merchants []registry.Merchant
	Terminals []registry.Terminal
	Products  []catalogue.Product
	Persons   []Person

	Values []Value // every value of the rule files with its origin, by file and line

	cityIndex, channelIndex, categoryIndex map[string]int
	end                                    int64 // no entitlement outlives it
	golden                                 []goldenCase
}

// Channel is a way of buying: store (POS), qr or online in the sample.
type Channel struct {
	Code   string
	Name   Text
	Origin Origin
}

// City takes part in the programme, under its division code (GB/T 2260).
type City struct {
	Code   string
	Name   Text
	Origin Origin
}

// Group gathers categories: appliance, digital, home, ebike in the sample.
type Group struct {
	Code   string
	Name   Text
	Origin Origin
}

// Category is one kind of goods that the programme knows.
type Category struct {
	Code   string
	Name   Text
	Group  string
	Label  catalogue.Label // the label kind its goods usually carry; a product row may say otherwise
	Must   []MustState
	Origin Origin
}

// MustState is an attribute that every product of a category must have, with one of some values.
type MustState struct {
	Key    string
	Values []string
}

// Coded is a word of the programme's own vocabulary.
type Coded struct {
	Code   string
	Name   Text
	Origin Origin
}

// Person is a sample claimant for demonstrations: fictional, with a valid check digit.
type Person struct {
	IDKind string // id-card, hk-macao-permit, taiwan-permit …
	ID     string
	Name   string
	Phone  string
	City   string
}

// Instant says which instant picks the policy version of a purchase.
type Instant uint8

const (
	DecidedAtReserve Instant = iota
	DecidedAtClaim
)

// CategoryIndex returns the position of a category, or false.
func (p *Programme) CategoryIndex(code string) (int, bool) {
	i, ok := p.categoryIndex[code]
	return i, ok
}

// CityIndex returns the position of a city, or false.
func (p *Programme) CityIndex(code string) (int, bool) { i, ok := p.cityIndex[code]; return i, ok }

// ChannelIndex returns the position of a channel, or false.
func (p *Programme) ChannelIndex(code string) (int, bool) {
	i, ok := p.channelIndex[code]
	return i, ok
}

// Version returns the version with this id, or nil.
func (p *Programme) Version(id string) *Version {
	for i := range p.Versions {
		if p.Versions[i].ID == id {
			return &p.Versions[i]
		}
	}
	return nil
}

// Rule returns the rule that a version lays down for a city, channel, category and merchant, or nil when one of them is
// unknown. It serves what comes after a decision: refund, restore, evidence and the life of a one-time code.
func (p *Programme) Rule(version, city, channel, category, merchant string) *Rule {
	v := p.Version(version)
	cityAt, okCity := p.cityIndex[city]
	channelAt, okChannel := p.channelIndex[channel]
	categoryAt, okCategory := p.categoryIndex[category]
	if v == nil || !okCity || !okChannel || !okCategory {
		return nil
	}
	return v.rule(p.cell(cityAt, channelAt, categoryAt), merchant)
}

// VersionAt returns the version whose validity holds an instant (Unix nanoseconds), or nil.
func (p *Programme) VersionAt(at int64) *Version {
	for i := range p.Versions {
		if v := &p.Versions[i]; at >= v.From && at < v.To {
			return v
		}
	}
	return nil
}

func (p *Programme) cell(city, channel, category int) int {
	return (city*len(p.Channels)+channel)*len(p.Categories) + category
}
