package registry

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"huanxin/subsidy/table"
)

// terminalColumns are the columns of terminals.csv and of a TerminalSet event, in this order.
var terminalColumns = []string{"id", "merchant", "city", "channel", "lon", "lat", "state", "batch"}

// TerminalColumns returns a copy of the column names, in the order of Terminal.Record.
func TerminalColumns() []string { return slices.Clone(terminalColumns) }

// Terminal is one row of the terminal table.
type Terminal struct {
	ID       string // 8 digits or capital letters (DE41)
	Merchant string // id of its merchant (DE42)
	City     string // city where it stands (GB/T 2260)
	Channel  string // channel its purchases belong to unless the message says otherwise
	Lon, Lat int32  // home position, WGS-84 micro-degrees
	State    State
	Batch    uint32 // batch number (DE60.2) it starts with, 1…999999
}

// ParseTerminal reads one record; lon and lat are decimal degrees, WGS-84, at most six decimals. The error names every
// field that is wrong.
func ParseTerminal(record []string) (Terminal, error) {
	if len(record) != len(terminalColumns) {
		return Terminal{}, fmt.Errorf("%w: %d, want %d", ErrColumns, len(record), len(terminalColumns))
	}
	t := Terminal{ID: record[0], Merchant: record[1], City: record[2], Channel: record[3], State: State(record[6])}
	var errs []error
	if !isUpperAlnum(t.ID, 8) {
		errs = append(errs, fmt.Errorf("id %q: want 8 digits or capital letters", t.ID))
	}
	if !isUpperAlnum(t.Merchant, 15) {
		errs = append(errs, fmt.Errorf("merchant %q: want 15 digits or capital letters", t.Merchant))
	}
	errs = appendDivision(errs, "city", t.City)
	if !isCode(t.Channel) {
		errs = append(errs, fmt.Errorf("channel %q is not a code", t.Channel))
	}
	var err error
	if t.Lon, err = parseMicroDegrees(record[4], 180); err != nil {
		errs = append(errs, fmt.Errorf("lon: %w", err))
	}
	if t.Lat, err = parseMicroDegrees(record[5], 90); err != nil {
		errs = append(errs, fmt.Errorf("lat: %w", err))
	}
	if t.State != Active && t.State != Suspended {
		errs = append(errs, fmt.Errorf("state %q: want active or suspended", record[6]))
	}
	batch, err := strconv.ParseUint(record[7], 10, 32)
	if err != nil || batch < 1 || batch > 999999 {
		errs = append(errs, fmt.Errorf("batch %q: want 1…999999", record[7]))
	}
	t.Batch = uint32(batch)
	if len(errs) > 0 {
		return Terminal{}, errors.Join(errs...)
	}
	return t, nil
}

// Record returns the row as ParseTerminal reads it.
func (t *Terminal) Record() []string {
	return []string{
		t.ID, t.Merchant, t.City, t.Channel, formatMicroDegrees(t.Lon), formatMicroDegrees(t.Lat), string(t.State),
		strconv.FormatUint(uint64(t.Batch), 10),
	}
}

// parseMicroDegrees reads decimal degrees such as "123.43" or "-0.5" exactly, without a float.
func parseMicroDegrees(text string, limit int64) (int32, error) {
	digits, negative := strings.CutPrefix(text, "-")
	whole, frac, dotted := strings.Cut(digits, ".")
	if len(whole) < 1 || len(whole) > 3 || !isDigits(whole, len(whole)) || dotted && (len(frac) < 1 || len(frac) > 6 || !isDigits(frac, len(frac))) {
		return 0, fmt.Errorf("%q: want degrees with at most six decimals", text)
	}
	micro, err := strconv.ParseInt(whole+(frac + "000000")[:6], 10, 64)
	if err != nil || micro > limit*1_000_000 {
		return 0, fmt.Errorf("%q: beyond ±%d degrees", text, limit)
	}
	if negative {
		micro = -micro
	}
	return int32(micro), nil
}

func formatMicroDegrees(micro int32) string {
	sign, v := "", int64(micro)
	if v < 0 {
		sign, v = "-", -v
	}
	return fmt.Sprintf("%s%d.%06d", sign, v/1_000_000, v%1_000_000)
}

// ReadTerminals parses a terminal table. Rows that are wrong are left out and reported with their line.
func ReadTerminals(data []byte) ([]table.Row[Terminal], []table.Problem) {
	return table.Read(data, terminalColumns, ParseTerminal)
}
