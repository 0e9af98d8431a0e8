package wire

// Cause says why a connection ended. It is the label of huanxin_wire_closes_total.
type Cause uint8

const (
	causeNone Cause = iota

	// CausePeer: the peer closed, or half-closed and has all its answers. The normal end.
	CausePeer
	// CauseIdle: no frame for Config.IdleTimeout, nothing owed.
	CauseIdle
	// CauseSlow: a frame was begun and not completed within Config.FrameTimeout.
	CauseSlow
	// CauseOversized: a length field announced more than Config.MaxFrame.
	CauseOversized
	// CauseGarbage: the bytes are no frame of this port's framing.
	CauseGarbage
	// CauseTruncated: the peer closed in the middle of a frame.
	CauseTruncated
	// CauseRefused: the handler gave the connection up: a whole frame, but nothing that could be answered.
	CauseRefused
	// CauseReset: reading failed for any other reason.
	CauseReset
	// CauseHandshake: the TLS handshake failed or took too long.
	CauseHandshake
	// CauseStalled: the peer took no bytes for Config.WriteTimeout.
	CauseStalled
	// CauseWrite: writing failed for any other reason.
	CauseWrite
	// CauseOverflow: the peer let more than Config.MaxQueue bytes of answers pile up.
	CauseOverflow
	// CauseUnanswered: the peer half-closed, or was to be drained, and an answer was still owed after
	// Config.LingerTimeout.
	CauseUnanswered
	// CauseDrained: closed by a graceful stop, everything answered.
	CauseDrained
	// CauseClosed: closed by this side.
	CauseClosed

	causeCount
)

var causeNames = [causeCount]string{
	causeNone: "none", CausePeer: "peer", CauseIdle: "idle", CauseSlow: "slow", CauseOversized: "oversized",
	CauseGarbage: "garbage", CauseTruncated: "truncated", CauseRefused: "refused", CauseReset: "reset",
	CauseHandshake: "handshake", CauseStalled: "stalled", CauseWrite: "write", CauseOverflow: "overflow",
	CauseUnanswered: "unanswered", CauseDrained: "drained", CauseClosed: "closed",
}

// String returns the metric label.
func (c Cause) String() string {
	if c >= causeCount {
		return "unknown"
	}
	return causeNames[c]
}
