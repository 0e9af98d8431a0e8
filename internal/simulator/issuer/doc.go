// Package issuer simulates a card network with its issuers: it charges cards, gives money back, answers well or badly,
// and keeps its own ledger of what it did, so that a drill can hold the switch's books against somebody else's.
//
// It is strict: it never charges an RRN twice, never returns a charge twice, and it counts what a correct switch never
// does (a sale sent again, a sale overtaken by its own reversal). It checks no MAC and no PIN, and routes nowhere.
//
// The contract: a ledger line is written before the answer that tells of it leaves. Rules, seed and request alone decide
// how a request is treated; see Rules.
package issuer
