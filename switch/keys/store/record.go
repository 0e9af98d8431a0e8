package store

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"huanxin/switch/keys/hsm"
)

// State is where a key is in its life.
type State string

// The states.
const (
	Pending State = "pending" // made, and not in use: a terminal must be loaded with it first
	Active  State = "active"  // in use
	Former  State = "former"  // not used for anything new: opens, and is accepted
	Retired State = "retired" // its token is destroyed; what is known of it stays
)

func (s State) valid() bool { return s == Pending || s == Active || s == Former || s == Retired }

// Record is one key of the store.
type Record struct {
	Label      string `json:"label"`
	Generation int    `json:"generation"` // 1, 2, 3 … of the label
	Purpose    string `json:"purpose"`
	Algorithm  string `json:"algorithm"`
	Length     int    `json:"length"` // bytes
	Exportable bool   `json:"exportable,omitempty"`
	KCV        string `json:"kcv"`     // 8 upper-case hex digits
	Created    string `json:"created"` // RFC 3339, UTC
	State      State  `json:"state"`
	Token      []byte `json:"token,omitempty"` // none when retired
}

// bind is what the token belongs to: whatever of a record is not in the token's own head. A token that is moved to another
// record, or a record whose state or date was changed, does not open.
func (r *Record) bind() string {
	return fmt.Sprintf("huanxin key record 1\x00%s\x00%d\x00%s\x00%s\x00%s", r.Label, r.Generation, r.KCV, r.Created, r.State)
}

// Age is how long ago the key was made.
func (r *Record) Age(now time.Time) time.Duration {
	created, err := time.Parse(time.RFC3339, r.Created)
	if err != nil {
		return 0
	}
	return now.Sub(created)
}

// String prints no token.
func (r Record) String() string {
	return fmt.Sprintf("%s generation %d (%s)", r.Label, r.Generation, r.State)
}

// GoString prints no token.
func (r Record) GoString() string { return r.String() }

// spec is what the token must say of itself.
func (r *Record) spec() (hsm.Spec, error) {
	purpose, err := hsm.ParsePurpose(r.Purpose)
	if err != nil {
		return hsm.Spec{}, err
	}
	algorithm, err := hsm.ParseAlgorithm(r.Algorithm)
	if err != nil {
		return hsm.Spec{}, err
	}
	return hsm.Spec{Bind: r.bind(), Purpose: purpose, Algorithm: algorithm, Length: r.Length, Exportable: r.Exportable}.Check()
}

// maxLabel bounds a label in bytes.
const maxLabel = 80

// PurposeOf is what keys of a label are for; a label says it by its first word.
//
//	hash/person …          Hash, made with the programme's keys
//	card/c1 …              Card
//	tmk/10000001           TMK of a terminal
//	tmk/group/shops        TMK of a group of terminals
//	host/unionpay/zmk      ZMK, ZPK, ZAK of a host link
//	zmk/NAME               ZMK of another party
//	kbpk/NAME              KBPK of a party that loads keys
//	lmk/1a2b3c4d           a master key of before
func PurposeOf(label string) (hsm.Purpose, error) {
	if err := checkLabel(label); err != nil {
		return 0, err
	}
	words := strings.Split(label, "/")
	switch {
	case len(words) == 2 && words[0] == "hash":
		return hsm.Hash, nil
	case len(words) == 2 && words[0] == "card":
		return hsm.Card, nil
	case len(words) == 2 && words[0] == "tmk", len(words) == 3 && words[0] == "tmk" && words[1] == "group":
		return hsm.TMK, nil
	case len(words) == 2 && words[0] == "zmk", len(words) == 3 && words[0] == "host" && words[2] == "zmk":
		return hsm.ZMK, nil
	case len(words) == 3 && words[0] == "host" && words[2] == "zpk":
		return hsm.ZPK, nil
	case len(words) == 3 && words[0] == "host" && words[2] == "zak":
		return hsm.ZAK, nil
	case len(words) == 2 && words[0] == "kbpk":
		return hsm.KBPK, nil
	case len(words) == 2 && words[0] == "lmk":
		return hsm.LMK, nil
	}
	return 0, fmt.Errorf("%w: %q begins none of hash/ card/ tmk/ tmk/group/ host/NAME/zmk|zpk|zak zmk/ kbpk/ as it must", ErrLabel, label)
}

func checkLabel(label string) error {
	if len(label) == 0 || len(label) > maxLabel {
		return fmt.Errorf("%w: want 1 to %d characters", ErrLabel, maxLabel)
	}
	for word := range strings.SplitSeq(label, "/") {
		if word == "" {
			return fmt.Errorf("%w: an empty word between strokes", ErrLabel)
		}
		for i := range len(word) {
			c := word[i]
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
				return fmt.Errorf("%w: letters, digits, - _ . and / only", ErrLabel)
			}
		}
	}
	return nil
}

// usage is the short form of a purpose and its strength for people: "TMK 3des 16".
func (r *Record) Usage() string { return fmt.Sprintf("%s %s %d", r.Purpose, r.Algorithm, r.Length) }

// sortRecords orders by label, then generation.
func sortRecords(list []Record) {
	slices.SortFunc(list, func(a, b Record) int {
		return cmp.Or(strings.Compare(a.Label, b.Label), a.Generation-b.Generation)
	})
}
