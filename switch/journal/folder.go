package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Folder reads a journal's folder without touching it: no lock, no server, no write. It works on a stopped journal and
// beside a running owner, and on one that Open refuses.
type Folder struct {
	programme string
	files     blocks
	mark      Mark
	hasMark   bool
}

// OpenFolder looks at the folder of an embedded journal. It returns ErrMissing when there is none, and ErrProgramme when
// there are several and programme does not name one; programme may be "" where there is one.
func OpenFolder(dir, programme string) (*Folder, error) {
	stored, err := storedProgrammes(dir)
	if err != nil {
		return nil, err
	}
	switch {
	case len(stored) == 0:
		return nil, fmt.Errorf("%w: no journal in %s", ErrMissing, dir)
	case programme == "" && len(stored) == 1:
		programme = stored[0]
	case !slices.Contains(stored, programme):
		return nil, fmt.Errorf("%w: %s holds %s", ErrProgramme, dir, strings.Join(stored, ", "))
	}
	f := &Folder{programme: programme, files: openBlocks(dir, programme)}
	// The mark is read before the blocks: a running owner appends first and marks afterwards, so the blocks read later
	// must reach it.
	own, err := os.Open(filepath.Join(dir, "mark"))
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	defer own.Close()
	if f.mark, err = readMark(own, ownMark); err != nil {
		return nil, fmt.Errorf("%s: %w", own.Name(), err)
	}
	f.hasMark = true
	return f, nil
}

// Programme is the programme whose journal it is.
func (f *Folder) Programme() string { return f.programme }

// Verify walks the whole chain. With an error the report says how far it was good. It returns the errors of Open.
func (f *Folder) Verify(marks ...Mark) (Report, error) {
	if f.hasMark {
		marks = append([]Mark{f.mark}, marks...)
	}
	w := newWalk(f.programme, marks)
	_, err := f.files.walk(w)
	return w.report, err
}

// Replay hands fn the batches from position `from` to position `to` (0 = to the end), verified from position 1 on.
func (f *Folder) Replay(from, to uint64, fn func(*Batch) error) error {
	end := genesisLink(f.programme)
	_, err := f.files.scan(func(raw []byte) error {
		next, h, err := end.follow(raw)
		if err != nil {
			return fmt.Errorf("position %d: %w", end.position+1, err)
		}
		end = next
		if h.position < from {
			return nil
		}
		if to != 0 && h.position > to {
			return errStop
		}
		evs, err := decodeEvents(h, raw[headerSize:])
		if err != nil {
			return fmt.Errorf("position %d: %w", h.position, err)
		}
		return fn(&Batch{Position: h.position, FirstSeq: h.first, Hash: next.hash, Events: evs})
	})
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

var errStop = errors.New("far enough")

// storedProgrammes lists the programmes that have a stream in the folder.
func storedProgrammes(dir string) ([]string, error) {
	entries, err := os.ReadDir(streamsDir(dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name, ours := strings.CutPrefix(e.Name(), streamPrefix); ours && e.IsDir() {
			names = append(names, name)
		}
	}
	return names, nil
}
