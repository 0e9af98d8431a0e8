package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"huanxin/subsidy/registry"
)

// The files of a bundle.
const (
	FileProgramme = "programme.yaml"
	FilePolicy    = "policy.yaml"
	FileBudget    = "budget.yaml"
	FileGolden    = "golden.yaml"
	FileMerchants = "merchants.csv"
	FileTerminals = "terminals.csv"
	FileProducts  = "products.csv"
	FilePersons   = "persons.csv"
)

// RuleFiles returns the names of the files that rules are made of: what PolicyApplied carries and the digest covers.
// The tables and the golden cases are not among them.
func RuleFiles() []string { return []string{FileBudget, FilePolicy, FileProgramme} }

// tableFiles are the optional CSV files of a bundle.
func tableFiles() []string { return []string{FileMerchants, FilePersons, FileProducts, FileTerminals} }

// Rules returns the part of a bundle that rules are made of.
func Rules(files map[string][]byte) map[string][]byte {
	rules := make(map[string][]byte, 3)
	for _, name := range RuleFiles() {
		if data, ok := files[name]; ok {
			rules[name] = data
		}
	}
	return rules
}

// DigestOf returns SHA-256 over names and contents of the rule files in a bundle, in the order of their names: for each
// file the length of the name (8 bytes, big-endian), the name, the length of the content, the content. Tables and golden
// cases do not change it, so a bundle has the same digest with and without them.
func DigestOf(files map[string][]byte) [32]byte {
	h := sha256.New()
	var length [8]byte
	put := func(data []byte) {
		binary.BigEndian.PutUint64(length[:], uint64(len(data)))
		h.Write(length[:])
		h.Write(data)
	}
	rules := Rules(files)
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		put([]byte(name))
		put(rules[name])
	}
	return [32]byte(h.Sum(nil))
}

// Compile reads a bundle: file name → content. The three rule files must be there; golden.yaml and the CSV tables may
// be, and when one table is there, all that programme.yaml names must be. It is pure and never panics on any input. The
// error is Problems: everything that is wrong, not only the first.
func Compile(files map[string][]byte) (*Programme, error) {
	var r report
	p := &Programme{Digest: DigestOf(files)}
	checkNames(&r, files)
	if len(r.problems) > 0 {
		return nil, r.err()
	}
	c := compiler{r: &r, p: p, files: files}
	c.readProgramme()
	// Everything else speaks in the codes of programme.yaml: with that file wrong, more would be noise.
	if len(r.problems) > 0 {
		return nil, r.err()
	}
	c.readPolicy()
	c.readBudget()
	c.readTables()
	c.readGolden()
	if err := r.err(); err != nil {
		return nil, err
	}
	p.Values = r.list()
	return p, nil
}

// compiler is one run of Compile.
type compiler struct {
	r      *report
	p      *Programme
	files  map[string][]byte
	tables []string // named in programme.yaml

	documents, idKinds, oldItems map[string]int

	scoped          []scopedMerchant // that policy.yaml names
	merchants       map[string]*registry.Merchant
	uncapped        bool   // some rule has no item cap
	uncappedExample string // its category
}

func checkNames(r *report, files map[string][]byte) {
	for _, name := range RuleFiles() {
		if _, ok := files[name]; !ok {
			r.add(name, 0, "the file is missing")
		}
	}
	known := append(append(RuleFiles(), tableFiles()...), FileGolden)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !slices.Contains(known, name) {
			r.add(name, 0, "not a file of a programme; want %s", strings.Join(known, ", "))
		}
		if bytes.IndexByte(files[name], 0) >= 0 {
			r.add(name, 0, "holds a zero byte")
		}
	}
}

// indexes reads a list of codes of one kind. With groups, "@group" stands for the categories of a group.
func (c *compiler) indexes(n node, index map[string]int, kind string) (set Set, ok bool) {
	ok = true
	for _, item := range n.list() {
		text, good := item.text()
		if !good {
			ok = false
			continue
		}
		if group, isGroup := strings.CutPrefix(text, "@"); isGroup && kind == "category" {
			members := c.groupMembers(group)
			if members == 0 {
				item.problem("%q: no category is in this group", text)
				ok = false
			}
			set |= members
			continue
		}
		i, found := index[text]
		if !found {
			item.problem("unknown %s %q", kind, text)
			ok = false
			continue
		}
		if set.Has(i) {
			item.problem("%s %q is given twice", kind, text)
			ok = false
		}
		set |= 1 << uint(i)
	}
	if ok && set == 0 {
		n.problem("the list is empty")
		ok = false
	}
	return set, ok
}

func (c *compiler) groupMembers(group string) Set {
	var set Set
	for i := range c.p.Categories {
		if c.p.Categories[i].Group == group {
			set |= 1 << uint(i)
		}
	}
	return set
}

func (c *compiler) cellName(cell int) string {
	p := c.p
	category := cell % len(p.Categories)
	channel := cell / len(p.Categories) % len(p.Channels)
	city := cell / len(p.Categories) / len(p.Channels)
	return fmt.Sprintf("city %s, channel %s, category %s", p.Cities[city].Code, p.Channels[channel].Code, p.Categories[category].Code)
}
