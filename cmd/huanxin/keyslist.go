package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"huanxin/switch/keys/store"
)

func viewOf(s *store.Store, r store.Record) keyView {
	return keyView{
		Label: r.Label, Generation: r.Generation, Purpose: r.Purpose, Algorithm: r.Algorithm, Bits: 8 * r.Length, KCV: r.KCV, Created: r.Created,
		AgeDays: int(r.Age(time.Now()) / (24 * time.Hour)), State: r.State, Exportable: r.Exportable,
	}
}

func newKeysListCommand() *cobra.Command {
	var f storeFlags
	cmd := &cobra.Command{
		Use:   "list [PREFIX]",
		Short: "列出密钥 – list keys with purpose, algorithm, KCV, age and state",
		Long: `Lists the keys whose labels begin with PREFIX, or all. No key is shown, and none can be: a line says label, generation, purpose,
algorithm, bits, check value, age in days and state.

  pending   made, and not in use before: huanxin keys activate LABEL
  active    in use
  former    opens what was sealed under it, and is accepted
  retired   destroyed; what is known of it stays`,
		Args: arguments(0, 1, "at most one prefix of labels"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, _, err := f.open()
			if err != nil {
				return err
			}
			list := []keyView{}
			for _, r := range s.Records() {
				if len(args) == 0 || strings.HasPrefix(r.Label, args[0]) {
					list = append(list, viewOf(s, r))
				}
			}
			if f.json {
				return writeJSON(cmd.OutOrStdout(), list)
			}
			for i := range list {
				fmt.Fprintln(cmd.OutOrStdout(), list[i].text())
			}
			if len(list) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "无 none")
			}
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

func newKeysAuditCommand() *cobra.Command {
	var f storeFlags
	var after uint64
	cmd := &cobra.Command{
		Use:   "audit [--after N]",
		Short: "密钥操作记录 – list every act on the keys, with who, when and why",
		Long: `Lists the acts on the key store. The list is chained: a change, a gap or an older copy is found when the store is opened or, by the
copy in its journal, by the switch.`,
		Args: arguments(0, 0, "flags only"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, _, err := f.open()
			if err != nil {
				return err
			}
			list := s.Audit(after)
			if f.json {
				if list == nil {
					list = []store.Entry{}
				}
				return writeJSON(cmd.OutOrStdout(), list)
			}
			for i := range list {
				e := &list[i]
				who := e.By
				if e.Second != "" {
					who += " + " + e.Second
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%6d  %s  %-10s %s %d  %s %s KCV %s  %s（%s）%s %s\n", e.Seq, e.At, e.Act, e.Label, e.Generation, e.Purpose,
					e.Algorithm, e.KCV, who, e.Reason, e.Document, e.Detail)
			}
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().Uint64Var(&after, "after", 0, "自第几条之后 acts after this number only")
	return cmd
}
