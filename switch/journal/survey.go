package journal

import (
	"crypto/sha256"
	"runtime"
)

// surveyed is a batch that has been read and checked for itself. Whether it follows the one before is still to be seen.
type surveyed struct {
	header header
	hash   Hash
	size   int
}

// survey reads the batches of a segment up to the first bytes that are none, whatever the reason. It judges nothing.
func (s segments) survey(seg segment) (list []surveyed) {
	f, size, err := s.open(seg)
	if err != nil {
		return nil
	}
	defer f.Close()
	c := &chunk{f: f, size: size}
	for off := int64(segmentHead); ; {
		raw, h, err := c.headed(off)
		if err != nil {
			return list
		}
		list = append(list, surveyed{h, sha256.Sum256(raw), len(raw)})
		off += int64(len(raw))
	}
}

// surveys are those of a list of segments, made ahead of who asks for them: reading and hashing take the time, and a chain
// can be joined from segments that were read side by side.
type surveys struct {
	results []chan []surveyed
	slots   chan struct{} // taken by every survey that is made and not asked for
	stopped chan struct{}
}

// surveysAtOnce bounds the memory that they take, and leaves a large machine to others.
const surveysAtOnce = 8

func (s segments) surveyAhead(list []segment) *surveys {
	a := &surveys{
		results: make([]chan []surveyed, len(list)), slots: make(chan struct{}, min(surveysAtOnce, runtime.NumCPU())),
		stopped: make(chan struct{}),
	}
	for i := range list {
		a.results[i] = make(chan []surveyed, 1)
	}
	go func() {
		for i, seg := range list {
			select {
			case a.slots <- struct{}{}:
			case <-a.stopped:
				return
			}
			go func() { a.results[i] <- s.survey(seg) }()
		}
	}()
	return a
}

// of is the survey of segment i of the list. Each is asked for once, in order.
func (a *surveys) of(i int) []surveyed {
	list := <-a.results[i]
	<-a.slots
	return list
}

// stop makes no more of them.
func (a *surveys) stop() { close(a.stopped) }
