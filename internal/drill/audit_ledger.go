package drill

import (
	"fmt"
	"maps"
	"slices"

	"huanxin/internal/simulator/issuer"
	"huanxin/internal/simulator/wallet"
	"huanxin/switch/event"
)

// Movement is what one line of a host's own ledger does to the charge of an RRN, in fen; Again says that a request came to
// the host once more. RRN is that of the charge, also where a refund or void with a number of its own has moved it.
type Movement struct {
	RRN    string
	Amount int64
	Charge bool
	Again  bool
}

// cardMovements reads the card network's ledger. The void of a completion moves a charge of its own number: the switch
// knows it as a payment of its own.
func cardMovements(lines []issuer.Line) (list []Movement) {
	for i := range lines {
		line := &lines[i]
		if line.Kind == issuer.Repeat {
			list = append(list, Movement{RRN: line.RRN, Again: true})
		}
		rrn, amount := line.Moves()
		if line.Type == issuer.TypeCompletionVoid {
			rrn = line.RRN
		}
		if amount != 0 {
			list = append(list, Movement{RRN: rrn, Amount: int64(amount), Charge: line.Kind == issuer.Charge})
		}
	}
	return list
}

// walletMovements reads the wallet's ledger. An order that comes again is no defect there, one with other content is.
func walletMovements(lines []wallet.Line) (list []Movement) {
	for i := range lines {
		line := &lines[i]
		switch line.Kind {
		case wallet.Pay:
			list = append(list, Movement{RRN: line.RRN, Amount: int64(line.Amount), Charge: true})
		case wallet.Return:
			list = append(list, Movement{RRN: line.RRN, Amount: -int64(line.Amount)})
		case wallet.RefundDone:
			list = append(list, Movement{RRN: line.Payment, Amount: -int64(line.Amount)})
		case wallet.Conflict:
			list = append(list, Movement{RRN: line.RRN, Again: true})
		}
	}
	return list
}

// balance is what the ledgers say of one RRN.
type balance struct {
	charges int
	net     int64 // fen
}

// balances adds the ledgers up, trusting none of their own rules. A sale that reached the host again is a finding even
// though the host refused it: the switch must never resend one.
func balances(v *Verdict, lines []Movement) map[string]balance {
	list := map[string]balance{}
	for _, line := range lines {
		b := list[line.RRN]
		b.net += line.Amount
		if line.Charge {
			b.charges++
		}
		if line.Again {
			v.Duplicated = append(v.Duplicated, fmt.Sprintf("the request with RRN %s was sent to the host again", line.RRN))
		}
		list[line.RRN] = b
	}
	return list
}

// charged is what a purchase says that its payer is charged in the end; ok is false while that has no end.
func (p *Purchase) charged() (net int64, ok bool) {
	if p.Pending > 0 {
		return 0, false
	}
	switch p.State {
	case Sent, Unknown, Voiding, Reversing:
		return 0, false
	case Refunding: // refunds without an end: what the host has done with them is not known
		return p.Amount - p.Refunded, openRefunds(p) == 0
	case Reversed:
		return p.Standing, true
	case Captured, Refunded:
	default:
		return 0, true
	}
	for _, o := range p.operations {
		if o.Void && o.State == "reversing" {
			return 0, false
		}
	}
	switch p.Kind {
	case event.SaleKind_SALE_KIND_PREAUTH, event.SaleKind_SALE_KIND_PREAUTH_VOID:
		return 0, true
	case event.SaleKind_SALE_KIND_COMPLETION_VOID:
		return -p.Amount, true
	}
	return p.Amount - p.Refunded, true
}

// external is the host of a payment that a shop has collected itself: no ledger has it.
const external = "external"

// compareLedger holds what each payer is charged in the end by the hosts' own books against what the journal says.
func compareLedger(v *Verdict, e Evidence) {
	ledger := balances(v, e.Ledger)
	for _, rrn := range slices.Sorted(maps.Keys(ledger)) {
		entry := ledger[rrn]
		if entry.charges > 1 {
			v.Duplicated = append(v.Duplicated, fmt.Sprintf("RRN %s was charged %d times", rrn, entry.charges))
		}
		if entry.net != 0 && e.Book.ByRRN[rrn] == nil {
			v.ChargedWithoutRecord = append(v.ChargedWithoutRecord, fmt.Sprintf("RRN %s, %d fen: not in the journal", rrn, entry.net))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(e.Book.Purchases)) {
		p := e.Book.Purchases[id]
		if p.Sendings == 0 || p.Host == external {
			continue
		}
		net := ledger[p.RRN].net
		want, ok := p.charged()
		what := fmt.Sprintf("purchase %d, RRN %s, is %s and should charge %d fen; the host charges %d", id, p.RRN, p.State, want, net)
		switch {
		case !ok || net == want:
		case net > want:
			v.ChargedWithoutRecord = append(v.ChargedWithoutRecord, what)
		case p.Promised > 0:
			v.SubsidisedWithoutCharge = append(v.SubsidisedWithoutCharge, what)
		default:
			v.Lost = append(v.Lost, what)
		}
	}
}
