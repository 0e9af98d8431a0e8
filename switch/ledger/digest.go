package ledger

import (
	"encoding/binary"
	"math/bits"
	"strings"
	"unicode/utf8"

	"huanxin/switch/event"
)

// digest sums up what is written down in two places and must be the same. It finds what was changed by accident or by hand;
// it is no signature: nobody is kept from changing both places.
type digest uint64

const odd = 0x9e3779b97f4a7c15

func (d *digest) number(v uint64) {
	hi, lo := bits.Mul64(uint64(*d)^v^odd, 0xd6e8feb86659fd93)
	*d = digest(hi ^ lo + v)
}

func (d *digest) text(s string) {
	d.number(uint64(len(s)))
	for ; len(s) >= 8; s = s[8:] {
		d.number(uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 |
			uint64(s[6])<<48 | uint64(s[7])<<56)
	}
	var rest uint64
	for i := range len(s) {
		rest |= uint64(s[i]) << (8 * i)
	}
	d.number(rest)
}

func (d *digest) bytes(b []byte) {
	d.number(uint64(len(b)))
	for ; len(b) >= 8; b = b[8:] {
		d.number(binary.LittleEndian.Uint64(b))
	}
	for _, c := range b {
		d.number(uint64(c))
	}
}

func (d *digest) amounts(list ...int64) {
	for _, v := range list {
		d.number(uint64(v))
	}
}

// texts is for lists, of which most are empty.
func (d *digest) texts(list []string) {
	d.number(uint64(len(list)))
	for _, s := range list {
		d.text(s)
	}
}

// micros is an instant as a database keeps it.
func micros(at int64) uint64 {
	m := at / 1000
	if at%1000 < 0 {
		m--
	}
	return uint64(m)
}

// clean is a text as the projection writes it: what came from a terminal may be padded, and a database takes no NUL.
func clean(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	return strings.TrimRight(s, " ")
}

func cleaned(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = clean(s)
	}
	return out
}

// EntitlementDigest is of what a claim says that no later fact changes. Texts are as in the rows of the projection.
func EntitlementDigest(person []byte, category, city, channel, idKind, version, leaf string, claimedAt, expiresAt int64) uint64 {
	var d digest
	d.bytes(person)
	for _, s := range [...]string{category, city, channel, idKind, version, leaf} {
		d.text(s)
	}
	d.number(micros(claimedAt))
	d.number(micros(expiresAt))
	return uint64(d)
}

// Held is what a reserve says that no later fact changes, as in the rows of the projection.
type Held struct {
	Person                                                       []byte
	Category, City, PayingCity, LocatedCity, Barcode, SerialMask string
	Serial                                                       []byte
	Merchant, Terminal, Order                                    string
	Label, OldItem, Version                                      string
	Attributes, Marks                                            []string
	Price, Base, FromClaim                                       int64
	ItemsBefore, Grade                                           uint32
	At, ExpiresAt                                                int64
}

// Digest sums it up.
func (h *Held) Digest() uint64 {
	d := digest(1)
	d.bytes(h.Person)
	d.bytes(h.Serial)
	for _, s := range [...]string{h.Category, h.City, h.PayingCity, h.LocatedCity, h.Barcode, h.SerialMask, h.Label, h.OldItem, h.Version,
		h.Merchant, h.Terminal, h.Order} {
		d.text(s)
	}
	d.texts(h.Attributes)
	d.texts(h.Marks)
	d.amounts(h.Price, h.Base, h.FromClaim, int64(h.ItemsBefore), int64(h.Grade))
	d.number(micros(h.At))
	d.number(micros(h.ExpiresAt))
	return uint64(d)
}

func (l *Ledger) reserveDigest(m *event.Reserved) uint64 {
	h := Held{
		Merchant: clean(m.Key.GetMerchant()), Terminal: clean(m.Key.GetTerminal()), Order: clean(m.Order),
		Person: m.Person, Category: clean(m.Category), City: clean(m.City), PayingCity: clean(m.PayingCity), LocatedCity: clean(m.LocatedCity),
		Barcode: clean(m.Barcode), SerialMask: clean(m.SerialMask), Serial: m.Serial, Label: clean(m.Label), OldItem: clean(m.OldItem),
		Version: clean(m.PolicyVersion), Attributes: cleaned(m.Attributes), Marks: cleaned(m.Marks), Price: m.Price, Base: m.Base,
		FromClaim: m.FromClaim, ItemsBefore: m.ItemsBefore, Grade: m.Grade, At: l.at, ExpiresAt: m.ExpiresAt,
	}
	return h.Digest()
}

// SentDigest is of what a sale says that no later fact changes, and of the batch in which it lies.
func SentDigest(merchant, terminal, host, rrn, mask, entry, reference string, token []byte, stan, hostSTAN, batch uint32, at int64, position uint64) uint64 {
	d := digest(2)
	for _, s := range [...]string{merchant, terminal, host, rrn, mask, entry, reference} {
		d.text(s)
	}
	d.bytes(token)
	d.amounts(int64(stan), int64(hostSTAN), int64(batch))
	d.number(micros(at))
	d.number(position)
	return uint64(d)
}

func (l *Ledger) sentDigest(m *event.SaleSent) uint64 {
	return SentDigest(clean(m.Key.GetMerchant()), clean(m.Key.GetTerminal()), clean(m.Host), clean(m.Rrn), clean(m.Card.GetMask()), clean(m.EntryMode), clean(m.Reference), m.Card.GetToken(),
		m.Key.GetStan(), m.HostStan, m.Key.GetBatch(), l.at, l.position)
}

// EndDigest is of how a sale ended, and of the batch in which that lies.
func EndDigest(response, approval, clearing string, position uint64) uint64 {
	d := digest(3)
	d.text(response)
	d.text(approval)
	d.text(clearing)
	d.number(position)
	return uint64(d)
}

// CaptureDigest is of a row of captures.
func CaptureDigest(purchase uint64, amount, subsidy int64, leaf, response, approval string) uint64 {
	d := digest(4)
	d.number(purchase)
	d.amounts(amount, subsidy)
	d.text(leaf)
	d.text(response)
	d.text(approval)
	return uint64(d)
}

// RefundDigest is of a row of refunds.
func RefundDigest(purchase uint64, kind string, amount, subsidy int64, reversal, operation uint64) uint64 {
	d := digest(5)
	d.number(purchase)
	d.text(kind)
	d.amounts(amount, subsidy)
	d.number(reversal)
	d.number(operation)
	return uint64(d)
}

// MovementDigest is of a row of budget_movements.
func MovementDigest(path string, allocated, held, spent, released int64) uint64 {
	d := digest(6)
	d.text(path)
	d.amounts(allocated, held, spent, released)
	return uint64(d)
}

// RefusalDigest is of a row of refusals.
func RefusalDigest(kind, response string, purchase, entitlement uint64, price int64, reasons int) uint64 {
	d := digest(7)
	d.text(kind)
	d.text(response)
	d.number(purchase)
	d.number(entitlement)
	d.amounts(price, int64(reasons))
	return uint64(d)
}

// RequestDigest is of a row of requests.
func RequestDigest(request, content []byte, purchase, operation uint64, price int64) uint64 {
	d := digest(8)
	d.bytes(request)
	d.bytes(content)
	d.number(purchase)
	d.number(operation)
	d.amounts(price)
	return uint64(d)
}

// SupplementDigest is of a row of supplements.
func SupplementDigest(purchase, entitlement uint64, subsidy int64, caseID string) uint64 {
	d := digest(9)
	d.number(purchase)
	d.number(entitlement)
	d.amounts(subsidy)
	d.text(caseID)
	return uint64(d)
}

// SettlementDigest is of a row of batches.
func SettlementDigest(batch, next uint32, equal bool, debit, credit, subsidy int64) uint64 {
	d := digest(10)
	d.amounts(int64(batch), int64(next), debit, credit, subsidy)
	if equal {
		d.number(1)
	}
	return uint64(d)
}

// Facts are the rows of a table that has one, or a few, for each of some events: which events, and a digest of what the
// rows say, for every few thousand events one. The zero value is empty and ready.
type Facts struct {
	events []uint64 // a bit for each
	sums   []uint64 // of the rows of facts events
	rows   uint64
}

const perSum = 4096

// Add enters a row.
func (f *Facts) Add(seq, digest uint64) {
	for seq/64 >= uint64(len(f.events)) {
		f.events = append(f.events, 0)
	}
	for seq/perSum >= uint64(len(f.sums)) {
		f.sums = append(f.sums, 0)
	}
	f.events[seq/64] |= 1 << (seq % 64)
	d := digest ^ seq*odd
	d ^= d >> 29
	f.sums[seq/perSum] += d * 0xbf58476d1ce4e5b9
	f.rows++
}

// Rows is how many were entered.
func (f *Facts) Rows() uint64 { return f.rows }

// Difference is what one table has and another has not.
type Difference struct {
	Seq     uint64 // of the event, or the first of a stretch
	To      uint64 // the last of the stretch in which a row says something else; 0 for a row that is missing or extra
	Missing bool   // other has no row for the event; else it has one too many
}

// Compare says what other, as it should be f, has otherwise: how much in all, and of that at most limit.
func (f *Facts) Compare(other *Facts, limit int) (list []Difference, found int) {
	at := func(words []uint64, i int) uint64 {
		if i < len(words) {
			return words[i]
		}
		return 0
	}
	odd := map[uint64]bool{} // stretches whose rows differ already
	for i := range max(len(f.events), len(other.events)) {
		for x := at(f.events, i) ^ at(other.events, i); x != 0; x &= x - 1 {
			seq := uint64(i)*64 + uint64(bits.TrailingZeros64(x))
			odd[seq/perSum] = true
			if found++; len(list) < limit {
				list = append(list, Difference{Seq: seq, Missing: at(f.events, i)&(x&-x) != 0})
			}
		}
	}
	for i := range max(len(f.sums), len(other.sums)) {
		if at(f.sums, i) == at(other.sums, i) || odd[uint64(i)] {
			continue
		}
		if found++; len(list) < limit {
			list = append(list, Difference{Seq: uint64(i) * perSum, To: uint64(i+1)*perSum - 1})
		}
	}
	return list, found
}
