package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// tell plays a story on a lab of its own and returns the lab and what was said.
func tell(t *testing.T, coolAfter int64, lines string) (*lab, string) {
	l := newCoolingLab(t, coolAfter)
	s := &story{lab: l, t: t}
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		line = strings.TrimSpace(line)
		fmt.Fprintf(&b, "%s %s\n", clock(l.now), line)
		s.run(&b, line)
	}
	return l, b.String()
}

// An operator settles a reversal by what is known then. When the host says the opposite afterwards, somebody must hear of
// it: a charge that the books do not have is a loss of the platform (D5).
func TestAnAnswerAgainstTheOperatorsWordIsTakenUp(t *testing.T) {
	for name, lines := range map[string]string{
		"dead letter returned, then approved": `
			sale stan=1 amount=4000
			clock +25s
			clock +14h
			resolve id=R1 reason=not-in-clearing
			host rrn=606100000001 rc=00`,
		"returned around the cut-off, then approved": `
			clock +12h58m30s
			sale stan=1 amount=4000
			clock +25s
			clock +2m
			resolve id=R1 reason=the-network-says-no-charge
			clock +4m
			host rrn=606100000001 rc=00`,
		"returned while queued, then approved": `
			sale stan=1 amount=4000
			clock +25s
			clock +10s
			resolve id=R1 reason=the-network-says-no-charge
			clock +1s
			host rrn=606100000001 rc=00`,
		"void said to be without effect, then approved": `
			claim
			show
			reserve stan=1
			sale stan=2 hold=1
			host
			void stan=3 of=1/2
			clock +25s
			clock +14h
			resolve id=R1 outcome=charged reason=no-void-in-clearing
			host rrn=606100000002 rc=00`,
		"wallet's payment returned, then paid": `
			claim
			show
			reserve stan=1
			sale stan=2 hold=1 host=wallet
			clock +25s
			clock +70s
			resolve id=R1 reason=wallet-says-closed
			host host=wallet rrn=606100000001 rc=00`,
		"wallet's payment returned, then paid by what it was asked": `
			sale stan=1 amount=4000 host=wallet
			clock +25s
			clock +70s
			clock +5s
			resolve id=R1 reason=wallet-says-closed
			host-query host=wallet rrn=606100000001`,
		"wallet's payment declined, then paid by what it was asked": `
			sale stan=1 amount=4000 host=wallet
			clock +30s
			clock +5s
			host host=wallet rrn=606100000001 rc=51
			host-query host=wallet rrn=606100000001`,
	} {
		t.Run(name, func(t *testing.T) {
			l, said := tell(t, 0, lines)
			v := l.live.Vitals()
			require.Positive(t, v.Queued, "it is taken back\n%s", said)
			require.Positive(t, v.WorkItems, "and a person is told\n%s", said)
		})
	}
}

// "charged" means that the charge stands and is paid back by other means: an approval only confirms it, and reversing it
// would give the money back twice.
func TestAnApprovalThatConfirmsTheOperatorsWordIsNotReversed(t *testing.T) {
	l, said := tell(t, 0, `
		sale stan=1 amount=4000
		clock +25s
		clock +14h
		resolve id=R1 outcome=charged reason=in-clearing`)
	items := l.live.Vitals().WorkItems
	s := &story{lab: l, t: t}
	var b strings.Builder
	s.run(&b, "host rrn=606100000001 rc=00")
	require.Zero(t, l.live.Vitals().Queued, said+b.String())
	require.Equal(t, items, l.live.Vitals().WorkItems, said+b.String())
}

// What speaks against an operator's word when it is given must not go unsaid: it takes a document, and a second look.
func TestAWordAgainstWhatTheHostHasSaidIsLookedAtOnceMore(t *testing.T) {
	const purchase = `
		claim
		show
		reserve stan=1
		sale stan=2 hold=1`
	for name, c := range map[string]struct{ lines, resolve, doubt string }{
		"dead letter, approved meanwhile": {`
			sale stan=1 amount=4000
			clock +25s
			clock +14h
			host rrn=606100000001 rc=00`, "resolve id=R1", "the host has approved it"},
		"captured, reversed by the till, dead": {`
			sale stan=1 amount=4000
			host
			reverse stan=1
			clock +14h`, "resolve id=R1", "the host has approved it"},
		"approved in part, dead": {`
			sale stan=1 amount=4000
			host rc=10 amount=10
			clock +14h`, "resolve id=R1", "the host has approved it"},
		"still on its way, approved meanwhile": {`
			sale stan=1 amount=4000
			clock +25s
			host rrn=606100000001 rc=00`, "resolve id=R1", "the host has approved it"},
		"void, approved": {purchase + `
			host
			void stan=3 of=1/2
			host
			reverse stan=3
			clock +14h`, "resolve id=R1 outcome=charged", "the host has approved it"},
		"cancellation at a wallet that has not answered": {`
			sale stan=1 amount=4000 host=wallet
			clock +25s
			clock +70s`, "resolve id=R1", "the wallet has not said"},
		"cancellation that a wallet refuses, paid meanwhile": {`
			sale stan=1 amount=4000 host=wallet
			clock +25s
			clock +70s
			host-reversal host=wallet rrn=606100000001 rc=57
			host-query host=wallet rrn=606100000001`, "resolve id=R1", "the host has approved it"},
		"refund over another amount": {`
			sale stan=1 amount=4000
			host
			refund stan=2 rrn=606100000001 of=1/1/0302 amount=4000
			host amount=30`, "resolve id=F1 outcome=failed", "answered 00 over 30.00"},
		"refund at a wallet that has not answered": {`
			sale stan=1 amount=4000 host=wallet
			host host=wallet
			refund stan=2 rrn=606100000001 of=1/1/0302 amount=4000
			clock +30s`, "resolve id=F1 outcome=failed", "the wallet has not said"},
	} {
		t.Run(name, func(t *testing.T) {
			l, said := tell(t, 0, c.lines)
			s := &story{lab: l, t: t}
			var refused, taken strings.Builder
			before := l.live.Seq()
			s.run(&refused, c.resolve+" doc=")
			require.Contains(t, refused.String(), c.doubt, said)
			require.Equal(t, before, l.live.Seq(), "nothing has happened")
			s.run(&taken, c.resolve+" doc=clearing-0302")
			require.Contains(t, taken.String(), "kind=settled-against-host", said)
			require.Contains(t, taken.String(), c.doubt)
		})
	}
}

func TestAWordThatNothingSpeaksAgainstNeedsNoDocument(t *testing.T) {
	for name, lines := range map[string]string{
		"dead letter": `
			sale stan=1 amount=4000
			clock +25s
			clock +14h
			resolve id=R1 doc=`,
		"void without an answer": `
			sale stan=1 amount=4000
			host
			void stan=3 of=1/1
			clock +25s
			clock +14h
			resolve id=R1 outcome=charged doc=`,
		"void that stands, as its host has said": `
			sale stan=1 amount=4000
			host
			void stan=3 of=1/1
			host
			reverse stan=3
			clock +14h
			resolve id=R1 outcome=returned doc=`,
		"refund that its host has not answered": `
			sale stan=1 amount=4000
			host
			refund stan=2 rrn=606100000001 of=1/1/0302 amount=4000
			clock +25s
			clock +14h
			resolve id=F1 outcome=failed doc=`,
	} {
		t.Run(name, func(t *testing.T) {
			l, said := tell(t, 0, lines)
			v := l.live.Vitals()
			require.Zero(t, v.Dead+v.WorkItems, said)
		})
	}
}

// An operator may call a void good while its reversal is on the way to the host, which then charges the payer anew.
func TestAVoidIsNotSettledWhileItsReversalIsOnItsWay(t *testing.T) {
	for _, outcome := range []string{"returned", "charged"} {
		l, said := tell(t, 0, `
			sale stan=1 amount=4000
			host
			void stan=2 of=1/1
			host
			reverse stan=2
			resolve id=R1 outcome=`+outcome)
		require.Contains(t, said, "reversal 1 is on its way to the host")
		require.Equal(t, 1, l.live.Vitals().Queued, said)
	}
}

// The payer would be given back twice what an operator has said stays charged.
func TestAReversalAgainstTheOperatorsWordIsTold(t *testing.T) {
	for name, c := range map[string]struct{ lines, answer string }{
		"a sale called charged": {`
			sale stan=1 amount=4000
			clock +25s
			clock +14h
			resolve id=R1 outcome=charged reason=in-clearing`, "host-reversal rrn=606100000001"},
		"a void called good": {`
			sale stan=1 amount=4000
			host
			void stan=2 of=1/1
			host
			reverse stan=2
			clock +14h
			resolve id=R1 outcome=returned reason=in-clearing`, "host-reversal rrn=606100000002"},
	} {
		t.Run(name, func(t *testing.T) {
			l, said := tell(t, 0, c.lines)
			items := l.live.Vitals().WorkItems
			s := &story{lab: l, t: t}
			var b strings.Builder
			s.run(&b, c.answer+" rc=25")
			require.Empty(t, b.String(), "nothing to reverse confirms it")
			s.run(&b, c.answer)
			s.run(&b, c.answer)
			require.Equal(t, 1, strings.Count(b.String(), "late-reversal"), said+b.String())
			require.Equal(t, items+1, l.live.Vitals().WorkItems)
		})
	}
}
