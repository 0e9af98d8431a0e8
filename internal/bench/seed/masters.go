package seed

import (
	"crypto/rand"
	"fmt"

	"huanxin/internal/simulator/secret"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/store"
)

// Master forms a new master key of a group of terminals in the store of the state folder dir, of two components as in a ceremony, and
// returns it as it is injected into terminals. No switch may run on the folder that has read its store.
func Master(dir, group string, cipher hsm.Algorithm) (secret.Key, error) {
	const size = 16
	one, other, master := make([]byte, size), make([]byte, size), make(secret.Key, size)
	for _, component := range [][]byte{one, other} {
		if _, err := rand.Read(component); err != nil {
			return nil, err
		}
	}
	for i := range master {
		master[i] = one[i] ^ other[i]
	}
	opened, err := store.Open(keyStore(dir))
	if err != nil {
		return nil, fmt.Errorf("open the keys of %s: %w", dir, err)
	}
	by := seeder
	by.Second = "bench seed's other half"
	err = opened.Edit(by, func(e *store.Edit) error {
		_, err := e.Form(store.Wanted{Label: "tmk/group/" + group, Algorithm: cipher, Length: size}, one, other)
		return err
	})
	return master, err
}
