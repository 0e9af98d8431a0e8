// Package wire is the line between the switch and its peers: frames on a byte stream, and the life of a connection.
//
// It knows no ISO 8583 and no meaning of a message. Framing cuts frames out of a stream and puts them together. Conn
// reads whole frames and hands them to a Handler, and writes what is given to it; Listener accepts connections and
// serves each with one Handler; New makes a Conn of a connection that somebody has dialled.
//
// # Bounds
//
// Everything a peer can make grow has an end, and a name under which the end is counted (Cause, the label of
// huanxin_wire_closes_total):
//
//	frame size              MaxFrame, refused at the length field      oversized
//	bytes that are no frame                                            garbage
//	time for one frame      FrameTimeout, from its first byte on       slow
//	TLS handshake           FrameTimeout, beside the accept loop       handshake
//	silence                 IdleTimeout, while nothing is owed         idle
//	answers owed            MaxInFlight, then reading pauses           (no end: back-pressure)
//	answers not taken       MaxQueue bytes, WriteTimeout               overflow, stalled
//	waiting after the peer's half-close or a drain  LingerTimeout      unanswered
//	connections             MaxConns, the next is closed at once       huanxin_wire_connections_refused_total
//	connections of one sender  Limits, the next is closed at once      huanxin_wire_connections_limited_total
//
// A connection that ends takes no other with it: they share a Handler and counters, no buffer and no lock.
//
// # Contract of a Handler
//
//   - Frame runs in the read loop and must not block. The frame's bytes are wiped when it returns.
//   - For every frame that will be answered: Expect inside Frame, then exactly one Answer or Forget, from any goroutine.
//     It is what keeps a half-closed or draining connection open.
//   - Answer, Send, Forget, Close and Drain never block on the peer.
package wire
