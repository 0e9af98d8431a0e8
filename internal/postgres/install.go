package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// Ensure returns the installed binaries, and installs the distribution's server package first when there are none and
// this process may: root on Debian or a system made from it. It says on out what it does. Where it may not, the error
// ends with the exact command to type.
func Ensure(ctx context.Context, out io.Writer) (Binaries, error) {
	b, err := FindBinaries(0)
	if !errors.Is(err, ErrNoBinaries) {
		return b, err
	}
	if _, missing := exec.LookPath("apt-get"); missing != nil || os.Geteuid() != 0 {
		return Binaries{}, err
	}
	fmt.Fprintln(out, "PostgreSQL server is not installed; installing the package postgresql")
	if err := install(ctx, out); err != nil {
		return Binaries{}, fmt.Errorf("%w; by hand: %s", err, installCommand())
	}
	return FindBinaries(0)
}

// installCommand is what a person types. It is written for the system it runs on.
func installCommand() string {
	for _, c := range []struct{ tool, command string }{
		{"apt-get", "sudo apt-get update && sudo apt-get install -y --no-install-recommends postgresql"},
		{"dnf", "sudo dnf install -y postgresql-server"},
		{"apk", "sudo apk add postgresql"},
		{"brew", "brew install postgresql"},
	} {
		if _, err := exec.LookPath(c.tool); err != nil {
			continue
		}
		if os.Geteuid() == 0 && c.tool == "apt-get" {
			return "apt-get update && apt-get install -y --no-install-recommends postgresql"
		}
		return c.command
	}
	return "install the PostgreSQL server, release 13 or newer, and put its folder with initdb and postgres in PATH"
}

// Debian creates a cluster "main", with a TCP port, when the package is installed, unless this setting says no. Its
// configuration includes every file of this folder, so the maintainer's own file is not touched; ours is taken away
// again afterwards.
const (
	createClusterFolder = "/etc/postgresql-common/createcluster.d"
	createClusterFile   = "huanxin.conf"
	createClusterText   = "# Written while huanxin installs the server: it needs the programs, not a cluster of the system.\n" +
		"create_main_cluster = false\n"
)

func install(ctx context.Context, out io.Writer) (err error) {
	if err := os.MkdirAll(createClusterFolder, 0o755); err != nil {
		return fmt.Errorf("keep the package from starting a cluster: %w", err)
	}
	setting := filepath.Join(createClusterFolder, createClusterFile)
	if err := os.WriteFile(setting, []byte(createClusterText), 0o644); err != nil {
		return fmt.Errorf("keep the package from starting a cluster: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(setting)) }()
	for _, args := range [][]string{
		{"update"},
		{"install", "-y", "--no-install-recommends", "postgresql"},
	} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("apt-get %s: %w", args[0], err)
		}
	}
	return nil
}
