package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"huanxin/config"
	"huanxin/switch/control"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/soft"
	"huanxin/switch/keys/store"
)

// storeFlags say whose key store is meant and how the answer is printed.
type storeFlags struct {
	config string
	json   bool
}

func (f *storeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.config, "config", "", "配置文件 settings of the switch (default: as for serve)")
	cmd.Flags().BoolVar(&f.json, "json", false, "输出 JSON – print JSON for machines")
}

// open opens the store that the settings name.
func (f *storeFlags) open() (*store.Store, *config.Config, error) {
	cfg, _, err := config.Load(f.config, os.Environ())
	if err != nil {
		return nil, nil, &exitError{2, err}
	}
	s, err := store.Open(keyStore(cfg))
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, store.ErrNoLMK) {
		return nil, nil, fmt.Errorf("there is no key store at %s yet: the first start of the switch makes it", cfg.Path(cfg.Keys.File))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("keys.file: %w", err)
	}
	return s, cfg, nil
}

// keyActFlags are those of a command that acts on the store.
type keyActFlags struct {
	storeFlags
	by, second, reason, document string
	two                          bool // two persons are demanded
}

func (f *keyActFlags) add(cmd *cobra.Command) {
	f.storeFlags.add(cmd)
	second := "第二人 the second person"
	if f.two {
		second += " (required: nobody does this alone)"
	}
	cmd.Flags().StringVar(&f.by, "by", "", "经办人 who orders it (required)")
	cmd.Flags().StringVar(&f.second, "second", "", second)
	cmd.Flags().StringVar(&f.reason, "reason", "", "事由 why (required)")
	cmd.Flags().StringVar(&f.document, "document", "", "文号 number of the notice, decision or ticket")
}

func (f *keyActFlags) check() error {
	f.by, f.second = strings.TrimSpace(f.by), strings.TrimSpace(f.second)
	switch {
	case f.by == "":
		return badInput("--by is missing: who orders it?")
	case strings.TrimSpace(f.reason) == "":
		return badInput("--reason is missing: why?")
	case f.two && f.second == "":
		return badInput("--second is missing: this takes two persons")
	case f.second != "" && strings.EqualFold(f.by, f.second):
		return badInput("--second is the same person as --by")
	}
	return nil
}

func (f *keyActFlags) authority() store.Authority {
	return store.Authority{By: f.by, Second: f.second, Reason: f.reason, Document: f.document, Account: account()}
}

// run carries out one act on the store and has a running switch take it over.
func (f *keyActFlags) run(cmd *cobra.Command, act func(*store.Store, *store.Edit) error) (*store.Store, *takenOver, error) {
	if err := f.check(); err != nil {
		return nil, nil, err
	}
	s, cfg, err := f.open()
	if err != nil {
		return nil, nil, err
	}
	if err := s.Edit(f.authority(), func(e *store.Edit) error { return act(s, e) }); err != nil {
		return nil, nil, keyError(err)
	}
	taken, err := takeOver(cmd, cfg)
	return s, taken, err
}

// keyError gives what was asked wrongly its exit code.
func keyError(err error) error {
	for _, wrong := range []error{store.ErrLabel, hsm.ErrAlgorithm, hsm.ErrPurpose} {
		if errors.Is(err, wrong) {
			return &exitError{2, err}
		}
	}
	return err
}

// takenOver says what the running switch did.
type takenOver struct {
	Running bool `json:"running"`
	Acts    int  `json:"acts"` // that are now events of its journal
}

// takeOver tells the running switch. None is no fault: the next start takes everything over.
func takeOver(cmd *cobra.Command, cfg *config.Config) (*takenOver, error) {
	client, err := control.NewClient(cfg.Path(cfg.Control.Socket))
	if err != nil {
		return nil, fmt.Errorf("it is done in the store, but the running switch was not told: %w", err)
	}
	done, err := client.ReloadKeys(cmd.Context())
	if errors.Is(err, control.ErrUnreachable) {
		return &takenOver{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("it is done in the store, but the running switch has not taken it over: %w", err)
	}
	return &takenOver{true, done.Acts}, nil
}

func (t *takenOver) text() string {
	if t.Running {
		return fmt.Sprintf("运行中的交换机已载入，%d 条操作已入日志 – the running switch has taken it over, %d acts are in its journal", t.Acts, t.Acts)
	}
	return "交换机未运行，下次启动时载入并入日志 – no switch is running: the next start takes it over"
}

// keyView is a key as the commands print it.
type keyView struct {
	Label      string      `json:"label"`
	Generation int         `json:"generation"`
	Purpose    string      `json:"purpose"`
	Algorithm  string      `json:"algorithm"`
	Bits       int         `json:"bits"`
	KCV        string      `json:"kcv"`
	Created    string      `json:"created"`
	AgeDays    int         `json:"age_days"`
	State      store.State `json:"state"`
	Exportable bool        `json:"exportable"`
}

func (v *keyView) text() string {
	export := ""
	if v.Exportable {
		export = "  可导出 exportable"
	}
	return fmt.Sprintf("%-28s %3d  %-5s %-4s %4d  KCV %s  %5d d  %-8s%s", v.Label, v.Generation, v.Purpose, v.Algorithm, v.Bits, v.KCV, v.AgeDays,
		v.State, export)
}

// algorithmFlags say what key is wanted.
type algorithmFlags struct {
	name       string
	length     int
	exportable bool
	pending    bool
}

func (f *algorithmFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.name, "algorithm", "", "算法 des, 3des, aes or sm4 (required)")
	cmd.Flags().IntVar(&f.length, "length", 0, "字节数 bytes of the key (default: 8, 16, 32, 16; of an import: as it comes)")
	cmd.Flags().BoolVar(&f.exportable, "exportable", true, "可导出 it may be exported under another key, where its purpose allows it")
	cmd.Flags().BoolVar(&f.pending, "pending", false, "待启用 not in use until: huanxin keys activate LABEL")
}

func (f *algorithmFlags) wanted(label string) (store.Wanted, error) {
	purpose, err := store.PurposeOf(label)
	if err != nil {
		return store.Wanted{}, &exitError{2, err}
	}
	if f.name == "" {
		return store.Wanted{}, badInput("--algorithm is missing")
	}
	algorithm, err := hsm.ParseAlgorithm(f.name)
	if err != nil {
		return store.Wanted{}, &exitError{2, err}
	}
	return store.Wanted{Label: label, Algorithm: algorithm, Length: f.length, Exportable: f.exportable && purpose.Leaves(), Pending: f.pending}, nil
}

// printKey prints what became of one key.
func (f *keyActFlags) printKey(cmd *cobra.Command, done string, s *store.Store, r store.Record, taken *takenOver) error {
	v := viewOf(s, r)
	if f.json {
		return writeJSON(cmd.OutOrStdout(), struct {
			Key    keyView    `json:"key"`
			Switch *takenOver `json:"switch"`
		}{v, taken})
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s\n  %s\n%s\n", done, v.text(), taken.text())
	return nil
}

func modeOf(national bool) soft.Mode {
	if national {
		return soft.National
	}
	return soft.International
}
