package till

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// maxSTAN is the largest DE11; after it comes 1.
const maxSTAN = 999999

// State is what terminals and the claiming app remember from one run to the next, as a real till does in its own
// memory: the next STAN, the open batch of each terminal with its records, and how many runs there were. Without it a
// second run would send the first one's STANs again and be answered 94, and no settlement would be equal. Safe for
// concurrent use.
type State struct {
	mu   sync.Mutex // guards data; one save at a time
	path string     // "" keeps the state in memory
	data stateData
}

type stateData struct {
	Run       uint64               `json:"run"`
	Terminals map[string]*tillData `json:"terminals"`
}

type tillData struct {
	STAN    uint32   `json:"stan"` // the last one used
	Batch   uint32   `json:"batch"`
	Records []Record `json:"records,omitempty"` // of the open batch
}

// OpenState reads the file; a missing one is the state before the first run.
func OpenState(path string) (*State, error) {
	s := &State{path: path, data: stateData{Terminals: make(map[string]*tillData)}}
	if path == "" {
		return s, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read terminal state: %w", err)
	}
	if err := json.Unmarshal(text, &s.data); err != nil {
		return nil, fmt.Errorf("read terminal state %s: %w", path, err)
	}
	for name, t := range s.data.Terminals {
		if t == nil || t.STAN > maxSTAN || t.Batch > maxSTAN {
			return nil, fmt.Errorf("read terminal state %s: terminal %q is damaged", path, name)
		}
	}
	if s.data.Terminals == nil {
		s.data.Terminals = make(map[string]*tillData)
	}
	return s, nil
}

// NextRun begins a run and returns its number, from 1.
func (s *State) NextRun() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data.Run++
	return s.data.Run, s.save()
}

// NextSTAN takes the next STAN of a terminal. It is on disk before it is used.
func (s *State) NextSTAN(terminal string) (uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.terminal(terminal)
	t.STAN = t.STAN%maxSTAN + 1
	return t.STAN, s.save()
}

// TakeSTANs reserves n STANs of a terminal at once and returns the one before the first.
func (s *State) TakeSTANs(terminal string, n uint32) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.terminal(terminal)
	before := t.STAN
	t.STAN = (t.STAN + n) % maxSTAN
	return before
}

// Save writes the state; NextRun, NextSTAN, SetBatch and CloseBatch do it by themselves.
func (s *State) Save() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.save()
}

// Batch returns the open batch of a terminal, or first when none is known.
func (s *State) Batch(terminal string, first uint32) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.data.Terminals[terminal]; t != nil && t.Batch != 0 {
		return t.Batch
	}
	return max(first, 1)
}

// SetBatch notes the batch that a sign-on told. Records of another batch are nothing that could still be settled.
func (s *State) SetBatch(terminal string, batch uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.terminal(terminal)
	if t.Batch != 0 && t.Batch != batch {
		t.Records = nil
	}
	t.Batch = batch
	return s.save()
}

// CloseBatch begins the batch after the open one, as a till does after its settlement was answered, and returns the
// records of the closed one.
func (s *State) CloseBatch(terminal string, closed uint32) ([]Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.terminal(terminal)
	records := t.Records
	t.Batch, t.Records = closed%maxSTAN+1, nil
	return records, s.save()
}

// Enter notes a payment or refund of the open batch. A record of the same STAN is replaced: it is the same exchange.
func (s *State) Enter(terminal string, r Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.terminal(terminal)
	if i := indexOf(t.Records, r.STAN); i >= 0 {
		t.Records[i] = r
		return
	}
	t.Records = append(t.Records, r)
}

// Void notes that a payment was taken back, or with back that its void was.
func (s *State) Void(terminal string, stan uint32, back bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.terminal(terminal)
	if i := indexOf(t.Records, stan); i >= 0 {
		t.Records[i].Void = !back
	}
}

// Remove forgets a payment that was reversed.
func (s *State) Remove(terminal string, stan uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.terminal(terminal)
	if i := indexOf(t.Records, stan); i >= 0 {
		t.Records = slices.Delete(t.Records, i, i+1)
	}
}

// Records are those of the open batch.
func (s *State) Records(terminal string) []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.terminal(terminal).Records)
}

func indexOf(records []Record, stan uint32) int {
	return slices.IndexFunc(records, func(r Record) bool { return r.STAN == stan })
}

func (s *State) terminal(name string) *tillData {
	t := s.data.Terminals[name]
	if t == nil {
		t = &tillData{}
		s.data.Terminals[name] = t
	}
	return t
}

// save replaces the file as a whole. s.mu is held.
func (s *State) save() error {
	if s.path == "" {
		return nil
	}
	text, err := json.Marshal(&s.data)
	if err != nil {
		return fmt.Errorf("encode terminal state: %w", err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+".*")
	if err != nil {
		return fmt.Errorf("save terminal state: %w", err)
	}
	_, err = temporary.Write(append(text, '\n'))
	err = errors.Join(err, temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), s.path)
	}
	if err != nil {
		return fmt.Errorf("save terminal state: %w", errors.Join(err, os.Remove(temporary.Name())))
	}
	return nil
}
