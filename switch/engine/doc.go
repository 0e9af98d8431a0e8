// Package engine is the state machine of one programme: it decides every reserve, sale, reversal, claim and operator's
// act, and it is the only place where money, quota, entitlements and serial numbers move.
//
// It does no I/O, starts no goroutine, reads no clock, draws no randomness and logs nothing. Time and identity come in
// with the input, so that recovery, simulation and a benchmark run the very same code. It knows no wire format: packages
// terminal, host and gateway translate.
//
// # One step
//
// Step takes one Input, decides, and returns Output: Events, the facts that have happened, and Sends, what is to leave
// the process. Every decision is made of facts: Step changes nothing except by Apply, with the events it returns. A
// replay of the recorded events therefore is the live engine, byte for byte (WriteState). Facts, not commands, are
// recorded, because rules change and history may not: Apply asks no policy.
//
// # The caller's duties, in order
//
//  1. Feed TakeOwnership first. When its AdminReply names problems, stop: the journal is not this programme's, or the
//     key that hashes persons is another.
//  2. Stamp At with a clock that never decreases, and feed inputs one at a time.
//  3. Make Events durable, in order, before any of the Sends of the same Step leaves. Sends of later Steps wait for the
//     Sends of earlier ones.
//  4. Events and Sends are valid until the next Step; the answers and requests in Sends for ever, and unchanged.
//  5. Send a Tick when NextDeadline has come, and again while it lies in the past.
//  6. When a sync fails, or Step or Apply panics, end the process. Nothing of that Step has left it; restart replays.
//
// # A purchase
//
//	            ┌──▶ expired           declined ──┐ (partial, or approved later)
//	            │ 180 s                    ▲      ▼
//	reserve ▶ reserved ──sale──▶ sent ──answer──▶ captured ──0400──▶ reversing ──host──▶ reversed
//	            │                 │ │              ▲  ▲ │ ▲             ▲
//	            └──▶ cancelled    │ └─ no answer, restart, 0400 ────────┘ (a dead letter stays here, for a person)
//	                              ▼                │  │ │ │
//	                     unknown (wallet) ─query───┘  │ │ └── refund refused, or of a part
//	                                                  │ └─▶ refunding ─▶ refunded ─▶ entitlement and serial free
//	           void refused, without answer, reversed └─▶ voiding ─▶ voided ─quarantine─▶ everything free
//
// An ordinary sale begins at sent and holds nothing. At a card network "unknown" is the instant between "no answer" and
// "to be reversed": both are one event here (ReversalQueued), because nothing may happen between them. A wallet can be
// asked, so there it is a state.
//
// Reserved, sent and unknown hold the subsidy; captured, voiding, refunding and a voided purchase in quarantine have spent
// it; every other state has let go of it. A refunded purchase has given its money back and may keep entitlement and serial
// for a while, or for good. A wallet's purchase keeps what it holds while it is reversing, until the wallet has confirmed.
//
// Which answers count as approved, what a terminal may still reverse, and what a repeat is answered stands beside the
// code; the transcripts in testdata tell each crossing as a story, and README.md lists the rules by name.
package engine
