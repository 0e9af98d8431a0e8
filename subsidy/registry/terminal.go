package registry

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"huanxin/subsidy/table"
)

// terminalColumns are the columns of terminals.csv and of a TerminalSet event, in this order.
var terminalColumns = []string{"id", "merchant", "city", "channel", "lon", "lat", "state", "batch"}

// serialColumn may follow them. A row without it is a terminal with no registered serial number.
const serialColumn = "serial"

// maxTerminalSerial bounds a terminal's serial number in bytes.
const maxTerminalSerial = 50

// hashMark begins a serial number that is given as its keyed hash.
const hashMark = "#"

// TerminalColumns returns a copy of the names of the columns that every row has, in the order of Terminal.Record.
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
	// Serial is the device's serial number, which a sign-on must name (DE62); "" = not registered. In a file it stands as it is
	// printed on the device; in the journal and in the engine as # and its keyed hash in hex (HashSerials).
	Serial string
}

// SerialHash is the hash that HashSerials has put in; the zero hash when no serial number is registered. ok is false for one
// in clear.
func (t *Terminal) SerialHash() (hash [16]byte, ok bool) {
	text, hashed := strings.CutPrefix(t.Serial, hashMark)
	if !hashed {
		return hash, t.Serial == ""
	}
	n, err := hex.Decode(hash[:], []byte(text))
	return hash, err == nil && n == len(hash)
}

// HashSerials replaces the serial numbers of terminal records that stand there in clear by their keyed hashes, which hash makes.
func HashSerials(records [][]string, hash func(serial []byte) [16]byte) {
	at := len(terminalColumns)
	for _, record := range records {
		if len(record) == at+1 && record[at] != "" && !strings.HasPrefix(record[at], hashMark) {
			sum := hash([]byte(record[at]))
			record[at] = hashMark + hex.EncodeToString(sum[:])
		}
	}
}

func validSerial(text string) bool {
	if hash, hashed := strings.CutPrefix(text, hashMark); hashed {
		_, err := hex.DecodeString(hash)
		return err == nil && len(hash) == 32 && hash == strings.ToLower(hash)
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return len(text) <= maxTerminalSerial
}

// ParseTerminal reads one record; lon and lat are decimal degrees, WGS-84, at most six decimals. The error names every
// field that is wrong.
func ParseTerminal(record []string) (Terminal, error) {
	if n := len(terminalColumns); len(record) != n && len(record) != n+1 {
		return Terminal{}, fmt.Errorf("%w: %d, want %d, or %d with %s", ErrColumns, len(record), n, n+1, serialColumn)
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
	if len(record) > len(terminalColumns) {
		if t.Serial = record[len(terminalColumns)]; !validSerial(t.Serial) {
			errs = append(errs, fmt.Errorf("serial: want at most %d printable characters without blanks, or %s and 32 hex digits", maxTerminalSerial, hashMark))
		}
	}
	if len(errs) > 0 {
		return Terminal{}, errors.Join(errs...)
	}
	return t, nil
}

// Record returns the row as ParseTerminal reads it, with its serial number when there is one.
func (t *Terminal) Record() []string {
	record := []string{
		t.ID, t.Merchant, t.City, t.Channel, formatMicroDegrees(t.Lon), formatMicroDegrees(t.Lat), string(t.State),
		strconv.FormatUint(uint64(t.Batch), 10),
	}
	if t.Serial != "" {
		record = append(record, t.Serial)
	}
	return record
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

// ReadTerminals parses a terminal table, whose header may name the serial number last. Rows that are wrong are left out and reported with their line.
func ReadTerminals(data []byte) ([]table.Row[Terminal], []table.Problem) {
	columns := terminalColumns
	if bytes.HasSuffix(header(data), []byte(","+serialColumn)) {
		columns = append(TerminalColumns(), serialColumn)
	}
	return table.Read(data, columns, ParseTerminal)
}

// header is the first line that is no comment.
func header(data []byte) []byte {
	for len(data) > 0 {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte("\n"))
		if line = bytes.TrimRight(line, "\r"); len(line) > 0 && line[0] != '#' {
			return line
		}
	}
	return nil
}
