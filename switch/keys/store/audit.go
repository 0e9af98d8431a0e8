package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Entry is one act on the store. Every act is one, and none is ever changed or taken away: each carries a hash over itself
// and the one before, and the journal of the switch takes a copy.
type Entry struct {
	Seq        uint64 `json:"seq"` // from 1, without gaps
	At         string `json:"at"`  // RFC 3339, UTC
	Act        string `json:"act"` // create, migrate, ceremony, generate, import, export, activate, rotate, retire, rotate-lmk, restore
	Label      string `json:"label"`
	Generation int    `json:"generation,omitempty"`
	Purpose    string `json:"purpose,omitempty"`
	Algorithm  string `json:"algorithm,omitempty"`
	KCV        string `json:"kcv,omitempty"`
	By         string `json:"by"`
	Second     string `json:"second,omitempty"` // of two persons
	Reason     string `json:"reason"`
	Document   string `json:"document,omitempty"`
	Account    string `json:"account,omitempty"` // of the machine
	Detail     string `json:"detail,omitempty"`
	Chain      string `json:"chain"` // hex of the hash
}

// Limits of what people write, in bytes.
const (
	maxName   = 64
	maxReason = 400
	maxDetail = 200
)

// ErrChain is returned for an audit list in which something was changed, taken away or put in.
var ErrChain = errors.New("the audit list of the key store is not whole")

// link is SHA-256 over the hash before and every field, each led by its length.
func (e *Entry) link(before [32]byte) [32]byte {
	h := sha256.New()
	h.Write([]byte("huanxin key act 1\x00"))
	h.Write(before[:])
	put := func(s string) {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	put(fmt.Sprint(e.Seq))
	put(fmt.Sprint(e.Generation))
	for _, s := range []string{e.At, e.Act, e.Label, e.Purpose, e.Algorithm, e.KCV, e.By, e.Second, e.Reason, e.Document, e.Account, e.Detail} {
		put(s)
	}
	return [32]byte(h.Sum(nil))
}

// checkChain walks the list.
func checkChain(list []Entry) error {
	var before [32]byte
	for i := range list {
		e := &list[i]
		if e.Seq != uint64(i)+1 {
			return fmt.Errorf("%w: act %d stands at place %d", ErrChain, e.Seq, i+1)
		}
		before = e.link(before)
		if e.Chain != hex.EncodeToString(before[:]) {
			return fmt.Errorf("%w: act %d was changed", ErrChain, e.Seq)
		}
	}
	return nil
}

// chained appends e to the list with its number and hash.
func chained(list []Entry, e Entry) []Entry {
	var before [32]byte
	if n := len(list); n > 0 {
		last, _ := hex.DecodeString(list[n-1].Chain) // checked
		copy(before[:], last)
	}
	e.Seq = uint64(len(list)) + 1
	sum := e.link(before)
	e.Chain = hex.EncodeToString(sum[:])
	return append(list, e)
}

// check reports what is missing of an act, or wrong with it.
func (e *Entry) check() error {
	switch {
	case e.By == "" || len(e.By) > maxName || len(e.Second) > maxName || len(e.Account) > maxName:
		return fmt.Errorf("%w: an act names who does it, in at most %d bytes", ErrAct, maxName)
	case e.Reason == "" || len(e.Reason) > maxReason || len(e.Document) > maxReason:
		return fmt.Errorf("%w: an act gives its reason, in at most %d bytes", ErrAct, maxReason)
	case len(e.Detail) > maxDetail:
		return fmt.Errorf("%w: a detail has at most %d bytes", ErrAct, maxDetail)
	case e.Second != "" && e.Second == e.By:
		return fmt.Errorf("%w: the second person is the first", ErrAct)
	}
	for _, text := range []string{e.By, e.Second, e.Reason, e.Document, e.Account, e.Detail} {
		// Another encoding would not read back as it was chained; a line of its own would look like another act where acts are listed.
		if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			return fmt.Errorf("%w: names, reason and document are one line of UTF-8 each", ErrAct)
		}
	}
	return nil
}
