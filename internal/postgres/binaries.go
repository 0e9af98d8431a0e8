package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ErrNoBinaries is returned when no PostgreSQL server is installed. The error wrapping it ends with the exact command
// that installs one.
var ErrNoBinaries = errors.New("PostgreSQL server is not installed")

// oldestMajor is the oldest release that the schema is written for.
const oldestMajor = 13

// Binaries is one installed PostgreSQL server.
type Binaries struct {
	Folder string
	Major  int
}

// FindBinaries looks for initdb and postgres in PATH and where distributions put them and returns the newest release, or
// the one whose major version is the given one when that is not 0: a data folder can be opened by its own major only.
func FindBinaries(major int) (Binaries, error) {
	folders := filepath.SplitList(os.Getenv("PATH"))
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", // Debian and its kin, never in PATH
		"/usr/pgsql-*/bin",          // Red Hat and its kin
		"/usr/local/pgsql/bin",
		"/usr/local/opt/postgresql*/bin",
		"/opt/homebrew/opt/postgresql*/bin",
	} {
		found, _ := filepath.Glob(pattern) // fails for a malformed pattern only
		folders = append(folders, found...)
	}
	var all []Binaries
	for _, f := range folders {
		if b, err := binariesIn(f); err == nil {
			all = append(all, b)
		}
	}
	best := Binaries{}
	for _, b := range all {
		if (major == 0 && b.Major > best.Major) || (major != 0 && b.Major == major && best.Folder == "") {
			best = b
		}
	}
	switch {
	case best.Folder != "" && best.Major >= oldestMajor:
		return best, nil
	case major != 0 && len(all) > 0:
		return Binaries{}, fmt.Errorf("the data folder is of PostgreSQL %d, which is not installed (found %s); type: %s",
			major, majors(all), strings.Replace(installCommand(), "postgresql", "postgresql-"+strconv.Itoa(major), 1))
	case len(all) > 0:
		return Binaries{}, fmt.Errorf("PostgreSQL %s is too old, want %d or newer", majors(all), oldestMajor)
	}
	return Binaries{}, fmt.Errorf("%w; type: %s", ErrNoBinaries, installCommand())
}

func majors(all []Binaries) string {
	var out []string
	for _, b := range all {
		if text := strconv.Itoa(b.Major); !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return strings.Join(out, ", ")
}

var versionText = regexp.MustCompile(`\b(\d+)(?:\.\d+|devel|beta\d+|rc\d+)`)

// binariesIn returns the server in one folder. A relative folder is skipped: what it means changes with the working
// directory.
func binariesIn(folder string) (Binaries, error) {
	if !filepath.IsAbs(folder) {
		return Binaries{}, fmt.Errorf("%s is not an absolute path", folder)
	}
	for _, name := range []string{"postgres", "initdb"} {
		info, err := os.Stat(filepath.Join(folder, name))
		if err != nil {
			return Binaries{}, err
		}
		if info.IsDir() || info.Mode()&0o111 == 0 {
			return Binaries{}, fmt.Errorf("%s is not a program", filepath.Join(folder, name))
		}
	}
	// A link in PATH leads to where the server's other files are.
	if real, err := filepath.EvalSymlinks(filepath.Join(folder, "postgres")); err == nil {
		if _, err := os.Stat(filepath.Join(filepath.Dir(real), "initdb")); err == nil {
			folder = filepath.Dir(real)
		}
	}
	// --version is answered as root too.
	out, err := exec.Command(filepath.Join(folder, "postgres"), "--version").Output()
	if err != nil {
		return Binaries{}, fmt.Errorf("ask %s for its version: %w", folder, err)
	}
	m := versionText.FindSubmatch(out)
	if m == nil {
		return Binaries{}, fmt.Errorf("%s does not tell its version", folder)
	}
	major, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return Binaries{}, err
	}
	return Binaries{Folder: folder, Major: major}, nil
}

// chooseBinaries obeys a configured folder and a data folder's major version.
func chooseBinaries(folder string, major int) (Binaries, error) {
	if folder == "" {
		return FindBinaries(major)
	}
	b, err := binariesIn(folder)
	if err != nil {
		return Binaries{}, fmt.Errorf("PostgreSQL binaries: %w", err)
	}
	if major != 0 && b.Major != major {
		return Binaries{}, fmt.Errorf("the data folder is of PostgreSQL %d, the binaries in %s are of %d", major, folder, b.Major)
	}
	return b, nil
}
