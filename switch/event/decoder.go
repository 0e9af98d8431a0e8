package event

import "google.golang.org/protobuf/encoding/protowire"

// Decoder decodes facts for those who read a whole journal. The commonest kinds – those of a claim, a reserve and a sale –
// it knows by heart and puts into rooms; every other kind, and whatever it finds unusual in one that it knows, goes to the
// generated code. What comes out is the same either way. The zero Decoder is ready; it has one owner.
type Decoder struct{ texts Texts }

// Decode returns the fact that raw holds. It keeps nothing of raw.
func (d *Decoder) Decode(raw []byte) (*Event, error) {
	if ev := d.common(raw); ev != nil {
		return ev, nil
	}
	ev := new(Event)
	return ev, ev.UnmarshalVT(raw)
}

// common decodes one of the commonest kinds, nil when raw is none or unusual.
func (d *Decoder) common(raw []byte) *Event {
	f := fields{raw: raw}
	var seq uint64
	var at int64
	for f.next() {
		switch f.tag {
		case 1<<3 | varint:
			seq = f.number
		case 2<<3 | varint:
			at = int64(f.number)
		default:
			if f.at != len(raw) {
				return nil
			}
			ev := d.body(f.tag, fields{raw: f.bytes()})
			if ev != nil {
				ev.Seq, ev.At = seq, at
			}
			return ev
		}
	}
	return nil
}

func (d *Decoder) body(tag uint64, f fields) *Event {
	switch tag {
	case 40<<3 | bytesField:
		return d.reserved(f)
	case 50<<3 | bytesField:
		return d.saleSent(f)
	case 52<<3 | bytesField:
		return d.saleApproved(f)
	case 30<<3 | bytesField:
		return d.claimed(f)
	case 31<<3 | bytesField:
		return d.codeShown(f)
	}
	return nil
}

func (d *Decoder) reserved(f fields) *Event {
	room := new(ReservedRoom)
	m := &room.Fact
	for f.next() {
		switch f.tag {
		case 1<<3 | varint:
			m.Purchase = f.number
		case 2<<3 | bytesField:
			if !d.key(room.Key(), f.bytes()) {
				return nil
			}
		case 3<<3 | bytesField:
			m.Content = room.Hash(f.bytes())
		case 4<<3 | varint:
			m.Entitlement = f.number
		case 5<<3 | bytesField:
			m.Person = room.Hash(f.bytes())
		case 6<<3 | bytesField:
			m.Category = d.texts.Of(f.bytes())
		case 7<<3 | bytesField:
			m.City = d.texts.Of(f.bytes())
		case 8<<3 | bytesField:
			m.PayingCity = d.texts.Of(f.bytes())
		case 9<<3 | bytesField:
			m.Channel = d.texts.Of(f.bytes())
		case 10<<3 | bytesField:
			m.Barcode = string(f.bytes())
		case 11<<3 | bytesField:
			m.Serial = room.Hash(f.bytes())
		case 12<<3 | bytesField:
			m.SerialMask = string(f.bytes())
		case 13<<3 | bytesField:
			m.Order = string(f.bytes())
		case 14<<3 | varint:
			m.Price = int64(f.number)
		case 15<<3 | varint:
			m.Base = int64(f.number)
		case 16<<3 | varint:
			m.Subsidy = int64(f.number)
		case 17<<3 | varint:
			m.Payable = int64(f.number)
		case 18<<3 | bytesField:
			if !d.part(room.Part(), f.bytes()) {
				return nil
			}
		case 19<<3 | bytesField:
			m.Leaf = d.texts.Of(f.bytes())
		case 20<<3 | varint:
			m.ExpiresAt = int64(f.number)
		case 21<<3 | bytesField:
			m.PolicyVersion = d.texts.Of(f.bytes())
		case 22<<3 | bytesField:
			if !position(room.Position(), f.bytes()) {
				return nil
			}
		case 23<<3 | bytesField:
			m.LocatedCity = d.texts.Of(f.bytes())
		case 24<<3 | bytesField:
			m.Marks = append(m.Marks, d.texts.Of(f.bytes()))
		case 25<<3 | varint:
			m.FromClaim = int64(f.number)
		case 26<<3 | bytesField:
			m.Code = room.Hash(f.bytes())
		case 27<<3 | bytesField:
			c := new(Component)
			if !d.component(c, f.bytes()) {
				return nil
			}
			m.Components = append(m.Components, c)
		case 28<<3 | varint:
			m.ItemsBefore = uint32(f.number)
		case 29<<3 | bytesField:
			m.Caller = d.texts.Of(f.bytes())
		case 30<<3 | varint:
			m.Grade = uint32(f.number)
		case 31<<3 | bytesField:
			m.Label = d.texts.Of(f.bytes())
		case 32<<3 | bytesField:
			m.Attributes = append(m.Attributes, d.texts.Of(f.bytes()))
		case 33<<3 | bytesField:
			m.OldItem = d.texts.Of(f.bytes())
		default: // of a newer program
			return nil
		}
	}
	if f.broken {
		return nil
	}
	around := &struct {
		Event
		body Event_Reserved
	}{body: Event_Reserved{Reserved: m}}
	around.Body = &around.body
	return &around.Event
}

func (d *Decoder) saleSent(f fields) *Event {
	room := &struct {
		SaleSentRoom
		card  Card
		token [hashSize]byte
	}{}
	m := &room.Fact
	for f.next() {
		switch f.tag {
		case 1<<3 | varint:
			m.Purchase = f.number
		case 2<<3 | varint:
			m.Ordinary = f.number != 0
		case 3<<3 | bytesField:
			if !d.key(room.Key(), f.bytes()) {
				return nil
			}
		case 4<<3 | bytesField:
			room.Content(f.bytes())
		case 5<<3 | varint:
			m.Amount = int64(f.number)
		case 6<<3 | bytesField:
			m.Host = d.texts.Of(f.bytes())
		case 7<<3 | varint:
			m.HostStan = uint32(f.number)
		case 8<<3 | bytesField:
			m.Rrn = string(f.bytes())
		case 9<<3 | varint:
			m.TransmittedAt = int64(f.number)
		case 10<<3 | varint:
			m.Deadline = int64(f.number)
		case 11<<3 | bytesField:
			m.Card = &room.card
			if !d.card(&room.card, room.token[:], f.bytes()) {
				return nil
			}
		case 12<<3 | bytesField:
			m.EntryMode = d.texts.Of(f.bytes())
		case 13<<3 | bytesField:
			m.City = d.texts.Of(f.bytes())
		case 14<<3 | bytesField:
			m.Channel = d.texts.Of(f.bytes())
		case 15<<3 | varint:
			m.Kind = SaleKind(f.number)
		case 16<<3 | varint:
			m.Wallet = f.number != 0
		case 17<<3 | bytesField:
			m.Reference = string(f.bytes())
		case 18<<3 | bytesField:
			m.Caller = d.texts.Of(f.bytes())
		default:
			return nil
		}
	}
	if f.broken {
		return nil
	}
	around := &struct {
		Event
		body Event_SaleSent
	}{body: Event_SaleSent{SaleSent: m}}
	around.Body = &around.body
	return &around.Event
}

func (d *Decoder) saleApproved(f fields) *Event {
	around := &struct {
		Event
		body Event_SaleApproved
		fact SaleApproved
	}{}
	m := &around.fact
	for f.next() {
		switch f.tag {
		case 1<<3 | varint:
			m.Purchase = f.number
		case 2<<3 | bytesField:
			if m.Answer == nil {
				m.Answer = new(HostAnswer) // of its own: it outlives the fact
			}
			if !d.answer(m.Answer, f.bytes()) {
				return nil
			}
		default:
			return nil
		}
	}
	if f.broken {
		return nil
	}
	around.body.SaleApproved, around.Body = m, &around.body
	return &around.Event
}

// claimed and codeShown stay with nobody, so their facts lie beside their events.
func (d *Decoder) claimed(f fields) *Event {
	around := &struct {
		Event
		body   Event_EntitlementClaimed
		fact   EntitlementClaimed
		hashes [3][hashSize]byte
	}{}
	m := &around.fact
	for f.next() {
		switch f.tag {
		case 1<<3 | varint:
			m.Entitlement = f.number
		case 2<<3 | bytesField:
			m.Person = append(around.hashes[0][:0], f.bytes()...)
		case 3<<3 | bytesField:
			m.Category = d.texts.Of(f.bytes())
		case 4<<3 | bytesField:
			m.City = d.texts.Of(f.bytes())
		case 5<<3 | bytesField:
			m.Channel = d.texts.Of(f.bytes())
		case 6<<3 | varint:
			m.ExpiresAt = int64(f.number)
		case 7<<3 | varint:
			m.Reserved = int64(f.number)
		case 8<<3 | bytesField:
			m.Leaf = d.texts.Of(f.bytes())
		case 9<<3 | bytesField:
			m.PolicyVersion = d.texts.Of(f.bytes())
		case 10<<3 | bytesField:
			m.Request = append(around.hashes[1][:0], f.bytes()...)
		case 11<<3 | bytesField:
			m.IdKind = d.texts.Of(f.bytes())
		case 12<<3 | bytesField:
			m.Content = append(around.hashes[2][:0], f.bytes()...)
		default:
			return nil
		}
	}
	if f.broken {
		return nil
	}
	around.body.EntitlementClaimed, around.Body = m, &around.body
	return &around.Event
}

func (d *Decoder) codeShown(f fields) *Event {
	around := &struct {
		Event
		body     Event_CodeShown
		fact     CodeShown
		position Position
		code     [hashSize]byte
	}{}
	m := &around.fact
	for f.next() {
		switch f.tag {
		case 1<<3 | varint:
			m.Entitlement = f.number
		case 2<<3 | bytesField:
			m.Code = append(around.code[:0], f.bytes()...)
		case 3<<3 | varint:
			m.ExpiresAt = int64(f.number)
		case 4<<3 | bytesField:
			m.Position = &around.position
			if !position(m.Position, f.bytes()) {
				return nil
			}
		default:
			return nil
		}
	}
	if f.broken {
		return nil
	}
	around.body.CodeShown, around.Body = m, &around.body
	return &around.Event
}

func (d *Decoder) key(m *ExchangeKey, raw []byte) bool {
	f := fields{raw: raw}
	for f.next() {
		switch f.tag {
		case 1<<3 | varint:
			m.Class = uint32(f.number)
		case 2<<3 | bytesField:
			m.Terminal = d.texts.Of(f.bytes())
		case 3<<3 | bytesField:
			m.Merchant = d.texts.Of(f.bytes())
		case 4<<3 | varint:
			m.Batch = uint32(f.number)
		case 5<<3 | varint:
			m.Stan = uint32(f.number)
		default:
			return false
		}
	}
	return !f.broken
}

func (d *Decoder) part(m *FundingPart, raw []byte) bool {
	f := fields{raw: raw}
	for f.next() {
		switch f.tag {
		case 1<<3 | bytesField:
			m.Payer = d.texts.Of(f.bytes())
		case 2<<3 | varint:
			m.Amount = int64(f.number)
		default:
			return false
		}
	}
	return !f.broken
}

func (d *Decoder) component(m *Component, raw []byte) bool {
	f := fields{raw: raw}
	for f.next() {
		switch f.tag {
		case 1<<3 | bytesField:
			m.Kind = d.texts.Of(f.bytes())
		case 2<<3 | varint:
			m.Amount = int64(f.number)
		default:
			return false
		}
	}
	return !f.broken
}

func position(m *Position, raw []byte) bool {
	f := fields{raw: raw}
	for f.next() {
		switch f.tag {
		case 1<<3 | varint:
			m.Lon = int32(protowire.DecodeZigZag(f.number & 0xffff_ffff))
		case 2<<3 | varint:
			m.Lat = int32(protowire.DecodeZigZag(f.number & 0xffff_ffff))
		case 3<<3 | varint:
			m.TakenAt = int64(f.number)
		case 4<<3 | varint:
			m.Crs = uint32(f.number)
		default:
			return false
		}
	}
	return !f.broken
}

func (d *Decoder) card(m *Card, token, raw []byte) bool {
	f := fields{raw: raw}
	for f.next() {
		switch f.tag {
		case 1<<3 | bytesField:
			m.Token = append(token[:0:len(token)], f.bytes()...)
		case 2<<3 | bytesField:
			m.Mask = string(f.bytes())
		case 3<<3 | bytesField:
			m.KeyId = d.texts.Of(f.bytes())
		case 4<<3 | bytesField:
			m.Envelope = append([]byte(nil), f.bytes()...)
		default:
			return false
		}
	}
	return !f.broken
}

func (d *Decoder) answer(m *HostAnswer, raw []byte) bool {
	f := fields{raw: raw}
	for f.next() {
		switch f.tag {
		case 1<<3 | bytesField:
			m.Response = d.texts.Of(f.bytes())
		case 2<<3 | bytesField:
			m.Approval = string(f.bytes())
		case 3<<3 | bytesField:
			m.ClearingDate = d.texts.Of(f.bytes())
		case 4<<3 | bytesField:
			m.LocalTime = string(f.bytes())
		case 5<<3 | bytesField:
			m.LocalDate = d.texts.Of(f.bytes())
		case 6<<3 | bytesField:
			m.Institutions = append([]byte(nil), f.bytes()...)
		case 7<<3 | bytesField:
			m.Icc = append([]byte(nil), f.bytes()...)
		case 8<<3 | bytesField:
			m.Network = append([]byte(nil), f.bytes()...)
		case 9<<3 | varint:
			m.Amount = int64(f.number)
		case 10<<3 | bytesField:
			m.Acquirer = d.texts.Of(f.bytes())
		default:
			return false
		}
	}
	return !f.broken
}

// The two wire types that the schema uses.
const (
	varint     = uint64(protowire.VarintType)
	bytesField = uint64(protowire.BytesType)
)

// fields reads the fields of one message. It moves by numbers alone: a slice that moved along would cost the collector's
// write barrier at every step.
type fields struct {
	raw      []byte
	at       int
	tag      uint64 // field number << 3 | wire type
	number   uint64 // of a varint
	from, to int    // of a bytes field
	broken   bool
}

// bytes is the content of a bytes field, part of the message.
func (f *fields) bytes() []byte { return f.raw[f.from:f.to] }

// next reads one field. It reports false at the end and where the message is broken.
func (f *fields) next() bool {
	if f.at == len(f.raw) {
		return false
	}
	f.tag = f.varint()
	switch f.tag & 7 {
	case varint:
		f.number = f.varint()
	case bytesField:
		n := f.varint()
		if n > uint64(len(f.raw)-f.at) {
			f.broken = true
			return false
		}
		f.from = f.at
		f.at += int(n)
		f.to = f.at
	default:
		f.broken = true
	}
	return !f.broken
}

func (f *fields) varint() uint64 {
	if f.at < len(f.raw) && f.raw[f.at] < 0x80 {
		f.at++
		return uint64(f.raw[f.at-1])
	}
	return f.long()
}

func (f *fields) long() uint64 {
	n, size := protowire.ConsumeVarint(f.raw[f.at:])
	if size < 0 {
		f.broken = true
		return 0
	}
	f.at += size
	return n
}
