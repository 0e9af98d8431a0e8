package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"

	"huanxin/internal/money"
	"huanxin/subsidy/label"
	"huanxin/subsidy/registry"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/trail"
)

// OperateRequest is one act of an operator. With DryRun nothing happens: the answer shows the events that would.
type OperateRequest struct {
	By       string `json:"by"`
	Reason   string `json:"reason"`
	Document string `json:"document,omitempty"` // may be absent for retry and resolve
	DryRun   bool   `json:"dry_run,omitempty"`
	Act      Act    `json:"act"`
}

// Act is what is done: exactly one of them is set.
type Act struct {
	ApplyPolicy    *ApplyPolicy    `json:"apply_policy,omitempty"`
	ReleaseBudget  *BudgetAmount   `json:"release_budget,omitempty"`
	TransferBudget *BudgetTransfer `json:"transfer_budget,omitempty"`
	LowerBudget    *BudgetAmount   `json:"lower_budget,omitempty"`
	Pause          *Pausing        `json:"pause,omitempty"`
	Resume         *Pausing        `json:"resume,omitempty"`
	Stop           *Party          `json:"stop,omitempty"`  // the kill switch
	Start          *Party          `json:"start,omitempty"` // and its release
	ChangeRows     *ChangeRows     `json:"change_rows,omitempty"`
	SetState       *SetState       `json:"set_state,omitempty"`
	ReleaseHold    *PurchaseID     `json:"release_hold,omitempty"` // first proposes; the same by somebody else does it
	Supplement     *Supplement     `json:"supplement,omitempty"`
	RetryItem      *ItemID         `json:"retry_item,omitempty"`
	ResolveItem    *Resolution     `json:"resolve_item,omitempty"`
}

// The acts; package engine says what each does.
type (
	// ApplyPolicy carries the rule files of a bundle, by name (base64 in JSON).
	ApplyPolicy struct {
		Files map[string][]byte `json:"files"`
		// InForce is the digest of the rules in force that the operator has seen the difference to, "" = none were. Others
		// in force by then are a 409.
		InForce *string `json:"in_force,omitempty"`
	}
	// BudgetAmount is an amount at a node of the budget; path "" is the root.
	BudgetAmount struct {
		Path   string       `json:"path"`
		Amount money.Amount `json:"amount_fen"`
	}
	BudgetTransfer struct {
		From   string       `json:"from"`
		To     string       `json:"to"`
		Amount money.Amount `json:"amount_fen"`
	}
	// Pausing names a scope; what is empty means all. From "" is now.
	Pausing struct {
		City     string        `json:"city,omitempty"`
		Category string        `json:"category,omitempty"`
		Channel  string        `json:"channel,omitempty"`
		From     trail.Instant `json:"from,omitempty"`
	}
	// Party is a merchant or a terminal.
	Party struct {
		Merchant string `json:"merchant,omitempty"`
		Terminal string `json:"terminal,omitempty"`
	}
	// ChangeRows carries rows by the columns of the tables, at most 1000.
	ChangeRows struct {
		Merchants  [][]string `json:"merchants,omitempty"`
		Terminals  [][]string `json:"terminals,omitempty"`
		AddOnly    bool       `json:"add_only,omitempty"`
		ChangeOnly bool       `json:"change_only,omitempty"`
		// Expected are rows as the operator has read them, at most 20 of each. When one is not so any more, nothing changes: 409.
		Expected *Registry `json:"expected,omitempty"`
	}
	SetState struct {
		Merchant string `json:"merchant,omitempty"`
		Terminal string `json:"terminal,omitempty"`
		State    string `json:"state"` // active, suspended
	}
	PurchaseID struct {
		Purchase uint64 `json:"purchase"`
	}
	// Supplement carries the serial in clear: it is hashed here, where the keys are, and neither logged nor kept.
	Supplement struct {
		Purchase    uint64 `json:"purchase"`
		Entitlement uint64 `json:"entitlement"`
		Barcode     string `json:"barcode"`
		Serial      string `json:"serial,omitempty"`
		OldItem     string `json:"old_item,omitempty"`
		CaseID      string `json:"case_id"`
		Evidence    string `json:"evidence"`
	}
	ItemID struct {
		ID string `json:"id"`
	}
	Resolution struct {
		ID      string `json:"id"`
		Outcome string `json:"outcome,omitempty"`
	}
)

// OperateAnswer says what an act has done or, refused or with a dry run, what stands against it or would happen. The events
// of a dry run have no number and time yet.
type OperateAnswer struct {
	Done     bool              `json:"done"`
	DryRun   bool              `json:"dry_run,omitempty"`
	Problems []string          `json:"problems"`
	Events   []json.RawMessage `json:"events"` // as huanxin journal cat prints them
}

// Hasher makes the keyed hash of a serial number.
type Hasher interface {
	Serial([]byte) [16]byte
}

var errOneAct = errors.New("act: want exactly one")

// operate makes the engine's input of a request, but for its token and account.
func (r *OperateRequest) operate(h Hasher) (*engine.Operate, error) {
	act, err := r.Act.engine(h)
	if err != nil {
		return nil, err
	}
	in := &engine.Operate{DryRun: r.DryRun, Act: act}
	for _, text := range []struct {
		name, value string
		into        *string
	}{{"by", r.By, &in.By.Actor}, {"reason", r.Reason, &in.By.Reason}, {"document", r.Document, &in.By.Document}} {
		if *text.into, err = written(text.name, text.value); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// longestText bounds what people write, in bytes. The engine has narrower bounds of its own.
const longestText = 1000

// written is a text that goes to the journal in clear and stays there: one line, and no number of a person in it. It is
// refused and never altered, since a document number with stars in it proves nothing.
func written(name, text string) (string, error) {
	if len(text) > longestText || !utf8.ValidString(text) {
		return "", fmt.Errorf("%s: want at most %d bytes of UTF-8", name, longestText)
	}
	for _, r := range text {
		if unicode.IsControl(r) {
			return "", fmt.Errorf("%s: want one line without control characters", name)
		}
	}
	if found := label.FindPersonal(text); found != label.NothingPersonal {
		return "", fmt.Errorf("%s: 含有疑似%s，不予记录，请去掉后重试 – what looks like %s stands in it and would stay in the journal; leave it out",
			name, personalNames[found].zh, personalNames[found].en)
	}
	return text, nil
}

var personalNames = map[label.Personal]struct{ zh, en string }{
	label.CardNumber:     {"银行卡号", "a card number"},
	label.IdentityNumber: {"身份证号", "an identity number"},
	label.MobileNumber:   {"手机号码", "a mobile number"},
}

// choice is one act, if it is set.
type choice struct {
	set bool
	act func() any
}

// engine turns the act that is set into the engine's type.
func (a *Act) engine(h Hasher) (act any, err error) {
	if a.Supplement != nil {
		if a.Supplement.CaseID, err = written("case_id", a.Supplement.CaseID); err != nil {
			return nil, err
		}
		if a.Supplement.Evidence, err = written("evidence", a.Supplement.Evidence); err != nil {
			return nil, err
		}
	}
	for _, c := range append(a.programmeActs(h), a.purchaseActs(h)...) {
		if !c.set {
			continue
		}
		if act != nil {
			return nil, errOneAct
		}
		act = c.act()
	}
	if act == nil {
		return nil, errOneAct
	}
	return act, nil
}

func (a *Act) programmeActs(h Hasher) []choice {
	return []choice{
		{a.ApplyPolicy != nil, func() any { return engine.ApplyPolicy{Files: a.ApplyPolicy.Files} }},
		{a.ReleaseBudget != nil, func() any { return engine.ReleaseBudget(*a.ReleaseBudget) }},
		{a.TransferBudget != nil, func() any { return engine.TransferBudget(*a.TransferBudget) }},
		{a.LowerBudget != nil, func() any { return engine.LowerBudget(*a.LowerBudget) }},
		{a.Pause != nil, func() any { return engine.Pause(a.Pause.scope()) }},
		{a.Resume != nil, func() any { return engine.Resume(a.Resume.scope()) }},
		{a.Stop != nil, func() any { return engine.Kill{Merchant: a.Stop.Merchant, Terminal: a.Stop.Terminal} }},
		{a.Start != nil, func() any {
			return engine.Kill{Merchant: a.Start.Merchant, Terminal: a.Start.Terminal, Off: true}
		}},
		{a.ChangeRows != nil, func() any { return a.ChangeRows.engine(h) }},
		{a.SetState != nil, func() any { return engine.SetState(*a.SetState) }},
	}
}

func (a *Act) purchaseActs(h Hasher) []choice {
	return []choice{
		{a.ReleaseHold != nil, func() any { return engine.ReleaseHold(*a.ReleaseHold) }},
		{a.Supplement != nil, func() any { return a.Supplement.engine(h) }},
		{a.RetryItem != nil, func() any { return engine.RetryItem(*a.RetryItem) }},
		{a.ResolveItem != nil, func() any { return engine.ResolveItem(*a.ResolveItem) }},
	}
}

func (c *ChangeRows) engine(h Hasher) engine.ChangeRows {
	registry.HashSerials(c.Terminals, h.Serial)
	return engine.ChangeRows{Merchants: c.Merchants, Terminals: c.Terminals, AddOnly: c.AddOnly, ChangeOnly: c.ChangeOnly}
}

func (p *Pausing) scope() engine.Pause {
	return engine.Pause{City: p.City, Category: p.Category, Channel: p.Channel, FromAt: int64(p.From)}
}

func (s *Supplement) engine(h Hasher) engine.Supplement {
	act := engine.Supplement{
		Purchase: s.Purchase, Entitlement: s.Entitlement, Barcode: s.Barcode, OldItem: s.OldItem, CaseID: s.CaseID, Evidence: s.Evidence,
	}
	if s.Serial != "" {
		serial := []byte(s.Serial)
		act.SerialMask = label.MaskSerial(serial)
		act.SerialOK, act.SerialIMEI = label.SerialForm(serial)
		act.Serial = engine.Hash(h.Serial(label.FoldSerial(serial)))
	}
	return act
}

// answer makes the wire's form of what the engine said.
func answer(r *engine.AdminReply, dryRun bool) (*OperateAnswer, error) {
	a := &OperateAnswer{Done: len(r.Problems) == 0 && !dryRun, DryRun: dryRun, Problems: r.Problems,
		Events: []json.RawMessage{}}
	if a.Problems == nil {
		a.Problems = []string{}
	}
	for _, ev := range r.Events {
		line, err := eventLine(ev)
		if err != nil {
			return nil, err
		}
		a.Events = append(a.Events, line)
	}
	return a, nil
}

// eventLine writes an event; its position in the journal is not known yet.
func eventLine(ev *event.Event) (json.RawMessage, error) { return trail.AppendLine(nil, 0, ev) }
