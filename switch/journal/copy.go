package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// CopyTo writes every batch that is acknowledged now into dir, a folder that must not be there yet, as a log with its mark: a copy of a
// cluster's journal that cat, verify, export and check can read. The chain is verified once more on the way. A copy that is not
// finished has no mark, and is in the way of the next. The journal may be open for reading only.
func (j *Journal) CopyTo(ctx context.Context, dir string) (_ Report, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return Report{}, fmt.Errorf("copy journal of %s: %w", j.cfg.Programme, err)
	}
	cfg := j.cfg
	cfg.Dir = dir
	l := newSegmentLog(cfg)
	w := newWalk(cfg.Programme, nil)
	err = func() error {
		if err := l.begin(dir); err != nil {
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
	mark, _, _, err := openMark(filepath.Join(dir, "mark"))
	if err != nil {
		return w.report, err
	}
	if w.end.position > 0 {
		err = mark.set(w.end, true)
	}
	return w.report, errors.Join(err, mark.close(), syncFolder(dir))
}
