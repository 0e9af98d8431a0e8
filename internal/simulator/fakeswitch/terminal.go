package fakeswitch

import (
	"fmt"
	"strconv"
	"strings"

	"huanxin/switch/iso8583"
)

// hold is a reserve.
type hold struct {
	price, payable uint64
	used           bool
}

// sale is a charged payment.
type sale struct {
	rrn                string
	terminal, merchant string
	batch, stan        uint64
	amount, price      uint64
	subsidy, refunded  uint64
	voided, reversed   bool
	credit             bool // the void of a completion
	hold               uint64
	payer              string
}

// batch is what a terminal did since its last settlement.
type batch struct {
	number  uint64
	sales   []*sale
	credits []uint64
	equal   bool
	sent    int // records uploaded
	ended   bool
}

// sums are the totals of a batch: what was charged, given back, subsidised.
func (b *batch) sums() (sum, count [3]uint64) {
	for _, one := range b.sales {
		if one.voided || one.reversed {
			continue
		}
		if one.credit {
			sum[1] += one.amount
			count[1]++
			continue
		}
		sum[0] += one.amount
		count[0]++
		if one.subsidy > 0 {
			sum[2] += one.subsidy
			count[2]++
		}
	}
	for _, amount := range b.credits {
		sum[1] += amount
		count[1]++
	}
	return sum, count
}

func text(m *iso8583.Message, n int) string { return string(m.AppendField(nil, n)) }

// exchange is a request's key: reserve or sale family, terminal, merchant, batch, STAN.
func exchange(m *iso8583.Message) string {
	number, _ := m.SubUint(60, 2, 6)
	return strings.Join([]string{text(m, 3), text(m, 41), text(m, 42), strconv.FormatUint(number, 10), text(m, 11)}, "/")
}

// batch is the terminal's open one, the first of which has the number that the terminal first sends.
func (s *Switch) batch(m *iso8583.Message) *batch {
	terminal := text(m, 41)
	b := s.batches[terminal]
	if b == nil {
		number, _ := m.SubUint(60, 2, 6)
		b = &batch{number: number}
		s.batches[terminal] = b
	}
	return b
}

func (s *Switch) financialMessage(m *iso8583.Message, mti string, b *iso8583.Builder) (string, []byte) {
	key, terminal := exchange(m), text(m, 41)
	if mti == "0400" {
		return s.reverse(m, key, terminal), nil
	}
	if open, unsettled := s.open[terminal]; unsettled {
		s.violations = append(s.violations, fmt.Sprintf("terminal %s sends %s while %s is not reversed", terminal, key, open))
	}
	content := text(m, 4) + text(m, 59)
	if before, known := s.seen[key]; known {
		if before != content || s.reversed[key] {
			return "94", nil
		}
		if rrn := s.rrns[key]; rrn != "" {
			b.SetString(37, rrn)
		}
		return "00", nil
	}
	if number, _ := m.SubUint(60, 2, 6); number != s.batch(m).number {
		return "77", nil
	}
	s.seen[key] = content
	field59 := m.AppendField(nil, 59)
	use, _ := m.SubUint(60, 0, 2)
	switch use {
	case 96:
		return s.reserve(m, field59)
	case 97:
		return "00", nil
	case 98:
		return s.status(m, b)
	case 1:
		b.SetString(54, "1001156C000000123456")
		return "00", nil
	case 23:
		return s.void(m), nil
	case 25:
		return s.refund(m)
	}
	rrn := fmt.Sprintf("5169%08d", len(s.rrns)+1)
	s.rrns[key] = rrn
	b.SetString(37, rrn)
	b.SetString(38, "123456")
	return s.sale(m, field59, rrn, use), nil
}

func (s *Switch) reverse(m *iso8583.Message, key, terminal string) string {
	if s.open[terminal] == key {
		delete(s.open, terminal)
	}
	if _, known := s.seen[key]; !known {
		s.seen[key] = "tombstone"
		return "25"
	}
	s.reversed[key] = true
	stan, _ := m.Uint(11)
	use, _ := m.SubUint(60, 0, 2)
	for _, one := range s.batch(m).sales {
		switch {
		case (use == 20 || use == 21 || use == 22) && one.stan == stan:
			one.reversed = true
		case use == 23 && one.rrn == text(m, 37):
			one.voided = false
		}
	}
	return "00"
}

func (s *Switch) reserve(m *iso8583.Message, field59 []byte) (string, []byte) {
	code, _ := iso8583.FindTag59(field59, "S1")
	if !s.codes[string(code)] {
		words, _ := iso8583.AppendGBK(nil, "补贴资格不存在")
		return "57", iso8583.AppendTag59(iso8583.AppendTag59(nil, "SB", []byte("ENTITLEMENT_UNKNOWN")), "SC", words)
	}
	delete(s.codes, string(code))
	price, _ := m.Uint(4)
	subsidy := price / 5
	id := uint64(len(s.holds) + 1)
	s.holds[id] = &hold{price: price, payable: price - subsidy}
	var tags []byte
	tags = number59(tags, "S7", id, 12)
	tags = number59(tags, "S8", subsidy, 12)
	tags = number59(tags, "S9", price-subsidy, 12)
	return "00", number59(tags, "SG", price, 12)
}

func number59(dst []byte, name string, v uint64, width int) []byte {
	return iso8583.AppendTag59(dst, name, iso8583.AppendDigits(nil, v, width))
}

func (s *Switch) sale(m *iso8583.Message, field59 []byte, rrn string, use uint64) string {
	amount, _ := m.Uint(4)
	stan, _ := m.Uint(11)
	made := &sale{rrn: rrn, terminal: text(m, 41), merchant: text(m, 42), batch: s.batch(m).number, stan: stan, amount: amount,
		payer: payer(m)}
	if value, onHold := iso8583.FindTag59(field59, "S7"); onHold {
		id, _ := strconv.ParseUint(string(value), 10, 64)
		switch h := s.holds[id]; {
		case h == nil:
			return "25"
		case h.used:
			return "22"
		case h.payable != amount:
			return "13"
		default:
			h.used, made.hold, made.price, made.subsidy = true, id, h.price, h.price-h.payable
		}
	}
	switch use {
	case 10, 11: // set aside, let go: nothing that the batch counts
	case 21: // gives back
		made.credit = true
		s.batch(m).sales = append(s.batch(m).sales, made)
	default:
		s.batch(m).sales = append(s.batch(m).sales, made)
	}
	s.sales[rrn] = made
	return "00"
}

func payer(m *iso8583.Message) string { return text(m, 2) + text(m, 14) }

func (s *Switch) void(m *iso8583.Message) string {
	one := s.sales[text(m, 37)]
	amount, _ := m.Uint(4)
	number, _ := m.SubUint(61, 0, 6)
	stan, _ := m.SubUint(61, 6, 6)
	switch {
	case one == nil || one.terminal != text(m, 41) || one.batch != number || one.stan != stan:
		return "25"
	case one.voided || one.reversed || one.refunded > 0:
		return "22"
	case one.batch != s.batch(m).number:
		return "12"
	case one.amount != amount:
		return "64"
	case one.payer != payer(m):
		return "14"
	}
	one.voided = true
	return "00"
}

func (s *Switch) refund(m *iso8583.Message) (string, []byte) {
	one := s.sales[text(m, 37)]
	amount, _ := m.Uint(4)
	number, _ := m.SubUint(61, 0, 6)
	stan, _ := m.SubUint(61, 6, 6)
	_, dated := m.SubUint(61, 12, 4)
	switch {
	case one == nil || one.merchant != text(m, 42) || one.batch != number || one.stan != stan || !dated:
		return "25", nil
	case one.voided || one.reversed:
		return "22", nil
	case one.payer != payer(m):
		return "14", nil
	case one.refunded+amount > one.amount:
		return "64", nil
	}
	one.refunded += amount
	b := s.batch(m)
	b.credits = append(b.credits, amount)
	kept := one.subsidy * (one.amount - one.refunded) / one.amount
	tags := number59(nil, "S8", kept, 12)
	return "00", number59(tags, "SP", one.subsidy-kept, 12)
}

// status tells of the sale that DE37, S7 or DE61 names, else of the terminal's last one.
func (s *Switch) status(m *iso8583.Message, b *iso8583.Builder) (string, []byte) {
	one := s.sales[text(m, 37)]
	if sales := s.batch(m).sales; one == nil && len(sales) > 0 {
		one = sales[len(sales)-1]
	}
	if one == nil {
		return "25", nil
	}
	state := "captured"
	switch {
	case one.reversed:
		state = "reversed"
	case one.voided:
		state = "voided"
	case one.refunded == one.amount:
		state = "refunded"
	}
	b.SetString(37, one.rrn)
	tags := iso8583.AppendTag59(nil, "SF", []byte(state))
	tags = iso8583.AppendTag59(tags, "SH", fmt.Appendf(nil, "%06d%06d0618100512", one.batch, one.stan))
	tags = number59(tags, "SL", one.amount, 12)
	tags = number59(tags, "SN", one.refunded, 12)
	tags = iso8583.AppendTag59(tags, "SM", []byte("622424******0017"))
	return "00", number59(tags, "SG", one.price, 12)
}

// settle compares, and closes the batch either way.
func (s *Switch) settle(m *iso8583.Message, b *iso8583.Builder) (string, []byte) {
	open := s.batch(m)
	if number, _ := m.SubUint(60, 2, 6); number != open.number {
		return "77", nil
	}
	if unsettled := s.open[text(m, 41)]; unsettled != "" {
		s.violations = append(s.violations, fmt.Sprintf("terminal %s settles while %s is not reversed", text(m, 41), unsettled))
	}
	sum, count := open.sums()
	own := fmt.Sprintf("%012d%03d%012d%03d", sum[0], count[0], sum[1], count[1])
	claimed, _ := iso8583.FindTag59(m.AppendField(nil, 59), "SK")
	code := "2"
	if open.equal = text(m, 48)[:30] == own && string(claimed) == fmt.Sprintf("%012d", sum[2]); open.equal {
		code = "1"
	}
	b.SetString(48, own+code+strings.Repeat("0", 31))
	s.closed[text(m, 41)] = open
	s.batches[text(m, 41)] = &batch{number: open.number%999999 + 1}
	return "00", number59(number59(nil, "SJ", count[2], 3), "SK", sum[2], 12)
}

// upload takes records of the batch that was closed last, and their end.
func (s *Switch) upload(m *iso8583.Message) string {
	closed := s.closed[text(m, 41)]
	number, _ := m.SubUint(60, 2, 6)
	net, _ := m.SubUint(60, 8, 3)
	if net >= 203 && net <= 206 {
		return "00"
	}
	if closed == nil || closed.number != number || closed.ended {
		s.violations = append(s.violations, fmt.Sprintf("terminal %s uploads batch %d, which it has not settled", text(m, 41), number))
		return "77"
	}
	details := text(m, 48)
	switch net {
	case 201:
		count, err := strconv.Atoi(details[:2])
		if err != nil || count < 1 || count > 8 || len(details) != 2+40*count {
			s.violations = append(s.violations, "DE48 of an upload is "+details)
			return "30"
		}
		closed.sent += count
	case 202, 207:
		if details != fmt.Sprintf("%04d", closed.sent) || closed.equal != (net == 207) {
			s.violations = append(s.violations, fmt.Sprintf("the end of an upload says %s, 60.3 %d", details, net))
		}
		closed.ended = true
	default:
		return "40"
	}
	return "00"
}
