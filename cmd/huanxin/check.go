package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"huanxin/config"
	"huanxin/internal/money"
	"huanxin/internal/postgres"
	"huanxin/risk/geo"
	"huanxin/switch/check"
	"huanxin/switch/engine"
	"huanxin/switch/journal"
)

// checkFlags are those of `huanxin check`.
type checkFlags struct {
	config, dir, programme, database, work string
	noDatabase, alone, json, quiet         bool
	limit                                  int
}

// newCheckCommand is `huanxin check`: everything that follows from the journal against everything that is kept beside it.
func newCheckCommand() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check [ARCHIVE…]",
		Short: "全面核对 – replay the journal and compare budgets, entitlements, purchases, snapshots and the database with it",
		Long: `Replay the whole journal, verify its chain, and recompute from the events alone every budget node, entitlement, serial
number, purchase, void, refund, reversal and work item. What comes out is compared with the engine's state, the snapshots, the
cold log and the rows in PostgreSQL. It reads only, takes no lock, and may run beside a switch that serves.

An ARCHIVE is a file of "huanxin journal export": it must be a beginning of the journal. With --alone it is replayed by itself
and nothing is held against it.

Exit codes: 0 nothing differs, 1 something differs or could not be read, 2 bad input.`,
		RunE: func(cmd *cobra.Command, archives []string) error { return f.run(cmd, archives) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "配置文件 settings of the switch (default: as for serve)")
	flags.StringVar(&f.dir, "dir", "", "日志目录 the journal's folder, instead of looking into the settings")
	flags.StringVar(&f.programme, "programme", "", "the programme, where the folder does not tell")
	flags.StringVar(&f.database, "database", "", "数据库 URL of PostgreSQL, instead of looking into the settings")
	flags.BoolVar(&f.noDatabase, "no-database", false, "不核对数据库 leave the rows in PostgreSQL alone")
	flags.BoolVar(&f.alone, "alone", false, "只核对归档文件 replay the ARCHIVE by itself")
	flags.StringVar(&f.work, "work", "", "临时目录 folder for temporary files (default: the system's)")
	flags.IntVar(&f.limit, "limit", 100, "最多列出 differences listed; all are counted")
	flags.BoolVar(&f.json, "json", false, "输出 JSON – print JSON for machines")
	flags.BoolVar(&f.quiet, "quiet", false, "不报进度 no progress on standard error")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return badInput("%w", err) })
	return cmd
}

func (f *checkFlags) run(cmd *cobra.Command, archives []string) error {
	cfg, err := f.checked(archives)
	if err != nil {
		return err
	}
	begun := time.Now()
	if !f.quiet {
		cfg.Progress = func(position, seq uint64) {
			fmt.Fprintf(cmd.ErrOrStderr(), "position %d, event %d, %s\n", position, seq, time.Since(begun).Round(time.Second))
		}
	}
	report, err := check.Run(cmd.Context(), cfg)
	if errors.Is(err, journal.ErrMissing) || errors.Is(err, journal.ErrProgramme) || errors.Is(err, os.ErrNotExist) {
		return &exitError{2, err}
	}
	if err != nil {
		return err
	}
	if f.json {
		out := json.NewEncoder(cmd.OutOrStdout())
		out.SetIndent("", "  ")
		err = out.Encode(report)
	} else {
		printCheck(cmd.OutOrStdout(), report)
	}
	if err == nil && report.Found > 0 {
		err = &exitError{code: 1}
	}
	return err
}

// checked says what is to be checked.
func (f *checkFlags) checked(archives []string) (check.Config, error) {
	cfg := check.Config{Folder: f.dir, Programme: f.programme, Archives: archives, Work: f.work, Limit: f.limit}
	switch {
	case f.limit < 1:
		return cfg, badInput("--limit %d: want 1 or more", f.limit)
	case f.alone && len(archives) != 1:
		return cfg, badInput("--alone replays one ARCHIVE, and there are %d", len(archives))
	case f.alone && (f.dir != "" || f.database != ""):
		return cfg, badInput("--alone compares with nothing: leave --dir and --database out")
	}
	province, err := geo.Load(geo.LiaoningGeoJSON)
	if err != nil {
		return cfg, fmt.Errorf("load the map of the province: %w", err)
	}
	cfg.Engine = engine.Config{Map: province} // a replay reads nothing else of it
	if f.alone {
		return cfg, nil
	}
	url := f.database
	if f.dir == "" || url == "" && !f.noDatabase {
		if url, err = f.configured(&cfg, url); err != nil {
			return cfg, err
		}
	}
	if url != "" && !f.noDatabase {
		cfg.Database = func(ctx context.Context) (check.Database, error) { return openFrozen(ctx, url) }
	}
	return cfg, nil
}

// configured takes from the settings what the flags do not say, and returns the database's URL, "" for none.
func (f *checkFlags) configured(cfg *check.Config, url string) (string, error) {
	c, _, err := config.Load(f.config, os.Environ())
	if err != nil {
		return "", &exitError{2, err}
	}
	if f.dir == "" && c.Journal.URL != "" {
		return "", badInput("journal.url: check reads a folder or an archive, not a cluster: " +
			`"huanxin journal fetch FOLDER --url URL --programme NAME" copies its journal into one, which --dir names`)
	}
	cfg.Folder = cmp.Or(cfg.Folder, c.Path(c.Journal.Folder))
	switch {
	case url != "" || f.noDatabase || !c.Database.Enabled:
		return url, nil
	case c.Database.URL != "":
		return c.Database.URL, nil
	}
	url, err = postgres.PrivateURL(c.Path(c.Database.Folder))
	if err != nil {
		return "", fmt.Errorf("database: %w (leave it out with --no-database)", err)
	}
	return url, nil
}

// frozen is the rows at one moment with the pool that they are read through.
type frozen struct {
	*postgres.Frozen
	pool *postgres.Database
}

func (f frozen) Close() {
	f.Frozen.Close()
	f.pool.Close()
}

func openFrozen(ctx context.Context, url string) (check.Database, error) {
	pool, err := postgres.Open(ctx, postgres.Config{URL: url, Connections: 1})
	if err != nil {
		return nil, err
	}
	rows, err := pool.Freeze(ctx)
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("%w (a stopped switch's own server: huanxin db start --dir; or leave it out with --no-database)", err)
	}
	return frozen{rows, pool}, nil
}

// printCheck prints a report for people.
func printCheck(w io.Writer, r *check.Report) {
	amount := func(fen int64) money.Amount { return money.Amount(fen) }
	rate := 0.0
	if s := r.Took.Seconds(); s > 0 {
		rate = float64(r.Events) / s
	}
	t := r.Totals
	fmt.Fprintf(w, "项目 programme     %s\n来源 source        %s\n", r.Programme, r.Source)
	fmt.Fprintf(w, "位置 head          position %d, event %d, hash %s\n", r.Position, r.Events, r.Hash)
	fmt.Fprintf(w, "用时 took          %s, %.0f events/s, %d bytes\n", r.Took.Round(time.Millisecond), rate, r.Bytes)
	fmt.Fprintf(w, "预算 budget        allocated %s, held %s, spent %s, free %s\n", amount(t.Allocated), amount(t.Held), amount(t.Spent),
		amount(t.Allocated-t.Held-t.Spent))
	fmt.Fprintf(w, "资格 entitlements  %d, %d used; %d persons × categories; %d serial numbers taken\n", t.Entitlements, t.EntitlementsUsed,
		t.PersonsByCategory, t.Serials)
	fmt.Fprintf(w, "购买 purchases     %d, %d with a subsidy, %d open holds, %d captured: charged %s, refunded %s, subsidy returned %s\n", t.Purchases,
		t.Subsidised, t.OpenHolds, t.Captured, amount(t.Charged), amount(t.Refunded), amount(t.Returned))
	fmt.Fprintf(w, "待办 queues        %d of %d reversals, %d of %d voids and refunds, %d of %d work items without an end\n", t.ReversalsOpen,
		t.Reversals, t.OperationsOpen, t.Operations, t.ItemsOpen, t.Items)
	for _, s := range r.Snapshots {
		fmt.Fprintf(w, "快照 snapshot      %s: %s\n", s.Name, equalText(s))
	}
	for _, a := range r.Archives {
		fmt.Fprintf(w, "归档 archive       %s to position %d: %s\n", a.Name, a.Position, equalText(a))
	}
	if d := r.Database; d != nil {
		fmt.Fprintf(w, "数据库 database    position %d, event %d:", d.Position, d.Events)
		for _, name := range slices.Sorted(maps.Keys(d.Rows)) {
			fmt.Fprintf(w, " %s %d", name, d.Rows[name])
		}
		fmt.Fprintln(w)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "说明 note          %s\n", note)
	}
	for _, d := range r.Differences {
		fmt.Fprintf(w, "差异 difference    %s\n", d)
	}
	left := 0
	for _, s := range r.Snapshots {
		if !s.Compared {
			left++
		}
	}
	if left > 0 {
		fmt.Fprintf(w, "未核对 NOT COMPARED %d snapshots, see the notes\n", left)
	}
	if r.Found == 0 {
		fmt.Fprintln(w, "一致 clean         0 differences")
	} else {
		fmt.Fprintf(w, "不一致 DIFFERENT   %d differences\n", r.Found)
	}
}

func equalText(c check.Compared) string {
	switch {
	case !c.Compared:
		return "未核对 NOT COMPARED"
	case c.Equal:
		return "一致 equal"
	}
	return "不一致 DIFFERENT"
}
