// Program sim plays simulated histories of the whole switch and says whether every invariant held.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"huanxin/internal/mutant"
	"huanxin/switch/sim"
)

func main() { os.Exit(run()) }

func run() int {
	seeds := flag.Uint64("seeds", 2000, "how many seeds to play")
	from := flag.Uint64("from", 1, "the first seed")
	ops := flag.Int("ops", 500, "operations of each history")
	only := flag.String("only", "", "play these operations of the first seed and no other, such as 3,17-20; prints the history")
	show := flag.Bool("history", false, "print the history of the first seed")
	brief := flag.Bool("brief", false, "stop at the first failure and neither shrink nor print it")
	complete := flag.Bool("complete", true, "fail when a fault or crash point has never happened")
	mutants := flag.Bool("mutants", false, "list the build tags of the bugs that the simulation must find")
	flag.Parse()
	if *mutants {
		fmt.Println(strings.Join(mutant.Tags, "\n"))
		return 0
	}
	if *only != "" || *show {
		return replay(*from, *ops, *only)
	}
	debug.SetGCPercent(400) // histories are small and many, and there is memory for two of them
	begun := time.Now()
	total, failed := playAll(*from, *seeds, *ops)
	took := time.Since(begun).Round(time.Millisecond)
	if failed != nil {
		if *brief {
			fmt.Printf("seed %d: %s\n", failed.Seed, failed.Failure)
			return 1
		}
		report(failed, *ops)
		return 1
	}
	fmt.Print(&total)
	if missing := total.Missing(); len(missing) > 0 && *complete {
		fmt.Printf("FAILED: never seen: %s\n", strings.Join(missing, "; "))
		return 1
	}
	fmt.Printf("every invariant held, in %s on %d cores%s\n", took, runtime.GOMAXPROCS(0), mutantNote())
	return 0
}

func mutantNote() string {
	if tag := mutant.Active(); tag != "" {
		return ", although this build is " + tag
	}
	return ""
}

// playAll plays seeds side by side, each in a goroutine of its own from beginning to end, and stops at the lowest that fails.
func playAll(from, seeds uint64, ops int) (total sim.Stats, failed *sim.Result) {
	var next atomic.Uint64
	var stop atomic.Bool
	next.Store(from)
	var mu sync.Mutex
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for !stop.Load() {
				seed := next.Add(1) - 1
				if seed >= from+seeds {
					return
				}
				r := sim.Play(seed, sim.Operations(seed, ops), false)
				mu.Lock()
				total.Add(r.Stats)
				if r.Failure != nil && (failed == nil || r.Seed < failed.Seed) {
					failed = &r
					stop.Store(true)
				}
				mu.Unlock()
			}
		}()
	}
	wait.Wait()
	return total, failed
}

// report shrinks a failure and prints it with the command that plays it again.
func report(failed *sim.Result, n int) {
	fmt.Printf("FAILED: seed %d, %s\n", failed.Seed, failed.Failure)
	ops := sim.Operations(failed.Seed, n)
	left := sim.Shrink(failed.Seed, ops[:min(failed.Failure.After+1, len(ops))], failed.Failure.Invariant, 400)
	r := sim.Play(failed.Seed, sim.Choose(ops, left), true)
	fmt.Printf("shrunk to %d of %d operations: %s\n", len(left), len(ops), r.Failure)
	printHistory(&r)
	fmt.Printf("play it again: bin/sim -from %d -ops %d -only %s\n", failed.Seed, n, ranges(left))
}

func printHistory(r *sim.Result) {
	const most = 400
	from := max(0, len(r.History)-most)
	if from > 0 {
		fmt.Printf("… %d lines before\n", from)
	}
	for _, line := range r.History[from:] {
		fmt.Println(line)
	}
}

func replay(seed uint64, n int, only string) int {
	ops := sim.Operations(seed, n)
	if only != "" {
		indices, err := parse(only)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
		ops = sim.Choose(ops, indices)
	}
	r := sim.Play(seed, ops, true)
	for _, line := range r.History {
		fmt.Println(line)
	}
	fmt.Print(&r.Stats)
	if r.Failure != nil {
		fmt.Printf("FAILED: seed %d, %s\n", seed, r.Failure)
		return 1
	}
	fmt.Println("every invariant held")
	return 0
}

// ranges writes ascending numbers as 3,17-20; parse reads them.
func ranges(list []int) string {
	var parts []string
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && list[j+1] == list[j]+1 {
			j++
		}
		if i == j {
			parts = append(parts, strconv.Itoa(list[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", list[i], list[j]))
		}
		i = j + 1
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ",")
}

func parse(text string) (list []int, err error) {
	if text == "none" {
		return nil, nil
	}
	for _, part := range strings.Split(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		from, err := strconv.Atoi(first)
		if err != nil {
			return nil, fmt.Errorf("operations %q: %w", text, err)
		}
		to := from
		if isRange {
			if to, err = strconv.Atoi(last); err != nil {
				return nil, fmt.Errorf("operations %q: %w", text, err)
			}
		}
		for i := from; i <= to && i < 1_000_000; i++ {
			list = append(list, i)
		}
	}
	slices.Sort(list)
	return list, nil
}
