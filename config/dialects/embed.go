// Package dialects holds the message specifications that come with the program, one JSON file each, and finds the one
// that a name means. The format is described in switch/iso8583/README.md; a new dialect is a new file.
package dialects

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

//go:embed *.json
var files embed.FS

// WorkingDir is where dialects are looked for under the working directory.
const WorkingDir = "config/dialects"

// ErrUnknown is returned when no file has the name.
var ErrUnknown = errors.New("unknown dialect")

// Load returns the specification that name means, and where it was found. A name with a path separator or ending in
// .json is the path of a file. Any other is looked for as NAME.json in dir (when it is not empty), then in
// config/dialects under the working directory, then among the copies inside the program.
func Load(dir, name string) (spec []byte, from string, err error) {
	if strings.ContainsRune(name, filepath.Separator) || strings.HasSuffix(name, ".json") {
		spec, err = os.ReadFile(name)
		return spec, name, err
	}
	if name == "" {
		return nil, "", fmt.Errorf("%w: the name is empty", ErrUnknown)
	}
	for _, d := range []string{dir, WorkingDir} {
		if d == "" {
			continue
		}
		path := filepath.Join(d, name+".json")
		spec, err = os.ReadFile(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return spec, path, err
		}
	}
	spec, err = files.ReadFile(name + ".json")
	if err != nil {
		return nil, "", fmt.Errorf("%w %q: inside the program are %s", ErrUnknown, name, strings.Join(Names(), ", "))
	}
	return spec, "embedded " + name + ".json", nil
}

// Names returns the names of the dialects inside the program, sorted.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".json"))
	}
	sort.Strings(names)
	return names
}
