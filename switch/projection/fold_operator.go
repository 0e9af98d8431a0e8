package projection

import (
	"errors"
	"fmt"
	"time"

	"huanxin/switch/event"
)

func (f *fold) applyOperator(ev *event.Event) error {
	switch b := ev.Body.(type) {
	case *event.Event_MerchantSet:
		f.act("merchant", b.MerchantSet.By, 0, "merchant="+first(b.MerchantSet.Columns))
	case *event.Event_TerminalSet:
		f.act("terminal", b.TerminalSet.By, 0, "terminal="+first(b.TerminalSet.Columns))
	case *event.Event_ProductSet:
		f.act("product", b.ProductSet.By, 0, "product="+first(b.ProductSet.Columns))
	case *event.Event_PauseSet:
		return f.pauseSet(b.PauseSet)
	case *event.Event_PauseLifted:
		return f.pauseLifted(b.PauseLifted)
	case *event.Event_KillSwitchSet:
		f.killSwitchSet(b.KillSwitchSet)
	case *event.Event_HoldReleaseProposed:
		m := b.HoldReleaseProposed
		f.trail(m.Purchase)
		f.act("hold-release-proposed", m.By, m.Purchase, fmt.Sprintf("purchase=%d", m.Purchase))
	case *event.Event_Supplemented:
		return f.supplemented(b.Supplemented)
	case *event.Event_KeyActRecorded:
		m := b.KeyActRecorded
		f.act("key-"+m.Act, m.By, 0, fmt.Sprintf("key-act=%d label=%s generation=%d purpose=%s algorithm=%s kcv=%s acted-at=%s",
			m.Number, m.Label, m.Generation, m.Purpose, m.Algorithm, m.Kcv, Instant(m.ActedAt).Time().Format(time.RFC3339)))
	}
	return nil
}

// act enters what a person has ordered; without an authority nobody has. what never holds personal or card data.
func (f *fold) act(kind string, by *event.Authority, purchase uint64, what string) {
	if by == nil {
		return
	}
	f.out.Acts = append(f.out.Acts, OperatorAct{
		Seq: f.seq, Kind: kind, Actor: text(by.Actor), Second: text(by.Second), Reason: text(by.Reason),
		Document: text(by.Document), Account: text(by.Account), What: text(what), Purchase: purchase, ActedAt: f.at,
	})
}

// byOperator is the authority of an event that has no field for one. What the programme's own plan and files order names
// neither a document nor an account.
func byOperator(actor, reason, document, account string) *event.Authority {
	if document == "" && account == "" {
		return nil
	}
	return &event.Authority{Actor: actor, Reason: reason, Document: document, Account: account}
}

// first is the id of a registry row.
func first(columns []string) string {
	if len(columns) == 0 {
		return ""
	}
	return columns[0]
}

func (f *fold) pauseSet(m *event.PauseSet) error {
	if f.pauses[m.Pause] != nil {
		return fmt.Errorf("pause %d is set twice", m.Pause)
	}
	p := &Pause{
		ID: m.Pause, City: text(m.City), Category: text(m.Category), Channel: text(m.Channel), FromAt: Instant(m.FromAt),
		SetAt: f.at, SetBy: text(m.By.GetActor()), Reason: text(m.By.GetReason()), Document: text(m.By.GetDocument()), Seq: f.seq,
	}
	if p.FromAt == 0 {
		p.FromAt = f.at
	}
	f.pauses[p.ID], f.touched.pauses[p.ID] = p, p
	f.act("pause", m.By, 0, p.scope())
	return nil
}

func (f *fold) pauseLifted(m *event.PauseLifted) error {
	p := f.pauses[m.Pause]
	if p == nil {
		return fmt.Errorf("pause %d does not exist", m.Pause)
	}
	p.ToAt, p.LiftedAt, p.LiftedBy = Instant(m.FromAt), f.at, text(m.By.GetActor())
	p.LiftedReason, p.LiftedDocument, p.Seq = text(m.By.GetReason()), text(m.By.GetDocument()), f.seq
	f.touched.pauses[p.ID] = p
	f.act("resume", m.By, 0, p.scope())
	return nil
}

func (p *Pause) scope() string {
	return fmt.Sprintf("pause=%d city=%s category=%s channel=%s", p.ID, p.City, p.Category, p.Channel)
}

func (f *fold) killSwitchSet(m *event.KillSwitchSet) {
	k := &KillSwitch{
		Merchant: text(m.Merchant), Terminal: text(m.Terminal), Stopped: m.On, ChangedAt: f.at,
		ChangedBy: text(m.By.GetActor()), Reason: text(m.By.GetReason()), Document: text(m.By.GetDocument()), Seq: f.seq,
	}
	f.touched.kills[k.Merchant+"/"+k.Terminal] = k
	kind := "stop"
	if !m.On {
		kind = "go"
	}
	f.act(kind, m.By, 0, fmt.Sprintf("merchant=%s terminal=%s", k.Merchant, k.Terminal))
}

// supplemented gives a captured purchase the subsidy that it should have had. The claim's own money comes first, as in a
// reserve; what is taken is spent at once.
func (f *fold) supplemented(m *event.Supplemented) error {
	facts := m.Facts
	if facts == nil {
		return errors.New("a supplement without facts")
	}
	p, err := f.purchase(facts.Purchase, Captured)
	if err != nil {
		return err
	}
	if !p.Ordinary {
		return fmt.Errorf("purchase %d has a subsidy already", p.ID)
	}
	e, err := f.entitlement(facts.Entitlement, EntitlementClaimed)
	if err != nil {
		return err
	}
	p.subsidise(facts, f.at)
	p.Ordinary, p.Manual = false, true
	f.hold(p, HoldSpent, "")
	f.out.Supplements = append(f.out.Supplements, Supplement{
		Seq: f.seq, Month: f.month.date, Purchase: p.ID, Entitlement: e.ID, City: p.City, Merchant: p.Merchant,
		Category: p.Category, Leaf: p.Leaf, Price: p.Price, Amount: p.Amount, Subsidy: p.Subsidy, Funders: p.Funders,
		FunderParts: p.FunderParts, CaseID: text(m.CaseId), Evidence: text(m.Evidence), Actor: text(m.By.GetActor()),
		Second: text(m.By.GetSecond()), Reason: text(m.By.GetReason()), Document: text(m.By.GetDocument()), SupplementedAt: f.at,
	})
	f.act("supplement", m.By, p.ID, fmt.Sprintf("purchase=%d entitlement=%d subsidy=%s case=%s", p.ID, e.ID, p.Subsidy, m.CaseId))

	claim := e.Reserved
	if claim < p.FromClaim {
		return fmt.Errorf("purchase %d takes %s from a claim that holds %s", p.ID, p.FromClaim, claim)
	}
	e.State, e.Purchase, e.Reserved = EntitlementUsed, p.ID, 0
	if p.FromClaim > 0 { // in one movement: a closed leaf keeps what is spent on it
		return f.shift(p.Leaf, move{kind: "supplement", held: -claim, spent: p.Subsidy, purchase: p.ID, entitlement: e.ID})
	}
	if err := f.shift(e.Leaf, move{kind: "supplement", held: -claim, purchase: p.ID, entitlement: e.ID}); err != nil {
		return err
	}
	return f.shift(p.Leaf, move{kind: "supplement", spent: p.Subsidy, purchase: p.ID, entitlement: e.ID})
}

// texts is list made fit for a database, never nil.
func texts(list []string) []string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		out = append(out, text(s))
	}
	return out
}
