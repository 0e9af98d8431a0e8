package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"huanxin/subsidy/policy"
	"huanxin/switch/control"
)

func newPolicyApplyCommand() *cobra.Command {
	var f actFlags
	cmd := &cobra.Command{
		Use:   "apply DIR",
		Short: "使方案生效 – put a programme folder into force on the running switch",
		Long: `Checks the folder and runs its golden cases, shows what it changes against the rules in force by city × channel × category,
and applies it as a whole, unless other rules have come into force since the difference was made. A folder without a golden
case is refused: nobody has said what it should decide. It is forward only: what the rules in force say about any instant up to now must stand in the new
ones just so. The budget moves by the difference of the plans. Tables (merchants, terminals, products) are not part of it.

With --dry-run everything is shown and nothing applied.`,
		Args: arguments(1, 1, "one folder or programme name"),
		RunE: func(cmd *cobra.Command, args []string) error { return applyPolicy(cmd, &f, args[0]) },
	}
	f.add(cmd)
	return cmd
}

// policyChange is what `policy apply --json` prints.
type policyChange struct {
	Digest  string                 `json:"digest"`
	InForce string                 `json:"in_force"` // digest before
	Golden  int                    `json:"golden_passed"`
	Changes []policy.Change        `json:"changes"`
	Answer  *control.OperateAnswer `json:"answer"`
}

func applyPolicy(cmd *cobra.Command, f *actFlags, name string) error {
	if err := f.check(); err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	next, files, passed, err := readyProgramme(out, name)
	if err != nil {
		return err
	}
	client, err := f.client()
	if err != nil {
		return err
	}
	inForce, err := client.Policy(cmd.Context())
	if err != nil {
		return failed(err)
	}
	change := policyChange{Digest: hex.EncodeToString(next.Digest[:]), InForce: inForce.Digest, Golden: passed,
		Changes: []policy.Change{}}
	if change.Changes, err = differenceTo(inForce.Files, next); err != nil {
		return err
	}
	if !f.json {
		writeChanges(out, &change)
	}
	change.Answer, err = client.Operate(cmd.Context(),
		f.request(control.Act{ApplyPolicy: &control.ApplyPolicy{Files: policy.Rules(files), InForce: &inForce.Digest}}))
	if err != nil {
		return failed(err)
	}
	if f.json {
		if err := writeJSON(out, &change); err != nil {
			return err
		}
	} else {
		writeAnswer(out, change.Answer)
	}
	if len(change.Answer.Problems) > 0 {
		return &exitError{code: 1}
	}
	return nil
}

// readyProgramme compiles a folder and runs its golden cases; one that fails refuses it, and so does having none.
func readyProgramme(out io.Writer, name string) (p *policy.Programme, files map[string][]byte, passed int, err error) {
	p, files, where, err := loadProgramme(name)
	var problems policy.Problems
	switch {
	case errors.As(err, &problems):
		for _, problem := range problems {
			fmt.Fprintf(out, "%s/%s\n", where, problem)
		}
		return nil, nil, 0, &exitError{1, fmt.Errorf("%s: %d problems", where, len(problems))}
	case err != nil:
		return nil, nil, 0, badInput("%w", err)
	}
	failures := 0
	results := p.RunGolden()
	for _, r := range results {
		if len(r.Failures) > 0 {
			failures++
			fmt.Fprintf(out, "%s/%s:%d: %s: %s\n", where, policy.FileGolden, r.Line, r.Name, strings.Join(r.Failures, "; "))
		}
	}
	if failures > 0 {
		return nil, nil, 0, &exitError{1, fmt.Errorf("refused: %d of %d golden cases failed", failures, len(results))}
	}
	if len(results) == 0 {
		return nil, nil, 0, &exitError{1, fmt.Errorf("refused: 没有对照案例 – %s has no golden case in %s", where, policy.FileGolden)}
	}
	return p, files, len(results), nil
}

// differenceTo compares with the rules in force, which may be none yet.
func differenceTo(inForce map[string][]byte, next *policy.Programme) ([]policy.Change, error) {
	if len(inForce) == 0 {
		return []policy.Change{}, nil
	}
	was, err := policy.Compile(inForce)
	if err != nil {
		return nil, fmt.Errorf("the rules in force cannot be read by this program: %w", err)
	}
	changes := policy.Difference(was, next)
	if changes == nil {
		changes = []policy.Change{}
	}
	return changes, nil
}

func writeChanges(out io.Writer, c *policyChange) {
	fmt.Fprintf(out, "对照案例 golden cases: %d passed\n摘要 digest %s → %s\n变更 changes: %d\n", c.Golden,
		short(c.InForce), short(c.Digest), len(c.Changes))
	for i := range c.Changes {
		if i == mostShown {
			fmt.Fprintf(out, "  … 另有 %d 项 more (--json)\n", len(c.Changes)-i)
			break
		}
		fmt.Fprintf(out, "  %s\n", c.Changes[i].Text())
	}
}

// short is the beginning of a digest.
func short(digest string) string {
	if digest == "" {
		return "-"
	}
	return digest[:min(12, len(digest))]
}

func newPolicyShowCommand() *cobra.Command {
	var f switchFlags
	cmd := &cobra.Command{
		Use:   "show",
		Short: "生效中的方案 – the versions in force on the running switch, and their digest",
		Args:  arguments(0, 0, "flags only"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := f.client()
			if err != nil {
				return err
			}
			inForce, err := client.Policy(cmd.Context())
			if err != nil {
				return failed(err)
			}
			out := cmd.OutOrStdout()
			if f.json {
				inForce.Files = nil // compare digests; the journal has the files
				return writeJSON(out, inForce)
			}
			fmt.Fprintf(out, "方案 programme %s\n摘要 digest %s\n", inForce.Programme, inForce.Digest)
			p, err := policy.Compile(inForce.Files)
			if err != nil {
				return fmt.Errorf("the rules in force cannot be read by this program: %w", err)
			}
			now := time.Now().UnixNano()
			for i := range p.Versions {
				v := &p.Versions[i]
				mark := ""
				if v.From <= now && now < v.To {
					mark = "  生效中 in force"
				}
				fmt.Fprintf(out, "政策版本 version %s  %s – %s%s\n", v.ID, chinaTime(v.From), chinaTime(v.To), mark)
			}
			return nil
		},
	}
	f.add(cmd)
	return cmd
}
