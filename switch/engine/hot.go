package engine

import (
	"iter"
	"maps"
	"slices"
)

// hot are the purchases in memory, by id. Ids come in order and most purchases leave in order, so pages of neighbours are
// what is looked up: a few hundred of them, which stay in the processor's caches where a map of purchases would not.
type hot struct {
	pages map[uint64]*hotPage
	n     int
}

const perPage = 512

type hotPage struct {
	purchases [perPage]*purchase
	n         int
}

func (h *hot) len() int { return h.n }

// get is nil when the purchase is not hot.
func (h *hot) get(id uint64) *purchase {
	if page := h.pages[id/perPage]; page != nil {
		return page.purchases[id%perPage]
	}
	return nil
}

// put enters a purchase.
func (h *hot) put(p *purchase) {
	page := h.pages[p.id/perPage]
	if page == nil {
		page = new(hotPage)
		h.pages[p.id/perPage] = page
	}
	place := &page.purchases[p.id%perPage]
	if *place == nil {
		page.n++
		h.n++
	}
	*place = p
}

// remove takes a purchase away that is there.
func (h *hot) remove(id uint64) {
	page := h.pages[id/perPage]
	page.purchases[id%perPage] = nil
	page.n--
	h.n--
	if page.n == 0 {
		delete(h.pages, id/perPage)
	}
}

// all iterates in the order of ids. Purchases may be removed meanwhile.
func (h *hot) all() iter.Seq[*purchase] {
	return func(yield func(*purchase) bool) {
		for _, number := range slices.Sorted(maps.Keys(h.pages)) {
			page := h.pages[number]
			if page == nil {
				continue
			}
			for _, p := range &page.purchases {
				if p != nil && !yield(p) {
					return
				}
			}
		}
	}
}
