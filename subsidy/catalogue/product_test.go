package catalogue

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/internal/money"
)

func TestGTINCheckDigit(t *testing.T) {
	for _, good := range []string{
		"6901234567892", "6923456789012", "6945678901232", "6967890123452", "6989012345672", "4006381333931", "6291041500213",
		"6900000000007", "73513537", "036000291452", "06901234567892",
	} {
		require.NoError(t, CheckGTIN(good), good)
	}
	for _, bad := range []string{
		"6901234567893", "690123456789", "690123456789X", " 6901234567892", "", "0000000000000", "00000000", "69012345678920123", "６９０１２３４",
	} {
		require.ErrorIs(t, CheckGTIN(bad), ErrGTIN, bad)
	}
}

func TestEveryDigitOfAGTINCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		code := []byte("6901234567892")
		i := rapid.IntRange(0, 12).Draw(t, "position")
		code[i] = '0' + (code[i]-'0'+byte(rapid.IntRange(1, 9).Draw(t, "change")))%10
		require.Error(t, CheckGTIN(string(code)))
	})
}

var sample = []string{"6901234567892", "A01", "冰箱", "甲", "M1", "1", "energy", "F1", "5999.00", "b=2;a=1", "active", "sn"}

func TestARecordIsReadAndWrittenBack(t *testing.T) {
	p, err := ParseProduct(sample)
	require.NoError(t, err)
	require.Equal(t, Product{
		Barcode: "6901234567892", Category: "A01", Name: "冰箱", Brand: "甲", Model: "M1", Grade: 1, Label: LabelEnergy, Filing: "F1",
		GuidePrice: 599900, Attributes: []Attribute{{"a", "1"}, {"b", "2"}}, State: Active, Serial: SerialSN,
	}, p)
	again, err := ParseProduct(p.Record())
	require.NoError(t, err)
	require.Equal(t, p, again)
}

func TestEveryWrongFieldOfARecordIsNamed(t *testing.T) {
	for i, bad := range []string{"123", "A 1", "", "\x01", strings.Repeat("x", 200), "6", "heat", "\xff", "0", "a", "sold", "vin"} {
		record := slices.Clone(sample)
		record[i] = bad
		_, err := ParseProduct(record)
		require.ErrorContains(t, err, Columns()[i])
	}
	_, err := ParseProduct([]string{"1", "", "", "", "", "", "", "", "", "", "", ""})
	for _, column := range []string{"barcode", "category", "name", "grade", "label", "state", "serial"} {
		require.ErrorContains(t, err, column, "all problems of a row come together")
	}
	_, err = ParseProduct(sample[:5])
	require.ErrorIs(t, err, ErrColumns)
}

func TestAGradeNeedsALabel(t *testing.T) {
	record := slices.Clone(sample)
	record[6] = "none"
	_, err := ParseProduct(record)
	require.ErrorContains(t, err, "label none cannot carry a grade")
	record[5] = "none"
	p, err := ParseProduct(record)
	require.NoError(t, err)
	require.Zero(t, p.Grade)
}

func TestAttributesAreCodesGivenOnce(t *testing.T) {
	for _, bad := range []string{"a", "a=", "=b", "a=1;a=2", "a=1;", "a=x y", strings.Repeat("a=1;", 40)} {
		_, err := ParseAttributes(bad)
		require.Error(t, err, bad)
	}
}

func TestTheCatalogueKeepsTheOrderOfFirstSetting(t *testing.T) {
	var c Catalogue
	require.Nil(t, c.Get("6901234567892"))
	p, _ := ParseProduct(sample)
	second := p
	second.Barcode = "6923456789012"
	require.True(t, c.Set(p))
	require.True(t, c.Set(second))
	require.False(t, c.Set(p), "the same row is no change")
	p.GuidePrice = 1
	require.True(t, c.Set(p))
	require.Equal(t, money.Amount(1), c.Get("6901234567892").GuidePrice)
	var order []string
	for row := range c.All() {
		order = append(order, row.Barcode)
	}
	require.Equal(t, []string{"6901234567892", "6923456789012"}, order)
	require.Equal(t, 2, c.Len())
}

func TestEveryFieldOfARowCountsAsAChange(t *testing.T) {
	base, _ := ParseProduct(sample)
	for i, with := range []string{"", "A02", "x", "x", "x", "2", "water", "x", "1.00", "a=1", "withdrawn", "none"} {
		if i == 0 {
			continue
		}
		record := slices.Clone(sample)
		record[i] = with
		p, err := ParseProduct(record)
		require.NoError(t, err)
		var c Catalogue
		c.Set(base)
		require.True(t, c.Set(p), Columns()[i])
	}
}

// TestTheCatalogueAgreesWithAMap packs what it is given and gives back the same, also of what is no barcode at all.
func TestTheCatalogueAgreesWithAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c Catalogue
		want := map[string]Product{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			record := slices.Clone(sample)
			record[0] = rapid.SampledFrom([]string{"6901234567892", "06901234567892", "73513537", "6923456789012", "036000291452"}).Draw(t, "barcode")
			for i, values := range [][]string{{"A01", "A02", "B_1"}, {"冰箱", "x"}, {"", "甲"}, {"", strings.Repeat("m", MaxText)}, {"none", "1"},
				{"energy", "water"}, {"", "F1"}, {"", "1.00"}, {"", "a=1", "a=1;b=2"}, {"active", "withdrawn"}, {"sn", "imei", "none"}} {
				record[i+1] = rapid.SampledFrom(values).Draw(t, columns[i+1])
			}
			p, err := ParseProduct(record)
			require.NoError(t, err)
			old, known := want[p.Barcode]
			require.Equal(t, !known || !equal(&old, &p), c.Set(p))
			want[p.Barcode] = p
			for barcode, p := range want {
				require.Equal(t, p, *c.Get(barcode))
			}
		}
		require.Equal(t, len(want), c.Len())
		for p := range c.All() {
			require.Equal(t, want[p.Barcode], *p)
		}
		for _, none := range []string{"", "0", "abc", "690123456789x", "6901234567890123456789", "16901234567892"} {
			require.Nil(t, c.Get(none), none)
		}
	})
}

func TestTextsOfReplacedRowsDoNotGatherForEver(t *testing.T) {
	var c Catalogue
	p, _ := ParseProduct(sample)
	other := p
	other.Barcode = "6923456789012"
	c.Set(other)
	for i := range 30_000 {
		p.Name = strings.Repeat(string(rune('a'+i%7)), MaxText)
		require.True(t, c.Set(p))
		require.Equal(t, p.Name, c.Get(p.Barcode).Name)
	}
	require.Less(t, c.texts.Len(), 2<<20)
	require.Equal(t, other, *c.Get(other.Barcode))
}

func TestATableNamesTheLineOfAWrongRow(t *testing.T) {
	rows, problems := ReadCSV([]byte("# a comment\n" + strings.Join(Columns(), ",") + "\n" + strings.Join(sample, ",") + "\n" + strings.Replace(strings.Join(sample, ","), "892", "893", 1) + "\n"))
	require.Len(t, rows, 1)
	require.Equal(t, 3, rows[0].Line)
	require.Len(t, problems, 1)
	require.Equal(t, 4, problems[0].Line)
	require.ErrorIs(t, problems[0].Err, ErrGTIN)
}

func FuzzParseProduct(f *testing.F) {
	f.Add(strings.Join(sample, ","))
	f.Add("6901234567892,A01,a,,,none,none,,,,withdrawn,imei")
	f.Add("73513537,B_1,\"a,b\",x,y,5,water,z,0.01,k=v;l=w,active,none")
	f.Fuzz(func(t *testing.T, line string) {
		p, err := ParseProduct(strings.Split(line, ","))
		if err != nil {
			return
		}
		again, err := ParseProduct(p.Record())
		if err != nil || !equal(&p, &again) {
			t.Fatalf("%q is read as %+v, written back as %q: %v", line, p, p.Record(), err)
		}
	})
}
