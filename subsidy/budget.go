package subsidy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"huanxin/internal/money"
)

// Refusals of budget changes. They change nothing.
var (
	// ErrNodeUnknown is returned for a path that no BudgetNodeSet has made.
	ErrNodeUnknown = errors.New("no such budget node")
	// ErrBelowUse is returned when an allocation would fall below held + spent, or below what its children were given.
	ErrBelowUse = errors.New("allocation below what is held, spent or given to children")
	// ErrParentShort is returned when the children of a node would be given more than the node has.
	ErrParentShort = errors.New("parent has not enough unassigned budget")
	// ErrExhausted is returned by Take when the leaf or a node above it has too little left.
	ErrExhausted = errors.New("budget exhausted")
	// ErrNodeClosed is returned by Take on a leaf whose round has ended.
	ErrNodeClosed = errors.New("release round closed")
	// ErrNotLeaf is returned when money is to move on a node that has children.
	ErrNotLeaf = errors.New("not a leaf of the budget tree")
)

// Budget is the tree of allocations. Money moves on leaves only and counts at every node above them, so that at every
// node, after every event,
//
//	allocated = free + held + spent
//
// and the allocations of a node's children never sum to more than its own. What the children have not been given is
// the node's unassigned part; what a closed round leaves over returns to it.
//
// Nodes are addressed by NodeID inside the engine and by path ("210100/store/A01/r1", "" for the root) outside.
type Budget struct {
	nodes  []node
	byPath map[string]NodeID
}

// NodeID is an index into the tree. The root is 0; ids are given in the order of Set calls and never reused.
type NodeID int32

// NoNode is the id of no node.
const NoNode NodeID = -1

type node struct {
	path      string
	parent    NodeID
	children  int32
	allocated money.Amount
	assigned  money.Amount // sum of the children's allocations
	held      money.Amount
	spent     money.Amount
	released  money.Amount // how much of the allocation may be used by now; only leaves with a release plan differ
	paced     bool         // has a release plan: released counts
	day       string       // business day of the last daily release, "" = none
	manual    money.Amount // of released, by operators beyond the plan
	closed    bool
}

// NodeView is one node as reports show it.
type NodeView struct {
	Path      string
	Allocated money.Amount
	Free      money.Amount
	Held      money.Amount
	Spent     money.Amount
	Released  money.Amount // equals Allocated where no release plan applies
	Paced     bool         // a release plan applies
	// ReleasedOn is the business day (YYYY-MM-DD) of the last daily release.
	ReleasedOn string
	Manual     money.Amount // of Released, by operators beyond the plan
	Closed     bool
	Leaf       bool
}

// NewBudget returns an empty tree. The first Set must be for the root.
func NewBudget() *Budget { return &Budget{byPath: map[string]NodeID{}} }

// Find returns the node at path.
func (b *Budget) Find(path string) (NodeID, bool) {
	id, ok := b.byPath[path]
	return id, ok
}

// Path returns the path of a node, "" for the root and for NoNode.
func (b *Budget) Path(id NodeID) string {
	if id == NoNode {
		return ""
	}
	return b.nodes[id].path
}

// Len returns the number of nodes.
func (b *Budget) Len() int { return len(b.nodes) }

// View returns node id.
func (b *Budget) View(id NodeID) NodeView {
	n := &b.nodes[id]
	v := NodeView{Path: n.path, Allocated: n.allocated, Free: n.free(), Held: n.held, Spent: n.spent,
		Released: n.allocated, Closed: n.closed, Leaf: n.children == 0, Paced: n.paced, ReleasedOn: n.day, Manual: n.manual}
	if n.paced {
		v.Released = n.released
	}
	return v
}

func (n *node) free() money.Amount { return n.allocated - n.held - n.spent }

// Available is what Take could take from leaf id now: the least that is left on the way to the root.
func (b *Budget) Available(id NodeID) money.Amount {
	n := &b.nodes[id]
	if n.closed {
		return 0
	}
	least := n.free()
	if n.paced {
		least = money.Min(least, n.released-n.held-n.spent)
	}
	for id = n.parent; id != NoNode; id = b.nodes[id].parent {
		least = money.Min(least, b.nodes[id].free())
	}
	return max(least, 0)
}

// CheckSet says whether Set(path, amount) would keep every invariant. Errors wrap ErrBelowUse or ErrParentShort.
func (b *Budget) CheckSet(path string, amount money.Amount) error {
	if amount < 0 {
		return fmt.Errorf("budget node %q: %w: %s", path, ErrBelowUse, amount)
	}
	var before money.Amount
	if id, ok := b.byPath[path]; ok {
		n := &b.nodes[id]
		before = n.allocated
		if amount < n.held+n.spent || amount < n.assigned {
			return fmt.Errorf("budget node %q: %w: %s wanted, %s held, %s spent, %s given to children",
				path, ErrBelowUse, amount, n.held, n.spent, n.assigned)
		}
	}
	if path == "" {
		return nil
	}
	parent, ok := b.byPath[parentPath(path)]
	if !ok {
		return fmt.Errorf("budget node %q: parent: %w", path, ErrNodeUnknown)
	}
	p := &b.nodes[parent]
	if p.children == 0 && p.held+p.spent > 0 {
		return fmt.Errorf("budget node %q: its parent is a leaf in use: %w", path, ErrNotLeaf)
	}
	if amount-before > p.allocated-p.assigned {
		return fmt.Errorf("budget node %q: %w: %s more wanted, %s unassigned", path, ErrParentShort,
			amount-before, p.allocated-p.assigned)
	}
	return nil
}

// Set makes the node at path, or changes its allocation. The caller has checked with CheckSet when it decided; an error
// here means that the journal and the state have parted.
func (b *Budget) Set(path string, amount money.Amount) error {
	if err := b.CheckSet(path, amount); err != nil {
		return err
	}
	id, ok := b.byPath[path]
	if !ok {
		parent := NoNode
		if path != "" {
			parent = b.byPath[parentPath(path)]
			b.nodes[parent].children++
		}
		id = NodeID(len(b.nodes))
		b.nodes = append(b.nodes, node{path: path, parent: parent})
		b.byPath[path] = id
	}
	n := &b.nodes[id]
	if n.parent != NoNode {
		b.nodes[n.parent].assigned += amount - n.allocated
	}
	n.allocated = amount
	return nil
}

func parentPath(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return ""
}

// SetReleased makes leaf id paced: of its allocation, released may be used by now. day is the business day of a daily
// release, "" for any other.
func (b *Budget) SetReleased(id NodeID, released money.Amount, day string) {
	n := &b.nodes[id]
	n.paced, n.released, n.day = true, released, day
}

// SetManual notes how much of what is released on leaf id operators have released beyond its plan, all acts together.
func (b *Budget) SetManual(id NodeID, manual money.Amount) { b.nodes[id].manual = manual }

// Clone returns an independent copy, to try changes on.
func (b *Budget) Clone() *Budget {
	return &Budget{nodes: slices.Clone(b.nodes), byPath: maps.Clone(b.byPath)}
}

// Take holds amount on leaf id and on every node above it. It returns ErrNotLeaf, ErrNodeClosed or ErrExhausted and then
// changes nothing.
func (b *Budget) Take(id NodeID, amount money.Amount) error {
	n := &b.nodes[id]
	switch {
	case n.children > 0:
		return ErrNotLeaf
	case n.closed:
		return ErrNodeClosed
	case amount < 0 || amount > b.Available(id):
		return ErrExhausted
	}
	for ; id != NoNode; id = b.nodes[id].parent {
		b.nodes[id].held += amount
	}
	return nil
}

// Capture turns amount held on leaf id into spent.
func (b *Budget) Capture(id NodeID, amount money.Amount) {
	b.move(id, -amount, amount)
}

// Release frees amount held on leaf id. On a closed leaf it goes to the parent at once.
func (b *Budget) Release(id NodeID, amount money.Amount) {
	if amount == 0 {
		return
	}
	b.move(id, -amount, 0)
	b.giveUp(id, amount)
}

// Restore frees amount that was spent on leaf id. On a closed leaf it goes to the parent at once.
func (b *Budget) Restore(id NodeID, amount money.Amount) {
	b.move(id, 0, -amount)
	b.giveUp(id, amount)
}

func (b *Budget) move(id NodeID, held, spent money.Amount) {
	for ; id != NoNode; id = b.nodes[id].parent {
		n := &b.nodes[id]
		n.held += held
		n.spent += spent
		if n.held < 0 || n.spent < 0 {
			panic(fmt.Sprintf("budget node %q: held %d, spent %d after a move", n.path, n.held, n.spent))
		}
	}
}

// giveUp hands amount of a closed leaf's free allocation back to its parent.
func (b *Budget) giveUp(id NodeID, amount money.Amount) {
	n := &b.nodes[id]
	if !n.closed || n.parent == NoNode {
		return
	}
	n.allocated -= amount
	b.nodes[n.parent].assigned -= amount
}

// Close ends a round: what is free on leaf id returns to its parent's unassigned part; nothing can be taken any more.
// It returns what was given back.
func (b *Budget) Close(id NodeID) money.Amount {
	n := &b.nodes[id]
	if n.closed {
		return 0
	}
	n.closed = true
	returned := n.free()
	b.giveUp(id, returned)
	return returned
}

// Check walks the tree and returns the first broken invariant, nil when all hold.
func (b *Budget) Check() error {
	type sums struct{ allocated, held, spent money.Amount }
	below := make([]sums, len(b.nodes))
	for i := len(b.nodes) - 1; i >= 0; i-- { // children have larger ids than their parents
		n := &b.nodes[i]
		if n.allocated < 0 || n.held < 0 || n.spent < 0 || n.free() < 0 {
			return fmt.Errorf("budget node %q: allocated %s, held %s, spent %s", n.path, n.allocated, n.held, n.spent)
		}
		if n.children > 0 && (below[i].held != n.held || below[i].spent != n.spent) {
			return fmt.Errorf("budget node %q: held %s and spent %s, its children %s and %s",
				n.path, n.held, n.spent, below[i].held, below[i].spent)
		}
		if below[i].allocated != n.assigned || n.assigned > n.allocated {
			return fmt.Errorf("budget node %q: allocated %s, assigned %s, children hold %s",
				n.path, n.allocated, n.assigned, below[i].allocated)
		}
		if n.parent != NoNode {
			p := &below[n.parent]
			p.allocated += n.allocated
			p.held += n.held
			p.spent += n.spent
		}
	}
	return nil
}
