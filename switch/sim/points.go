package sim

// point is a place in the loop at which a process can die.
type point int

// The numbered points, in the order in which a message passes them.
const (
	pointWaiting       point = iota // 0 an input waits, nothing is decided
	pointDecided                    // 1 a batch is decided, nothing is appended
	pointWriting                    // 2 in the middle of the write
	pointWritten                    // 3 written, not synced
	pointMark                       // 4 synced, the mark not written
	pointAppended                   // 5 acknowledged, nothing has left
	pointSending                    // 6 between two answers or host requests of one batch
	pointReleased                   // 7 everything has left
	pointRecovering                 // 8 in the middle of a replay
	pointOwnership                  // 9 the take-over is decided
	pointSnapshot                   // 10 a state is half saved
	pointSnapshotSaved              // 11 a state is saved
	pointProjecting                 // 12 rows are packed, their transaction is not
	pointProjected                  // 13 the transaction stands, the answer is lost
	points
)

var pointNames = [points]string{
	"waiting", "decided", "writing", "written", "mark", "appended", "sending", "released", "recovering", "ownership",
	"snapshot", "snapshot-saved", "projecting", "projected",
}

// crash is what a process that dies panics with.
type crash struct{ at point }

// arming is a crash to come.
type arming struct {
	at    point
	after int  // passes that it lets go by
	power bool // the machine dies with the process
}

// reaches reports whether a process that passes a point now will die there.
func (w *world) reaches(at point) bool {
	return w.armed != nil && w.armed.at == at && w.armed.after == 0
}

// pass ends the process under way when it is to die here.
func (w *world) pass(at point) {
	if w.armed == nil || w.armed.at != at || w.quiet {
		return
	}
	if w.armed.after > 0 {
		w.armed.after--
		return
	}
	panic(crash{at})
}
