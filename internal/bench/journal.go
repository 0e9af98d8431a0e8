package bench

import (
	"fmt"
	"path/filepath"

	"huanxin/internal/bench/client"
	"huanxin/internal/bench/seed"
	"huanxin/switch/event"
	"huanxin/switch/journal"
)

// Found looks every acknowledged purchase up in the journal of the state in dir, by the code that `huanxin journal cat`
// reads with: its hold must stand there, behind position `from`, under the terminal and STAN that were told. It says how many
// reserves and batches the journal has from there on.
func Found(dir string, from uint64, acks []client.Ack) (reserves, batches uint64, err error) {
	folder, err := journal.OpenFolder(filepath.Join(dir, "journal"), "")
	if err != nil {
		return 0, 0, err
	}
	type reserved struct {
		terminal string
		stan     uint32
	}
	holds := make(map[uint64]reserved, len(acks)) // by purchase
	err = folder.Replay(from+1, 0, func(b *journal.Batch) error {
		batches++
		for _, ev := range b.Events {
			body, ok := ev.Body.(*event.Event_Reserved)
			if !ok {
				continue
			}
			m := body.Reserved
			reserves++
			if m.Key != nil {
				holds[m.Purchase] = reserved{m.Key.Terminal, m.Key.Stan}
			}
		}
		return nil
	})
	if err != nil {
		return reserves, batches, err
	}
	for _, a := range acks {
		if holds[a.Hold] != (reserved{seed.Terminal(int(a.Terminal)), a.STAN}) {
			return reserves, batches, fmt.Errorf("hold %d was acknowledged to terminal %s, STAN %d, and is not in the journal",
				a.Hold, seed.Terminal(int(a.Terminal)), a.STAN)
		}
	}
	return reserves, batches, nil
}
