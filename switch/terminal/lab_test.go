package terminal

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/risk/geo"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/wire"
)

// lab is a world with tills that send what a test wants, and a network that says what the test wants.
type lab struct {
	*world
	answers chan []byte
	early   []byte // an answer that came without a decision of the engine
	stan    int
	persons byte

	says    string // DE39 of the network; "" is silence
	part    int64  // amount of its approval, 0 = all
	unsent  bool   // the link is down
	pending bool   // the wallet does not know yet
	givenUp bool   // its turn comes when the terminal has given the message up
}

// newLab opens the sample programme at ten in the morning.
func newLab(t *testing.T, change func(*Config)) *lab {
	l := &lab{world: newWorld(t, change), answers: make(chan []byte, 64), says: "00"}
	l.network = l.respond
	go func() {
		for {
			frame := readFrame(l.conn)
			if frame == nil {
				return
			}
			l.answers <- frame
		}
	}()
	l.pass(2 * time.Hour)
	return l
}

// pass lets time go by.
func (l *lab) pass(d time.Duration) {
	l.clock.Add(int64(d))
	l.step(&engine.Tick{})
}

// send sends one message and lets the engine decide.
func (l *lab) send(f fields) { l.sendRaw(encode(l.t, l.codec, f)) }

func (l *lab) sendRaw(message []byte) {
	_, err := l.conn.Write(frameOf(l.t, wire.CUP, message))
	require.NoError(l.t, err)
	select {
	case body := <-l.submitted:
		if l.givenUp {
			body = &engine.TurnAway{Body: body, Stale: true}
		}
		l.step(body)
	case l.early = <-l.answers:
	}
}

// receive returns the next answer.
func (l *lab) receive() fields {
	frame := l.early
	if l.early = nil; frame == nil {
		frame = <-l.answers
	}
	got, _, err := wire.CUP.Next(frame, 0)
	require.NoError(l.t, err)
	return decode(l.t, l.codec, got.Message)
}

func (l *lab) ask(f fields) fields {
	l.send(f)
	return l.receive()
}

func (l *lab) askRaw(message []byte) fields {
	l.sendRaw(message)
	return l.receive()
}

// later asks, hears nothing, and returns what is answered when the time-out has come.
func (l *lab) later(f fields) fields {
	l.says = ""
	l.send(f)
	l.pass(26 * time.Second)
	return l.receive()
}

// respond is the network. Reversals are confirmed, unless there is silence.
func (l *lab) respond(r *engine.HostRequest) {
	switch {
	case l.unsent:
		l.step(&engine.HostUnsent{Kind: r.Kind, Purchase: r.Purchase, Operation: r.Operation, Reversal: r.Reversal,
			Attempt: r.Attempt, RRN: r.RRN})
		return
	case l.says == "":
		return
	}
	in := &engine.HostAnswered{Host: r.Host, Kind: engine.HostSale, RRN: r.RRN, STAN: r.STAN, Pending: l.pending,
		TransmittedAt: engine.TransmissionTime(r.TransmittedAt)}
	in.Answer = event.HostAnswer{Response: l.says, ClearingDate: time.Unix(0, l.clock.Load()).In(china).Format("0102"), Amount: l.part}
	if r.Kind == engine.HostReversal || r.Kind == engine.HostQuery {
		in.Kind, in.Answer.Response = r.Kind, "00"
	}
	l.step(in)
}

// next is a message under a STAN of its own.
func (l *lab) next(f fields, changes ...fields) fields {
	l.stan++
	f = f.with(fields{11: fmt.Sprintf("%06d", l.stan)})
	for _, c := range changes {
		f = f.with(c)
	}
	return f
}

// code claims an entitlement for a new person and shows two codes for it.
func (l *lab) code() (code, spare string) {
	l.persons++
	person := engine.Hash{l.persons}
	l.step(&engine.ClaimRequest{Token: 1, Person: person, IDKind: "id-card", Category: "A01", City: "210100", Channel: "store"})
	code, spare = fmt.Sprintf("1000%04d", l.persons), fmt.Sprintf("2000%04d", l.persons)
	for _, text := range []string{code, spare} {
		l.step(&engine.ShowCodeRequest{Token: 1, Entitlement: l.entitlement, Person: person,
			Code:     engine.Hash(testHasher{}.Code([]byte(text))),
			Position: engine.Position{Given: true, At: geo.Point{Lon: 123431500, Lat: 41805700}, CRS: geo.WGS84}})
	}
	return code, spare
}

// reserving is a reserve of a refrigerator at 5999.00.
func (l *lab) reserving(code string) fields {
	return l.next(reserve, fields{59: text59("S1", code, "S2", "6901234567892", "S3", "CD510W"+code)})
}

// paying is the sale on the hold of a reserve's answer.
func (l *lab) paying(reserved fields) fields {
	require.Equal(l.t, "00", reserved[39], "%v", tag59Of(reserved, "SC"))
	return l.next(sale, fields{4: tag59Of(reserved, "S9")[0], 55: "", 59: text59("S7", tag59Of(reserved, "S7")[0])})
}

// deal is a sale with its answer.
type deal struct{ request, answer fields }

// buy makes a subsidised purchase that the network approves.
func (l *lab) buy() deal {
	code, _ := l.code()
	request := l.paying(l.ask(l.reserving(code)))
	return l.made(request)
}

// ordinary is a sale without subsidy.
func (l *lab) ordinary() fields { return l.next(sale, fields{4: "000000012900", 55: "", 59: ""}) }

// wallet is an ordinary sale by payment code.
func (l *lab) wallet() fields {
	return l.next(qrSale, fields{4: "000000012900", 59: text59("A3", payment)})
}

func (l *lab) made(request fields) deal {
	d := deal{request, l.ask(request)}
	require.Equal(l.t, "00", d.answer[39], "%v", tag59Of(d.answer, "SC"))
	return d
}

// void takes a deal back.
func (l *lab) void(d deal) fields { return l.giveBack(void, d, "23", "") }

// refund gives a deal back, on the day of the sale.
func (l *lab) refund(d deal) fields { return l.giveBack(refund, d, "25", d.answer[13]) }

func (l *lab) giveBack(base fields, d deal, use, date string) fields {
	f := l.next(base, fields{4: d.request[4], 37: d.answer[37], 38: "", 60: use + d.request[60][2:],
		61: d.request[60][2:8] + d.request[11] + date})
	if d.request[2] == "" { // by payment code
		f = f.with(fields{2: "", 14: "", 22: "032", 23: "", 35: "", 59: text59("A3", payment)})
	}
	return f
}

// undo is the reversal of a message.
func undo(f fields) fields {
	return f.with(fields{0: "0400", 35: "", 37: "", 39: "98", 55: "", 59: ""})
}

// operate is one act of an operator, which must succeed.
func (l *lab) operate(act any) {
	l.step(&engine.Operate{Token: 1, Act: act,
		By: event.Authority{Actor: "op-1", Reason: "test", Document: "T-1", Account: "root"}})
}
