package registry

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var (
	shop = []string{"898210157220001", "商店", "210100", "210200", "5722", "B01 @appliance", "store qr", "active"}
	till = []string{"21010001", "898210157220001", "210100", "store", "123.4294", "-41.5", "active", "1"}
)

func TestAMerchantIsReadAndWrittenBack(t *testing.T) {
	m, err := ParseMerchant(shop)
	require.NoError(t, err)
	require.Equal(t, Merchant{
		ID: "898210157220001", Name: "商店", City: "210100", StoreCity: "210200", MCC: "5722",
		Admits: []string{"@appliance", "B01"}, Channels: []string{"qr", "store"}, State: Active,
	}, m)
	again, err := ParseMerchant(m.Record())
	require.NoError(t, err)
	require.Equal(t, m, again)
}

func TestATerminalIsReadAndWrittenBack(t *testing.T) {
	term, err := ParseTerminal(till)
	require.NoError(t, err)
	require.Equal(t, Terminal{ID: "21010001", Merchant: "898210157220001", City: "210100", Channel: "store", Lon: 123429400, Lat: -41500000, State: Active, Batch: 1}, term)
	again, err := ParseTerminal(term.Record())
	require.NoError(t, err)
	require.Equal(t, term, again)
}

func TestASerialNumberIsHashedBeforeItIsKept(t *testing.T) {
	plain, err := ParseTerminal(till)
	require.NoError(t, err)
	hash, ok := plain.SerialHash()
	require.True(t, ok)
	require.Zero(t, hash)

	records := [][]string{append(slices.Clone(till), "50SXX-4C304119"), slices.Clone(till), append(slices.Clone(till), "")}
	clear, err := ParseTerminal(records[0])
	require.NoError(t, err)
	_, ok = clear.SerialHash()
	require.False(t, ok)
	HashSerials(records, func(serial []byte) [16]byte {
		require.Equal(t, "50SXX-4C304119", string(serial))
		return [16]byte{1, 2}
	})
	HashSerials(records, func([]byte) [16]byte { t.Error("hashed twice"); return [16]byte{} })
	hashed, err := ParseTerminal(records[0])
	require.NoError(t, err)
	hash, ok = hashed.SerialHash()
	require.True(t, ok)
	require.Equal(t, [16]byte{1, 2}, hash)
	again, err := ParseTerminal(hashed.Record())
	require.NoError(t, err)
	require.Equal(t, hashed, again)
	for _, same := range records[1:] {
		term, err := ParseTerminal(same)
		require.NoError(t, err)
		require.Equal(t, plain, term)
	}
	for _, bad := range []string{"a b", "#12", "#" + strings.Repeat("AB", 16), strings.Repeat("x", 51), "\x01"} {
		_, err := ParseTerminal(append(slices.Clone(till), bad))
		require.ErrorContains(t, err, "serial", bad)
	}
}

func TestATableMayNameTheSerialNumberLast(t *testing.T) {
	head := strings.Join(TerminalColumns(), ",")
	rows, problems := ReadTerminals([]byte("# shop\r\n" + head + ",serial\r\n" + strings.Join(till, ",") + ",NX-1\r\n"))
	require.Empty(t, problems)
	require.Equal(t, "NX-1", rows[0].Value.Serial)
	rows, problems = ReadTerminals([]byte(head + "\n" + strings.Join(till, ",") + "\n"))
	require.Empty(t, problems)
	require.Empty(t, rows[0].Value.Serial)
}

func TestEveryWrongFieldIsNamed(t *testing.T) {
	for i, bad := range []string{"1", "", "21010", "x", "57", "a b!", "a a", "gone"} {
		record := slices.Clone(shop)
		record[i] = bad
		_, err := ParseMerchant(record)
		require.ErrorContains(t, err, MerchantColumns()[i])
	}
	for i, bad := range []string{"1", "2", "21010", "", "181", "1.1234567", "gone", "0"} {
		record := slices.Clone(till)
		record[i] = bad
		_, err := ParseTerminal(record)
		require.ErrorContains(t, err, TerminalColumns()[i])
	}
	_, err := ParseMerchant(shop[:3])
	require.ErrorIs(t, err, ErrColumns)
	_, err = ParseTerminal(till[:3])
	require.ErrorIs(t, err, ErrColumns)
}

func TestAdmissionIsByCategoryOrGroup(t *testing.T) {
	m, _ := ParseMerchant(shop)
	require.True(t, m.AdmittedFor("A01", "appliance"))
	require.True(t, m.AdmittedFor("B01", "digital"))
	require.False(t, m.AdmittedFor("B02", "digital"))
	require.False(t, m.AdmittedFor("appliance", "x"))
	require.True(t, m.SellsThrough("qr"))
	require.False(t, m.SellsThrough("online"))
}

func TestDegreesAreExactAtSixDecimals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		micro := rapid.Int32Range(-180_000_000, 180_000_000).Draw(t, "micro")
		got, err := parseMicroDegrees(formatMicroDegrees(micro), 180)
		require.NoError(t, err)
		require.Equal(t, micro, got)
	})
	for _, bad := range []string{"", "-", ".", "1.", ".5", "1e2", "+1", "--1", "1.0000000", "1000", "180.000001", " 1"} {
		_, err := parseMicroDegrees(bad, 180)
		require.Error(t, err, bad)
	}
}

func TestTheRegistryKeepsTheOrderOfFirstSetting(t *testing.T) {
	var r Registry
	require.Nil(t, r.Merchant("898210157220001"))
	require.Nil(t, r.Terminal("21010001"))
	m, _ := ParseMerchant(shop)
	term, _ := ParseTerminal(till)
	otherMerchant, otherTerminal := m, term
	otherMerchant.ID, otherTerminal.ID = "898210157220000", "21010000"
	require.True(t, r.SetMerchant(m))
	require.True(t, r.SetMerchant(otherMerchant))
	require.True(t, r.SetTerminal(term))
	require.True(t, r.SetTerminal(otherTerminal))
	require.False(t, r.SetMerchant(m))
	require.False(t, r.SetTerminal(term))
	m.State, term.State = Suspended, Suspended
	require.True(t, r.SetMerchant(m))
	require.True(t, r.SetTerminal(term))
	require.Equal(t, Suspended, r.Merchant(m.ID).State)
	require.Equal(t, Suspended, r.Terminal(term.ID).State)
	var order []string
	for row := range r.Merchants() {
		order = append(order, row.ID)
	}
	for row := range r.Terminals() {
		order = append(order, row.ID)
	}
	require.Equal(t, []string{m.ID, otherMerchant.ID, term.ID, otherTerminal.ID}, order)
	merchants, terminals := r.Len()
	require.Equal(t, 2, merchants)
	require.Equal(t, 2, terminals)
}

func FuzzParseMerchant(f *testing.F) {
	f.Add(strings.Join(shop, ","))
	f.Add("89821015722000A,a,210100,210100,0000,,,suspended")
	f.Fuzz(func(t *testing.T, line string) {
		m, err := ParseMerchant(strings.Split(line, ","))
		if err != nil {
			return
		}
		again, err := ParseMerchant(m.Record())
		if err != nil || !equalMerchants(&m, &again) {
			t.Fatalf("%q is read as %+v, written back as %q: %v", line, m, m.Record(), err)
		}
	})
}

func FuzzParseTerminal(f *testing.F) {
	f.Add(strings.Join(till, ","))
	f.Add("T000000A,898210157220001,210100,qr,-0.000001,90,suspended,999999")
	f.Fuzz(func(t *testing.T, line string) {
		term, err := ParseTerminal(strings.Split(line, ","))
		if err != nil {
			return
		}
		again, err := ParseTerminal(term.Record())
		if err != nil || term != again {
			t.Fatalf("%q is read as %+v, written back as %q: %v", line, term, term.Record(), err)
		}
	})
}
