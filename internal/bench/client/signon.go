package client

import (
	"context"
	"fmt"
	"time"

	"huanxin/internal/bench/seed"
	"huanxin/internal/simulator/secret"
	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

// DE64 holds the MAC; it is the last field of a message (pos-dialect §7).
const (
	macField = 64
	macSize  = secret.MACSize
)

// macPlaces are what the MAC of a whole frame covers, and DE64.
func macPlaces(frame []byte) (covered, code []byte) {
	at := len(frame) - macSize
	return frame[messageAt:at:at], frame[at:]
}

// signOnsAtOnce is how many terminals sign on at a time: their answers fit a buffer of the line many times over.
const signOnsAtOnce = 64

// SignOn signs terminals on, one for each pad, the first of them number first, over a line of their own, and gives each pad the keys that
// come.
func SignOn(ctx context.Context, address string, codec *iso8583.Codec, first int, pads []*secret.Pinpad) error {
	nc, err := dial(ctx, address, nil)
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	in := frames{buf: make([]byte, 16*largestBody)}
	for begin := 0; begin < len(pads); begin += signOnsAtOnce {
		end := min(begin+signOnsAtOnce, len(pads))
		var out []byte
		for i := begin; i < end; i++ {
			frame, err := signOnFrame(codec, first+i, pads[i])
			if err != nil {
				return err
			}
			out = append(out, frame...)
		}
		if _, err := nc.Write(out); err != nil {
			return fmt.Errorf("%w: sign-on: %w", ErrLost, err)
		}
		for owed := end - begin; owed > 0; {
			frame, err := in.next()
			if err != nil {
				return err
			}
			if frame != nil {
				if err := takeKeys(codec, first, pads, frame); err != nil {
					return err
				}
				owed--
				continue
			}
			n, err := nc.Read(in.room())
			if err != nil {
				return fmt.Errorf("%w: %d sign-ons unanswered: %w", ErrLost, owed, err)
			}
			in.arrived(n)
		}
	}
	return nil
}

// signOnFrame is the sign-on of a terminal in its first batch.
func signOnFrame(codec *iso8583.Codec, terminal int, pad *secret.Pinpad) ([]byte, error) {
	code, serial := pad.SignOn()
	fields := map[int][]byte{
		11: []byte("999999"), 41: []byte(seed.Terminal(terminal)), 42: []byte(seed.Merchant(terminal)),
		60: fmt.Appendf(nil, "00000001%03d", code), 63: []byte("001"),
	}
	if serial != "" {
		fields[62] = []byte(serial)
	}
	return build(codec, 0x0800, fields)
}

// takeKeys expects the answer to a sign-on with keys in it that their check values are right for.
func takeKeys(codec *iso8583.Codec, first int, pads []*secret.Pinpad, frame []byte) error {
	f, _, err := wire.CUP.Next(frame, largestBody)
	if err != nil {
		return err
	}
	var m iso8583.Message
	if err := codec.Parse(f.Message, &m); err != nil {
		return err
	}
	id, code := m.AppendField(nil, 41), m.AppendField(nil, 39)
	var n uint64
	ok := len(id) == terminalDigits && id[0] == '3'
	if ok {
		n, ok = readDigits(id[1:])
	}
	i := int(n) - first
	if !ok || i < 0 || i >= len(pads) || m.MTI() != 0x0810 || string(code) != "00" {
		return fmt.Errorf("%s of terminal %q with code %q in place of the answer to a sign-on", m.MTI(), id, code)
	}
	if err := pads[i].Take(m.AppendField(nil, 62)); err != nil {
		return fmt.Errorf("sign-on of terminal %s: %w", id, err)
	}
	return nil
}
