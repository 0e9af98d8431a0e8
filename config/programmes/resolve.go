package programmes

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Folder is where working directories keep their programmes, relative to them.
const Folder = "config/programmes"

// Resolve finds a programme by what an operator typed: a path is that folder; a bare name is config/programmes/NAME
// under the working directory, then the embedded copy, then a folder of that name. where says which it was.
func Resolve(name string) (folder fs.FS, where string, err error) {
	if name == "" {
		return nil, "", fmt.Errorf("%w: the name is empty", ErrUnknown)
	}
	if strings.ContainsRune(name, '/') || strings.ContainsRune(name, filepath.Separator) || name == "." || name == ".." {
		return openFolder(name)
	}
	if folder, where, err := openFolder(filepath.Join(Folder, name)); err == nil {
		return folder, where, nil
	}
	if folder, err := Open(name); err == nil {
		return folder, "embedded:" + name, nil
	}
	if folder, where, err := openFolder(name); err == nil {
		return folder, where, nil
	}
	return nil, "", fmt.Errorf("%w: %q: no folder %s, no embedded programme and no folder of that name", ErrUnknown, name, filepath.Join(Folder, name))
}

func openFolder(path string) (fs.FS, string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	if !info.IsDir() {
		return nil, "", fmt.Errorf("%w: %s is not a folder", ErrUnknown, path)
	}
	return os.DirFS(path), path, nil
}
