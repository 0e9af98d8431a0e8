package terminal

import (
	"errors"
	"runtime"
	"sync"
	"time"

	"huanxin/switch/engine"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/wire"
)

// What stands between a line with keys and the engine: nothing of a message is believed before its MAC was found good under
// keys of the terminal that it names.
//
// A good MAC proves the connection too, for messages that need none of their own – once the engine has found its message new. One
// that was recorded elsewhere and is sent again has a good MAC, and proves nothing.
//
// A message whose MAC is wrong or missing is answered A0, changes nothing, and its terminal must sign on before anything else of
// it is taken – on the connection over which it came. On other connections the terminal goes on: whoever knows its number
// could otherwise silence it. A sign-on opens the connection again.
//
// No answer A0 carries a MAC. Its content is the sender's, so that it would be a MAC for whoever asks; and with the checksum
// of the dialect, which XORs all blocks, one over a text of his choice is one over any other of the same sum.

// macField is DE64, macSize how much of a MAC it holds.
const (
	macField = 64
	macSize  = 8
)

// badMAC is the code that asks a terminal to sign on.
var badMAC = [2]byte{'A', '0'}

// why a message is answered A0: the labels of a metric.
type fault uint8

const (
	faultNone    fault = iota
	faultWrong         // the MAC
	faultMissing       // the MAC
	faultNoKeys        // the terminal has none, or none that open
	faultBarred        // a fault came before, and no sign-on since
	faultUnknown       // nothing proves that the terminal has sent it
	faultCount
)

var (
	faultNames = [faultCount]string{"", "wrong", "missing", "no-keys", "sign-on-due", "unproved"}
	faultTexts = [faultCount]string{
		faultWrong: "报文校验失败，请重新签到", faultMissing: "报文缺少校验值，请重新签到", faultNoKeys: "终端未签到，请先签到",
		faultBarred: "报文校验曾失败，请先签到", faultUnknown: "终端身份未确认，请带校验值发送",
	}
)

// guards are what a connection has shown of the terminals on it. Most carry one; a concentrator's carries many.
type guards struct {
	mu    sync.Mutex // guards what follows
	first [8]byte
	known bool
	state shown
	more  map[[8]byte]shown
}

// shown is what one terminal has shown on a connection.
type shown struct {
	proved bool // a message that nobody had sent before, with a good MAC
	barred bool // a bad one, and no sign-on since
}

// maxGuards bounds the terminals that are remembered of one connection. When it is reached those but the first are forgotten:
// they have proved nothing and are not barred. Neither lets anything in: a message that counts has a MAC.
const maxGuards = 4096

func (g *guards) get(terminal [8]byte) shown {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.of(terminal)
}

// of is called with mu held.
func (g *guards) of(terminal [8]byte) shown {
	if g.known && g.first == terminal {
		return g.state
	}
	return g.more[terminal]
}

// set is called with mu held.
func (g *guards) set(terminal [8]byte, s shown) {
	switch {
	case !g.known || g.first == terminal:
		g.first, g.known, g.state = terminal, true, s
	case len(g.more) >= maxGuards:
		g.more = map[[8]byte]shown{terminal: s}
	case g.more == nil:
		g.more = map[[8]byte]shown{terminal: s}
	default:
		g.more[terminal] = s
	}
}

// prove says that a terminal has shown that it is there. One that is barred has to sign on first.
func (g *guards) prove(terminal [8]byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.of(terminal); s == (shown{}) {
		g.set(terminal, shown{proved: true})
	}
}

// bar shuts a terminal out until it signs on. What it had shown counts no more.
func (g *guards) bar(terminal [8]byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.set(terminal, shown{barred: true})
}

// open ends a bar.
func (g *guards) open(terminal [8]byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.of(terminal).barred {
		g.set(terminal, shown{})
	}
}

// guard lets the message of x pass, or answers it A0. Once it has passed with a MAC, x.mac is the key of its answer.
func (r *reader) guard() *refusal {
	x, l := r.x, r.x.port.Line
	if r.m.CopyField(x.terminal[:], 41) != len(x.terminal) {
		return wrong(field(41))
	}
	if x.kind == kindSignOn || x.kind == kindEcho {
		return nil
	}
	g := x.conn.Data.(*guards)
	has := g.get(x.terminal)
	why := faultBarred
	if !has.barred {
		why = r.judge(l, has)
	}
	if why == faultNone {
		return nil
	}
	r.front.m.faults[why].Inc()
	if why == faultWrong || why == faultMissing {
		g.bar(x.terminal)
	}
	x.renew = why != faultUnknown // which no sign-on mends
	return &refusal{badMAC, faultTexts[why]}
}

// judge tells what is wrong with how a message proves its sender.
func (r *reader) judge(l *Line, has shown) fault {
	proof := l.proof(r.x.kind)
	if r.m.Has(macField) {
		return r.verify(l)
	}
	entry := r.front.ring.find(ringKey{r.x.terminal, l.keys})
	switch {
	case proof == Unproved, proof == Proved && (has.proved || identified(r.x.conn)):
		return faultNone
	case entry == nil:
		return faultNoKeys
	case proof == Proved:
		return faultUnknown
	}
	return faultMissing
}

// identified tells whether the certificate of a connection names who speaks; whether it names the terminal is checked with DE41.
func identified(c *wire.Conn) bool { return c.Peer().Identity() != "" }

// verify checks DE64 over the received bytes, MTI to the last field before it (pos-dialect §7, §12), under the current keys, the
// pending ones, and for a while those before.
func (r *reader) verify(l *Line) fault {
	x := r.x
	if r.m.Next(macField) != 0 { // a field behind the MAC is not under it
		return faultWrong
	}
	if r.m.CopyField(r.mac[:], macField) != macSize {
		return faultWrong
	}
	e := r.front.ring.find(ringKey{x.terminal, l.keys})
	if e == nil {
		return faultNoKeys
	}
	k := e.keys.Load()
	opened := false
	for _, p := range [...]*ringPair{k.active, k.pending, k.previous} {
		if p == nil || p == k.previous && !k.overlaps(l.Overlap, x.at) {
			continue
		}
		key := r.front.ring.macKey(x.terminal, p)
		if key.err != nil {
			r.front.keyFailed(key.err)
			continue
		}
		opened = true
		err := r.front.cfg.Keys.Module.Verify(key.key, l.MAC, r.m.RawUpTo(macField), r.mac[:])
		runtime.KeepAlive(key)
		if err != nil {
			if !errors.Is(err, hsm.ErrMAC) {
				r.front.keyFailed(err)
			}
			continue
		}
		x.mac, x.pair = key, p
		x.renew = p == k.previous || p == k.active && x.at.Sub(time.Unix(0, p.ProvedAt)) > l.KeyAge
		if p == k.pending {
			r.front.proved(x.terminal, e, p, x.at)
		}
		return faultNone
	}
	if !opened {
		return faultNoKeys
	}
	return faultWrong
}

// overlaps tells whether the keys before are still accepted.
func (k *ringKeys) overlaps(overlap time.Duration, now time.Time) bool {
	return k.active == nil || now.Sub(time.Unix(0, k.active.ProvedAt)) < overlap
}

// proved says that pending keys have a good MAC under them, to the engine first: what it does not hear it hears with the next
// message. In the queue this stands before the message itself.
func (f *Front) proved(terminal [8]byte, e *ringEntry, p *ringPair, now time.Time) {
	if f.cfg.Submit(&engine.KeysProved{Terminal: terminal, Generation: p.Generation}, 0) != nil {
		return
	}
	f.m.proved.Inc()
	e.prove(p, now)
}

// seal appends the MAC of an answer: DE64 is its last field, and stands there with zeros so that the bitmap is right.
func (a *answerer) seal(x *exchange) error {
	at := len(a.packed) - a.codec.WireSize(macField)
	var err error
	a.mac, err = x.port.front.cfg.Keys.Module.MAC(a.mac[:0], x.mac.key, x.port.Line.MAC, a.packed[:at])
	runtime.KeepAlive(x.mac)
	if err != nil {
		return err
	}
	a.packed, err = a.codec.AppendValue(a.packed[:at], macField, a.mac[:macSize])
	return err
}
