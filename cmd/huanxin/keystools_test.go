package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// keysRun runs one command line below `huanxin keys`.
func keysRun(t *testing.T, in string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e strings.Builder
	code = run(t.Context(), append([]string{"keys"}, args...), strings.NewReader(in), &o, &e)
	return code, o.String(), e.String()
}

func keysPrint(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := keysRun(t, "", args...)
	require.Zero(t, code, errs)
	require.Equal(t, 1, strings.Count(out, "\n"), "the answer alone on one line")
	return strings.TrimSuffix(out, "\n")
}

// Every entry of the standards' vectors that a command prints.
func TestKeysToolsPrintTheVectors(t *testing.T) {
	text, err := os.ReadFile("../../switch/keys/testdata/crypto_check.json")
	require.NoError(t, err)
	var vectors []struct {
		ID, Expected string
		Input        struct {
			Key, Data, PIN, PAN string
			Keys                []string
			DataASCII           string `json:"data_ascii"`
			Padding             *int
		}
	}
	require.NoError(t, json.Unmarshal(text, &vectors))
	ran := 0
	for _, v := range vectors {
		prefix, _, _ := strings.Cut(v.ID, "-")
		rest := strings.TrimPrefix(v.ID, prefix+"-")
		key := v.Input.Key + strings.Join(v.Input.Keys, "")
		var alg string
		switch {
		case v.ID == "pin-iso0-x924":
			require.Equal(t, v.Expected, keysPrint(t, "pinblock", "--format", "0", "--pan", v.Input.PAN, "--pin", v.Input.PIN))
			ran++
			continue
		case v.ID == "kcv-des-01":
			require.Equal(t, v.Expected, keysPrint(t, "kcv", "--cipher", "des", "--key", key, "--bytes", "3"))
			ran++
			continue
		case prefix == "x9.9", prefix == "x9.19":
			alg = prefix
		case strings.HasPrefix(rest, "aes"):
			alg = "aes-cmac"
		case strings.HasPrefix(rest, "tdes"):
			alg = "3des-cmac"
		case strings.HasPrefix(rest, "cbcmac"):
			alg = "sm4-cbc"
		case strings.HasPrefix(rest, "emac"):
			alg = "sm4-emac"
		case strings.HasPrefix(rest, "ansiretail"):
			alg = "sm4-retail"
		case strings.HasPrefix(rest, "cmac"):
			alg = "sm4-cmac"
		default: // SM3 and raw SM4 have tests of their own in switch/keys/block
			continue
		}
		ran++
		args := []string{"mac", "--alg", alg, "--key", key, "--data", v.Input.Data + hex.EncodeToString([]byte(v.Input.DataASCII))}
		if v.Input.Padding != nil {
			args = append(args, "--padding", strconv.Itoa(*v.Input.Padding))
		}
		require.Equal(t, v.Expected, keysPrint(t, args...), v.ID)
	}
	require.Equal(t, 24, ran)
}

func TestKeysToolsPrintTheDialectsVectors(t *testing.T) {
	const pik, mak = "807A23AD32B36D457AE91FDF927570EA", "5BB5C72CD00B7338"
	require.Equal(t, "8D0A74B8", keysPrint(t, "kcv", "--cipher", "des", "--key", pik))
	require.Equal(t, "AB7153CA985B10C2", keysPrint(t, "kcv", "--cipher", "des", "--key", mak, "--bytes", "8"))
	require.Equal(t, "061253DFFEDCBA98", keysPrint(t, "pinblock", "--format", "0", "--pan", "123456789012345678", "--pin", "123456"))
	require.Equal(t, "A2BCBE65CB54B0E7", keysPrint(t, "pinblock", "--format", "0", "--pan", "123456789012345678", "--pin", "123456", "--key", pik, "--cipher", "des"))
	require.Equal(t, "FA36989B212B5950", keysPrint(t, "pinblock", "--format", "0", "--pan", "6224240000000017", "--pin", "123456", "--key", pik))
	require.Equal(t, "06123654FFFFFFFFFFFF99FEFF88D977", keysPrint(t, "pinblock", "--format", "0", "--pan", "6230606601007726888", "--pin", "123654", "--cipher", "sm4"))
	require.Equal(t, "06123456FFFFFFFF", keysPrint(t, "pinblock", "--format", "no-pan", "--pin", "123456"))
	require.Equal(t, "341274B9F9B9D35D", keysPrint(t, "pinblock", "--format", "3", "--pan", "4012345678909", "--pin", "1234", "--fill", "ABCDEF"))
	require.Equal(t, "441234AAAAAAAAAA0123456789ABCDEF", keysPrint(t, "pinblock", "--format", "4", "--pan", "4012345678909", "--pin", "1234", "--fill", "0123456789ABCDEF"))

	text, err := os.ReadFile("../../testdata/iso8583/constructed.json")
	require.NoError(t, err)
	var samples struct {
		Messages []struct {
			Hex string
			MAC *struct {
				ASCII string `json:"mac_ascii"`
			}
		}
	}
	require.NoError(t, json.Unmarshal(text, &samples))
	ran := 0
	for _, m := range samples.Messages {
		if m.MAC != nil {
			require.Equal(t, m.MAC.ASCII, keysPrint(t, "mac", "--alg", "cup-ecb", "--key", mak, "--data", m.Hex[26:len(m.Hex)-16]))
			ran++
		}
	}
	require.Equal(t, 7, ran)
}

func TestKeysTR31UnwrapsTheVectorsAndWrapsThemAgain(t *testing.T) {
	text, err := os.ReadFile("../../switch/keys/testdata/tr31.json")
	require.NoError(t, err)
	var vectors []struct {
		ID    string
		Input struct {
			KBPK, Usage, Algorithm, Mode, Exportability string
			KeyBlock                                    string     `json:"key_block"`
			Optional                                    [][]string `json:"optional_blocks"`
		}
		Expected struct{ Key, KCV string }
	}
	require.NoError(t, json.Unmarshal(text, &vectors))
	require.Len(t, vectors, 4)
	for _, v := range vectors {
		in := v.Input
		want := fmt.Sprintf(`{"version":"%c","usage":"%s","algorithm":"%s","mode":"%s","exportability":"%s","key":"%s"}`,
			in.KeyBlock[0], in.Usage, in.Algorithm, in.Mode, in.Exportability, v.Expected.Key)
		require.Equal(t, want, keysPrint(t, "tr31", "unwrap", "--kbpk", in.KBPK, in.KeyBlock), v.ID)
		require.Equal(t, want, keysPrint(t, "tr31", "unwrap", "--kbpk", in.KBPK, "--block", in.KeyBlock), v.ID)

		args := []string{"tr31", "wrap", "--kbpk", in.KBPK, "--version", in.KeyBlock[:1], "--usage", in.Usage, "--algorithm", in.Algorithm,
			"--mode", in.Mode, "--exportability", in.Exportability, "--key", v.Expected.Key, "--key-version", in.KeyBlock[9:11]}
		for _, block := range in.Optional {
			args = append(args, "--opt", block[0]+"="+block[1])
		}
		again := keysPrint(t, args...)
		require.Equal(t, in.KeyBlock[:16], again[:16], v.ID)
		code, out, errs := keysRun(t, in.KBPK+"\n"+again+"\n", "tr31", "unwrap", "--kbpk", "-")
		require.Zero(t, code, errs)
		require.Equal(t, want+"\n", out)
		require.Empty(t, errs, "nothing was on the command line")

		kcv := []string{"kcv", "--cipher", "des", "--key", v.Expected.Key, "--bytes", "3"}
		if in.Algorithm == "A" { // TR-31 checks AES keys with CMAC
			kcv = append(kcv, "--cipher", "aes", "--cmac")
		}
		require.Equal(t, v.Expected.KCV, keysPrint(t, kcv...), v.ID)

		for _, at := range []int{6, 8, 11, 50, len(in.KeyBlock) - 1} {
			other := "1"
			if in.KeyBlock[at:at+1] == other {
				other = "2"
			}
			code, out, errs := keysRun(t, "", "tr31", "unwrap", "--kbpk", in.KBPK, in.KeyBlock[:at]+other+in.KeyBlock[at+1:])
			require.NotZero(t, code)
			require.Empty(t, out)
			require.NotContains(t, errs, in.KBPK)
			require.NotContains(t, errs, v.Expected.Key)
		}
	}
}

func TestKeysComeFromAFileOrStandardInput(t *testing.T) {
	name := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(name, []byte("0123 4567\n89ab cdef\n"), 0o600))
	code, out, errs := keysRun(t, "", "kcv", "--cipher", "des", "--key-file", name, "--bytes", "3")
	require.Zero(t, code, errs)
	require.Equal(t, "D5D44F\n", out)
	require.Empty(t, errs)
	code, out, errs = keysRun(t, "0123456789ABCDEF\n00\n", "mac", "--alg", "x9.9", "--key", "-", "--data", "-")
	require.Zero(t, code, errs)
	require.Equal(t, "D5D44FF720683D0D\n", out)
	require.Empty(t, errs)
	code, _, errs = keysRun(t, "", "kcv", "--cipher", "des", "--key", "0123456789ABCDEF")
	require.Zero(t, code)
	require.Contains(t, errs, "warning")
}

func TestKeysToolsRefuseWithoutQuotingAKey(t *testing.T) {
	const key = "0123456789ABCDEF0123456789ABCDEF"
	for _, line := range []string{
		"mac", "mac --alg md5 --key KEY --data 00", "mac --alg aes-cmac --key KEY", "mac --alg aes-cmac --key KEY0 --data 00",
		"mac --alg aes-cmac --key KEYz --data 00", "mac --alg aes-cmac --key KEY --data 0", "mac --alg x9.19 --key KEYKEY --data 00",
		"mac --alg x9.19 --key KEY --data 00 --padding 0", "mac --alg x9.19 --key KEY --data 00 --padding 257", "mac --alg cup-ecb --cipher aes --key KEY --data 00",
		"mac --alg sm4-cmac --cipher des --key KEY --data 00", "mac --alg sm4-retail --key KEY --data 00", "mac KEY",
		"mac --alg x9.19 --key KEY --key-file x --data 00", "mac --alg x9.19 --key-file /nowhere --data 00", "mac --alg x9.19 --key - --data 00",
		"kcv --key KEY", "kcv --cipher des --key KEY --bytes 9", "kcv --cipher des --key KEY --bytes 0", "kcv --cipher sm4 --key KEY00", "kcv --cipher rot13 --key KEY",
		"kcv --cipher aes --key KEY --bytes x", "kcv --cipher aes --kee KEY", "kcv --cipher aes --bytes KEY", "kcv --cipher aes -kKEY", "kcv --KEY", "kcv ---KEY", "kcv --cipher aes --key", "kcv --cipher des --cmac --key 0123456789ABCDEF",
		"pinblock --format 1 --pan 6224240000000017 --pin 1234", "pinblock --format 0 --pan 6224240000000017 --pin 123", "pinblock --format 0 --pin 1234", "pinblock --format 0 --pan 62242400000000170000 --pin 1234",
		"pinblock --format 0 --pan 6224240000000017 --pin 1234 --key KEY --cipher aes", "pinblock --format 4 --pan 6224240000000017 --pin 1234 --key KEY00",
		"pinblock --format 3 --pan 6224240000000017 --pin 1234 --fill 12", "pinblock --format 3 --pan 6224240000000017 --pin 1234 --fill xy", "pinblock --format 0 --pan 6224240000000017",
		"tr31 unwrap --kbpk KEY", "tr31 unwrap --kbpk KEY A0072P0TE00E0000F5161ED902807AF26F1D62263644BD24192FDB3193C730301CEE8701", "tr31 unwrap --kbpk KEY x y",
		"tr31 unwrap --kbpk KEY --block x y", "tr31 unwrap --kbpk 00 B0080P0TE00E000094B420079CC80BA3461F86FE26EFC4A3B8E4FA4C5F5341176EED7B727B8A248E", "tr31 KEY", "KEY",
		"tr31 wrap --kbpk KEY --key KEY", "tr31 wrap --kbpk KEY --version B --usage P0 --algorithm T --mode E --exportability E",
		"tr31 wrap --kbpk KEY --version C --usage P0 --algorithm T --mode E --exportability E --key KEY",
		"tr31 wrap --kbpk KEY --version B --usage P0 --algorithm T --mode E --exportability E --key KEY --opt KS",
		"tr31 wrap --kbpk KEY --version B --usage P0 --algorithm D --mode E --exportability E --key KEY",
	} {
		code, out, errs := keysRun(t, "", strings.Fields(strings.ReplaceAll(line, "KEY", key))...)
		require.Equal(t, 2, code, "%s: %s", line, errs)
		require.Empty(t, out, line)
		require.NotContains(t, errs, key, line)
		require.Contains(t, errs, "huanxin: ", line)
	}
}

func TestKeysToolsWarn(t *testing.T) {
	name := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(name, []byte("0123456789ABCDEFFEDCBA9876543210"), 0o600))
	_, _, errs := keysRun(t, "", "mac", "--alg", "aes-cmac", "--padding", "2", "--key-file", name, "--data", "")
	require.Contains(t, errs, "padding")
	_, _, errs = keysRun(t, strings.Repeat("0123456789ABCDEF", 4), "tr31", "wrap", "--kbpk-file", name, "--version", "D", "--usage", "D0", "--algorithm", "A", "--mode", "B", "--exportability", "N", "--key", "-")
	require.Contains(t, errs, "weaker")
}

func FuzzHexBytes(f *testing.F) {
	f.Add("0123 45\n67")
	f.Add("0")
	f.Add("é")
	f.Fuzz(func(t *testing.T, text string) {
		raw, err := hexBytes(text)
		if err != nil {
			require.Equal(t, errNotHex, err)
			require.Nil(t, raw)
			return
		}
		require.Equal(t, strings.ToLower(strings.Join(strings.Fields(text), "")), hex.EncodeToString(raw))
	})
}
