package wire

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

var allFramings = []Framing{CUP, NAC, NCC, ASCII4, Raw2, Raw4}

func TestNextTakesEveryFramingApart(t *testing.T) {
	for _, tc := range []struct {
		framing              Framing
		wire                 string
		tpdu, header, messag string
	}{
		{CUP, "000D 6000030000 603100310100 0800", "6000030000", "603100310100", "0800"},
		{CUP, "000D 6000030000 60310031FFF1 0200", "6000030000", "60310031FFF1", "0200"},
		{NAC, "0007 6000030000 0800", "6000030000", "", "0800"},
		{NCC, "0012 6000030000 08000102030405", "6000030000", "", "08000102030405"},
		{ASCII4, "30303034 30383030", "", "", "30383030"},
		{Raw2, "0002 0800", "", "", "0800"},
		{Raw4, "00000002 0800", "", "", "0800"},
	} {
		wire := unhex(t, string(bytes.ReplaceAll([]byte(tc.wire), []byte(" "), nil)))
		frame, n, err := tc.framing.Next(append(wire, 0xAA, 0xBB), 0)
		require.NoError(t, err, tc.framing)
		require.Equal(t, len(wire), n, tc.framing)
		require.Equal(t, unhex(t, tc.tpdu), append([]byte{}, frame.TPDU...), tc.framing)
		require.Equal(t, unhex(t, tc.header), append([]byte{}, frame.Header...), tc.framing)
		require.Equal(t, unhex(t, tc.messag), frame.Message, tc.framing)

		again, err := tc.framing.AppendFrame(nil, frame.TPDU, frame.Header, frame.Message)
		require.NoError(t, err)
		require.Equal(t, wire, again, tc.framing)
	}
}

func TestBadFramesAreRefusedBeforeTheirBodyArrives(t *testing.T) {
	for _, tc := range []struct {
		framing Framing
		wire    string
		want    error
	}{
		{CUP, "FFFF", ErrOversized},
		{CUP, "1000", ErrOversized}, // 4096 + the length field itself
		{CUP, "0000", ErrShort},
		{CUP, "000B", ErrShort},
		{CUP, "003C61", ErrTPDU},
		{NAC, "0005", ErrShort},
		{NAC, "0030FF", ErrTPDU},
		{NCC, "00A1", ErrLength},
		{NCC, "F0", ErrLength},
		{NCC, "9999", ErrOversized},
		{NCC, "0000", ErrShort},
		{ASCII4, "3030303A", ErrLength},
		{ASCII4, "2D", ErrLength},
		{ASCII4, "39393939", ErrOversized},
		{Raw2, "FFFF", ErrOversized},
		{Raw4, "80000000", ErrOversized},
		{Raw4, "FFFFFFFF", ErrOversized},
	} {
		_, n, err := tc.framing.Next(unhex(t, tc.wire), 0)
		require.ErrorIs(t, err, tc.want, "%v %s", tc.framing, tc.wire)
		require.Zero(t, n)
	}
}

func TestLargestFrameIsTheLimitLengthFieldIncluded(t *testing.T) {
	for _, f := range allFramings {
		const limit = 64
		body := limit - f.LengthSize()
		tpdu, header := make([]byte, sizeIf(f.TPDU(), TPDUSize)), make([]byte, sizeIf(f.Header(), HeaderSize))
		if len(tpdu) > 0 {
			tpdu[0] = tpduID
		}
		message := make([]byte, body-len(tpdu)-len(header))
		wire, err := f.AppendFrame(nil, tpdu, header, message)
		require.NoError(t, err)
		require.Len(t, wire, limit)
		_, n, err := f.Next(wire, limit)
		require.NoError(t, err, f)
		require.Equal(t, limit, n)
		_, _, err = f.Next(wire, limit-1)
		require.ErrorIs(t, err, ErrOversized, f)
	}
}

func TestZeroLengthIsAKeepAliveOnlyWithoutTPDU(t *testing.T) {
	for _, f := range []Framing{ASCII4, Raw2, Raw4} {
		wire, err := f.AppendFrame(nil, nil, nil, nil)
		require.NoError(t, err)
		frame, n, err := f.Next(wire, 0)
		require.NoError(t, err)
		require.Equal(t, f.LengthSize(), n)
		require.True(t, frame.KeepAlive())
	}
	_, err := CUP.AppendFrame(nil, []byte{0x60, 0, 3, 0, 0}, make([]byte, HeaderSize), nil)
	require.ErrorIs(t, err, ErrShort)
}

func TestAppendFrameRefusesPartsTheFramingDoesNotCarry(t *testing.T) {
	tpdu, header := []byte{0x60, 0, 3, 0, 0}, make([]byte, HeaderSize)
	prefix := []byte("kept")
	for _, f := range allFramings {
		if !f.Header() {
			out, err := f.AppendFrame(prefix, sliceIf(f.TPDU(), tpdu), header, []byte{8})
			require.Error(t, err, f)
			require.Equal(t, prefix, out)
		}
		_, err := f.AppendFrame(nil, sliceIf(!f.TPDU(), tpdu), sliceIf(f.Header(), header), []byte{8})
		require.Error(t, err, f)
	}
	_, err := NAC.AppendFrame(nil, []byte{0x61, 0, 3, 0, 0}, nil, []byte{8})
	require.ErrorIs(t, err, ErrTPDU)
	for _, f := range []Framing{NCC, ASCII4} {
		_, err := f.AppendFrame(nil, sliceIf(f.TPDU(), tpdu), nil, make([]byte, 10000))
		require.ErrorIs(t, err, ErrOversized)
	}
	_, err = Raw2.AppendFrame(nil, nil, nil, make([]byte, 0x10000))
	require.ErrorIs(t, err, ErrOversized)
}

func sliceIf(present bool, b []byte) []byte {
	if present {
		return b
	}
	return nil
}

func TestSwapExchangesDestinationAndSource(t *testing.T) {
	require.Equal(t, unhex(t, "6012340003"), AppendSwapped(nil, unhex(t, "6000031234")))
}

func TestFramingNames(t *testing.T) {
	for _, f := range allFramings {
		got, err := ParseFraming(f.String())
		require.NoError(t, err)
		require.Equal(t, f, got)
	}
	for _, name := range []string{"", "none", "CUP", "unknown"} {
		_, err := ParseFraming(name)
		require.Error(t, err, name)
	}
}

// A stream of frames cut at any points gives the same frames as the whole.
func TestFramesSurviveAnyFragmentation(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := rapid.SampledFrom(allFramings).Draw(rt, "framing")
		var stream []byte
		var want [][]byte
		for i := rapid.IntRange(1, 5).Draw(rt, "frames"); i > 0; i-- {
			message := rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(rt, "message")
			tpdu := append([]byte{tpduID}, rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(rt, "tpdu")...)
			header := rapid.SliceOfN(rapid.Byte(), HeaderSize, HeaderSize).Draw(rt, "header")
			var err error
			stream, err = f.AppendFrame(stream, sliceIf(f.TPDU(), tpdu), sliceIf(f.Header(), header), message)
			require.NoError(rt, err)
			want = append(want, message)
		}
		var buf []byte
		var got [][]byte
		for len(stream) > 0 {
			cut := rapid.IntRange(1, len(stream)).Draw(rt, "cut")
			buf, stream = append(buf, stream[:cut]...), stream[cut:]
			for {
				frame, n, err := f.Next(buf, 0)
				require.NoError(rt, err)
				if n == 0 {
					break
				}
				got = append(got, bytes.Clone(frame.Message))
				buf = buf[n:]
			}
		}
		require.Empty(rt, buf)
		require.Equal(rt, want, got)
	})
}

func TestFramingDoesNotAllocate(t *testing.T) {
	wire := unhex(t, "000D60000300006031003101000800")
	out := make([]byte, 0, 64)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		frame, _, _ := CUP.Next(wire, 0)
		out, _ = CUP.AppendFrame(out[:0], frame.TPDU, frame.Header, frame.Message)
		_, _, _ = CUP.Next([]byte{0xff, 0xff}, 0)
	}))
	require.Equal(t, wire, out)
}

func FuzzFraming(f *testing.F) {
	f.Add(uint8(CUP), []byte("\x00\x0d\x60\x00\x03\x00\x00\x60\x31\x00\x31\x01\x00\x08\x00"), 0)
	f.Add(uint8(NAC), []byte("\x00\x07\x60\x00\x03\x00\x00\x08\x00"), 4096)
	f.Add(uint8(NCC), []byte("\x00\x07\x60\x00\x03\x00\x00\x08\x00"), 9)
	f.Add(uint8(ASCII4), []byte("00040800"), 8)
	f.Add(uint8(Raw2), []byte("\x00\x00\x00\x02ab"), 8)
	f.Add(uint8(Raw4), []byte("\xff\xff\xff\xff"), 1<<31-1)
	f.Fuzz(func(t *testing.T, kind uint8, data []byte, max int) {
		framing := Framing(kind%6 + 1)
		frame, n, err := framing.Next(data, max)
		if max <= 0 {
			max = DefaultMaxFrame
		}
		if err != nil || n == 0 {
			require.Zero(t, n)
			require.Empty(t, frame.Message)
			return
		}
		require.LessOrEqual(t, n, max)
		again, err := framing.AppendFrame(nil, frame.TPDU, frame.Header, frame.Message)
		require.NoError(t, err)
		require.Equal(t, data[:n], again)
		for cut := range n { // an incomplete frame is never refused and never taken
			_, got, err := framing.Next(data[:cut], max)
			require.NoError(t, err)
			require.Zero(t, got)
		}
	})
}
