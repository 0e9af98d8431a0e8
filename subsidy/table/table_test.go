package table

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var columns = []string{"a", "b"}

func pair(record []string) (string, error) {
	if len(record) != 2 || record[0] == "bad" {
		return "", errors.New("a bad row")
	}
	return strings.Join(record, "+"), nil
}

func TestRowsAndProblemsCarryTheirLines(t *testing.T) {
	rows, problems := Read([]byte("\xef\xbb\xbf# comment\na,b\n1,2\nbad,2\n\n\"x\ny\",4\n5\n"), columns, pair)
	require.Equal(t, []Row[string]{{3, "1+2"}, {6, "x\ny+4"}}, rows)
	require.Len(t, problems, 2)
	require.Equal(t, 4, problems[0].Line)
	require.Equal(t, 8, problems[1].Line)
}

func TestTheHeaderMustBeExact(t *testing.T) {
	for _, header := range []string{"b,a", "a", "a,b,c", "A,b"} {
		rows, problems := Read([]byte(header+"\n1,2\n"), columns, pair)
		require.Empty(t, rows)
		require.Len(t, problems, 1, header)
		require.ErrorContains(t, problems[0].Err, "want a,b")
	}
	_, problems := Read(nil, columns, pair)
	require.ErrorContains(t, problems[0].Err, "the table is empty")
}

func TestABrokenQuoteEndsTheTableWithItsLine(t *testing.T) {
	rows, problems := Read([]byte("a,b\n1,2\n3,\"4\n5,6\n"), columns, pair)
	require.Len(t, rows, 1)
	require.Len(t, problems, 1)
	require.GreaterOrEqual(t, problems[0].Line, 3)
}

func TestAnOversizedFieldIsReportedNotQuoted(t *testing.T) {
	rows, problems := Read([]byte("a,b\n1,"+strings.Repeat("x", MaxField+1)+"\n3,4\n"), columns, pair)
	require.Equal(t, []Row[string]{{3, "3+4"}}, rows)
	require.Len(t, problems, 1)
	require.Less(t, len(problems[0].Err.Error()), 100)
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("a,b\n1,2\n"))
	f.Add([]byte("# c\na,b\n\"1\n\",2\nbad,1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, problems := Read(data, columns, pair)
		last := 0
		for _, r := range rows {
			if r.Line <= last {
				t.Fatalf("line %d after %d", r.Line, last)
			}
			last = r.Line
		}
		for _, p := range problems {
			if p.Line < 1 || p.Err == nil {
				t.Fatalf("problem %+v", p)
			}
		}
	})
}
