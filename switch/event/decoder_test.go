package event

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"
)

// commonest are the kinds that a Decoder knows by heart.
var commonest = []protoreflect.Name{"reserved", "sale_sent", "sale_approved", "entitlement_claimed", "code_shown"}

// What the Decoder makes of a fact is what the generated code makes of it: every field, set and unset, alone and twice.
func TestTheDecoderAgreesWithTheGeneratedCode(t *testing.T) {
	d := &Decoder{}
	fields := (&Event{}).ProtoReflect().Descriptor().Fields()
	rapid.Check(t, func(t *rapid.T) {
		ev := &Event{Seq: rapid.Uint64().Draw(t, "seq"), At: rapid.Int64().Draw(t, "at")}
		kind := rapid.SampledFrom(commonest).Draw(t, "kind")
		fill(t, ev.ProtoReflect().Mutable(fields.ByName(kind)).Message())
		raw, err := ev.MarshalVT()
		require.NoError(t, err)
		require.NotNil(t, d.common(raw), "a %s is decoded by heart", kind)
		agree(t, d, raw)

		if len(raw) > 0 { // cut, or a byte changed
			agree(t, d, raw[:rapid.IntRange(0, len(raw)-1).Draw(t, "cut")])
			raw[rapid.IntRange(0, len(raw)-1).Draw(t, "where")] = rapid.Byte().Draw(t, "other")
			agree(t, d, raw)
		}
	})
}

// A fact of a newer program keeps the fields that this one does not know.
func TestUnknownFieldsAreKept(t *testing.T) {
	ev := &Event{Seq: 1, Body: &Event_Reserved{Reserved: &Reserved{Purchase: 7, Key: &ExchangeKey{Stan: 3}}}}
	ev.GetReserved().ProtoReflect().SetUnknown([]byte{0xfa, 0x3f, 1, 'x'})
	raw, err := ev.MarshalVT()
	require.NoError(t, err)
	agree(t, &Decoder{}, raw)
}

// Every other kind goes to the generated code.
func TestTheOtherKindsAreDecodedToo(t *testing.T) {
	fields := (&Event{}).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
	for i := range fields.Len() {
		ev := &Event{Seq: 1, At: 2}
		ev.ProtoReflect().Mutable(fields.Get(i))
		raw, err := ev.MarshalVT()
		require.NoError(t, err)
		agree(t, &Decoder{}, raw)
	}
}

func agree(t require.TestingT, d *Decoder, raw []byte) {
	want := &Event{}
	wantErr := want.UnmarshalVT(raw)
	got, err := d.Decode(raw)
	require.Equal(t, wantErr == nil, err == nil, "%v, %v", wantErr, err)
	if err == nil {
		require.True(t, proto.Equal(want, got), "want %v\ngot  %v", want, got)
	}
}

// fill sets a random choice of the fields of m.
func fill(t *rapid.T, m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		name := string(f.FullName())
		switch {
		case !rapid.Bool().Draw(t, name):
		case f.IsList():
			list := m.Mutable(f).List()
			for range rapid.IntRange(0, 5).Draw(t, name) {
				if f.Message() != nil {
					fill(t, list.AppendMutable().Message())
				} else {
					list.Append(scalar(t, f))
				}
			}
		case f.Message() != nil:
			fill(t, m.Mutable(f).Message())
		default:
			m.Set(f, scalar(t, f))
		}
	}
}

func scalar(t *rapid.T, f protoreflect.FieldDescriptor) protoreflect.Value {
	name := string(f.FullName())
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(rapid.StringN(0, 20, 60).Draw(t, name))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, name))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rapid.Bool().Draw(t, name))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(rapid.Uint32().Draw(t, name))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(rapid.Uint64().Draw(t, name))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(rapid.Int64().Draw(t, name))
	case protoreflect.Sint32Kind:
		return protoreflect.ValueOfInt32(rapid.Int32().Draw(t, name))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(rapid.IntRange(0, 4).Draw(t, name)))
	}
	panic(fmt.Sprintf("field %s of kind %s", name, f.Kind()))
}
