// Package bench measures the switch beside what one would use instead: the library's codec, one database transaction per
// authorisation, a quota script, and the limit of the machine. `make bench` is its front door, README.md says what each
// figure means and why it can be believed.
//
// The contract of a figure: switch and peer run in the same minutes, round by round in turn, driven by the same client;
// a round in which one answer is not as expected is void and ends the run with an error; what was answered is looked up
// in the journal afterwards.
package bench
