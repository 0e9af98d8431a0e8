package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"

	"github.com/spf13/cobra"

	"huanxin/internal/bench/year"
	"huanxin/switch/engine"
)

// newYearCommand makes a year of history, or finds that it is there. It is a process of its own, as seed is.
func newYearCommand() *cobra.Command {
	var (
		cfg       year.Config
		cpu, heap string
		gc        int
	)
	cmd := &cobra.Command{
		Use: "year", Short: "一年的历史 – make a year of purchases, refunds and settlements", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			debug.SetGCPercent(gc)
			cfg.Log = func(format string, args ...any) { fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...) }
			if cpu != "" {
				file, err := os.Create(cpu)
				if err != nil {
					return err
				}
				defer file.Close()
				if err := pprof.StartCPUProfile(file); err != nil {
					return err
				}
				defer pprof.StopCPUProfile()
			}
			cfg.Probe = func(*engine.Engine) {
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				cfg.Log("heap at the end: %d MB in %d objects", m.HeapAlloc>>20, m.HeapObjects)
				if heap != "" {
					writeHeap(heap, cfg.Log)
				}
			}
			m, err := year.Make(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			cfg.Log("%d purchases, %d refunds, %d events in %d batches, %d MB, in %.0f s", m.Purchases, m.Refunds, m.Events, m.Batches, m.Bytes>>20, m.Seconds)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&cfg.Dir, "dir", "", "state folder")
	flags.IntVar(&cfg.Persons, "persons", 0, "who have a used entitlement in the end")
	flags.IntVar(&cfg.Terminals, "terminals", 0, "default 50000")
	flags.IntVar(&cfg.Products, "products", 0, "default 500000")
	flags.IntVar(&cfg.Days, "days", 0, "default 300")
	flags.IntVar(&cfg.Tail, "tail", 0, "events after the snapshot, default 1000000")
	flags.StringVar(&cpu, "cpu", "", "file of a CPU profile")
	flags.StringVar(&heap, "heap", "", "file of a heap profile at the end")
	flags.IntVar(&gc, "gc", 100, "GOGC")
	return cmd
}

func writeHeap(name string, log func(string, ...any)) {
	file, err := os.Create(name)
	if err == nil {
		err = pprof.WriteHeapProfile(file)
		file.Close()
	}
	if err != nil {
		log("heap profile: %v", err)
	}
}
