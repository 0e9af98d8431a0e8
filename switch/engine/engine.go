package engine

import (
	"errors"
	"fmt"
	"time"

	"huanxin/internal/flat"
	"huanxin/risk"
	"huanxin/risk/geo"
	"huanxin/subsidy"
	"huanxin/subsidy/catalogue"
	"huanxin/subsidy/policy"
	"huanxin/subsidy/reason"
	"huanxin/subsidy/registry"
	"huanxin/switch/event"
)

// Config is what an engine needs beside its journal. It is not state: two runs of one journal may differ in it, because
// Apply reads none of it.
type Config struct {
	// Hosts are the host profiles by name. A sale routed to a name that is not here is refused with 92.
	Hosts map[string]HostProfile
	// Map is the province and its cities, for the place rule (D6).
	Map *geo.Map
	// MaxWaiting bounds how many callers may wait for one answer (resends of a request in flight). More get 96.
	// Default 8.
	MaxWaiting int
	// Cold keeps the purchases that nothing is expected of any more. Default: in memory.
	Cold ColdLog
}

// memory is how long the key of a finished exchange, and of a claim, is kept after its last event: a resend after that
// is a new purchase. It is a constant because Apply forgets by it: a replay must forget what the live engine forgot.
const memory = int64(48 * time.Hour)

// HostProfile is how the engine deals with one host.
type HostProfile struct {
	// Timeout is how long a sale waits for its answer. Without one it becomes unknown and is reversed. Default 25 s.
	Timeout time.Duration
	// Done are the answers to a reversal that end it; default 00, 12, 25.
	Done []string
	// Retry are the answers that mean "later"; default 91, 92, 96, 98. Any other answer opens a work item.
	Retry []string
	// FirstRetry and MaxRetry bound the exponential back-off between attempts; defaults 5 s and 5 min.
	FirstRetry, MaxRetry time.Duration
	// CutOff is when the network's clearing day ends, since midnight in Shanghai; default 23 h. A void after the cut-off of
	// its sale's DE15 is refused, a reversal without an answer by then is a dead letter.
	CutOff time.Duration
	// LeastLife is how long a reversal is sent at least, also when its cut-off is near or past; default 1 min.
	LeastLife time.Duration
	// Wallet says that the host is a wallet: a payment without an end is asked for every QueryEvery (default 4 s), cancelled
	// CancelAfter (default 60 s) it was sent, and asked for until the wallet has said how it ended.
	Wallet                  bool
	QueryEvery, CancelAfter time.Duration
}

func (p *HostProfile) setDefaults() {
	if p.Timeout == 0 {
		p.Timeout = 25 * time.Second
	}
	if p.Done == nil {
		p.Done = []string{"00", "12", "25"}
	}
	if p.Retry == nil {
		p.Retry = []string{"91", "92", "96", "98"}
	}
	if p.FirstRetry == 0 {
		p.FirstRetry = 5 * time.Second
	}
	if p.MaxRetry == 0 {
		p.MaxRetry = 5 * time.Minute
	}
	if p.CutOff == 0 {
		p.CutOff = 23 * time.Hour
	}
	if p.LeastLife == 0 {
		p.LeastLife = time.Minute
	}
	if p.QueryEvery == 0 {
		p.QueryEvery = 4 * time.Second
	}
	if p.CancelAfter == 0 {
		p.CancelAfter = time.Minute
	}
}

func (c *Config) setDefaultsAndCheck() error {
	if c.Map == nil {
		return errors.New("engine: no map of the province")
	}
	if c.MaxWaiting == 0 {
		c.MaxWaiting = 8
	}
	hosts := make(map[string]HostProfile, len(c.Hosts))
	for name, p := range c.Hosts {
		p.setDefaults()
		if p.Timeout < 0 || p.FirstRetry <= 0 || p.MaxRetry < p.FirstRetry {
			return fmt.Errorf("engine: host %s: time-out %s, back-off %s to %s", name, p.Timeout, p.FirstRetry, p.MaxRetry)
		}
		if p.CutOff < 0 || p.CutOff > 24*time.Hour || p.LeastLife < 0 || p.QueryEvery < 0 || p.CancelAfter < 0 || name == ExternalHost {
			return fmt.Errorf("engine: host %s: cut-off %s, least life %s, queries every %s, cancel after %s", name, p.CutOff,
				p.LeastLife, p.QueryEvery, p.CancelAfter)
		}
		hosts[name] = p
	}
	c.Hosts = hosts
	return nil
}

// Engine is the state machine of one programme. It has one owner: the goroutine that calls Step.
type Engine struct {
	cfg Config

	// Position in the history.
	seq    uint64
	lastAt int64 // At of the last event
	now    int64 // the instant of the Step or Apply under way; never decreases
	epoch  uint64

	// The programme.
	programmeID    string
	personKeyCheck []byte
	files          map[string][]byte // of the rules in force
	digest         []byte
	policy         *policy.Programme
	registry       registry.Registry
	catalogue      catalogue.Catalogue
	places         map[*policy.PlaceRule]*risk.PlaceRule

	// Money and people.
	book *subsidy.Book

	// Exchanges with terminals.
	terminals map[[8]byte]*terminalState
	exchanges exchanges
	refusals  map[uint64]refusal // by the seq of their event

	// Purchases and what is on its way to hosts.
	purchases     purchases
	lastPurchase  uint64
	lastOperation uint64
	inquiries     map[uint64]inquiry // by the number of their RRN
	hostCounter   uint64             // gives DE11 and DE37 towards hosts
	clearing      map[string]string  // by host: the DE15 it last answered
	reversals     map[uint64]*reversal
	lastReversal  uint64
	items         map[uint64]workItem // open
	lastItem      uint64
	lastDead      string    // id of the newest dead letter
	orders        flat.Sums // subsidy of the live purchases of one merchant's order
	claims        kept[claimRequest]
	requests      kept[apiRequest]
	requestWhy    map[Hash][]reason.Code // of the refused ones of them

	// The operator's stops.
	pauses    map[uint64]*pause
	lastPause uint64
	keyActs   keyActs
	kills     map[killKey]*kill

	// Not state: what follows from it (deadlines, kept by an engine that decides), callers of this process that wait for
	// a host's answer, and buffers of the current Step.
	deciding  bool
	deadlines deadlines
	waiting   map[waitKey]waiters
	out       Output
	scratch   scratch

	// What follows from the state and is kept so that a look need not walk it: counts, and what is open.
	queued, unknown, dead int                 // unknown: of operations
	holding               []*purchase         // awake, have a subsidy, entitlement or serial and are not captured; in no order
	asking                map[uint64]struct{} // purchases whose payment is unknown
	unsettled             map[uint64]struct{} // voids and refunds without an end
}

// New returns an engine with an empty history.
func New(cfg Config) (*Engine, error) {
	if err := cfg.setDefaultsAndCheck(); err != nil {
		return nil, err
	}
	return &Engine{
		cfg:       cfg,
		book:      subsidy.NewBook(),
		terminals: map[[8]byte]*terminalState{},
		exchanges: exchanges{settled: map[Key]*event.BatchSettled{}},
		refusals:  map[uint64]refusal{},
		purchases: newPurchases(cfg.Cold),

		asking:     map[uint64]struct{}{},
		unsettled:  map[uint64]struct{}{},
		inquiries:  map[uint64]inquiry{},
		items:      map[uint64]workItem{},
		pauses:     map[uint64]*pause{},
		kills:      map[killKey]*kill{},
		clearing:   map[string]string{},
		reversals:  map[uint64]*reversal{},
		requestWhy: map[Hash][]reason.Code{},
		waiting:    map[waitKey]waiters{},
	}, nil
}

// Seq is the number of the last applied event.
func (e *Engine) Seq() uint64 { return e.seq }

// Book gives read access to entitlements and budget, for reports and tests. Callers must not change it.
func (e *Engine) Book() *subsidy.Book { return e.book }

// Step decides one input and applies the decision. in.At is the only clock it sees. The caller makes out.Events
// durable, in order, before any of out.Sends leaves.
func (e *Engine) Step(in Input) Output {
	e.out.Events, e.out.Packed = e.out.Events[:0], e.out.Packed[:0]
	e.out.Sends = e.out.Sends[:0]
	e.scratch.enveloped, e.scratch.fresh = false, false
	e.now = max(e.now, in.At)
	e.purchases.putAway()
	if !e.deciding {
		e.deciding = true
		e.purchases.rely()
		e.schedule()
	}
	switch b := in.Body.(type) {
	case *ReserveRequest:
		e.reserve(b)
	case *SaleRequest:
		e.sale(b)
	case *HostAnswered:
		e.hostAnswered(b)
	case *ReversalRequest:
		e.reversal(b)
	case *CancelRequest:
		e.cancel(b)
	case *HostUnsent:
		e.hostUnsent(b)
	case *HostUp:
		e.hostUp(b)
	case *Tick:
		e.tick()
	case *SignOnRequest:
		e.signOn(b)
	case *SignOffRequest:
		e.signOff(b)
	case *EchoRequest:
		e.echo(b)
	case *KeysProved:
		e.keysProved(b)
	case *ClaimRequest:
		e.claim(b)
	case *ShowCodeRequest:
		e.showCode(b)
	case *EntitlementRequest:
		e.entitlement(b)
	case *ReturnRequest:
		e.giveBack(b)
	case *QuoteRequest:
		e.quote(b)
	default:
		e.stepAfterSale(in.Body)
	}
	return e.out
}

// stepAfterSale decides what comes after a sale, or from somebody else than a till or a claiming app.
func (e *Engine) stepAfterSale(body any) {
	switch b := body.(type) {
	case *VoidRequest:
		e.void(b)
	case *RefundRequest:
		e.refund(b)
	case *InquiryRequest:
		e.inquire(b)
	case *StatusRequest:
		e.status(b)
	case *SettlementRequest:
		e.settle(b)
	case *UploadRequest:
		e.upload(b)
	case *UploadEndRequest:
		e.endUpload(b)
	case *ReportRequest:
		e.report(b)
	case *CommitRequest:
		e.commit(b)
	case *APICancelRequest:
		e.cancelOverHTTP(b)
	case *APIRefundRequest:
		e.refundOverHTTP(b)
	case *PurchaseRequest:
		e.readPurchase(b)
	case *Operate:
		e.operate(b)
	case *Look:
		e.look(b)
	case *TurnAway:
		e.turnAway(b)
	case *TakeOwnership:
		e.takeOwnership(b)
	case *ApplyProgramme:
		e.applyProgramme(b)
	case *SetRows:
		e.setRows(b)
	case *RecordKeyActs:
		e.recordKeyActs(b)
	default:
		panic(fmt.Sprintf("engine: no input of type %T", body))
	}
}

// emit numbers a fact, applies it and puts it out. From here on it has happened.
func (e *Engine) emit(ev *event.Event) {
	ev.Seq, ev.At = e.seq+1, e.now
	e.Apply(ev)
	e.out.Events = append(e.out.Events, ev)
	packed := ""
	if m, ok := ev.Body.(*event.Event_Reserved); ok { // as it is kept
		packed = e.purchases.packed(m.Reserved.Purchase)
	}
	e.out.Packed = append(e.out.Packed, packed)
}

func (e *Engine) reply(r Reply) {
	if r.Token == 0 {
		return
	}
	r.At, r.Fresh = e.now, e.scratch.fresh
	e.out.Sends = append(e.out.Sends, Send{Reply: &r})
}

func (e *Engine) replyAPI(r APIReply) {
	if r.Token == 0 {
		return
	}
	e.out.Sends = append(e.out.Sends, Send{API: &r})
}

// scratch are buffers reused from Step to Step, and texts that need not be made again.
type scratch struct {
	usage     []policy.CategoryUse
	request   policy.Request
	decision  policy.Decision
	envelope  envelope
	enveloped bool // by this Step
	fresh     bool // this Step remembers a request of a terminal for the first time, in its open batch
	texts     texts
	packed    []byte
	order     lastOrder
}

// envelope is what is around the commonest facts, and those facts themselves of which nothing stays. It dies with its Step.
type envelope struct {
	event.Event
	reserved event.Event_Reserved
	room     event.ReservedRoom
	sent     event.Event_SaleSent
	approved event.Event_SaleApproved
	approval event.SaleApproved
	claimed  event.Event_EntitlementClaimed
	claim    event.EntitlementClaimed
	shown    event.Event_CodeShown
	show     event.CodeShown
	position event.Position
	hashes   [3]Hash
}

// hash keeps h at one of the places for hashes; the zero Hash is an empty field.
func (v *envelope) hash(place int, h Hash) []byte {
	v.hashes[place] = h
	if h == (Hash{}) {
		return nil
	}
	return v.hashes[place][:]
}

// envelope gives the first of a Step's facts the one that is reused.
func (e *Engine) envelope() *envelope {
	if e.scratch.enveloped {
		return new(envelope)
	}
	e.scratch.enveloped = true
	return &e.scratch.envelope
}
