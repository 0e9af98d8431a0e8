// Package drill frightens a running switch and then counts: it starts private copies of everything with make's programs,
// kills, stops and feeds them badly, and holds the books against each other – the answers that terminals and shops received,
// the journal, PostgreSQL, and the own ledgers of card network and wallet. What only a person can settle it settles as an
// operator would, by those ledgers. It also runs the demonstration of `make run` and its checked
// form, `make smoke`.
//
// It does not use the engine to judge the engine: Book reads the journal anew, in the plainest way, and Compare only
// adds up.
//
// The contract: every scenario works in a folder and on ports of its own, kills only processes that it started, by their
// ids, and ends with one line
//
//	NAME acknowledged N lost 0 duplicated 0 overspent 0 charged-without-record 0 subsidised-without-charge 0 orphan-holds 0 unresolved 0
package drill
