package iso8583

import (
	"testing"

	moov "github.com/moov-io/iso8583"
	"github.com/stretchr/testify/require"
)

// benchMessages are a sale of 20 fields on a hold and the answer of 23 fields to it.
func benchMessages(b *testing.B, c *Codec) map[string][]byte {
	chip := "9F260895BBE372271DDA7C9F2701809F101307010103A00000010A010000000000ED538FE49F37047F9F349E9F3602015795" +
		"0500000000009A032606019C01009F02060000004799205F2A02015682027C009F1A0201569F03060000000000009F3303E0E1C8" +
		"9F34034203009F3501229F1E0831303030303031398408A0000003330101029F0902008C9F410400000403"
	build := func(mti MTI, fields map[int]string) []byte {
		var builder Builder
		builder.Reset(c, mti)
		for n, v := range fields {
			builder.SetString(n, v)
		}
		builder.SetText(55, chip, false)
		builder.SetZero(64)
		raw, err := builder.Append(nil)
		require.NoError(b, err)
		return raw
	}
	shared := map[int]string{
		2: "6224240000000017", 3: "000000", 4: "000000479920", 11: "000403", 14: "3012", 23: "001", 25: "00",
		41: "10000019", 42: "850100082410002", 49: "156", 53: "2600000000000000", 60: "22000001000600",
	}
	sale := map[int]string{22: "051", 26: "06", 35: "6224240000000017D30122201", 48: "0", 52: "12345678", 59: "S7012000000000042"}
	answer := map[int]string{12: "100512", 13: "0601", 15: "0601", 32: "48982210", 37: "100000000003", 38: "123456", 39: "00", 44: "48020000   48982210   ", 63: "CUP"}
	for n, v := range shared {
		sale[n], answer[n] = v, v
	}
	return map[string][]byte{"sale": build(0x0200, sale), "answer": build(0x0210, answer)}
}

func BenchmarkParse(b *testing.B) {
	o := newOracle(b, "cup")
	messages := benchMessages(b, o.ours)
	for _, name := range []string{"sale", "answer"} {
		raw := messages[name]
		b.Run(name+"/ours", func(b *testing.B) {
			var m Message
			b.ReportAllocs()
			for b.Loop() {
				if o.ours.Parse(raw, &m) != nil {
					b.Fatal("refused")
				}
			}
		})
		b.Run(name+"/moov-fresh", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if moov.NewMessage(o.moov).Unpack(raw) != nil {
					b.Fatal("refused")
				}
			}
		})
		b.Run(name+"/moov-reused", func(b *testing.B) {
			m := moov.NewMessage(o.moov)
			b.ReportAllocs()
			for b.Loop() {
				if m.Unpack(raw) != nil {
					b.Fatal("refused")
				}
			}
		})
	}
}

// BenchmarkAppend builds each message from canonical values; copy builds it from a parsed message.
func BenchmarkAppend(b *testing.B) {
	o := newOracle(b, "cup")
	messages := benchMessages(b, o.ours)
	for _, name := range []string{"sale", "answer"} {
		raw := messages[name]
		m := parse(b, o.ours, raw)
		values := map[int][]byte{}
		var numbers []int
		for n := m.Next(0); n != 0; n = m.Next(n) {
			numbers = append(numbers, n)
			values[n] = m.AppendField(nil, n)
		}
		ordered := make([][]byte, len(numbers))
		for i, n := range numbers {
			ordered[i] = values[n]
		}
		out := make([]byte, 0, 1024)
		var builder Builder
		b.Run(name+"/ours", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				builder.Reset(o.ours, m.MTI())
				for i, n := range numbers {
					builder.Set(n, ordered[i])
				}
				out, _ = builder.Append(out[:0])
			}
			require.Equal(b, raw, out)
		})
		b.Run(name+"/ours-copy", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				builder.Reset(o.ours, m.MTI())
				builder.CopyAll(m)
				out, _ = builder.Append(out[:0])
			}
			require.Equal(b, raw, out)
		})
		pack := func(b *testing.B, fresh bool) {
			theirs := moov.NewMessage(o.moov)
			var packed []byte
			b.ReportAllocs()
			for b.Loop() {
				if fresh {
					theirs = moov.NewMessage(o.moov)
				}
				theirs.MTI(m.MTI().String())
				for i, n := range numbers {
					if theirs.BinaryField(n, ordered[i]) != nil {
						b.Fatal("refused")
					}
				}
				packed, _ = theirs.Pack()
			}
			require.Equal(b, raw, packed)
		}
		b.Run(name+"/moov-fresh", func(b *testing.B) { pack(b, true) })
		b.Run(name+"/moov-reused", func(b *testing.B) { pack(b, false) })
	}
}
