package seed

import (
	"context"

	"huanxin/switch/journal"
)

// appender makes one batch durable while the seeder fills the other, as the switch does.
type appender struct {
	journal *journal.Journal
	in      chan *journal.Draft
	out     chan appended
}

// appended is a batch that is free again, and what became of it.
type appended struct {
	draft *journal.Draft
	end   journal.Mark
	err   error
}

// newAppender begins with a batch that is free. end is where the journal ends.
func newAppender(j *journal.Journal, end journal.Mark) *appender {
	a := &appender{journal: j, in: make(chan *journal.Draft), out: make(chan appended, 1)}
	a.out <- appended{draft: new(journal.Draft), end: end}
	go a.run()
	return a
}

func (a *appender) run() {
	for draft := range a.in {
		end, err := a.journal.Append(context.Background(), draft)
		draft.Reset()
		a.out <- appended{draft, end, err}
	}
}

// hand gives a batch away for an empty one. The error is that of the batch before.
func (a *appender) hand(full *journal.Draft) (*journal.Draft, error) {
	before := <-a.out
	a.in <- full
	return before.draft, before.err
}

// sync waits until everything that was handed over is durable.
func (a *appender) sync() (journal.Mark, error) {
	last := <-a.out
	a.out <- last
	return last.end, last.err
}

func (a *appender) stop() { close(a.in) }
