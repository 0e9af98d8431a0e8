package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"huanxin/subsidy/registry"
	"huanxin/subsidy/table"
	"huanxin/switch/control"
)

// parties are merchants or terminals: the same commands for both.
type parties struct {
	name    string // merchant, terminal
	zh      string
	columns []string
	blank   map[string]string // columns that a new row may leave out
	check   func(row []string) error
	read    func(data []byte) (rows [][]string, problems []table.Problem)
	party   func(id string) *control.Party
	rows    func(rows [][]string) *control.ChangeRows
	own     func(*control.Registry) [][]string
	ask     func(id string) (merchant, terminal string)
}

func merchants() *parties {
	return &parties{
		name: "merchant", zh: "商户", columns: registry.MerchantColumns(), blank: map[string]string{"state": "active"},
		check: func(row []string) error { _, err := registry.ParseMerchant(row); return err },
		read: func(data []byte) (rows [][]string, problems []table.Problem) {
			read, problems := registry.ReadMerchants(data)
			for i := range read {
				rows = append(rows, read[i].Value.Record())
			}
			return rows, problems
		},
		party: func(id string) *control.Party { return &control.Party{Merchant: id} },
		rows:  func(rows [][]string) *control.ChangeRows { return &control.ChangeRows{Merchants: rows} },
		own:   func(r *control.Registry) [][]string { return r.Merchants },
		ask:   func(id string) (string, string) { return id, "" },
	}
}

func terminals() *parties {
	return &parties{
		name: "terminal", zh: "终端", columns: append(registry.TerminalColumns(), "serial"),
		blank: map[string]string{"state": "active", "batch": "1"},
		check: func(row []string) error { _, err := registry.ParseTerminal(row); return err },
		read: func(data []byte) (rows [][]string, problems []table.Problem) {
			read, problems := registry.ReadTerminals(data)
			for i := range read {
				rows = append(rows, read[i].Value.Record())
			}
			return rows, problems
		},
		party: func(id string) *control.Party { return &control.Party{Terminal: id} },
		rows:  func(rows [][]string) *control.ChangeRows { return &control.ChangeRows{Terminals: rows} },
		own:   func(r *control.Registry) [][]string { return r.Terminals },
		ask:   func(id string) (string, string) { return "", id },
	}
}

// newPartyCommand is `huanxin merchant` or `huanxin terminal`.
func newPartyCommand(p *parties) *cobra.Command {
	return group(p.name, p.zh+"管理与停用 – register, suspend and stop "+p.name+"s",
		p.newStopCommand(), p.newStartCommand(), p.newAddCommand(), p.newChangeCommand(),
		p.newStateCommand("suspend", "suspended",
			"暂停资格，撤销退货照办 – refuse reserves and sales; voids, refunds and settlement go on"),
		p.newStateCommand("activate", "active", "恢复资格 – admit again"),
		p.newImportCommand(), p.newShowCommand())
}

func (p *parties) newStopCommand() *cobra.Command {
	var f actFlags
	cmd := &cobra.Command{
		Use:   "stop ID",
		Short: "立即停用 – the kill switch: only reversals, settlement, reports and status are taken",
		Args:  arguments(1, 1, "one id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, control.Act{Stop: p.party(args[0])})
		},
	}
	f.add(cmd)
	return cmd
}

func (p *parties) newStartCommand() *cobra.Command {
	var f actFlags
	cmd := &cobra.Command{
		Use:   "start ID",
		Short: "解除停用 – let a stopped " + p.name + " go again",
		Args:  arguments(1, 1, "one id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, control.Act{Start: p.party(args[0])})
		},
	}
	f.add(cmd)
	return cmd
}

func (p *parties) newStateCommand(use, state, short string) *cobra.Command {
	var f actFlags
	cmd := &cobra.Command{
		Use: use + " ID", Short: short, Args: arguments(1, 1, "one id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			party := p.party(args[0])
			change := &control.SetState{Merchant: party.Merchant, Terminal: party.Terminal, State: state}
			return f.run(cmd, control.Act{SetState: change})
		},
	}
	f.add(cmd)
	return cmd
}

func (p *parties) newAddCommand() *cobra.Command {
	var f actFlags
	cmd := &cobra.Command{
		Use:   "add ID column=value …",
		Short: "新增 – register a new " + p.name,
		Long:  "Columns: " + strings.Join(p.columns, ", ") + ". Lists are separated by blanks.",
		Args:  arguments(1, -1, "an id and columns as column=value"),
		RunE: func(cmd *cobra.Command, args []string) error {
			row := make([]string, len(p.columns))
			for i, column := range p.columns {
				row[i] = p.blank[column]
			}
			if err := p.set(row, args); err != nil {
				return err
			}
			act := p.rows([][]string{row})
			act.AddOnly = true
			return f.run(cmd, control.Act{ChangeRows: act})
		},
	}
	f.add(cmd)
	return cmd
}

func (p *parties) newChangeCommand() *cobra.Command {
	var f actFlags
	cmd := &cobra.Command{
		Use:   "change ID column=value …",
		Short: "变更 – change columns of a " + p.name,
		Long: "Columns: " + strings.Join(p.columns[1:], ", ") +
			". Lists are separated by blanks; columns that are not named stay.",
		Args: arguments(2, -1, "an id and columns as column=value"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			client, err := f.client()
			if err != nil {
				return err
			}
			merchant, terminal := p.ask(strings.TrimPrefix(args[0], "id="))
			known, err := client.Registry(cmd.Context(), merchant, terminal)
			if err != nil {
				return failed(err)
			}
			rows := p.own(&known)
			if len(rows) != 1 {
				return fmt.Errorf("no %s %s", p.name, args[0])
			}
			row := slices.Clone(p.whole(rows[0]))
			if err := p.set(row, args); err != nil {
				return err
			}
			act := p.rows([][]string{row})
			act.ChangeOnly = true
			// The whole row goes back, state and all: it must still be the one that was read, or a suspension in between is undone.
			expected := p.rows(rows)
			act.Expected = &control.Registry{Merchants: expected.Merchants, Terminals: expected.Terminals}
			return f.run(cmd, control.Act{ChangeRows: act})
		},
	}
	f.add(cmd)
	return cmd
}

// set writes id and columns into a row and checks the whole.
func (p *parties) set(row []string, args []string) error {
	seen := map[string]bool{}
	for i, arg := range args {
		column, value, found := strings.Cut(arg, "=")
		if i == 0 && !found {
			column, value = "id", arg
		} else if !found {
			return badInput("%q: want column=value", arg)
		}
		at := slices.Index(p.columns, column)
		if at < 0 {
			return badInput("no column %q; there are %s", column, strings.Join(p.columns, ", "))
		}
		if seen[column] {
			return badInput("column %s is given twice", column)
		}
		seen[column] = true
		row[at] = value
	}
	if err := p.check(row); err != nil {
		return &exitError{2, err}
	}
	return nil
}

func (p *parties) newImportCommand() *cobra.Command {
	var f actFlags
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "批量导入 – add or change the rows of a CSV file",
		Long: "The file has the columns of " + p.name + "s.csv: " + strings.Join(p.columns, ",") + `. All rows are checked before the first is sent;
they are sent a thousand at a time, each thousand as a whole. A row that is so already makes no event.`,
		Args: arguments(1, 1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error { return p.load(cmd, &f, args[0]) },
	}
	f.add(cmd)
	return cmd
}

// load reads, checks and sends a file.
func (p *parties) load(cmd *cobra.Command, f *actFlags, path string) error {
	if err := f.check(); err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return &exitError{2, err}
	}
	rows, problems := p.read(data)
	if len(problems) > 0 {
		list := make([]error, min(len(problems), mostShown))
		for i := range list {
			list[i] = fmt.Errorf("%s:%d: %w", path, problems[i].Line, problems[i].Err)
		}
		return &exitError{2, errors.Join(list...)}
	}
	if twice := doubled(rows); twice != "" {
		return badInput("%s: %s %s stands in it twice", path, p.name, twice)
	}
	client, err := f.client()
	if err != nil {
		return err
	}
	total := &control.OperateAnswer{DryRun: f.dryRun, Done: !f.dryRun, Problems: []string{}}
	for sent, chunk := range slices.Collect(slices.Chunk(rows, rowsAtOnce)) {
		answer, err := client.Operate(cmd.Context(), f.request(control.Act{ChangeRows: p.rows(chunk)}))
		if err != nil {
			return failed(fmt.Errorf("rows %d to %d: %w", sent*rowsAtOnce+1, sent*rowsAtOnce+len(chunk), err))
		}
		total.Events = append(total.Events, answer.Events...)
		if len(answer.Problems) > 0 {
			total.Problems, total.Done = answer.Problems, false
			break // what was sent before stands; a second import begins where this one has stopped
		}
	}
	return f.print(cmd.OutOrStdout(), total)
}

// doubled is an id that two rows have, "" when there is none.
func doubled(rows [][]string) string {
	seen := make(map[string]bool, len(rows))
	for _, row := range rows {
		if seen[row[0]] {
			return row[0]
		}
		seen[row[0]] = true
	}
	return ""
}

func (p *parties) newShowCommand() *cobra.Command {
	var f switchFlags
	cmd := &cobra.Command{
		Use:   "show [ID]",
		Short: "查询登记 – show a row, or all",
		Args:  arguments(0, 1, "one id or none"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := f.client()
			if err != nil {
				return err
			}
			var merchant, terminal string
			if len(args) > 0 {
				merchant, terminal = p.ask(args[0])
			}
			known, err := client.Registry(cmd.Context(), merchant, terminal)
			if err != nil {
				return failed(err)
			}
			rows := p.own(&known)
			if len(args) > 0 && len(rows) == 0 {
				return fmt.Errorf("no %s %s", p.name, args[0])
			}
			out := cmd.OutOrStdout()
			if f.json {
				return writeJSON(out, p.named(rows))
			}
			for _, row := range rows {
				row = p.whole(row)
				for i, column := range p.columns {
					if i > 0 {
						fmt.Fprint(out, "  ")
					}
					fmt.Fprintf(out, "%s=%s", column, row[i])
				}
				fmt.Fprintln(out)
			}
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

// named are rows as objects.
func (p *parties) named(rows [][]string) []map[string]string {
	list := make([]map[string]string, len(rows))
	for i, row := range rows {
		list[i] = map[string]string{}
		for j, column := range p.columns {
			list[i][column] = p.whole(row)[j]
		}
	}
	return list
}

// whole is a row with every column: the last may be left out.
func (p *parties) whole(row []string) []string {
	if len(row) < len(p.columns) {
		return append(slices.Clone(row), "")
	}
	return row
}
