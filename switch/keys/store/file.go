package store

import (
	"bytes"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/soft"
)

// The file is YAML for whoever opens it, and read line by line, each exactly as it is written here:
//
//	# comments
//	format: 2
//	lmk: 1a2b3c4d
//	hash: hmac-sha256
//	keys:
//	- {"label":"hash/person", …}
//	audit:
//	- {"seq":1, …}
//	mac: <64 hex digits>
//
// mac is over every byte before its line, under a key derived from the local master key. It is checked before anything
// else, and after it nothing follows.
const (
	fileFormat = 2
	maxFile    = 512 << 20
	maxLine    = 4 << 10
	maxRecords = 1 << 20
	macPrefix  = "mac: "
	itemPrefix = "- "
)

const fileHead = `# Keys of one Huanxin switch, wrapped under its local master key. Nothing in this file is a clear key, and any change by
# hand is found. It is worthless without the master key, and the switch is worthless without it: keep a copy of both, apart.
# Look with: huanxin keys list
`

// contents is what a store file holds.
type contents struct {
	lmk     soft.LMKID
	hash    hsm.MACAlgorithm // of look-up hashes, for the life of the programme
	records []Record
	audit   []Entry
}

// appendFile writes what parseFile reads.
func (c *contents) appendFile(dst []byte, lmk *soft.LMK) ([]byte, error) {
	at := len(dst)
	dst = slices.Grow(dst, len(fileHead)+320*(len(c.records)+len(c.audit)))
	dst = append(dst, fileHead...)
	dst = fmt.Appendf(dst, "format: %d\nlmk: %s\nhash: %s\nkeys:\n", fileFormat, c.lmk, c.hash)
	for i := range c.records {
		var err error
		if dst, err = appendItem(dst, &c.records[i]); err != nil {
			return nil, err
		}
	}
	dst = append(dst, "audit:\n"...)
	for i := range c.audit {
		var err error
		if dst, err = appendItem(dst, &c.audit[i]); err != nil {
			return nil, err
		}
	}
	sum := lmk.Authenticate(dst[at:])
	dst = append(dst, macPrefix...)
	return append(hex.AppendEncode(dst, sum[:]), '\n'), nil
}

func appendItem(dst []byte, item any) ([]byte, error) {
	text, err := json.Marshal(item)
	if err != nil {
		return nil, err
	}
	if len(text)+len(itemPrefix) > maxLine {
		return nil, fmt.Errorf("%w: an entry is longer than %d bytes", ErrFormat, maxLine)
	}
	return append(append(append(dst, itemPrefix...), text...), '\n'), nil
}

// fileLMK is the id of the master key that a file says it is under, which the MAC has yet to prove.
func fileLMK(text []byte) (id soft.LMKID, err error) {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("lmk: ")); ok {
			rest = bytes.TrimSuffix(rest, []byte("\n"))
			if n, err := hex.Decode(id[:], rest[:min(len(rest), 2*len(id))]); err == nil && n == len(id) && string(rest) == id.String() {
				return id, nil
			}
			break
		}
		if len(line) > 0 && line[0] != '#' && !bytes.HasPrefix(line, []byte("format: ")) {
			break
		}
	}
	return id, fmt.Errorf("%w: it names no local master key", ErrFormat)
}

// authentic checks the MAC of a whole file and returns what is before it.
func authentic(text []byte, lmk *soft.LMK) ([]byte, error) {
	n := len(macPrefix) + 64 + 1
	if len(text) < n || text[len(text)-1] != '\n' || !bytes.HasPrefix(text[len(text)-n:], []byte(macPrefix)) {
		return nil, fmt.Errorf("%w: its last line is no MAC", ErrFormat)
	}
	body := text[:len(text)-n]
	var got [32]byte
	if _, err := hex.Decode(got[:], text[len(body)+len(macPrefix):len(text)-1]); err != nil {
		return nil, fmt.Errorf("%w: its last line is no MAC", ErrFormat)
	}
	want := lmk.Authenticate(body)
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return nil, ErrForged
	}
	return body, nil
}

// reader walks the lines of a file.
type reader struct {
	rest []byte
	line int
}

func (r *reader) next() ([]byte, bool) {
	if len(r.rest) == 0 {
		return nil, false
	}
	at := bytes.IndexByte(r.rest, '\n')
	if at < 0 || at > maxLine {
		return nil, false
	}
	line := r.rest[:at]
	r.rest = r.rest[at+1:]
	r.line++
	return line, true
}

func (r *reader) refuse(format string, args ...any) error {
	return fmt.Errorf("%w: line %d: %s", ErrFormat, r.line, fmt.Sprintf(format, args...))
}

// field reads "name: value".
func (r *reader) field(name string) (string, error) {
	line, ok := r.next()
	value, found := strings.CutPrefix(string(line), name+": ")
	if !ok || !found {
		return "", r.refuse("want %s", name)
	}
	return value, nil
}

// items reads lines that begin with "- " into add, and leaves the first that does not.
func (r *reader) items(name string, add func(text []byte) error) error {
	line, ok := r.next()
	if !ok || string(line) != name+":" {
		return r.refuse("want %s", name)
	}
	for bytes.HasPrefix(r.rest, []byte(itemPrefix)) {
		line, ok := r.next()
		if !ok {
			return r.refuse("an entry is cut off, or longer than %d bytes", maxLine)
		}
		if err := add(line[len(itemPrefix):]); err != nil {
			return r.refuse("%s: %v", name, err)
		}
	}
	return nil
}

// words keeps one copy of every text. The keys of fifty thousand terminals differ in little, and each has its acts beside it.
type words map[string]string

func (w words) share(texts ...*string) {
	for _, text := range texts {
		one, ok := w[*text]
		if !ok {
			one = *text
			w[one] = one
		}
		*text = one
	}
}

func (r *Record) share(w words) {
	w.share(&r.Label, &r.Purpose, &r.Algorithm, &r.KCV, &r.Created, (*string)(&r.State))
}

func (e *Entry) share(w words) {
	w.share(&e.At, &e.Act, &e.Label, &e.Purpose, &e.Algorithm, &e.KCV, &e.By, &e.Second, &e.Reason, &e.Document, &e.Account, &e.Detail)
}

// strict decodes one entry, exactly in the form in which appendItem writes it: what is written twice, added or put in
// another order is refused.
func strict(text []byte, into any) error {
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("it is not an entry")
	}
	again, err := json.Marshal(into)
	if err != nil || !bytes.Equal(again, text) {
		return fmt.Errorf("it is not as this program writes it")
	}
	return nil
}

// parseFile reads a body that authentic returned.
func parseFile(body []byte) (*contents, error) {
	r := &reader{rest: body}
	words := words{}
	for len(r.rest) > 0 && r.rest[0] == '#' {
		if _, ok := r.next(); !ok {
			return nil, r.refuse("a comment is longer than %d bytes", maxLine)
		}
	}
	format, err := r.field("format")
	if err != nil {
		return nil, err
	}
	if format != fmt.Sprint(fileFormat) {
		return nil, r.refuse("this program reads format %d", fileFormat)
	}
	c := &contents{}
	if c.lmk, err = fileLMK(body); err != nil {
		return nil, err
	}
	if _, err := r.field("lmk"); err != nil {
		return nil, err
	}
	hash, err := r.field("hash")
	if err != nil {
		return nil, err
	}
	if c.hash, err = hsm.ParseMAC(hash); err != nil || c.hash != hsm.HMACSHA256 && c.hash != hsm.HMACSM3 {
		return nil, r.refuse("hash is hmac-sha256 or hmac-sm3")
	}
	err = r.items("keys", func(text []byte) error {
		if len(c.records) == maxRecords {
			return fmt.Errorf("more than %d keys", maxRecords)
		}
		var rec Record
		if err := strict(text, &rec); err != nil {
			return err
		}
		rec.share(words)
		c.records = append(c.records, rec)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = r.items("audit", func(text []byte) error {
		var e Entry
		if err := strict(text, &e); err != nil {
			return err
		}
		e.share(words)
		c.audit = append(c.audit, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(r.rest) > 0 {
		r.line++
		return nil, r.refuse("something follows the audit list")
	}
	if err := checkChain(c.audit); err != nil {
		return nil, err
	}
	return c, c.check()
}

// check holds the records against each other.
func (c *contents) check() error {
	active := map[string]bool{}
	last := map[string]int{}
	for i := range c.records {
		r := &c.records[i]
		want, err := PurposeOf(r.Label)
		if err != nil {
			return fmt.Errorf("%w: key %d: %w", ErrFormat, i+1, err)
		}
		spec, err := r.spec()
		if err != nil || spec.Purpose != want || spec.Length != r.Length || !r.State.valid() {
			return fmt.Errorf("%w: key %d is not what its label says", ErrFormat, i+1)
		}
		if (len(r.Token) == 0) != (r.State == Retired) {
			return fmt.Errorf("%w: key %d: a retired key has no token, any other has one", ErrFormat, i+1)
		}
		if r.Generation != last[r.Label]+1 {
			return fmt.Errorf("%w: key %d: generations are not in order", ErrFormat, i+1)
		}
		last[r.Label] = r.Generation
		if r.State == Active {
			of := r.Label
			if spec.Purpose == hsm.Card {
				of = "card/" // one of them seals
			}
			if active[of] {
				return fmt.Errorf("%w: key %d: two keys in use at once", ErrFormat, i+1)
			}
			active[of] = true
		}
	}
	return nil
}
