package drill

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

// Volume is a file system of its own for a site's journal, a tmpfs of a few megabytes: full means full, and what is written to it
// then fails with ENOSPC. It is mounted where only the programs that are started through Enter see it, in name spaces of
// their own (Linux, user name spaces where the drill is not root's). A process that holds these ends with the drill, however
// that ends, and the volume with it.
type Volume struct {
	Folder string // where it is mounted, in its name space
	holder *exec.Cmd
	stdin  io.Closer
	spaces []string // nsenter's
}

// ErrNoVolume is returned where the system allows no mount, with what it said.
var ErrNoVolume = errors.New("no file system of its own can be mounted here (it takes user name spaces, or root)")

// newVolume mounts a volume of so many bytes at folder, which exists.
func newVolume(ctx context.Context, folder string, size int64) (*Volume, error) {
	var errs []error
	for _, how := range []struct{ unshare, enter []string }{
		{[]string{"--user", "--map-root-user", "--mount"}, []string{"--user", "--preserve-credentials", "--mount"}},
		{[]string{"--mount"}, []string{"--mount"}},
	} {
		v, err := mountVolume(ctx, folder, size, how.unshare, how.enter)
		if err == nil {
			return v, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("%w: %w", ErrNoVolume, errors.Join(errs...))
}

// mounts says so when the volume is there, and then lives until its standard input ends.
const mounts = `mount -t tmpfs -o "size=$1,mode=0700" huanxin-drill "$2" && echo mounted && exec cat >/dev/null`

func mountVolume(ctx context.Context, folder string, size int64, unshare, enter []string) (_ *Volume, err error) {
	args := append(unshare[:len(unshare):len(unshare)], "sh", "-c", mounts, "sh", strconv.FormatInt(size, 10), folder)
	v := &Volume{Folder: folder, holder: exec.CommandContext(ctx, "unshare", args...)}
	v.holder.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var said strings.Builder
	v.holder.Stderr = &said
	if v.stdin, err = v.holder.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := v.holder.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := v.holder.Start(); err != nil {
		return nil, err
	}
	word := make([]byte, len("mounted"))
	if _, err := io.ReadFull(out, word); err != nil {
		return nil, fmt.Errorf("unshare %s: %w %s", strings.Join(unshare, " "), v.Close(), strings.TrimSpace(said.String()))
	}
	v.spaces = append(append([]string{"nsenter", "--target", strconv.Itoa(v.holder.Process.Pid)}, enter...), "--")
	return v, nil
}

// Enter is the command that starts a program where the volume is seen.
func (v *Volume) Enter() []string { return v.spaces }

// Outside is the volume as this process sees it.
func (v *Volume) Outside() string {
	return filepath.Join("/proc", strconv.Itoa(v.holder.Process.Pid), "root", v.Folder)
}

func (v *Volume) ballast() string { return filepath.Join(v.Outside(), "ballast") }

// Free is how many bytes the volume has left.
func (v *Volume) Free() (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(v.Outside(), &st); err != nil {
		return 0, fmt.Errorf("look at the volume: %w", err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// Leave fills the volume until so many bytes are free, or empties it again so far.
func (v *Volume) Leave(bytes int64) error {
	f, err := os.OpenFile(v.ballast(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	free, err := v.Free()
	if err != nil {
		return err
	}
	if free < bytes {
		return f.Truncate(max(0, size-(bytes-free)))
	}
	_, err = f.Write(make([]byte, free-bytes))
	return ignoring(err, syscall.ENOSPC) // somebody else has had the rest meanwhile
}

// Fill leaves nothing.
func (v *Volume) Fill() error {
	f, err := os.OpenFile(v.ballast(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for block := make([]byte, 1<<20); ; {
		_, err := f.Write(block)
		switch {
		case errors.Is(err, syscall.ENOSPC) && len(block) == 1:
			return nil
		case errors.Is(err, syscall.ENOSPC):
			block = block[:max(1, len(block)/16)]
		case err != nil:
			return err
		}
	}
}

func ignoring(err, harmless error) error {
	if errors.Is(err, harmless) {
		return nil
	}
	return err
}

// Close gives the volume back.
func (v *Volume) Close() error {
	err := v.stdin.Close()
	ended := make(chan error, 1)
	go func() { ended <- v.holder.Wait() }()
	select {
	case waited := <-ended:
		return errors.Join(err, waited)
	case <-time.After(stopLimit):
		return errors.Join(err, v.holder.Process.Kill(), <-ended)
	}
}
