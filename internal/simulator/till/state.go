package till

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// maxSTAN is the largest DE11; after it comes 1.
const maxSTAN = 999999

// State is what terminals and the claiming app remember from one run to the next, as a real till does in its own
// memory: the next STAN and the open batch of each terminal, and how many runs there were. Without it a second run
// would send the first one's STANs again and be answered 94. Safe for concurrent use.
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
	STAN  uint32 `json:"stan"` // the last one used
	Batch uint32 `json:"batch"`
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

// Save writes the state; NextRun, NextSTAN and SetBatch do it by themselves.
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

// SetBatch notes the batch that a sign-on told.
func (s *State) SetBatch(terminal string, batch uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.terminal(terminal).Batch = batch
	return s.save()
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
