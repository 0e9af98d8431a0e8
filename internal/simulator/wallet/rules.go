package wallet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"huanxin/internal/money"
	link "huanxin/switch/wallet"
)

// Act is one way in which the wallet or its payer treats a request.
type Act string

// The acts, as they are written in a rules file. "decline REASON" and "refund-refuse REASON" carry a reason of the
// interface, such as INSUFFICIENT_BALANCE.
const (
	Charge          Act = "pay"              // charged at once
	Password        Act = "password"         // waits; charged after PasswordBy, notified
	PasswordUnheard Act = "password-unheard" // the same, the notification is lost
	PasswordLate    Act = "password-late"    // the same, notified LateBy later
	PasswordTwice   Act = "password-twice"   // the same, notified twice
	WalkAway        Act = "walk-away"        // waits for ever
	GiveUp          Act = "give-up"          // waits; declined after PasswordBy, notified
	LoseRequest     Act = "lose-request"     // never arrives: nothing is charged, nothing answered
	LoseAnswer      Act = "lose-answer"      // charged; not answered, not notified
	Announced       Act = "announced"        // charged; not answered, but notified
	Late            Act = "late"             // charged; answered after LateBy
	Slow            Act = "slow"             // charged; answered within SlowBy
	Twice           Act = "twice"            // charged; answered, and notified twice
	Disconnect      Act = "disconnect"       // charged; the connection closes instead of the answer
	CancelBusy      Act = "cancel-busy"      // charged, not answered; the first cancellation is answered 503
	CancelSilent    Act = "cancel-silent"    // charged, not answered; the first cancellation never arrives
	CancelLost      Act = "cancel-lost"      // charged, not answered; the answer of the first cancellation is lost

	decline      = "decline"
	refundRefuse = "refund-refuse"

	RefundSlow   Act = "refund-pending" // a refund waits; done after PasswordBy, notified
	RefundSilent Act = "refund-lost"    // a refund is done and not answered
	RefundUnseen Act = "refund-unseen"  // a refund never arrives
)

// Rules decide what the wallet does with a request. They are pure: the same rules, seed and request give the same plan,
// whatever else is going on.
type Rules struct {
	// Endings maps the last two digits of the amount to an act, so that a script can order what it needs. Those of refunds are
	// looked up by the refund's amount.
	Endings map[string]Act `yaml:"endings"`
	// Unfriendly is the probability, 0 … 1, that a request whose ending orders nothing is treated badly.
	Unfriendly float64 `yaml:"unfriendly"`
	// Acts are the ways of treating a payment badly, all equally likely.
	Acts []Act `yaml:"acts"`
	// PasswordBy is how long a payer types.
	PasswordBy time.Duration `yaml:"password-by"`
	// LateBy is how long a late answer or notification takes: longer than the switch's time-out.
	LateBy time.Duration `yaml:"late-by"`
	// SlowBy bounds a slow answer: shorter than the switch's time-out.
	SlowBy time.Duration `yaml:"slow-by"`
	// Seed makes the unfriendly choices repeatable.
	Seed uint64 `yaml:"seed"`
}

// DefaultRules has the documented endings and is friendly otherwise. No ending is a multiple of five: prices in whole
// yuan less 15 or 20 per cent never order anything by accident.
func DefaultRules() Rules {
	return Rules{
		Endings: map[string]Act{
			"14": "decline CODE_INVALID", "51": "decline INSUFFICIENT_BALANCE", "54": "decline CODE_EXPIRED", "57": "decline NOT_ALLOWED",
			"61": "decline AMOUNT_LIMIT", "62": "decline ACCOUNT_RESTRICTED", "96": "decline SYSTEM_ERROR",
			"21": LoseRequest, "22": LoseAnswer, "23": Late, "24": Twice, "26": Disconnect, "27": Announced, "28": Slow,
			"31": CancelBusy, "32": CancelSilent, "33": CancelLost,
			"71": Password, "72": PasswordUnheard, "73": PasswordLate, "74": PasswordTwice, "76": WalkAway, "77": GiveUp,
			"81": RefundSlow, "82": RefundSilent, "83": "refund-refuse ACCOUNT_RESTRICTED", "84": RefundUnseen,
		},
		Acts: []Act{
			"decline INSUFFICIENT_BALANCE", "decline CODE_EXPIRED", Password, PasswordUnheard, PasswordLate, PasswordTwice, WalkAway, GiveUp,
			LoseRequest, LoseAnswer, Announced, Late, Slow, Twice, Disconnect,
		},
		PasswordBy: 3 * time.Second,
		LateBy:     20 * time.Second,
		SlowBy:     500 * time.Millisecond,
		Seed:       1,
	}
}

// ErrRules is returned for rules that cannot be followed.
var ErrRules = errors.New("rules")

// ParseRules reads a rules file: YAML with the keys of Rules. A key that is left out keeps its default; endings, when
// given, replace the table as a whole.
func ParseRules(text []byte) (Rules, error) {
	rules := DefaultRules()
	var given struct {
		Endings *map[string]Act `yaml:"endings"`
	}
	if err := yaml.Unmarshal(text, &given); err == nil && given.Endings != nil {
		rules.Endings = nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&rules); err != nil && !errors.Is(err, io.EOF) {
		return Rules{}, fmt.Errorf("%w: %w", ErrRules, err)
	}
	return rules, rules.Check()
}

// Check reports the first value that cannot be followed.
func (r *Rules) Check() error {
	for _, ending := range slices.Sorted(maps.Keys(r.Endings)) {
		if len(ending) != 2 || strings.Trim(ending, "0123456789") != "" {
			return fmt.Errorf("%w: ending %q: want two digits", ErrRules, ending)
		}
		if _, err := r.Endings[ending].plan(r); err != nil {
			return fmt.Errorf("%w: ending %s: %w", ErrRules, ending, err)
		}
	}
	for i, act := range r.Acts {
		if _, err := act.plan(r); err != nil {
			return fmt.Errorf("%w: act %d: %w", ErrRules, i+1, err)
		}
		if act.ofRefund() {
			return fmt.Errorf("%w: act %d: %q is how a refund is treated", ErrRules, i+1, act)
		}
	}
	switch {
	case !(r.Unfriendly >= 0 && r.Unfriendly <= 1):
		return fmt.Errorf("%w: unfriendly %v: want 0 … 1", ErrRules, r.Unfriendly)
	case r.Unfriendly > 0 && len(r.Acts) == 0:
		return fmt.Errorf("%w: unfriendly without acts", ErrRules)
	case r.LateBy < 0 || r.SlowBy < 0 || r.PasswordBy < 0:
		return fmt.Errorf("%w: a delay is negative", ErrRules)
	}
	return nil
}

// Fate is how a request is answered.
type Fate uint8

const (
	Answered Fate = iota
	Unseen        // it never arrives, and nothing is answered
	Lost          // it is booked, and nothing is answered
	Cut           // it is booked, and the connection closes instead of the answer
	Busy          // it is not booked, and answered 503
)

// Plan is what will happen to one request, in this order: arrive or not, be booked, wait, be answered; and what becomes of
// it later.
type Plan struct {
	Fate   Fate
	Status link.Status // as it is booked first
	Reason string
	Delay  time.Duration // before the answer

	// What waits ends so after After, when Final is not empty; then come Notices notifications, after NoticeAfter.
	After       time.Duration
	Final       link.Status
	FinalReason string
	Notices     int
	NoticeAfter time.Duration
}

// plan translates an act.
func (a Act) plan(r *Rules) (Plan, error) {
	word, reason, carries := strings.Cut(string(a), " ")
	p := Plan{Status: link.Paid}
	waits := func(final link.Status, notices int) {
		p.Status, p.Final, p.After, p.Notices = link.Pending, final, r.PasswordBy, notices
	}
	if carries != (word == decline || word == refundRefuse) || carries && strings.Trim(reason, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" {
		return p, fmt.Errorf("act %q: decline and refund-refuse want a reason, others take none", a)
	}
	switch Act(word) {
	case Charge, Slow:
	case Password:
		waits(link.Paid, 1)
	case PasswordUnheard:
		waits(link.Paid, 0)
	case PasswordLate:
		waits(link.Paid, 1)
		p.NoticeAfter = r.LateBy
	case PasswordTwice:
		waits(link.Paid, 2)
	case WalkAway:
		waits("", 0)
	case GiveUp:
		waits(link.Declined, 1)
		p.FinalReason = "PAYER_CANCELLED"
	case LoseRequest:
		p.Fate = Unseen
	case LoseAnswer, CancelBusy, CancelSilent, CancelLost:
		p.Fate = Lost
	case Announced:
		p.Fate, p.Notices = Lost, 1
	case Late:
		p.Delay = r.LateBy
	case Twice:
		p.Notices = 2
	case Disconnect:
		p.Fate = Cut
	case decline:
		p.Status, p.Reason = link.Declined, reason
	case refundRefuse:
		p.Status, p.Reason = link.Refused, reason
	case RefundSlow:
		waits(link.Done, 1)
	case RefundSilent:
		p.Status, p.Fate = link.Done, Lost
	case RefundUnseen:
		p.Status, p.Fate = link.Done, Unseen
	default:
		return p, fmt.Errorf("unknown act %q", a)
	}
	return p, nil
}

func (a Act) ofRefund() bool { return strings.HasPrefix(string(a), "refund-") }

// Payment plans what becomes of a payment order.
func (r *Rules) Payment(rrn string, amount money.Amount) Plan {
	act, draw := r.ordered(amount), r.draw("payment", rrn, 0)
	if act.ofRefund() {
		act = Charge
	}
	if act == "" {
		act = Charge
		if draw.Float64() < r.Unfriendly {
			act = r.Acts[draw.IntN(len(r.Acts))]
		}
	}
	p := r.must(act)
	if act == Slow {
		p.Delay = time.Duration(draw.Float64() * float64(r.SlowBy))
	}
	return p
}

// Refund plans what becomes of a refund order.
func (r *Rules) Refund(rrn string, amount money.Amount) Plan {
	act, draw := r.ordered(amount), r.draw("refund", rrn, 0)
	if !act.ofRefund() {
		act = ""
		if draw.Float64() < r.Unfriendly {
			act = []Act{RefundSlow, RefundSilent, RefundUnseen}[draw.IntN(3)]
		}
	}
	if act == "" {
		return Plan{Status: link.Done}
	}
	return r.must(act)
}

// Cancel plans the n-th cancellation (from 1) of a payment of this amount, and Ask the n-th query of a number. Only the first
// two may be treated badly, so that everything ends.
func (r *Rules) Cancel(rrn string, amount money.Amount, n int) Fate {
	fates := map[Act]Fate{CancelBusy: Busy, CancelSilent: Unseen, CancelLost: Lost}
	act, draw := r.ordered(amount), r.draw("cancel", rrn, n)
	if fate, ok := fates[act]; ok && n == 1 {
		return fate
	}
	if act == "" && n <= 2 && draw.Float64() < r.Unfriendly {
		return []Fate{Busy, Unseen, Lost}[draw.IntN(3)]
	}
	return Answered
}

// Ask is described with Cancel. A query changes nothing, so a lost answer is as good as a lost question.
func (r *Rules) Ask(rrn string, n int) Fate {
	draw := r.draw("query", rrn, n)
	if n <= 2 && draw.Float64() < r.Unfriendly {
		return []Fate{Busy, Cut, Unseen}[draw.IntN(3)]
	}
	return Answered
}

func (r *Rules) must(act Act) Plan {
	p, err := act.plan(r)
	if err != nil {
		panic("rules were not checked: " + err.Error())
	}
	return p
}

// ordered returns the act that the amount asks for, "" when it asks for none.
func (r *Rules) ordered(amount money.Amount) Act {
	if amount < 0 {
		return ""
	}
	return r.Endings[fmt.Sprintf("%02d", amount%100)]
}

// draw is the dice for one request: its own sequence, so that the order of arrival does not matter.
func (r *Rules) draw(what, rrn string, n int) *rand.Rand {
	h := fnv.New64a()
	var number [16]byte
	binary.BigEndian.PutUint64(number[:8], r.Seed)
	binary.BigEndian.PutUint64(number[8:], uint64(n))
	_, _ = h.Write(number[:])
	_, _ = io.WriteString(h, what+"\x00"+rrn)
	return rand.New(rand.NewPCG(r.Seed, h.Sum64()))
}
