package till

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"huanxin/internal/money"
)

// Script is a sequence of cases that a terminal script file describes. config/simulator/demo.yaml is the manual by
// example.
type Script struct {
	Name string `yaml:"name"`
	// Terminals are the tills the cases use, by the name they call them.
	Terminals map[string]Till `yaml:"terminals"`
	// Cards are the payment cards and codes, by name.
	Cards map[string]Card `yaml:"cards"`
	// Positions are places, by name.
	Positions map[string]Position `yaml:"positions"`
	Cases     []Case              `yaml:"cases"`
}

// Till is a terminal as the script names it.
type Till struct {
	Terminal string `yaml:"terminal"` // DE41
	Merchant string `yaml:"merchant"` // DE42
	Name     string `yaml:"name"`     // of the merchant, for the receipt
	Batch    uint32 `yaml:"batch"`    // the batch it starts in; default 1
	Line     string `yaml:"line"`     // of another port than the others', by a name of this run (Player.Lines)
}

// Case is one story. Its steps run in order; what one learns (entitlement, code, hold, payable) the next uses.
type Case struct {
	Name string `yaml:"name"`
	// Till is the terminal of the case; Person tells buyers apart: the same number is the same person within one run.
	Till   string `yaml:"till"`
	Person int    `yaml:"person"`
	Steps  []Step `yaml:"steps"`
}

// Step is one thing done: exactly one of the fields but Expect and Within is set.
type Step struct {
	SignOn   *struct{}     `yaml:"sign_on"`
	SignOff  *struct{}     `yaml:"sign_off"`
	Echo     *struct{}     `yaml:"echo"`
	Report   *ReportStep   `yaml:"report"`
	Settle   *SettleStep   `yaml:"settle"`
	Upload   *UploadStep   `yaml:"upload"`
	Claim    *ClaimStep    `yaml:"claim"`
	Show     *ShowStep     `yaml:"show"` // the buyer's phone shows a code
	Reserve  *ReserveStep  `yaml:"reserve"`
	Cancel   *CancelStep   `yaml:"cancel"`
	Sale     *SaleStep     `yaml:"sale"`
	Preauth  *PreauthStep  `yaml:"preauth"`
	Void     *BackStep     `yaml:"void"`
	Refund   *BackStep     `yaml:"refund"`
	Reversal *ReversalStep `yaml:"reversal"`
	Status   *StatusStep   `yaml:"status"`
	Balance  *BalanceStep  `yaml:"balance"`

	// Of an online shop or QR acquirer, over HTTP.
	Order    *OrderStep    `yaml:"order"`
	Commit   *CommitStep   `yaml:"commit"`
	Drop     *struct{}     `yaml:"drop"` // gives the reservation back
	GiveBack *GiveBackStep `yaml:"give_back"`
	LookUp   *struct{}     `yaml:"look_up"`

	Operator *OperatorStep `yaml:"operator"` // somebody types a command
	Wait     time.Duration `yaml:"wait"`
	Until    string        `yaml:"until"` // waits for an instant, RFC 3339, such as one that was learnt

	Expect Expect `yaml:"expect"`
	// Within repeats a step until its answer is as expected, so long: status, look_up, operator, settle.
	Within time.Duration `yaml:"within"`
}

// ClaimStep claims an entitlement for the case's person, or for Person.
type ClaimStep struct {
	Category string `yaml:"category"`
	City     string `yaml:"city"`
	Channel  string `yaml:"channel"` // default store
	Person   int    `yaml:"person"`
}

// ShowStep shows a code for the entitlement claimed last by the person.
type ShowStep struct {
	At     string `yaml:"at"` // a position of the script; empty: the phone gives none
	Person int    `yaml:"person"`
}

// ReserveStep asks for a hold.
type ReserveStep struct {
	Code       string            `yaml:"code"` // default: the code shown last
	Barcode    string            `yaml:"barcode"`
	Product    string            `yaml:"product"` // name, for the receipt
	Serial     string            `yaml:"serial"`  // may hold {{run}}
	Price      Yuan              `yaml:"price"`
	OldItem    string            `yaml:"old_item"`
	Delivery   string            `yaml:"delivery"`
	Position   string            `yaml:"position"` // text of S5
	Components []map[string]Yuan `yaml:"components"`
	Again      bool              `yaml:"again"` // the same STAN as the request before
	Batch      uint32            `yaml:"batch"` // instead of the open one
	LoseAnswer bool              `yaml:"lose_answer"`
}

// CancelStep gives the hold back.
type CancelStep struct{}

// SaleStep pays. Without Amount it is the payable of the hold; Ordinary sells without a hold.
type SaleStep struct {
	Card       string `yaml:"card"`
	Amount     Yuan   `yaml:"amount"`
	Ordinary   bool   `yaml:"ordinary"`
	Again      bool   `yaml:"again"` // the same STAN as the request before
	Batch      uint32 `yaml:"batch"`
	LoseAnswer bool   `yaml:"lose_answer"`
	PIN        string `yaml:"pin"`  // typed by the payer
	Flip       bool   `yaml:"flip"` // one bit of the message is changed under way
	// As is a name by which later cases void or refund this sale.
	As string `yaml:"as"`
}

// PreauthStep is a message of the pre-authorisation family. The later ones are about the first of the case.
type PreauthStep struct {
	Kind   string `yaml:"kind"` // hold (default), void, completion, completion-void
	Card   string `yaml:"card"`
	Amount Yuan   `yaml:"amount"`
}

// BackStep is a void or a refund: of the case's last sale, or of the one called Of. Without Amount it is the whole.
type BackStep struct {
	Of         string `yaml:"of"`
	Card       string `yaml:"card"` // another than was paid with
	Amount     Yuan   `yaml:"amount"`
	Activated  bool   `yaml:"activated"` // refund: the goods were activated
	Again      bool   `yaml:"again"`     // the same STAN as the request before
	LoseAnswer bool   `yaml:"lose_answer"`
}

// ReversalStep sends 0400 for the last request of the till. Unknown names a STAN that was never used.
type ReversalStep struct {
	Cause   string `yaml:"cause"` // DE39; default 98
	Unknown bool   `yaml:"unknown"`
}

// StatusStep asks how a purchase stands, and prints its slip again.
type StatusStep struct {
	By string `yaml:"by"` // last (default: the terminal's last), hold, rrn, original
}

// BalanceStep asks for the balance of a card.
type BalanceStep struct {
	Card string `yaml:"card"`
}

// ReportStep is what a till tells: script, certificate or state (default).
type ReportStep struct {
	Kind  string `yaml:"kind"`
	Codes string `yaml:"codes"` // of its state, DE62
}

// SettleStep closes the batch.
type SettleStep struct {
	// Off is added to the debit total on purpose.
	Off Yuan `yaml:"off"`
}

// UploadStep sends the records of the batch that was closed last, and its end.
type UploadStep struct {
	// Forget leaves the first so many records out; Off is added to the amount of the last one.
	Forget int  `yaml:"forget"`
	Off    Yuan `yaml:"off"`
}

// OrderStep reserves over HTTP.
type OrderStep struct {
	Merchant string `yaml:"merchant"`
	Channel  string `yaml:"channel"` // default online
	Barcode  string `yaml:"barcode"`
	Product  string `yaml:"product"` // name, for the receipt
	Serial   string `yaml:"serial"`
	Price    Yuan   `yaml:"price"`
	Delivery string `yaml:"delivery"`
	OldItem  string `yaml:"old_item"`
	ByCode   bool   `yaml:"by_code"` // by the code shown last instead of the entitlement
	Again    bool   `yaml:"again"`   // the same idempotency key as the request before
}

// CommitStep pays over HTTP: by the buyer's wallet, or the shop says that it has collected the money itself.
type CommitStep struct {
	Wallet   string `yaml:"wallet"`   // a card of the script: its payment code
	External string `yaml:"external"` // reference of the shop's own payment
	Amount   Yuan   `yaml:"amount"`   // instead of the payable
	Again    bool   `yaml:"again"`
}

// GiveBackStep refunds over HTTP.
type GiveBackStep struct {
	Amount    Yuan   `yaml:"amount"` // to the payer; default all that is left
	Activated bool   `yaml:"activated"`
	Reference string `yaml:"reference"` // of the shop's own refund
	Again     bool   `yaml:"again"`
}

// OperatorStep runs a program as an operator would type it. Texts may hold {{name}} of what was learnt before.
type OperatorStep struct {
	Program string   `yaml:"program"` // default huanxin
	Args    []string `yaml:"args"`
	// Says must each stand in what it prints; Fails demands an exit code other than 0.
	Says  []string `yaml:"says"`
	Fails bool     `yaml:"fails"`
	// Learn names what is found by a regular expression with one group.
	Learn map[string]string `yaml:"learn"`
	Quiet bool              `yaml:"quiet"` // print the command only
	// Meanwhile sells in the background from before the command until after it.
	Meanwhile *Traffic `yaml:"meanwhile"`
}

// Traffic is ordinary sales at another till.
type Traffic struct {
	Till   string `yaml:"till"`
	Card   string `yaml:"card"`
	Amount Yuan   `yaml:"amount"`
	Sales  int    `yaml:"sales"`
}

// Expect is what the answer must be. What is not named is not checked.
type Expect struct {
	RC      string   `yaml:"rc"`     // DE39; several separated by |
	Status  int      `yaml:"status"` // of an HTTP answer
	Subsidy *Yuan    `yaml:"subsidy"`
	Payable *Yuan    `yaml:"payable"`
	Reasons []string `yaml:"reasons"` // exactly these, any order; [] demands none
	State   string   `yaml:"state"`   // of the entitlement or purchase

	Equal    *bool `yaml:"equal"`    // settlement: the totals agree
	Returned *Yuan `yaml:"returned"` // refund: subsidy given back
	Refunded *Yuan `yaml:"refunded"` // status: given back to the payer so far
}

// Yuan is an amount written in yuan, such as 5999.00.
type Yuan money.Amount

// UnmarshalYAML reads the amount from the text as written, never through a float.
func (y *Yuan) UnmarshalYAML(node *yaml.Node) error {
	amount, err := money.ParseYuan(node.Value)
	if err != nil {
		return fmt.Errorf("line %d: amount %q: %w", node.Line, node.Value, err)
	}
	*y = Yuan(amount)
	return nil
}

// ErrScript is returned for a script that cannot be played.
var ErrScript = errors.New("script")

// ParseScript reads a script and checks that its names mean something.
func ParseScript(text []byte) (*Script, error) {
	var s Script
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrScript, err)
	}
	if len(s.Cases) == 0 {
		return nil, fmt.Errorf("%w: no cases", ErrScript)
	}
	for i := range s.Cases {
		if err := s.check(&s.Cases[i]); err != nil {
			return nil, fmt.Errorf("%w: case %d %q: %w", ErrScript, i+1, s.Cases[i].Name, err)
		}
	}
	for name, till := range s.Terminals {
		if len(till.Terminal) != 8 || len(till.Merchant) != 15 {
			return nil, fmt.Errorf("%w: terminal %q: want 8 and 15 characters", ErrScript, name)
		}
	}
	return &s, nil
}

func (s *Script) check(c *Case) error {
	if _, ok := s.Terminals[c.Till]; !ok {
		return fmt.Errorf("unknown till %q", c.Till)
	}
	if len(c.Steps) == 0 {
		return errors.New("no steps")
	}
	for i := range c.Steps {
		if err := s.checkStep(&c.Steps[i]); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return nil
}

func (s *Script) checkStep(step *Step) error {
	if n := step.count(); n != 1 {
		return fmt.Errorf("it does %d things, want one", n)
	}
	if step.Within != 0 && step.Status == nil && step.LookUp == nil && step.Operator == nil && step.Settle == nil {
		return errors.New("it may not be repeated within a time")
	}
	if step.Show != nil && step.Show.At != "" {
		if _, ok := s.Positions[step.Show.At]; !ok {
			return fmt.Errorf("unknown position %q", step.Show.At)
		}
	}
	if step.Reversal != nil && step.Reversal.Unknown && len(s.Cards) == 0 {
		return errors.New("an unknown sale needs a card")
	}
	for _, card := range step.cards() {
		if _, ok := s.Cards[card]; !ok {
			return fmt.Errorf("unknown card %q", card)
		}
	}
	if o := step.Operator; o != nil {
		return s.checkOperator(o)
	}
	for name, choice := range step.choices() {
		if !slices.Contains(choice[1:], choice[0]) {
			return fmt.Errorf("%s %q: want one of %q", name, choice[0], choice[1:])
		}
	}
	return nil
}

func (s *Script) checkOperator(o *OperatorStep) error {
	for name, pattern := range o.Learn {
		if found, err := regexp.Compile(pattern); err != nil || found.NumSubexp() != 1 {
			return fmt.Errorf("%q is learnt by %q: want a regular expression with one group", name, pattern)
		}
	}
	if o.Meanwhile == nil {
		return nil
	}
	if _, ok := s.Terminals[o.Meanwhile.Till]; !ok {
		return fmt.Errorf("unknown till %q", o.Meanwhile.Till)
	}
	if _, ok := s.Cards[o.Meanwhile.Card]; !ok {
		return fmt.Errorf("unknown card %q", o.Meanwhile.Card)
	}
	return nil
}

// cards are the names of cards that a step must have.
func (s *Step) cards() []string {
	switch {
	case s.Sale != nil:
		return []string{s.Sale.Card}
	case s.Preauth != nil:
		return []string{s.Preauth.Card}
	case s.Balance != nil:
		return []string{s.Balance.Card}
	case s.Void != nil && s.Void.Card != "":
		return []string{s.Void.Card}
	case s.Refund != nil && s.Refund.Card != "":
		return []string{s.Refund.Card}
	case s.Commit != nil && s.Commit.Wallet != "":
		return []string{s.Commit.Wallet}
	}
	return nil
}

// choices are the words of a step that must be one of a few: the word, then what it may be.
func (s *Step) choices() map[string][]string {
	switch {
	case s.Preauth != nil:
		return map[string][]string{"kind": {s.Preauth.Kind, "", "hold", "void", "completion", "completion-void"}}
	case s.Status != nil:
		return map[string][]string{"by": {s.Status.By, "", "last", "hold", "rrn", "original"}}
	case s.Report != nil:
		return map[string][]string{"kind": {s.Report.Kind, "", "state", "script", "certificate"}}
	}
	return nil
}

func (s *Step) count() int {
	n := 0
	for _, set := range []bool{
		s.SignOn != nil, s.SignOff != nil, s.Echo != nil, s.Report != nil, s.Settle != nil, s.Upload != nil, s.Claim != nil,
		s.Show != nil, s.Reserve != nil, s.Cancel != nil, s.Sale != nil, s.Preauth != nil, s.Void != nil, s.Refund != nil,
		s.Reversal != nil, s.Status != nil, s.Balance != nil, s.Order != nil, s.Commit != nil, s.Drop != nil, s.GiveBack != nil,
		s.LookUp != nil, s.Operator != nil, s.Wait != 0, s.Until != "",
	} {
		if set {
			n++
		}
	}
	return n
}

// terminalAnswer checks the answer of a terminal's request.
func (e *Expect) terminalAnswer(a *Answer) error {
	var errs []error
	if e.RC != "" && !among(a.Response, e.RC) {
		errs = append(errs, fmt.Errorf("answer code %s, expected %s", a.Response, e.RC))
	}
	for _, c := range []struct {
		what string
		got  money.Amount
		want *Yuan
	}{
		{"subsidy", a.Subsidy, e.Subsidy}, {"payable", a.Payable, e.Payable},
		{"returned subsidy", a.Returned, e.Returned}, {"refunded", a.Refunded, e.Refunded},
	} {
		if c.want != nil && c.got != money.Amount(*c.want) {
			errs = append(errs, fmt.Errorf("%s %s, expected %s", c.what, c.got, money.Amount(*c.want)))
		}
	}
	if e.State != "" && a.State != e.State {
		errs = append(errs, fmt.Errorf("purchase is %q, expected %q", a.State, e.State))
	}
	if equal := a.Recon == '1'; e.Equal != nil && equal != *e.Equal {
		errs = append(errs, fmt.Errorf("reconciliation code %q, expected equal %v", a.Recon, *e.Equal))
	}
	return errors.Join(append(errs, e.reasons(a.Reasons))...)
}

// apiAnswer checks the answer of the claiming interface.
func (e *Expect) apiAnswer(a *APIAnswer) error {
	var errs []error
	want := e.Status
	if want == 0 && e.Reasons == nil {
		if a.Status >= 300 {
			errs = append(errs, fmt.Errorf("status %d, expected success", a.Status))
		}
	} else if want != 0 && a.Status != want {
		errs = append(errs, fmt.Errorf("status %d, expected %d", a.Status, want))
	}
	if e.State != "" && a.State != e.State {
		errs = append(errs, fmt.Errorf("state is %q, expected %q", a.State, e.State))
	}
	for _, c := range []struct {
		what string
		got  money.Amount
		want *Yuan
	}{
		{"subsidy", a.Purchase.Subsidy, e.Subsidy}, {"payable", a.Purchase.Payable, e.Payable},
		{"returned subsidy", a.Refund.Returned, e.Returned}, {"refunded", a.Purchase.Payment.Refunded, e.Refunded},
	} {
		if c.want != nil && c.got != money.Amount(*c.want) {
			errs = append(errs, fmt.Errorf("%s %s, expected %s", c.what, c.got, money.Amount(*c.want)))
		}
	}
	return errors.Join(append(errs, e.reasons(a.Reasons))...)
}

func (e *Expect) reasons(got []string) error {
	if e.Reasons == nil {
		return nil
	}
	missing, extra := difference(e.Reasons, got), difference(got, e.Reasons)
	if len(missing)+len(extra) == 0 {
		return nil
	}
	return fmt.Errorf("reasons [%s], expected [%s]", strings.Join(got, " "), strings.Join(e.Reasons, " "))
}

// difference is what a holds and b does not, as multisets.
func difference(a, b []string) []string {
	left := make(map[string]int)
	for _, s := range b {
		left[s]++
	}
	var out []string
	for _, s := range a {
		if left[s]--; left[s] < 0 {
			out = append(out, s)
		}
	}
	return out
}

func among(code, list string) bool {
	for one := range strings.SplitSeq(list, "|") {
		if code == one {
			return true
		}
	}
	return false
}

// fill puts the run's number where a text says {{run}}.
func fill(text string, run uint64) string {
	return strings.ReplaceAll(text, "{{run}}", strconv.FormatUint(run, 10))
}
