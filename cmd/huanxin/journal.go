package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"huanxin/switch/journal"
	"huanxin/switch/trail"
)

// journalPlace is where the commands read: the folder of a journal – also while its switch runs: it is read
// without lock and without a write –, or an external cluster.
type journalPlace struct {
	dir, programme, url string
}

// newJournalCommand is `huanxin journal`: read, check and export the facts of a programme.
func newJournalCommand() *cobra.Command {
	var src journalPlace
	cmd := &cobra.Command{
		Use:   "journal",
		Short: "读取、核验、导出日志 – read, verify and export the journal, also while the switch runs",
		Args:  cobra.NoArgs,
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&src.dir, "dir", "var/journal", "the journal's folder")
	flags.StringVar(&src.programme, "programme", "", "the programme, where the folder does not tell")
	flags.StringVar(&src.url, "url", "", "an external NATS cluster instead of a folder (needs --programme)")
	cmd.AddCommand(newJournalCatCommand(&src), newJournalVerifyCommand(&src), newJournalExportCommand(&src),
		newJournalFetchCommand(&src))
	return cmd
}

func newJournalCatCommand(src *journalPlace) *cobra.Command {
	var from, to uint64
	cmd := &cobra.Command{
		Use:   "cat",
		Short: "逐行输出事件 – print the events as JSON lines, masked",
		Long: `Print the events as JSON lines. The journal holds no card number, track, PIN block, identity number or phone; sealed
envelopes, wrapped keys and the files of a rule bundle are shown by their lengths. --from and --to are event numbers, both included.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := bufio.NewWriterSize(cmd.OutOrStdout(), 1<<16)
			err := src.replay(cmd.Context(), func(b *journal.Batch) error {
				for _, ev := range b.Events {
					if ev.Seq < from {
						continue
					}
					if to != 0 && ev.Seq > to {
						return errEnough
					}
					line, err := trail.AppendLine(nil, b.Position, ev)
					if errors.Is(err, trail.ErrBody) {
						err = journal.ErrVersion
					}
					if err != nil {
						return fmt.Errorf("event %d: %w", ev.Seq, err)
					}
					if _, err := out.Write(append(line, '\n')); err != nil {
						return err
					}
				}
				return nil
			})
			if errors.Is(err, errEnough) {
				err = nil
			}
			return errors.Join(err, out.Flush())
		},
	}
	cmd.Flags().Uint64Var(&from, "from", 1, "first event")
	cmd.Flags().Uint64Var(&to, "to", 0, "last event; 0 = to the end")
	return cmd
}

// errEnough ends a replay early.
var errEnough = errors.New("enough")

func newJournalVerifyCommand(src *journalPlace) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "核验全链 – walk the whole chain; exit 1 and name the position where it breaks",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := src.verify(cmd.Context())
			if err != nil && report.Programme == "" {
				return err
			}
			printReport(cmd.OutOrStdout(), report, err == nil)
			return err
		},
	}
}

func newJournalExportCommand(src *journalPlace) *cobra.Command {
	return &cobra.Command{
		Use:   "export FILE",
		Short: "导出为单个文件 – write the whole journal to one file (- for standard output)",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if src.url != "" {
				return &exitError{code: 2, err: errors.New(`export reads a folder, not a cluster: "huanxin journal fetch" makes one of it`)}
			}
			folder, err := journal.OpenFolder(src.dir, src.programme)
			if err != nil {
				return err
			}
			if args[0] == "-" {
				_, err := folder.Export(cmd.OutOrStdout())
				return err
			}
			f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			report, err := folder.Export(f)
			if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
				return errors.Join(err, os.Remove(args[0])) // a short archive looks like a whole one
			}
			printReport(cmd.OutOrStdout(), report, true)
			return syncFolder(filepath.Dir(args[0]))
		},
	}
}

// newJournalFetchCommand makes of a cluster's journal what the other commands and `huanxin check` read.
func newJournalFetchCommand(src *journalPlace) *cobra.Command {
	return &cobra.Command{
		Use:   "fetch FOLDER",
		Short: "从集群取回到目录 – copy a cluster's journal into a new folder, for check, export and safekeeping (needs --url)",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if src.url == "" {
				return &exitError{code: 2, err: errors.New("fetch copies a cluster's journal: --url is missing")}
			}
			j, err := src.open(cmd.Context())
			if err != nil {
				return err
			}
			defer j.Close()
			report, err := j.CopyTo(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			printReport(cmd.OutOrStdout(), report, true)
			return nil
		},
	}
}

// syncFolder makes the names in a folder durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func printReport(out io.Writer, r journal.Report, whole bool) {
	state := "whole"
	if !whole {
		state = "BROKEN after position " + fmt.Sprint(r.Last.Position)
	}
	fmt.Fprintf(out, "programme  %s\nchain      %s\npositions  1–%d (%d batches, %d bytes)\nevents     1–%d\nlast hash  %x\n",
		r.Programme, state, r.Last.Position, r.Batches, r.Bytes, r.LastSeq, r.Last.Hash)
	if r.Torn != "" {
		fmt.Fprintf(out, "torn       %s: an append in flight, or one that nobody saw acknowledged, which the next start cuts off\n", r.Torn)
	}
}

func (src *journalPlace) replay(ctx context.Context, fn func(*journal.Batch) error) error {
	if src.url == "" {
		folder, err := journal.OpenFolder(src.dir, src.programme)
		if err != nil {
			return err
		}
		return folder.Replay(1, 0, fn)
	}
	j, err := src.open(ctx)
	if err != nil {
		return err
	}
	defer j.Close()
	return j.Replay(ctx, 1, fn)
}

func (src *journalPlace) verify(ctx context.Context) (journal.Report, error) {
	if src.url == "" {
		folder, err := journal.OpenFolder(src.dir, src.programme)
		if err != nil {
			return journal.Report{}, err
		}
		return folder.Verify()
	}
	j, err := src.open(ctx) // which walks the whole chain
	if err != nil {
		return journal.Report{}, err
	}
	defer j.Close()
	return j.Report(), nil
}

func (src *journalPlace) open(ctx context.Context) (*journal.Journal, error) {
	if src.programme == "" {
		return nil, &exitError{code: 2, err: errors.New("--url needs --programme")}
	}
	return journal.Open(ctx, journal.Config{Programme: src.programme, URL: src.url, ReadOnly: true})
}
