// Package client loads a switch, or a peer that speaks like it, over framed TCP, and believes no answer that it has not
// judged. It shares the machine with what it measures, so it does as little as can be done for a message: requests are
// prebuilt frames in which a few digits are replaced, one goroutine serves a connection, whatever has arrived is answered
// with one write.
//
// A Script says what slots ask and judges what they hear; a slot has one request in flight at a time. Closed keeps a
// fixed number in flight and counts; Open sends at given instants whatever the answers do.
package client
