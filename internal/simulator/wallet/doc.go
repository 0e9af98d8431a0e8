// Package wallet simulates a wallet and the people who pay with it: it charges payment codes, waits for passwords, pays
// back, answers and notifies well or badly, and keeps its own ledger of what it did, so that a drill can hold the switch's
// books against somebody else's. The interface is docs/interface/wallet.md.
//
// It is strict: what is not signed or formed as the document says is refused, no payment is charged twice, nothing closed
// is ever charged, and never is more given back than was charged. It counts what a correct switch never does (one number
// for two orders).
//
// The contract: a ledger line is written before the answer or notification that tells of it leaves. Rules, seed and
// request alone decide how a request is treated; see Rules. A payer who was typing when the process died goes on typing
// when it is started again on the same ledger.
package wallet
