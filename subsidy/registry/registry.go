package registry

import "iter"

// Registry is both tables in memory. The zero Registry is empty and ready.
type Registry struct {
	merchants     []Merchant
	merchantIndex map[string]int32
	terminals     []Terminal
	terminalIndex map[string]int32
}

// SetMerchant puts a row, replacing the one of the same id. It reports whether the row differs from what was there.
func (r *Registry) SetMerchant(m Merchant) (changed bool) {
	if i, ok := r.merchantIndex[m.ID]; ok {
		if equalMerchants(&r.merchants[i], &m) {
			return false
		}
		r.merchants[i] = m
		return true
	}
	if r.merchantIndex == nil {
		r.merchantIndex = map[string]int32{}
	}
	r.merchantIndex[m.ID] = int32(len(r.merchants))
	r.merchants = append(r.merchants, m)
	return true
}

// SetTerminal puts a row, replacing the one of the same id. It reports whether the row differs from what was there.
func (r *Registry) SetTerminal(t Terminal) (changed bool) {
	if i, ok := r.terminalIndex[t.ID]; ok {
		if r.terminals[i] == t {
			return false
		}
		r.terminals[i] = t
		return true
	}
	if r.terminalIndex == nil {
		r.terminalIndex = map[string]int32{}
	}
	r.terminalIndex[t.ID] = int32(len(r.terminals))
	r.terminals = append(r.terminals, t)
	return true
}

// Merchant returns the row of an id, or nil. The pointer is valid until the next SetMerchant and is read only.
func (r *Registry) Merchant(id string) *Merchant {
	if i, ok := r.merchantIndex[id]; ok {
		return &r.merchants[i]
	}
	return nil
}

// Terminal returns the row of an id, or nil. The pointer is valid until the next SetTerminal and is read only.
func (r *Registry) Terminal(id string) *Terminal {
	if i, ok := r.terminalIndex[id]; ok {
		return &r.terminals[i]
	}
	return nil
}

// Merchants iterates in the order in which ids were first set.
func (r *Registry) Merchants() iter.Seq[*Merchant] {
	return func(yield func(*Merchant) bool) {
		for i := range r.merchants {
			if !yield(&r.merchants[i]) {
				return
			}
		}
	}
}

// Terminals iterates in the order in which ids were first set.
func (r *Registry) Terminals() iter.Seq[*Terminal] {
	return func(yield func(*Terminal) bool) {
		for i := range r.terminals {
			if !yield(&r.terminals[i]) {
				return
			}
		}
	}
}

// Len returns the number of merchants and of terminals.
func (r *Registry) Len() (merchants, terminals int) { return len(r.merchants), len(r.terminals) }
