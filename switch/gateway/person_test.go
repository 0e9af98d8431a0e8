package gateway

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestResidentNumbersOfTheSampleList(t *testing.T) {
	raw, err := os.ReadFile("testdata/resident_ids.json")
	require.NoError(t, err)
	var list []struct {
		Value, Why string
		Valid      bool
	}
	require.NoError(t, json.Unmarshal(raw, &list))
	require.NotEmpty(t, list)
	for _, id := range list {
		fault := checkResident(id.Value, start)
		require.Equal(t, id.Valid, fault == "", "%s: %s", id.Why, fault)
	}
}

func TestResidentNumbersThatPassTheirChecksumOnly(t *testing.T) {
	withCheck := func(digits string) string { return digits + string(checkCharacter(digits)) }
	for number, says := range map[string]string{
		withCheck("00000000000000000"): "division",
		withCheck("21010220270618001"): "birth date", // after today
		withCheck("21010218991231001"): "birth date",
		withCheck("21010220250231001"): "birth date",
		withCheck("21000019900101001"): "division", // the province itself
		withCheck("81000019900101001"): "division", // residence permit
		withCheck("99010219900101001"): "division",
		"21010219000101001a":           "digit or X",
		"２１0102190001010014":           "18 characters",
	} {
		fault := checkResident(number, start)
		require.Contains(t, fault, says, "%q", number)
		require.NotContains(t, fault, number)
	}
	require.Empty(t, checkResident(withCheck("21010220260618001"), start), "born today")
}

// The reference is the weighted sum that GB 11643 prints.
func TestCheckCharacterIsTheWeightedSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.StringMatching(`[0-9]{17}`).Draw(t, "digits")
		weights := [17]int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2}
		sum := 0
		for i := range weights {
			sum += weights[i] * int(digits[i]-'0')
		}
		if want := "10X98765432"[sum%11]; checkCharacter(digits) != want {
			t.Fatalf("%s: %c, want %c", digits, checkCharacter(digits), want)
		}
	})
}

func TestPermitsByForm(t *testing.T) {
	for number, good := range map[[2]string]bool{
		{"HKMO", "H12345678"}:            true,
		{"hk-macao-permit", "m12345678"}: true,
		{"HKMO", "H1234567801"}:          false, // with the renewal count
		{"HKMO", "H00000000"}:            false,
		{"HKMO", "A12345678"}:            false,
		{"TW", "12345678"}:               true,
		{"TW", "1234567801"}:             false,
		{"TW", "00000000"}:               false,
		{"id-card", "12345678"}:          false,
	} {
		o, p := parseObject(fmt.Appendf(nil, `{"id_kind":%q,"id_number":%q}`, number[0], number[1]))
		require.Nil(t, p)
		readPerson(o, false, start)
		require.Equal(t, good, o.problem() == nil, "%v", number)
	}
}

func TestSmallLettersAreTheSamePerson(t *testing.T) {
	g := newBench(t).g
	read := func(kind, number string) person {
		o, p := parseObject(fmt.Appendf(nil, `{"id_kind":%q,"id_number":%q}`, kind, number))
		require.Nil(t, p)
		who := readPerson(o, false, start)
		require.Nil(t, o.problem())
		return who
	}
	require.Equal(t, g.hash(read("ID", "11010519491231002X")), g.hash(read("id-card", "11010519491231002x")))
	require.NotEqual(t, g.hash(read("TW", "12345678")), g.hash(read("TW", "12345679")))
}

func FuzzResident(f *testing.F) {
	f.Add("11010519491231002X")
	f.Add("210102190002290011")
	f.Add("21010219000101001\u0000")
	f.Fuzz(func(t *testing.T, number string) {
		if checkResident(number, start) != "" {
			return
		}
		require.Len(t, number, 18)
		born, err := time.ParseInLocation("20060102", number[6:14], china)
		require.NoError(t, err)
		require.False(t, born.After(start))
		// One wrong digit anywhere is always noticed by a MOD 11-2 check.
		for i := range 17 {
			for d := byte('0'); d <= '9'; d++ {
				if d != number[i] {
					require.NotEmpty(t, checkResident(number[:i]+string(d)+number[i+1:], start))
				}
			}
		}
	})
}
