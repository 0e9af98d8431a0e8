package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"huanxin/subsidy/catalogue"
	"huanxin/subsidy/registry"
	"huanxin/subsidy/table"
)

// readTables reads the CSV tables and checks them against the programme and each other. A bundle without any table is a
// rule bundle; with one, it must have all that programme.yaml names.
func (c *compiler) readTables() {
	present := 0
	for _, name := range tableFiles() {
		_, ok := c.files[name]
		named := slices.Contains(c.tables, name)
		if ok && !named {
			c.r.add(FileProgramme, 0, "tables: %s is in the bundle but not named there with source and status", name)
		}
		if ok {
			present++
		}
	}
	if present == 0 {
		return
	}
	for _, name := range c.tables {
		if _, ok := c.files[name]; !ok {
			c.r.add(name, 0, "the file is missing; programme.yaml names it")
		}
	}
	c.readMerchants()
	c.readTerminals()
	c.readProducts()
	c.readPersons()
}

func (c *compiler) reportTable(name string, problems []table.Problem) {
	for _, p := range problems {
		c.r.add(name, p.Line, "%s", strings.ReplaceAll(p.Err.Error(), "\n", "; "))
	}
}

func (c *compiler) readMerchants() {
	data, ok := c.files[FileMerchants]
	if !ok {
		return
	}
	rows, problems := registry.ReadMerchants(data)
	c.reportTable(FileMerchants, problems)
	c.merchants = map[string]*registry.Merchant{}
	for i := range rows {
		m, line := &rows[i].Value, rows[i].Line
		if c.merchants[m.ID] != nil {
			c.r.add(FileMerchants, line, "merchant %s is given twice", m.ID)
		}
		c.merchants[m.ID] = m
		c.knownCity(FileMerchants, line, "city", m.City)
		c.knownCity(FileMerchants, line, "store_city", m.StoreCity)
		for _, a := range m.Admits {
			group, isGroup := strings.CutPrefix(a, "@")
			if _, found := c.p.categoryIndex[a]; !isGroup && !found || isGroup && c.groupMembers(group) == 0 {
				c.r.add(FileMerchants, line, "admits: unknown category or group %q", a)
			}
		}
		for _, ch := range m.Channels {
			if _, found := c.p.channelIndex[ch]; !found {
				c.r.add(FileMerchants, line, "channels: unknown channel %q", ch)
			}
		}
		c.p.Merchants = append(c.p.Merchants, *m)
	}
	for _, s := range c.scoped {
		if c.merchants[s.id] == nil {
			c.r.add(FilePolicy, s.line, "merchant %s is not in %s", s.id, FileMerchants)
		}
	}
}

func (c *compiler) knownCity(file string, line int, column, code string) {
	if _, ok := c.p.cityIndex[code]; !ok {
		c.r.add(file, line, "%s: unknown city %q", column, code)
	}
}

func (c *compiler) readTerminals() {
	data, ok := c.files[FileTerminals]
	if !ok {
		return
	}
	rows, problems := registry.ReadTerminals(data)
	c.reportTable(FileTerminals, problems)
	seen := map[string]bool{}
	for i := range rows {
		t, line := &rows[i].Value, rows[i].Line
		if seen[t.ID] {
			c.r.add(FileTerminals, line, "terminal %s is given twice", t.ID)
		}
		seen[t.ID] = true
		c.knownCity(FileTerminals, line, "city", t.City)
		switch m := c.merchants[t.Merchant]; {
		case m == nil:
			c.r.add(FileTerminals, line, "merchant %s is not in %s", t.Merchant, FileMerchants)
		case !m.SellsThrough(t.Channel):
			c.r.add(FileTerminals, line, "merchant %s does not sell through channel %q", t.Merchant, t.Channel)
		}
		c.p.Terminals = append(c.p.Terminals, *t)
	}
}

func (c *compiler) readProducts() {
	data, ok := c.files[FileProducts]
	if !ok {
		return
	}
	rows, problems := catalogue.ReadCSV(data)
	c.reportTable(FileProducts, problems)
	seen := map[string]bool{}
	for i := range rows {
		p, line := &rows[i].Value, rows[i].Line
		if seen[p.Barcode] {
			c.r.add(FileProducts, line, "barcode %s is given twice", p.Barcode)
		}
		seen[p.Barcode] = true
		if i, found := c.p.categoryIndex[p.Category]; !found {
			c.r.add(FileProducts, line, "unknown category %q", p.Category)
		} else {
			c.mustState(line, p, c.p.Categories[i].Must)
		}
		c.p.Products = append(c.p.Products, *p)
	}
}

func (c *compiler) mustState(line int, p *catalogue.Product, must []MustState) {
	for _, m := range must {
		if !slices.ContainsFunc(p.Attributes, func(a catalogue.Attribute) bool { return a.Key == m.Key && slices.Contains(m.Values, a.Value) }) {
			c.r.add(FileProducts, line, "category %s must state %s=%s", p.Category, m.Key, strings.Join(m.Values, "|"))
		}
	}
}

var personColumns = []string{"id_kind", "id", "name", "phone", "city"}

func (c *compiler) readPersons() {
	data, ok := c.files[FilePersons]
	if !ok {
		return
	}
	rows, problems := table.Read(data, personColumns, parsePerson)
	c.reportTable(FilePersons, problems)
	seen := map[string]bool{}
	for _, row := range rows {
		p := row.Value
		if _, found := c.idKinds[p.IDKind]; !found {
			c.r.add(FilePersons, row.Line, "unknown identity document %q", p.IDKind)
		}
		if seen[p.IDKind+p.ID] {
			c.r.add(FilePersons, row.Line, "the document is given twice")
		}
		seen[p.IDKind+p.ID] = true
		c.knownCity(FilePersons, row.Line, "city", p.City)
		c.p.Persons = append(c.p.Persons, p)
	}
}

// parsePerson reads a sample claimant. Problems never quote the number: real ones must not reach a log by mistake.
func parsePerson(record []string) (Person, error) {
	if len(record) != len(personColumns) {
		return Person{}, fmt.Errorf("%d columns, want %d", len(record), len(personColumns))
	}
	p := Person{IDKind: record[0], ID: record[1], Name: record[2], Phone: record[3], City: record[4]}
	var errs []error
	if p.IDKind == "id-card" {
		if err := CheckIDCard(p.ID); err != nil {
			errs = append(errs, fmt.Errorf("id: %w", err))
		}
	} else if !catalogue.IsCode(p.ID) {
		errs = append(errs, errors.New("id: want 1–16 letters and digits"))
	}
	if p.Name == "" || len(p.Name) > 120 {
		errs = append(errs, errors.New("name: want 1–120 bytes"))
	}
	if len(p.Phone) != 11 || strings.Trim(p.Phone, "0123456789") != "" {
		errs = append(errs, errors.New("phone: want 11 digits"))
	}
	return p, errors.Join(errs...)
}

// ErrIDCard is returned by CheckIDCard for text that is no citizen identity number.
var ErrIDCard = errors.New("not a citizen identity number")

// CheckIDCard accepts a citizen identity number of 18 characters whose check character is right (GB 11643-1999,
// ISO 7064 MOD 11-2). It checks neither birthday nor division.
func CheckIDCard(text string) error {
	if len(text) != 18 {
		return fmt.Errorf("%w: %d characters, want 18", ErrIDCard, len(text))
	}
	sum := 0
	for i := range 17 {
		if text[i] < '0' || text[i] > '9' {
			return fmt.Errorf("%w: character %d is not a digit", ErrIDCard, i+1)
		}
		sum = (sum + int(text[i]-'0')) * 2 % 11
	}
	if want := "10X98765432"[sum%11]; text[17] != want {
		return fmt.Errorf("%w: wrong check character", ErrIDCard)
	}
	return nil
}
