package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A key in a file that others may read is known to them: a clear test key may lie there, with a warning as on the command line.
func TestAFileWithAKeyThatIsNotItsOwnersAloneIsWarnedOf(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "key")
	const key = "0123456789ABCDEF0123456789ABCDEF"
	require.NoError(t, os.WriteFile(name, []byte(key+"\n"), 0o600))
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(name, link))
	lines := [][]string{
		{"kcv", "--cipher", "aes", "--key-file"}, {"mac", "--alg", "aes-cmac", "--data", "00", "--key-file"},
		{"pinblock", "--format", "0", "--pan", "6224240000000017", "--pin", "1234", "--key-file"},
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o644, 0o620, 0o666, 0o601} {
		require.NoError(t, os.Chmod(name, mode))
		for _, line := range lines {
			for _, file := range []string{name, link} {
				code, out, errs := keysRun(t, "", append(line, file)...)
				require.Zero(t, code, "%s %04o", line, mode)
				require.NotEmpty(t, out)
				require.Contains(t, errs, fmt.Sprintf("%s has mode %04o, want 0600 (chmod 0600 %[1]s)", file, mode))
				require.NotContains(t, errs, key)
			}
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pin"), []byte("1234"), 0o644))
	code, _, errs := keysRun(t, "", "pinblock", "--format", "0", "--pan", "6224240000000017", "--pin-file", filepath.Join(dir, "pin"))
	require.Zero(t, code)
	require.Contains(t, errs, "want 0600")
	for _, mode := range []os.FileMode{0o600, 0o400} {
		require.NoError(t, os.Chmod(name, mode))
		for _, file := range []string{name, link} {
			code, _, errs := keysRun(t, "", append(lines[0], file)...)
			require.Zero(t, code, errs)
			require.Empty(t, errs)
		}
	}

	// Data are no secret, and a pipe, as the shell's <(…) makes one, has no mode that says anything.
	data, pipe := filepath.Join(dir, "data"), filepath.Join(dir, "pipe")
	require.NoError(t, os.WriteFile(data, []byte("00"), 0o644))
	require.NoError(t, syscall.Mkfifo(pipe, 0o644))
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(pipe, []byte(key), 0o600) }()
	code, out, errs := keysRun(t, "", "mac", "--alg", "aes-cmac", "--key-file", pipe, "--data-file", data)
	require.NoError(t, <-written)
	require.Zero(t, code, errs)
	require.Equal(t, keysPrint(t, "mac", "--alg", "aes-cmac", "--key", key, "--data", "00")+"\n", out)
}

func TestAKeyIsReadFromStandardInputUnlessItIsGiven(t *testing.T) {
	const key = "0123456789ABCDEF0123456789ABCDEF"
	want := keysPrint(t, "kcv", "--cipher", "aes", "--key", key) + "\n"
	for _, where := range [][]string{{}, {"--key", "-"}, {"--key-file", "-"}} {
		code, out, errs := keysRun(t, key+"\n", append([]string{"kcv", "--cipher", "aes"}, where...)...)
		require.Zero(t, code, errs)
		require.Equal(t, want, out, where)
		require.Empty(t, errs)
	}
	code, out, errs := keysRun(t, "", "kcv", "--cipher", "aes")
	require.Equal(t, 2, code)
	require.Empty(t, out)
	require.Contains(t, errs, "--key or --key-file is missing")
}

// The beginning of a line would have another code, and nobody would know.
func TestALineThatIsTooLongIsRefused(t *testing.T) {
	long := strings.Repeat("00", maxSecretLine/2)
	code, out, errs := keysRun(t, long+"\n", "mac", "--alg", "x9.9", "--key", "0123456789ABCDEF", "--data", "-")
	require.Equal(t, 2, code)
	require.Empty(t, out)
	require.Contains(t, errs, "more than 1048576 bytes")
	code, _, errs = keysRun(t, "0123456789ABCDEF\n"+long[2:]+"\n", "mac", "--alg", "x9.9", "--key", "-", "--data", "-")
	require.Zero(t, code, errs)
	name := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.WriteFile(name, []byte(long+"00"), 0o600))
	code, out, errs = keysRun(t, "", "mac", "--alg", "x9.9", "--key", "0123456789ABCDEF", "--data-file", name)
	require.Equal(t, 2, code)
	require.Empty(t, out)
	require.Contains(t, errs, "more than 1048576 bytes")
}

// macKeys are the lengths in bytes of the keys of each ALG, the first of an ordinary one.
var macKeys = map[string][]int{
	"cup-ecb": {16, 8, 24}, "x9.9": {8}, "x9.19": {16}, "3des-cbc": {16, 24}, "3des-cmac": {16, 24}, "aes-cmac": {16, 24, 32},
	"sm4-cbc": {16}, "sm4-emac": {32, 16}, "sm4-retail": {32}, "sm4-cmac": {16}, "cup-ecb-sm4": {16},
}

// someKey is n bytes in hexadecimal, no two eights alike.
func someKey(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "%02X", byte(0x13+7*i))
	}
	return text.String()
}

func TestEveryAlgorithmRefusesKeysOfOtherLengths(t *testing.T) {
	for alg, lengths := range macKeys {
		for n := range 41 {
			code, out, errs := keysRun(t, "", "mac", "--alg", alg, "--key", someKey(n), "--data", "")
			if slices.Contains(lengths, n) {
				require.Zero(t, code, "%s %d: %s", alg, n, errs)
				continue
			}
			require.Equal(t, 2, code, "%s %d", alg, n)
			require.Empty(t, out)
			require.Contains(t, errs, "wrong length of a MAC key", "%s %d", alg, n)
			if n > 2 {
				require.NotContains(t, errs, someKey(n))
			}
		}
	}
	for _, alg := range []string{"hmac-sm3", "hmac-sha256"} {
		code, _, errs := keysRun(t, "", "mac", "--alg", alg, "--key", "", "--data", "00")
		require.Equal(t, 2, code)
		require.Contains(t, errs, "wrong length of a MAC key")
		require.Len(t, keysPrint(t, "mac", "--alg", alg, "--key", someKey(1), "--data", ""), 64)
	}
	for cipher, lengths := range map[string][]int{"des": {8, 16, 24}, "aes": {16, 24, 32}, "sm4": {16}} {
		for n := range 41 {
			code, _, errs := keysRun(t, "", "kcv", "--cipher", cipher, "--key", someKey(n))
			require.Equal(t, slices.Contains(lengths, n), code == 0, "%s %d: %s", cipher, n, errs)
			if code != 0 {
				require.Equal(t, 2, code)
				require.Contains(t, errs, "wrong key length", "%s %d", cipher, n)
			}
		}
	}
}

// ISO 9797-1: empty data are one block under each padding method, so they have the code of data that are that block.
func TestEmptyDataHaveTheCodeOfTheirPaddingWithEveryAlgorithm(t *testing.T) {
	for alg, lengths := range macKeys {
		block := 8
		if strings.HasPrefix(alg, "sm4") || strings.HasPrefix(alg, "aes") || alg == "cup-ecb-sm4" {
			block = 16
		}
		for _, n := range lengths {
			code := func(padding int, data string) string {
				return keysPrint(t, "mac", "--alg", alg, "--key", someKey(n), "--padding", fmt.Sprint(padding), "--data", data)
			}
			switch zeros := strings.Repeat("00", block); {
			case strings.HasPrefix(alg, "cup-ecb"):
				require.Equal(t, code(1, zeros), code(1, ""), alg)
				require.Len(t, code(1, ""), 8)
			case strings.HasSuffix(alg, "-cmac"): // SP 800-38B pads in its own way: empty data are no block of zeros
				require.NotEqual(t, code(1, zeros), code(1, ""), alg)
				require.Equal(t, code(1, ""), code(2, ""), alg)
				require.Len(t, code(1, ""), 2*block, alg)
			default:
				require.Equal(t, code(1, zeros), code(1, ""), alg)
				require.Equal(t, code(1, "80"), code(2, ""), alg)
				require.Equal(t, code(1, zeros+zeros), code(3, ""), alg)
				require.Len(t, code(1, ""), 2*block, alg)
				require.Equal(t, code(1, ""), keysPrint(t, "mac", "--alg", alg, "--key", someKey(n), "--data", ""), "padding 1 is the default")
			}
		}
	}
	// The code of one block of zeros is what a check value is.
	require.Equal(t, keysPrint(t, "kcv", "--cipher", "des", "--key", someKey(8), "--bytes", "8"), keysPrint(t, "mac", "--alg", "x9.9", "--key", someKey(8), "--data", ""))
	require.Equal(t, keysPrint(t, "kcv", "--cipher", "sm4", "--key", someKey(16), "--bytes", "16"), keysPrint(t, "mac", "--alg", "sm4-cbc", "--key", someKey(16), "--data", ""))
}

func TestKeysOfCUPECBAreTakenByTheirLength(t *testing.T) {
	const data = "0200703C06C000C49A11"
	code := func(key string, more ...string) string {
		return keysPrint(t, append([]string{"mac", "--alg", "cup-ecb", "--key", key, "--data", data}, more...)...)
	}
	one, two := someKey(16)[:16], someKey(16)[16:]
	require.Equal(t, code(one), code(one+one), "3DES with one key is DES")
	require.Equal(t, code(one+two), code(one+two+one), "3DES of two keys: the third is the first")
	require.NotEqual(t, code(one+two), code(someKey(24)))
	require.NotEqual(t, code(one+two), code(one+two, "--cipher", "sm4"))
	for _, cipher := range []string{"des", "3des"} {
		require.Equal(t, code(one+two), code(one+two, "--cipher", cipher))
	}
	for _, n := range []int{8, 24} {
		exit, _, errs := keysRun(t, "", "mac", "--alg", "cup-ecb", "--cipher", "sm4", "--key", someKey(n), "--data", data)
		require.Equal(t, 2, exit)
		require.Contains(t, errs, "wrong length of a MAC key")
	}
}

func TestHexadecimalIsTakenInEitherCaseAndNothingElseIs(t *testing.T) {
	want := keysPrint(t, "mac", "--alg", "x9.19", "--key", "0123456789ABCDEFFEDCBA9876543210", "--data", "0AFF")
	require.Equal(t, want, keysPrint(t, "mac", "--alg", "X9.19", "--key", "0123456789abcdeffedcba9876543210", "--data", "0aFf"))
	require.Equal(t, strings.ToUpper(want), want)
	for _, text := range []string{"0", "0x00", "00,11", "0G", "００", "00-11", "123"} {
		for _, flags := range [][]string{{"--key", someKey(16), "--data", text}, {"--key", text, "--data", "00"}} {
			code, out, errs := keysRun(t, "", append([]string{"mac", "--alg", "x9.19"}, flags...)...)
			require.Equal(t, 2, code, text)
			require.Empty(t, out)
			require.Contains(t, errs, "want an even number of hexadecimal digits", text)
		}
	}
}

// Every algorithm that a MAC key of a link may have can be formed of components, with its check values shown.
func TestACeremonyTakesEveryAlgorithm(t *testing.T) {
	keyDesk(t)
	for i, key := range []struct {
		algorithm string
		length    int
	}{{"des", 8}, {"3des", 16}, {"3des", 24}, {"aes", 16}, {"aes", 24}, {"aes", 32}, {"sm4", 16}, {"sm4", 32}, {"hmac", 16}, {"hmac", 32}} {
		made := keyOf(keysAct(t, someKey(key.length)+"\n"+strings.Repeat("5A", key.length)+"\n", "ceremony", fmt.Sprintf("host/h%d/zak", i),
			"--algorithm", key.algorithm, "--length", fmt.Sprint(key.length)))
		require.EqualValues(t, 8*key.length, made["bits"])
	}
}

// Every usage, mode and exportability of X9.143 §6.3, AES-192 and AES-256 in it, with and without optional blocks.
func TestKeyBlocksKeepWhatTheySay(t *testing.T) {
	kbpks := map[string][]int{"B": {16, 24}, "D": {16, 24, 32}}
	usages := []string{"B0", "B1", "B2", "C0", "D0", "D1", "D2", "E0", "E6", "I0", "K0", "K1", "K2", "K3", "M0", "M3", "M6", "M7", "P0", "P1", "S0", "V0", "V4", "10"}
	algorithms := map[string][]int{"T": {16, 24}, "D": {8}, "A": {16, 24, 32}, "H": {20, 64}}
	i := 0
	for version, lengths := range kbpks {
		for _, usage := range usages {
			for algorithm, keys := range algorithms {
				for _, n := range keys {
					i++
					mode, export := "BCDEGNSTVXY"[i%11:i%11+1], "ENS"[i%3:i%3+1]
					kbpk := someKey(lengths[i%len(lengths)])
					args := []string{"tr31", "wrap", "--kbpk", kbpk, "--version", version, "--usage", usage, "--algorithm", algorithm, "--mode", mode,
						"--exportability", export, "--key", someKey(n)}
					if i%2 == 0 {
						args = append(args, "--opt", "KS=00604B120F9292800000", "--opt", "LB="+strings.Repeat("x", i%300))
					}
					block := keysPrint(t, args...)
					require.Equal(t, fmt.Sprintf(`{"version":"%s","usage":"%s","algorithm":"%s","mode":"%s","exportability":"%s","key":"%s"}`,
						version, usage, algorithm, mode, export, someKey(n)), keysPrint(t, "tr31", "unwrap", "--kbpk", kbpk, block))
					at := 5 + i%(len(block)-5)
					other := "0"
					if block[at:at+1] == other {
						other = "1"
					}
					code, out, _ := keysRun(t, "", "tr31", "unwrap", "--kbpk", kbpk, block[:at]+other+block[at+1:])
					require.NotZero(t, code, "%s at %d", block, at)
					require.Empty(t, out)
				}
			}
		}
	}
}
