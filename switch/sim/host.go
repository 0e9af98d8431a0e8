package sim

import (
	"cmp"
	"time"

	"huanxin/switch/engine"
	"huanxin/switch/event"
)

// hostProfiles are how the engine deals with the hosts of the simulation.
var hostProfiles = map[string]engine.HostProfile{
	"cup":    {Timeout: 25 * time.Second, FirstRetry: 5 * time.Second, MaxRetry: time.Minute},
	"bank":   {Timeout: 15 * time.Second, FirstRetry: 3 * time.Second, MaxRetry: 2 * time.Minute, CutOff: 22 * time.Hour},
	"wallet": {Timeout: 25 * time.Second, FirstRetry: 5 * time.Second, MaxRetry: time.Minute, Wallet: true},
}

var hostNames = []string{"cup", "bank", "wallet"}

// host is a card network or a wallet with a ledger of its own. It charges a sale once and returns a charge once, by RRN, as a
// real one does, and knows nothing of subsidies.
type host struct {
	w         *world
	name      string
	wallet    bool
	down      bool
	charged   map[string]int64             // by RRN of the sale: net charge
	gross     map[string]int64             // what was charged at first
	seen      map[string]*event.HostAnswer // what was said to a request
	undone    map[string]bool              // reversed, or closed by a wallet
	voids     map[string]string            // RRN of a void or refund → of its sale
	arrival   map[string]int64             // of the last message about an RRN: a link is first in, first out
	sales     map[string]int               // how often each sale has left the switch
	latest    int64                        // the latest arrival of any message
	early     map[string]bool              // a reversal came and there was nothing yet
	overtaken map[string][]string          // requests that came after that, by the sale that they are about
}

func newHost(w *world, name string) *host {
	return &host{
		w: w, name: name, wallet: hostProfiles[name].Wallet, charged: map[string]int64{}, gross: map[string]int64{},
		seen: map[string]*event.HostAnswer{}, undone: map[string]bool{}, voids: map[string]string{}, arrival: map[string]int64{},
		sales: map[string]int{}, early: map[string]bool{}, overtaken: map[string][]string{},
	}
}

// request is what leaves the switch for this host.
func (h *host) request(p *process, r *engine.HostRequest) {
	w := h.w
	w.write("-> %s kind %d rrn %s amount %d attempt %d", h.name, r.Kind, r.RRN, r.Amount, r.Attempt)
	if r.Kind == engine.HostSale {
		if h.sales[r.RRN]++; h.sales[r.RRN] > 1 {
			w.fail("a sale leaves once", "%s has left %d times", r.RRN, h.sales[r.RRN])
		}
	}
	if h.down {
		w.count("fault: link down")
		in := &engine.HostUnsent{Kind: r.Kind, Purchase: r.Purchase, Operation: r.Operation, Reversal: r.Reversal, Attempt: r.Attempt, RRN: r.RRN}
		w.after(w.between(0, time.Millisecond), func() {
			if w.proc == p {
				w.submit(in)
			}
		})
		return
	}
	if w.lose() {
		return
	}
	times := 1
	if r.Kind != engine.HostInquiry && w.double() {
		times = 2
	}
	for range times {
		at := w.now + int64(w.delay())
		if at < h.latest {
			w.count("fault: messages reordered")
		}
		if r.Kind == engine.HostReversal && at < h.arrival[r.RRN] && !w.quiet && w.chance(500) { // over a second connection
			w.count("fault: reversal overtakes its request")
		} else {
			at = max(at, h.arrival[r.RRN])
		}
		h.arrival[r.RRN], h.latest = max(at, h.arrival[r.RRN]), max(h.latest, at)
		w.letters[r.RRN]++
		w.at(at, func() {
			w.letters[r.RRN]--
			h.work(r)
		})
	}
}

// work is what the host does with a request, and its answer.
func (h *host) work(r *engine.HostRequest) {
	w := h.w
	answer := &engine.HostAnswered{Host: r.Host, Kind: engine.HostSale, RRN: r.RRN, STAN: r.STAN}
	if !h.wallet && !w.quiet && w.chance(200) { // a host that does not echo DE37
		answer.RRN, answer.TransmittedAt = "", engine.TransmissionTime(r.TransmittedAt)
		if r.Kind == engine.HostReversal || r.Kind == engine.HostQuery {
			answer.RRN, answer.TransmittedAt = r.RRN, ""
		}
	}
	var a *event.HostAnswer
	overtaken := false
	switch r.Kind {
	case engine.HostInquiry:
		a = &event.HostAnswer{Response: "00"}
		answer.Balance = []byte("1001156C000000010000")
	case engine.HostReversal:
		answer.Kind, a = engine.HostReversal, h.reverse(r)
	case engine.HostQuery:
		answer.Kind = engine.HostQuery
		a, answer.Pending = h.query(r)
	default:
		if w.model.bySale[r.RRN] == 0 && !h.known(r.RRN) {
			w.fail("nothing is charged without a record", "%s asks for %d", r.RRN, r.Amount)
		}
		if a = h.seen[r.RRN]; a == nil {
			a = h.decide(r)
			if overtaken = h.early[r.RRN]; overtaken {
				sale := cmp.Or(r.Original.RRN, r.RRN) // that the request is about
				h.overtaken[sale] = append(h.overtaken[sale], r.RRN)
			}
		}
		answer.Pending = a.Response == "09"
	}
	w.write("   %s says %s over %d to kind %d rrn %s", h.name, a.Response, a.Amount, r.Kind, r.RRN)
	answer.Answer.Response, answer.Answer.Approval, answer.Answer.ClearingDate, answer.Answer.Amount = a.Response, a.Approval, a.ClearingDate, a.Amount
	times := 1
	if w.double() {
		times = 2
	}
	for range times {
		if !overtaken && w.lose() { // with the answer too nobody but the clearing file could tell
			continue
		}
		wait := w.delay()
		if !w.quiet && w.chance(30) {
			wait = w.between(20*time.Second, 3*time.Minute)
		}
		if wait > hostProfiles[h.name].Timeout {
			w.count("fault: late answer of a host")
		}
		w.letters[r.RRN]++
		w.after(wait, func() {
			w.letters[r.RRN]--
			w.submit(answer)
		})
	}
}

// known reports whether a void or refund of that number is in the books.
func (h *host) known(rrn string) bool {
	for _, o := range h.w.model.ops {
		if o.rrn == rrn {
			return true
		}
	}
	return false
}

// clearingDate is the network's DE15.
func (h *host) clearingDate() string {
	if h.wallet {
		return ""
	}
	at := time.Unix(0, h.w.now).In(shanghai)
	cutOff := hostProfiles[h.name].CutOff
	if cutOff == 0 {
		cutOff = 23 * time.Hour
	}
	if time.Duration(at.Hour())*time.Hour >= cutOff {
		at = at.AddDate(0, 0, 1)
	}
	return at.Format("0102")
}

func (h *host) charge(rrn string, amount int64) *event.HostAnswer {
	h.seen[rrn] = &event.HostAnswer{Response: "00", Approval: "A00001", ClearingDate: h.clearingDate(), Amount: amount}
	h.charged[rrn], h.gross[rrn] = amount, amount
	return h.seen[rrn]
}

// decide does what is asked for the first time.
func (h *host) decide(r *engine.HostRequest) *event.HostAnswer {
	w, amount, of := h.w, int64(r.Amount), r.Original.RRN
	fate := 1000
	if !w.quiet {
		fate = w.rng.IntN(1000)
	}
	say := func(a *event.HostAnswer) *event.HostAnswer {
		h.seen[r.RRN] = a
		return a
	}
	switch {
	case h.undone[r.RRN]: // a wallet's tombstone: cancelled before it came
		return say(&event.HostAnswer{Response: "12"})
	case fate < 100:
		return say(&event.HostAnswer{Response: oneOf(w, "51", "05", "61", "91")})
	case r.Kind == engine.HostVoid && h.charged[of] != amount || r.Kind == engine.HostRefund && h.charged[of] < amount:
		return say(&event.HostAnswer{Response: "22"})
	case r.Kind == engine.HostVoid || r.Kind == engine.HostRefund:
		if fate < 120 && !h.wallet && amount > 1 { // a host that gives back another amount
			amount /= 2
			w.count("fault: approved over another amount")
		}
		h.charged[of] -= amount
		h.voids[r.RRN] = of
		return say(&event.HostAnswer{Response: "00", Approval: "V00001", ClearingDate: h.clearingDate(), Amount: amount})
	case fate < 200 && !h.wallet:
		w.count("fault: partial approval")
		response := oneOf(w, "10", "10", "00")
		h.charged[r.RRN], h.gross[r.RRN] = amount/2, amount/2
		return say(&event.HostAnswer{Response: response, Approval: "A00001", ClearingDate: h.clearingDate(), Amount: amount / 2})
	case fate < 300 && h.wallet: // the payer is typing a password
		return say(&event.HostAnswer{Response: "09"})
	}
	return h.charge(r.RRN, amount)
}

// query is a wallet's answer to "how did it end?".
func (h *host) query(r *engine.HostRequest) (a *event.HostAnswer, pending bool) {
	a = h.seen[r.RRN]
	switch {
	case a == nil && r.Operation != 0 && r.TransmittedAt-r.Original.TransmittedAt >= int64(time.Minute):
		h.undone[r.RRN] = true // the link withdraws what has not arrived for so long
		return &event.HostAnswer{Response: "12"}, false
	case a == nil:
		return &event.HostAnswer{Response: "25"}, true
	case h.undone[r.RRN]:
		return &event.HostAnswer{Response: "12"}, false
	case a.Response == "09" && h.w.chance(500):
		return a, true
	case a.Response == "09": // the payer has typed the password
		return h.charge(r.RRN, int64(r.Original.Amount)), false
	case !moves(a.Response):
		return &event.HostAnswer{Response: "12"}, false
	}
	return a, false
}

func moves(response string) bool { return response == "00" || response == "10" }

// reverse undoes a sale, gives a payment back, or charges anew what a void had given back.
func (h *host) reverse(r *engine.HostRequest) *event.HostAnswer {
	a, done := h.seen[r.RRN], h.undone[r.RRN]
	if !h.w.quiet && h.w.chance(60) {
		return &event.HostAnswer{Response: oneOf(h.w, "91", "96", "30")}
	}
	switch {
	case h.wallet:
		h.undone[r.RRN], h.charged[r.RRN] = true, 0
	case a == nil:
		h.early[r.RRN] = true
		return &event.HostAnswer{Response: "25"}
	case !moves(a.Response):
		return &event.HostAnswer{Response: "12"}
	case done:
	case r.Processing == "200000" && h.voids[r.RRN] != "":
		h.undone[r.RRN] = true
		h.charged[h.voids[r.RRN]] += a.Amount
	default:
		h.undone[r.RRN], h.charged[r.RRN] = true, 0
	}
	return &event.HostAnswer{Response: "00"}
}

// took reports whether a void or refund has given something back, and that has not been charged anew.
func (h *host) took(rrn string) bool {
	a := h.seen[rrn]
	return a != nil && a.Response == "00" && !h.undone[rrn]
}

// giveBack is a refund, or a void, that a person has settled: the payer has all of it then.
func (h *host) giveBack(operation, sale string, amount int64) {
	if a := h.seen[operation]; h.took(operation) {
		amount -= a.Amount
	}
	h.charged[sale] -= amount
}

// ---- Lines -----------------------------------------------------------------------------------------------------------

// lose reports whether a message is lost.
func (w *world) lose() bool {
	if w.quiet || !w.chance(w.noise.lost) {
		return false
	}
	w.count("fault: message lost")
	return true
}

// double reports whether a message arrives twice.
func (w *world) double() bool {
	if w.quiet || !w.chance(w.noise.doubled) {
		return false
	}
	w.count("fault: message doubled")
	return true
}

// delay is how long a message is on its way.
func (w *world) delay() time.Duration {
	if !w.quiet && w.chance(w.noise.slow) {
		w.count("fault: message delayed")
		return w.between(time.Second, 40*time.Second)
	}
	return w.between(200*time.Microsecond, 40*time.Millisecond)
}

// linkDown cuts a host off for a while.
func (h *host) linkDown(d time.Duration) {
	if h.down {
		return
	}
	h.down = true
	h.w.after(d, func() {
		h.down = false
		h.w.submit(&engine.HostUp{Host: h.name})
	})
}
