package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	simulated "huanxin/internal/simulator/load"
)

// The volume of JournalFull. A new segment takes 64 MiB and 4 MiB beside it; the journal is at its high-water mark below
// fullBelow. tight is above the mark and has no room for a segment.
const (
	volumeSize = 128 << 20
	fullBelow  = 16 << 20
	tight      = 40 << 20
)

// JournalFull fills the volume of the journal under load: first to the mark, and room comes again; then entirely, until the
// journal's segment is used up, the switch ends and a start with room goes on.
func (a *Arena) JournalFull(ctx context.Context) (err error) {
	site, err := a.prepare("journal-full", "HUANXIN_JOURNAL_MIN_FREE=16MiB", "HUANXIN_SNAPSHOT_EVERY=2s")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Stop(), site.database(context.WithoutCancel(ctx), "stop")) }()
	// Its own user could not be had in the volume's name space.
	if err := site.databaseOutside(ctx); err != nil {
		return err
	}
	folder := site.file("journal")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	volume, err := newVolume(ctx, folder, volumeSize)
	if err != nil {
		return fmt.Errorf("journal-full: %w", err)
	}
	defer func() { err = errors.Join(err, volume.Close()) }()
	site.Wrap, site.Journal = volume.Enter(), volume.Outside()
	if err := site.StartHost(ctx); err != nil {
		return err
	}
	if err := site.StartServe(ctx); err != nil {
		return err
	}
	plan := Plan{Mix: filling, Wallet: part, Unfriendly: impudence}
	return a.trouble(ctx, site, "journal-full", plan, refusedForRoom, func() error {
		for _, step := range []func(context.Context, *Volume) error{site.whileSegmentIsMade, site.atTheMark, site.untilItEnds} {
			if err := step(ctx, volume); err != nil {
				return err
			}
		}
		return nil
	})
}

// filling has few reserves in it, and no shops, which would ask again and again, so that the journal grows while reserves are refused.
const filling = "reserve=12,sale=12,ordinary=80,void=10,unvoid=10,refund=6,partial=10,undo=10,preauth=10,settle=2"

// refusedForRoom demands that tills have met the mark.
func refusedForRoom(report *simulated.Report) error {
	if reserves := report.Kinds[simulated.Reserve]; reserves == nil || reserves.Answer["96"] == 0 {
		return errors.New("no reserve was refused with 96, so the volume was never full")
	}
	return nil
}

// whileSegmentIsMade fills the volume while the next segment is being written: the file system itself refuses the rest of it.
func (s *Site) whileSegmentIsMade(ctx context.Context, v *Volume) error {
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	err := s.Serve.Await(ctx, "the next segment to be begun", func(context.Context) error {
		begun, err := filepath.Glob(filepath.Join(s.journalDir(), "log", "*.seg.new"))
		if err == nil && len(begun) == 0 {
			err = errors.New("no segment is being made")
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := v.Fill(); err != nil {
		return fmt.Errorf("fill the volume: %w", err)
	}
	return s.logged(ctx, "no space left on device")
}

// logged waits until the switch has said something.
func (s *Site) logged(ctx context.Context, text string) error {
	return s.Serve.Await(ctx, fmt.Sprintf("%q in the log of the switch", text), func(context.Context) error {
		log, err := os.ReadFile(s.Serve.Log())
		if err == nil && !strings.Contains(string(log), text) {
			err = errors.New("it has not said so yet")
		}
		return err
	})
}

// atTheMark: new reserves and claims are refused, everything else goes on, and with room again they are taken, without anybody doing
// anything.
func (s *Site) atTheMark(ctx context.Context, v *Volume) error {
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	if err := v.Leave(fullBelow / 2); err != nil {
		return err
	}
	refused := func(ctx context.Context) (float64, error) {
		return s.Counter(ctx, "huanxin_engine_refused_total", "cause", "journal-full")
	}
	before, err := refused(ctx)
	if err != nil {
		return err
	}
	position, err := s.Counter(ctx, "huanxin_journal_position")
	if err != nil {
		return err
	}
	err = s.Serve.Await(ctx, "refusals at the mark while the rest goes on", func(ctx context.Context) error {
		now, err := refused(ctx)
		if err != nil {
			return err
		}
		at, err := s.Counter(ctx, "huanxin_journal_position")
		if err == nil && (now < before+20 || at < position+200) {
			err = fmt.Errorf("%.0f refusals, %.0f batches", now-before, at-position)
		}
		return err
	})
	if err != nil {
		return err
	}
	if before, err = refused(ctx); err != nil {
		return err
	}
	at, err := s.Counter(ctx, "huanxin_journal_position")
	if err != nil {
		return err
	}
	s.say("  at the mark: %.0f reserves and claims refused, %.0f batches written", before, at-position)
	if err := v.Leave(tight); err != nil {
		return err
	}
	book, err := s.book()
	if err != nil {
		return err
	}
	taken := len(book.Reserves)
	err = s.Serve.Await(ctx, "reserves to be taken again", func(context.Context) error {
		book, err := s.book()
		if err == nil && len(book.Reserves) < taken+20 {
			err = fmt.Errorf("%d since", len(book.Reserves)-taken)
		}
		return err
	})
	if err == nil {
		s.say("  with room again reserves are taken by themselves")
	}
	return err
}

// untilItEnds leaves the volume full until the segment is used up: snapshots fail, then an append, which ends the switch.
func (s *Site) untilItEnds(ctx context.Context, v *Volume) error {
	limit, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	began := time.Now()
	for ended := false; !ended; {
		if err := v.Fill(); err != nil { // what old snapshots give back, too
			return err
		}
		select {
		case <-s.Serve.Done():
			ended = true
		case <-limit.Done():
			return fmt.Errorf("the journal does not fill up: %w", limit.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
	log, err := os.ReadFile(s.Serve.Log())
	if err != nil {
		return err
	}
	for _, want := range []string{"snapshot not saved", "answers dropped unsent"} {
		if !strings.Contains(string(log), want) {
			return fmt.Errorf("the switch ended without %q; the end of %s:\n%s", want, s.Serve.Log(), s.Serve.Tail(12))
		}
	}
	if err := s.Serve.Finish(stopLimit); !gaveUp(err) {
		return fmt.Errorf("the switch ended, but not because its journal was full: %w", err)
	}
	s.say("  without any room the switch ended after %v, as it must", time.Since(began).Round(time.Second))
	if err := v.Leave(volumeSize); err != nil {
		return err
	}
	return s.StartServe(ctx)
}
