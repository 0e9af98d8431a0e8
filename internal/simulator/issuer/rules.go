package issuer

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
)

// Act is one way in which the network treats a request. An act alone holds for everything that moves money; "void late"
// and "refund late" hold for voids or refunds only, and leave the sale of that amount in peace.
type Act string

// The acts, as they are written in a rules file. A decline is "decline" and its DE39, such as "decline 51"; "approve A2"
// approves under another code. "Done" is charged, voided, refunded, as it was asked.
const (
	Approve       Act = "approve"
	Partial       Act = "partial"        // charges half and answers 10; a void or refund is approved
	LoseRequest   Act = "lose-request"   // never arrives: not done, no answer
	LoseAnswer    Act = "lose-answer"    // done, no answer
	Late          Act = "late"           // done, answered after LateBy
	Slow          Act = "slow"           // done, answered after SlowBy
	Twice         Act = "twice"          // done, answered twice
	Disconnect    Act = "disconnect"     // done, then the connection closes without an answer
	HalfAnswer    Act = "half-answer"    // done, half of the answer, then the connection closes
	ReverseBusy   Act = "reverse-busy"   // done, no answer; its first reversal is answered 96
	ReverseSilent Act = "reverse-silent" // done, no answer; the first reversal never arrives
	ReverseLost   Act = "reverse-lost"   // done, no answer; the answer of the first reversal is lost
	// ReverseNever: done, no answer; no reversal ever arrives, so it stays done, until the network is told to answer
	// reversals. What the switch makes of it is a dead letter.
	ReverseNever Act = "reverse-never"
	// ReverseMute: done, no answer; reversals are carried out but none is ever answered, until the network is told to.
	ReverseMute Act = "reverse-mute"
	// Of a line with MACs; without them these answers are as good as any other.
	ForgedMAC     Act = "forged-mac"     // done, answered with a wrong MAC
	NoMAC         Act = "no-mac"         // done, answered without one
	ForgedFirst   Act = "forged-first"   // done, answered with a wrong MAC, and again with the right one
	ReverseForged Act = "reverse-forged" // done, no answer; that of the first reversal has a wrong MAC
)

// Seal is what becomes of the MAC of an answer.
type Seal uint8

// The seals.
const (
	SealGood Seal = iota
	SealWrong
	SealNone
	SealWrongFirst // of two answers
)

// scope splits the type off to which an act is limited, "" for none.
func (a Act) scope() (only Type, act Act) {
	word, rest, found := strings.Cut(string(a), " ")
	if found && (Type(word) == TypeVoid || Type(word) == TypeRefund) {
		return Type(word), Act(rest)
	}
	return TypeSale, a
}

// meets reports whether an act limited to a type holds for a request of another.
func meets(only, t Type) bool {
	return only == TypeSale || only == t || only == TypeVoid && t.isVoid()
}

// Rules decide what the network does with a request. They are pure: the same rules, seed and request give the same plan,
// whatever else is going on.
type Rules struct {
	// Endings maps the last two digits of DE4 to an act, so that a script can order what it needs.
	Endings map[string]Act `yaml:"endings"`
	// Unfriendly is the probability, 0 … 1, that a request whose ending orders nothing is treated badly.
	Unfriendly float64 `yaml:"unfriendly"`
	// Acts are the ways of treating a request badly, all equally likely.
	Acts []Act `yaml:"acts"`
	// LateBy is how long a late answer takes: longer than the host time-out of the switch.
	LateBy time.Duration `yaml:"late-by"`
	// SlowBy bounds a slow answer: shorter than the host time-out of the switch.
	SlowBy time.Duration `yaml:"slow-by"`
	// Seed makes the unfriendly choices repeatable.
	Seed uint64 `yaml:"seed"`
}

// DefaultRules has the documented endings and is friendly otherwise. No ending is a multiple of five: prices in whole
// yuan less 15 or 20 per cent never order anything by accident.
func DefaultRules() Rules {
	return Rules{
		Endings: map[string]Act{
			"01": "decline 01", "04": "decline 04", "14": "decline 14", "41": "decline 41", "43": "decline 43",
			"51": "decline 51", "54": "decline 54", "57": "decline 57", "61": "decline 61", "62": "decline 62",
			"91": "decline 91", "96": "decline 96",
			"11": Partial, "12": "approve 11", "13": "approve A2",
			"21": LoseRequest, "22": LoseAnswer, "23": Late, "24": Twice, "26": Disconnect, "27": HalfAnswer, "28": Slow,
			"31": ReverseBusy, "32": ReverseSilent, "33": ReverseLost, "34": ReverseNever, "36": ReverseMute,
			"37": "void reverse-busy", "38": "void reverse-never", "39": "void reverse-mute",
			"46": ForgedMAC, "47": NoMAC, "48": ForgedFirst, "49": ReverseForged,
			"71": "void lose-request", "72": "void lose-answer", "73": "void late", "74": "void twice", "76": "void disconnect",
			"77": "void half-answer", "78": "void decline 96",
			"81": "refund lose-request", "82": "refund lose-answer", "83": "refund late", "84": "refund twice",
			"86": "refund disconnect", "87": "refund half-answer", "88": "refund decline 57",
		},
		Acts: []Act{
			"decline 51", "decline 14", "decline 91", Partial, LoseRequest, LoseAnswer, Late, Slow, Twice, Disconnect, HalfAnswer,
		},
		LateBy: 20 * time.Second,
		SlowBy: 500 * time.Millisecond,
		Seed:   1,
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
		if _, err := r.Endings[ending].plan(); err != nil {
			return fmt.Errorf("%w: ending %s: %w", ErrRules, ending, err)
		}
	}
	for i, act := range r.Acts {
		if _, err := act.plan(); err != nil {
			return fmt.Errorf("%w: act %d: %w", ErrRules, i+1, err)
		}
	}
	switch {
	case !(r.Unfriendly >= 0 && r.Unfriendly <= 1):
		return fmt.Errorf("%w: unfriendly %v: want 0 … 1", ErrRules, r.Unfriendly)
	case r.Unfriendly > 0 && len(r.Acts) == 0:
		return fmt.Errorf("%w: unfriendly without acts", ErrRules)
	case r.LateBy < 0 || r.SlowBy < 0:
		return fmt.Errorf("%w: a delay is negative", ErrRules)
	}
	return nil
}

// Plan is what will happen to one request, in this order: arrive or not, be booked, wait, be answered.
type Plan struct {
	Unseen   bool          // the request never arrives
	Response string        // DE39
	Half     bool          // grant half of the amount
	Delay    time.Duration // before the answer
	Answers  int           // 0, 1 or 2
	Cut      int           // close the connection: 0 no, 1 instead of the answer, 2 in the middle of it
	Never    bool          // of a reversal: so it goes until the network is told to answer
	Seal     Seal          // of the answers
}

// plan translates an act, without its delays.
func (a Act) plan() (Plan, error) {
	only, act := a.scope()
	if only != TypeSale && (act == Partial || only == TypeRefund && strings.HasPrefix(string(act), "reverse-")) {
		return Plan{}, fmt.Errorf("act %q: a %s cannot be treated so", a, only)
	}
	word, code, _ := strings.Cut(string(act), " ")
	p := Plan{Response: "00", Answers: 1}
	switch Act(word) {
	case Approve:
		if code != "" {
			p.Response = code
		}
		if !Approved(p.Response) {
			return p, fmt.Errorf("act %q: %q is not an approval", a, p.Response)
		}
	case "decline":
		if len(code) != 2 || Approved(code) || code == "10" {
			return p, fmt.Errorf("act %q: want a DE39 that declines", a)
		}
		p.Response = code
	case Partial:
		p.Response, p.Half = "10", true
	case LoseRequest:
		p.Unseen = true
	case LoseAnswer, ReverseBusy, ReverseSilent, ReverseLost, ReverseNever, ReverseMute, ReverseForged:
		p.Answers = 0
	case ForgedMAC:
		p.Seal = SealWrong
	case NoMAC:
		p.Seal = SealNone
	case ForgedFirst:
		p.Answers, p.Seal = 2, SealWrongFirst
	case Late, Slow:
	case Twice:
		p.Answers = 2
	case Disconnect:
		p.Answers, p.Cut = 0, 1
	case HalfAnswer:
		p.Answers, p.Cut = 0, 2
	default:
		return p, fmt.Errorf("unknown act %q", a)
	}
	if code != "" && Act(word) != Approve && word != "decline" {
		return p, fmt.Errorf("act %q takes no code", a)
	}
	return p, nil
}

// Approved reports whether DE39 charges the whole amount (pos-dialect §4).
func Approved(response string) bool {
	switch response {
	case "00", "11", "A2", "A4", "A5", "A6":
		return true
	}
	return false
}

// Request plans the answer to a request. An inquiry has no amount: give a negative one.
func (r *Rules) Request(t Type, rrn string, amount money.Amount) Plan {
	act := r.ordered(t, amount)
	if act == "" && r.Unfriendly == 0 {
		return Plan{Response: "00", Answers: 1} // nothing is left to chance
	}
	draw := r.draw(t.String(), rrn, 0)
	if act == "" {
		act = Approve
		if draw.Float64() < r.Unfriendly {
			only, drawn := r.Acts[draw.IntN(len(r.Acts))].scope()
			if meets(only, t) {
				act = drawn
			}
		}
	}
	if act == Partial && (t.isVoid() || t == TypeRefund || t == TypeInquiry) {
		act = Approve
	}
	p, err := act.plan()
	if err != nil {
		panic("rules were not checked: " + err.Error())
	}
	switch act {
	case Late:
		p.Delay = r.LateBy
	case Slow:
		p.Delay = time.Duration(draw.Float64() * float64(r.SlowBy))
	}
	return p
}

// Reversal plans the answer to the n-th reversal (from 1) of a request. Only the first two may be treated badly, so that
// every reversal ends, unless the amount orders that it never does.
func (r *Rules) Reversal(t Type, rrn string, amount money.Amount, n int) Plan {
	act, draw := r.ordered(t, amount), r.draw("reversal", rrn, n)
	switch {
	case act == ReverseNever:
		return Plan{Unseen: true, Never: true}
	case act == ReverseMute:
		return Plan{Response: "00", Never: true}
	case act == "" && n <= 2 && draw.Float64() < r.Unfriendly:
		act = []Act{ReverseBusy, ReverseSilent, ReverseLost}[draw.IntN(3)]
	case n > 1:
		act = ""
	}
	p := Plan{Response: "00", Answers: 1}
	switch act {
	case ReverseBusy:
		p.Response = "96"
	case ReverseSilent:
		p.Unseen = true
	case ReverseLost:
		p.Answers = 0
	case ReverseForged:
		p.Seal = SealWrong
	}
	return p
}

// ordered returns the act that the amount asks for, "" when it asks for none. An ending that is meant for another type is
// an order too: this request is to be treated well.
func (r *Rules) ordered(t Type, amount money.Amount) Act {
	if amount < 0 {
		return ""
	}
	ending := [2]byte{byte('0' + amount/10%10), byte('0' + amount%10)}
	order, given := r.Endings[string(ending[:])]
	only, act := order.scope()
	if given && !meets(only, t) {
		return Approve
	}
	return act
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
