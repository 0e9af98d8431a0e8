package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"huanxin/switch/keys/store"
)

// manyFlags have one command act on the master keys of many terminals in one edit of the store: all of them, or none.
type manyFlags struct {
	terminals string
	count     int
}

const manyHelp = `Many terminals at once, in one edit of the store – all of them or none – and with an act recorded for each:

  --terminals FILE      tmk/ID of every terminal of a list: one id a line, or a CSV file such as terminals.csv, whose first column is id
  tmk/21010001 --count N  N terminals whose ids follow each other`

func (f *manyFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.terminals, "terminals", "", "终端清单 instead of LABEL: a list of terminals, - is standard input")
	cmd.Flags().IntVar(&f.count, "count", 1, "终端数 terminals, counted up from LABEL")
	cmd.Long = strings.TrimRight(cmd.Long, "\n") + "\n\n" + manyHelp
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed("terminals") {
			return arguments(0, 0, "LABEL or --terminals, not both")(cmd, args)
		}
		return arguments(1, 1, "one label, or --terminals FILE")(cmd, args)
	}
}

// labels are those that a command is about. many is set when they were asked for as such: what is printed is then a list,
// also of one.
func (f *manyFlags) labels(cmd *cobra.Command, args []string) (labels []string, many bool, err error) {
	switch listed, counted := cmd.Flags().Changed("terminals"), cmd.Flags().Changed("count"); {
	case listed && counted:
		return nil, false, badInput("%s: --terminals and --count exclude each other", cmd.CommandPath())
	case listed:
		labels, err = f.listed(cmd)
	case counted:
		labels, err = countUp(args[0], f.count)
	default:
		return args, false, nil
	}
	if err != nil {
		return nil, true, badInput("%s: %w", cmd.CommandPath(), err)
	}
	return labels, true, nil
}

// maxTerminals bounds a list: more than any programme has.
const maxTerminals = 200_000

func (f *manyFlags) listed(cmd *cobra.Command) ([]string, error) {
	from := cmd.InOrStdin()
	if f.terminals != "-" {
		file, err := os.Open(f.terminals)
		if err != nil {
			return nil, fmt.Errorf("--terminals: %w", err)
		}
		defer file.Close()
		from = file
	}
	labels, err := readTerminals(from)
	if err != nil {
		return nil, fmt.Errorf("--terminals: %w", err)
	}
	return labels, nil
}

// readTerminals reads the ids of terminals, in the first column of a CSV file or alone on a line, as labels of their master
// keys. A line that begins with # is a comment, and the first may be the column's name.
func readTerminals(from io.Reader) (labels []string, err error) {
	lines := bufio.NewScanner(from)
	seen := map[string]int{}
	for at := 1; lines.Scan(); at++ {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if line == "" || line[0] == '#' {
			continue
		}
		id, _, _ := strings.Cut(line, ",")
		id = strings.Trim(strings.TrimSpace(id), `"`)
		if id == "id" && len(seen) == 0 {
			continue
		}
		switch before := seen[id]; {
		case !terminalID(id):
			return nil, fmt.Errorf("line %d: its first column is no terminal's id, which is 8 digits or capital letters", at)
		case before > 0:
			return nil, fmt.Errorf("line %d: terminal %s is in line %d, too", at, id, before)
		case len(labels) == maxTerminals:
			return nil, fmt.Errorf("more than %d terminals", maxTerminals)
		}
		seen[id] = at
		labels = append(labels, "tmk/"+id)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(labels) == 0 {
		return nil, errors.New("there is no terminal in it")
	}
	return labels, nil
}

// terminalID reports whether id is one of a terminal (DE41), as the registry takes it.
func terminalID(id string) bool {
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return len(id) == 8
}

// countUp is n labels from first on: the digits at its end are counted up, and keep their width.
func countUp(first string, n int) ([]string, error) {
	id, own := strings.CutPrefix(first, "tmk/")
	if !own || !terminalID(id) {
		return nil, errors.New("--count: LABEL is tmk/ and the 8 characters of a terminal's id")
	}
	head := strings.TrimRight(id, "0123456789")
	width := len(id) - len(head)
	from, err := strconv.Atoi("0" + id[len(head):])
	limit := 1
	for range width {
		limit *= 10
	}
	if width == 0 && n == 1 { // nothing to count up
		return []string{first}, nil
	}
	if err != nil || n < 1 || n > maxTerminals || from+n > limit {
		return nil, fmt.Errorf("--count: from %s on there are at most %d terminals, of which it takes 1 to %d", id, limit-from, maxTerminals)
	}
	labels := make([]string, n)
	for i := range labels {
		labels[i] = fmt.Sprintf("tmk/%s%0*d", head, width, from+i)
	}
	return labels, nil
}

// errSpared is returned by an act that leaves a label as it is.
var errSpared = errors.New("left as it is")

// each acts on every label in one edit. Its error names the label, of which nothing has been done either.
func (f *keyActFlags) each(cmd *cobra.Command, labels []string, act func(*store.Store, *store.Edit, string) (store.Record, error)) (
	s *store.Store, records []store.Record, taken *takenOver, err error,
) {
	records = make([]store.Record, 0, len(labels))
	s, taken, err = f.run(cmd, func(s *store.Store, e *store.Edit) error {
		for _, label := range labels {
			r, err := act(s, e, label)
			if errors.Is(err, errSpared) {
				continue
			}
			if err != nil && len(labels) > 1 {
				return fmt.Errorf("%s: %w; nothing was done, to none of the %d", label, err, len(labels))
			}
			if err != nil {
				return err
			}
			records = append(records, r)
		}
		return nil
	})
	return s, records, taken, err
}

// printKeys prints what became of the keys: of one as printKey does, else a line each and how many.
func (f *keyActFlags) printKeys(cmd *cobra.Command, done string, many bool, s *store.Store, records []store.Record, taken *takenOver) error {
	if !many {
		return f.printKey(cmd, done, s, records[0], taken)
	}
	views := make([]keyView, len(records))
	for i := range records {
		views[i] = viewOf(s, records[i])
	}
	if f.json {
		return writeJSON(cmd.OutOrStdout(), struct {
			Keys   []keyView  `json:"keys"`
			Switch *takenOver `json:"switch"`
		}{views, taken})
	}
	out := bufio.NewWriter(cmd.OutOrStdout())
	for i := range views {
		fmt.Fprintln(out, views[i].text())
	}
	fmt.Fprintf(out, "%s: %d\n%s\n", done, len(views), taken.text())
	return out.Flush()
}
