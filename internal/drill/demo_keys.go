package drill

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"huanxin/internal/simulator/secret"
	"huanxin/switch/keys"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/store"
)

// demoKeys is the file with the keys of the demonstration's terminals and network, in clear. They are drawn at the first start.
const demoKeys = "demo-keys.yaml"

// The terminals of the script that have keys.
const (
	secureTerminal = "21010008" // of 3DES
	smTerminal     = "21010009" // of SM4
)

// keyed are the settings of a switch whose network wants MACs and takes PIN blocks.
func keyed() []string {
	return []string{"HUANXIN_HOSTS_UNIONPAY_MAC=3des-cbc", "HUANXIN_HOSTS_UNIONPAY_PIN=iso-0"}
}

// drawKeys makes the file, once.
func (s *Site) drawKeys() (*secret.Book, error) {
	if _, err := os.Stat(s.file(demoKeys)); !errors.Is(err, fs.ErrNotExist) {
		return secret.Open(s.file(demoKeys))
	}
	var drawn [4]secret.Key
	for i := range drawn {
		drawn[i] = make([]byte, 16)
		if _, err := rand.Read(drawn[i]); err != nil {
			return nil, err
		}
	}
	book := &secret.Book{
		Terminals: map[string]secret.Terminal{
			secureTerminal: {Cipher: "3des", Master: drawn[0], Serial: "SIM-" + secureTerminal},
			smTerminal:     {Cipher: "sm4", Master: drawn[1], Serial: "SIM-" + smTerminal},
		},
		Network: &secret.Network{MAC: "3des-cbc", MACKey: drawn[2], PIN: "iso-0", Cipher: "3des", PINKey: drawn[3]},
	}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, err
	}
	return book, book.Write(s.file(demoKeys))
}

// handOver forms the keys of the book in the switch's store, of two components each as in a ceremony; those that are there stay. It
// reports whether there were any.
func (s *Site) handOver(book *secret.Book) (formed bool, err error) {
	opened, err := store.Open(keys.Config(s.file("keys/keys.yaml"), s.file("keys/lmk"), os.Getenv))
	if err != nil {
		return false, fmt.Errorf("open the switch's keys: %w", err)
	}
	by := store.Authority{By: "演示", Second: "演示乙", Reason: "keys of the demonstration's terminals and network"}
	err = opened.Edit(by, func(e *store.Edit) error {
		for _, k := range []struct {
			label     string
			algorithm hsm.Algorithm
			key       secret.Key
		}{
			{"tmk/group/demo", hsm.TDES, book.Terminals[secureTerminal].Master},
			{"tmk/group/demo-sm4", hsm.SM4, book.Terminals[smTerminal].Master},
			{"host/unionpay/zak", hsm.TDES, book.Network.MACKey},
			{"host/unionpay/zpk", hsm.TDES, book.Network.PINKey},
		} {
			if _, there := opened.Find(k.label); there {
				continue
			}
			one, other := make([]byte, len(k.key)), make([]byte, len(k.key))
			if _, err := rand.Read(one); err != nil {
				return err
			}
			for i := range other {
				other[i] = one[i] ^ k.key[i]
			}
			if _, err := e.Form(store.Wanted{Label: k.label, Algorithm: k.algorithm, Length: len(k.key)}, one, other); err != nil {
				return err
			}
			formed = true
		}
		return nil
	})
	return formed, err
}

// startKeyed starts the switch with the keys of the book in its store. The first start makes the store, and reads it before it has
// them: then the switch is started again.
func (s *Site) startKeyed(ctx context.Context, book *secret.Book) error {
	if err := s.StartServe(ctx); err != nil {
		return err
	}
	formed, err := s.handOver(book)
	if err != nil || !formed {
		return err
	}
	s.say("密钥已交给交换（口令分量合成） · keys of terminals and network formed in the switch's store")
	if err := s.Serve.Stop(stopLimit); err != nil {
		return err
	}
	return s.StartServe(ctx)
}
