package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"huanxin/config"
	"huanxin/internal/simulator/issuer"
	"huanxin/internal/simulator/secret"
)

const hostLong = `Plays a card network with its issuers. It charges, voids, refunds, holds pre-authorisations and gives back in a ledger of
its own, one JSON line for each, and writes the line before the answer leaves; started again on the same file it goes on
where it was.

How it treats a request: the last two digits (fen) of DE4 may order it, else --unfriendly is the probability that it is
treated badly. Whole-yuan prices less 15 or 20 per cent never end in one of these. Done means charged, voided or refunded,
as it was asked:

  01 04 14 41 43 51 54 57 61 62 91 96   declined with that code
  11  approved in part (half, DE39 10)  12 approved with 11        13 approved with A2
  21  lost before it arrives            22 done, no answer         23 done, answered too late
  24  done, answered twice              26 done, disconnected      27 done, half an answer, disconnected
  28  done, answered slowly
  31  done, no answer; first reversal answered 96
  32  done, no answer; first reversal lost
  33  done, no answer; answer of the first reversal lost
  34  done, no answer; no reversal ever arrives          ┐ until POST /reversals
  36  done, no answer; reversed, but never answered      ┘ of the query interface
  46  done, wrong MAC                   47 done, no MAC            48 done, wrong MAC, then answered well
  49  done, no answer; answer of the first reversal with a wrong MAC

Only voids, the sale before is approved:
  71  lost before it arrives            72 done, no answer         73 done, answered too late
  74  done, answered twice              76 done, disconnected      77 done, half an answer, disconnected
  78  declined with 96                  37 38 39  as 31 34 36
Only refunds, the sale before is approved:
  81  lost before it arrives            82 done, no answer         83 done, answered too late
  84  done, answered twice              86 done, disconnected      87 done, half an answer, disconnected
  88  declined with 57

--rules FILE replaces the table: YAML with endings, unfriendly, acts, late-by, slow-by, seed.

The query interface answers GET /ledger with the sums, GET /ledger/RRN with what really happened to a sale, void or refund
(404: it never came), POST /disconnect by hanging up, POST /reversals by answering every reversal from then on.`

func newHost() *cobra.Command {
	var (
		say        speech
		listen     string
		query      string
		ledger     string
		rulesFile  string
		unfriendly float64
		lateBy     time.Duration
		slowBy     time.Duration
		seed       uint64
		cutOver    string
		keys       string
	)
	cmd := &cobra.Command{
		Use: "host", Short: "模拟卡组织，自带账本 · a card network with its own ledger", Long: hostLong, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rules, err := loadRules(rulesFile)
			if err != nil {
				return err
			}
			flags := cmd.Flags()
			if flags.Changed("unfriendly") {
				rules.Unfriendly = unfriendly
			}
			if flags.Changed("late-by") {
				rules.LateBy = lateBy
			}
			if flags.Changed("slow-by") {
				rules.SlowBy = slowBy
			}
			if flags.Changed("seed") {
				rules.Seed = seed
			}
			dayEnds, err := config.ParseTimeOfDay(cutOver)
			if err != nil {
				return fmt.Errorf("--cut-over: %w", err)
			}
			return runHost(cmd.Context(), cmd.OutOrStdout(), &say, listen, query, ledger, keys, rules, time.Duration(dayEnds))
		},
	}
	say.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&listen, "listen", "127.0.0.1:7101", "address to listen on")
	flags.StringVar(&query, "query", "", "address of the HTTP query interface (/ledger, /ledger/RRN, /disconnect, /reversals, /healthz); empty: none")
	flags.StringVar(&ledger, "ledger", "", "ledger file; empty: in memory only")
	flags.StringVar(&keys, "keys", "", "file of test keys in clear, for MACs and PIN blocks; empty: there are neither")
	flags.StringVar(&rulesFile, "rules", "", "rules file (YAML)")
	flags.Float64Var(&unfriendly, "unfriendly", 0, "probability that a request is treated badly")
	flags.DurationVar(&lateBy, "late-by", 20*time.Second, "how long a late answer takes")
	flags.DurationVar(&slowBy, "slow-by", 500*time.Millisecond, "the longest that a slow answer takes")
	flags.Uint64Var(&seed, "seed", 1, "seed of the unfriendly choices")
	flags.StringVar(&cutOver, "cut-over", "23:00", "when the clearing day (DE15) ends, Asia/Shanghai, hh:mm or hh:mm:ss")
	return cmd
}

func loadRules(file string) (issuer.Rules, error) {
	if file == "" {
		return issuer.DefaultRules(), nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return issuer.Rules{}, fmt.Errorf("read rules: %w", err)
	}
	return issuer.ParseRules(text)
}

// bookGC lets a book, which only grows, be walked by the collector a quarter as often: a benchmark of the switch shares its
// processors with the network.
const bookGC = 400

func runHost(ctx context.Context, out io.Writer, say *speech, listen, query, ledgerFile, keyFile string, rules issuer.Rules,
	cutOver time.Duration,
) error {
	codec, framing, err := say.load()
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(bookGC)
	}
	ledger := issuer.NewLedger(nil)
	if ledgerFile != "" {
		if ledger, err = issuer.OpenLedger(ledgerFile); err != nil {
			return err
		}
	}
	defer ledger.Close()
	logger, err := zap.NewProduction()
	if err != nil {
		return fmt.Errorf("make logger: %w", err)
	}
	book, err := secret.Open(keyFile)
	if err != nil {
		return err
	}
	var desk *secret.Desk
	if book.Network != nil {
		if desk, err = secret.NewDesk(*book.Network); err != nil {
			return err
		}
	}
	network, err := issuer.New(issuer.Config{
		Desk:    desk,
		Framing: framing, Codec: codec, Rules: rules, Ledger: ledger, Logger: logger, Now: time.Now, CutOver: cutOver,
	})
	if err != nil {
		return err
	}
	if query != "" {
		stop, err := serveQueries(ctx, query, network, ledger, out)
		if err != nil {
			return err
		}
		defer stop()
	}
	return network.Listen(ctx, listen, func(addr net.Addr) { fmt.Fprintf(out, "card network listens on %s\n", addr) })
}

// serveQueries answers questions about the ledger while the network runs.
func serveQueries(ctx context.Context, address string, network *issuer.Network, ledger *issuer.Ledger, out io.Writer) (stop func(), err error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /ledger", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, ledger.Summary()) })
	mux.HandleFunc("GET /ledger/{rrn}", func(w http.ResponseWriter, r *http.Request) {
		outcome := ledger.Outcome(r.PathValue("rrn"))
		if !outcome.Known {
			http.Error(w, "unknown RRN", http.StatusNotFound)
			return
		}
		writeJSON(w, outcome)
	})
	mux.HandleFunc("POST /disconnect", func(w http.ResponseWriter, _ *http.Request) {
		network.Disconnect()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /reversals", func(w http.ResponseWriter, _ *http.Request) {
		network.AnswerReversals()
		w.WriteHeader(http.StatusNoContent)
	})
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for queries: %w", err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintf(out, "query interface: %v\n", err)
		}
	}()
	fmt.Fprintf(out, "ledger queries on http://%s/ledger\n", listener.Addr())
	return func() {
		server.Close()
		<-done
	}, nil
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
