package main

import (
	"github.com/spf13/cobra"

	"huanxin/internal/bench"
)

func newGraphsCommand(b *bench.Bench, prepare func(*cobra.Command) error) *cobra.Command {
	var folder string
	cmd := &cobra.Command{
		Use: "graphs", Short: "图表 – draw throughput and latency over offered load, connections and state", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := prepare(cmd); err != nil {
				return err
			}
			return b.Graphs(cmd.Context(), folder)
		},
	}
	cmd.Flags().StringVar(&folder, "folder", "docs/performance", "where the drawings go")
	return cmd
}
