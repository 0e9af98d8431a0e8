package issuer

import (
	"errors"
	"fmt"
	"time"

	"huanxin/internal/money"
)

// This file is the rule of the book: what a line may follow, what it changes, and which line a request gets.

// check refuses a line that would break the book's rule: an RRN is decided once, a charge is reversed or voided once and
// not both, and never is more given back than was charged.
func (l *Ledger) check(line *Line) error {
	entry := l.entries[line.RRN]
	if line.RRN == "" {
		return errors.New("no RRN")
	}
	switch line.Kind {
	case Charge, Preauth, Decline, Void, Refund, PreauthVoid, Tombstone:
		if entry != nil {
			return fmt.Errorf("RRN %q is already decided", line.RRN)
		}
	case Return, Unvoid, PreauthReturn, PreauthUnvoid, Repeat, Overtaken:
		if entry == nil {
			return fmt.Errorf("RRN %q is unknown", line.RRN)
		}
	default:
		return fmt.Errorf("kind %q", line.Kind)
	}
	if !l.follows(line, entry) {
		return fmt.Errorf("%s of %d fen, RRN %q, original %q: does not follow from what was", line.Kind, line.Amount, line.RRN, line.Original)
	}
	return nil
}

// follows reports whether the money of a line is there to be moved.
func (l *Ledger) follows(line *Line, entry *Entry) bool {
	of := l.entries[line.Original]
	switch line.Kind {
	case Charge:
		return line.Amount > 0 && (line.Original == "" || isKind(of, Preauth) && l.free(of) && line.Amount <= of.Line.Amount)
	case Preauth:
		return line.Amount > 0
	case Return:
		return isKind(entry, Charge) && entry.stands() && entry.Refunded == 0 && entry.Line.Amount == line.Amount
	case Void:
		return isKind(of, Charge) && of.stands() && of.Refunded == 0 && of.Line.Amount == line.Amount
	case Unvoid:
		return isKind(entry, Void) && !entry.Returned && entry.Line.Original == line.Original && entry.Line.Amount == line.Amount &&
			of.Void == line.RRN && l.mayStandAgain(of)
	case Refund:
		return isKind(of, Charge) && of.stands() && line.Amount > 0 && line.Amount <= of.Net
	case PreauthReturn:
		return isKind(entry, Preauth) && l.free(entry) && entry.Line.Amount == line.Amount
	case PreauthVoid:
		return isKind(of, Preauth) && l.free(of) && of.Line.Amount == line.Amount
	case PreauthUnvoid:
		return isKind(entry, PreauthVoid) && !entry.Returned && entry.Line.Original == line.Original && of.Void == line.RRN
	}
	return true
}

func isKind(e *Entry, kind Kind) bool { return e != nil && e.Line.Kind == kind }

// free reports whether a pre-authorisation can be completed, voided or reversed: it stands, and no completion of it does.
func (l *Ledger) free(pre *Entry) bool {
	completion := l.entries[pre.Completion]
	return pre.stands() && (completion == nil || !completion.stands())
}

// mayStandAgain: a completion whose void is undone needs its pre-authorisation, which may have been used otherwise since.
func (l *Ledger) mayStandAgain(charge *Entry) bool {
	pre := l.entries[charge.Line.Original]
	return pre == nil || pre.Completion == charge.Line.RRN && pre.stands()
}

func (l *Ledger) apply(line *Line) {
	l.summary.add(line)
	entry, of := l.entries[line.RRN], l.entries[line.Original]
	switch line.Kind {
	case Charge, Preauth, Decline, Void, PreauthVoid, Refund:
		entry = &Entry{Line: *line}
		l.entries[line.RRN] = entry
		l.index(entry)
	case Return, PreauthReturn:
		entry.Returned = true
	case Unvoid, PreauthUnvoid:
		entry.Returned, of.Void = true, ""
	case Tombstone:
		l.entries[line.RRN] = &Entry{Tomb: true}
	}
	switch line.Kind {
	case Void, PreauthVoid:
		of.Void = line.RRN
	case Refund:
		of.Refunded += line.Amount
	case Charge:
		if of != nil {
			of.Completion = line.RRN
		}
	}
	if rrn, amount := line.Moves(); amount != 0 {
		l.move(l.entries[rrn], amount)
	}
}

func (l *Ledger) move(charge *Entry, amount money.Amount) {
	was := charge.Net
	charge.Net += amount
	l.summary.OpenFen += amount
	switch {
	case was == 0:
		l.summary.OpenCharges++
	case charge.Net == 0:
		l.summary.OpenCharges--
	}
}

// origin is by what a void or refund finds its charge, before the date, terminal and approval are compared.
type origin struct{ merchant, stan string }

// authority is by what the pre-authorisation family finds its beginning.
type authority struct{ card, approval string }

func (l *Ledger) index(e *Entry) {
	line := &e.Line
	switch {
	case line.Kind == Charge, line.Kind == Decline && line.Type == TypeSale:
		key := origin{line.Merchant, line.STAN}
		l.origins[key] = append(l.origins[key], e)
	case line.Kind == Preauth:
		l.authorities[authority{line.Card, line.Approval}] = e
	}
}

// Sale is a request to charge a card or to set an amount aside. Grant is what the rules would charge: Asked, less in a
// partial approval, 0 for a decline; Response says so in DE39.
type Sale struct {
	Type                                         Type // TypeSale, TypePreauth, TypeCompletion
	At, Day, RRN, STAN, Card, Terminal, Merchant string
	Asked, Grant                                 money.Amount
	Response, Approval                           string
	Original                                     Named // of a completion
}

// Named is what a message says of an earlier one.
type Named struct {
	STAN     string // DE11 under which the network got it
	Date     string // MMDD, "" when absent
	Approval string // DE38, "" when absent
}

// Sell records a sale, pre-authorisation or completion once. An RRN seen before is never charged again: the second one
// gets 94.
func (l *Ledger) Sell(s *Sale) (Line, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := Line{
		At: s.At, Day: s.Day, Kind: Charge, Type: s.Type, RRN: s.RRN, STAN: s.STAN, Card: s.Card, Terminal: s.Terminal,
		Merchant: s.Merchant, Amount: s.Grant, Asked: s.Asked, Response: s.Response, Approval: s.Approval,
	}
	switch entry := l.entries[s.RRN]; {
	case entry != nil:
		line.again(entry)
	case s.Grant == 0:
		line.refuse(s.Response)
	case s.Type == TypePreauth:
		line.Kind = Preauth
	case s.Type == TypeCompletion:
		l.complete(&line, s)
	}
	err := l.post(&line)
	return line, err
}

// again: the request, or its reversal, has been here before.
func (line *Line) again(entry *Entry) {
	line.refuse("94")
	line.Kind = Repeat
	if entry.Tomb {
		line.Kind = Overtaken
	}
}

func (line *Line) refuse(response string) {
	line.Kind, line.Amount, line.Response, line.Approval = Decline, 0, response, ""
}

// complete charges what a pre-authorisation has set aside. The completion keeps its approval code.
func (l *Ledger) complete(line *Line, s *Sale) {
	pre := l.authorities[authority{s.Card, s.Original.Approval}]
	if pre == nil {
		line.refuse("25")
		return
	}
	line.Original, line.Approval = pre.Line.RRN, pre.Line.Approval
	switch {
	case !l.free(pre):
		line.refuse("22")
	case s.Grant > pre.Line.Amount:
		line.refuse("64")
	}
}

// Back is a request to take something back as a whole, or to give a part of a charge back.
type Back struct {
	Type                                         Type // TypeVoid, TypeRefund, TypePreauthVoid, TypeCompletionVoid
	At, Day, RRN, STAN, Card, Terminal, Merchant string
	Amount                                       money.Amount
	Original                                     Named
	Response, Approval                           string // what the rules say; the book may refuse nevertheless
}

// GiveBack records a void or refund once.
func (l *Ledger) GiveBack(b *Back) (Line, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := Line{
		At: b.At, Day: b.Day, Type: b.Type, RRN: b.RRN, STAN: b.STAN, Card: b.Card, Terminal: b.Terminal, Merchant: b.Merchant,
		Amount: b.Amount, Asked: b.Amount, Response: b.Response, Approval: b.Approval,
	}
	if entry := l.entries[b.RRN]; entry != nil {
		line.again(entry)
	} else if !Approved(b.Response) {
		line.refuse(b.Response)
	} else {
		l.decide(&line, b)
	}
	err := l.post(&line)
	return line, err
}

func (l *Ledger) decide(line *Line, b *Back) {
	of := l.original(b)
	if of != nil {
		line.Original = of.Line.RRN
	}
	if code := l.refusal(of, b); code != "" {
		line.refuse(code)
		return
	}
	switch b.Type {
	case TypeRefund:
		line.Kind = Refund
	case TypePreauthVoid:
		line.Kind = PreauthVoid
	default:
		line.Kind = Void
	}
}

// refusal is why a void or refund cannot be carried out, "" when it can.
func (l *Ledger) refusal(of *Entry, b *Back) string {
	switch {
	case of == nil:
		return "25"
	case of.Line.Kind == Decline:
		return "12"
	case of.Line.Card != b.Card:
		return "14"
	case b.Type == TypeVoid && of.Line.Type == TypeCompletion:
		return "12" // a completion has a void of its own
	case b.Type != TypeRefund && b.Type != TypePreauthVoid && of.Line.Day != b.Day:
		return "12" // its clearing day is over
	case !of.stands(), b.Type == TypePreauthVoid && !l.free(of), b.Type.isVoid() && of.Refunded != 0:
		return "22"
	case b.Type.isVoid() && b.Amount != of.Line.Amount, b.Type == TypeRefund && b.Amount > of.Net:
		return "64"
	}
	return ""
}

// original finds what a void or refund is about, nil when the network knows nothing of the kind.
func (l *Ledger) original(b *Back) *Entry {
	if b.Type == TypePreauthVoid || b.Type == TypeCompletionVoid {
		pre := l.authorities[authority{b.Card, b.Original.Approval}]
		if pre == nil || b.Type == TypePreauthVoid {
			return pre
		}
		return l.entries[pre.Completion]
	}
	list := l.origins[origin{b.Merchant, b.Original.STAN}]
	for i := len(list) - 1; i >= 0; i-- { // STANs wrap: the last one of that date
		line := &list[i].Line
		elsewhere := b.Type == TypeVoid && line.Terminal != b.Terminal
		approval := b.Original.Approval == "" || line.Kind == Decline || b.Original.Approval == line.Approval
		if !elsewhere && approval && onDate(line.At, b.Original.Date) {
			return list[i]
		}
	}
	return nil
}

// onDate compares the network's instant of a charge with the date (MMDD) that a message gives it. The clocks of switch and
// network may stand on either side of midnight.
func onDate(at, mmdd string) bool {
	if mmdd == "" {
		return true
	}
	day, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return false
	}
	for shift := -1; shift <= 1; shift++ {
		if day.AddDate(0, 0, shift).Format("0102") == mmdd {
			return true
		}
	}
	return false
}

// Reversal is a request to undo a charge, a void or a pre-authorisation. Amount must be what was asked or what was charged.
type Reversal struct {
	At, Day, RRN, STAN, Terminal, Merchant, Reason string
	Amount                                         money.Amount
}

// Reverse records a reversal and returns DE39: 00 when its original is undone, now or before; 25 for an unknown original,
// which can then never be carried out; 12 for one that was declined; 64 for another amount; 22 for a charge that was
// voided or refunded; 40 for a refund, which is never undone.
func (l *Ledger) Reverse(r *Reversal) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := Line{
		At: r.At, Day: r.Day, RRN: r.RRN, STAN: r.STAN, Terminal: r.Terminal, Merchant: r.Merchant, Reason: r.Reason, Response: "00",
	}
	entry := l.entries[r.RRN]
	switch {
	case entry == nil:
		line.Kind, line.Response = Tombstone, "25"
		return "25", l.post(&line)
	case entry.Tomb:
		return "25", nil
	case entry.Line.Kind == Decline:
		return "12", nil
	case entry.Line.Kind == Refund:
		return "40", nil
	case r.Amount != entry.Line.Asked && r.Amount != entry.Line.Amount:
		return "64", nil
	case entry.Returned:
		return "00", nil
	}
	line.Amount, line.Card, line.Type, line.Original = entry.Line.Amount, entry.Line.Card, entry.Line.Type, entry.Line.Original
	line.Kind = map[Kind]Kind{Charge: Return, Void: Unvoid, Preauth: PreauthReturn, PreauthVoid: PreauthUnvoid}[entry.Line.Kind]
	if !l.follows(&line, entry) {
		return "22", nil
	}
	return "00", l.post(&line)
}
