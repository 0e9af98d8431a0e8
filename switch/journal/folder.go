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

// source is what holds a folder's batches.
type source interface {
	// scan hands fn every batch in order, checked for itself, and returns what an interrupted append has left behind them.
	scan(fn func(raw []byte) error) (*torn, error)
}

// Folder reads a journal's folder without touching it: no lock, no write. It works on a stopped journal and
// beside a running owner, and on one that Open refuses.
type Folder struct {
	dir       string
	programme string
	batches   source
	mark      Mark // position 0 when there is none
}

// OpenFolder looks at the folder of a journal without a cluster. It returns ErrMissing when there is none, and ErrProgramme
// when it is another programme's; programme may be "". A journal that an earlier release has kept in its embedded server,
// and that has not been opened since, is read from there.
func OpenFolder(dir, programme string) (*Folder, error) {
	f := &Folder{dir: dir, programme: programme}
	switch stored, err := programmeOfLog(dir); {
	case err != nil && programme == "":
		return nil, err
	case stored != "" && programme != "" && stored != programme:
		return nil, fmt.Errorf("%w: %s holds %s", ErrProgramme, dir, stored)
	case stored != "":
		f.programme = stored
		f.batches = segments{logDir(dir), stored}
	case err != nil: // damaged, which Verify says with more words
		f.batches = segments{logDir(dir), programme}
	default:
		if f.programme, err = storedProgramme(dir, programme); err != nil {
			return nil, err
		}
		f.batches = openBlocks(dir, f.programme)
	}
	// The mark is read before the batches: a running owner appends first and marks afterwards, so the batches read
	// later must reach it.
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
	return f, nil
}

// Cold is the folder of the cold log.
func (f *Folder) Cold() string { return filepath.Join(f.dir, "cold") }

// Programme is the programme whose journal it is.
func (f *Folder) Programme() string { return f.programme }

// Verify walks the whole chain. With an error the report says how far it was good. It returns the errors of Open.
func (f *Folder) Verify(marks ...Mark) (Report, error) {
	w := newWalk(f.programme, append([]Mark{f.mark}, marks...))
	t, err := f.batches.scan(w.step)
	if err == nil {
		err = w.reached(t)
	}
	return w.report, err
}

// Replay hands fn the batches from position `from` to position `to` (0 = to the end), verified from position 1 on. At the end
// of the log it returns the errors of Verify: what was handed over may be less than has been acknowledged.
func (f *Folder) Replay(from, to uint64, fn func(*Batch) error) error {
	w := newWalk(f.programme, []Mark{f.mark})
	t, err := f.batches.scan(func(raw []byte) error {
		before := w.end
		if err := w.step(raw); err != nil {
			return err
		}
		position := w.end.position
		if position < from {
			return nil
		}
		if to != 0 && position > to {
			return errStop
		}
		h, err := before.successor(raw)
		if err != nil {
			return fmt.Errorf("position %d: %w", position, err)
		}
		_, b, err := before.decoded(w.end, h, raw, nil)
		if err != nil {
			return fmt.Errorf("position %d: %w", position, err)
		}
		return fn(b)
	})
	if errors.Is(err, errStop) {
		return nil
	}
	if err == nil {
		err = w.reached(t)
	}
	return err
}

var errStop = errors.New("far enough")

// storedProgramme is the programme whose stream lies in the folder, when programme names it or there is no other.
func storedProgramme(dir, programme string) (string, error) {
	stored, err := storedProgrammes(dir)
	switch {
	case err != nil:
		return "", err
	case len(stored) == 0:
		return "", fmt.Errorf("%w: no journal in %s", ErrMissing, dir)
	case programme == "" && len(stored) == 1:
		return stored[0], nil
	case !slices.Contains(stored, programme):
		return "", fmt.Errorf("%w: %s holds %s", ErrProgramme, dir, strings.Join(stored, ", "))
	}
	return programme, nil
}
