package keys

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"go.yaml.in/yaml/v3"
)

// fileFormat is the version of the key file.
const fileFormat = 1

// maxFile bounds the key file in bytes; maxCardKeys the card keys in it.
const (
	maxFile     = 64 << 10
	maxCardKeys = 64
)

// ErrUnsafe is returned by Load for a key file that others could read or replace. The error says which and how to mend it.
var ErrUnsafe = errors.New("key file is not safe")

// ErrFormat is returned by Load for a file that is no key file of this version. The error names line and key, never a value.
var ErrFormat = errors.New("key file is malformed")

// Create draws new keys and writes them to path with mode 0600, in a folder that it makes with mode 0700 when it is not
// there. It never overwrites: an existing path is an error that is fs.ErrExist. After a crash either the whole file is
// there or none.
func Create(path string, rand io.Reader) (*Set, error) {
	s, err := Generate(rand)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := errors.Join(os.MkdirAll(dir, 0o700), syncFolder(filepath.Dir(dir))); err != nil {
			return nil, fmt.Errorf("create key folder: %w", err)
		}
	}
	if err := checkFolder(dir); err != nil {
		return nil, err
	}
	text := s.appendFile(nil)
	defer clear(text)
	if err := writeOnce(dir, path, text); err != nil {
		return nil, fmt.Errorf("create key file: %w", err)
	}
	return s, nil
}

// writeOnce puts text at path in one step. The link fails when path exists, which a rename would not.
func writeOnce(dir, path string, text []byte) (err error) {
	tmp, err := os.CreateTemp(dir, ".keys-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(tmp.Name())) }()
	if _, err = tmp.Write(text); err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err = os.Link(tmp.Name(), path); err != nil {
		return err
	}
	return syncFolder(dir)
}

// syncFolder makes the names in a folder durable.
func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// Load reads the key file at path. It refuses a file or folder that anybody but the owner of this process may read or
// change, a symbolic link, and any content that it does not know. A missing file is an error that is fs.ErrNotExist.
func Load(path string) (*Set, error) {
	if err := checkFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%w: %s is a symbolic link", ErrUnsafe, path)
	}
	if err != nil {
		return nil, fmt.Errorf("load key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("load key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is no regular file", ErrUnsafe, path)
	}
	if err := checkAccess(path, info, "0600"); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	defer clear(text)
	if err != nil {
		return nil, fmt.Errorf("load key file: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrFormat, path, maxFile)
	}
	s, err := parseFile(text)
	if err != nil {
		return nil, fmt.Errorf("load key file %s: %w", path, err)
	}
	return s, nil
}

func checkFolder(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("key folder: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%w: %s is no folder", ErrUnsafe, dir)
	}
	return checkAccess(dir, info, "0700")
}

func checkAccess(path string, info fs.FileInfo, want string) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%w: %s has mode %04o, want %s (chmod %s %s)", ErrUnsafe, path, mode, want, want, path)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%w: the owner of %s is not known", ErrUnsafe, path)
	}
	if int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: %s belongs to user %d, this process runs as %d", ErrUnsafe, path, stat.Uid, os.Geteuid())
	}
	return nil
}

const fileHead = `# Keys of one Huanxin programme. Whoever reads this file can read card numbers in the journal and test identity numbers
# against it; whoever loses it loses both. Keep a copy in a safe place, and never change a value by hand: with another
# person or serial key everybody would have a fresh quota, so the switch refuses to run.
`

// appendFile writes the file that parseFile reads.
func (s *Set) appendFile(dst []byte) []byte {
	dst = append(dst, fileHead...)
	dst = fmt.Appendf(dst, "format: %d\nhash:\n", fileFormat)
	for p, name := range purposeNames {
		dst = append(dst, "  "+name+": "...)
		dst = append(hex.AppendEncode(dst, s.hash[p][:]), '\n')
	}
	dst = append(dst, "# Card keys: `current` seals, all of them open. Add a key and make it current; never drop an old one.\n"...)
	dst = append(dst, "card:\n  current: "+s.current+"\n  keys:\n"...)
	for _, id := range s.cardKeyIDs() {
		key := s.card[id]
		dst = append(dst, "    "+id+": "...)
		dst = append(hex.AppendEncode(dst, key[:]), '\n')
	}
	sum := s.sum()
	dst = append(dst, "# A check over the six hash keys, against slips of the keyboard.\ncheck: "...)
	return append(hex.AppendEncode(dst, sum[:]), '\n')
}

// sum is a check over the hash keys, which stay the same for the life of a programme. They are random, so that it tells
// nothing about them.
func (s *Set) sum() [8]byte {
	h := sha256.New()
	h.Write([]byte("huanxin key file check\x00"))
	for p := range s.hash {
		h.Write(s.hash[p][:])
	}
	return [8]byte(h.Sum(nil))
}

func (s *Set) cardKeyIDs() []string {
	ids := make([]string, 0, len(s.card))
	for id := range s.card {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// parseFile walks the YAML tree itself: the decoder's own errors quote values, and here every value is a secret.
func parseFile(text []byte) (*Set, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil || len(doc.Content) != 1 {
		return nil, fmt.Errorf("%w: no YAML document", ErrFormat)
	}
	top, err := mapping(doc.Content[0], "file", []string{"format", "hash", "card", "check"})
	if err != nil {
		return nil, err
	}
	format, err := scalar(top["format"], "format")
	if err != nil {
		return nil, err
	}
	if format != strconv.Itoa(fileFormat) {
		return nil, fmt.Errorf("%w: line %d: format: this program reads format %d", ErrFormat, top["format"].Line, fileFormat)
	}
	s := &Set{card: map[string]secret{}}
	hashes, err := mapping(top["hash"], "hash", purposeNames[:])
	if err != nil {
		return nil, err
	}
	for p, name := range purposeNames {
		if err := key(hashes[name], "hash."+name, s.hash[p][:]); err != nil {
			return nil, err
		}
	}
	if err := s.parseCard(top["card"]); err != nil {
		return nil, err
	}
	var check [8]byte
	if err := key(top["check"], "check", check[:]); err != nil {
		return nil, err
	}
	if check != s.sum() {
		return nil, fmt.Errorf("%w: check: a hash key was changed; restore the file from its copy", ErrFormat)
	}
	return s, nil
}

func (s *Set) parseCard(node *yaml.Node) error {
	card, err := mapping(node, "card", []string{"current", "keys"})
	if err != nil {
		return err
	}
	if s.current, err = scalar(card["current"], "card.current"); err != nil {
		return err
	}
	list, err := mapping(card["keys"], "card.keys", nil)
	if err != nil {
		return err
	}
	if len(list) > maxCardKeys {
		return fmt.Errorf("%w: card.keys: more than %d keys", ErrFormat, maxCardKeys)
	}
	for id, value := range list {
		if !validKeyID(id) {
			return fmt.Errorf("%w: line %d: card.keys: an id is 1 to %d of a-z, 0-9 and -", ErrFormat, value.Line, MaxKeyID)
		}
		var k secret
		if err := key(value, "card.keys."+id, k[:]); err != nil {
			return err
		}
		s.card[id] = k
	}
	if _, ok := s.card[s.current]; !ok {
		return fmt.Errorf("%w: line %d: card.current names no key of card.keys", ErrFormat, card["current"].Line)
	}
	return nil
}

// mapping returns the entries of a mapping. With names, exactly those must be there.
func mapping(node *yaml.Node, path string, names []string) (map[string]*yaml.Node, error) {
	if node.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%w: line %d: %s is no mapping", ErrFormat, node.Line, path)
	}
	entries := make(map[string]*yaml.Node, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		name := node.Content[i]
		if name.Kind != yaml.ScalarNode || names != nil && !slices.Contains(names, name.Value) {
			return nil, fmt.Errorf("%w: line %d: unknown key in %s", ErrFormat, name.Line, path)
		}
		if entries[name.Value] != nil {
			return nil, fmt.Errorf("%w: line %d: a key of %s is given twice", ErrFormat, name.Line, path)
		}
		entries[name.Value] = node.Content[i+1]
	}
	for _, name := range names {
		if entries[name] == nil {
			return nil, fmt.Errorf("%w: line %d: %s.%s is missing", ErrFormat, node.Line, path, name)
		}
	}
	return entries, nil
}

func scalar(node *yaml.Node, path string) (string, error) {
	if node.Kind != yaml.ScalarNode {
		return "", fmt.Errorf("%w: line %d: %s is no single value", ErrFormat, node.Line, path)
	}
	return node.Value, nil
}

// key decodes exactly len(dst) bytes of hex. A key of zeros is refused: it is what a failed generator leaves.
func key(node *yaml.Node, path string, dst []byte) error {
	value, err := scalar(node, path)
	if err != nil {
		return err
	}
	if len(value) != 2*len(dst) {
		return fmt.Errorf("%w: line %d: %s has %d characters, want %d of hex", ErrFormat, node.Line, path, len(value), 2*len(dst))
	}
	if _, err := hex.Decode(dst, []byte(value)); err != nil {
		return fmt.Errorf("%w: line %d: %s is not hex", ErrFormat, node.Line, path)
	}
	if len(dst) == KeySize && secret(dst) == (secret{}) {
		return fmt.Errorf("%w: line %d: %s is all zeros", ErrFormat, node.Line, path)
	}
	return nil
}
