package projection

import (
	"fmt"
	"slices"

	"huanxin/internal/money"
	"huanxin/switch/event"
)

func (f *fold) applyEntitlement(ev *event.Event) error {
	switch b := ev.Body.(type) {
	case *event.Event_EntitlementClaimed:
		return f.claimed(b.EntitlementClaimed)
	case *event.Event_EntitlementExpired:
		return f.entitlementEnded(b.EntitlementExpired.Entitlement, b.EntitlementExpired.Released, EntitlementExpired)
	case *event.Event_EntitlementReturned:
		return f.entitlementEnded(b.EntitlementReturned.Entitlement, b.EntitlementReturned.Released, EntitlementReturned)
	case *event.Event_EntitlementRestored:
		return f.entitlementRestored(b.EntitlementRestored)
	}
	return nil
}

func (f *fold) entitlement(id uint64, from ...string) (*Entitlement, error) {
	e := f.entitlements.touch(id)
	if e == nil {
		return nil, fmt.Errorf("entitlement %d does not exist", id)
	}
	if !slices.Contains(from, e.State) {
		return nil, fmt.Errorf("entitlement %d is %s", id, e.State)
	}
	e.Seq, e.ChangedAt = f.seq, f.at
	return e, nil
}

func (f *fold) claimed(m *event.EntitlementClaimed) error {
	if f.entitlements.has(m.Entitlement) {
		return fmt.Errorf("entitlement %d is claimed twice", m.Entitlement)
	}
	e := f.entitlements.add(Entitlement{
		ID: m.Entitlement, Month: f.month.date, State: EntitlementClaimed, Person: octets(m.Person), Category: text(m.Category),
		City: text(m.City), Channel: text(m.Channel), IDKind: text(m.IdKind), PolicyVersion: text(m.PolicyVersion),
		Reserved: money.Amount(m.Reserved), Leaf: text(m.Leaf),
		ClaimedAt: f.at, ExpiresAt: Instant(m.ExpiresAt), ChangedAt: f.at, Seq: f.seq,
	})
	return f.shift(e.Leaf, move{kind: "claim", held: e.Reserved, entitlement: e.ID})
}

func (f *fold) entitlementEnded(id uint64, released int64, state string) error {
	e, err := f.entitlement(id, EntitlementClaimed)
	if err != nil {
		return err
	}
	if e.Reserved != money.Amount(released) {
		return fmt.Errorf("entitlement %d gives back %d fen, it holds %d", id, released, e.Reserved)
	}
	e.State, e.Reserved = state, 0
	return f.shift(e.Leaf, move{kind: state, held: -money.Amount(released), entitlement: id})
}

// entitlementRestored: a whole refund had given the money back at once; the person may use the entitlement from now on.
func (f *fold) entitlementRestored(m *event.EntitlementRestored) error {
	p, err := f.purchase(m.Purchase, Refunded)
	if err != nil {
		return err
	}
	e, err := f.entitlement(m.Entitlement, EntitlementUsed)
	if err != nil {
		return err
	}
	if e.Purchase != p.ID {
		return fmt.Errorf("entitlement %d is used by purchase %d, not by %d", e.ID, e.Purchase, p.ID)
	}
	e.State, e.Purchase, p.RestoredAt = EntitlementClaimed, 0, f.at
	return nil
}
