package keys

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestCardRecordBytes pins the encoding: it stands, sealed, in journals.
func TestCardRecordBytes(t *testing.T) {
	r := testRecord()
	want := "\x01" + "\x106224240000000017" + "\x043012" + "\x03001" + "\x03051" + "\x0200" + "\x03156" + "\x00" +
		"\x03\x95\x01\x00" + "\x00\x0e22000001000600"
	require.Equal(t, want, string(r.Append(nil)))
}

func TestCardRecordSurvivesAppendAndParse(t *testing.T) {
	digits := func(min, max int) *rapid.Generator[[]byte] {
		return rapid.SliceOfN(rapid.ByteRange('0', '9'), min, max)
	}
	rapid.Check(t, func(t *rapid.T) {
		r := CardRecord{
			Expiry: rapid.OneOf(digits(0, 0), digits(4, 4)).Draw(t, "expiry"), Sequence: rapid.OneOf(digits(0, 0), digits(3, 3)).Draw(t, "sequence"),
			EntryMode: digits(3, 3).Draw(t, "entry"), Condition: digits(2, 2).Draw(t, "condition"), Currency: digits(3, 3).Draw(t, "currency"),
			ICC: rapid.SliceOfN(rapid.Byte(), 0, maxICC).Draw(t, "icc"), POSData: digits(0, maxPOSData).Draw(t, "pos"),
		}
		if rapid.Bool().Draw(t, "qr") {
			r.QRCode = digits(1, maxQRCode).Draw(t, "code")
		} else {
			r.PAN = digits(8, 19).Draw(t, "pan")
		}
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
		encoded := r.Append([]byte("x"))[1:]
		got, err := ParseCardRecord(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Append(nil), encoded) || !bytes.Equal(got.PAN, r.PAN) || !bytes.Equal(got.POSData, r.POSData) {
			t.Fatalf("%x", encoded)
		}
	})
}

func TestCardRecordRefusesFieldsOutsideTheirLimits(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*CardRecord)
		says   string
	}{
		"20 digits":         {func(r *CardRecord) { r.PAN = []byte(strings.Repeat("1", 20)) }, "PAN has 20 digits"},
		"7 digits":          {func(r *CardRecord) { r.PAN = []byte("1234567") }, "PAN has 7 digits"},
		"track instead":     {func(r *CardRecord) { r.PAN = []byte("6224240000000017D30") }, "PAN is not digits"},
		"expiry":            {func(r *CardRecord) { r.Expiry = []byte("123") }, "expiry has 3 digits"},
		"sequence":          {func(r *CardRecord) { r.Sequence = []byte("1") }, "sequence has 1 digits"},
		"entry mode absent": {func(r *CardRecord) { r.EntryMode = nil }, "entry mode has 0 digits"},
		"currency":          {func(r *CardRecord) { r.Currency = []byte("CNY") }, "currency is not digits"},
		"icc":               {func(r *CardRecord) { r.ICC = make([]byte, 256) }, "ICC data has 256 bytes"},
		"pos data":          {func(r *CardRecord) { r.POSData = []byte("22D") }, "POS data is not digits"},
		"neither":           {func(r *CardRecord) { r.PAN = nil }, "either a PAN or a QR code"},
		"both":              {func(r *CardRecord) { r.QRCode = []byte("6222") }, "either a PAN or a QR code"},
		"QR code":           {func(r *CardRecord) { r.PAN, r.QRCode = nil, []byte("62 22") }, "QR code"},
	} {
		r := testRecord()
		c.change(&r)
		err := r.Check()
		require.ErrorIs(t, err, ErrCardRecord, name)
		require.ErrorContains(t, err, c.says, name)
		require.NotContains(t, err.Error(), "6224240000000017", name)
		_, err = testVault(t, testSet(t)).SealCard(&r)
		require.ErrorIs(t, err, ErrCardRecord, name)
	}
}

func TestQRPaymentIsSealedByItsCode(t *testing.T) {
	v := testVault(t, testSet(t))
	r := CardRecord{QRCode: []byte("6210000000000001234"), EntryMode: []byte("032")}
	card, err := v.SealCard(&r)
	require.NoError(t, err)
	require.Equal(t, "621000*********1234", card.Mask)
	got, err := v.OpenCard(card)
	require.NoError(t, err)
	require.Equal(t, "6210000000000001234", string(got.QRCode))
	require.Empty(t, got.PAN)
}

func TestMaskShowsSixAndFour(t *testing.T) {
	for in, want := range map[string]string{"6224240000000017": "622424******0017", "62242400": "********"} {
		require.Equal(t, want, (&CardRecord{PAN: []byte(in)}).Mask())
		require.Equal(t, want, (&CardRecord{QRCode: []byte(in)}).Mask())
		require.Equal(t, "card "+want, fmt.Sprint(CardRecord{PAN: []byte(in)}))
	}
	require.Empty(t, (&CardRecord{}).Mask())
}

func TestWipeLeavesNothingBehind(t *testing.T) {
	r := testRecord()
	encoded := r.Append(nil)
	parsed, err := ParseCardRecord(encoded)
	require.NoError(t, err)
	parsed.Wipe()
	require.NotContains(t, string(encoded), "6224")
	require.Equal(t, make([]byte, 16), parsed.PAN)
}

func FuzzParseCardRecord(f *testing.F) {
	r := testRecord()
	f.Add(r.Append(nil))
	qr := CardRecord{QRCode: []byte("6210000000000001234"), EntryMode: []byte("032")}
	f.Add(qr.Append(nil))
	f.Add([]byte{1, 200})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseCardRecord(b)
		if err != nil {
			require.ErrorIs(t, err, ErrCardRecord)
			return
		}
		require.Equal(t, b, got.Append(nil))
	})
}
