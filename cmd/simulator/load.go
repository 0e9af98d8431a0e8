package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"huanxin/config/programmes"
	"huanxin/internal/money"
	"huanxin/internal/simulator/load"
	"huanxin/internal/simulator/till"
	"huanxin/subsidy/registry"
	"huanxin/subsidy/table"
)

const loadLong = `Drives the switch with many terminals. With --rate it is an open loop: messages have fixed times, and latencies count
from when a message was due. Without it each terminal sends as soon as it has its answer (closed loop); --connections
times --in-flight terminals are at work.

The mix counts terminal messages: reserve=60,sale=30,ordinary=10 means 30 whole purchases, 30 holds left to expire and 10
ordinary sales. Claims and codes come over HTTP beside it. A lost connection or a missing answer is handled as by a real
terminal: reconnect, 0400 until it is answered, then the next message.

--acknowledged writes every answer as soon as it is read, one JSON line each, for comparison after a crash.`

// loadFlags is what the command line says.
type loadFlags struct {
	to           reach
	rate         float64
	connections  int
	inFlight     int
	terminals    int
	duration     time.Duration
	mix          string
	goods        []string
	expect       []string
	programme    string
	tillsFile    string
	merchants    string
	city         string
	channel      string
	seed         uint64
	feeders      int
	shop         load.Shop
	wallet       float64
	unfriendly   float64
	stuck        float64
	typed        float64
	pin          string
	acknowledged string
	asJSON       bool
	strict       bool
}

func newLoad() *cobra.Command {
	var f loadFlags
	cmd := &cobra.Command{
		Use: "load", Short: "压力发生器 · load generator, open and closed loop", Long: loadLong, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	f.to.register(cmd)
	flags := cmd.Flags()
	flags.Float64Var(&f.rate, "rate", 0, "messages a second (open loop); 0: closed loop")
	flags.IntVar(&f.connections, "connections", 1, "connections to the switch")
	flags.IntVar(&f.inFlight, "in-flight", 0, "terminals at work on each connection; 0: all terminals, spread evenly")
	flags.IntVar(&f.terminals, "terminals", 0, "use only the first so many terminals; 0: all")
	flags.DurationVar(&f.duration, "duration", 10*time.Second, "how long new work is begun")
	flags.StringVar(&f.mix, "mix", "reserve=60,sale=60,ordinary=40", "messages of each kind: reserve, sale, cancel, ordinary;\n"+
		"and stories: void, unvoid, refund, partial, undo, preauth, settle, balance, status, certificate, shop")
	flags.StringSliceVar(&f.goods, "goods", []string{"A11:6901234106664:399.00", "A12:6901234107036:599.00"},
		"what is sold under a hold: category:barcode:price[:imei]")
	flags.StringSliceVar(&f.expect, "expect", nil,
		"answers that are not reported as unexpected, such as sale=51|98 or reserve=57; 00 and 2xx always are")
	flags.StringVar(&f.programme, "programme", "liaoning-2025", "embedded programme whose terminals and merchants are used")
	flags.StringVar(&f.tillsFile, "terminals-file", "", "terminals.csv instead of the programme's")
	flags.StringVar(&f.merchants, "merchants-file", "", "merchants.csv instead of the programme's")
	flags.StringVar(&f.city, "city", "210100", "city of terminals and claims")
	flags.StringVar(&f.channel, "channel", "store", "channel of terminals and claims")
	flags.Uint64Var(&f.seed, "seed", 0, "seed: persons, serial numbers, order of messages; 0: from the clock")
	flags.StringVar(&f.shop.Merchant, "shop", "898210157320016", "merchant of the purchases over HTTP")
	flags.StringVar(&f.shop.Channel, "shop-channel", "online", "its channel")
	flags.StringVar(&f.shop.Delivery, "shop-delivery", "210102", "division where its buyers live")
	flags.Float64Var(&f.wallet, "wallet", 0, "part of the payments, 0 to 1, that are made by payment code")
	flags.Float64Var(&f.stuck, "stuck", 0, "part of the ordinary card sales, 0 to 1, that the simulated network never answers, nor\n"+
		"their reversals")
	flags.Float64Var(&f.typed, "typed", 0, "part of the card payments, 0 to 1, at terminals with keys (--keys) for which a PIN is typed")
	flags.StringVar(&f.pin, "pin", "123456", "that PIN; 123456 is right at the simulated network")
	flags.Float64Var(&f.unfriendly, "unfriendly", 0, "probability that a terminal does what it should not: resend, reverse late,\n"+
		"void or refund twice, settle with wrong totals")
	flags.IntVar(&f.feeders, "feeders", 8, "claims and codes asked for at the same time")
	flags.StringVar(&f.acknowledged, "acknowledged", "", "file for the acknowledged answers (appended)")
	flags.BoolVar(&f.asJSON, "json", false, "print the report as JSON")
	flags.BoolVar(&f.strict, "strict", false, "exit 1 when an answer was unexpected")
	return cmd
}

func (f *loadFlags) run(ctx context.Context, out io.Writer) error {
	cfg, err := f.config()
	if err != nil {
		return err
	}
	if err := f.to.await(ctx, cfg.Line); err != nil {
		return &exitError{1, err}
	}
	if cfg.Mix.Reserve+cfg.Mix.Shop > 0 {
		// The token is written by the switch when it starts, so it is read after that.
		token, err := f.to.token()
		if err != nil {
			return err
		}
		cfg.API = till.NewAPI(f.to.api, token, f.feeders, 15*time.Second)
	}
	if f.acknowledged != "" {
		file, err := os.OpenFile(f.acknowledged, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if err != nil {
			return fmt.Errorf("open file of acknowledged answers: %w", err)
		}
		defer file.Close()
		cfg.Acknowledged = file
	}
	report, err := load.Run(ctx, cfg)
	if report != nil {
		if printErr := f.print(out, report); printErr != nil {
			return printErr
		}
	}
	switch {
	case errors.Is(err, load.ErrConfig):
		return err
	case err != nil:
		return &exitError{1, err}
	case f.strict && len(report.Unexpected) > 0:
		return &exitError{1, fmt.Errorf("%d kinds of unexpected answers", len(report.Unexpected))}
	}
	return nil
}

func (f *loadFlags) print(out io.Writer, report *load.Report) error {
	if !f.asJSON {
		return report.Print(out)
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(report)
}

func (f *loadFlags) config() (load.Config, error) {
	var cfg load.Config
	var err error
	if cfg.Line, err = f.to.line(); err != nil {
		return cfg, err
	}
	if cfg.Mix, err = load.ParseMix(f.mix); err != nil {
		return cfg, err
	}
	if cfg.Goods, err = parseGoods(f.goods); err != nil {
		return cfg, err
	}
	if cfg.Expected, err = parseExpect(f.expect); err != nil {
		return cfg, err
	}
	if cfg.State, err = till.OpenState(f.to.state); err != nil {
		return cfg, err
	}
	run, err := cfg.State.NextRun()
	if err != nil {
		return cfg, err
	}
	cfg.Seed = f.seed
	if cfg.Seed == 0 {
		cfg.Seed = uint64(time.Now().UnixNano())
	}
	// Two runs share no person: a million for each, after those of the scripts.
	cfg.FirstPerson = 10_000_000 + (cfg.Seed*131+run)%220*1_000_000
	if cfg.Tills, cfg.Position, err = f.tills(cfg.Goods); err != nil {
		return cfg, err
	}
	if f.to.state == "" {
		// Without a memory the best is to begin somewhere else each time.
		for i, one := range cfg.Tills {
			cfg.State.TakeSTANs(one.Terminal, uint32((cfg.Seed+uint64(i)*7919)%999_999))
		}
	}
	cfg.Rate, cfg.Connections, cfg.InFlight = f.rate, f.connections, f.inFlight
	if cfg.InFlight == 0 {
		cfg.InFlight = max(1, len(cfg.Tills)/max(1, cfg.Connections))
	}
	cfg.Duration, cfg.City, cfg.Channel, cfg.Feeders = f.duration, f.city, f.channel, f.feeders
	cfg.Shop, cfg.Wallet, cfg.Unfriendly, cfg.Stuck = f.shop, f.wallet, f.unfriendly, f.stuck
	cfg.Typed, cfg.PIN = f.typed, f.pin
	return cfg, nil
}

// tills chooses the active terminals of the city and channel whose merchant sells all the goods; with them it gives the
// place of the first.
func (f *loadFlags) tills(goods []load.Goods) ([]till.Till, till.Position, error) {
	folder, err := programmes.Open(f.programme)
	if err != nil {
		return nil, till.Position{}, err
	}
	merchants, err := readTable(folder, "merchants.csv", f.merchants, registry.MerchantColumns(), registry.ParseMerchant)
	if err != nil {
		return nil, till.Position{}, err
	}
	terminals, err := readTable(folder, "terminals.csv", f.tillsFile, registry.TerminalColumns(), registry.ParseTerminal)
	if err != nil {
		return nil, till.Position{}, err
	}
	sells := make(map[string]registry.Merchant)
	for _, m := range merchants {
		sells[m.ID] = m
	}
	var tills []till.Till
	var position till.Position
	for _, t := range terminals {
		m, known := sells[t.Merchant]
		if !known || t.State != registry.Active || m.State != registry.Active || t.City != f.city || t.Channel != f.channel || !admitted(&m, goods) {
			continue
		}
		if len(tills) == 0 {
			position = till.Position{CRS: "WGS84", Lon: float64(t.Lon) / 1e6, Lat: float64(t.Lat) / 1e6, AgeSeconds: 1}
		}
		tills = append(tills, till.Till{Terminal: t.ID, Merchant: t.Merchant, Name: m.Name, Batch: t.Batch})
		if len(tills) == f.terminals {
			break
		}
	}
	if len(tills) == 0 {
		return nil, position, fmt.Errorf("no active terminal in city %s, channel %s sells the goods", f.city, f.channel)
	}
	return tills, position, nil
}

// groups are the letters that category codes of the sample programme begin with.
var groups = map[byte]string{'A': "appliance", 'B': "digital", 'E': "ebike", 'H': "home"}

func admitted(m *registry.Merchant, goods []load.Goods) bool {
	for _, g := range goods {
		if !m.AdmittedFor(g.Category, groups[g.Category[0]]) {
			return false
		}
	}
	return true
}

func readTable[T any](folder fs.FS, name, file string, columns []string, parse func([]string) (T, error)) ([]T, error) {
	var data []byte
	var err error
	if file != "" {
		name = file
		data, err = os.ReadFile(file)
	} else {
		data, err = fs.ReadFile(folder, name)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	rows, problems := table.Read(data, columns, parse)
	if len(problems) > 0 {
		return nil, fmt.Errorf("%s line %d: %w", name, problems[0].Line, problems[0].Err)
	}
	values := make([]T, len(rows))
	for i, row := range rows {
		values[i] = row.Value
	}
	return values, nil
}

func parseGoods(list []string) ([]load.Goods, error) {
	var goods []load.Goods
	for _, text := range list {
		parts := strings.Split(text, ":")
		if len(parts) < 3 || len(parts) > 4 || parts[0] == "" || len(parts) == 4 && parts[3] != "imei" {
			return nil, fmt.Errorf("goods %q: want category:barcode:price[:imei]", text)
		}
		price, err := money.ParseYuan(parts[2])
		if err != nil || price <= 0 {
			return nil, fmt.Errorf("goods %q: price %q is not an amount in yuan", text, parts[2])
		}
		goods = append(goods, load.Goods{Category: parts[0], Barcode: parts[1], Price: price, IMEI: len(parts) == 4})
	}
	return goods, nil
}

// parseExpect reads kind=code|code entries over what is always expected.
func parseExpect(list []string) (map[load.Kind][]string, error) {
	expected := make(map[load.Kind][]string)
	for _, kind := range load.Kinds() {
		expected[kind] = []string{"00"}
	}
	for _, kind := range []load.Kind{load.Claim, load.Code, load.Order, load.Commit, load.Drop, load.GiveBack, load.LookUp} {
		expected[kind] = []string{"200", "201", "202"} // 202: the payer is still typing the password
	}
	// A reversal ends with these too: the original was declined, or never arrived.
	expected[load.Reversal] = append(expected[load.Reversal], "12", "25")
	expected[load.Settle] = []string{"00 equal"}
	expected[load.Mischief] = []string{
		"resend same", "resend closed", "reverse late 22", "reverse late 00", "void twice 22", "refund twice 22", "refund twice 64",
	}
	for _, text := range list {
		kind, codes, ok := strings.Cut(text, "=")
		if _, known := expected[load.Kind(kind)]; !ok || !known {
			return nil, fmt.Errorf("expect %s: want kind=code|code", strconv.Quote(text))
		}
		expected[load.Kind(kind)] = append(expected[load.Kind(kind)], strings.Split(codes, "|")...)
	}
	return expected, nil
}
