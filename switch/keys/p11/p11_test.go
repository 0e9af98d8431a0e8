//go:build pkcs11

package p11

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"
	"github.com/stretchr/testify/require"

	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/hsm/hsmtest"
)

const (
	tokenLabel = "huanxin test"
	userPIN    = "1234-user"
)

// library is SoftHSM's, where the packages of Debian and the like put it, or where scripts/softhsm.sh says.
func library() (string, error) {
	places := []string{os.Getenv("SOFTHSM2_LIBRARY"), "/usr/lib/softhsm/libsofthsm2.so"}
	found, _ := filepath.Glob("/usr/lib/*/softhsm/libsofthsm2.so")
	places = append(places, found...)
	for _, place := range places {
		if _, err := os.Stat(place); place != "" && err == nil {
			return place, nil
		}
	}
	return "", fmt.Errorf("SoftHSM is not there; scripts/softhsm.sh installs it and prints where")
}

// TestMain makes a token in a folder of its own. A library is initialized once a process, so the token is everybody's.
func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "huanxin-p11-*")
	if err == nil {
		defer os.RemoveAll(folder)
		err = makeToken(folder)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "p11:", err)
		return 1
	}
	return m.Run()
}

func makeToken(folder string) error {
	conf := filepath.Join(folder, "softhsm2.conf")
	tokens := filepath.Join(folder, "tokens")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		return err
	}
	text := "directories.tokendir = " + tokens + "\nobjectstore.backend = file\nlog.level = ERROR\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return err
	}
	if err := os.Setenv("SOFTHSM2_CONF", conf); err != nil {
		return err
	}
	name, err := library()
	if err != nil {
		return err
	}
	ctx := pkcs11.New(name)
	if ctx == nil {
		return fmt.Errorf("cannot load %s", name)
	}
	if err := ctx.Initialize(); err != nil {
		return fmt.Errorf("initialize: %w", err)
	}
	slots, err := ctx.GetSlotList(true)
	if err != nil || len(slots) == 0 {
		return fmt.Errorf("list slots: %d, %w", len(slots), err)
	}
	if err := ctx.InitToken(slots[0], "officer", tokenLabel); err != nil {
		return fmt.Errorf("make a token: %w", err)
	}
	if slots, err = ctx.GetSlotList(true); err != nil {
		return fmt.Errorf("list slots: %w", err)
	}
	s, err := ctx.OpenSession(slots[0], pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return fmt.Errorf("open a session: %w", err)
	}
	if err := ctx.Login(s, pkcs11.CKU_SO, "officer"); err != nil {
		return fmt.Errorf("log in as officer: %w", err)
	}
	if err := ctx.InitPIN(s, userPIN); err != nil {
		return fmt.Errorf("set the user's PIN: %w", err)
	}
	return ctx.CloseAllSessions(slots[0])
}

func openMaster(t testing.TB, master string) *Module {
	t.Helper()
	name, err := library()
	require.NoError(t, err)
	m, err := Open(Config{Library: name, Token: tokenLabel, PIN: []byte(userPIN), Master: master, Create: true, Sessions: 4})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	return m
}

func TestTokenKeepsTheContract(t *testing.T) {
	hsmtest.Run(t, hsmtest.Modules{
		Open:     func(t testing.TB) hsm.Module { return openMaster(t, "master") },
		Stranger: func(t testing.TB) hsm.Module { return openMaster(t, "another master") },
	})
}

func TestTheTokenHas3DESAndAES(t *testing.T) {
	can := openMaster(t, "master").Capabilities()
	require.Contains(t, can.Name, "SoftHSM")
	require.False(t, can.Hardware)
	require.ElementsMatch(t, []hsm.KeyKind{{Algorithm: hsm.TDES, Length: 16}, {Algorithm: hsm.TDES, Length: 24}, {Algorithm: hsm.AES, Length: 16}, {Algorithm: hsm.AES, Length: 24}, {Algorithm: hsm.AES, Length: 32}}, can.Keys)
	require.ElementsMatch(t, []hsm.MACAlgorithm{hsm.AESCMAC, hsm.CUPECB, hsm.TDESCBC, hsm.TDESCMAC}, can.MACs)
	require.Equal(t, []hsm.Wrapping{hsm.WrapAESKW}, can.Wraps)
}

// What the token itself refuses, whatever this package would do.
func TestTheTokenHoldsKeysToTheirPurpose(t *testing.T) {
	m := openMaster(t, "master")
	for _, test := range []struct {
		purpose              hsm.Purpose
		encrypt, sign, wraps bool
	}{{hsm.MAK, true, true, false}, {hsm.TMK, false, false, false}, {hsm.PIK, false, false, false}, {hsm.KBPK, false, false, true}} {
		made, _, err := m.Generate(hsm.Spec{Bind: "x", Purpose: test.purpose, Algorithm: hsm.AES})
		require.NoError(t, err)
		require.Equal(t, map[uint]bool{
			pkcs11.CKA_EXTRACTABLE: false, pkcs11.CKA_SENSITIVE: true, pkcs11.CKA_TOKEN: false, pkcs11.CKA_DECRYPT: false, pkcs11.CKA_DERIVE: false,
			pkcs11.CKA_ENCRYPT: test.encrypt, pkcs11.CKA_SIGN: test.sign, pkcs11.CKA_WRAP: test.wraps, pkcs11.CKA_UNWRAP: test.wraps,
		}, attributes(t, m, made.(*key).handle), test.purpose)
		_, err = m.ctx.GetAttributeValue(m.home, made.(*key).handle, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)})
		require.ErrorIs(t, err, pkcs11.Error(pkcs11.CKR_ATTRIBUTE_SENSITIVE))
	}
	for _, handle := range []pkcs11.ObjectHandle{m.wrap, m.code} {
		have := attributes(t, m, handle)
		require.False(t, have[pkcs11.CKA_EXTRACTABLE])
		require.True(t, have[pkcs11.CKA_SENSITIVE])
		require.True(t, have[pkcs11.CKA_TOKEN])
	}
}

func attributes(t *testing.T, m *Module, handle pkcs11.ObjectHandle) map[uint]bool {
	t.Helper()
	var ask []*pkcs11.Attribute
	for _, a := range []uint{
		pkcs11.CKA_EXTRACTABLE, pkcs11.CKA_SENSITIVE, pkcs11.CKA_TOKEN, pkcs11.CKA_DECRYPT, pkcs11.CKA_DERIVE, pkcs11.CKA_ENCRYPT,
		pkcs11.CKA_SIGN, pkcs11.CKA_WRAP, pkcs11.CKA_UNWRAP,
	} {
		ask = append(ask, pkcs11.NewAttribute(a, nil))
	}
	got, err := m.ctx.GetAttributeValue(m.home, handle, ask)
	require.NoError(t, err)
	have := map[uint]bool{}
	for _, a := range got {
		have[a.Type] = a.Value[0] == 1
	}
	return have
}

func TestKeysPrintNothing(t *testing.T) {
	m := openMaster(t, "master")
	k, _, err := m.Generate(hsm.Spec{Purpose: hsm.MAK, Algorithm: hsm.AES})
	require.NoError(t, err)
	require.Equal(t, "MAK [redacted]", fmt.Sprintf("%+v", k))
	require.Equal(t, "PKCS#11 module", fmt.Sprintf("%+v", m))
}

func TestOpenSaysWhatIsMissing(t *testing.T) {
	name, err := library()
	require.NoError(t, err)
	good := Config{Library: name, Token: tokenLabel, PIN: []byte(userPIN), Master: "not there"}
	for says, change := range map[string]func(*Config){
		"are wanted":             func(c *Config) { c.Token = "" },
		"cannot load":            func(c *Config) { c.Library = "/nowhere.so" },
		`none with label "lost"`: func(c *Config) { c.Token = "lost" },
		"no key is called":       func(*Config) {},
	} {
		c := good
		change(&c)
		_, err := Open(c)
		require.ErrorIs(t, err, ErrToken)
		require.ErrorContains(t, err, says)
		require.False(t, strings.Contains(err.Error(), userPIN))
	}
}

func BenchmarkVerify(b *testing.B) {
	m := openMaster(b, "master")
	for _, test := range []struct {
		a hsm.MACAlgorithm
		k hsm.Algorithm
	}{{hsm.CUPECB, hsm.TDES}, {hsm.AESCMAC, hsm.AES}} {
		b.Run(test.a.String(), func(b *testing.B) {
			k, _, err := m.Generate(hsm.Spec{Purpose: hsm.MAK, Algorithm: test.k})
			require.NoError(b, err)
			data := make([]byte, 250)
			code, err := m.MAC(nil, k, test.a, data)
			require.NoError(b, err)
			for b.Loop() {
				if err := m.Verify(k, test.a, data, code); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
