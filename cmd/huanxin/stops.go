package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"huanxin/switch/control"
	"huanxin/switch/trail"
)

// scopeFlags name what is paused; empty means all.
type scopeFlags struct{ city, category, channel, from string }

func (f *scopeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.city, "city", "", "城市代码 division code (default: all)")
	cmd.Flags().StringVar(&f.category, "category", "", "品类代码 category code (default: all)")
	cmd.Flags().StringVar(&f.channel, "channel", "", "渠道 channel (default: all)")
	cmd.Flags().StringVar(&f.from, "from", "", "自何时起 instant with zone (default: now)")
}

func (f *scopeFlags) scope() (*control.Pausing, error) {
	from, err := parseInstant("--from", f.from)
	return &control.Pausing{City: f.city, Category: f.category, Channel: f.channel, From: from}, err
}

func newPauseCommand() *cobra.Command {
	var f actFlags
	var s scopeFlags
	cmd := &cobra.Command{
		Use:   "pause --city CODE --category CODE --channel CODE [--from T]",
		Short: "暂停补贴 – pause the subsidy of a city, category, channel",
		Long: `Refuses reserves, quotes and claims in the scope as PAUSED (补贴已暂停), from now or from an instant on. What is reserved
already can be paid; voids, refunds and reversals go on. A flag that is left out means all: without any, everything is
paused.`,
		Args: arguments(0, 0, "flags only"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			scope, err := s.scope()
			if err != nil {
				return err
			}
			return f.run(cmd, control.Act{Pause: scope})
		},
	}
	f.add(cmd)
	s.add(cmd)
	return cmd
}

func newResumeCommand() *cobra.Command {
	var f actFlags
	var s scopeFlags
	cmd := &cobra.Command{
		Use:   "resume --city CODE --category CODE --channel CODE [--from T]",
		Short: "恢复补贴 – lift every pause with just this scope",
		Args:  arguments(0, 0, "flags only"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			scope, err := s.scope()
			if err != nil {
				return err
			}
			return f.run(cmd, control.Act{Resume: scope})
		},
	}
	f.add(cmd)
	s.add(cmd)
	return cmd
}

func newPausesCommand() *cobra.Command {
	var f switchFlags
	cmd := &cobra.Command{
		Use:   "pauses",
		Short: "列出暂停与停用 – list pauses, and merchants and terminals that are stopped",
		Args:  arguments(0, 0, "flags only"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := f.client()
			if err != nil {
				return err
			}
			pauses, err := client.Pauses(cmd.Context())
			if err != nil {
				return failed(err)
			}
			stops, err := client.Stops(cmd.Context())
			if err != nil {
				return failed(err)
			}
			out := cmd.OutOrStdout()
			if f.json {
				return writeJSON(out, struct {
					Pauses []control.Pause `json:"pauses"`
					Stops  []control.Stop  `json:"stops"`
				}{pauses, stops})
			}
			for _, p := range pauses {
				fmt.Fprintf(out, "暂停 pause %d  city %s category %s channel %s  %s – %s  %s\n", p.ID, orAll(p.City),
					orAll(p.Category), orAll(p.Channel), p.From, p.To, trail.AuthorityText(p.By))
			}
			for _, s := range stops {
				fmt.Fprintf(out, "停用 stopped  %s%s  %s  %s\n", s.Merchant, s.Terminal, s.Since, trail.AuthorityText(s.By))
			}
			if len(pauses)+len(stops) == 0 {
				fmt.Fprintln(out, "无 none")
			}
			return nil
		},
	}
	f.add(cmd)
	return cmd
}
