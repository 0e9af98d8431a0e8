// Command drill is what make uses to show and to test the whole: `drill run` is the demonstration, `drill smoke` the same
// with every figure checked, and the other commands frighten a switch of their own and compare the books.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"huanxin/config"
	"huanxin/config/dialects"
	"huanxin/internal/drill"
	"huanxin/switch/iso8583"
)

func main() {
	// SIGHUP too: a closed terminal window must not leave programs behind.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop)
	err := newRootCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "drill:", err)
		os.Exit(1)
	}
}

// options are common to all commands.
type options struct {
	programs string        // folder of huanxin and simulator
	state    string        // folder under which each scenario gets its own
	seed     uint64        // of kill moments and of the unfriendly network
	kills    int           // of kill9
	outage   time.Duration // of postgres-down and host-down
	rate     int           // requests a second
	rewrite  string        // smoke: file to write the receipts to
	begins   time.Duration // campaign: from now
	lasts    time.Duration // campaign
}

const about = `演示与演练。Demonstration, smoke test and drills. A drill starts a switch, hosts and PostgreSQL of its own below --state,
makes trouble while terminals and shops work, and compares the books: what was answered, the journal, PostgreSQL, the hosts' ledgers.
It ends with one line in which every figure but the first must be 0, and exits 1 otherwise. Its folder is kept for a look:
logs, answers, ledgers, journal. internal/drill/README.md says what each does.`

func newRootCommand() *cobra.Command {
	var o options
	root := &cobra.Command{
		Use: "drill", Short: "演示与演练 – demonstration, smoke test and drills", Long: about, SilenceUsage: true, SilenceErrors: true,
	}
	self, err := os.Executable()
	if err != nil {
		self = "bin/drill"
	}
	flags := root.PersistentFlags()
	flags.StringVar(&o.programs, "programs", filepath.Dir(self), "folder of huanxin and simulator")
	flags.StringVar(&o.state, "state", "var", "folder below which smoke and each drill get a folder of their own")
	flags.Uint64Var(&o.seed, "seed", 1, "seed of the moments of a kill and of the unfriendly network")
	flags.IntVar(&o.kills, "kills", 20, "kill9: how often")
	flags.DurationVar(&o.outage, "outage", 45*time.Second, "postgres-down: how long; host-down half of it, wallet a sixth")
	flags.StringVar(&o.rewrite, "rewrite-receipts", "", "smoke: write the receipts to this file instead of comparing them")
	flags.IntVar(&o.rate, "rate", 150, "load: messages a second")
	flags.DurationVar(&o.begins, "begins", 3*time.Second, "campaign: begins so long from now")
	flags.DurationVar(&o.lasts, "lasts", 4*time.Second, "campaign: lasts so long")
	root.AddCommand(
		command("run", "演示并持续服务 – everything on the configured ports, until Ctrl-C", &o, runDemo),
		command("smoke", "同一演示并核对每个数字 – the same on its own ports and folder, every figure checked", &o, smoke),
		command("campaign", "为演示编写一次限时加码 – write a programme with a short campaign, from the rules in force at the switch\n"+
			"that HUANXIN_STATE names", &o, campaign),
		command("all", "every drill, one after the other", &o, all),
	)
	for _, d := range drills {
		root.AddCommand(command(d.name, d.short, &o, scenario(d.play)))
	}
	return root
}

// drills are all drills, in the order in which `drill all` plays them.
var drills = []struct {
	name, short string
	play        func(*drill.Arena, context.Context) error
}{
	{"kill9", "kill -9 under load, then compare the books", (*drill.Arena).Kill9},
	{"kill-points", "the switch ends itself at each named point under load", (*drill.Arena).KillPoints},
	{"after-the-sale", "voids, refunds, reversals and settlements of unfriendly terminals at unfriendly hosts", (*drill.Arena).AfterTheSale},
	{"wallet", "payments that wait, end late or never; a wallet that is restarted", (*drill.Arena).WalletTroubles},
	{"settlement", "one short batch after the other, every total checked", (*drill.Arena).Settlement},
	{"postgres-down", "PostgreSQL stopped under load", (*drill.Arena).PostgresDown},
	{"host-down", "the card network gone under load", (*drill.Arena).HostDown},
	{"link", "lines to hosts and terminals that are slow, narrow, cut, half-open or gone", (*drill.Arena).Link},
	{"postgres-faults", "PostgreSQL killed, stopped, cut off and silent under load", (*drill.Arena).PostgresFaults},
	{"frozen", "switch and hosts stopped for ten seconds at a time; a second switch that wants the journal", (*drill.Arena).Frozen},
	{"two-owners", "two switches on one journal of a cluster: frozen ones that come back, and ones that start beside the living", (*drill.Arena).TwoOwners},
	{"storm", "kill -9 again and again, during starts, recoveries and snapshots", (*drill.Arena).Storm},
	{"journal-full", "the journal's volume full: to its mark, then entirely", (*drill.Arena).JournalFull},
	{"descriptors", "no file descriptor left for anything new, under a flood of connections", (*drill.Arena).Descriptors},
	{"keys", "rotations of keys that are killed half-way, by a switch that is killed too", (*drill.Arena).Keys},
	{"forged", "a copy of the journal edited by hand, which huanxin check must find", (*drill.Arena).Forged},
	{"bad-input", "what terminals should never send", (*drill.Arena).BadInput},
}

func command(use, short string, o *options, run func(context.Context, *options) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		for _, path := range []*string{&o.programs, &o.state} {
			absolute, err := filepath.Abs(*path)
			if err != nil {
				return err
			}
			*path = absolute
		}
		return run(cmd.Context(), o)
	}}
}

const demoScript = "config/simulator/demo.yaml"

// runDemo takes addresses and state from the configuration, as `huanxin serve` does.
func runDemo(ctx context.Context, o *options) error {
	cfg, _, err := config.Load("", os.Environ())
	if err != nil {
		return err
	}
	state, err := filepath.Abs(cfg.State)
	if err != nil {
		return err
	}
	ports := drill.Ports{HTTP: cfg.HTTP.Address}
	for name, address := range map[string]*string{"cup": &ports.CUP, "nac": &ports.NAC, "secure": &ports.Secure, "sm": &ports.SM} {
		if *address = cfg.Listeners[name].Address; *address == "" {
			return fmt.Errorf("the demonstration needs a listener called %s", name)
		}
	}
	network, ok := cfg.Hosts["unionpay"]
	if !ok {
		return errors.New("the demonstration needs a host called unionpay")
	}
	ports.Host = network.Addresses[0]
	purse, err := url.Parse(cfg.Hosts["wallet"].URL)
	if err != nil || purse.Host == "" {
		return errors.New("the demonstration needs a wallet called wallet")
	}
	ports.Wallet = purse.Host
	demo := drill.Demo{
		Site: &drill.Site{Dir: state, Programs: o.programs, Ports: ports, Log: os.Stdout}, Script: demoScript, Out: os.Stdout,
	}
	return demo.Run(ctx)
}

func smoke(ctx context.Context, o *options) error {
	site, err := newSite(o, "smoke")
	if err != nil {
		return err
	}
	demo := drill.Demo{Site: site, Script: demoScript, Out: os.Stdout}
	return demo.Smoke(ctx, o.rewrite)
}

// campaign is what the demonstration's script runs before an operator applies a policy.
func campaign(ctx context.Context, o *options) error {
	cfg, _, err := config.Load("", os.Environ())
	if err != nil {
		return err
	}
	state, err := filepath.Abs(cfg.State)
	if err != nil {
		return err
	}
	c, err := drill.WriteCampaign(ctx, state, time.Now().Add(o.begins), time.Now().Add(o.begins+o.lasts))
	if err != nil {
		return err
	}
	c.Print(os.Stdout)
	return nil
}

// newSite is a fresh folder with free ports.
func newSite(o *options, name string) (*drill.Site, error) {
	ports, err := drill.FreePorts()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(o.state, name)
	if err := drill.Sweep(dir, filepath.Join(o.programs, "huanxin")); err != nil {
		return nil, err
	}
	return &drill.Site{Dir: dir, Programs: o.programs, Ports: ports, Log: os.Stdout}, nil
}

// scenario runs one drill in a folder of its own.
func scenario(play func(*drill.Arena, context.Context) error) func(context.Context, *options) error {
	return func(ctx context.Context, o *options) error {
		arena, err := newArena(o)
		if err != nil {
			return err
		}
		return play(arena, ctx)
	}
}

func newArena(o *options) (*drill.Arena, error) {
	spec, _, err := dialects.Load("", "cup")
	if err != nil {
		return nil, err
	}
	codec, err := iso8583.Compile(spec)
	if err != nil {
		return nil, err
	}
	return &drill.Arena{
		NewSite: func(name string) (*drill.Site, error) { return newSite(o, filepath.Join("drill", name)) },
		Codec:   codec, Seed: o.seed, Kills: o.kills, Outage: o.outage, Rate: o.rate, Out: os.Stdout,
	}, nil
}

// all plays every drill even when one fails: each says what it found.
func all(ctx context.Context, o *options) error {
	arena, err := newArena(o)
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range drills {
		if ctx.Err() != nil {
			break
		}
		errs = append(errs, d.play(arena, ctx))
	}
	return errors.Join(append(errs, ctx.Err())...)
}
