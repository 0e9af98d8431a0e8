package engine

import (
	"iter"
	"maps"
	"slices"

	"huanxin/internal/flat"
	"huanxin/subsidy"
)

// hot are the purchases in memory, by id. Ids come in order and most purchases leave in order, so pages of neighbours are
// what is looked up: a few hundred of them, which stay in the processor's caches where a map of purchases would not.
//
// A purchase that was reserved and nothing else rests: of it there is its fact, packed, and what that does not say. Rushes leave
// them by the hundred thousand, and the collector has nothing to walk. The first event after the reserve wakes it, the end of
// its hold too.
type hot struct {
	pages map[uint64]*hotPage
	n     int
	facts flat.Scraps
}

const perPage = 512

type hotPage struct {
	awake   [perPage]*purchase
	resting [perPage]resting
	n       int // of both
}

// resting is a purchase that was reserved.
type resting struct {
	at   int64 // of its event
	fact flat.Scrap
	size uint32 // of the fact; 0 = no purchase rests here
	leaf subsidy.NodeID
}

func (h *hot) len() int { return h.n }

// get is nil when the purchase is not hot, or rests.
func (h *hot) get(id uint64) *purchase {
	if page := h.pages[id/perPage]; page != nil {
		return page.awake[id%perPage]
	}
	return nil
}

// rested is what rests under an id; ok is false when nothing does.
func (h *hot) rested(id uint64) (r resting, ok bool) {
	if page := h.pages[id/perPage]; page != nil {
		r = page.resting[id%perPage]
	}
	return r, r.size != 0
}

// packed is the fact of a purchase that rests. Like every text of Scraps it stays good.
func (h *hot) packed(r resting) string { return h.facts.At(r.fact, int(r.size)) }

// has reports whether a purchase is hot.
func (h *hot) has(id uint64) bool {
	page := h.pages[id/perPage]
	return page != nil && (page.awake[id%perPage] != nil || page.resting[id%perPage].size != 0)
}

// enter gives a purchase that is not hot a place on its page.
func (h *hot) enter(id uint64) *hotPage {
	page := h.pages[id/perPage]
	if page == nil {
		page = new(hotPage)
		h.pages[id/perPage] = page
	}
	page.n++
	h.n++
	return page
}

// put enters a purchase that is not hot.
func (h *hot) put(p *purchase) { h.enter(p.id).awake[p.id%perPage] = p }

// lay enters a purchase that is not hot, to rest.
func (h *hot) lay(id uint64, r resting) { h.enter(id).resting[id%perPage] = r }

// wake enters p for what rests under its id.
func (h *hot) wake(p *purchase) {
	page := h.pages[p.id/perPage]
	r := &page.resting[p.id%perPage]
	h.facts.Remove(r.fact)
	*r = resting{}
	page.awake[p.id%perPage] = p
}

// remove takes a purchase away that is awake.
func (h *hot) remove(id uint64) {
	page := h.pages[id/perPage]
	page.awake[id%perPage] = nil
	page.n--
	h.n--
	if page.n == 0 {
		delete(h.pages, id/perPage)
	}
}

// all iterates in the order of ids; p is nil for one that rests. Purchases may be removed meanwhile.
func (h *hot) all() iter.Seq2[uint64, *purchase] {
	return func(yield func(uint64, *purchase) bool) {
		for _, number := range slices.Sorted(maps.Keys(h.pages)) {
			page := h.pages[number]
			if page == nil {
				continue
			}
			for i := range uint64(perPage) {
				p := page.awake[i]
				if (p != nil || page.resting[i].size != 0) && !yield(number*perPage+i, p) {
					return
				}
			}
		}
	}
}
