package till

import (
	"fmt"
	"strings"

	"huanxin/internal/money"
	"huanxin/internal/receipt"
)

// slip begins a receipt with what every one says.
func (p *Player) slip(s *story, kind receipt.Kind) *receipt.Slip {
	slip := &receipt.Slip{
		Kind: kind, Merchant: s.till.Name, DE42: s.till.Merchant, Terminal: s.till.Terminal,
		Batch: s.last.Batch, STAN: s.last.STAN, At: p.Now(),
	}
	if c := s.last.Card; c != nil {
		slip.Card, slip.QR = c.PAN, c.Code != ""
		if slip.QR {
			slip.Card = c.Code
		}
	}
	return slip
}

func (p *Player) saleSlip(s *story, made *sold) *receipt.Slip {
	slip := p.answered(s, receipt.OrdinarySale, &made.answer)
	slip.Paid = made.request.Amount
	if made.hold.Hold != 0 {
		slip.Kind, slip.Price, slip.Subsidy = receipt.SubsidisedSale, made.hold.Price, made.hold.Subsidy
		slip.Product, slip.Serial, slip.Hold = made.product, made.serial, made.hold.Hold
	}
	return slip
}

// answered is a slip with what the answer adds: reference, approval and the host's time.
func (p *Player) answered(s *story, kind receipt.Kind, a *Answer) *receipt.Slip {
	slip := p.slip(s, kind)
	slip.RRN, slip.Approval = a.RRN, a.Approval
	if !a.At.IsZero() {
		slip.At = a.At
	}
	return slip
}

func (p *Player) reversalSlip(s *story, r *Request) *receipt.Slip {
	slip := p.slip(s, receipt.Reversal)
	slip.Paid = r.Amount
	if s.sale != nil && s.sale.request.STAN == r.STAN {
		slip.RRN = s.sale.answer.RRN
	}
	if s.hold.Hold != 0 {
		slip.Hold, slip.Subsidy, slip.Product, slip.Serial = s.hold.Hold, s.hold.Subsidy, s.reserve.Product, s.serial
	}
	return slip
}

// about names the purchase that a slip of a void or refund is about.
func about(slip *receipt.Slip, of *sold) *receipt.Slip {
	slip.OriginalSTAN, slip.OriginalRRN = of.request.STAN, of.answer.RRN
	if of.request.Batch != slip.Batch {
		slip.OriginalBatch = of.request.Batch
	}
	slip.Product, slip.Serial, slip.Hold = of.product, of.serial, of.hold.Hold
	return slip
}

func (p *Player) voidSlip(s *story, kind receipt.Kind, a *Answer, of *sold) *receipt.Slip {
	slip := about(p.answered(s, kind, a), of)
	slip.Paid, slip.Subsidy = s.last.Amount, of.hold.Subsidy
	return slip
}

func (p *Player) voidReversalSlip(s *story) *receipt.Slip {
	slip := about(p.slip(s, receipt.VoidReversal), s.undone)
	slip.Paid = s.undone.request.Amount
	return slip
}

func (p *Player) refundSlip(s *story, a *Answer, of *sold) *receipt.Slip {
	slip := about(p.answered(s, receipt.Refund, a), of)
	slip.Paid, slip.Returned, slip.Kept = s.last.Amount, a.Returned, a.Subsidy
	return slip
}

// reprint is the slip of a purchase as the switch tells it.
func (p *Player) reprint(s *story, a *Answer) *receipt.Slip {
	slip := p.slip(s, receipt.Reprint)
	slip.Batch, slip.STAN = 0, 0 // those of another message
	slip.Card, slip.OriginalRRN, slip.Hold = a.CardMask, a.RRN, a.Hold
	slip.Price, slip.Subsidy, slip.Paid, slip.Refunded, slip.State = a.Price, a.Subsidy, a.Charged, a.Refunded, a.State
	if len(a.Original) >= 12 {
		_, _ = fmt.Sscanf(a.Original[:12], "%6d%6d", &slip.OriginalBatch, &slip.OriginalSTAN)
	}
	return slip
}

func (p *Player) refusal(s *story, a *Answer, price money.Amount) *receipt.Slip {
	slip := p.slip(s, receipt.Refusal)
	slip.Product, slip.Serial, slip.Price, slip.Response = s.reserve.Product, s.serial, price, a.Response
	if a.Text != "" {
		slip.Reasons = []string{a.Text}
	} else {
		slip.Reasons = a.Reasons
	}
	return slip
}

// denied is the slip of a void or refund that was not approved.
func (p *Player) denied(s *story, a *Answer, of *sold) *receipt.Slip {
	slip := about(p.refusal(s, a, 0), of)
	slip.Back = true
	return slip
}

// print prints a slip under what was said.
func (p *Player) print(slip interface{ AppendText([]byte) []byte }) {
	if p.Brief {
		return
	}
	fmt.Fprintln(p.Out)
	for line := range strings.Lines(string(slip.AppendText(nil))) {
		fmt.Fprint(p.Out, "      ", line)
	}
}
