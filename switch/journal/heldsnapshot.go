package journal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// HeldSnapshot is a snapshot that is open for reading: its owner may remove it meanwhile.
type HeldSnapshot struct {
	Snapshot
	File string
	Sum  Hash  // of the body, as the header says
	Err  error // why it is not usable; then nothing else is to be believed
	f    *os.File
}

// HoldSnapshots opens the snapshots that are there, the older one first. One that disappears in the same moment is none.
func (f *Folder) HoldSnapshots() (list []*HeldSnapshot, err error) {
	names, err := filepath.Glob(filepath.Join(f.dir, "snapshots", "*"+snapshotSuffix))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(names, strings.Compare)
	for _, name := range names {
		file, err := os.Open(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return list, err
		}
		h := &HeldSnapshot{File: filepath.Base(name), f: file}
		if h.Snapshot, h.Err = checkSnapshot(file); h.Err == nil {
			h.Sum, h.Err = h.sum()
		}
		list = append(list, h)
	}
	return list, nil
}

// sum reads what the header says of the body, which has been checked.
func (h *HeldSnapshot) sum() (sum Hash, err error) {
	_, err = h.f.ReadAt(sum[:], 64)
	return sum, err
}

// Body reads the state.
func (h *HeldSnapshot) Body() (io.Reader, error) {
	if _, err := h.f.Seek(snapshotHeader, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read %s: %w", h.File, err)
	}
	return bufio.NewReaderSize(h.f, 1<<20), nil
}

// Close closes the file.
func (h *HeldSnapshot) Close() error { return h.f.Close() }
