// Package process runs other programs of the project beside the one that runs: their output in a log file, their id in a
// file, ended by that id, waited for until they are ready. The drills and the bench use it; the switch does not.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is one program that was started here. It leads a process group of its own, so that Ctrl-C reaches only the
// supervisor, which then stops its programs in the right order.
type Process struct {
	Name string
	cmd  *exec.Cmd
	log  *os.File
	pid  string // file
	done chan struct{}
	err  error // of Wait; read after done
}

// Start starts program with its output in DIR/NAME.log and its process id in DIR/NAME.pid. env is added to this
// process's own.
func Start(dir, name, program string, args, env []string) (*Process, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Process{Name: name, log: log, pid: filepath.Join(dir, name+".pid"), done: make(chan struct{})}
	p.cmd = exec.Command(program, args...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		log.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := os.WriteFile(p.pid, []byte(strconv.Itoa(p.cmd.Process.Pid)+"\n"), 0o600); err != nil {
		p.Kill()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Log is the file that the program's output goes to.
func (p *Process) Log() string { return p.log.Name() }

// Kill ends the program at once, as a power cut would end its process, and waits until it is gone.
func (p *Process) Kill() {
	// An error means that it has ended by itself, which is what is wanted.
	_ = p.cmd.Process.Kill()
	p.gone()
}

// Signal sends the program a signal, such as SIGSTOP.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("%v to %s: %w", sig, p.Name, err)
	}
	return nil
}

// Stop asks the program to end and waits. After timeout it is killed and that is an error. Stopping a program that has
// already ended reports how it ended.
func (p *Process) Stop(timeout time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // as in Kill
	return p.Finish(timeout)
}

// Finish waits until the program has ended and reports how. After timeout it is killed and that is an error.
func (p *Process) Finish(timeout time.Duration) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.Kill()
		return fmt.Errorf("%s did not end within %v and was killed; see %s", p.Name, timeout, p.Log())
	}
	p.gone()
	if p.err != nil {
		return fmt.Errorf("%s ended with %w; the end of %s:\n%s", p.Name, p.err, p.Log(), p.Tail(8))
	}
	return nil
}

// PID is the program's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

func (p *Process) gone() {
	<-p.done
	// Neither can be mended here: the program is gone, its files are swept by `make clean`.
	_ = os.Remove(p.pid)
	_ = p.log.Close()
}

// Tail is the end of the program's log, for error texts.
func (p *Process) Tail(lines int) string {
	file, err := os.Open(p.Log())
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > 16<<10 {
		if _, err := file.Seek(-16<<10, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return "    " + strings.Join(all[max(0, len(all)-lines):], "\n    ")
}

// ErrEnded is returned when a program that should be running has ended by itself.
var ErrEnded = errors.New("program ended by itself")

// Await repeats check until it returns nil. It gives up when ctx or the program ends, with the last reason of check.
func (p *Process) Await(ctx context.Context, what string, check func(context.Context) error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("wait for %s: %w: %s; the end of %s:\n%s", what, ErrEnded, p.Name, p.Log(), p.Tail(12))
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %w", what, ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// Run runs a program to its end and returns its standard output. Standard error is part of the error.
func Run(ctx context.Context, program string, args, env []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 5 * time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s %s: %w\n%s", filepath.Base(program), strings.Join(args, " "), err, strings.TrimRight(errs.String(), "\n"))
	}
	return out, nil
}
