// Package programmes holds the programmes that come with the product and loads a programme's files from any folder.
//
// It reads files and judges nothing: package policy compiles what Load returns. docs/programme-format.md is the manual of
// the files.
package programmes

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
)

//go:embed */*.yaml */*.csv
var embedded embed.FS

// Limits of Load: a folder that is larger is not a programme.
const (
	MaxFile  = 256 << 20 // one file, bytes
	MaxTotal = 512 << 20 // all files together
	MaxFiles = 64
)

// Sentinels of this package.
var (
	// ErrUnknown is returned by Open and Resolve for a name that leads to no programme.
	ErrUnknown = errors.New("no such programme")
	// ErrTooLarge is returned by Load when a folder is beyond the limits.
	ErrTooLarge = errors.New("programme folder is too large")
)

// Names returns the embedded programmes, ascending.
func Names() []string {
	entries, err := fs.ReadDir(embedded, ".")
	if err != nil {
		panic("embedded programmes: " + err.Error())
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Open returns the folder of an embedded programme.
func Open(name string) (fs.FS, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("%w: %q (embedded: %v)", ErrUnknown, name, Names())
	}
	return fs.Sub(embedded, name)
}

// Load reads the files of a programme from a folder: all *.yaml and *.csv that lie directly in it. Other files, such as
// a README, and sub-folders are left alone.
func Load(folder fs.FS) (map[string][]byte, error) {
	entries, err := fs.ReadDir(folder, ".")
	if err != nil {
		return nil, fmt.Errorf("list programme folder: %w", err)
	}
	files := map[string][]byte{}
	left := int64(MaxTotal)
	for _, e := range entries {
		if ext := path.Ext(e.Name()); e.IsDir() || ext != ".yaml" && ext != ".csv" {
			continue
		}
		if len(files) == MaxFiles {
			return nil, fmt.Errorf("%w: more than %d files", ErrTooLarge, MaxFiles)
		}
		data, err := read(folder, e.Name(), min(left, MaxFile))
		if err != nil {
			return nil, err
		}
		left -= int64(len(data))
		files[e.Name()] = data
	}
	return files, nil
}

func read(folder fs.FS, name string, limit int64) ([]byte, error) {
	f, err := folder.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrTooLarge, name, limit)
	}
	return data, nil
}
