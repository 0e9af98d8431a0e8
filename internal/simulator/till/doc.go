// Package till plays the people in front of the switch: terminals that send real messages, buyers whose claiming app
// talks HTTP, and the slips that come out. A Player plays a script; package load uses the same lines and requests.
//
// It knows the message only as a till does: what it must send, and how to read an answer. It computes no subsidy: what a
// receipt says is what the switch answered.
//
// The contract of a terminal (pos-dialect §3): one financial request at a time; a STAN is never used twice in a batch,
// not even after a restart; a request whose answer is lost is reversed before the next one.
package till
