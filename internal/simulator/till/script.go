package till

import (
	"bytes"
	"errors"
	"fmt"
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
}

// Case is one story. Its steps run in order; what one learns (entitlement, code, hold, payable) the next uses.
type Case struct {
	Name string `yaml:"name"`
	// Till is the terminal of the case; Person tells buyers apart: the same number is the same person within one run.
	Till   string `yaml:"till"`
	Person int    `yaml:"person"`
	Steps  []Step `yaml:"steps"`
}

// Step is one thing done: exactly one of the fields but Expect and As is set.
type Step struct {
	SignOn   *struct{}     `yaml:"sign_on"`
	SignOff  *struct{}     `yaml:"sign_off"`
	Echo     *struct{}     `yaml:"echo"`
	Claim    *ClaimStep    `yaml:"claim"`
	Show     *ShowStep     `yaml:"show"` // the buyer's phone shows a code
	Reserve  *ReserveStep  `yaml:"reserve"`
	Cancel   *CancelStep   `yaml:"cancel"`
	Sale     *SaleStep     `yaml:"sale"`
	Reversal *ReversalStep `yaml:"reversal"`
	Wait     time.Duration `yaml:"wait"`

	Expect Expect `yaml:"expect"`
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
}

// ReversalStep sends 0400 for the last request of the till. Unknown names a STAN that was never used.
type ReversalStep struct {
	Cause   string `yaml:"cause"` // DE39; default 98
	Unknown bool   `yaml:"unknown"`
}

// Expect is what the answer must be. What is not named is not checked.
type Expect struct {
	RC      string   `yaml:"rc"`     // DE39; several separated by |
	Status  int      `yaml:"status"` // of an HTTP answer
	Subsidy *Yuan    `yaml:"subsidy"`
	Payable *Yuan    `yaml:"payable"`
	Reasons []string `yaml:"reasons"` // exactly these, any order; [] demands none
	State   string   `yaml:"state"`   // of the entitlement
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
		step := &c.Steps[i]
		if n := step.count(); n != 1 {
			return fmt.Errorf("step %d does %d things, want one", i+1, n)
		}
		if step.Show != nil && step.Show.At != "" {
			if _, ok := s.Positions[step.Show.At]; !ok {
				return fmt.Errorf("step %d: unknown position %q", i+1, step.Show.At)
			}
		}
		if step.Reversal != nil && step.Reversal.Unknown && len(s.Cards) == 0 {
			return fmt.Errorf("step %d: an unknown sale needs a card", i+1)
		}
		if step.Sale != nil {
			if _, ok := s.Cards[step.Sale.Card]; !ok {
				return fmt.Errorf("step %d: unknown card %q", i+1, step.Sale.Card)
			}
		}
	}
	return nil
}

func (s *Step) count() int {
	n := 0
	for _, set := range []bool{
		s.SignOn != nil, s.SignOff != nil, s.Echo != nil, s.Claim != nil, s.Show != nil, s.Reserve != nil, s.Cancel != nil,
		s.Sale != nil, s.Reversal != nil, s.Wait != 0,
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
	if e.Subsidy != nil && a.Subsidy != money.Amount(*e.Subsidy) {
		errs = append(errs, fmt.Errorf("subsidy %s, expected %s", a.Subsidy, money.Amount(*e.Subsidy)))
	}
	if e.Payable != nil && a.Payable != money.Amount(*e.Payable) {
		errs = append(errs, fmt.Errorf("payable %s, expected %s", a.Payable, money.Amount(*e.Payable)))
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
		errs = append(errs, fmt.Errorf("entitlement is %q, expected %q", a.State, e.State))
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
