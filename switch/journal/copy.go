package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// CopyTo writes every batch that is acknowledged now into dir, a folder that must not be there yet, as a log with its mark: a copy of a
// cluster's journal that cat, verify, export and check can read. The chain is verified once more on the way. The folder has its
// name when it is whole: until then it is dir.part, and one that a kill has left is in the way of the next. The journal may be open for
// reading only.
func (j *Journal) CopyTo(ctx context.Context, dir string) (_ Report, err error) {
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return Report{}, fmt.Errorf("copy journal of %s: %w", j.cfg.Programme, errors.Join(fmt.Errorf("%s: %w", dir, fs.ErrExist), err))
	}
	part := dir + ".part"
	if err := os.Mkdir(part, 0o700); err != nil {
		return Report{}, fmt.Errorf("copy journal of %s: %w", j.cfg.Programme, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(part))
		}
	}()
	cfg := j.cfg
	cfg.Dir = part
	l := newSegmentLog(cfg)
	w := newWalk(cfg.Programme, nil)
	err = func() error {
		if err := l.begin(part); err != nil {
			return err
		}
		err := j.stream.scan(ctx, 1, j.position.Load(), func(raw []byte) error {
			if err := w.step(raw); err != nil {
				return err
			}
			return l.copy(ctx, raw)
		})
		if err != nil {
			return err
		}
		return l.file.Sync()
	}()
	if err = errors.Join(err, l.close()); err != nil {
		return w.report, fmt.Errorf("copy journal of %s: %w", j.cfg.Programme, err)
	}
	mark, _, _, err := openMark(filepath.Join(part, "mark"))
	if err != nil {
		return w.report, err
	}
	if w.end.position > 0 {
		err = mark.set(w.end, true)
	}
	if err = errors.Join(err, mark.close(), syncFolder(part)); err != nil {
		return w.report, err
	}
	return w.report, errors.Join(os.Rename(part, dir), syncFolder(filepath.Dir(dir)))
}
