// Package peer holds what the switch is measured beside: limit, the least that a durable server on this machine can do;
// naive, what a team would build on a database; redis, a quota script with a log that is synced. Each is written in the best
// form that it can be given in a day, and runs as a process of its own (`bench peer NAME`), as the switch does.
package peer
