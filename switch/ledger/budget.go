package ledger

import (
	"strings"

	"huanxin/switch/event"
)

// node is one node of the budget tree. What moves on a leaf counts at every node above it.
type node struct {
	path      string
	parent    int // -1 for the root
	children  int
	allocated int64
	assigned  int64 // of it, to the children
	held      int64
	spent     int64
	released  int64 // by now, where a release plan applies
	manual    int64
	paced     bool
	day       string
	closed    bool
	seq       uint64
}

type budget struct {
	nodes  []node
	byPath map[string]uint16
}

// noLeaf is what an ordinary purchase takes its money from.
const noLeaf = 1<<16 - 1

// Node is one node as it stands: Allocated = free + Held + Spent.
type Node struct {
	Path                                               string
	Allocated, Assigned, Held, Spent, Released, Manual int64
	Paced, Closed, Leaf                                bool
	Day                                                string
}

// Nodes are those of the budget tree in the order in which they were made.
func (l *Ledger) Nodes() []Node {
	list := make([]Node, 0, len(l.budget.nodes))
	for i := range l.budget.nodes {
		n := &l.budget.nodes[i]
		list = append(list, Node{
			Path: n.path, Allocated: n.allocated, Assigned: n.assigned, Held: n.held, Spent: n.spent, Released: n.released,
			Manual: n.manual, Paced: n.paced, Closed: n.closed, Leaf: n.children == 0, Day: n.day,
		})
	}
	return list
}

// movement is what the present event has moved on one leaf.
type movement struct {
	path                             string
	allocated, held, spent, released int64
}

func (l *Ledger) movement(path string) *movement {
	for i := range l.moved {
		if l.moved[i].path == path {
			return &l.moved[i]
		}
	}
	l.moved = append(l.moved, movement{path: path})
	return &l.moved[len(l.moved)-1]
}

// record enters what the present event has moved.
func (l *Ledger) record() {
	for i := range l.moved {
		m := &l.moved[i]
		l.Movements.Add(l.seq, MovementDigest(m.path, m.allocated, m.held, m.spent, m.released))
	}
}

// leaf finds the node that money moves on.
func (l *Ledger) leaf(path string) uint16 {
	i, ok := l.budget.byPath[path]
	if !ok {
		l.wrong("budget node %q does not exist", path)
		return noLeaf
	}
	return i
}

func (l *Ledger) path(leaf uint16) string {
	if leaf == noLeaf {
		return ""
	}
	return l.budget.nodes[leaf].path
}

// take holds an amount on a leaf: there must be so much free, released and open, on it and on every node above.
func (l *Ledger) hold(leaf uint16, amount int64) {
	if amount == 0 || leaf == noLeaf {
		return
	}
	n := &l.budget.nodes[leaf]
	switch {
	case n.children > 0:
		l.wrong("budget node %q is not a leaf, and %d fen are taken from it", n.path, amount)
	case n.closed:
		l.wrong("budget node %q is closed, and %d fen are taken from it", n.path, amount)
	case n.paced && n.held+n.spent+amount > n.released:
		l.wrong("budget node %q has released %d fen, and %d more than that are taken", n.path, n.released, n.held+n.spent+amount-n.released)
	}
	l.shift(leaf, amount, 0)
}

// free gives back what was held; what a closed leaf frees is its parent's to give again.
func (l *Ledger) free(leaf uint16, amount int64) {
	l.shift(leaf, -amount, 0)
	l.giveUp(leaf, amount)
}

// restore gives back what was spent.
func (l *Ledger) restore(leaf uint16, amount int64) {
	l.shift(leaf, 0, -amount)
	l.giveUp(leaf, amount)
}

// capture turns what was held into spent.
func (l *Ledger) capture(leaf uint16, amount int64) { l.shift(leaf, -amount, amount) }

func (l *Ledger) shift(leaf uint16, held, spent int64) {
	if leaf == noLeaf || held == 0 && spent == 0 {
		return
	}
	m := l.movement(l.budget.nodes[leaf].path)
	m.held += held
	m.spent += spent
	for i := int(leaf); i >= 0; i = l.budget.nodes[i].parent {
		n := &l.budget.nodes[i]
		n.held += held
		n.spent += spent
		n.seq = l.seq
		if n.held < 0 || n.spent < 0 || n.held+n.spent > n.allocated {
			l.wrong("budget node %q has %d fen allocated, %d held and %d spent", n.path, n.allocated, n.held, n.spent)
		}
	}
}

func (l *Ledger) giveUp(leaf uint16, amount int64) {
	if leaf == noLeaf || amount == 0 {
		return
	}
	n := &l.budget.nodes[leaf]
	if !n.closed || n.parent < 0 {
		return
	}
	l.movement(n.path).allocated -= amount
	n.allocated -= amount
	l.budget.nodes[n.parent].assigned -= amount
}

func (l *Ledger) budgetNodeSet(m *event.BudgetNodeSet) {
	path := clean(m.Path)
	i, known := l.budget.byPath[path]
	if !known {
		parent := -1
		if path != "" {
			above, _, _ := cutLast(path)
			at, ok := l.budget.byPath[above]
			if !ok {
				l.wrong("budget node %q is set before the one above it", path)
				return
			}
			if parent = int(at); l.budget.nodes[parent].children == 0 && l.budget.nodes[parent].held+l.budget.nodes[parent].spent > 0 {
				l.wrong("budget node %q gets its first child with money in use", above)
			}
			l.budget.nodes[parent].children++
		}
		i = uint16(len(l.budget.nodes))
		l.budget.nodes = append(l.budget.nodes, node{path: path, parent: parent})
		l.budget.byPath[path] = i
	}
	n := &l.budget.nodes[i]
	if m.Amount < n.held+n.spent || m.Amount < n.assigned || m.Amount < 0 {
		l.wrong("budget node %q is set to %d fen with %d held, %d spent and %d given to the nodes below", path, m.Amount, n.held, n.spent, n.assigned)
	}
	if n.parent >= 0 {
		above := &l.budget.nodes[n.parent]
		if above.assigned += m.Amount - n.allocated; above.assigned > above.allocated {
			l.wrong("budget node %q gives %d fen to the nodes below and has %d", above.path, above.assigned, above.allocated)
		}
	}
	l.movement(path).allocated += m.Amount - n.allocated
	n.allocated, n.seq = m.Amount, l.seq
}

// cutLast takes the last part off a path; what is left of a path of one part is the root's.
func cutLast(path string) (above, last string, found bool) {
	at := strings.LastIndexByte(path, '/')
	if at < 0 {
		return "", path, false
	}
	return path[:at], path[at+1:], true
}

func (l *Ledger) budgetRoundClosed(m *event.BudgetRoundClosed) {
	leaf := l.leaf(clean(m.Path))
	if leaf == noLeaf {
		return
	}
	n := &l.budget.nodes[leaf]
	if n.closed {
		l.wrong("the round of budget node %q is closed twice", n.path)
	}
	if left := n.allocated - n.held - n.spent; left != m.Returned {
		l.wrong("the round of budget node %q returns %d fen, and %d were free", n.path, m.Returned, left)
	}
	n.closed, n.seq = true, l.seq
	l.movement(n.path)
	l.giveUp(leaf, m.Returned)
}

func (l *Ledger) budgetReleased(m *event.BudgetReleased) {
	leaf := l.leaf(clean(m.Path))
	if leaf == noLeaf {
		return
	}
	n := &l.budget.nodes[leaf]
	if before := n.released; n.paced && before+m.Amount != m.Released {
		l.wrong("budget node %q had %d fen released, %d more are %d and not %d", n.path, before, m.Amount, before+m.Amount, m.Released)
	}
	l.movement(n.path).released += m.Amount
	n.released, n.paced, n.day, n.seq = m.Released, true, clean(m.Day), l.seq
	if m.By != nil {
		n.manual = m.Manual
	}
}
