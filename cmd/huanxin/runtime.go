package main

import (
	"os"
	"runtime"
)

// threadsPerCore is how many threads may run Go code for each core. A sync of the journal keeps its thread's place for a
// while although it only waits; with no more places than cores nobody else runs there meanwhile.
const threadsPerCore = 4

// useThreads has more of them than the runtime would, unless the environment says how many (GOMAXPROCS).
func useThreads() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(threadsPerCore * runtime.GOMAXPROCS(0))
	}
}
