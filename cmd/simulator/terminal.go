package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"huanxin/internal/simulator/secret"
	"huanxin/internal/simulator/till"
)

const terminalLong = `Plays a script: buyers claim entitlements and show codes in their app, tills reserve, sell, reverse, and print their
receipts. Every answer is compared with what the script expects; an unexpected one makes the exit code 1.

The state file remembers the terminals' STANs and the number of runs, so that a script can be played again against the
same switch: persons, serial numbers and IMEIs are new ones in each run. config/simulator/demo.yaml shows every step.`

// reach is where the switch is.
type reach struct {
	connect   string
	api       string
	tokenFile string
	state     string
	timeout   time.Duration
	ready     time.Duration
	keys      string
	say       speech
}

func (r *reach) register(cmd *cobra.Command) {
	r.say.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&r.connect, "connect", "127.0.0.1:7001", "terminal port of the switch")
	flags.StringVar(&r.api, "api", "http://127.0.0.1:8080", "HTTP interface of the switch")
	flags.StringVar(&r.tokenFile, "token-file", "var/token", "file with the API token")
	flags.StringVar(&r.state, "state", "", "file in which the terminals remember their STANs; empty: forget at the end")
	flags.DurationVar(&r.timeout, "timeout", 60*time.Second, "how long a terminal waits for an answer")
	flags.StringVar(&r.keys, "keys", "", "file of test keys in clear: its terminals sign on for keys, and send MACs and PIN blocks")
	flags.DurationVar(&r.ready, "wait", 0, "how long to wait for the switch to listen")
}

func (r *reach) line() (till.LineConfig, error) {
	codec, framing, err := r.say.load()
	if err != nil {
		return till.LineConfig{}, err
	}
	book, err := secret.Open(r.keys)
	if err != nil {
		return till.LineConfig{}, err
	}
	pads, err := book.Pinpads()
	if err != nil {
		return till.LineConfig{}, err
	}
	return till.LineConfig{Address: r.connect, Framing: framing, Codec: codec, Timeout: r.timeout, Pinpads: pads}, nil
}

// beside are the lines of terminals that have one of their own: like cfg, but at another address and perhaps in another dialect.
func (r *reach) beside(cfg till.LineConfig, lines map[string]string) (map[string]till.LineConfig, error) {
	others := make(map[string]till.LineConfig, len(lines))
	for name, text := range lines {
		address, dialect, _ := strings.Cut(text, "@")
		one, say := cfg, r.say
		if one.Address = address; dialect != "" {
			say.dialect = dialect
			codec, _, err := say.load()
			if err != nil {
				return nil, fmt.Errorf("--line %s: %w", name, err)
			}
			one.Codec = codec
		}
		others[name] = one
	}
	return others, nil
}

func (r *reach) token() (string, error) {
	text, err := os.ReadFile(r.tokenFile)
	if err != nil {
		return "", fmt.Errorf("read API token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", fmt.Errorf("read API token: %s is empty", r.tokenFile)
	}
	return token, nil
}

// await dials until the switch listens or the wait is over.
func (r *reach) await(ctx context.Context, cfg till.LineConfig) error {
	ctx, cancel := context.WithTimeout(ctx, max(r.ready, cfg.Dial, 5*time.Second))
	defer cancel()
	for {
		line, err := till.DialLine(ctx, cfg)
		if err == nil {
			line.Close()
			return nil
		}
		if r.ready == 0 {
			return err
		}
		timer := time.NewTimer(100 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

func newTerminal() *cobra.Command {
	var to reach
	var script, programs string
	var brief bool
	var lines map[string]string
	cmd := &cobra.Command{
		Use: "terminal", Short: "按脚本购物并打印签购单 · scripted purchases with receipts", Long: terminalLong, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runTerminal(cmd.Context(), cmd.OutOrStdout(), &to, script, programs, lines, brief)
		},
	}
	to.register(cmd)
	cmd.Flags().StringVar(&script, "script", "config/simulator/demo.yaml", "script file")
	cmd.Flags().StringVar(&programs, "programs", "", "folder of the programs that operator steps run; they find the switch by this\n"+
		"process's HUANXIN_ variables")
	cmd.Flags().StringToStringVar(&lines, "line", nil, "name=ADDRESS or name=ADDRESS@DIALECT: another port, of the terminals that name this line in the script")
	cmd.Flags().BoolVar(&brief, "brief", false, "print no receipts")
	return cmd
}

func runTerminal(ctx context.Context, out io.Writer, to *reach, file, programs string, lines map[string]string, brief bool) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read script: %w", err)
	}
	script, err := till.ParseScript(text)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	cfg, err := to.line()
	if err != nil {
		return err
	}
	others, err := to.beside(cfg, lines)
	if err != nil {
		return err
	}
	if len(lines) > 0 {
		cfg.Pinpads = nil // the keys are for those lines
	}
	if err := to.await(ctx, cfg); err != nil {
		return &exitError{1, err}
	}
	// The token is written by the switch when it starts, so it is read after that.
	token, err := to.token()
	if err != nil {
		return err
	}
	state, err := till.OpenState(to.state)
	if err != nil {
		return err
	}
	player := till.Player{
		Script: script, Line: cfg, Lines: others, API: till.NewAPI(to.api, token, 4, 15*time.Second), State: state, Out: out, Now: time.Now, Brief: brief,
		Programs: programs,
	}
	result, err := player.Play(ctx)
	if err != nil {
		return &exitError{1, err}
	}
	fmt.Fprintf(out, "\n%d 项符合预期，%d 项不符 · %d as expected, %d not\n", result.Passed, len(result.Failed), result.Passed, len(result.Failed))
	for _, failure := range result.Failed {
		fmt.Fprintln(out, "  ✗", failure)
	}
	if len(result.Failed) > 0 {
		return &exitError{1, errors.New("an answer was not as the script expects")}
	}
	return nil
}
