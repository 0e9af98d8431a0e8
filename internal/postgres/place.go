package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// identity is a user that the server can run as.
type identity struct {
	name     string
	uid, gid int
	foreign  bool                         // not this process's own user: folders must be given to it
	start    func(a *syscall.SysProcAttr) // nil: nothing special
}

// command prepares a program under this identity, in a session of its own: Ctrl-C at the terminal reaches us alone, and
// we stop the server when we are ready.
func (i identity) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = "/"
	// Nothing of the caller's environment, where PGDATA or PGPORT may stand, reaches the server.
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin", "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if i.start != nil {
		i.start(cmd.SysProcAttr)
	}
	return cmd
}

// place is where one cluster lives and who runs it.
type place struct {
	identity identity
	folder   string // holds data
	socket   string // folder of the socket
	// elsewhere says that folder is not the wanted one: where anybody may make folders, it must be ours.
	elsewhere bool
}

func (p place) data() string { return filepath.Join(p.folder, "data") }

// socketPort only names the socket file; there is no TCP port.
const socketPort = 5432

// maxSocketPath keeps the socket's path below what a sockaddr_un holds on every system (104 bytes on some).
const maxSocketPath = 99

func socketFile(folder string) string {
	return filepath.Join(folder, ".s.PGSQL."+strconv.Itoa(socketPort))
}

// choosePlace returns where the server can run: where a cluster already is, so that a second start finds the first one's
// rows, otherwise the first of all that the server's user can write to.
func choosePlace(ctx context.Context, all []place, b Binaries) (place, error) {
	for _, p := range all {
		if info, err := os.Lstat(p.data()); err == nil && !info.IsDir() {
			// Somebody's mistake, which another place would only hide.
			return place{}, fmt.Errorf("%s is not a folder", p.data())
		}
	}
	for _, p := range all {
		if owner, ok := ownerOf(filepath.Join(p.data(), "PG_VERSION")); ok && owner == p.identity.uid {
			if p.prepare(ctx, b) == nil {
				return p, nil
			}
		}
	}
	refusals := make([]error, 0, len(all))
	for _, p := range all {
		err := p.prepare(ctx, b)
		if err == nil {
			return p, nil
		}
		refusals = append(refusals, fmt.Errorf("%s as %s: %w", p.folder, p.identity.name, err))
	}
	return place{}, fmt.Errorf("no user can run PostgreSQL here: %w", errors.Join(refusals...))
}

// places are the candidates: the wanted folder under each identity, then, for root, folders that a user of the system can
// reach.
func places(wanted string) []place {
	var out []place
	for _, i := range identities() {
		out = append(out, place{identity: i, folder: wanted, socket: socketFolder(wanted, i)})
	}
	for _, i := range identities() {
		if !i.foreign {
			continue
		}
		for _, elsewhere := range []string{
			filepath.Join("/var/lib/huanxin", keyOf(wanted)),
			filepath.Join(os.TempDir(), "huanxin-postgres-"+keyOf(wanted)),
		} {
			out = append(out, place{identity: i, folder: elsewhere, elsewhere: true, socket: socketFolder(elsewhere, i)})
		}
	}
	return out
}

func ownerOf(path string) (uid int, ok bool) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(s.Uid), true
}

// keyOf is a short name that tells one wanted folder from another.
func keyOf(folder string) string {
	sum := sha256.Sum256([]byte(folder))
	return hex.EncodeToString(sum[:6])
}

// socketFolder is folder/run, or a short private folder for temporary files when that path is too long for a socket.
func socketFolder(folder string, i identity) string {
	run := filepath.Join(folder, "run")
	if len(socketFile(run)) <= maxSocketPath {
		return run
	}
	name := "huanxin-" + strconv.Itoa(i.uid) + "-" + keyOf(folder)
	if run = filepath.Join(os.TempDir(), name); len(socketFile(run)) <= maxSocketPath {
		return run
	}
	return filepath.Join("/tmp", name)
}

// prepare makes the folders and tries as that user whether it can write there and run the binaries.
func (p place) prepare(ctx context.Context, b Binaries) error {
	// Open to pass through, because the server may be another user; data and run inside are closed.
	if err := os.MkdirAll(p.folder, 0o755); err != nil {
		return err
	}
	if owner, ok := ownerOf(p.folder); p.elsewhere && (!ok || owner != os.Geteuid()) {
		return fmt.Errorf("%s is not ours", p.folder)
	}
	for _, f := range []string{p.data(), p.socket} {
		if err := p.own(f); err != nil {
			return err
		}
	}
	probe := p.identity.command("/bin/sh", "-c",
		`umask 077; for d in "$2" "$3"; do : >"$d/probe.huanxin" && rm "$d/probe.huanxin" || exit 1; done; exec "$1" --version`,
		"probe", filepath.Join(b.Folder, "postgres"), p.data(), p.socket)
	done := make(chan error, 1)
	go func() {
		out, err := probe.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// own makes a closed folder that belongs to the server's user. A folder that is there already is taken only when it
// belongs to that user or to us: under a folder for temporary files anybody could have put it there first.
func (p place) own(folder string) error {
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := os.Lstat(folder)
	if err != nil {
		return err
	}
	owner, ok := ownerOf(folder)
	if !info.IsDir() || !ok || (owner != p.identity.uid && owner != os.Geteuid()) {
		return fmt.Errorf("%s is not a folder of ours", folder)
	}
	if owner != p.identity.uid {
		empty, err := isEmpty(folder)
		if err != nil {
			return err
		}
		if !empty { // a cluster of another identity, which must find its files unchanged
			return fmt.Errorf("%s belongs to user %d", folder, owner)
		}
		if err := os.Chown(folder, p.identity.uid, p.identity.gid); err != nil {
			return err
		}
	}
	return os.Chmod(folder, 0o700)
}

func isEmpty(folder string) (bool, error) {
	entries, err := os.ReadDir(folder)
	return len(entries) == 0, err
}
