package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/switch/engine"
	"huanxin/switch/event"
)

// Its record would be too large for the cold log, and a till whose refund is declined may try it for hours.
func TestAPurchaseOfThousandsOfRefundsStaysHot(t *testing.T) {
	cfg := labConfig(t)
	cfg.Cold = &coldLog{}
	e, err := engine.New(cfg)
	require.NoError(t, err)
	now := labStart
	step := func(body any) engine.Output { return e.Step(engine.Input{At: now, Body: body}) }
	step(&engine.TakeOwnership{Owner: "test", Software: "test", Programme: "test", PersonKeyCheck: [8]byte{1}})
	step(&engine.ApplyProgramme{Files: labFiles(t), Actor: "test", Reason: "start"})
	step(&engine.SetRows{Merchants: labMerchants, Terminals: labTerminals, Products: labProducts})
	key := func(class byte, stan int) engine.Key {
		k := engine.Key{Class: class, Batch: 1, STAN: uint32(stan)}
		copy(k.Terminal[:], "21010001")
		copy(k.Merchant[:], "898210157220001")
		return k
	}
	card := &event.Card{Mask: "622424******0017", Token: make([]byte, 16), KeyId: "k1", Envelope: make([]byte, 60)}
	out := step(&engine.SaleRequest{Token: 1, Key: key('2', 1), Host: "cup", Amount: 10000, ICCAmount: -1, EntryMode: [3]byte([]byte("051")), Card: card})
	h := out.Sends[0].Host
	step(&engine.HostAnswered{Host: "cup", Kind: engine.HostSale, RRN: h.RRN, Answer: event.HostAnswer{Response: "00", Approval: "A00001", ClearingDate: "0302"}})
	rrn := h.RRN
	n := 5000
	for i := range n {
		now += int64(5 * time.Second) // a till that tries again every five seconds for seven hours
		out := step(&engine.RefundRequest{Token: 1, Key: key('2', 2+i), Amount: 10000, Card: card, RRN: rrn, Content: hashOf("r"),
			Original: engine.Original{Batch: 1, STAN: 1}})
		var host *engine.HostRequest
		for _, s := range out.Sends {
			if s.Host != nil {
				host = s.Host
			}
		}
		require.NotNil(t, host, "%d %+v", i, out.Sends[0].Reply)
		step(&engine.HostAnswered{Host: "cup", Kind: engine.HostSale, RRN: host.RRN, Answer: event.HostAnswer{Response: "57"}})
	}
	now = labStart + int64(75*time.Hour)
	require.NotPanics(t, func() {
		step(&engine.SignOnRequest{Terminal: key('8', 0).Terminal, Merchant: key('8', 0).Merchant})
	})
}

// reversedLate is a sale whose reversal ends two days later, minutes before its key is forgotten, and an approval that
// comes minutes after that.
const reversedLate = `
sale stan=1 amount=10
clock +25s
clock +35s
reverse stan=1 amount=10
clock +14h
settle stan=9
clock +9h59m1s
signon t=21010002
clock +22h55m59s
retry id=R1 reason=x
host-reversal rc=25
clock +1h4m2s
signon t=21010002
clock +59s
signon t=21010002
clock +1m
signon t=21010002
status rrn=606100000001 t=21010002
host rrn=606100000001 rc=00
saf`

// A purchase is found for 48 hours after its last event, wherever it lies.
func TestALateApprovalAfterALateReversalIsSeenWhetherColdOrHot(t *testing.T) {
	_, hot := tell(t, never, reversedLate)
	_, cold := tell(t, 0, reversedLate)
	require.Equal(t, hot, cold)
	require.Contains(t, hot, "LateAnswer")
}

func TestAJournalThatNamesAPurchaseForgottenLateReplays(t *testing.T) {
	l, _ := tell(t, never, reversedLate)
	e, err := engine.New(labConfig(t))
	require.NoError(t, err)
	for _, raw := range l.recorded {
		ev := &event.Event{}
		require.NoError(t, ev.UnmarshalVT(raw))
		e.Apply(ev)
	}
}
