package wallet

import (
	"errors"
	"fmt"

	"huanxin/internal/money"
	link "huanxin/switch/wallet"
)

// Kind says what a ledger line records.
type Kind string

const (
	// Pay: the payer was charged Amount.
	Pay Kind = "pay"
	// Wait: the payer has to confirm first.
	Wait Kind = "wait"
	// Decline: the payment was refused for Reason; nothing was charged.
	Decline Kind = "decline"
	// Close: a payment that waited was cancelled; it can never be charged.
	Close Kind = "close"
	// Return: a charged payment was cancelled, and what was left of it given back. It can give back nothing more.
	Return Kind = "return"
	// Tombstone: a cancellation named a payment never seen; its order will not be charged.
	Tombstone Kind = "tombstone"
	// Overtaken: the order of such a payment came. Requests may overtake each other on their way to a wallet.
	Overtaken Kind = "overtaken"

	// RefundDone: Amount of the payment was given back under the refund's number; RefundWait: it will be; RefundRefuse: it was not,
	// for Reason; RefundClose: it was withdrawn while it waited; RefundTombstone: a refund never seen was withdrawn.
	RefundDone      Kind = "refund"
	RefundWait      Kind = "refund-wait"
	RefundRefuse    Kind = "refund-refuse"
	RefundClose     Kind = "refund-close"
	RefundTombstone Kind = "refund-tombstone"

	// Repeat: an order came again and was answered as it stands. Conflict: a number came again with other content, which is a
	// defect of the switch.
	Repeat   Kind = "repeat"
	Conflict Kind = "conflict"
)

// Line is one line of a ledger file: a JSON object.
type Line struct {
	Seq      uint64       `json:"seq"` // from 1, without gaps
	At       string       `json:"at"`  // RFC 3339, +08:00
	Kind     Kind         `json:"kind"`
	RRN      string       `json:"rrn"`               // of the payment or refund
	Payment  string       `json:"payment,omitempty"` // of a refund: the payment that it is about
	Code     string       `json:"code,omitempty"`    // token of the payment code, never the code
	Merchant string       `json:"merchant,omitempty"`
	Terminal string       `json:"terminal,omitempty"`
	Amount   money.Amount `json:"amount_fen"`
	Reason   string       `json:"reason,omitempty"`
	Trade    string       `json:"trade,omitempty"`
}

// Entry is what the wallet knows of one payment.
type Entry struct {
	Order     Line         // the first line of it
	Status    link.Status  // paid, pending, declined, closed
	Reason    string       // of a decline
	Paid      Line         // the charge; zero when there was none
	Refunded  money.Amount // given back by refunds
	Refunding money.Amount // in refunds that wait
	Returned  money.Amount // given back by cancellation
	Tomb      bool         // cancelled before it came
}

// Net is what the payer is charged in the end.
func (e *Entry) Net() money.Amount { return e.Paid.Amount - e.Refunded - e.Returned }

// left is what can still be given back.
func (e *Entry) left() money.Amount { return e.Net() - e.Refunding }

// Payment is the entry as the interface tells it.
func (e *Entry) Payment() link.Payment {
	return link.Payment{
		Payment: e.Order.RRN, Status: e.Status, Amount: e.Order.Amount, Refunded: e.Refunded, Trade: e.Paid.Trade,
		Reason: e.Reason, PaidAt: e.Paid.At,
	}
}

// RefundEntry is what the wallet knows of one refund.
type RefundEntry struct {
	Order  Line        // the first line of it
	Status link.Status // done, pending, refused, closed
	Reason string
	Done   Line // zero when it was not done
}

// Refund is the entry as the interface tells it.
func (e *RefundEntry) Refund() link.Refund {
	return link.Refund{
		Refund: e.Order.RRN, Payment: e.Order.Payment, Status: e.Status, Amount: e.Order.Amount, Trade: e.Done.Trade,
		Reason: e.Reason, RefundedAt: e.Done.At,
	}
}

// check refuses a line that would break the book's rules.
func (l *Ledger) check(line *Line) error {
	payment, refund := l.payments[line.RRN], l.refunds[line.RRN]
	known := payment != nil || refund != nil
	waits := payment != nil && payment.Status == link.Pending
	waiting := refund != nil && refund.Status == link.Pending
	of := l.payments[line.Payment]
	switch line.Kind {
	case Pay, Wait:
		if line.Amount <= 0 || known && !(line.Kind == Pay && waits && payment.Order.Amount == line.Amount) {
			return fmt.Errorf("RRN %q cannot be charged %d fen", line.RRN, line.Amount)
		}
	case Decline:
		if known && !waits {
			return fmt.Errorf("RRN %q is already decided", line.RRN)
		}
	case Close:
		if !waits {
			return fmt.Errorf("RRN %q does not wait", line.RRN)
		}
	case Return:
		if payment == nil || payment.Status != link.Paid || line.Amount != payment.left() {
			return fmt.Errorf("RRN %q: no %d fen to return", line.RRN, line.Amount)
		}
	case Tombstone, RefundTombstone:
		if known {
			return fmt.Errorf("RRN %q is known", line.RRN)
		}
	case Overtaken:
		if payment == nil || !payment.Tomb {
			return fmt.Errorf("RRN %q was not cancelled before", line.RRN)
		}
	case RefundDone, RefundWait:
		fresh := !known && of != nil && of.Status == link.Paid && line.Amount > 0 && line.Amount <= of.left()
		if !fresh && !(line.Kind == RefundDone && waiting && refund.Order.Amount == line.Amount && refund.Order.Payment == line.Payment) {
			return fmt.Errorf("RRN %q: no %d fen of %q to refund", line.RRN, line.Amount, line.Payment)
		}
	case RefundRefuse:
		if known && !waiting {
			return fmt.Errorf("RRN %q is already decided", line.RRN)
		}
	case RefundClose:
		if !waiting {
			return fmt.Errorf("RRN %q does not wait", line.RRN)
		}
	case Repeat, Conflict:
		if !known {
			return fmt.Errorf("RRN %q is unknown", line.RRN)
		}
	default:
		return fmt.Errorf("kind %q", line.Kind)
	}
	if line.RRN == "" {
		return errors.New("no RRN")
	}
	return nil
}

// apply changes the entries as the line says; it has passed check.
func (l *Ledger) apply(line *Line) {
	l.summary.count(line)
	switch line.Kind {
	case Pay, Wait, Decline, Close, Return, Tombstone:
		l.applyPayment(line)
	case RefundDone, RefundWait, RefundRefuse, RefundClose, RefundTombstone:
		l.applyRefund(line)
	}
}

func (l *Ledger) applyPayment(line *Line) {
	e := l.payments[line.RRN]
	if e == nil {
		e = &Entry{Order: *line}
		l.payments[line.RRN] = e
	} else if e.Status == link.Pending {
		l.summary.Waiting--
	}
	switch line.Kind {
	case Pay:
		e.Status, e.Paid = link.Paid, *line
		l.summary.Open++
	case Wait:
		e.Status = link.Pending
		l.summary.Waiting++
	case Decline:
		e.Status, e.Reason = link.Declined, line.Reason
	case Close:
		e.Status = link.Closed
	case Return:
		e.Status, e.Returned = link.Closed, line.Amount
		l.giveBack(e, line.Amount)
	case Tombstone:
		e.Status, e.Tomb = link.Closed, true
	}
}

func (l *Ledger) applyRefund(line *Line) {
	e, of := l.refunds[line.RRN], l.payments[line.Payment]
	if e == nil {
		e = &RefundEntry{Order: *line}
		l.refunds[line.RRN] = e
	} else if e.Status == link.Pending {
		l.summary.WaitingRefunds--
		of.Refunding -= e.Order.Amount
	}
	switch line.Kind {
	case RefundDone:
		e.Status, e.Done = link.Done, *line
		of.Refunded += line.Amount
		l.giveBack(of, line.Amount)
	case RefundWait:
		e.Status = link.Pending
		of.Refunding += line.Amount
		l.summary.WaitingRefunds++
	case RefundRefuse:
		e.Status, e.Reason = link.Refused, line.Reason
	case RefundClose, RefundTombstone:
		e.Status = link.Closed
	}
}

// giveBack counts a payment that is charged no more. The entry has the amount already.
func (l *Ledger) giveBack(e *Entry, amount money.Amount) {
	if amount > 0 && e.Net() == 0 {
		l.summary.Open--
	}
}
