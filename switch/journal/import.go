package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.uber.org/zap"
)

// Earlier releases kept the batches in the store of an embedded server. Such a journal is brought over when it is opened,
// in steps of which each leaves a folder that the next start understands:
//
//	store/                    read, never written
//	store/ log.import/        segments being written; thrown away and begun anew
//	store/ log/               whole, synced, and read back: the rename is the moment of the change
//	store.before-log/ log/    after the log has been walked once more; the operator may remove the old files
const (
	importDir  = "log.import"
	retiredDir = "store.before-log"
)

// bringOver makes a log out of the store of the embedded server, if there is one and no log.
func (j *Journal) bringOver(ctx context.Context, marks []Mark) error {
	dir := j.cfg.Dir
	aside := filepath.Join(dir, importDir)
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	stored, err := storedProgrammes(dir)
	if err != nil || len(stored) == 0 {
		return err
	}
	if _, err := os.Lstat(logDir(dir)); !errors.Is(err, fs.ErrNotExist) {
		return err // the change has been made
	}
	if _, err := storedProgramme(dir, j.cfg.Programme); err != nil {
		return err
	}
	j.cfg.Logger.Info("bringing the journal over from the embedded server's store", zap.String("from", storeDir(dir)), zap.String("to", logDir(dir)))
	read, err := j.copyStore(ctx, aside, marks)
	if err != nil {
		return errors.Join(err, os.RemoveAll(aside))
	}
	written := newWalk(j.cfg.Programme, marks)
	if t, err := (segments{aside, j.cfg.Programme}).scan(unlessDone(ctx, written.step)); err != nil {
		return err
	} else if t != nil || written.end != read.end {
		return fmt.Errorf("position %d: %w: %d batches were read, and what was written is not the same", written.end.position, ErrDiverged, read.end.position)
	}
	if err := os.Rename(aside, logDir(dir)); err != nil {
		return err
	}
	return syncFolder(dir)
}

// copyStore writes every batch of the store into a new log at dir, under the same checks as a log at Open.
func (j *Journal) copyStore(ctx context.Context, dir string, marks []Mark) (_ *walk, err error) {
	cfg := j.cfg
	l := newSegmentLog(cfg)
	l.segments.dir = dir
	defer func() { err = errors.Join(err, l.close()) }()
	if err := l.begin(cfg.Dir); err != nil {
		return nil, err
	}
	w := newWalk(cfg.Programme, marks)
	t, err := openBlocks(cfg.Dir, cfg.Programme).scan(unlessDone(ctx, func(raw []byte) error {
		if err := w.step(raw); err != nil {
			return err
		}
		return l.copy(ctx, raw)
	}))
	if err != nil {
		return nil, err
	}
	if err := w.reached(t); err != nil {
		return nil, err
	}
	if t != nil {
		cfg.Logger.Warn("leaving behind an append that was interrupted and never acknowledged", zap.String("file", t.file),
			zap.Int64("offset", t.offset), zap.Uint64("position", w.end.position+1), zap.Error(t.reason))
	}
	return w, l.file.Sync()
}

// copy is append without the sync of each batch: a segment is synced when it is full.
func (l *segmentLog) copy(ctx context.Context, raw []byte) error {
	for l.at+int64(len(raw)) > l.size {
		if err := l.file.Sync(); err != nil {
			return err
		}
		if err := l.roll(ctx); err != nil {
			return err
		}
	}
	if _, err := l.file.WriteAt(raw, l.at); err != nil {
		return err
	}
	l.at += int64(len(raw))
	return nil
}

// retireStore puts the embedded server's files out of the way, after the log has been found good.
func (j *Journal) retireStore() error {
	stored, err := storedProgrammes(j.cfg.Dir)
	if err != nil || len(stored) == 0 {
		return err
	}
	to := filepath.Join(j.cfg.Dir, retiredDir)
	if err := os.Rename(storeDir(j.cfg.Dir), to); err != nil {
		return fmt.Errorf("put the old store away: %w", err)
	}
	j.cfg.Logger.Info("the journal has been brought over; the old files are no longer needed", zap.String("folder", to))
	return syncFolder(j.cfg.Dir)
}
