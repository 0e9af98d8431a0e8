package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/internal/money"
	"huanxin/switch/engine"
	"huanxin/switch/event"
)

// freshness is a terminal that sends, and sends again what was sent.
type freshness struct {
	*lab
	batch uint32
}

func (f *freshness) key(class byte, stan uint32) engine.Key {
	k := engine.Key{Class: class, Batch: f.batch, STAN: stan}
	copy(k.Terminal[:], "21010001")
	copy(k.Merchant[:], "898210157220001")
	return k
}

func (f *freshness) sale(stan uint32) *engine.SaleRequest {
	return &engine.SaleRequest{Token: f.nextToken(), Key: f.key('2', stan), Content: hashOf("sale"), Host: "cup", Amount: 10000, ICCAmount: -1,
		EntryMode: [3]byte([]byte("051")), Card: &event.Card{Mask: "622424******0017", Token: make([]byte, 16), KeyId: "k1", Envelope: make([]byte, 60)}}
}

// replies tells how fresh the answers to one step are, in their order.
func replies(out engine.Output) (list []bool) {
	for _, s := range out.Sends {
		if s.Reply != nil {
			list = append(list, s.Reply.Fresh)
		}
	}
	return list
}

func (f *freshness) ask(body any) []bool { return replies(f.step(body)) }

func (f *freshness) answer(h *engine.HostRequest) []bool {
	return f.ask(&engine.HostAnswered{Host: h.Host, Kind: h.Kind, RRN: h.RRN, STAN: h.STAN,
		TransmittedAt: engine.TransmissionTime(h.TransmittedAt), Answer: event.HostAnswer{Response: "00", ClearingDate: "0302"}})
}

func TestOnlyARequestThatIsSeenForTheFirstTimeIsFresh(t *testing.T) {
	f := &freshness{lab: newLab(t), batch: 1}
	require.Equal(t, []bool{false}, f.ask(&engine.SignOnRequest{Token: f.nextToken(), Terminal: f.key('8', 0).Terminal, Merchant: f.key('8', 0).Merchant}))

	// A sale and its repeat wait for the same answer; the repeat of one that is answered is none either.
	out := f.step(f.sale(1))
	require.Empty(t, replies(out))
	require.Empty(t, f.ask(f.sale(1)))
	require.Equal(t, []bool{true, false}, f.answer(out.Sends[0].Host))
	require.Equal(t, []bool{false}, f.ask(f.sale(1)))

	inquiry := func(stan uint32) *engine.InquiryRequest {
		return &engine.InquiryRequest{Token: f.nextToken(), Key: f.key('2', stan), Content: hashOf("i"), Host: "cup"}
	}
	out = f.step(inquiry(2))
	require.Empty(t, f.ask(inquiry(2)))
	require.Equal(t, []bool{true, false}, replies(f.step(&engine.HostAnswered{Host: "cup", Kind: engine.HostInquiry, RRN: out.Sends[0].Host.RRN,
		Answer: event.HostAnswer{Response: "00"}})))

	// What is remembered though it is refused: a reserve without a code, a reversal of nothing, a report.
	reserve := func() *engine.ReserveRequest {
		return &engine.ReserveRequest{Token: f.nextToken(), Key: f.key('1', 3), Content: hashOf("r"), Price: 100_00}
	}
	require.Equal(t, []bool{true}, f.ask(reserve()))
	require.Equal(t, []bool{false}, f.ask(reserve()))
	undo := func(key engine.Key) *engine.ReversalRequest {
		return &engine.ReversalRequest{Token: f.nextToken(), Original: key, Content: hashOf("v"), Amount: money.Amount(100), Cause: [2]byte{'9', '8'}}
	}
	require.Equal(t, []bool{true}, f.ask(undo(f.key('2', 4))))
	require.Equal(t, []bool{false}, f.ask(undo(f.key('2', 4))))
	require.Equal(t, []bool{false}, f.ask(undo(f.key('2', 1))), "its original was known")
	report := func(stan uint32) *engine.ReportRequest {
		return &engine.ReportRequest{Token: f.nextToken(), Key: f.key('6', stan), Content: hashOf("p"), Kind: "status"}
	}
	require.Equal(t, []bool{true}, f.ask(report(5)))
	require.Equal(t, []bool{false}, f.ask(report(5)))
	require.Equal(t, []bool{false}, f.ask(&engine.StatusRequest{Token: f.nextToken(), Key: f.key('1', 6)}), "a question changes nothing")

	// What is refused and not remembered.
	stranger := f.sale(7)
	copy(stranger.Key.Merchant[:], "898210257220001")
	require.Equal(t, []bool{false}, f.ask(stranger))

	// As long as the batch is open nothing is forgotten …
	f.now += int64(72 * time.Hour)
	f.step(&engine.Tick{})
	require.Equal(t, []bool{false}, f.ask(report(5)))
	require.Equal(t, []bool{false}, f.ask(undo(f.key('2', 4))))
	out = f.step(f.sale(8)) // a sale three days later, after the forgetting
	require.Equal(t, []bool{true}, f.answer(out.Sends[0].Host))

	// … and what is forgotten was of a batch that is closed.
	settle := func() *engine.SettlementRequest {
		return &engine.SettlementRequest{Token: f.nextToken(), Key: f.key('5', 9), Content: hashOf("s")}
	}
	require.Equal(t, []bool{true}, f.ask(settle()))
	require.Equal(t, []bool{false}, f.ask(settle()))
	f.now += int64(72 * time.Hour)
	f.step(&engine.Tick{})
	require.Equal(t, []bool{false}, f.ask(f.sale(1)))
	require.Equal(t, []bool{false}, f.ask(report(5)), "known no more, but of an old batch")
	require.Equal(t, []bool{false}, f.ask(undo(f.key('2', 4))))
	require.Equal(t, []bool{false}, f.ask(f.sale(10)), "of the old batch")
	off := func() *engine.SignOffRequest {
		return &engine.SignOffRequest{Token: f.nextToken(), Key: f.key('8', 11)}
	}
	require.Equal(t, []bool{false}, f.ask(off()), "of the old batch")
	f.batch = 2
	require.Equal(t, []bool{true}, f.ask(off()))
	require.Equal(t, []bool{false}, f.ask(off()))
	f.ask(&engine.SignOnRequest{Token: f.nextToken(), Terminal: f.key('8', 0).Terminal, Merchant: f.key('8', 0).Merchant})
	require.Equal(t, []bool{false}, f.ask(off()), "and it signs nobody off again:")
	out = f.step(f.sale(10))
	require.Equal(t, []bool{true}, f.answer(out.Sends[0].Host))
}
