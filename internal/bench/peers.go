package bench

import (
	"context"
	"fmt"
	"net"
	"time"

	"huanxin/internal/process"
)

// startPeer runs `bench peer NAME` in dir and waits until it listens.
func (b *Bench) startPeer(ctx context.Context, dir, name string, args ...string) (address string, p *process.Process, err error) {
	addresses, err := freeAddresses(1)
	if err != nil {
		return "", nil, err
	}
	address = addresses[0]
	args = append([]string{"peer", name, "--dir", dir, "--listen", address}, args...)
	if p, err = process.Start(dir, name, b.Program("bench"), args, nil); err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
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
		return "", nil, fmt.Errorf("start %s: %w", name, err)
	}
	return address, p, nil
}
