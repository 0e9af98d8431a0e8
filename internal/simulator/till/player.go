package till

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"huanxin/internal/money"
	"huanxin/internal/receipt"
	"huanxin/switch/iso8583"
)

// Player plays a script: it is all of its terminals, its buyers and their claiming app. It does one thing after the other.
type Player struct {
	Script *Script
	Line   LineConfig
	API    *API
	State  *State
	Out    io.Writer
	Now    func() time.Time
	// Brief leaves the receipts out.
	Brief bool

	run    uint64
	line   *Line
	buyers map[int]*buyer
}

// buyer is what a person's phone holds.
type buyer struct {
	person      Person
	entitlement string
	code        string
	claims      int
}

// story is what one case has learnt so far.
type story struct {
	c        *Case
	till     Till
	last     Request // of this case, for a reversal or a resend
	sent     bool
	reserve  ReserveStep
	serial   string
	hold     Answer // answer of the reserve
	sale     Answer
	saleCard Card
	code     string // shown last
}

// Result says how a script ended.
type Result struct {
	Passed int
	Failed []string // "case: what was unexpected"
}

// Play runs all cases. A case that meets the unexpected ends there, the next one goes on. The error says that playing
// itself could not go on.
func (p *Player) Play(ctx context.Context) (Result, error) {
	var result Result
	run, err := p.State.NextRun()
	if err != nil {
		return result, err
	}
	p.run, p.buyers = run, make(map[int]*buyer)
	defer p.hangUp()
	fmt.Fprintf(p.Out, "%s · 第 %d 次运行\n", p.Script.Name, run)
	for i := range p.Script.Cases {
		c := &p.Script.Cases[i]
		fmt.Fprintf(p.Out, "\n%02d %s\n", i+1, c.Name)
		if err := p.playCase(ctx, c); err != nil {
			if ctx.Err() != nil {
				return result, ctx.Err()
			}
			fmt.Fprintf(p.Out, "   ✗ %v\n", err)
			result.Failed = append(result.Failed, fmt.Sprintf("%s: %v", c.Name, err))
			p.hangUp() // nothing of this case may disturb the next
			continue
		}
		result.Passed++
	}
	return result, nil
}

func (p *Player) playCase(ctx context.Context, c *Case) error {
	s := &story{c: c, till: p.Script.Terminals[c.Till]}
	for i := range c.Steps {
		if err := p.step(ctx, s, &c.Steps[i]); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return nil
}

func (p *Player) step(ctx context.Context, s *story, step *Step) error {
	switch {
	case step.Claim != nil:
		return p.claim(ctx, s, step)
	case step.Show != nil:
		return p.show(ctx, s, step)
	case step.Reserve != nil:
		return p.reserve(ctx, s, step)
	case step.Cancel != nil:
		return p.cancel(ctx, s, step)
	case step.Sale != nil:
		return p.sale(ctx, s, step)
	case step.Reversal != nil:
		return p.reverse(ctx, s, step)
	case step.SignOn != nil:
		return p.manage(ctx, s, step, 0x0800, NetSignOn, "签到")
	case step.SignOff != nil:
		return p.manage(ctx, s, step, 0x0820, NetSignOff, "签退")
	case step.Echo != nil:
		return p.manage(ctx, s, step, 0x0820, NetEcho, "回响测试")
	}
	fmt.Fprintf(p.Out, "   等待 %s\n", step.Wait)
	timer := time.NewTimer(step.Wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// buyer returns the person that a step or its case names.
func (p *Player) buyer(s *story, number int) *buyer {
	if number == 0 {
		number = s.c.Person
	}
	b := p.buyers[number]
	if b == nil {
		b = &buyer{person: NewPerson(p.run*peopleOfRun + uint64(number))}
		p.buyers[number] = b
	}
	return b
}

// peopleOfRun is how many persons and serial numbers one run may use.
const peopleOfRun = 1000

func (p *Player) claim(ctx context.Context, s *story, step *Step) error {
	b := p.buyer(s, step.Claim.Person)
	b.claims++
	channel := step.Claim.Channel
	if channel == "" {
		channel = "store"
	}
	key := fmt.Sprintf("simulator-%d-%s-%d", p.run, b.person.IDNumber, b.claims)
	a, err := p.API.Claim(ctx, key, b.person, step.Claim.Category, step.Claim.City, channel)
	if err != nil {
		return err
	}
	p.say("领取资格 %s %s", step.Claim.Category, outcome(&a, a.Entitlement))
	b.entitlement = a.Entitlement
	return step.Expect.apiAnswer(&a)
}

func (p *Player) show(ctx context.Context, s *story, step *Step) error {
	b := p.buyer(s, step.Show.Person)
	var position *Position
	if step.Show.At != "" {
		at := p.Script.Positions[step.Show.At]
		position = &at
	}
	a, err := p.API.ShowCode(ctx, b.entitlement, b.person, position)
	if err != nil {
		return err
	}
	p.say("出示资格码 %s", outcome(&a, "******"))
	b.code, s.code = a.Code, a.Code
	return step.Expect.apiAnswer(&a)
}

func outcome(a *APIAnswer, good string) string {
	if a.Status < 300 {
		return good
	}
	return fmt.Sprintf("%d %s %s", a.Status, strings.Join(a.Reasons, " "), a.Text)
}

// request begins a request of the case's till with a fresh STAN, or with the last one again.
func (p *Player) request(s *story, again bool, batch uint32) (Request, error) {
	r := Request{Terminal: s.till.Terminal, Merchant: s.till.Merchant, Batch: batch}
	if batch == 0 {
		r.Batch = p.State.Batch(s.till.Terminal, s.till.Batch)
	}
	if again && s.sent {
		r.STAN = s.last.STAN
		return r, nil
	}
	var err error
	r.STAN, err = p.State.NextSTAN(s.till.Terminal)
	return r, err
}

func (p *Player) reserve(ctx context.Context, s *story, step *Step) error {
	want := *step.Reserve
	r, err := p.request(s, want.Again, want.Batch)
	if err != nil {
		return err
	}
	s.reserve, s.serial = want, p.expand(want.Serial)
	code := p.expand(want.Code)
	if code == "" {
		code = s.code
	}
	r.MTI, r.Kind, r.Amount = 0x0100, KindReserve, money.Amount(want.Price)
	for _, tag := range []Tag{
		{"S1", code}, {"S2", want.Barcode}, {"S3", s.serial}, {"S4", fmt.Sprintf("R%d-%s-%06d", p.run, r.Terminal, r.STAN)},
		{"S5", want.Position}, {"SD", want.Delivery}, {"SE", want.OldItem},
	} {
		if tag.Value != "" {
			r.Tags = append(r.Tags, tag)
		}
	}
	for _, component := range want.Components {
		for kind, amount := range component {
			r.Tags = append(r.Tags, Tag{"S6", fmt.Sprintf("%s=%d", kind, amount)})
		}
	}
	a, err := p.ask(ctx, s, &r, want.LoseAnswer)
	if a == nil || err != nil {
		return err
	}
	if a.Refused() {
		p.say("申请补贴 %s %s", a.Response, refusalText(a))
		p.print(p.refusal(s, a, money.Amount(want.Price)))
	} else {
		s.hold = *a
		p.say("申请补贴 00 预占号 %012d 补贴 %s 应付 %s", a.Hold, a.Subsidy, a.Payable)
	}
	return step.Expect.terminalAnswer(a)
}

func refusalText(a *Answer) string {
	return strings.TrimSpace(strings.Join(a.Reasons, " ") + " " + a.Text)
}

func (p *Player) cancel(ctx context.Context, s *story, step *Step) error {
	r, err := p.request(s, false, 0)
	if err != nil {
		return err
	}
	r.MTI, r.Kind, r.Amount = 0x0100, KindCancel, s.hold.Price
	r.Tags = []Tag{{"S7", fmt.Sprintf("%012d", s.hold.Hold)}}
	a, err := p.ask(ctx, s, &r, false)
	if a == nil || err != nil {
		return err
	}
	p.say("取消预占 %s %s", a.Response, refusalText(a))
	return step.Expect.terminalAnswer(a)
}

func (p *Player) sale(ctx context.Context, s *story, step *Step) error {
	want := step.Sale
	r, err := p.request(s, want.Again, want.Batch)
	if err != nil {
		return err
	}
	card := p.Script.Cards[want.Card]
	s.saleCard = card
	r.MTI, r.Kind, r.Card, r.Amount = 0x0200, KindSale, &card, money.Amount(want.Amount)
	if r.Amount == 0 {
		r.Amount = s.hold.Payable
	}
	if !want.Ordinary {
		r.Tags = []Tag{{"S7", fmt.Sprintf("%012d", s.hold.Hold)}}
	}
	a, err := p.ask(ctx, s, &r, want.LoseAnswer)
	if a == nil || err != nil {
		return err
	}
	s.sale = *a
	p.say("消费 %s %s %s", a.Response, r.Amount, refusalText(a))
	if a.Refused() {
		p.print(p.refusal(s, a, 0))
	} else {
		p.print(p.saleSlip(s, a, want.Ordinary, r.Amount))
	}
	return step.Expect.terminalAnswer(a)
}

func (p *Player) reverse(ctx context.Context, s *story, step *Step) error {
	r := s.last
	if step.Reversal.Unknown {
		card := p.Script.Cards[slices.Min(slices.Collect(maps.Keys(p.Script.Cards)))]
		fresh, err := p.request(s, false, 0)
		if err != nil {
			return err
		}
		r = fresh
		r.Kind, r.Card, r.Amount = KindSale, &card, 100
		s.last, s.sent = r, true
	} else if !s.sent {
		return errors.New("nothing to reverse")
	}
	r.MTI, r.Cause, r.Tags = 0x0400, step.Reversal.Cause, nil
	if r.Cause == "" {
		r.Cause = "98"
	}
	line, err := p.connect(ctx)
	if err != nil {
		return err
	}
	a, err := line.Ask(ctx, &r)
	if err != nil {
		return err
	}
	p.say("冲正 %s %s", a.Response, refusalText(a))
	if a.Response == "00" && r.Kind == KindSale {
		p.print(p.reversalSlip(s, &r))
	}
	return step.Expect.terminalAnswer(a)
}

func (p *Player) manage(ctx context.Context, s *story, step *Step, mti iso8583.MTI, net int, name string) error {
	r, err := p.request(s, false, 0)
	if err != nil {
		return err
	}
	r.MTI, r.Kind, r.Net = mti, KindManagement, net
	line, err := p.connect(ctx)
	if err != nil {
		return err
	}
	a, err := line.Ask(ctx, &r)
	if err != nil {
		return err
	}
	p.say("%s %s %s", name, a.Response, refusalText(a))
	if net == NetSignOn && !a.Refused() {
		if err := p.State.SetBatch(s.till.Terminal, a.Batch); err != nil {
			return err
		}
	}
	return step.Expect.terminalAnswer(a)
}

// ask sends a financial request and remembers it. With lose the answer is thrown away when it comes, as if the line had
// failed on its last metre, and the terminal hangs up; the answer is nil then. Hanging up before it comes would leave
// open whether request or reversal is processed first.
func (p *Player) ask(ctx context.Context, s *story, r *Request, lose bool) (*Answer, error) {
	line, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	s.last, s.sent = *r, true
	if !lose {
		return line.Ask(ctx, r)
	}
	if _, err := line.Ask(ctx, r); err != nil && !errors.Is(err, ErrLost) && !errors.Is(err, ErrTimeout) {
		return nil, err
	}
	p.hangUp()
	p.say("已发送，应答丢失（终端断线）")
	return nil, nil
}

// connect returns the line, dialling when there is none.
func (p *Player) connect(ctx context.Context) (*Line, error) {
	if p.line != nil {
		select {
		case <-p.line.Lost():
			p.line = nil
		default:
			return p.line, nil
		}
	}
	line, err := DialLine(ctx, p.Line)
	if err != nil {
		return nil, err
	}
	p.line = line
	return line, nil
}

func (p *Player) hangUp() {
	if p.line != nil {
		p.line.Close()
		p.line = nil
	}
}

func (p *Player) say(format string, args ...any) {
	fmt.Fprintf(p.Out, "   %s\n", strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

var numbered = regexp.MustCompile(`\{\{(serial|imei) (\d{1,3})\}\}`)

// expand fills {{run}}, and {{serial N}} and {{imei N}} with numbers of this run.
func (p *Player) expand(text string) string {
	text = fill(text, p.run)
	return numbered.ReplaceAllStringFunc(text, func(match string) string {
		parts := numbered.FindStringSubmatch(match)
		n, err := strconv.ParseUint(parts[2], 10, 64)
		if err != nil {
			panic("three digits are a number: " + err.Error())
		}
		if parts[1] == "imei" {
			return NewIMEI(p.run*peopleOfRun + n)
		}
		return NewSerial(p.run*peopleOfRun + n)
	})
}

// ---- Receipts -------------------------------------------------------------------------------------------------------

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

func (p *Player) saleSlip(s *story, a *Answer, ordinary bool, paid money.Amount) *receipt.Slip {
	slip := p.slip(s, receipt.OrdinarySale)
	slip.RRN, slip.Approval, slip.Paid = a.RRN, a.Approval, paid
	if !a.At.IsZero() {
		slip.At = a.At
	}
	if !ordinary {
		slip.Kind, slip.Product, slip.Serial, slip.Hold = receipt.SubsidisedSale, s.reserve.Product, s.serial, s.hold.Hold
		slip.Price, slip.Subsidy = money.Amount(s.reserve.Price), s.hold.Subsidy
	}
	return slip
}

func (p *Player) reversalSlip(s *story, r *Request) *receipt.Slip {
	slip := p.slip(s, receipt.Reversal)
	slip.Paid, slip.RRN = r.Amount, s.sale.RRN
	if s.hold.Hold != 0 {
		slip.Hold, slip.Subsidy, slip.Product, slip.Serial = s.hold.Hold, s.hold.Subsidy, s.reserve.Product, s.serial
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

func (p *Player) print(slip *receipt.Slip) {
	if p.Brief {
		return
	}
	fmt.Fprintln(p.Out)
	for line := range strings.Lines(string(slip.AppendText(nil))) {
		fmt.Fprint(p.Out, "      ", line)
	}
}
