package postgres

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// namespaceUser is the user that the server sees itself as in a user namespace. Any number but 0 does.
const namespaceUser = 1000

// identities are the users that the server may run as, best first. PostgreSQL refuses to run as root.
//
// Root without a choice of user first uses a user namespace: inside, the process is an ordinary user without any
// capability; outside, it is still the owner of root's files, and so it reaches a checkout under root's home or a
// `mktemp -d` folder that no other user can enter. Where the kernel or the container refuses user namespaces, a user of
// the system is taken.
func identities() []identity {
	if os.Geteuid() != 0 {
		return []identity{{name: "the current user", uid: os.Geteuid(), gid: os.Getegid()}}
	}
	out := []identity{{
		name: "an unprivileged user namespace", uid: 0, gid: os.Getegid(),
		start: func(a *syscall.SysProcAttr) {
			a.Cloneflags |= syscall.CLONE_NEWUSER
			a.UidMappings = []syscall.SysProcIDMap{{ContainerID: namespaceUser, HostID: 0, Size: 1}}
			a.GidMappings = []syscall.SysProcIDMap{{ContainerID: namespaceUser, HostID: os.Getegid(), Size: 1}}
		},
	}}
	for _, name := range []string{"postgres", "nobody"} {
		if i, ok := systemUser(name); ok {
			out = append(out, i)
		}
	}
	return out
}

func systemUser(name string) (identity, bool) {
	u, err := user.Lookup(name)
	if err != nil {
		return identity{}, false
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil || uid == 0 {
		return identity{}, false
	}
	return identity{
		name: "user " + name, uid: uid, gid: gid, foreign: true,
		start: func(a *syscall.SysProcAttr) {
			a.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		},
	}, true
}

// endWithParent has the kernel stop the server when this process dies.
func endWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGINT }

// lowPriority is the niceness of processes that give way: they take what nobody else wants.
const lowPriority = 19

// giveWay lowers the priority of one of the server's processes. Where sessions are scheduled as groups (autogroup), a
// process of the server is a session of its own, and its group is what counts. Neither is needed for anything to work:
// where the system refuses, it stays as it is.
func giveWay(pid int) {
	if raw, err := syscall.Getpriority(syscall.PRIO_PROCESS, pid); err == nil && 20-raw < lowPriority {
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, pid, lowPriority)
	}
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", pid), fmt.Append(nil, lowPriority), 0)
}
