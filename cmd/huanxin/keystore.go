package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"go.uber.org/zap"

	"huanxin/config"
	"huanxin/switch/keys"
	"huanxin/switch/keys/store"
)

// keyStore is where the store of a switch lies and where its master key comes from.
func keyStore(c *config.Config) store.Config {
	s := keys.Config(c.Path(c.Keys.File), c.Path(c.Keys.LMKFile), os.Getenv)
	if point, err := newCrashPoint(c, zap.NewNop()); err == nil { // serve refuses a wrong one
		s.Place = point.places
	}
	return s
}

// bySwitch signs the acts of the switch itself.
func bySwitch(reason string) store.Authority {
	return store.Authority{By: "huanxin serve", Reason: reason, Account: account()}
}

// account is the user of the machine, as the control socket names the one who speaks.
func account() string { return fmt.Sprintf("uid %d", os.Geteuid()) }

// loadKeys opens the key store; nil when there is none. Keys of the first format are brought over.
func (s *Switch) loadKeys() (*store.Store, error) {
	opened, backup, err := keys.Open(keyStore(s.cfg), keys.Options{
		National: s.cfg.Keys.National, By: bySwitch("the key file of the first format was brought over"),
	})
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, store.ErrNoLMK) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("keys.file: %w", err)
	}
	if backup != "" {
		s.log.Warn("the keys were in clear and are now wrapped under a master key; none has changed. The old file was kept: put it into a safe "+
			"and remove it here, and keep copies of store and master key, apart",
			zap.String("old_file", backup), zap.String("store", opened.Path()), zap.String("master_key", opened.LMK().String()))
	}
	if err := opened.SettleLMK(); err != nil {
		return nil, fmt.Errorf("keys.lmk-file: %w", err)
	}
	return opened, nil
}

// createKeys makes the keys of a journal to which nothing has been appended. With a journal that holds anything, new keys
// would give everybody a fresh quota: that is refused.
//
// The journal is open, and with it locked: a start that does not come so far leaves no keys, which would look like those of
// a journal that is lost, and one that ends right here leaves a journal that takes any keys.
func (s *Switch) createKeys() (*store.Store, error) {
	path := s.cfg.Path(s.cfg.Keys.File)
	if at := s.journal.Position(); at > 0 {
		return nil, fmt.Errorf("keys.file: %s is missing, and the journal (journal.folder %s) already holds %d batches: restore the file from your copy",
			path, s.cfg.Path(s.cfg.Journal.Folder), at)
	}
	made, err := keys.Create(keyStore(s.cfg), keys.Options{National: s.cfg.Keys.National, By: bySwitch("first start of the programme")})
	if err != nil {
		return nil, fmt.Errorf("keys.file: %w", err)
	}
	s.log.Info("created keys and their master key; keep copies of both in safe places, apart from each other",
		zap.String("store", path), zap.String("master_key_file", s.cfg.Path(s.cfg.Keys.LMKFile)))
	return made, nil
}

// sayWhoseKeys is the notice that the operator must see at every start.
func (s *Switch) sayWhoseKeys() {
	can := s.keys.Module().Capabilities()
	if can.Hardware {
		s.log.Info("keys are held by certified hardware", zap.String("module", can.Name))
		return
	}
	s.notice("软件密钥模块仅供演示；生产环境须使用经认证的加密机 – keys are held by software, which is for demonstration: the production default is a "+
		"certified HSM", zap.String("module", can.Name), zap.Stringer("store_under", s.keys.LMK()))
}
