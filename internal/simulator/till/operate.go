package till

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"huanxin/internal/money"
)

// commandLimit bounds a command of an operator.
const commandLimit = 30 * time.Second

// operate runs a command, with traffic at another till around it when the script wants that.
func (p *Player) operate(ctx context.Context, step *Step) error {
	want := step.Operator
	if p.Programs == "" {
		return errors.New("there is no folder of programs to run an operator's command from")
	}
	program := want.Program
	if program == "" {
		program = "huanxin"
	}
	args := make([]string, len(want.Args))
	for i, arg := range want.Args {
		args[i] = p.expand(arg)
	}
	traffic := p.traffic(ctx, want.Meanwhile)
	text, err := p.command(ctx, program, args)
	sold, trafficErr := traffic()
	if err = errors.Join(err, trafficErr); err != nil && !want.Fails {
		return fmt.Errorf("%s %s: %w", program, strings.Join(args, " "), err)
	}
	p.say("$ %s %s", program, commandLine(args))
	if !want.Quiet {
		for line := range strings.Lines(text) {
			p.say("  %s", strings.TrimRight(line, "\n"))
		}
	}
	if want.Meanwhile != nil {
		p.say("  同时完成普通消费 %d 笔", sold)
	}
	if want.Fails && err == nil {
		return errors.New("the command succeeded")
	}
	for _, words := range want.Says {
		if !strings.Contains(text, p.expand(words)) {
			return fmt.Errorf("the command does not say %q but:\n%s", words, text)
		}
	}
	return p.learn(want, text)
}

// learn keeps what the script wants to know of a command's output.
func (p *Player) learn(want *OperatorStep, text string) error {
	for name, pattern := range want.Learn {
		found := regexp.MustCompile(p.expand(pattern)).FindStringSubmatch(text)
		if len(found) != 2 {
			return fmt.Errorf("%s: the command's output has no %s:\n%s", name, pattern, text)
		}
		p.learnt[name] = found[1]
	}
	return nil
}

// commandLine shows arguments as they would be typed.
func commandLine(args []string) string {
	shown := make([]string, len(args))
	for i, arg := range args {
		shown[i] = arg
		if arg == "" || strings.ContainsAny(arg, " \t'\"*?$") {
			shown[i] = "'" + arg + "'"
		}
	}
	return strings.Join(shown, " ")
}

// command runs a program to its end and returns what it prints, standard error behind standard output.
func (p *Player) command(ctx context.Context, program string, args []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(p.Programs, program), args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	text := out.String() + errs.String()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, strings.TrimRight(text, "\n"))
	}
	return text, err
}

// traffic sells in the background, on a line of its own. The function it returns waits for the end, and says how many
// sales were approved.
func (p *Player) traffic(ctx context.Context, want *Traffic) func() (int, error) {
	if want == nil {
		return func() (int, error) { return 0, nil }
	}
	var sold int
	var err error
	done := make(chan struct{})
	begun := make(chan struct{})
	go func() {
		defer close(done)
		sold, err = p.sell(ctx, want, begun)
	}()
	select { // the command comes into the middle of it
	case <-begun:
	case <-done:
	}
	return func() (int, error) {
		<-done
		return sold, err
	}
}

// sell makes ordinary sales one after the other; begun is closed after the first.
func (p *Player) sell(ctx context.Context, want *Traffic, begun chan<- struct{}) (int, error) {
	line, err := DialLine(ctx, p.Line)
	if err != nil {
		return 0, err
	}
	defer line.Close()
	quiet := Player{Script: p.Script, State: p.State, Out: io.Discard, Brief: true}
	s := &story{till: p.Script.Terminals[want.Till]}
	card := p.Script.Cards[want.Card]
	for n := range want.Sales {
		r, err := quiet.request(s, false, 0)
		if err != nil {
			return n, err
		}
		r.MTI, r.Kind, r.Card, r.Amount = 0x0200, KindSale, &card, money.Amount(want.Amount)
		a, err := line.Ask(ctx, &r)
		if err != nil {
			return n, err
		}
		if a.Refused() {
			return n, fmt.Errorf("sale %d of the traffic was answered %s %s", n+1, a.Response, refusalText(a))
		}
		p.State.Enter(r.Terminal, RecordOf(&r, 0))
		if n == 0 {
			close(begun)
		}
	}
	return want.Sales, p.State.Save()
}
