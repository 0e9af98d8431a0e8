package main

import (
	"os"
	"runtime"
)

// useThreads has one thread more run Go code than the runtime would, unless the environment says how many (GOMAXPROCS). A sync
// of the journal keeps its thread's place for a while although it only waits; with no more places than cores nobody else runs
// there meanwhile. With more than one to spare, threads take the cores from each other and from the one that decides.
func useThreads() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
}
