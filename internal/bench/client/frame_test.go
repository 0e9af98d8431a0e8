package client

import (
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/config/dialects"
	"huanxin/internal/bench/seed"
	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

func cup(t testing.TB) *iso8583.Codec {
	t.Helper()
	spec, _, err := dialects.Load("", "cup")
	require.NoError(t, err)
	codec, err := iso8583.Compile(spec)
	require.NoError(t, err)
	return codec
}

// read parses a frame of the client with the codec that the switch uses.
func read(t *testing.T, codec *iso8583.Codec, frame []byte) *iso8583.Message {
	t.Helper()
	f, n, err := wire.CUP.Next(frame, 0)
	require.NoError(t, err)
	require.Equal(t, len(frame), n)
	var m iso8583.Message
	require.NoError(t, codec.Parse(f.Message, &m))
	return &m
}

func text(m *iso8583.Message, n int) string { return string(m.AppendField(nil, n)) }

func TestPatchedFramesAreProperMessages(t *testing.T) {
	codec := cup(t)
	products := seed.Programme{Products: 5}.Barcodes(5)
	r, err := NewReserves(ReserveConfig{Codec: codec, Slots: 3, First: 7, Persons: NewNumbers(40, 44), Barcodes: products, FirstSTAN: 8})
	require.NoError(t, err)
	for i, slot := range []int{2, 0, 2} {
		person := uint64(40 + i)
		m := read(t, codec, r.Next(slot))
		require.Equal(t, iso8583.MTI(0x0100), m.MTI())
		require.Equal(t, "390000", text(m, 3))
		require.Equal(t, seed.Terminal(7+slot), text(m, 41))
		require.Equal(t, seed.Merchant(7+slot), text(m, 42))
		stan := map[int]string{0: "000009", 1: "000009", 2: "000010"}[i]
		require.Equal(t, stan, text(m, 11))
		tag := func(name string) string {
			v, ok := iso8583.FindTag59(m.AppendField(nil, 59), name)
			require.True(t, ok)
			return string(v)
		}
		require.Equal(t, string(seed.AppendCode(nil, person)), tag("S1"))
		require.Equal(t, products[person%5], tag("S2"))
		require.Equal(t, "SN0000000000"+string(iso8583.AppendDigits(nil, person, 2)), tag("S3"))
		require.Equal(t, "PO0000000000"+string(iso8583.AppendDigits(nil, person, 2)), tag("S4"))
	}
	require.NotNil(t, r.Next(1))
	require.Nil(t, r.Next(1), "all persons have been")
}

// answer is what the switch says to the last request of a slot.
func answer(t *testing.T, codec *iso8583.Codec, r *Reserves, slot int, code, tags string) []byte {
	t.Helper()
	request := read(t, codec, r.slots[slot].frame)
	fields := map[int][]byte{12: []byte("100000"), 13: []byte("0102"), 39: []byte(code), 59: []byte(tags)}
	for _, n := range []int{3, 4, 11, 25, 41, 42, 49, 60} {
		fields[n] = request.AppendField(nil, n)
	}
	if r.pads != nil {
		fields[macField] = make([]byte, macSize)
	}
	frame, err := build(codec, 0x0110, fields)
	require.NoError(t, err)
	return frame
}

func TestOnlyTheExpectedAnswerIsBelieved(t *testing.T) {
	codec := cup(t)
	r, err := NewReserves(ReserveConfig{Codec: codec, Slots: 2, First: 100, Persons: NewNumbers(0, 10), Barcodes: seed.Programme{}.Barcodes(1)})
	require.NoError(t, err)
	r.Next(0)
	r.Next(1)
	r.Next(1)
	good := answer(t, codec, r, 1, "00", "SA01420260101000000S7012000000000042")
	slot, err := r.Slot(good)
	require.NoError(t, err)
	require.Equal(t, 1, slot)
	require.NoError(t, r.Judge(1, good))
	require.Equal(t, []Ack{{Hold: 42, Terminal: 101, STAN: 2}}, r.Acks())

	require.ErrorContains(t, r.Judge(0, good), "another STAN")
	require.ErrorContains(t, r.Judge(1, answer(t, codec, r, 1, "57", "SB00357X")), "code 57")
	require.ErrorContains(t, r.Judge(1, answer(t, codec, r, 1, "00", "SC00257")), "no hold")
	_, err = r.Slot(answer(t, codec, r, 1, "00", "")[:firstField])
	require.ErrorContains(t, err, "another form")
	echoed := append([]byte(nil), r.slots[1].frame...)
	_, err = r.Slot(echoed)
	require.ErrorContains(t, err, "another form", "a request is no answer")

	e, err := NewReserves(ReserveConfig{Codec: codec, Slots: 1, Persons: NewNumbers(0, 9), Barcodes: seed.Programme{}.Barcodes(1), Echo: true})
	require.NoError(t, err)
	back := append([]byte(nil), e.Next(0)...)
	slot, err = e.Slot(back)
	require.NoError(t, err)
	require.NoError(t, e.Judge(slot, back))
	back[len(back)-1] ^= 1
	require.Error(t, e.Judge(slot, back))
}

func TestFramesAreTakenOffWholeFromAnyPieces(t *testing.T) {
	codec := cup(t)
	r, err := NewReserves(ReserveConfig{Codec: codec, Slots: 1, Persons: NewNumbers(0, 999), Barcodes: seed.Programme{}.Barcodes(1)})
	require.NoError(t, err)
	var stream []byte
	for range 200 {
		stream = append(stream, r.Next(0)...)
	}
	in := frames{buf: make([]byte, 2*largestBody)}
	var got []byte
	for piece := 1; len(stream) > 0; piece = piece*7%2999 + 1 {
		n := copy(in.room(), stream[:min(piece, len(stream))])
		in.arrived(n)
		stream = stream[n:]
		for {
			frame, err := in.next()
			require.NoError(t, err)
			if frame == nil {
				break
			}
			got = append(got, frame...)
			require.Equal(t, len(r.slots[0].frame), len(frame))
		}
	}
	require.Len(t, got, 200*len(r.slots[0].frame))
	in = frames{buf: []byte{0, 1, 0}, end: 3}
	_, err = in.next()
	require.Error(t, err)
}

func TestDigitsGoBothWays(t *testing.T) {
	b := make([]byte, 3)
	putBCD(b, 987654)
	require.Equal(t, []byte{0x98, 0x76, 0x54}, b)
	require.Equal(t, uint32(987654), readBCD(b))
	d := make([]byte, 12)
	putDigits(d, 42)
	require.Equal(t, "000000000042", string(d))
	v, ok := readDigits(d)
	require.True(t, ok)
	require.Equal(t, uint64(42), v)
	_, ok = readDigits([]byte("4x"))
	require.False(t, ok)
}
