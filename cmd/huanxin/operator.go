package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"huanxin/config"
	"huanxin/internal/money"
	"huanxin/switch/control"
	"huanxin/switch/trail"
)

// The operator's commands speak to a running switch over its control socket. All of them end with 0 done, 1 refused or
// failed, 2 bad input.

// switchFlags say which switch is meant and how its answer is printed.
type switchFlags struct {
	config, socket string
	json           bool
}

func (f *switchFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.config, "config", "", "配置文件 settings of the switch (default: as for serve)")
	cmd.Flags().StringVar(&f.socket, "socket", "", "控制套接字 its control socket, instead of looking into the settings")
	cmd.Flags().BoolVar(&f.json, "json", false, "输出 JSON – print JSON for machines")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return badInput("%w", err) })
}

// client finds the switch.
func (f *switchFlags) client() (*control.Client, error) {
	path := f.socket
	if path == "" {
		cfg, _, err := config.Load(f.config, os.Environ())
		if err != nil {
			return nil, &exitError{2, err}
		}
		path = cfg.Path(cfg.Control.Socket)
	}
	return control.NewClient(path)
}

// failed gives an error of the client its exit code.
func failed(err error) error {
	var refused *control.Refusal
	if errors.As(err, &refused) && refused.Status == http.StatusBadRequest {
		return &exitError{2, err}
	}
	return err
}

// actFlags are those of a command that acts.
type actFlags struct {
	switchFlags
	by, reason, document string
	dryRun               bool
	noDocument           bool // the command does not demand one
}

func (f *actFlags) add(cmd *cobra.Command) {
	f.switchFlags.add(cmd)
	cmd.Flags().StringVar(&f.by, "by", "", "经办人 who orders it (required)")
	cmd.Flags().StringVar(&f.reason, "reason", "", "事由 why (required)")
	document := "文号 number of the notice, decision or ticket (required)"
	if f.noDocument {
		document = "文号 number of the notice, decision or ticket"
	}
	cmd.Flags().StringVar(&f.document, "document", "", document)
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "试运行 show what would happen, and do nothing")
}

func (f *actFlags) check() error {
	switch {
	case strings.TrimSpace(f.by) == "":
		return badInput("--by is missing: who orders it?")
	case strings.TrimSpace(f.reason) == "":
		return badInput("--reason is missing: why?")
	case strings.TrimSpace(f.document) == "" && !f.noDocument:
		return badInput("--document is missing: the number of the notice, decision or ticket")
	}
	return nil
}

func (f *actFlags) request(act control.Act) *control.OperateRequest {
	return &control.OperateRequest{By: f.by, Reason: f.reason, Document: f.document, DryRun: f.dryRun, Act: act}
}

// run checks the flags, carries out one act and prints what came of it.
func (f *actFlags) run(cmd *cobra.Command, act control.Act) error {
	if err := f.check(); err != nil {
		return err
	}
	client, err := f.client()
	if err != nil {
		return err
	}
	answer, err := client.Operate(cmd.Context(), f.request(act))
	if err != nil {
		return failed(err)
	}
	return f.print(cmd.OutOrStdout(), answer)
}

// print writes an answer; a refused act is exit code 1.
func (f *actFlags) print(out io.Writer, a *control.OperateAnswer) error {
	if f.json {
		if err := writeJSON(out, a); err != nil {
			return err
		}
	} else {
		writeAnswer(out, a)
	}
	if len(a.Problems) > 0 {
		return &exitError{code: 1}
	}
	return nil
}

func writeAnswer(out io.Writer, a *control.OperateAnswer) {
	switch {
	case len(a.Problems) > 0:
		fmt.Fprintln(out, "拒绝 refused:")
		for _, problem := range a.Problems {
			fmt.Fprintf(out, "  %s\n", problem)
		}
	case a.DryRun:
		fmt.Fprintln(out, "试运行，未执行 dry run, nothing was done. It would be:")
	case len(a.Events) == 0:
		fmt.Fprintln(out, "无变化 nothing to change")
	default:
		fmt.Fprintln(out, "已执行 done:")
	}
	for i, line := range a.Events {
		if i == mostShown {
			fmt.Fprintf(out, "  … 另有 %d 条 more (--json)\n", len(a.Events)-i)
			break
		}
		fmt.Fprintf(out, "  %s\n", eventText(line))
	}
}

// mostShown bounds a list that is printed for people; --json has all of it.
const mostShown = 200

// eventText is an event as one line: its number where it has one, its name and body, with instants that people can read.
func eventText(line json.RawMessage) string {
	var ev struct {
		Seq  uint64         `json:"seq"`
		Type string         `json:"type"`
		Body map[string]any `json:"body"`
	}
	if json.Unmarshal(line, &ev) != nil {
		return string(line)
	}
	for name, value := range ev.Body {
		if text, ok := value.(string); ok && strings.HasSuffix(name, "At") {
			if at, err := strconv.ParseInt(text, 10, 64); err == nil {
				ev.Body[name] = trail.Instant(at).String()
			}
		}
	}
	var body bytes.Buffer
	if err := writeJSON(&body, ev.Body); err != nil {
		return string(line)
	}
	text := ev.Type + " " + strings.TrimSpace(body.String())
	if ev.Seq == 0 {
		return text
	}
	return fmt.Sprintf("#%d %s", ev.Seq, text)
}

func writeJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// show asks for a list and prints it, a line for each, or as JSON.
func show[T any](cmd *cobra.Command, f *switchFlags, ask func(*control.Client) ([]T, error), line func(*T) string) error {
	client, err := f.client()
	if err != nil {
		return err
	}
	list, err := ask(client)
	if err != nil {
		return failed(err)
	}
	out := cmd.OutOrStdout()
	if f.json {
		return writeJSON(out, list)
	}
	return writeLines(out, list, line)
}

// cutList is a list that may be cut, as JSON.
type cutList[T any] struct {
	Items []T  `json:"items"`
	More  bool `json:"more"` // there are more than these
}

func addLimit(cmd *cobra.Command, limit *int) {
	cmd.Flags().IntVar(limit, "limit", control.MostListed, "最多 at most")
}

// showCut prints a list of at most limit entries. It asks for one more, so that nobody takes a list that was cut for all.
func showCut[T any](cmd *cobra.Command, f *switchFlags, limit int, ask func(c *control.Client, most int) ([]T, error),
	line func(*T) string,
) error {
	if limit < 1 || limit > control.MostListed {
		return badInput("--limit %d: want 1 to %d", limit, control.MostListed)
	}
	client, err := f.client()
	if err != nil {
		return err
	}
	list, err := ask(client, limit+1)
	if err != nil {
		return failed(err)
	}
	more := len(list) > limit
	list = list[:min(limit, len(list))]
	out := cmd.OutOrStdout()
	if f.json {
		return writeJSON(out, cutList[T]{list, more})
	}
	if err := writeLines(out, list, line); err != nil || !more {
		return err
	}
	_, err = fmt.Fprintf(out, "… 还有更多 there are more than %d; the others are not shown\n", limit)
	return err
}

func writeLines[T any](out io.Writer, list []T, line func(*T) string) error {
	if len(list) == 0 {
		fmt.Fprintln(out, "无 none")
	}
	var text bytes.Buffer
	for i := range list {
		text.WriteString(line(&list[i]) + "\n")
	}
	_, err := out.Write(text.Bytes())
	return err
}

// group is a command that only has others below it.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return badInput("%s: no command %q", cmd.CommandPath(), args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return badInput("%w", err) })
	cmd.AddCommand(commands...)
	return cmd
}

// arguments demands so many arguments, and says with their names what is missing.
func arguments(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || most >= 0 && len(args) > most {
			return badInput("%s: want %s", cmd.CommandPath(), what)
		}
		return nil
	}
}

// parsePurchase reads the number of a purchase: with or without P, with or without leading zeros.
func parsePurchase(text string) (uint64, error) {
	digits := strings.TrimPrefix(strings.TrimPrefix(text, "P"), "p")
	id, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || id == 0 {
		return 0, badInput("%q: want the number of a purchase, such as P000000000012", text)
	}
	return id, nil
}

// parseEntitlement reads the number of an entitlement: with or without E.
func parseEntitlement(text string) (uint64, error) {
	digits := strings.TrimPrefix(strings.TrimPrefix(text, "E"), "e")
	id, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || id == 0 {
		return 0, badInput("--entitlement %q: want the number of an entitlement", text)
	}
	return id, nil
}

func parseYuan(text string) (money.Amount, error) {
	amount, err := money.ParseYuan(text)
	if err != nil {
		return 0, badInput("amount %w", err)
	}
	if amount <= 0 {
		return 0, badInput("amount %s: want more than zero", text)
	}
	return amount, nil
}

// parseInstant reads an instant with its zone; "" is now, and stays 0.
func parseInstant(flag, text string) (trail.Instant, error) {
	if text == "" {
		return 0, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.Year() < 1970 || at.Year() > 2200 {
		return 0, badInput("%s %q: want an instant with zone, such as 2025-06-18T10:00:00+08:00", flag, text)
	}
	return trail.Instant(at.UnixNano()), nil
}

// orAll names a part of a scope; empty means all of it.
func orAll(code string) string {
	if code == "" {
		return "*"
	}
	return code
}

// since is how long ago an instant was, as people say it.
func since(at trail.Instant) string {
	return time.Since(time.Unix(0, int64(at))).Truncate(time.Second).String()
}
