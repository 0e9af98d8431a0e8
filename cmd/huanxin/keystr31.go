package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"huanxin/switch/keys/tr31"
)

func newKeysTR31Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tr31",
		Short: "TR-31 密钥块 – wrap and unwrap key blocks, versions B and D",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return badInput("%s: no such command, want wrap or unwrap", cmd.CommandPath())
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(newKeysTR31WrapCommand(), newKeysTR31UnwrapCommand())
	return cmd
}

// unwrapped is what `tr31 unwrap` prints.
type unwrapped struct {
	Version       string `json:"version"`
	Usage         string `json:"usage"`
	Algorithm     string `json:"algorithm"`
	Mode          string `json:"mode"`
	Exportability string `json:"exportability"`
	Key           string `json:"key"`
}

func newKeysTR31UnwrapCommand() *cobra.Command {
	var secrets secretFlags
	var protection secretFlag
	var text string
	cmd := &cobra.Command{
		Use:   "unwrap --kbpk HEX [BLOCK]",
		Short: "解开密钥块 – open a key block and print its key in clear",
		Long: `Prints one JSON object on one line, the key in upper-case hexadecimal:

  {"version":"B","usage":"P0","algorithm":"T","mode":"E","exportability":"E","key":"3F41…"}

The block is the argument, --block or the next line of standard input.

Exit codes: 0 printed; 1 the MAC is wrong: header, key or MAC were changed, or the protection key is another one; 2 no key
block of version B or D, or wrong use.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return badInput("%s: want one BLOCK, not %d arguments", cmd.CommandPath(), len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			kbpk, err := secrets.bytes(cmd, &protection)
			if err != nil {
				return err
			}
			defer clear(kbpk)
			if text, err = blockText(cmd, &secrets, text, args); err != nil {
				return err
			}
			h, key, err := tr31.Unwrap(kbpk, text)
			if errors.Is(err, tr31.ErrMAC) {
				return &exitError{1, fmt.Errorf("%s: %w", cmd.CommandPath(), err)}
			}
			if err != nil {
				return badInput("%s: %w", cmd.CommandPath(), err)
			}
			defer clear(key)
			return json.NewEncoder(cmd.OutOrStdout()).Encode(unwrapped{
				Version: string(rune(h.Version)), Usage: h.Usage, Algorithm: string(rune(h.Algorithm)), Mode: string(rune(h.Mode)),
				Exportability: string(rune(h.Exportability)), Key: upperHex(key),
			})
		},
	}
	protection.register(cmd, "kbpk", "密钥块保护密钥")
	cmd.Flags().StringVar(&text, "block", "", "密钥块 – the key block")
	return cmd
}

func blockText(cmd *cobra.Command, secrets *secretFlags, text string, args []string) (string, error) {
	given := cmd.Flags().Changed("block")
	switch {
	case given && len(args) > 0:
		return "", badInput("%s: BLOCK and --block exclude each other", cmd.CommandPath())
	case len(args) > 0:
		text = args[0]
	case !given:
		text = "-"
	}
	if text == "-" {
		return secrets.line(cmd)
	}
	return strings.TrimSpace(text), nil
}

func newKeysTR31WrapCommand() *cobra.Command {
	var secrets secretFlags
	var protection, wrapped secretFlag
	var h tr31.Header
	var version, algorithm, mode, exportability string
	var optional []string
	var hide int
	cmd := &cobra.Command{
		Use:   "wrap --kbpk HEX --version B|D --usage P0 --algorithm T --mode E --exportability E --key HEX",
		Short: "封装密钥块 – wrap a key and print the key block",
		Long: `Prints the key block alone on one line. Version B wants a protection key of 16 or 24 bytes (3DES), version D one of 16, 24
or 32 (AES). --opt ID=DATA adds an optional block, in the order given; the block PB that fills is added by itself. --hide N
lengthens the key with random bytes to N, so that the block does not show its length.

Exit codes: 0 printed; 2 wrong use.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, flag := range []struct {
				name, value string
				to          *byte
			}{{"version", version, (*byte)(&h.Version)}, {"algorithm", algorithm, &h.Algorithm}, {"mode", mode, &h.Mode}, {"exportability", exportability, &h.Exportability}} {
				if len(flag.value) != 1 {
					return badInput("%s: --%s: want one character", cmd.CommandPath(), flag.name)
				}
				*flag.to = strings.ToUpper(flag.value)[0]
			}
			for _, text := range optional {
				id, data, ok := strings.Cut(text, "=")
				if !ok {
					return badInput("%s: --opt: want ID=DATA", cmd.CommandPath())
				}
				h.Blocks = append(h.Blocks, tr31.OptionalBlock{ID: id, Data: data})
			}
			kbpk, err := secrets.bytes(cmd, &protection)
			if err != nil {
				return err
			}
			defer clear(kbpk)
			key, err := secrets.bytes(cmd, &wrapped)
			if err != nil {
				return err
			}
			defer clear(key)
			text, err := tr31.Wrap(kbpk, h, key, hide, rand.Reader)
			if err != nil {
				return badInput("%s: %w", cmd.CommandPath(), err)
			}
			if tr31.Weaker(h, len(kbpk), len(key)) {
				fmt.Fprintln(cmd.ErrOrStderr(), "警告：保护密钥弱于被保护的密钥 – warning: the protection key is weaker than the key that it protects")
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
			return err
		},
	}
	protection.register(cmd, "kbpk", "密钥块保护密钥")
	wrapped.register(cmd, "key", "密钥")
	cmd.Flags().StringVar(&version, "version", "", "版本 – B under 3DES, D under AES")
	cmd.Flags().StringVar(&h.Usage, "usage", "", "用途 – P0 PIN, M0 to M7 MAC, K0 key encryption, D0 data …")
	cmd.Flags().StringVar(&algorithm, "algorithm", "", "算法 – T 3DES, D DES, A AES, H HMAC …")
	cmd.Flags().StringVar(&mode, "mode", "", "使用方式 – E encrypt, D decrypt, B both, G generate, V verify, C both, X derive, N any …")
	cmd.Flags().StringVar(&exportability, "exportability", "", "可导出性 – E under a trusted key, S under any, N never")
	cmd.Flags().StringVar(&h.KeyVersion, "key-version", "00", "密钥版本 – two characters")
	cmd.Flags().StringArrayVar(&optional, "opt", nil, "可选块 – an optional block, ID=DATA; may be repeated")
	cmd.Flags().IntVar(&hide, "hide", 0, "隐藏长度 – bytes up to which the key's length is hidden")
	return cmd
}
