package limit

import (
	"hash/maphash"
	"net"
	"net/netip"
	"sync"
)

// Sources tells senders apart.
type Sources struct {
	seed   maphash.Seed
	exempt []netip.Prefix
}

// NewSources makes one for the life of a process. Addresses in exempt have no limits.
func NewSources(exempt []netip.Prefix) *Sources {
	return &Sources{seed: maphash.MakeSeed(), exempt: exempt}
}

// Source is one sender. The zero Source has no limits.
type Source struct {
	number  uint64
	limited bool
}

// Limited reports whether there are limits for the sender.
func (s Source) Limited() bool { return s.limited }

// Number names the sender in a Table.
func (s Source) Number() uint64 { return s.number }

// Address is the sender at an address. One network of IPv6, /64, is one sender: whoever has it has all of its addresses.
func (s *Sources) Address(a net.Addr) Source {
	if s == nil {
		return Source{}
	}
	addr := addressOf(a)
	for _, p := range s.exempt {
		if p.Contains(addr) {
			return Source{}
		}
	}
	if addr.Is6() {
		if p, err := addr.WithZone("").Prefix(64); err == nil {
			addr = p.Addr()
		}
	}
	return Source{maphash.Comparable(s.seed, addr), true}
}

// addressOf is the zero Addr for what is no address of the internet: then all of these are one sender.
func addressOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	if a == nil {
		return netip.Addr{}
	}
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

// Named is the sender with a proven name, wherever it is.
func (s *Sources) Named(name string) Source {
	if s == nil {
		return Source{}
	}
	return Source{maphash.Comparable(s.seed, name), true}
}

// Within is a sender behind another, such as a terminal behind an address: the same terminal's name from elsewhere is another
// sender, so that nobody can use up what is another's.
func (s *Sources) Within(of Source, name []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	maphash.WriteComparable(&h, of.number)
	_, _ = h.Write(name)
	return h.Sum64()
}

// Holders counts what each sender holds. A nil Holders has no limit.
type Holders struct {
	most int

	mu   sync.Mutex // guards held
	held map[uint64]int
}

// NewHolders lets each sender hold so many, nil for no limit.
func NewHolders(most int) *Holders {
	if most <= 0 {
		return nil
	}
	return &Holders{most: most, held: map[uint64]int{}}
}

// Take counts one more, or reports that the sender holds as many as it may. Every Take that is true is followed by one Give.
func (h *Holders) Take(s Source) bool {
	if h == nil || !s.limited {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held[s.number] >= h.most {
		return false
	}
	h.held[s.number]++
	return true
}

// Give counts one less.
func (h *Holders) Give(s Source) {
	if h == nil || !s.limited {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held[s.number]--; h.held[s.number] <= 0 {
		delete(h.held, s.number)
	}
}
