//go:build !race

package soft

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/pinblock"
)

// Under the race detector pools drop items on purpose, so the count is taken without it.
func TestCodesAllocateNothing(t *testing.T) {
	m := testModule(t, International, 7)
	data := bytes.Repeat([]byte{0x5A}, 200)
	for _, kind := range m.Capabilities().Keys {
		for _, a := range hsm.AllMACs() {
			if !a.Takes(hsm.Info{Algorithm: kind.Algorithm, Length: kind.Length}) {
				continue
			}
			k, _, err := m.Generate(hsm.Spec{Purpose: hsm.MAK, Algorithm: kind.Algorithm, Length: kind.Length})
			require.NoError(t, err)
			room := make([]byte, 0, 64)
			code, err := m.MAC(room, k, a, data)
			require.NoError(t, err)
			code = bytes.Clone(code)
			require.Zero(t, testing.AllocsPerRun(200, func() { _, _ = m.MAC(room, k, a, data) }), "%s", a)
			require.Zero(t, testing.AllocsPerRun(200, func() { _ = m.Verify(k, a, data, code) }), "%s", a)
		}
	}
	room := make([]byte, 0, 64)
	pan := []byte("6224240000000017")
	pik, _, err := m.Generate(hsm.Spec{Purpose: hsm.PIK, Algorithm: hsm.TDES})
	require.NoError(t, err)
	zpk, _, err := m.Generate(hsm.Spec{Purpose: hsm.ZPK, Algorithm: hsm.TDES})
	require.NoError(t, err)
	clear, err := pinblock.AppendClear(nil, pinblock.ISO0, []byte("123456"), pan, pinblock.Fill{})
	require.NoError(t, err)
	schedule, err := pik.(*key).block()
	require.NoError(t, err)
	block := make([]byte, 8)
	schedule.Encrypt(block, clear)
	from, to := hsm.PIN{Key: pik, Format: hsm.ISO0, PAN: pan}, hsm.PIN{Key: zpk, Format: hsm.ISO0, PAN: pan}
	_, err = m.TranslatePIN(room, from, to, block)
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(200, func() { _, _ = m.TranslatePIN(room, from, to, block) }))
}
