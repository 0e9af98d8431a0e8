package till

import (
	"bytes"
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
	"huanxin/switch/iso8583"
)

// Player plays a script: it is all of its terminals, its buyers and their claiming app. It does one thing after the other.
type Player struct {
	Script *Script
	Line   LineConfig
	// Lines are those of terminals that have a line of their own, by the name that the script gives it.
	Lines map[string]LineConfig
	API   *API
	State *State
	Out   io.Writer
	Now   func() time.Time
	// Brief leaves the receipts out.
	Brief bool
	// Programs is the folder of the programs that operator steps run; empty: there are none.
	Programs string

	run    uint64
	lines  map[string]*Line // by name: those of tills that have a line of their own, "" for all others
	buyers map[int]*buyer
	sold   map[string]*sold   // by the name that the script gave the sale
	closed map[string]settled // by terminal: the batch that was settled last
	learnt map[string]string  // by operator steps
}

// sold is a sale that may be voided or refunded, from whichever till.
type sold struct {
	request Request
	answer  Answer
	card    Card
	product string
	serial  string
	hold    Answer // of the reserve; zero for an ordinary sale
}

// settled is a batch that was closed, for its upload.
type settled struct {
	batch   uint32
	records []Record
	equal   bool
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
	c       *Case
	number  int
	till    Till
	last    Request // of this case, for a reversal or a resend
	sent    bool
	reserve ReserveStep
	serial  string
	hold    Answer // answer of the reserve
	sale    *sold  // the last one that was approved
	undone  *sold  // what the last request, a void, takes back
	preauth *sold  // the pre-authorisation of the case, or its completion
	code    string // shown last

	// Over HTTP.
	requests int // idempotency keys used
	key      string
	purchase PurchaseView
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
	p.run, p.buyers, p.sold = run, make(map[int]*buyer), make(map[string]*sold)
	p.closed, p.learnt = make(map[string]settled), make(map[string]string)
	defer p.hangUp()
	fmt.Fprintf(p.Out, "%s · 第 %d 次运行\n", p.Script.Name, run)
	for i := range p.Script.Cases {
		c := &p.Script.Cases[i]
		fmt.Fprintf(p.Out, "\n%02d %s\n", i+1, c.Name)
		if err := p.playCase(ctx, c, i+1); err != nil {
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

func (p *Player) playCase(ctx context.Context, c *Case, number int) error {
	s := &story{c: c, number: number, till: p.Script.Terminals[c.Till]}
	for i := range c.Steps {
		if err := p.step(ctx, s, &c.Steps[i]); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return nil
}

// step plays one step, again and again while it is allowed to be and its answer is not as expected. Only what the last
// attempt says is printed.
func (p *Player) step(ctx context.Context, s *story, step *Step) error {
	if step.Within == 0 {
		return p.once(ctx, s, step)
	}
	ctx, cancel := context.WithTimeout(ctx, step.Within)
	defer cancel()
	out := p.Out
	defer func() { p.Out = out }()
	for {
		var said bytes.Buffer
		p.Out = &said
		err := p.once(ctx, s, step)
		if err == nil || pause(ctx, repeatEvery) != nil {
			if _, printErr := said.WriteTo(out); err == nil {
				err = printErr
			}
			return err
		}
	}
}

// repeatEvery is the time between two attempts of a step.
const repeatEvery = 200 * time.Millisecond

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Player) once(ctx context.Context, s *story, step *Step) error {
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
	case step.Preauth != nil:
		return p.preauth(ctx, s, step)
	case step.Void != nil:
		return p.void(ctx, s, step)
	case step.Refund != nil:
		return p.refund(ctx, s, step)
	case step.Reversal != nil:
		return p.reverse(ctx, s, step)
	case step.Status != nil:
		return p.status(ctx, s, step)
	case step.Balance != nil:
		return p.balance(ctx, s, step)
	case step.Settle != nil:
		return p.settle(ctx, s, step)
	case step.Upload != nil:
		return p.upload(ctx, s, step)
	case step.Report != nil:
		return p.report(ctx, s, step)
	case step.SignOn != nil:
		return p.manage(ctx, s, step, 0x0800, NetSignOn, "签到")
	case step.SignOff != nil:
		return p.manage(ctx, s, step, 0x0820, NetSignOff, "签退")
	case step.Echo != nil:
		return p.manage(ctx, s, step, 0x0820, NetEcho, "回响测试")
	case step.Order != nil, step.Commit != nil, step.Drop != nil, step.GiveBack != nil, step.LookUp != nil:
		return p.shop(ctx, s, step)
	case step.Operator != nil:
		return p.operate(ctx, step)
	case step.Until != "":
		return p.until(ctx, p.expand(step.Until))
	}
	fmt.Fprintf(p.Out, "   等待 %s\n", step.Wait)
	return pause(ctx, step.Wait)
}

func (p *Player) until(ctx context.Context, text string) error {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return fmt.Errorf("wait until %q: want an instant with its zone", text)
	}
	fmt.Fprintf(p.Out, "   等到 %s\n", at.In(shanghai).Format("15:04:05"))
	return pause(ctx, at.Sub(p.Now()))
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
	r := Request{Terminal: s.till.Terminal, Merchant: s.till.Merchant, Batch: batch, line: s.till.Line}
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
		p.learnt["hold"] = holdTag(a.Hold)
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
	r.Tags = []Tag{{"S7", holdTag(s.hold.Hold)}}
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
	r.MTI, r.Kind, r.Card, r.Amount = 0x0200, KindSale, &card, money.Amount(want.Amount)
	r.PIN, r.Flip = want.PIN, want.Flip
	if r.Amount == 0 {
		r.Amount = s.hold.Payable
	}
	if !want.Ordinary {
		r.Tags = []Tag{{"S7", holdTag(s.hold.Hold)}}
	}
	a, err := p.ask(ctx, s, &r, want.LoseAnswer)
	if a == nil || err != nil {
		return err
	}
	p.say("消费 %s %s %s", a.Response, r.Amount, refusalText(a))
	if a.Refused() {
		p.print(p.refusal(s, a, 0))
		return step.Expect.terminalAnswer(a)
	}
	made := &sold{request: r, answer: *a, card: card}
	if !want.Ordinary {
		made.product, made.serial, made.hold = s.reserve.Product, s.serial, s.hold
	}
	s.sale = made
	if want.As != "" {
		p.sold[want.As] = made
	}
	p.State.Enter(r.Terminal, RecordOf(&r, made.hold.Subsidy))
	p.print(p.saleSlip(s, made))
	return errors.Join(p.State.Save(), step.Expect.terminalAnswer(a))
}

func holdTag(hold uint64) string { return fmt.Sprintf("%012d", hold) }

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
	line, err := p.connect(ctx, r.line)
	if err != nil {
		return err
	}
	a, err := line.Ask(ctx, &r)
	if err != nil {
		return err
	}
	p.say("冲正 %s %s", a.Response, refusalText(a))
	if a.Response != "00" {
		return step.Expect.terminalAnswer(a)
	}
	switch r.Kind {
	case KindSale, KindPreauth, KindCompletion, KindCompletionVoid:
		p.State.Remove(r.Terminal, r.STAN)
		p.print(p.reversalSlip(s, &r))
	case KindVoid:
		if s.undone != nil {
			p.State.Void(r.Terminal, s.undone.request.STAN, true)
			p.print(p.voidReversalSlip(s))
		}
	}
	return errors.Join(p.State.Save(), step.Expect.terminalAnswer(a))
}

func (p *Player) manage(ctx context.Context, s *story, step *Step, mti iso8583.MTI, net int, name string) error {
	r, err := p.request(s, false, 0)
	if err != nil {
		return err
	}
	r.MTI, r.Kind, r.Net = mti, KindManagement, net
	a, err := p.tell(ctx, &r)
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

// tell sends a request that is never reversed.
func (p *Player) tell(ctx context.Context, r *Request) (*Answer, error) {
	line, err := p.connect(ctx, r.line)
	if err != nil {
		return nil, err
	}
	return line.Ask(ctx, r)
}

// ask sends a financial request and remembers it. With lose the answer is thrown away when it comes, as if the line had
// failed on its last metre, and the terminal hangs up; the answer is nil then. Hanging up before it comes would leave
// open whether request or reversal is processed first.
func (p *Player) ask(ctx context.Context, s *story, r *Request, lose bool) (*Answer, error) {
	line, err := p.connect(ctx, r.line)
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

// connect returns a line, dialling when there is none.
func (p *Player) connect(ctx context.Context, name string) (*Line, error) {
	if line := p.lines[name]; line != nil {
		select {
		case <-line.Lost():
			delete(p.lines, name)
		default:
			return line, nil
		}
	}
	cfg := p.Line
	if name != "" {
		var known bool
		if cfg, known = p.Lines[name]; !known {
			return nil, fmt.Errorf("nobody has given the address of the line %q", name)
		}
	}
	line, err := DialLine(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if p.lines == nil {
		p.lines = map[string]*Line{}
	}
	p.lines[name] = line
	return line, nil
}

func (p *Player) hangUp() {
	for _, line := range p.lines {
		line.Close()
	}
	clear(p.lines)
}

func (p *Player) say(format string, args ...any) {
	fmt.Fprintf(p.Out, "   %s\n", strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

var numbered = regexp.MustCompile(`\{\{(serial|imei) (\d{1,3})\}\}`)

// expand fills {{run}}, {{serial N}} and {{imei N}} with numbers of this run, and {{name}} with what was learnt.
func (p *Player) expand(text string) string {
	text = fill(text, p.run)
	for name, value := range p.learnt {
		text = strings.ReplaceAll(text, "{{"+name+"}}", value)
	}
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
