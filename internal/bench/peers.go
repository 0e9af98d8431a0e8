package bench

import (
	"context"
	"fmt"
	"net"
	"time"

	"huanxin/internal/bench/client"
	"huanxin/internal/bench/redis"
	"huanxin/internal/process"
)

// startPeer runs `bench peer NAME` in dir and waits until it listens.
func (b *Bench) startPeer(ctx context.Context, dir, name string, args ...string) (address string, p *process.Process, err error) {
	addresses, err := freeAddresses(1)
	if err != nil {
		return "", nil, err
	}
	args = append([]string{"peer", name, "--dir", dir, "--listen", addresses[0]}, args...)
	p, err = startListening(ctx, dir, name, b.Program("bench"), addresses[0], args)
	return addresses[0], p, err
}

// peerLimit bounds the start of a peer; a first start makes a database cluster.
const peerLimit = 2 * time.Minute

// startListening starts a program and waits until somebody listens at address.
func startListening(ctx context.Context, dir, name, program, address string, args []string) (*process.Process, error) {
	p, err := process.Start(dir, name, program, args, nil)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, peerLimit)
	defer cancel()
	err = p.Await(ctx, name, func(ctx context.Context) error {
		nc, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return nc.Close()
	})
	if err != nil {
		p.Kill()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// plenty of persons for a peer that has none prepared.
const plenty = 1 << 40

// limitRound measures the limit once.
func (b *Bench) limitRound(ctx context.Context, s shape) (*client.Run, error) {
	dir, err := b.Folder("limit")
	if err != nil {
		return nil, err
	}
	address, p, err := b.startPeer(ctx, dir, "limit")
	if err != nil {
		return nil, err
	}
	defer p.Kill()
	s.persons = plenty
	run, _, err := b.reserves(ctx, s, guarded{address: address}, true)
	return run, err
}

// naiveRound measures the server on a database once. Its cluster stays from round to round, its tables do not.
func (b *Bench) naiveRound(ctx context.Context, s shape) (_ *client.Run, err error) {
	address, p, err := b.startPeer(ctx, b.place("naive"), "naive")
	if err != nil {
		return nil, err
	}
	defer func() {
		if stopped := p.Stop(stopLimit); err == nil {
			err = stopped
		}
	}()
	s.persons = plenty
	run, _, err := b.reserves(ctx, s, guarded{address: address}, false)
	return run, err
}

// redisRound measures the quota script once.
func (b *Bench) redisRound(ctx context.Context, s shape) (*client.Run, error) {
	program, err := redis.Ensure(ctx, b.Log)
	if err != nil {
		return nil, err
	}
	dir, err := b.Folder("redis")
	if err != nil {
		return nil, err
	}
	addresses, err := freeAddresses(1)
	if err != nil {
		return nil, err
	}
	args, err := redis.Arguments(dir, addresses[0])
	if err != nil {
		return nil, err
	}
	p, err := startListening(ctx, dir, "redis", program, addresses[0], args)
	if err != nil {
		return nil, err
	}
	defer p.Kill()
	quota, err := redis.Open(ctx, addresses[0], client.NewNumbers(0, plenty))
	if err != nil {
		return nil, err
	}
	defer quota.Close()
	loop := client.Workers{Workers: s.slots(), WarmUp: s.warmUp, Duration: s.lasts, Ask: quota.Ask}
	return loop.Run(ctx)
}
