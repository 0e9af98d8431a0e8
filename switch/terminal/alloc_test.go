//go:build !race

package terminal

import (
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/keys/hsm"
)

func TestCheckingAndMakingAMACAllocatesNothing(t *testing.T) {
	for _, line := range []*Line{{Cipher: hsm.TDES}, {Cipher: hsm.SM4}} {
		f := echo.with(fields{0: "0820", 11: "000009", 60: "00000001002"}) // a sign-off: its input is the only thing made anew
		secured := *line
		front, p, conn, frame, reply := securedPort(t, &secured, f)
		with := testing.AllocsPerRun(1000, func() {
			p.Frame(conn, frame)
			front.Deliver(reply)
			front.Flush()
		})
		require.Equal(t, approved, reply.Response)
		front, p, conn, frame, reply = securedPort(t, &secured, f)
		p.Line = nil
		without := testing.AllocsPerRun(1000, func() {
			p.Frame(conn, frame)
			front.Deliver(reply)
			front.Flush()
		})
		require.Equal(t, without, with, "%s", line.Cipher)
	}
}
