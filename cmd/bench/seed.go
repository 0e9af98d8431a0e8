package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"huanxin/internal/bench/seed"
)

// newSeedCommand prepares a state folder. It is a process of its own so that its memory is given back.
func newSeedCommand() *cobra.Command {
	var (
		dir     string
		persons int
		resume  bool
		p       seed.Programme
	)
	cmd := &cobra.Command{
		Use: "seed", Short: "预置状态 – prepare a switch's state: a programme in force, persons who show codes", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			begun := time.Now()
			make := func() (*seed.Seeder, error) { return seed.New(cmd.Context(), dir, p) }
			if resume {
				make = func() (*seed.Seeder, error) { return seed.Resume(cmd.Context(), dir) }
			}
			s, err := make()
			if err != nil {
				return err
			}
			if err = s.Crowd(persons); err == nil {
				_, err = s.Snapshot()
			}
			if err := errors.Join(err, s.Close()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "seeded %d persons in %s\n", persons, time.Since(begun).Round(time.Millisecond))
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&dir, "dir", "", "state folder, which must be new unless --resume")
	flags.BoolVar(&resume, "resume", false, "go on where the folder ends, with its own programme")
	flags.IntVar(&persons, "persons", 100_000, "who have claimed and show a code")
	flags.IntVar(&p.Terminals, "terminals", 1024, "beside the sample's")
	flags.IntVar(&p.Products, "products", 0, "beside the sample's")
	flags.DurationVar(&p.HoldLife, "hold-life", 3*time.Minute, "how long a hold lives")
	return cmd
}
