// Package redis is the quota that a team would keep in Redis: a script that takes a person's quota, the budget and the
// serial number in one step, behind a client that pipelines by itself, on a server that syncs its log before it answers
// (appendfsync always). Nothing else of an authorisation is there: no protocol, no rule, no record of a purchase beyond the
// script's own.
package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/redis/rueidis"

	"huanxin/internal/bench/client"
)

// Script takes everything or nothing. It is written for an argument count that is small: Redis hashes the script once, the
// keys are short.
//
//	KEYS  1 the person's quota, 2 the budget, 3 the serial, 4 the counter of holds
//	ARGV  1 items a person may have, 2 the subsidy in fen, 3 the terminal and STAN
//	→     the number of the hold, or -1 quota, -2 budget, -3 serial
const Script = `
if redis.call('EXISTS', KEYS[3]) == 1 then return -3 end
local used = redis.call('INCR', KEYS[1])
if used > tonumber(ARGV[1]) then redis.call('DECR', KEYS[1]) return -1 end
local left = redis.call('DECRBY', KEYS[2], ARGV[2])
if left < 0 then redis.call('INCRBY', KEYS[2], ARGV[2]) redis.call('DECR', KEYS[1]) return -2 end
local hold = redis.call('INCR', KEYS[4])
redis.call('SET', KEYS[3], hold .. ' ' .. ARGV[3])
return hold
`

// ErrMissing is returned when there is no redis-server and none can be installed.
var ErrMissing = errors.New("redis-server is not installed, and this process may not install it (root on Debian may)")

// Ensure finds redis-server, and installs the distribution's package where this process may.
func Ensure(ctx context.Context, out io.Writer) (program string, err error) {
	if program, err = exec.LookPath("redis-server"); err == nil {
		return program, nil
	}
	if _, missing := exec.LookPath("apt-get"); missing != nil || os.Geteuid() != 0 {
		return "", ErrMissing
	}
	fmt.Fprintln(out, "  redis-server is not installed; installing the package")
	if err := install(ctx, out); err != nil {
		return "", fmt.Errorf("%w: %w", ErrMissing, err)
	}
	return exec.LookPath("redis-server")
}

// policyFile forbids Debian's packages to start a service of the system when they are installed: the program is wanted,
// not a server on port 6379.
const policyFile = "/usr/sbin/policy-rc.d"

func install(ctx context.Context, out io.Writer) (err error) {
	policy, err := os.OpenFile(policyFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	switch {
	case err == nil:
		defer func() { err = errors.Join(err, os.Remove(policyFile)) }()
		if _, err := policy.WriteString("#!/bin/sh\nexit 101\n"); err != nil {
			return errors.Join(err, policy.Close())
		}
		if err := policy.Close(); err != nil {
			return err
		}
	case !errors.Is(err, os.ErrExist): // the machine has a policy of its own otherwise
		return err
	}
	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", "redis-server"}} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("apt-get %s: %w", args[0], err)
		}
	}
	return nil
}

// Arguments are those of a server at address (host:port) with its log in dir: every write is synced before it is answered,
// and nothing else is written.
func Arguments(dir, address string) ([]string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	return []string{
		"--bind", host, "--port", port, "--dir", dir, "--daemonize", "no", "--loglevel", "warning", "--save", "",
		"--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0",
	}, err
}

// Quota asks the script.
type Quota struct {
	client  rueidis.Client
	script  *rueidis.Lua
	persons *client.Numbers
}

// Subsidy in fen, as the switch's for the same price; quota of a person.
const (
	subsidy = "59980"
	quota   = "1"
)

// Open connects, and gives the budget as much as anybody can spend.
func Open(ctx context.Context, address string, persons *client.Numbers) (*Quota, error) {
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{address}, DisableCache: true})
	if err != nil {
		return nil, err
	}
	q := &Quota{client: c, script: rueidis.NewLuaScript(Script), persons: persons}
	err = q.check(ctx)
	if err == nil {
		err = c.Do(ctx, c.B().Set().Key("budget").Value("9000000000000000").Build()).Error()
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return q, nil
}

// check tries the script: a peer that decides wrongly is no peer.
func (q *Quota) check(ctx context.Context) error {
	if err := q.client.Do(ctx, q.client.B().Set().Key("try:budget").Value("100").Build()).Error(); err != nil {
		return err
	}
	for _, c := range []struct {
		person, serial string
		subsidy        string
		want           int64
	}{
		{"a", "1", "60", 1}, {"b", "1", "10", -3}, {"a", "2", "10", -1}, {"b", "2", "60", -2}, {"b", "2", "40", 2}, {"c", "3", "1", -2},
	} {
		got, err := q.script.Exec(ctx, q.client, []string{"try:q:" + c.person, "try:budget", "try:s:" + c.serial, "try:holds"},
			[]string{quota, c.subsidy, "try"}).AsInt64()
		if err != nil {
			return err
		}
		if got != c.want {
			return fmt.Errorf("the script says %d to person %s, serial %s, subsidy %s, instead of %d", got, c.person, c.serial, c.subsidy, c.want)
		}
	}
	return nil
}

// Close ends the connection.
func (q *Quota) Close() { q.client.Close() }

// Ask takes the next person's quota. A refusal is an error: every person has one.
func (q *Quota) Ask(ctx context.Context, worker int) (more bool, err error) {
	person, ok := q.persons.Take()
	if !ok {
		return false, nil
	}
	n := strconv.FormatUint(person, 10)
	hold, err := q.script.Exec(ctx, q.client, []string{"q:" + n, "budget", "s:SN" + n, "holds"},
		[]string{quota, subsidy, strconv.Itoa(worker) + "/" + n}).AsInt64()
	if err == nil && hold <= 0 {
		err = fmt.Errorf("person %d was refused with %d", person, hold)
	}
	return true, err
}
