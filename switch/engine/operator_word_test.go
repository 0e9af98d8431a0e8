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
