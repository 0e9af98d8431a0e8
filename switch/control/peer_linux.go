package control

import (
	"net"
	"os/user"
	"strconv"
	"syscall"
)

// accountOf is the name of the account on the other side of a local connection, or "uid N" where the machine has no name
// for it.
func accountOf(conn net.Conn) string {
	local, ok := conn.(syscall.Conn)
	if !ok {
		return "unknown"
	}
	raw, err := local.SyscallConn()
	if err != nil {
		return "unknown"
	}
	var peer *syscall.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		peer, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil || failed != nil {
		return "unknown"
	}
	uid := strconv.FormatUint(uint64(peer.Uid), 10)
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return "uid " + uid
}
