package catalogue

import "iter"

// Catalogue is the library in memory: barcode → product. The zero Catalogue is empty and ready.
type Catalogue struct {
	rows  []Product
	index map[string]int32
}

// Set puts a product, replacing the row of the same barcode. It reports whether the row differs from what was there.
func (c *Catalogue) Set(p Product) (changed bool) {
	if i, ok := c.index[p.Barcode]; ok {
		if equal(&c.rows[i], &p) {
			return false
		}
		c.rows[i] = p
		return true
	}
	if c.index == nil {
		c.index = map[string]int32{}
	}
	c.index[p.Barcode] = int32(len(c.rows))
	c.rows = append(c.rows, p)
	return true
}

// Get returns the product under a barcode, or nil. The pointer is valid until the next Set and is read only.
func (c *Catalogue) Get(barcode string) *Product {
	if i, ok := c.index[barcode]; ok {
		return &c.rows[i]
	}
	return nil
}

// Len returns the number of products.
func (c *Catalogue) Len() int { return len(c.rows) }

// All iterates in the order in which barcodes were first set.
func (c *Catalogue) All() iter.Seq[*Product] {
	return func(yield func(*Product) bool) {
		for i := range c.rows {
			if !yield(&c.rows[i]) {
				return
			}
		}
	}
}

func equal(a, b *Product) bool {
	if a.Barcode != b.Barcode || a.Category != b.Category || a.Name != b.Name || a.Brand != b.Brand || a.Model != b.Model ||
		a.Grade != b.Grade || a.Label != b.Label || a.Filing != b.Filing || a.GuidePrice != b.GuidePrice ||
		a.State != b.State || a.Serial != b.Serial || len(a.Attributes) != len(b.Attributes) {
		return false
	}
	for i := range a.Attributes {
		if a.Attributes[i] != b.Attributes[i] {
			return false
		}
	}
	return true
}
