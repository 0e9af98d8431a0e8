package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

type entry struct {
	Seq    uint64
	Amount int
}

// sum is a book that never goes below zero.
type sum struct{ amount int }

func (s *sum) Number(e *entry) *uint64 { return &e.Seq }
func (s *sum) Apply(e *entry)          { s.amount += e.Amount }
func (s *sum) Check(e *entry) error {
	if s.amount+e.Amount < 0 {
		return errors.New("less than nothing")
	}
	return nil
}

func open(t *testing.T, path string) (*File[entry], *sum, error) {
	s := &sum{}
	f := New[entry](s, nil)
	err := f.Open(path)
	t.Cleanup(func() { f.Close() })
	return f, s, err
}

func TestATornLastLineIsCutOffAndTheBookGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book.jsonl")
	f, s, err := open(t, path)
	require.NoError(t, err)
	require.NoError(t, f.Post(&entry{Amount: 5}))
	require.Error(t, f.Post(&entry{Amount: -6}))
	require.Equal(t, 5, s.amount, "a refused line changes nothing")
	require.NoError(t, f.Close())
	require.ErrorIs(t, f.Post(&entry{Amount: 1}), os.ErrClosed)
	require.Equal(t, 5, s.amount, "a line that is not written is not applied")

	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(text, `{"Seq":2,"Am`...), 0o600))
	f, s, err = open(t, path)
	require.NoError(t, err)
	require.NoError(t, f.Post(&entry{Amount: 2}))
	require.Equal(t, 7, s.amount)
	require.Equal(t, uint64(2), f.Seq())
	require.NoError(t, f.Close())
	_, s, err = open(t, path)
	require.NoError(t, err)
	require.Equal(t, 7, s.amount)
}

func TestABookThatDoesNotAddUpIsDamaged(t *testing.T) {
	for what, text := range map[string]string{
		"a gap":                     "{\"Seq\":1}\n{\"Seq\":3}\n",
		"a repeat":                  "{\"Seq\":1}\n{\"Seq\":1}\n",
		"an unknown field":          "{\"Seq\":1,\"Colour\":\"red\"}\n",
		"no JSON":                   "hello\n",
		"a line that cannot follow": "{\"Seq\":1,\"Amount\":-1}\n",
	} {
		_, err := New[entry](&sum{}, nil).Load(strings.NewReader(text))
		require.ErrorIs(t, err, ErrDamaged, what)
	}
}
