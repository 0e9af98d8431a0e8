package event

// Shelf decodes as a Loan does, and lends all it has decoded until Clear: for who hands events on to another goroutine. The zero
// Shelf is ready.
type Shelf struct {
	lent  []*lent
	used  int
	piece piece
}

// Len is how many events are lent.
func (s *Shelf) Len() int { return s.used }

// Clear takes everything back.
func (s *Shelf) Clear() { s.used = 0 }

// Decode unpacks one event, which is good until Clear; so is a Reserved, while the fact of any other is the caller's to keep.
// packed is as with a Loan.
func (s *Shelf) Decode(raw []byte) (ev *Event, packed string, err error) {
	if s.used == len(s.lent) {
		s.lent = append(s.lent, new(lent))
	}
	l := s.lent[s.used]
	s.used++
	if packed, ok := l.reserved(raw, &s.piece); ok {
		return &l.event, packed, nil
	}
	l.event = Event{}
	return &l.event, "", l.event.UnmarshalVT(raw)
}
