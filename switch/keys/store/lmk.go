package store

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"huanxin/switch/keys/soft"
)

// Source is where the local master key comes from: a file that only the user of the process can read, or a secret of the
// environment. It is never a setting.
type Source struct {
	File string // ""; or the path
	Env  string // HUANXIN_LMK: taken instead of the file when it is not empty
	Next string // HUANXIN_LMK_NEXT: the key that takes over from Env
}

// The variables of the environment.
const (
	EnvLMK     = "HUANXIN_LMK"
	EnvNextLMK = "HUANXIN_LMK_NEXT"
)

// ErrNoLMK is returned when there is no local master key for a store.
var ErrNoLMK = errors.New("no local master key")

const (
	maxLMKFile = 4 << 10
	lmkLine    = 128 // more than one takes
)

// load reads the master keys, the newest first.
func (s Source) load() ([]*soft.LMK, error) {
	if s.Env != "" {
		lmk, err := soft.ParseLMK(s.Env)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", EnvLMK, err)
		}
		list := []*soft.LMK{lmk}
		if s.Next != "" {
			next, err := soft.ParseLMK(s.Next)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", EnvNextLMK, err)
			}
			list = slices.Insert(list, 0, next)
		}
		return list, nil
	}
	text, err := ReadGuarded(s.File, maxLMKFile)
	defer clear(text)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: neither %s nor the file %s is there: %w", ErrNoLMK, EnvLMK, s.File, err)
	}
	if err != nil {
		return nil, err
	}
	return parseLMKFile(text)
}

const lmkHead = `# Local master key of one Huanxin switch: every key of the key store is wrapped under it. Whoever reads this file and the
# store has all keys; whoever loses it loses them. Keep a copy apart from the store's. A second line is the key before,
# while a rotation is under way.
`

func parseLMKFile(text []byte) ([]*soft.LMK, error) {
	var list []*soft.LMK
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		lmk, err := soft.ParseLMK(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		list = append(list, lmk)
	}
	if len(list) < 1 || len(list) > 2 {
		return nil, fmt.Errorf("%w: %d keys in the file, want one, or two during a rotation", soft.ErrLMK, len(list))
	}
	return list, nil
}

func appendLMKFile(dst []byte, list ...*soft.LMK) []byte {
	dst = slices.Grow(dst, len(lmkHead)+len(list)*lmkLine) // in one piece, so that wiping it wipes all
	dst = append(dst, lmkHead...)
	for _, lmk := range list {
		dst = append(lmk.AppendSecret(dst), '\n')
	}
	return dst
}

// pick is the key of that id, and those that stand beside it.
func pick(list []*soft.LMK, id soft.LMKID) (own *soft.LMK, err error) {
	for _, lmk := range list {
		if lmk.ID() == id {
			return lmk, nil
		}
	}
	return nil, fmt.Errorf("%w: the store is wrapped under master key %s, and the key given is %s", ErrNoLMK, id, list[0].ID())
}
