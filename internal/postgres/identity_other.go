//go:build !linux

package postgres

import (
	"os"
	"syscall"
)

// identities has no user for root here: user namespaces are Linux's.
func identities() []identity {
	if os.Geteuid() == 0 {
		return nil
	}
	return []identity{{name: "the current user", uid: os.Geteuid(), gid: os.Getegid()}}
}

func endWithParent(*syscall.SysProcAttr) {}

// giveWay leaves the priority of the server's processes to the system.
func giveWay(int) {}
