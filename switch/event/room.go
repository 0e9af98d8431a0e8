package event

import "bytes"

// A reserve is a fact of a dozen small messages and hashes that live and die together. A room is one piece of memory for
// all of them, so that a purchase is a few objects to the collector and not thirty. What does not fit gets memory of its own.

// ReservedRoom is a Reserved with room for what one usually has in it.
type ReservedRoom struct {
	Fact Reserved

	key      ExchangeKey
	position Position
	parts    [3]FundingPart
	partList [3]*FundingPart
	hashes   [4 * hashSize]byte
	used     uint8 // of hashes
}

// SaleSentRoom is a SaleSent with room for its key and the hash of its content.
type SaleSentRoom struct {
	Fact SaleSent

	key     ExchangeKey
	content [hashSize]byte
}

const hashSize = 16

// Key gives the fact a key and returns it, to be filled.
func (r *ReservedRoom) Key() *ExchangeKey {
	r.Fact.Key = &r.key
	return r.Fact.Key
}

// Position gives the fact a position and returns it, to be filled.
func (r *ReservedRoom) Position() *Position {
	r.Fact.Position = &r.position
	return r.Fact.Position
}

// Part adds a payer's part to the fact and returns it, to be filled.
func (r *ReservedRoom) Part() *FundingPart {
	n := len(r.Fact.Parts)
	if n == 0 {
		r.Fact.Parts = r.partList[:0]
	}
	var part *FundingPart
	if n < len(r.parts) {
		part = &r.parts[n]
	} else {
		part = new(FundingPart)
	}
	r.Fact.Parts = append(r.Fact.Parts, part)
	return part
}

// Hash returns a copy of a hash in the room, nil for an empty one.
func (r *ReservedRoom) Hash(h []byte) []byte {
	free := r.hashes[r.used:]
	if len(h) == 0 {
		return nil
	}
	if len(h) > len(free) {
		return bytes.Clone(h)
	}
	n := copy(free, h)
	r.used += uint8(n)
	return free[:n:n]
}

// hash is Hash of a packed field; ok is false for one that would not have been packed, and for what is no hash.
func (r *ReservedRoom) hash(field string) (h []byte, ok bool) {
	if len(field) != hashSize || int(r.used)+hashSize > len(r.hashes) {
		return nil, false
	}
	free := r.hashes[r.used:]
	r.used += hashSize
	return free[:copy(free, field):hashSize], true
}

// Key gives the fact a key and returns it, to be filled.
func (r *SaleSentRoom) Key() *ExchangeKey {
	r.Fact.Key = &r.key
	return r.Fact.Key
}

// Content gives the fact a copy of the hash of its content.
func (r *SaleSentRoom) Content(h []byte) {
	switch {
	case len(h) == 0:
	case len(h) > len(r.content):
		r.Fact.Content = bytes.Clone(h)
	default:
		n := copy(r.content[:], h)
		r.Fact.Content = r.content[:n:n]
	}
}
