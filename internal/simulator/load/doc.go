// Package load drives a switch with many terminals at once and measures it.
//
// Open loop: messages have fixed times, one every 1/rate seconds, and a latency counts from the time a message was due,
// not from when a busy terminal got round to sending it; so a switch that stalls is charged for everybody who had to
// wait (no coordinated omission). Closed loop: each terminal sends as soon as it has its answer, and a latency counts
// from the sending.
//
// A terminal behaves as a real one: one financial request at a time; when the connection is lost or no answer comes, it
// reconnects, reverses what is unanswered, repeats that until it is answered, and only then goes on. Every answer read
// is written to the record of acknowledged answers before the terminal goes on.
//
// What is not asked of it: it judges no answer by policy. Codes that the caller does not expect are counted, with the
// first example of each.
package load
