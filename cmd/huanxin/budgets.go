package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"huanxin/internal/money"
	"huanxin/switch/control"
)

func yuanText(fen int64) string { return money.Amount(fen).String() }

// newBudgetCommand is `huanxin budget`: the money of the running programme.
func newBudgetCommand() *cobra.Command {
	return group("budget", "补贴资金 – show, release, transfer and lower the budget of the running programme",
		newBudgetShowCommand(), newBudgetAmountCommand("release PATH AMOUNT",
			"追加投放 – put more of a paced leaf at its disposal, beyond its plan",
			func(a *control.BudgetAmount) control.Act { return control.Act{ReleaseBudget: a} }),
		newBudgetTransferCommand(),
		newBudgetAmountCommand("lower PATH AMOUNT",
			"调减额度 – take an amount off a node; its parent has it then, from the root it is gone",
			func(a *control.BudgetAmount) control.Act { return control.Act{LowerBudget: a} }))
}

func newBudgetShowCommand() *cobra.Command {
	var f switchFlags
	var all bool
	cmd := &cobra.Command{
		Use:   "show [PATH]",
		Short: "查询额度 – show a node and the nodes right below it",
		Long:  `PATH is as in budget.yaml, such as 210100/store/A01/r1; without one it is the root. Amounts are yuan.`,
		Args:  arguments(0, 1, "one path or none"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := ""
			if len(args) > 0 {
				path = args[0]
			}
			return show(cmd, &f, func(c *control.Client) ([]control.BudgetNode, error) {
				list, err := c.Budget(cmd.Context(), path)
				if all || err != nil {
					return list, err
				}
				near := list[:0]
				for _, n := range list {
					if depth(n.Path) <= depth(path)+1 {
						near = append(near, n)
					}
				}
				return near, nil
			}, nodeLine)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "全部下级 all nodes below it")
	return cmd
}

// depth is the level of a node; the root's is 0.
func depth(path string) int {
	if path == "" {
		return 0
	}
	n := 1
	for _, c := range path {
		if c == '/' {
			n++
		}
	}
	return n
}

func nodeLine(n *control.BudgetNode) string {
	text := fmt.Sprintf("%-28s 额度 allocated %s  占用 held %s  已用 spent %s  剩余 free %s", "/"+n.Path, n.Allocated,
		n.Held, n.Spent, n.Free)
	if n.Paced {
		text += fmt.Sprintf("  已投放 released %s (人工 by hand %s) %s", n.Released, n.Manual, n.ReleasedOn)
	}
	if n.Closed {
		text += "  已结束 closed"
	}
	return text
}

func newBudgetAmountCommand(use, short string, act func(*control.BudgetAmount) control.Act) *cobra.Command {
	var f actFlags
	cmd := &cobra.Command{
		Use: use, Short: short, Args: arguments(2, 2, "a path (\"\" is the root) and an amount in yuan"),
		RunE: func(cmd *cobra.Command, args []string) error {
			amount, err := parseYuan(args[1])
			if err != nil {
				return err
			}
			return f.run(cmd, act(&control.BudgetAmount{Path: args[0], Amount: amount}))
		},
	}
	f.add(cmd)
	return cmd
}

func newBudgetTransferCommand() *cobra.Command {
	var f actFlags
	cmd := &cobra.Command{
		Use:   "transfer FROM TO AMOUNT",
		Short: "调剂额度 – move allocation from one node to another, and on the way between them",
		Args:  arguments(3, 3, "two paths and an amount in yuan"),
		RunE: func(cmd *cobra.Command, args []string) error {
			amount, err := parseYuan(args[2])
			if err != nil {
				return err
			}
			move := &control.BudgetTransfer{From: args[0], To: args[1], Amount: amount}
			return f.run(cmd, control.Act{TransferBudget: move})
		},
	}
	f.add(cmd)
	return cmd
}
