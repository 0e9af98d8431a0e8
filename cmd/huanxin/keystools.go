package main

import (
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"huanxin/switch/keys/block"
	"huanxin/switch/keys/mac"
	"huanxin/switch/keys/pinblock"
)

func newKeysMACCommand() *cobra.Command {
	var secrets secretFlags
	var key, data secretFlag
	var algorithm, cipherName string
	var padding int
	cmd := &cobra.Command{
		Use:   "mac --alg ALG --key HEX --data HEX",
		Short: "计算 MAC – the MAC of data",
		Long: `Prints the MAC of data alone on one line: upper-case hexadecimal, of its full length; for cup-ecb the 8 characters of
field 64. --data '' is the MAC of nothing.

ALG is cup-ecb (DES or 3DES by the key's length, SM4 with --cipher sm4), x9.9, x9.19, 3des-cbc, 3des-cmac, aes-cmac,
sm4-cbc, sm4-emac, sm4-retail, sm4-cmac, hmac-sm3 or hmac-sha256. The keys of x9.19 and sm4-retail are K1‖K2; so is that of
sm4-emac, or 16 bytes, from which K2 is made by complementing every other four bits.

Exit codes: 0 printed; 2 wrong use.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			refuse := func(err error) error { return badInput("%s: %w", cmd.CommandPath(), err) }
			a, err := macAlgorithm(algorithm, cipherName)
			if err != nil {
				return refuse(err)
			}
			if padding < 1 || padding > 3 {
				return badInput("%s: --padding: want method 1, 2 or 3 of ISO 9797-1", cmd.CommandPath())
			}
			if cmd.Flags().Changed("padding") && !a.Pads() {
				fmt.Fprintf(cmd.ErrOrStderr(), "警告：%s 不用填充方式 – warning: %[1]s takes no padding method, --padding changes nothing\n", a)
			}
			raw, err := secrets.bytes(cmd, &key)
			if err != nil {
				return err
			}
			defer clear(raw)
			k, err := mac.New(mac.Config{Algorithm: a, Padding: mac.Padding(padding)}, raw)
			if err != nil {
				return refuse(err)
			}
			text, err := secrets.bytes(cmd, &data)
			if err != nil {
				return err
			}
			code := k.Append(nil, text)
			if a == mac.CUPECB || a == mac.CUPECBSM4 {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", code)
			} else {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%X\n", code)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&algorithm, "alg", "", "算法 – the algorithm, see above")
	cmd.Flags().StringVar(&cipherName, "cipher", "", "cup-ecb 的分组密码 – the cipher of cup-ecb: des, 3des or sm4")
	cmd.Flags().IntVar(&padding, "padding", 1, "填充方式 – padding method of ISO 9797-1: 1 zeros, 2 one bit and zeros, 3 length before the data")
	key.register(cmd, "key", "密钥")
	data.open = true
	data.register(cmd, "data", "数据")
	return cmd
}

// macAlgorithm is the algorithm of that name with that cipher, which may be left out where the name says it.
func macAlgorithm(name, cipherName string) (mac.Algorithm, error) {
	a, err := mac.ParseAlgorithm(strings.ToLower(name))
	if err != nil {
		return 0, err
	}
	c, family := strings.ToLower(cipherName), block.DES
	switch a {
	case mac.CUPECB:
		if c == "sm4" {
			return mac.CUPECBSM4, nil
		}
	case mac.AESCMAC:
		family = block.AES
	case mac.CUPECBSM4, mac.SM4CBC, mac.SM4EMAC, mac.SM4Retail, mac.SM4CMAC:
		family = block.SM4
	case mac.HMACSM3, mac.HMACSHA256:
		family = 0
	}
	if c == "" {
		return a, nil
	}
	if given, err := block.ParseCipher(c); err != nil || given != family {
		return 0, fmt.Errorf("--cipher: %s is not made with that cipher", a)
	}
	return a, nil
}

func newKeysKCVCommand() *cobra.Command {
	var secrets secretFlags
	var key secretFlag
	var cipherName string
	var size int
	var withCMAC bool
	cmd := &cobra.Command{
		Use:   "kcv --cipher des|aes|sm4 --key HEX",
		Short: "密钥校验值 – the check value of a key",
		Long: `Prints the first bytes of zeros enciphered with the key, in upper-case hexadecimal alone on one line. des is DES or 3DES by the
key's length. --cmac prints those of the CMAC of a block of zeros instead, which is how TR-31 and ANSI X9.24-1 check AES
keys.

Exit codes: 0 printed; 2 wrong use.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			refuse := func(err error) error { return badInput("%s: %w", cmd.CommandPath(), err) }
			c, err := block.ParseCipher(strings.ToLower(cipherName))
			if err != nil {
				return refuse(err)
			}
			raw, err := secrets.bytes(cmd, &key)
			if err != nil {
				return err
			}
			defer clear(raw)
			value, err := block.KCV(c, raw, size)
			if err == nil && withCMAC {
				value, err = cmacKCV(c, raw, size)
			}
			if err != nil {
				return refuse(err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%X\n", value)
			return err
		},
	}
	cmd.Flags().StringVar(&cipherName, "cipher", "", "分组密码 – des (3DES by the key's length), aes or sm4")
	cmd.Flags().IntVar(&size, "bytes", 4, "字节数 – how many bytes")
	cmd.Flags().BoolVar(&withCMAC, "cmac", false, "用 CMAC – of the CMAC of a block of zeros")
	key.register(cmd, "key", "密钥")
	return cmd
}

// cmacKCV is ANSI X9.24-1:2017 annex A; size was checked.
func cmacKCV(c block.Cipher, key []byte, size int) ([]byte, error) {
	a := map[block.Cipher]mac.Algorithm{block.DES: mac.TDESCMAC, block.AES: mac.AESCMAC, block.SM4: mac.SM4CMAC}[c]
	k, err := mac.New(mac.Config{Algorithm: a}, key)
	if err != nil {
		return nil, err
	}
	return k.Append(nil, make([]byte, c.Size()))[:size], nil
}

func newKeysPINBlockCommand() *cobra.Command {
	var secrets secretFlags
	var key, pin secretFlag
	var format, pan, cipherName, fill string
	cmd := &cobra.Command{
		Use:   "pinblock --format 0|3|4 --pan PAN --pin PIN [--key HEX --cipher des|aes|sm4]",
		Short: "生成 PIN 块 – make a PIN block",
		Long: `Prints the PIN block alone on one line in upper-case hexadecimal: in clear, or with --key enciphered. Formats 0 and 3 of
ISO 9564-1 go with des (DES or 3DES by the key's length), format 4 with aes or sm4. Format 0 with sm4 is UnionPay's block of
16 bytes. Format no-pan is UnionPay's block without the PAN, of 16 bytes with sm4. The clear block of format 4 is
its PIN field: the PAN enters where it is enciphered.

--fill gives the random digits of format 3 (A to F) and of format 4, repeated if they are too few.

Exit codes: 0 printed; 2 wrong use.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			refuse := func(err error) error { return badInput("%s: %w", cmd.CommandPath(), err) }
			f, c, err := pinFormat(format, strings.ToLower(cipherName))
			if err != nil {
				return refuse(err)
			}
			from := pinblock.RandomFill(rand.Reader)
			if cmd.Flags().Changed("fill") {
				if from, err = pinblock.FixedFill(fill); err != nil {
					return refuse(err)
				}
			}
			digits, err := secrets.text(cmd, &pin)
			if err != nil {
				return err
			}
			var b cipher.Block
			if key.given(cmd) {
				raw, err := secrets.bytes(cmd, &key)
				if err != nil {
					return err
				}
				defer clear(raw)
				if b, err = block.New(c, raw); err != nil {
					return refuse(err)
				}
			}
			var out []byte
			if b == nil {
				out, err = pinblock.AppendClear(nil, f, []byte(digits), []byte(pan), from)
			} else {
				out, err = pinblock.Encipher(nil, f, b, []byte(digits), []byte(pan), from)
			}
			if err != nil {
				return refuse(err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%X\n", out)
			return err
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "格式 – 0, 3, 4 or no-pan")
	cmd.Flags().StringVar(&pan, "pan", "", "卡号 – the card number, at most 19 digits")
	cmd.Flags().StringVar(&cipherName, "cipher", "", "分组密码 – des, aes or sm4; des for 0, 3 and no-pan, aes for 4 if it is left out")
	cmd.Flags().StringVar(&fill, "fill", "", "随机部分 – hexadecimal digits instead of random ones")
	pin.register(cmd, "pin", "密码")
	key.register(cmd, "key", "密钥")
	return cmd
}

// pinFormat is the format of that name with that cipher.
func pinFormat(name, cipherName string) (pinblock.Format, block.Cipher, error) {
	formats := map[string]map[block.Cipher]pinblock.Format{
		"0":      {block.DES: pinblock.ISO0, block.SM4: pinblock.Wide0},
		"3":      {block.DES: pinblock.ISO3},
		"4":      {block.AES: pinblock.ISO4, block.SM4: pinblock.ISO4},
		"no-pan": {block.DES: pinblock.Bare, block.SM4: pinblock.BareWide},
	}
	named, ok := formats[name]
	if !ok {
		return 0, 0, fmt.Errorf("--format: want 0, 3, 4 or no-pan")
	}
	c := block.DES
	if name == "4" {
		c = block.AES
	}
	if cipherName != "" {
		var err error
		if c, err = block.ParseCipher(cipherName); err != nil {
			return 0, 0, err
		}
	}
	f, ok := named[c]
	if !ok {
		return 0, 0, fmt.Errorf("--cipher: format %s does not go with %s", name, c)
	}
	return f, c, nil
}
