package projection

import (
	"fmt"
	"strings"

	"huanxin/internal/money"
	"huanxin/switch/event"
)

// move is what one event does to one node.
type move struct {
	kind                             string
	allocated, held, spent, released money.Amount
	purchase, entitlement            uint64
}

// record writes the movement, and joins it to the one that the same event has already made on the same node.
func (f *fold) record(path string, m move) {
	if n := len(f.out.Movements); n > 0 {
		for i := n - 1; i >= 0 && f.out.Movements[i].Seq == f.seq; i-- {
			if last := &f.out.Movements[i]; last.Path == path {
				last.Allocated += m.allocated
				last.Held += m.held
				last.Spent += m.spent
				last.Released += m.released
				return
			}
		}
	}
	f.out.Movements = append(f.out.Movements, Movement{
		Seq: f.seq, Path: path, Month: f.month.date, Kind: m.kind, Allocated: m.allocated, Held: m.held, Spent: m.spent,
		Released: m.released, Purchase: m.purchase, Entitlement: m.entitlement, MovedAt: f.at,
	})
}

func (f *fold) node(path string) (*Node, error) {
	n := f.nodes[path]
	if n == nil {
		return nil, fmt.Errorf("budget node %q does not exist", path)
	}
	n.Seq, n.ChangedAt = f.seq, f.at
	f.touched.nodes[path] = n
	return n, nil
}

func (f *fold) applyBudget(ev *event.Event) error {
	switch b := ev.Body.(type) {
	case *event.Event_BudgetNodeSet:
		m := b.BudgetNodeSet
		path := text(m.Path)
		if f.nodes[path] == nil {
			f.nodes[path] = &Node{Path: path, Parent: parent(path), Root: path == ""}
		}
		n, err := f.node(path)
		if err != nil {
			return err
		}
		f.record(path, move{kind: "set", allocated: money.Amount(m.Amount) - n.Allocated})
		n.Allocated = money.Amount(m.Amount)
		f.act("budget", byOperator(m.Actor, m.Reason, m.Document, m.Account), 0, fmt.Sprintf("path=%s allocated=%s", path, n.Allocated))
	case *event.Event_BudgetRoundClosed:
		m := b.BudgetRoundClosed
		n, err := f.node(text(m.Path))
		if err != nil {
			return err
		}
		f.record(n.Path, move{kind: "close", allocated: -money.Amount(m.Returned)})
		n.Allocated -= money.Amount(m.Returned)
		n.Closed = true
	case *event.Event_BudgetReleased:
		m := b.BudgetReleased
		n, err := f.node(text(m.Path))
		if err != nil {
			return err
		}
		f.record(n.Path, move{kind: "release", released: money.Amount(m.Amount)})
		n.Released, n.Paced, n.ReleasedOn = money.Amount(m.Released), true, text(m.Day)
		if m.By != nil { // a release by the plan says nothing of it
			n.Manual = money.Amount(m.Manual)
		}
		f.act("budget-release", m.By, 0, fmt.Sprintf("path=%s amount=%s released=%s", n.Path, money.Amount(m.Amount), n.Released))
	}
	return nil
}

func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return ""
}

// shift moves money on a leaf and counts it at every node above. What a closed leaf frees leaves its allocation: it is
// the parent's to give again.
func (f *fold) shift(leaf string, m move) error {
	if m.held == 0 && m.spent == 0 {
		return nil
	}
	n, err := f.node(leaf)
	if err != nil {
		return err
	}
	if freed := -(m.held + m.spent); n.Closed && !n.Root && freed > 0 {
		m.allocated = -freed
		n.Allocated -= freed
	}
	f.record(leaf, m)
	for {
		n.Held += m.held
		n.Spent += m.spent
		if n.Held < 0 || n.Spent < 0 {
			return fmt.Errorf("budget node %q would hold %s with %s spent", n.Path, n.Held, n.Spent)
		}
		if n.Root {
			return nil
		}
		if n, err = f.node(n.Parent); err != nil {
			return err
		}
	}
}
