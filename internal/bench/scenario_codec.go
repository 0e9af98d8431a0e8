package bench

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"time"

	moov "github.com/moov-io/iso8583"

	"huanxin/internal/bench/moovspec"
	"huanxin/switch/iso8583"
)

// codec parses and builds what one purchase has: a sale of 20 fields and its answer.
func codec() Scenario {
	return Scenario{
		Name: "codec", What: "parse and build the 20-field sale and its answer",
		Run: func(ctx context.Context, b *Bench) (Result, error) {
			messages, err := sampleMessages(b.Codec)
			if err != nil {
				return Result{}, err
			}
			spec, err := moovspec.Load("cup")
			if err != nil {
				return Result{}, err
			}
			ours, fresh, reused := &ourCodec{codec: b.Codec}, &moovCodec{spec: spec, fresh: true}, &moovCodec{spec: spec}
			// Many short turns: what is measured here takes microseconds, what disturbs it milliseconds.
			rounds := b.Repeats(25)
			lasts := b.Lasts(5*time.Second) / time.Duration(rounds)
			mallocs := 0.0
			list, err := b.Alternate(ctx, rounds,
				Contender{"switch", func(context.Context, int) (float64, error) {
					rate, per, err := repeat(lasts, messages, ours)
					mallocs = max(mallocs, per)
					return rate, err
				}},
				Contender{"moov, fresh messages", func(context.Context, int) (float64, error) {
					rate, _, err := repeat(lasts, messages, fresh)
					return rate, err
				}},
				Contender{"moov, reused messages", func(context.Context, int) (float64, error) {
					rate, _, err := repeat(lasts, messages, reused)
					return rate, err
				}},
			)
			if err != nil {
				return Result{}, err
			}
			better, other := list[1], list[2]
			if other.Median() > better.Median() {
				better, other = other, better
			}
			r := Result{Rows: []Row{
				AtLeast("sale and answer parsed and built", "/s", list[0], better, 40),
				Limit("allocations", "per exchange", Of("switch", mallocs), 0),
			}}
			r.Note("%s; %s; %s", list[0], better, other)
			return r, nil
		},
	}
}

// sample is one message: its bytes, and its fields in canonical form to build it from.
type sample struct {
	raw     []byte
	mti     iso8583.MTI
	numbers []int
	values  [][]byte
}

// exchange is a sale and its answer, which every codec parses and builds.
type exchange [2]sample

// sampleMessages are a sale of 20 fields on a hold and the answer to it.
func sampleMessages(codec *iso8583.Codec) (x exchange, err error) {
	const chip = "9F260895BBE372271DDA7C9F2701809F101307010103A00000010A010000000000ED538FE49F37047F9F349E9F3602015795" +
		"0500000000009A032606019C01009F02060000004799205F2A02015682027C009F1A0201569F03060000000000009F3303E0E1C8" +
		"9F34034203009F3501229F1E0831303030303031398408A0000003330101029F0902008C9F410400000403"
	icc, err := hex.DecodeString(chip)
	if err != nil {
		return x, err
	}
	shared := map[int]string{
		2: "6224240000000017", 3: "000000", 4: "000000479920", 11: "000403", 14: "3012", 23: "001", 25: "00",
		41: "10000019", 42: "850100082410002", 49: "156", 53: "2600000000000000", 60: "22000001000600",
	}
	sale := map[int]string{22: "051", 26: "06", 35: "6224240000000017D30122201", 48: "0", 52: "12345678", 59: "S7012000000000042"}
	answer := map[int]string{
		12: "100512", 13: "0601", 15: "0601", 32: "48982210", 37: "100000000003", 38: "123456", 39: "00",
		44: "48020000   48982210   ", 63: "CUP",
	}
	own := []map[int]string{sale, answer}
	for i, mti := range []iso8583.MTI{0x0200, 0x0210} {
		var builder iso8583.Builder
		builder.Reset(codec, mti)
		for _, fields := range []map[int]string{shared, own[i]} {
			for n, v := range fields {
				builder.SetString(n, v)
			}
		}
		builder.Set(55, icc)
		builder.SetZero(64)
		if x[i].raw, err = builder.Append(nil); err != nil {
			return x, err
		}
		var m iso8583.Message
		if err := codec.Parse(x[i].raw, &m); err != nil {
			return x, err
		}
		x[i].mti = mti
		for n := m.Next(0); n != 0; n = m.Next(n) {
			x[i].numbers = append(x[i].numbers, n)
			x[i].values = append(x[i].values, m.AppendField(nil, n))
		}
	}
	return x, nil
}

// codecUnderTest parses the message's bytes, reads every field, and builds them from their values.
type codecUnderTest interface {
	do(which int, m *sample) (built []byte, err error)
}

// repeat does exchanges for so long and returns how many a second, and how many allocations each took.
func repeat(lasts time.Duration, x exchange, c codecUnderTest) (perSecond, mallocs float64, err error) {
	const atOnce = 16 // between two looks at the clock
	once := func() error {
		for i := range x {
			got, err := c.do(i, &x[i])
			if err != nil {
				return err
			}
			if !bytes.Equal(got, x[i].raw) {
				return fmt.Errorf("built %x instead of %x", got, x[i].raw)
			}
		}
		return nil
	}
	if err := once(); err != nil {
		return 0, 0, err
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, begun := 0, time.Now()
	for time.Since(begun) < lasts {
		for range atOnce {
			if err := once(); err != nil {
				return 0, 0, err
			}
		}
		n += atOnce
	}
	took := time.Since(begun)
	runtime.ReadMemStats(&after)
	// What the runtime allocates beside, once in a while, is no allocation of the codec: less than one in a thousand.
	mallocs = float64(after.Mallocs-before.Mallocs) / float64(n)
	if mallocs < 0.001 {
		mallocs = 0
	}
	return float64(n) / took.Seconds(), mallocs, nil
}

func misread(n int, got, want []byte) error {
	return fmt.Errorf("field %d read as %q instead of %q", n, got, want)
}

type ourCodec struct {
	codec   *iso8583.Codec
	message iso8583.Message
	builder iso8583.Builder
	out     []byte
	value   []byte
}

func (c *ourCodec) do(_ int, m *sample) ([]byte, error) {
	if err := c.codec.Parse(m.raw, &c.message); err != nil {
		return nil, err
	}
	for i, n := range m.numbers {
		if c.value = c.message.AppendField(c.value[:0], n); !bytes.Equal(c.value, m.values[i]) {
			return nil, misread(n, c.value, m.values[i])
		}
	}
	c.builder.Reset(c.codec, m.mti)
	for i, n := range m.numbers {
		c.builder.Set(n, m.values[i])
	}
	var err error
	c.out, err = c.builder.Append(c.out[:0])
	return c.out, err
}

// moovCodec does the same with the library, with new messages each time or with the same ones again.
type moovCodec struct {
	spec      *moov.MessageSpec
	fresh     bool
	in, built [2]*moov.Message
}

func (c *moovCodec) do(which int, m *sample) ([]byte, error) {
	if c.fresh || c.in[which] == nil {
		c.in[which], c.built[which] = moov.NewMessage(c.spec), moov.NewMessage(c.spec)
	}
	if err := c.in[which].Unpack(m.raw); err != nil {
		return nil, err
	}
	for i, n := range m.numbers {
		if value, err := c.in[which].GetBytes(n); err != nil || !bytes.Equal(value, m.values[i]) {
			return nil, errors.Join(err, misread(n, value, m.values[i]))
		}
	}
	built := c.built[which]
	built.MTI(m.mti.String())
	for i, n := range m.numbers {
		if err := built.BinaryField(n, m.values[i]); err != nil {
			return nil, err
		}
	}
	return built.Pack()
}
