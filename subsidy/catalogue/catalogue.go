package catalogue

import (
	"iter"
	"slices"
	"strings"

	"huanxin/internal/flat"
	"huanxin/internal/money"
)

// Catalogue is the library in memory: barcode → product. The zero Catalogue is empty and ready. It keeps rows packed,
// about 130 bytes each, and unpacks the one that is asked for without allocating.
type Catalogue struct {
	rows       flat.Slab[row]
	index      flat.Index // by barcode
	texts      flat.Texts
	live       int               // bytes of texts that rows still point at
	categories []string          // the distinct codes
	attributes [][]Attribute     // the distinct lists; 0 is the empty one
	listed     map[string]uint32 // attributes by their text
	shown      Product           // what Get and All have unpacked
}

// row is one product: what a decision asks for lies here, and the texts one behind the other in texts.
type row struct {
	barcode    uint64 // as number reads it
	price      money.Amount
	text       uint32
	attributes uint32
	lengths    [texts]uint8
	category   uint16
	grade      uint8
	label      uint8
	state      uint8
	serial     uint8
}

// texts is how many texts a row has: barcode, name, brand, model, filing. Each is at most MaxText bytes.
const texts = 5

var (
	labels  = []Label{LabelNone, LabelEnergy, LabelWater}
	states  = []State{Active, Withdrawn}
	serials = []SerialKind{SerialNone, SerialSN, SerialIMEI}
)

// Set puts a product that ParseProduct has read, replacing the row of the same barcode. It reports whether the row
// differs from what was there.
func (c *Catalogue) Set(p Product) (changed bool) {
	i, ok := c.find(p.Barcode)
	if !ok {
		c.index.Add(flat.Mix(number(p.Barcode)), uint32(c.rows.Add(c.pack(&p))))
		return true
	}
	old := c.rows.At(i)
	if equal(c.unpack(old), &p) {
		return false
	}
	c.live -= old.size()
	*old = c.pack(&p)
	if dead := c.texts.Len() - c.live; dead > c.live+1<<20 {
		c.compact()
	}
	return true
}

// Get returns the product under a barcode, or nil. The pointer is valid until the next call and is read only.
func (c *Catalogue) Get(barcode string) *Product {
	if i, ok := c.find(barcode); ok {
		return c.unpack(c.rows.At(i))
	}
	return nil
}

// Len returns the number of products.
func (c *Catalogue) Len() int { return c.rows.Len() }

// All iterates in the order in which barcodes were first set. A pointer is valid until the next step.
func (c *Catalogue) All() iter.Seq[*Product] {
	return func(yield func(*Product) bool) {
		for i := range c.rows.Len() {
			if !yield(c.unpack(c.rows.At(i))) {
				return
			}
		}
	}
}

func (c *Catalogue) find(barcode string) (int, bool) {
	n := number(barcode)
	i, ok := c.index.Find(flat.Mix(n), func(i uint32) bool { return c.rows.At(int(i)).barcode == n })
	return int(i), ok && n != 0
}

// number is the digits of a barcode and how many there are, which its leading zeros depend on; 0 is none.
func number(barcode string) (n uint64) {
	if len(barcode) > 15 {
		return 0
	}
	for i := range len(barcode) {
		digit := barcode[i] - '0'
		if digit > 9 {
			return 0
		}
		n = n*10 + uint64(digit)
	}
	return n<<4 | uint64(len(barcode))
}

func (c *Catalogue) pack(p *Product) row {
	r := row{
		barcode: number(p.Barcode), category: c.category(p.Category), price: p.GuidePrice, grade: p.Grade, attributes: c.list(p.Attributes), label: place(labels, p.Label),
		state: place(states, p.State), serial: place(serials, p.Serial),
		text: c.texts.Add(p.Barcode, p.Name, p.Brand, p.Model, p.Filing),
	}
	for i, text := range [texts]string{p.Barcode, p.Name, p.Brand, p.Model, p.Filing} {
		r.lengths[i] = uint8(len(text))
	}
	c.live += r.size()
	return r
}

// place is where v stands in list; a value that ParseProduct would not read is a broken invariant.
func place[T comparable](list []T, v T) uint8 {
	i := slices.Index(list, v)
	if i < 0 {
		panic("a product that was not parsed")
	}
	return uint8(i)
}

func (c *Catalogue) category(code string) uint16 {
	i := slices.Index(c.categories, code)
	if i < 0 {
		if i = len(c.categories); i == 1<<16 {
			panic("more than 65536 categories")
		}
		c.categories = append(c.categories, strings.Clone(code))
	}
	return uint16(i)
}

// list keeps every distinct list of attributes once: of half a million products, thousands have the same.
func (c *Catalogue) list(attributes []Attribute) uint32 {
	if len(attributes) == 0 {
		return 0
	}
	text := formatAttributes(attributes)
	i, ok := c.listed[text]
	if !ok {
		if c.listed == nil {
			c.listed, c.attributes = map[string]uint32{}, [][]Attribute{nil}
		}
		i = uint32(len(c.attributes))
		c.attributes = append(c.attributes, slices.Clone(attributes))
		c.listed[text] = i
	}
	return i
}

func (r *row) size() (n int) {
	for _, length := range r.lengths {
		n += int(length)
	}
	return n
}

func (c *Catalogue) unpack(r *row) *Product {
	text := c.texts.At(r.text, r.size())
	p := &c.shown
	for i, field := range [texts]*string{&p.Barcode, &p.Name, &p.Brand, &p.Model, &p.Filing} {
		*field, text = text[:r.lengths[i]], text[r.lengths[i]:]
	}
	p.Category = c.categories[r.category]
	p.Grade, p.GuidePrice, p.Label, p.State, p.Serial = r.grade, r.price, labels[r.label], states[r.state], serials[r.serial]
	p.Attributes = nil
	if r.attributes != 0 {
		p.Attributes = c.attributes[r.attributes]
	}
	return p
}

// compact copies the texts that are in use, after as many bytes of others have gathered.
func (c *Catalogue) compact() {
	var kept flat.Texts
	for i := range c.rows.Len() {
		r := c.rows.At(i)
		r.text = kept.Add(c.texts.At(r.text, r.size()))
	}
	c.texts = kept
}

func equal(a, b *Product) bool {
	return a.Barcode == b.Barcode && a.Category == b.Category && a.Name == b.Name && a.Brand == b.Brand && a.Model == b.Model &&
		a.Grade == b.Grade && a.Label == b.Label && a.Filing == b.Filing && a.GuidePrice == b.GuidePrice &&
		a.State == b.State && a.Serial == b.Serial && slices.Equal(a.Attributes, b.Attributes)
}

func formatAttributes(attributes []Attribute) string {
	var text strings.Builder
	for i, a := range attributes {
		if i > 0 {
			text.WriteByte(';')
		}
		text.WriteString(a.Key + "=" + a.Value)
	}
	return text.String()
}
