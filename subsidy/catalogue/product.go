// Package catalogue is the product library (P2c, P3): which goods exist under which barcode, in which category, with
// which efficiency grade, and whether they are admitted.
//
// It decides no subsidy and knows no policy: the grade it holds is an input of package policy. It does no I/O; a row is
// the record of a CSV line, in the journal (ProductSet) as in the file, so both read and write the same form.
//
// The contract:
//
//   - ParseProduct accepts what Record returns: ParseProduct(p.Record()) == p for every valid Product.
//   - A Catalogue has one owner (the engine) and is not safe for concurrent use. All iterates in the order in which
//     barcodes were first set, so a snapshot is the same for the same history.
package catalogue

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"huanxin/internal/money"
	"huanxin/subsidy/table"
)

// Columns are the columns of products.csv and of a ProductSet event, in this order.
var columns = []string{"barcode", "category", "name", "brand", "model", "grade", "label", "filing", "guide_price", "attributes", "state", "serial"}

// Columns returns a copy of the column names, in the order of Record.
func Columns() []string { return slices.Clone(columns) }

// State says whether a product may be sold with a subsidy now.
type State string

const (
	Active    State = "active"
	Withdrawn State = "withdrawn" // in the library, not admitted now
)

// SerialKind is the kind of number that identifies one piece of the product.
type SerialKind string

const (
	SerialNone SerialKind = "none" // none is asked for
	SerialSN   SerialKind = "sn"   // the maker's serial number
	SerialIMEI SerialKind = "imei" // 15 digits, Luhn
)

// Label is the kind of the national efficiency label.
type Label string

const (
	LabelNone   Label = "none"
	LabelEnergy Label = "energy" // 能效标识
	LabelWater  Label = "water"  // 水效标识
)

// Attribute is one further property a rate may ask for, such as kind=laptop.
type Attribute struct{ Key, Value string }

// Product is one row of the library.
type Product struct {
	Barcode    string       // GTIN of 8, 12, 13 or 14 digits with a right check digit
	Category   string       // category code of the programme
	Name       string       // as printed on receipts
	Brand      string       //
	Model      string       //
	Grade      uint8        // efficiency grade 1…5; 0 = none
	Label      Label        // which label the grade is from
	Filing     string       // 备案号 of the label, "" = none
	GuidePrice money.Amount // the maker's guide price, 0 = not known
	Attributes []Attribute  // ascending by key, at most MaxAttributes
	State      State
	Serial     SerialKind
}

const (
	// MaxAttributes bounds the attributes of one product.
	MaxAttributes = 16
	// MaxText bounds every free text of a row, in bytes.
	MaxText = 128
)

// ErrColumns is returned for a record with another number of fields than Columns.
var ErrColumns = errors.New("wrong number of columns")

// ParseProduct reads one record. The error names every field that is wrong.
func ParseProduct(record []string) (Product, error) {
	if len(record) != len(columns) {
		return Product{}, fmt.Errorf("%w: %d, want %d", ErrColumns, len(record), len(columns))
	}
	p := Product{
		Barcode: record[0], Category: record[1], Name: record[2], Brand: record[3], Model: record[4],
		Label: Label(record[6]), Filing: record[7], State: State(record[10]), Serial: SerialKind(record[11]),
	}
	var errs []error
	if err := CheckGTIN(p.Barcode); err != nil {
		errs = append(errs, fmt.Errorf("barcode: %w", err))
	}
	if !IsCode(p.Category) {
		errs = append(errs, fmt.Errorf("category %q: want 1–16 letters, digits, - or _", p.Category))
	}
	for i, text := range []string{p.Name, p.Brand, p.Model, p.Filing} {
		if err := checkText(text, i > 0); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", []string{"name", "brand", "model", "filing"}[i], err))
		}
	}
	var err error
	if p.Grade, err = ParseGrade(record[5]); err != nil {
		errs = append(errs, fmt.Errorf("grade: %w", err))
	}
	if !oneOf(p.Label, LabelNone, LabelEnergy, LabelWater) {
		errs = append(errs, fmt.Errorf("label %q: want energy, water or none", record[6]))
	}
	if p.Grade > 0 && p.Label == LabelNone {
		errs = append(errs, errors.New("label none cannot carry a grade"))
	}
	if record[8] != "" {
		if p.GuidePrice, err = money.ParseYuan(record[8]); err != nil || p.GuidePrice == 0 || p.GuidePrice > money.MaxN12 {
			errs = append(errs, fmt.Errorf("guide_price %q: want yuan above 0, or nothing", record[8]))
		}
	}
	if p.Attributes, err = ParseAttributes(record[9]); err != nil {
		errs = append(errs, fmt.Errorf("attributes: %w", err))
	}
	if !oneOf(p.State, Active, Withdrawn) {
		errs = append(errs, fmt.Errorf("state %q: want active or withdrawn", record[10]))
	}
	if !oneOf(p.Serial, SerialNone, SerialSN, SerialIMEI) {
		errs = append(errs, fmt.Errorf("serial %q: want imei, sn or none", record[11]))
	}
	if len(errs) > 0 {
		return Product{}, errors.Join(errs...)
	}
	return p, nil
}

// Record returns the row as ParseProduct reads it.
func (p *Product) Record() []string { return p.AppendRecord(nil) }

// AppendRecord appends the row as ParseProduct reads it.
func (p *Product) AppendRecord(dst []string) []string {
	grade, price := "none", ""
	if p.Grade > 0 {
		grade = strconv.Itoa(int(p.Grade))
	}
	if p.GuidePrice > 0 {
		price = p.GuidePrice.String()
	}
	return append(dst, p.Barcode, p.Category, p.Name, p.Brand, p.Model, grade, string(p.Label), p.Filing, price,
		formatAttributes(p.Attributes), string(p.State), string(p.Serial))
}

// ParseGrade reads an efficiency grade: 1…5, or none (0).
func ParseGrade(text string) (uint8, error) {
	if text == "none" {
		return 0, nil
	}
	if len(text) == 1 && text[0] >= '1' && text[0] <= '5' {
		return text[0] - '0', nil
	}
	return 0, fmt.Errorf("%q: want 1, 2, 3, 4, 5 or none", text)
}

// ParseAttributes reads "key=value;key=value", or "" for none. The result is ascending by key.
func ParseAttributes(text string) ([]Attribute, error) {
	if text == "" {
		return nil, nil
	}
	parts := strings.Split(text, ";")
	if len(parts) > MaxAttributes {
		return nil, fmt.Errorf("%d attributes, at most %d", len(parts), MaxAttributes)
	}
	attributes := make([]Attribute, 0, len(parts))
	for _, part := range parts {
		key, value, found := strings.Cut(part, "=")
		if !found || !IsCode(key) || !IsCode(value) {
			return nil, fmt.Errorf("%q: want key=value of letters, digits, - and _", part)
		}
		attributes = append(attributes, Attribute{key, value})
	}
	slices.SortFunc(attributes, func(a, b Attribute) int { return strings.Compare(a.Key, b.Key) })
	for i := 1; i < len(attributes); i++ {
		if attributes[i].Key == attributes[i-1].Key {
			return nil, fmt.Errorf("%q given twice", attributes[i].Key)
		}
	}
	return attributes, nil
}

// IsCode reports whether text can be a code of the programme's data: 1–16 ASCII letters, digits, - or _.
func IsCode(text string) bool {
	if len(text) == 0 || len(text) > 16 {
		return false
	}
	for i := range len(text) {
		c := text[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func checkText(text string, mayBeEmpty bool) error {
	switch {
	case text == "" && !mayBeEmpty:
		return errors.New("is empty")
	case len(text) > MaxText:
		return fmt.Errorf("%d bytes, at most %d", len(text), MaxText)
	case !utf8.ValidString(text):
		return errors.New("is not UTF-8")
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("holds a control character")
	}
	return nil
}

func oneOf[T comparable](v T, allowed ...T) bool { return slices.Contains(allowed, v) }

// ReadCSV parses a product table. Rows that are wrong are left out and reported with their line.
func ReadCSV(data []byte) ([]table.Row[Product], []table.Problem) {
	return table.Read(data, columns, ParseProduct)
}
