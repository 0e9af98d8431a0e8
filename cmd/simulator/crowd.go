package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"huanxin/internal/simulator/crowd"
)

// newCrowd is `simulator crowd`: connections that a port must bear beside its work.
func newCrowd() *cobra.Command {
	var c crowd.Crowd
	cmd := &cobra.Command{
		Use: "crowd", Short: "空闲连接与慢速连接 – idle connections and slow-lorises, until SIGTERM", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			r, err := c.Run(cmd.Context(), func() {
				fmt.Fprintf(out, "已就绪 ready: %d idle, %d slow, %d slow over HTTP\n", c.Idle, c.Loris, c.HTTPLoris)
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "空闲 idle %d 被切断 cut %d\n", r.Idle, r.Cut)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&c.Address, "connect", "127.0.0.1:7001", "address of a port for terminals")
	flags.IntVar(&c.Idle, "idle", 10_000, "connections that say nothing")
	flags.IntVar(&c.Loris, "loris", 200, "connections that say a byte a second")
	flags.StringVar(&c.HTTP, "http", "127.0.0.1:8080", "address of the HTTP interface")
	flags.IntVar(&c.HTTPLoris, "http-loris", 0, "connections to it that say a byte a second")
	return cmd
}
