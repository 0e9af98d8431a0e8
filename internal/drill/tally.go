package drill

import (
	"huanxin/switch/event"
)

// Tally counts in a journal what a fault leaves behind: a scenario whose fault nobody felt proves nothing.
type Tally struct {
	Owners    int // processes that became the one writer
	TimedOut  int // reversals because a host did not answer in time
	Restarted int // reversals of what was under way when a process ended
	Unknown   int // payments and refunds at wallets without an end
	KeyActs   int // acts on the keys
}

func (t *Tally) count(ev *event.Event) {
	switch body := ev.Body.(type) {
	case *event.Event_OwnershipTaken:
		t.Owners++
	case *event.Event_PaymentUnknown:
		t.Unknown++
	case *event.Event_KeyActRecorded:
		t.KeyActs++
	case *event.Event_ReversalQueued:
		switch body.ReversalQueued.Cause {
		case event.ReversalCause_REVERSAL_CAUSE_TIMEOUT:
			t.TimedOut++
		case event.ReversalCause_REVERSAL_CAUSE_RESTART:
			t.Restarted++
		}
	}
}
