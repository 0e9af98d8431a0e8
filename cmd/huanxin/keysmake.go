package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/soft"
	"huanxin/switch/keys/store"
)

const labelHelp = `LABEL says what the key is for:

  tmk/10000001          master key of a terminal
  tmk/group/shops       master key of a group of terminals
  host/NAME/zmk         master key of a host link; host/NAME/zpk its PIN key, host/NAME/zak its MAC key
  zmk/NAME              master key of another party
  kbpk/NAME             key block protection key of a party that loads keys (TR-31)`

func newKeysGenerateCommand() *cobra.Command {
	var f keyActFlags
	var a algorithmFlags
	var m manyFlags
	var missing bool
	cmd := &cobra.Command{
		Use:   "generate LABEL --algorithm ALG",
		Short: "生成密钥 – draw a key inside the module, or one for each of many terminals",
		Long: "Draws a key as the newest of its label. What was in use before is former from now on, unless --pending. Of many terminals none may\n" +
			"have a key, or with --missing those that have one are left as they are.\n\n" + labelHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			labels, many, err := m.labels(cmd, args)
			if err != nil {
				return err
			}
			if missing && !many {
				return badInput("--missing is for the terminals of a list")
			}
			w, err := a.wanted(labels[0])
			if err != nil {
				return err
			}
			if many {
				w.Detail = fmt.Sprintf("of a list of %d", len(labels))
			}
			s, records, taken, err := f.each(cmd, labels, func(_ *store.Store, e *store.Edit, label string) (store.Record, error) {
				w.Label = label
				if many && e.Has(label) {
					if missing {
						return store.Record{}, errSpared
					}
					return store.Record{}, fmt.Errorf("%w: it has a key; --missing leaves it that", store.ErrAct)
				}
				return e.Generate(w)
			})
			if err != nil {
				return err
			}
			return f.printKeys(cmd, "已生成 generated", many, s, records, taken)
		},
	}
	f.add(cmd)
	a.add(cmd)
	m.add(cmd)
	cmd.Flags().BoolVar(&missing, "missing", false, "仅限尚无密钥的终端 with a list: only for terminals that have no key")
	return cmd
}

func newKeysImportCommand() *cobra.Command {
	var f keyActFlags
	var a algorithmFlags
	var secrets secretFlags
	var block secretFlag
	var under, wrap, kcv string
	cmd := &cobra.Command{
		Use:   "import LABEL --under LABEL --wrap ecb|tr31-b|tr31-d --algorithm ALG --block TEXT",
		Short: "导入密钥 – take in a key that is wrapped under one of the store",
		Long: `Takes in a key that lies wrapped under a key of the store: a TR-31 block under a kbpk/, or a cryptogram in hexadecimal (ECB) under a
zmk/ or host/NAME/zmk, whose check value must then be given. The clear key never leaves the module.

` + labelHelp,
		Args: arguments(1, 1, "one label"),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := a.wanted(args[0])
			if err != nil {
				return err
			}
			wrapping, err := hsm.ParseWrapping(wrap)
			if err != nil {
				return &exitError{2, fmt.Errorf("--wrap: %w", err)}
			}
			check, err := hex.DecodeString(kcv)
			if err != nil {
				return badInput("--kcv is not hexadecimal")
			}
			text, err := secrets.text(cmd, &block)
			if err != nil {
				return err
			}
			wrapped := []byte(text)
			if wrapping == hsm.WrapECB {
				if wrapped, err = hexBytes(text); err != nil {
					return badInput("--block: %w", err)
				}
			}
			w.Detail = fmt.Sprintf("%s under %s", wrapping, under)
			var r store.Record
			s, taken, err := f.run(cmd, func(s *store.Store, e *store.Edit) (err error) {
				wrapper, ok := s.Find(under)
				if !ok {
					return fmt.Errorf("--under: %w: %q is not in use", store.ErrNoKey, under)
				}
				r, err = e.Import(w, wrapper, wrapping, wrapped, check)
				return err
			})
			if err != nil {
				return err
			}
			return f.printKey(cmd, "已导入 imported", s, r, taken)
		},
	}
	f.add(cmd)
	a.add(cmd)
	block.name, block.open = "block", true // it is wrapped
	cmd.Flags().StringVar(&block.value, "block", "", "密钥块或密文，- 为标准输入的下一行 – the wrapped key; - is the next line of standard input")
	cmd.Flags().StringVar(&block.file, "block-file", "", "从文件读取 – a file with it")
	cmd.Flags().StringVar(&under, "under", "", "包裹它的密钥 label of the key that it is under (required)")
	cmd.Flags().StringVar(&wrap, "wrap", "tr31-d", "包裹方式 ecb, tr31-b or tr31-d")
	cmd.Flags().StringVar(&kcv, "kcv", "", "校验值 check value in hexadecimal, 1 to 4 bytes; required with ecb")
	return cmd
}

func newKeysExportCommand() *cobra.Command {
	var f keyActFlags
	var m manyFlags
	var under, wrap string
	var generation int
	cmd := &cobra.Command{
		Use:   "export LABEL --under LABEL [--wrap ecb|tr31-b|tr31-d]",
		Short: "导出密钥 – wrap a key under another, for loading it elsewhere, or those of many terminals",
		Long: `Prints a key wrapped under another one of the store, and its check value: a TR-31 block under a kbpk/ – version D under AES, B under
3DES – or, of link keys, the ECB cryptogram under a master key of the link. Only an exportable key leaves, never under a weaker one;
hash keys, card keys and the local master key never do. SM4 keys have no letter in TR-31: they are loaded in components.

Of many terminals it prints a CSV file for the loading tool: label, generation, kcv, block.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			labels, many, err := m.labels(cmd, args)
			if err != nil {
				return err
			}
			var list []exportedKey
			recorded, _, taken, err := f.each(cmd, labels, func(s *store.Store, e *store.Edit, label string) (store.Record, error) {
				wrapper, ok := s.Find(under)
				if !ok {
					return store.Record{}, fmt.Errorf("--under: %w: %q is not in use", store.ErrNoKey, under)
				}
				wrapping, err := wrappingOf(wrap, wrapper.Info())
				if err != nil {
					return store.Record{}, err
				}
				_, r, err := s.Generation(label, generation)
				if err != nil {
					return r, err
				}
				wrapped, err := e.Export(label, generation, under, wrapping)
				if err == nil && wrapping == hsm.WrapECB {
					wrapped = []byte(fmt.Sprintf("%X", wrapped))
				}
				list = append(list, exportedKey{r.Label, r.Generation, string(wrapped), r.KCV})
				return r, err
			})
			if recorded == nil {
				return err
			}
			// The acts are recorded, so their blocks are shown even when a running switch could not take them over.
			return errors.Join(err, f.printExported(cmd, many, list, taken))
		},
	}
	f.add(cmd)
	m.add(cmd)
	cmd.Flags().StringVar(&under, "under", "", "包裹用的密钥 label of the key to wrap it under (required)")
	cmd.Flags().StringVar(&wrap, "wrap", "", "包裹方式 ecb, tr31-b or tr31-d (default: as the wrapping key is)")
	cmd.Flags().IntVar(&generation, "generation", 0, "第几代 generation of the label (default: the newest)")
	return cmd
}

// exportedKey is one key on its way out.
type exportedKey struct {
	Label      string `json:"label"`
	Generation int    `json:"generation"`
	Block      string `json:"block"`
	KCV        string `json:"kcv"`
}

func (f *keyActFlags) printExported(cmd *cobra.Command, many bool, list []exportedKey, taken *takenOver) error {
	out := bufio.NewWriter(cmd.OutOrStdout())
	switch one := list[0]; {
	case f.json && many:
		if err := writeJSON(out, struct {
			Keys   []exportedKey `json:"keys"`
			Switch *takenOver    `json:"switch"`
		}{list, taken}); err != nil {
			return err
		}
	case f.json:
		if err := writeJSON(out, struct {
			exportedKey
			Switch *takenOver `json:"switch"`
		}{one, taken}); err != nil {
			return err
		}
	case many:
		fmt.Fprintln(out, "label,generation,kcv,block")
		for _, k := range list {
			fmt.Fprintf(out, "%s,%d,%s,%s\n", k.Label, k.Generation, k.KCV, k.Block)
		}
	default:
		fmt.Fprintf(out, "%s\nKCV %s\n", one.Block, one.KCV)
	}
	return out.Flush()
}

// wrappingOf is the wrapping of that name, or the one that a wrapping key is for.
func wrappingOf(name string, under hsm.Info) (hsm.Wrapping, error) {
	if name != "" {
		return hsm.ParseWrapping(name)
	}
	switch {
	case under.Purpose != hsm.KBPK:
		return hsm.WrapECB, nil
	case under.Algorithm == hsm.AES:
		return hsm.WrapTR31D, nil
	}
	return hsm.WrapTR31B, nil
}

func newKeysRotateCommand() *cobra.Command {
	var f keyActFlags
	var m manyFlags
	var algorithm string
	var now, national bool
	cmd := &cobra.Command{
		Use:   "rotate LABEL | card | lmk",
		Short: "轮换密钥 – draw a new key in the place of one",
		Long: `card  A new card key seals from now on; those before it open for as long as the journal is kept. --algorithm sm4 or aes changes the
      cipher. A running switch takes it over without a restart.
lmk   Everything is wrapped under a new local master key in one step; it takes two persons. It is drawn and written to its file, or with
      HUANXIN_LMK the next one is HUANXIN_LMK_NEXT (huanxin keys lmk draws one). The key before stays in the store, wrapped, because
      working keys in the journal are under it: retire it as lmk/ID when all terminals have signed on since.
LABEL A master key of a terminal is pending until it is activated, because the terminal must be loaded with it first (--now: at once). Any
      other key is in use at once, and the one before it is accepted until it is retired.

A hash key is never rotated: under another one every person would have another hash, which is a fresh quota.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			labels, many, err := m.labels(cmd, args)
			if err != nil {
				return err
			}
			f.two = labels[0] == "lmk"
			var to hsm.Algorithm
			if algorithm != "" {
				if to, err = hsm.ParseAlgorithm(algorithm); err != nil {
					return &exitError{2, fmt.Errorf("--algorithm: %w", err)}
				}
			}
			s, records, taken, err := f.each(cmd, labels, func(s *store.Store, e *store.Edit, label string) (store.Record, error) {
				switch label {
				case "lmk":
					return e.RotateLMK(lmkMode(cmd, s, national))
				case "card":
					return e.Rotate(label, to, false)
				}
				purpose, err := store.PurposeOf(label)
				if err != nil {
					return store.Record{}, err
				}
				return e.Rotate(label, to, purpose == hsm.TMK && !now)
			})
			if err != nil {
				return err
			}
			if labels[0] == "lmk" { // the switch has read both; the one before is not needed in the file any more
				if err := s.SettleLMK(); err != nil {
					return err
				}
			}
			return f.printKeys(cmd, "已轮换 rotated", many, s, records, taken)
		},
	}
	f.add(cmd)
	m.add(cmd)
	cmd.Flags().StringVar(&algorithm, "algorithm", "", "算法 of the new key (default: as before)")
	cmd.Flags().BoolVar(&now, "now", false, "立即启用 a terminal's master key is in use at once")
	cmd.Flags().BoolVar(&national, "national", false, "国密 the new local master key is for SM4-GCM (default: as before)")
	return cmd
}

func lmkMode(cmd *cobra.Command, s *store.Store, national bool) soft.Mode {
	if cmd.Flags().Changed("national") {
		return modeOf(national)
	}
	return s.Module().LMK().Mode()
}

func newKeysActivateCommand() *cobra.Command {
	var f keyActFlags
	var m manyFlags
	cmd := &cobra.Command{
		Use:   "activate LABEL",
		Short: "启用密钥 – put the pending key of a label in use, or those of many terminals",
		Long:  "The terminal has been loaded with it. What was in use before is former from now on.",
		RunE: func(cmd *cobra.Command, args []string) error {
			labels, many, err := m.labels(cmd, args)
			if err != nil {
				return err
			}
			s, records, taken, err := f.each(cmd, labels, func(_ *store.Store, e *store.Edit, label string) (store.Record, error) {
				return e.Activate(label)
			})
			if err != nil {
				return err
			}
			return f.printKeys(cmd, "已启用 activated", many, s, records, taken)
		},
	}
	f.add(cmd)
	m.add(cmd)
	return cmd
}

func newKeysRetireCommand() *cobra.Command {
	var f keyActFlags
	var m manyFlags
	var generation int
	cmd := &cobra.Command{
		Use:   "retire LABEL [--generation N]",
		Short: "销毁密钥 – destroy a key",
		Long: `Destroys a key: its token is taken out of the store; label, check value and dates stay. Hash keys and card keys are not destroyed: persons
would have a fresh quota, and envelopes of the journal would not open. Copies of the store still hold the key.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			labels, many, err := m.labels(cmd, args)
			if err != nil {
				return err
			}
			s, records, taken, err := f.each(cmd, labels, func(_ *store.Store, e *store.Edit, label string) (store.Record, error) {
				return e.Retire(label, generation)
			})
			if err != nil {
				return err
			}
			return f.printKeys(cmd, "已销毁 retired", many, s, records, taken)
		},
	}
	f.add(cmd)
	m.add(cmd)
	cmd.Flags().IntVar(&generation, "generation", 0, "第几代 generation of the label (default: the only one)")
	return cmd
}
