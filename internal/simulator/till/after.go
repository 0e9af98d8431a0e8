package till

import (
	"context"
	"errors"
	"fmt"

	"huanxin/internal/money"
	"huanxin/internal/receipt"
	"huanxin/switch/iso8583"
)

// original is the sale that a void or refund is about.
func (p *Player) original(s *story, of string) (*sold, error) {
	if of == "" {
		if s.sale == nil {
			return nil, errors.New("nothing was sold in this case")
		}
		return s.sale, nil
	}
	found := p.sold[of]
	if found == nil {
		return nil, fmt.Errorf("nothing was sold as %q", of)
	}
	return found, nil
}

// back begins a void or refund: the card that was paid with, DE37 and DE61.
func (p *Player) back(s *story, want *BackStep, of *sold) (Request, error) {
	r, err := p.request(s, want.Again, 0)
	if err != nil {
		return r, err
	}
	card := of.card
	if want.Card != "" {
		card = p.Script.Cards[want.Card]
	}
	r.Card, r.Amount = &card, money.Amount(want.Amount)
	if r.Amount == 0 {
		r.Amount = of.request.Amount
	}
	r.RRN, r.Approval = of.answer.RRN, of.answer.Approval
	r.Original = &Original{Batch: of.request.Batch, STAN: of.request.STAN}
	return r, nil
}

func (p *Player) void(ctx context.Context, s *story, step *Step) error {
	of, err := p.original(s, step.Void.Of)
	if err != nil {
		return err
	}
	r, err := p.back(s, step.Void, of)
	if err != nil {
		return err
	}
	r.MTI, r.Kind = 0x0200, KindVoid
	s.undone = of
	a, err := p.ask(ctx, s, &r, step.Void.LoseAnswer)
	if a == nil || err != nil {
		return err
	}
	p.say("撤销 %s %s %s", a.Response, r.Amount, refusalText(a))
	if a.Refused() {
		p.print(p.denied(s, a, of))
		return step.Expect.terminalAnswer(a)
	}
	p.State.Void(r.Terminal, of.request.STAN, false)
	p.print(p.voidSlip(s, receipt.Void, a, of))
	return errors.Join(p.State.Save(), step.Expect.terminalAnswer(a))
}

func (p *Player) refund(ctx context.Context, s *story, step *Step) error {
	of, err := p.original(s, step.Refund.Of)
	if err != nil {
		return err
	}
	r, err := p.back(s, step.Refund, of)
	if err != nil {
		return err
	}
	r.MTI, r.Kind, r.Original.Date = 0x0220, KindRefund, of.answer.At.Format("0102")
	if step.Refund.Activated {
		r.Tags = []Tag{{"SO", "1"}}
	}
	a, err := p.ask(ctx, s, &r, step.Refund.LoseAnswer)
	if a == nil || err != nil {
		return err
	}
	p.say("退货 %s %s %s", a.Response, r.Amount, refusalText(a))
	if a.Refused() {
		p.print(p.denied(s, a, of))
		return step.Expect.terminalAnswer(a)
	}
	p.State.Enter(r.Terminal, RecordOf(&r, 0))
	p.print(p.refundSlip(s, a, of))
	return errors.Join(p.State.Save(), step.Expect.terminalAnswer(a))
}

// preauthorisations say how the members of the family are sent and called.
var preauthorisations = map[string]struct {
	mti  iso8583.MTI
	kind int
	slip receipt.Kind
	name string
}{
	"hold":            {0x0100, KindPreauth, receipt.Preauth, "预授权"},
	"void":            {0x0100, KindPreauthVoid, receipt.PreauthVoid, "预授权撤销"},
	"completion":      {0x0200, KindCompletion, receipt.Completion, "预授权完成"},
	"completion-void": {0x0200, KindCompletionVoid, receipt.CompletionVoid, "预授权完成撤销"},
}

func (p *Player) preauth(ctx context.Context, s *story, step *Step) error {
	want := step.Preauth
	name := want.Kind
	if name == "" {
		name = "hold"
	}
	how := preauthorisations[name]
	r, err := p.request(s, false, 0)
	if err != nil {
		return err
	}
	card := p.Script.Cards[want.Card]
	r.MTI, r.Kind, r.Card, r.Amount = how.mti, how.kind, &card, money.Amount(want.Amount)
	of := s.preauth
	if how.kind != KindPreauth {
		if of == nil {
			return errors.New("nothing was authorised in this case")
		}
		r.Approval = of.answer.Approval
		r.Original = &Original{Batch: of.request.Batch, STAN: of.request.STAN, Date: of.answer.At.Format("0102")}
		if how.kind == KindCompletionVoid {
			r.RRN = of.answer.RRN
		}
		if r.Amount == 0 {
			r.Amount = of.request.Amount
		}
	}
	a, err := p.ask(ctx, s, &r, false)
	if a == nil || err != nil {
		return err
	}
	p.say("%s %s %s %s", how.name, a.Response, r.Amount, refusalText(a))
	if a.Refused() {
		p.print(p.refusal(s, a, 0))
		return step.Expect.terminalAnswer(a)
	}
	switch how.kind {
	case KindPreauth, KindCompletion:
		s.preauth = &sold{request: r, answer: *a, card: card}
		slip := p.answered(s, how.slip, a)
		slip.Paid = r.Amount
		p.print(slip)
	default:
		p.print(p.voidSlip(s, how.slip, a, of))
	}
	if how.kind == KindCompletion || how.kind == KindCompletionVoid {
		p.State.Enter(r.Terminal, RecordOf(&r, 0))
	}
	return errors.Join(p.State.Save(), step.Expect.terminalAnswer(a))
}

// status asks how a purchase stands. It is no financial message: a reversal after it is still about the one before.
func (p *Player) status(ctx context.Context, s *story, step *Step) error {
	r, err := p.request(s, false, 0)
	if err != nil {
		return err
	}
	r.MTI, r.Kind = 0x0100, KindStatus
	switch step.Status.By {
	case "hold":
		r.Tags = []Tag{{"S7", holdTag(s.hold.Hold)}}
	case "rrn":
		if s.sale == nil {
			return errors.New("nothing was sold in this case")
		}
		r.RRN = s.sale.answer.RRN
	case "original":
		r.Original = &Original{Batch: s.last.Batch, STAN: s.last.STAN}
	}
	a, err := p.tell(ctx, &r)
	if err != nil {
		return err
	}
	p.say("查询交易 %s %s %s", a.Response, receipt.StateText(a.State), refusalText(a))
	if !a.Refused() {
		p.print(p.reprint(s, a))
	}
	return step.Expect.terminalAnswer(a)
}

func (p *Player) balance(ctx context.Context, s *story, step *Step) error {
	r, err := p.request(s, false, 0)
	if err != nil {
		return err
	}
	card := p.Script.Cards[step.Balance.Card]
	r.MTI, r.Kind, r.Card = 0x0200, KindBalance, &card
	a, err := p.tell(ctx, &r)
	if err != nil {
		return err
	}
	p.say("查询余额 %s %s%s", a.Response, balanceText(a.Balance), refusalText(a))
	return step.Expect.terminalAnswer(a)
}

// balanceText reads DE54: account type n2, amount type n2, currency n3, C or D, amount n12.
func balanceText(value string) string {
	if len(value) != 20 {
		return ""
	}
	amount, err := money.ParseN12([]byte(value[8:]))
	if err != nil {
		return ""
	}
	if value[7] == 'D' {
		amount = -amount
	}
	return amount.String()
}

// CertificateRequest is the 0320 with the certificate of a chip's payment.
func CertificateRequest(t Till, batch, stan uint32, of *Request, answer *Answer) Request {
	return Request{
		MTI: 0x0320, Kind: KindManagement, Net: NetCertificate, Terminal: t.Terminal, Merchant: t.Merchant, Batch: batch, STAN: stan,
		Card: of.Card, Amount: of.Amount, RRN: answer.RRN, Chip: scriptResult(false),
		Original: &Original{Batch: of.Batch, STAN: of.STAN, Date: answer.At.Format("0102")},
	}
}

// report tells the switch what it has not asked for.
func (p *Player) report(ctx context.Context, s *story, step *Step) error {
	r, err := p.request(s, false, 0)
	if err != nil {
		return err
	}
	r.Kind = KindManagement
	name := "终端状态上送"
	switch step.Report.Kind {
	case "script", "certificate":
		if s.sale == nil {
			return errors.New("nothing was sold in this case")
		}
		name = "TC上送"
		r = CertificateRequest(s.till, r.Batch, r.STAN, &s.sale.request, &s.sale.answer)
		if step.Report.Kind == "script" {
			name = "脚本结果上送"
			r.MTI, r.Net, r.Chip = 0x0620, NetScript, scriptResult(true)
		}
	default:
		r.MTI, r.Net, r.State = 0x0820, NetState, step.Report.Codes
	}
	a, err := p.tell(ctx, &r)
	if err != nil {
		return err
	}
	p.say("%s %s %s", name, a.Response, refusalText(a))
	return step.Expect.terminalAnswer(a)
}

// scriptResult is DE55 of a report: the verification results, terminal, issuer data and counter of the simulated chip, and
// for a script its result.
func scriptResult(script bool) []byte {
	out := chipData(0, true)
	if script {
		out = append(out, "\xDF\x31\x05\x20\x00\x00\x00\x00"...)
	}
	return out
}
