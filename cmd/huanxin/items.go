package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"huanxin/switch/control"
	"huanxin/switch/trail"
)

// newSAFCommand is `huanxin saf`: what is on its way to hosts, or waits for a person.
func newSAFCommand() *cobra.Command {
	return group("saf", "存储转发与待办 – reversals, refunds and payments without an end, dead letters, work items",
		newSAFListCommand(), newSAFShowCommand(), newSAFRetryCommand(), newSAFResolveCommand())
}

func itemLine(i *control.SAFItem) string {
	text := fmt.Sprintf("%-6s %-16s %-8s P%012d  %s  %s  attempts %d  queued %s", i.ID, i.Kind, i.State, i.Purchase,
		i.Amount, i.Host, i.Attempts, i.QueuedAt)
	if i.NextAt != 0 {
		text += "  next " + i.NextAt.String()
	}
	if i.ExpiresAt != 0 {
		text += "  cut-off " + i.ExpiresAt.String()
	}
	return text
}

func newSAFListCommand() *cobra.Command {
	var f switchFlags
	var dead bool
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "列出 – list all of it; R a reversal, F a refund, Q a wallet payment, W a work item",
		Args:  arguments(0, 0, "flags only"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			state := ""
			if dead {
				state = "dead"
			}
			return showCut(cmd, &f, limit, func(c *control.Client, most int) ([]control.SAFItem, error) {
				return c.SAFIn(cmd.Context(), state, most)
			}, itemLine)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&dead, "dead", false, "仅死信 dead letters only")
	addLimit(cmd, &limit)
	return cmd
}

func newSAFShowCommand() *cobra.Command {
	var f switchFlags
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "查看一项 – show one item",
		Args:  arguments(1, 1, "one id, such as R12"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := strings.ToUpper(args[0])
			return show(cmd, &f, func(c *control.Client) ([]control.SAFItem, error) {
				list, err := c.SAF(cmd.Context(), id, 1)
				if err == nil && len(list) == 0 {
					err = fmt.Errorf("no item %s", id)
				}
				return list, err
			}, itemText)
		},
	}
	f.add(cmd)
	return cmd
}

func itemText(i *control.SAFItem) string {
	lines := []string{itemLine(i)}
	add := func(name, value string) {
		if value != "" && value != "0" {
			lines = append(lines, "  "+name+" "+value)
		}
	}
	add("终端 terminal", i.Terminal)
	add("商户 merchant", i.Merchant)
	add("检索号 RRN", i.RRN)
	add("操作 operation", fmt.Sprint(i.Operation))
	add("应答 response", i.Response)
	add("说明 detail", i.Detail)
	return strings.Join(lines, "\n")
}

func newSAFRetryCommand() *cobra.Command {
	f := actFlags{noDocument: true}
	cmd := &cobra.Command{
		Use:   "retry ID",
		Short: "重新发送 – have a dead or refused reversal sent again",
		Args:  arguments(1, 1, "one id, such as R12"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, control.Act{RetryItem: &control.ItemID{ID: strings.ToUpper(args[0])}})
		},
	}
	f.add(cmd)
	return cmd
}

func newSAFResolveCommand() *cobra.Command {
	f := actFlags{noDocument: true}
	var outcome string
	cmd := &cobra.Command{
		Use:   "resolve ID",
		Short: "按清算文件了结 – settle an item by what the clearing file or the inquiry has shown",
		Long: `Settles a dead or refused reversal, a refund without an end, or closes a work item.

--outcome of a reversal: returned (the default: nothing is charged) or charged (a charge stands and is repaid by other means);
of a refund: confirmed or failed, which must be given; a work item has none. An outcome that speaks against an approval of the
host, or that ends the asking of a wallet, needs --document.`,
		Args: arguments(1, 1, "one id, such as R12"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, control.Act{ResolveItem: &control.Resolution{ID: strings.ToUpper(args[0]), Outcome: outcome}})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&outcome, "outcome", "", "结果 returned, charged, confirmed, failed")
	return cmd
}

// newHoldCommand is `huanxin hold`: subsidies that are locked and do not come to an end.
func newHoldCommand() *cobra.Command {
	return group("hold", "滞留的预占 – holds that do not come to an end", newHoldListCommand(), newHoldReleaseCommand())
}

func newHoldListCommand() *cobra.Command {
	var f switchFlags
	var olderThan time.Duration
	var limit int
	cmd := &cobra.Command{
		Use:   "list [--older-than D]",
		Short: "列出 – list them with their age, the oldest first",
		Args:  arguments(0, 0, "flags only"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if olderThan < 0 {
				return badInput("--older-than %s: want 0 or more", olderThan)
			}
			return showCut(cmd, &f, limit, func(c *control.Client, most int) ([]control.Hold, error) {
				return c.Holds(cmd.Context(), olderThan, most)
			}, holdLine)
		},
	}
	f.add(cmd)
	cmd.Flags().DurationVar(&olderThan, "older-than", 0, "至少已滞留 in their state for so long, such as 30m")
	addLimit(cmd, &limit)
	return cmd
}

func holdLine(h *control.Hold) string {
	text := fmt.Sprintf("P%012d  %-10s %s  %s  since %s (%s)  %s", h.Purchase, h.State, h.Subsidy, h.Leaf, h.Since,
		since(h.Since), h.Terminal)
	if h.Proposed != nil {
		text += "  待复核 proposed: " + trail.AuthorityText(h.Proposed)
	}
	return text
}

func newHoldReleaseCommand() *cobra.Command {
	var f actFlags
	cmd := &cobra.Command{
		Use:   "release ID",
		Short: "两人复核释放 – two persons release a hold: the first proposes, the second carries it out",
		Long: `The first call proposes, and the same call by somebody else (--by) within a quarter of an hour carries it out. What was
sent to a host is reversed there; nothing is released that may still be paid.`,
		Args: arguments(1, 1, "the number of a purchase"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parsePurchase(args[0])
			if err != nil {
				return err
			}
			return f.run(cmd, control.Act{ReleaseHold: &control.PurchaseID{Purchase: id}})
		},
	}
	f.add(cmd)
	return cmd
}
