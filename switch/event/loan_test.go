package event

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"
)

// drawn fills every field of a message, or leaves it empty: a field that the schema gets later is drawn too.
func drawn(t *rapid.T, m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		n := 1
		if f.IsList() {
			n = rapid.IntRange(0, 5).Draw(t, string(f.Name()))
		} else if rapid.Bool().Draw(t, string(f.Name())) {
			n = 0
		}
		for range n {
			value := drawnValue(t, m, f)
			if f.IsList() {
				m.Mutable(f).List().Append(value)
			} else {
				m.Set(f, value)
			}
		}
	}
}

func drawnValue(t *rapid.T, m protoreflect.Message, f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.MessageKind:
		var inner protoreflect.Value
		if f.IsList() {
			inner = m.Mutable(f).List().NewElement()
		} else {
			inner = m.NewField(f)
		}
		drawn(t, inner.Message())
		return inner
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(rapid.String().Draw(t, "text"))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(rapid.SliceOfN(rapid.Byte(), hashSize, hashSize).Draw(t, "hash"))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(rapid.Uint64().Draw(t, "number"))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(rapid.Int64().Draw(t, "number"))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(rapid.Uint32().Draw(t, "number"))
	case protoreflect.Sint32Kind:
		return protoreflect.ValueOfInt32(rapid.Int32().Draw(t, "number"))
	}
	panic(fmt.Sprintf("a field of kind %s", f.Kind()))
}

func TestALentReservedIsWhatTheSchemaReads(t *testing.T) {
	var loan Loan // one for all: nothing of a fact stays for the next
	rapid.Check(t, func(t *rapid.T) {
		m := &Reserved{}
		drawn(t, m.ProtoReflect())
		want := &Event{
			Seq: rapid.Uint64Min(1).Draw(t, "seq"), At: rapid.Int64Min(1).Draw(t, "at"), Body: &Event_Reserved{Reserved: m},
		}
		raw, err := want.MarshalVT()
		require.NoError(t, err)
		body, err := m.MarshalVT()
		require.NoError(t, err)

		got, packed, err := loan.Decode(raw)
		require.NoError(t, err)
		require.Equal(t, string(body), packed)
		require.True(t, proto.Equal(want, got), "want %v\ngot  %v", want, got)
		alone, err := loan.Reserved(packed)
		require.NoError(t, err)
		require.True(t, proto.Equal(m, alone))

		require.Equal(t, raw, AppendReserved(nil, want.Seq, want.At, packed))
		require.Equal(t, len(raw), SizeReserved(want.Seq, want.At, packed))
	})
}

func TestWhatIsNoReservedIsNotLent(t *testing.T) {
	var loan Loan
	want := &Event{Seq: 1, At: 2, Body: &Event_HoldExpired{HoldExpired: &HoldExpired{Purchase: 3}}}
	raw, err := want.MarshalVT()
	require.NoError(t, err)
	first, packed, err := loan.Decode(raw)
	require.NoError(t, err)
	require.Empty(t, packed)
	second, _, err := loan.Decode(raw)
	require.NoError(t, err)
	require.NotSame(t, first, second)
	require.True(t, proto.Equal(want, first))
}

// A later program may have packed a field that this one has no name for: it must not be lost where the fact is kept.
func TestAReservedWithAnUnknownFieldIsReadByTheSchema(t *testing.T) {
	var loan Loan
	m := &Reserved{Purchase: 7, Price: 100}
	m.ProtoReflect().SetUnknown([]byte{0xF8, 0x3F, 1}) // field 1023 = 1
	want := &Event{Seq: 1, At: 2, Body: &Event_Reserved{Reserved: m}}
	raw, err := want.MarshalVT()
	require.NoError(t, err)
	got, packed, err := loan.Decode(raw)
	require.NoError(t, err)
	require.Empty(t, packed)
	require.True(t, proto.Equal(want, got))
}

// FuzzLoan: whatever the bytes, a lent event is what the schema's own decoder reads, and what that refuses is refused.
func FuzzLoan(f *testing.F) {
	m := &Reserved{
		Purchase: 1, Key: &ExchangeKey{Class: 1, Terminal: "21010001", Stan: 7}, Content: make([]byte, hashSize), Price: 300,
		Parts: []*FundingPart{{Payer: "central", Amount: 45}}, Position: &Position{Lon: -1, Lat: 2, Crs: 1}, Marks: []string{"A"},
		Components: []*Component{{Kind: "pipes", Amount: 5}}, Attributes: []string{"energy=1"},
	}
	for _, body := range []isEvent_Body{&Event_Reserved{Reserved: m}, &Event_HoldExpired{HoldExpired: &HoldExpired{Purchase: 3}}} {
		raw, err := (&Event{Seq: 1, At: 2, Body: body}).MarshalVT()
		require.NoError(f, err)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var loan Loan
		want := &Event{}
		refused := want.UnmarshalVT(raw)
		got, packed, err := loan.Decode(raw)
		require.Equal(t, refused == nil, err == nil, "%v, %v", refused, err)
		if err != nil {
			return
		}
		require.True(t, proto.Equal(want, got), "want %v\ngot  %v", want, got)
		if packed != "" {
			again := &Reserved{}
			require.NoError(t, again.UnmarshalVT([]byte(packed)))
			require.True(t, proto.Equal(want.GetReserved(), again))
		}
	})
}
