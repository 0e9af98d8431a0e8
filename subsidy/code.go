package subsidy

import "huanxin/internal/flat"

// CodePosition is where the phone was when the code was shown (D6). The zero value is "none given".
type CodePosition struct {
	Lon, Lat int32 // WGS-84, micro-degrees
	TakenAt  int64 // Unix nanoseconds of the fix
	CRS      uint8 // as sent
	Given    bool
}

// CodeView is a one-time code as a purchase sees it.
type CodeView struct {
	Entitlement uint64
	ExpiresAt   int64
	Spent       bool
	Position    CodePosition
}

// codeMemory is how long after its end a code is remembered, so that a late cashier reads "expired" and not "unknown".
const codeMemory = int64(10 * 60 * 1e9)

// code is a one-time code shown at a till.
type code struct {
	hash Hash
	view CodeView
}

// codes are the one-time codes in the order in which they were shown, which is about that of their ends.
type codes struct {
	shown flat.Queue[code]
	index flat.Index // of the places in shown
}

func (c *codes) find(h Hash) *code {
	var found *code
	c.index.Find(flat.Fold(h), func(ref uint32) bool {
		at := c.at(ref)
		if at.hash != h {
			return false
		}
		found = at
		return true
	})
	return found
}

func (c *codes) at(ref uint32) *code { return c.shown.At(c.shown.Number(ref)) }

// show makes the last of a book's codes. It takes the place of an earlier one of the same hash.
func (c *codes) show(new code) {
	at := flat.Fold(new.hash)
	if old, ok := c.index.Find(at, func(ref uint32) bool { return c.at(ref).hash == new.hash }); ok {
		c.index.Remove(at, old)
	}
	c.index.Add(at, c.shown.Ref(c.shown.Push(new)))
}

// forget drops the codes that ended before end, from the oldest on up to the first that did not.
func (c *codes) forget(end int64) {
	for {
		first, ok := c.shown.Front()
		if !ok || first.view.ExpiresAt > end {
			return
		}
		c.index.Remove(flat.Fold(first.hash), c.shown.Ref(c.shown.First())) // nothing when another has its place
		c.shown.Pop()
	}
}

// ShowCode binds a one-time code to an entitlement. An earlier code of the same entitlement stays valid until its own
// end: two phones may show it, one of them wins.
func (b *Book) ShowCode(h Hash, entitlement uint64, expiresAt int64, at CodePosition) {
	b.codes.show(code{h, CodeView{Entitlement: entitlement, ExpiresAt: expiresAt, Position: at}})
}

// Code looks a one-time code up. ok is false for a code that was never shown or ended long ago.
func (b *Book) Code(h Hash) (v CodeView, ok bool) {
	if c := b.codes.find(h); c != nil {
		return c.view, true
	}
	return CodeView{}, false
}

// ForgetCodes drops codes that ended more than ten minutes before now.
func (b *Book) ForgetCodes(now int64) { b.codes.forget(now - codeMemory) }
