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

// sharedKeys are what the network says of itself in a book of keys, to the settings of keyed.
func sharedKeys(mac, pin secret.Key) *secret.Network {
	return &secret.Network{MAC: "3des-cbc", MACKey: mac, PIN: "iso-0", Cipher: "3des", PINKey: pin}
}

func drawKey() secret.Key {
	key := make(secret.Key, 16)
	_, _ = rand.Read(key) // it ends the process rather than fail
	return key
}

// drawKeys makes the file, once.
func (s *Site) drawKeys() (*secret.Book, error) {
	if _, err := os.Stat(s.file(demoKeys)); !errors.Is(err, fs.ErrNotExist) {
		return secret.Open(s.file(demoKeys))
	}
	var drawn [4]secret.Key
	for i := range drawn {
		drawn[i] = drawKey()
	}
	book := &secret.Book{
		Terminals: map[string]secret.Terminal{
			secureTerminal: {Cipher: "3des", Master: drawn[0], Serial: "SIM-" + secureTerminal},
			smTerminal:     {Cipher: "sm4", Master: drawn[1], Serial: "SIM-" + smTerminal},
		},
		Network: sharedKeys(drawn[2], drawn[3]),
	}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, err
	}
	return book, book.Write(s.file(demoKeys))
}

// handed is a key of terminals or network that the switch's store is to have too.
type handed struct {
	label     string
	algorithm hsm.Algorithm
	key       secret.Key
}

// ofNetwork are the keys that the simulated network and the switch share.
func ofNetwork(n *secret.Network) []handed {
	return []handed{{"host/unionpay/zak", hsm.TDES, n.MACKey}, {"host/unionpay/zpk", hsm.TDES, n.PINKey}}
}

// handOver forms keys in the switch's store, of two components each as in a ceremony; those that are there stay. It reports whether
// there were any.
func (s *Site) handOver(by store.Authority, list []handed) (formed bool, err error) {
	opened, err := store.Open(keys.Config(s.file("keys/keys.yaml"), s.file("keys/lmk"), os.Getenv))
	if err != nil {
		return false, fmt.Errorf("open the switch's keys: %w", err)
	}
	err = opened.Edit(by, func(e *store.Edit) error {
		for _, k := range list {
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
	by := store.Authority{By: "演示", Second: "演示乙", Reason: "keys of the demonstration's terminals and network"}
	formed, err := s.handOver(by, append([]handed{
		{"tmk/group/demo", hsm.TDES, book.Terminals[secureTerminal].Master},
		{"tmk/group/demo-sm4", hsm.SM4, book.Terminals[smTerminal].Master},
	}, ofNetwork(book.Network)...))
	if err != nil || !formed {
		return err
	}
	s.say("密钥已交给交换（口令分量合成） · keys of terminals and network formed in the switch's store")
	if err := s.Serve.Stop(stopLimit); err != nil {
		return err
	}
	return s.StartServe(ctx)
}
