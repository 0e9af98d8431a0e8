// Package registry holds who takes part: merchants with the categories they are admitted for (P2b, D8), and terminals
// with their merchant, city and home position.
//
// It holds no keys, no secrets and no volatile state (sessions, batches in use): those belong to switch/keys and to the
// engine. It does no I/O; a row is the record of a CSV line, in the journal (MerchantSet, TerminalSet) as in the file.
//
// The contract:
//
//   - ParseX accepts what Record returns: ParseMerchant(m.Record()) equals m for every valid Merchant.
//   - A Registry has one owner (the engine) and is not safe for concurrent use. Iteration is in the order in which ids
//     were first set, so a snapshot is the same for the same history.
package registry

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"huanxin/subsidy/table"
)

// State of a merchant or terminal.
type State string

const (
	Active    State = "active"
	Suspended State = "suspended" // known, but refused
)

// MaxName bounds a merchant's name in bytes.
const MaxName = 120

// maxList bounds a list in one column, so that one row cannot hold the process up.
const maxList = 64

// ErrColumns is returned for a record with another number of fields than the table has.
var ErrColumns = errors.New("wrong number of columns")

// merchantColumns are the columns of merchants.csv and of a MerchantSet event, in this order.
var merchantColumns = []string{"id", "name", "city", "store_city", "mcc", "admits", "channels", "state"}

// MerchantColumns returns a copy of the column names, in the order of Merchant.Record.
func MerchantColumns() []string { return slices.Clone(merchantColumns) }

// Merchant is one row of the merchant table.
type Merchant struct {
	ID        string   // 15 digits or capital letters: 3 institution, 4 area, 4 MCC, 4 serial (DE42)
	Name      string   // Chinese name, as printed on receipts
	City      string   // city of registration (GB/T 2260): its policy applies, and it is `merchant` of the paying city
	StoreCity string   // city where the store stands: `store` of the paying city
	MCC       string   // merchant category code, 4 digits
	Admits    []string // category codes, or "@" and a group; ascending
	Channels  []string // channels it sells through; ascending
	State     State
}

// ParseMerchant reads one record. Lists are separated by blanks. The error names every field that is wrong. Whether
// cities, categories and channels exist is the programme's matter (policy.Compile).
func ParseMerchant(record []string) (Merchant, error) {
	if len(record) != len(merchantColumns) {
		return Merchant{}, fmt.Errorf("%w: %d, want %d", ErrColumns, len(record), len(merchantColumns))
	}
	m := Merchant{ID: record[0], Name: record[1], City: record[2], StoreCity: record[3], MCC: record[4], State: State(record[7])}
	var errs []error
	if !isUpperAlnum(m.ID, 15) {
		errs = append(errs, fmt.Errorf("id %q: want 15 digits or capital letters", m.ID))
	}
	if m.Name == "" || len(m.Name) > MaxName || !utf8.ValidString(m.Name) || strings.ContainsFunc(m.Name, isControl) {
		errs = append(errs, fmt.Errorf("name %q: want 1–%d bytes of UTF-8 without control characters", m.Name, MaxName))
	}
	errs = appendDivision(errs, "city", m.City)
	errs = appendDivision(errs, "store_city", m.StoreCity)
	if !isDigits(m.MCC, 4) {
		errs = append(errs, fmt.Errorf("mcc %q: want 4 digits", m.MCC))
	}
	var err error
	if m.Admits, err = parseList(record[5], true); err != nil {
		errs = append(errs, fmt.Errorf("admits: %w", err))
	}
	if m.Channels, err = parseList(record[6], false); err != nil {
		errs = append(errs, fmt.Errorf("channels: %w", err))
	}
	if m.State != Active && m.State != Suspended {
		errs = append(errs, fmt.Errorf("state %q: want active or suspended", record[7]))
	}
	if len(errs) > 0 {
		return Merchant{}, errors.Join(errs...)
	}
	return m, nil
}

// Record returns the row as ParseMerchant reads it.
func (m *Merchant) Record() []string {
	return []string{m.ID, m.Name, m.City, m.StoreCity, m.MCC, strings.Join(m.Admits, " "), strings.Join(m.Channels, " "), string(m.State)}
}

// AdmittedFor reports whether the merchant may sell a category, by its code or by the group the category belongs to.
func (m *Merchant) AdmittedFor(category, group string) bool {
	for _, a := range m.Admits {
		if a == category || len(a) > 1 && a[0] == '@' && a[1:] == group {
			return true
		}
	}
	return false
}

// SellsThrough reports whether the merchant takes part in a channel.
func (m *Merchant) SellsThrough(channel string) bool { return slices.Contains(m.Channels, channel) }

func equalMerchants(a, b *Merchant) bool {
	return a.ID == b.ID && a.Name == b.Name && a.City == b.City && a.StoreCity == b.StoreCity && a.MCC == b.MCC &&
		a.State == b.State && slices.Equal(a.Admits, b.Admits) && slices.Equal(a.Channels, b.Channels)
}

// parseList reads blank-separated codes; groups allows "@group". The result is ascending without repeats.
func parseList(text string, groups bool) ([]string, error) {
	list := strings.Fields(text)
	if len(list) > maxList {
		return nil, fmt.Errorf("%d entries, at most %d", len(list), maxList)
	}
	for _, entry := range list {
		code := entry
		if groups {
			code = strings.TrimPrefix(entry, "@")
		}
		if !isCode(code) {
			return nil, fmt.Errorf("%q is not a code", entry)
		}
	}
	slices.Sort(list)
	if len(slices.Compact(slices.Clone(list))) != len(list) {
		return nil, errors.New("an entry is given twice")
	}
	if len(list) == 0 {
		return nil, nil
	}
	return list, nil
}

func appendDivision(errs []error, name, code string) []error {
	if !isDigits(code, 6) {
		return append(errs, fmt.Errorf("%s %q: want a division code of 6 digits", name, code))
	}
	return errs
}

func isDigits(text string, n int) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return len(text) == n
}

func isUpperAlnum(text string, n int) bool {
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return len(text) == n
}

func isCode(text string) bool {
	for i := range len(text) {
		c := text[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return len(text) >= 1 && len(text) <= 16
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// ReadMerchants parses a merchant table. Rows that are wrong are left out and reported with their line.
func ReadMerchants(data []byte) ([]table.Row[Merchant], []table.Problem) {
	return table.Read(data, merchantColumns, ParseMerchant)
}
