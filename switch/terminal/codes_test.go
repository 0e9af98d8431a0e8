package terminal

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/subsidy/reason"
	"huanxin/switch/engine"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/stage"
)

// codeRow is one row of the table of answer codes.
type codeRow struct {
	codes  []string // "others" stands for any that the switch does not make
	texts  []*regexp.Regexp
	silent bool // the card network's table has the text: SC may be absent
	reason bool // the text may be that of reasons
}

// codeRows reads the table of the document.
func codeRows(t *testing.T) (rows []codeRow) {
	for _, cells := range rowsUnder(t, "### Answer codes (DE39)") {
		require.Len(t, cells, 7, "%v", cells)
		for i, cell := range cells {
			require.NotEmpty(t, cell, "row %s, column %d", cells[0], i)
		}
		row := codeRow{codes: strings.Fields(strings.ReplaceAll(cells[0], "`", ""))}
		says, own := strings.CutSuffix(cells[2], " (SC)")
		for _, text := range strings.Split(says, " / ") {
			switch text {
			case "the card network's table":
				row.silent = true
			case "text of SB":
				row.reason = true
			default:
				require.True(t, own, "row %s: %q is said by the switch", cells[0], text)
				row.texts = append(row.texts, regexp.MustCompile("^"+strings.ReplaceAll(regexp.QuoteMeta(text), "…", ".*")+"$"))
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// says tells whether the row promises this text.
func (r *codeRow) says(text string) bool {
	return slices.ContainsFunc(r.texts, func(want *regexp.Regexp) bool { return want.MatchString(text) })
}

// provocation makes the switch answer a code.
type provocation struct {
	name   string
	issuer bool          // the code is the issuer's: it comes without a text of ours
	sb     reason.Code   // the reason that must be among those given
	front  func(*Config) // change of the configuration
	run    func(l *lab) fields
}

var provocations = map[string][]provocation{
	"00": {
		{name: "sale", issuer: true, run: func(l *lab) fields { return l.buy().answer }},
		{name: "reserve", run: func(l *lab) fields { code, _ := l.code(); return l.ask(l.reserving(code)) }},
		{name: "void", issuer: true, run: func(l *lab) fields { return l.ask(l.void(l.buy())) }},
		{name: "refund", issuer: true, run: func(l *lab) fields { return l.ask(l.refund(l.buy())) }},
		{name: "balance", issuer: true, run: func(l *lab) fields { return l.ask(l.next(balance)) }},
		{name: "pre-authorisation", issuer: true, run: func(l *lab) fields { return l.ask(l.next(preauth)) }},
		{name: "completion", issuer: true, run: func(l *lab) fields { return l.ask(l.next(completion)) }},
		{name: "reversal of a sale", run: func(l *lab) fields { return l.ask(undo(l.buy().request)) }},
		{name: "reversal of a void", run: func(l *lab) fields {
			v := l.void(l.buy())
			l.ask(v)
			return l.ask(undo(v))
		}},
		{name: "status", run: func(l *lab) fields { l.buy(); return l.ask(l.next(status)) }},
		{name: "settlement that is equal", run: func(l *lab) fields {
			return l.ask(l.next(settlement, fields{48: strings.Repeat("0", 62)}))
		}},
		{name: "settlement that is not", run: func(l *lab) fields { return l.ask(l.next(settlement)) }},
		{name: "upload", run: func(l *lab) fields { l.ask(l.next(settlement)); return l.ask(l.next(upload)) }},
		{name: "end of upload", run: func(l *lab) fields { l.ask(l.next(settlement)); return l.ask(l.next(uploadEnd)) }},
		{name: "script result", run: func(l *lab) fields { return l.ask(l.next(script)) }},
		{name: "certificate", run: func(l *lab) fields { return l.ask(l.next(certificate)) }},
		{name: "state", run: func(l *lab) fields { return l.ask(l.next(state)) }},
		{name: "sign-on", run: func(l *lab) fields { return l.ask(signOn) }},
	},
	"11": approvals("11"), "A2": approvals("A2"), "A4": approvals("A4"), "A5": approvals("A5"), "A6": approvals("A6"),
	"03": {
		{name: "unknown merchant", run: func(l *lab) fields { return l.ask(l.ordinary().with(fields{42: "898210157229999"})) }},
		{name: "another terminal's merchant", run: func(l *lab) fields { return l.ask(l.ordinary().with(fields{42: "898210157320002"})) }},
		{name: "suspended merchant", run: func(l *lab) fields {
			return l.ask(l.ordinary().with(fields{41: "21010011", 42: "898210157220006"}))
		}},
		{name: "stopped merchant", sb: reason.Stopped, run: func(l *lab) fields {
			l.operate(engine.Kill{Merchant: "898210157220001"})
			return l.ask(l.ordinary())
		}},
	},
	"12": {
		{name: "hold expired", sb: reason.HoldExpired, run: func(l *lab) fields {
			code, _ := l.code()
			pay := l.paying(l.ask(l.reserving(code)))
			l.pass(4 * time.Minute)
			return l.ask(pay)
		}},
		{name: "hold cancelled", sb: reason.HoldCancelled, run: func(l *lab) fields {
			code, _ := l.code()
			pay := l.paying(l.ask(l.reserving(code)))
			l.ask(l.next(cancel, fields{59: pay[59]}))
			return l.ask(pay)
		}},
		{name: "hold of another terminal", sb: reason.HoldOtherParty, run: func(l *lab) fields {
			code, _ := l.code()
			return l.ask(l.paying(l.ask(l.reserving(code))).with(fields{41: "21010002"}))
		}},
		{name: "void after settlement", sb: reason.VoidClosed, run: func(l *lab) fields {
			d := l.buy()
			l.ask(l.next(settlement))
			return l.ask(l.void(d).with(fields{60: "23000002000501"}))
		}},
		{name: "void after the cut-over", sb: reason.VoidClosed, run: func(l *lab) fields {
			d := l.buy()
			l.pass(24 * time.Hour)
			return l.ask(l.void(d))
		}},
		{name: "void of what was declined", sb: reason.OriginalNotCaptured, run: func(l *lab) fields {
			l.says = "51"
			request := l.ordinary()
			return l.ask(l.void(deal{request, l.ask(request)}))
		}},
		{name: "reversal of a refund", sb: reason.RefundNotReversible, run: func(l *lab) fields {
			f := l.refund(l.buy())
			l.ask(f)
			return l.ask(undo(f))
		}},
		{name: "reversal of what was declined", run: func(l *lab) fields {
			l.says = "51"
			request := l.ordinary()
			l.ask(request)
			return l.ask(undo(request))
		}},
		{name: "reversal of a balance inquiry", run: func(l *lab) fields {
			request := l.next(balance)
			l.ask(request)
			return l.ask(undo(request).with(fields{4: "000000000000"}))
		}},
		{name: "refund that has failed", run: func(l *lab) fields {
			f := l.refund(l.buy())
			l.later(f)
			l.operate(engine.ResolveItem{ID: "F1", Outcome: "failed"})
			return l.ask(f)
		}},
		{name: "void, by the issuer", issuer: true, run: func(l *lab) fields {
			d := l.buy()
			l.says = "12"
			return l.ask(l.void(d))
		}},
	},
	"13": {
		{name: "the gross price", sb: reason.PayableMismatch, run: func(l *lab) fields {
			code, _ := l.code()
			return l.ask(l.paying(l.ask(l.reserving(code))).with(fields{4: "000000599900"}))
		}},
		{name: "zero", run: func(l *lab) fields { return l.ask(l.ordinary().with(fields{4: "000000000000"})) }},
	},
	"14": {
		{name: "void with another card", sb: reason.NotOriginalCard, run: func(l *lab) fields {
			return l.ask(l.void(l.buy()).with(fields{2: "6224240000000025", 35: ""}))
		}},
		{name: "refund to another card", sb: reason.NotOriginalCard, run: func(l *lab) fields {
			return l.ask(l.refund(l.buy()).with(fields{2: "6224240000000025"}))
		}},
		{name: "by the issuer", issuer: true, run: func(l *lab) fields { l.says = "14"; return l.ask(l.ordinary()) }},
	},
	"22": {
		{name: "sale on a used hold", sb: reason.HoldConsumed, run: func(l *lab) fields {
			d := l.buy()
			return l.ask(l.next(d.request))
		}},
		{name: "cancel under a sale", sb: reason.HoldConsumed, run: func(l *lab) fields {
			return l.ask(l.next(cancel, fields{59: l.buy().request[59]}))
		}},
		{name: "void of what has no end", sb: reason.OriginalNotCaptured, run: func(l *lab) fields {
			l.says = ""
			request := l.ordinary()
			l.send(request)
			return l.ask(l.void(deal{request, nil}))
		}},
		{name: "void of what was voided", sb: reason.OriginalUndone, run: func(l *lab) fields {
			d := l.buy()
			l.ask(l.void(d))
			return l.ask(l.void(d))
		}},
		{name: "refund of what was refunded", sb: reason.OriginalUndone, run: func(l *lab) fields {
			d := l.buy()
			l.ask(l.refund(d))
			return l.ask(l.refund(d))
		}},
		{name: "refund while a void is being taken back", sb: reason.OriginalBusy, run: func(l *lab) fields {
			d := l.buy()
			l.later(l.void(d))
			return l.ask(l.refund(d))
		}},
		{name: "refund after the window", sb: reason.RefundClosed, run: func(l *lab) fields {
			d := l.buy()
			l.pass(40 * 24 * time.Hour)
			return l.ask(l.refund(d))
		}},
		{name: "reversal after the next sale", sb: reason.ReversalTooLate, run: func(l *lab) fields {
			d := l.buy()
			l.made(l.ordinary())
			return l.ask(undo(d.request))
		}},
		{name: "reversal of a void after its quarantine", sb: reason.ReversalTooLate, run: func(l *lab) fields {
			v := l.void(l.buy())
			l.ask(v)
			l.pass(11 * time.Minute)
			return l.ask(undo(v))
		}},
	},
	"25": {
		{name: "sale on no hold", sb: reason.HoldUnknown, run: func(l *lab) fields {
			return l.ask(l.next(sale, fields{55: "", 59: text59("S7", "000000000099")}))
		}},
		{name: "void of nothing", run: func(l *lab) fields {
			return l.ask(l.next(void))
		}},
		{name: "refund with the date of another day", sb: reason.OriginalMismatch, run: func(l *lab) fields {
			f := l.refund(l.buy())
			return l.ask(f.with(fields{61: f[61][:12] + "0101"}))
		}},
		{name: "status of nothing", run: func(l *lab) fields { return l.ask(l.next(status)) }},
		{name: "reversal of nothing", run: func(l *lab) fields { return l.ask(undo(l.ordinary())) }},
	},
	"30": {
		{name: "no entry mode", run: func(l *lab) fields { return l.ask(l.ordinary().with(fields{22: ""})) }},
		{name: "no hold where a code is", run: func(l *lab) fields { return l.ask(l.next(sale, fields{59: text59("S1", "1")})) }},
		{name: "chip data that is none", run: func(l *lab) fields { return l.ask(l.next(sale, fields{55: "9F02"})) }},
		{name: "two cards", run: func(l *lab) fields { return l.ask(l.ordinary().with(fields{2: "6224240000000025"})) }},
		{name: "records that were not counted", run: func(l *lab) fields { return l.ask(l.next(upload, fields{48: "03" + cardRecord})) }},
	},
	"40": {
		{name: "offline sale", run: func(l *lab) fields { return l.ask(l.ordinary().with(fields{0: "0220", 60: "30000001000"})) }},
		{name: "adjustment", run: func(l *lab) fields { return l.ask(l.ordinary().with(fields{0: "0220", 60: "32000001000"})) }},
		{name: "tip", run: func(l *lab) fields { return l.ask(l.ordinary().with(fields{0: "0220", 60: "34000001000"})) }},
		{name: "completion as a notice", run: func(l *lab) fields { return l.ask(l.ordinary().with(fields{0: "0220", 60: "24000001000"})) }},
		{name: "pre-authorisation on a hold", run: func(l *lab) fields {
			return l.ask(l.next(preauth, fields{59: text59("S7", "000000000001")}))
		}},
		{name: "dollars", run: func(l *lab) fields { return l.ask(l.ordinary().with(fields{49: "840"})) }},
		{name: "PIN", run: func(l *lab) fields { return l.ask(l.ordinary().with(fields{52: "FA36989B212B5950"})) }},
		{name: "parameters", run: func(l *lab) fields { return l.ask(signOn.with(fields{60: "00000001370"})) }},
		{name: "message type", run: func(l *lab) fields { return l.ask(l.ordinary().with(fields{0: "0120"})) }},
	},
	"51": {
		{name: "by the issuer", issuer: true, run: func(l *lab) fields { l.says = "51"; return l.ask(l.ordinary()) }},
		{name: "a part by the issuer", run: func(l *lab) fields { l.says, l.part = "10", 5000; return l.ask(l.ordinary()) }},
		{name: "less than asked", run: func(l *lab) fields { l.part = 5000; return l.ask(l.ordinary()) }},
	},
	"57": {
		{name: "no rate", sb: reason.GradeNotEligible, run: func(l *lab) fields {
			code, _ := l.code()
			return l.ask(l.next(reserve, fields{59: text59("S1", code, "S2", "6901234101119")}))
		}},
		{name: "code of yesterday", sb: reason.CodeExpired, run: func(l *lab) fields {
			code, _ := l.code()
			l.pass(2 * time.Minute)
			return l.ask(l.reserving(code))
		}},
		{name: "entitlement in a refund", sb: reason.EntitlementUnavailable, run: func(l *lab) fields {
			code, spare := l.code()
			d := l.made(l.paying(l.ask(l.reserving(code))))
			l.says = ""
			l.send(l.refund(d))
			return l.ask(l.reserving(spare))
		}},
		{name: "by the issuer", issuer: true, run: func(l *lab) fields { l.says = "57"; return l.ask(l.ordinary()) }},
	},
	"58": {
		{name: "suspended terminal", run: func(l *lab) fields { return l.ask(l.ordinary().with(fields{41: "21010012"})) }},
		{name: "stopped terminal", sb: reason.Stopped, run: func(l *lab) fields {
			l.operate(engine.Kill{Terminal: "21010001"})
			return l.ask(l.ordinary())
		}},
	},
	"64": {
		{name: "reversal over another amount", run: func(l *lab) fields { return l.ask(undo(l.buy().request).with(fields{4: "000000000001"})) }},
		{name: "void of a part", sb: reason.OriginalMismatch, run: func(l *lab) fields {
			return l.ask(l.void(l.buy()).with(fields{4: "000000000001"}))
		}},
		{name: "refund above the sale", sb: reason.RefundExceeds, run: func(l *lab) fields {
			return l.ask(l.refund(l.made(l.ordinary())).with(fields{4: "000000012901"}))
		}},
		{name: "refund of a part", sb: reason.RefundWholeOnly, run: func(l *lab) fields {
			return l.ask(l.refund(l.buy()).with(fields{4: "000000000100"}))
		}},
	},
	"68": {
		{name: "wallet payment", sb: reason.OutcomePending, front: toWallet, run: func(l *lab) fields { return l.later(l.wallet()) }},
		{name: "wallet void", sb: reason.OutcomePending, front: toWallet, run: func(l *lab) fields {
			return l.later(l.void(l.made(l.wallet())))
		}},
		{name: "wallet refund", sb: reason.OutcomePending, front: toWallet, run: func(l *lab) fields {
			return l.later(l.refund(l.made(l.wallet())))
		}},
	},
	"77": {
		{name: "batch that is not open", run: func(l *lab) fields { return l.ask(l.ordinary().with(fields{60: "22000007000501"})) }},
		{name: "signed off", run: func(l *lab) fields {
			l.ask(signOn.with(fields{0: "0820", 60: "00000001002"}))
			return l.ask(l.ordinary())
		}},
		{name: "upload before settlement", run: func(l *lab) fields { return l.ask(l.next(upload)) }},
	},
	"91": {
		{name: "sale", run: func(l *lab) fields { l.unsent = true; return l.ask(l.ordinary()) }},
		{name: "void", run: func(l *lab) fields { d := l.buy(); l.unsent = true; return l.ask(l.void(d)) }},
		{name: "refund", run: func(l *lab) fields { d := l.buy(); l.unsent = true; return l.ask(l.refund(d)) }},
		{name: "balance", run: func(l *lab) fields { l.unsent = true; return l.ask(l.next(balance)) }},
	},
	"92": {
		{name: "no profile", front: func(c *Config) { c.QRHost = "nowhere" }, run: func(l *lab) fields { return l.ask(l.wallet()) }},
		{name: "balance of a wallet", front: toWallet, run: func(l *lab) fields {
			return l.ask(l.next(balance, fields{2: "", 14: "", 22: "032", 23: "", 35: "", 59: text59("A3", payment)}))
		}},
	},
	"94": {
		{name: "one STAN for two sales", run: func(l *lab) fields {
			d := l.made(l.ordinary())
			return l.ask(d.request.with(fields{4: "000000000001"}))
		}},
		{name: "sale after its reversal", run: func(l *lab) fields {
			d := l.buy()
			l.ask(undo(d.request))
			return l.ask(d.request)
		}},
		{name: "balance again", run: func(l *lab) fields {
			request := l.next(balance)
			l.ask(request)
			return l.ask(request)
		}},
	},
	"96": {
		{name: "queue is full", front: func(c *Config) { c.Submit = func(any, stage.Instant) error { return errFull } },
			run: func(l *lab) fields { return l.ask(l.ordinary()) }},
		{name: "something new in an overload", front: func(c *Config) { c.TurnsAway = func() bool { return true } },
			run: func(l *lab) fields { return l.ask(l.next(reserve)) }},
		{name: "given up before its turn", sb: reason.RequestStale, run: func(l *lab) fields {
			l.givenUp = true
			return l.ask(l.ordinary())
		}},
		{name: "settlement of an open sale", run: func(l *lab) fields {
			l.says = ""
			l.send(l.ordinary())
			return l.ask(l.next(settlement))
		}},
		{name: "too many resends", run: func(l *lab) fields {
			l.says = ""
			request := l.ordinary()
			for range 8 {
				l.send(request)
			}
			return l.ask(request)
		}},
	},
	"97": {{name: "unknown terminal", run: func(l *lab) fields { return l.ask(l.ordinary().with(fields{41: "99999999"})) }}},
	"98": {
		{name: "sale", run: func(l *lab) fields { return l.later(l.ordinary()) }},
		{name: "void", run: func(l *lab) fields { return l.later(l.void(l.buy())) }},
		{name: "refund", sb: reason.OutcomePending, run: func(l *lab) fields { return l.later(l.refund(l.buy())) }},
		{name: "balance", run: func(l *lab) fields { return l.later(l.next(balance)) }},
		{name: "pre-authorisation", run: func(l *lab) fields { return l.later(l.next(preauth)) }},
	},
	"99": {
		{name: "PIN", front: withLine, run: func(l *lab) fields {
			return l.secured(l.ordinary().with(fields{52: "0000000000000000", 53: "1600000000000000"}))
		}},
		{name: "PIN of a reserve", front: withLine, run: func(l *lab) fields {
			return l.secured(l.next(reserve, fields{52: "0000000000000000", 53: "2600000000000000"}))
		}},
		{name: "PIN of a QR sale", front: withLine, run: func(l *lab) fields {
			return l.secured(l.wallet().with(fields{52: "0000000000000000", 53: "2600000000000000"}))
		}},
		{name: "issuer", issuer: true, run: func(l *lab) fields { l.says = "99"; return l.ask(l.ordinary()) }},
	},
	"A0": {
		{name: "no keys", front: withLine, run: func(l *lab) fields { return l.ask(l.ordinary()) }},
		{name: "wrong", front: withLine, run: func(l *lab) fields {
			l.secured(l.next(balance))
			return l.ask(l.ordinary().with(fields{64: "3030303030303030"}))
		}},
		{name: "missing", front: withLine, run: func(l *lab) fields { l.secured(l.next(balance)); return l.ask(l.ordinary()) }},
		{name: "barred", front: withLine, run: func(l *lab) fields {
			l.secured(l.next(balance))
			l.ask(l.ordinary())
			return l.ask(l.ordinary())
		}},
		{name: "unproved", front: withLine, run: func(l *lab) fields {
			l.loadKeys()
			return l.ask(l.next(settlement))
		}},
		{name: "issuer", issuer: true, run: func(l *lab) fields { l.says = "A0"; return l.ask(l.ordinary()) }},
	},
	"A7": {
		{name: "no master key", front: withLine, run: func(l *lab) fields {
			l.front.cfg.Keys.Masters.(*masters).groups = nil
			return l.ask(signOn)
		}},
		{name: "no keys for PINs", front: withLine, run: func(l *lab) fields {
			l.front.cfg.Keys.PINs = nil
			return l.secured(l.ordinary().with(fields{52: "0000000000000000", 53: "2600000000000000"}))
		}},
		{name: "issuer", issuer: true, run: func(l *lab) fields { l.says = "A7"; return l.ask(l.ordinary()) }},
	},
	"others": {
		{name: "sale", issuer: true, run: func(l *lab) fields { l.says = "61"; return l.ask(l.ordinary()) }},
		{name: "void", issuer: true, run: func(l *lab) fields { d := l.buy(); l.says = "05"; return l.ask(l.void(d)) }},
		{name: "refund", issuer: true, run: func(l *lab) fields { d := l.buy(); l.says = "01"; return l.ask(l.refund(d)) }},
		{name: "pre-authorisation", issuer: true, run: func(l *lab) fields { l.says = "54"; return l.ask(l.next(preauth)) }},
		{name: "balance", issuer: true, run: func(l *lab) fields { l.says = "55"; return l.ask(l.next(balance)) }},
	},
}

// approvals are the sales that an issuer approves with a code of its own.
func approvals(code string) []provocation {
	return []provocation{{name: "sale", issuer: true, run: func(l *lab) fields { l.says = code; return l.ask(l.ordinary()) }}}
}

// withLine gives the port keys.
func withLine(c *Config) {
	module, m, err := makeModule()
	if err != nil {
		panic(err)
	}
	c.Keys = &Keys{Module: module, Masters: m, PINs: &hostPINs{module: module}}
	c.Ports[0].Line = &Line{Cipher: hsm.TDES, Group: "3des"}
}

// loadKeys gives the terminal of the examples working keys, as the engine would have them after a restart.
func (l *lab) loadKeys() keySet {
	terminal, line := [8]byte([]byte(sale[41])), l.front.ports[0].Line
	set, err := generate(l.front.cfg.Keys.Module, terminal, line.sort())
	require.NoError(l.t, err)
	l.front.LoadKeys(inUse(terminal, line, set, l.clock.Load()))
	return set
}

// secured asks with a good MAC.
func (l *lab) secured(f fields) fields {
	set := l.loadKeys()
	raw := encode(l.t, l.codec, f.with(fields{64: "0000000000000000"}))
	mac, err := l.front.cfg.Keys.Module.MAC(nil, set.keys[macKey], hsm.CUPECB, raw[:len(raw)-macSize])
	require.NoError(l.t, err)
	copy(raw[len(raw)-macSize:], mac)
	return l.askRaw(raw)
}

func toWallet(c *Config) { c.QRHost = "wallet" }

// Every row of the document's table is provoked, through the front and the engine, and says what the row promises. Every
// reason that is given with a code stands with that code in the table of reasons, and what that table promises beyond a
// refused reserve is given.
func TestDocumentAnswerCodesAreProvoked(t *testing.T) {
	given := map[string]map[string]bool{} // reason → codes
	provoked := map[string]bool{}
	rows := codeRows(t)
	for _, row := range rows {
		for _, code := range row.codes {
			require.NotEmpty(t, provocations[code], "row %s is provoked", code)
			provoked[code] = true
			for _, p := range provocations[code] {
				t.Run(code+" "+p.name, func(t *testing.T) {
					got := p.run(newLab(t, p.front))
					if code == "others" {
						require.NotContains(t, codesOf(rows), got[39], "it has no row of its own")
					} else {
						require.Equal(t, code, got[39], "%v %v", tag59Of(got, "SB"), tag59Of(got, "SC"))
					}
					requireRowsText(t, &row, &p, got)
					for _, name := range tag59Of(got, "SB") {
						if given[name] == nil {
							given[name] = map[string]bool{}
						}
						given[name][got[39]] = true
					}
				})
			}
		}
	}
	for code := range provocations {
		require.True(t, provoked[code], "%s has a row", code)
	}
	for _, cells := range rowsUnder(t, "### Refusal reasons (SB)") {
		name := strings.Trim(cells[0], "`")
		promised := strings.Split(cells[2], ", ")
		for code := range given[name] {
			require.Contains(t, promised, code, "%s is given with %s", name, code)
		}
		for _, code := range promised {
			if code != "57" && code != "HTTP" && code != "—" {
				require.True(t, given[name][code], "%s is promised with %s", name, code)
			}
		}
	}
}

func codesOf(rows []codeRow) (codes []string) {
	for _, r := range rows {
		codes = append(codes, r.codes...)
	}
	return codes
}

// requireRowsText demands the text that the row promises: none of ours where the issuer speaks, that of the reasons where
// there are some, else one of the row's own.
func requireRowsText(t *testing.T, row *codeRow, p *provocation, got fields) {
	reasons, text := tag59Of(got, "SB"), tag59Of(got, "SC")
	if p.sb != reason.None {
		require.Contains(t, reasons, p.sb.String())
	}
	switch {
	case len(reasons) > 0:
		require.True(t, row.reason, "the row speaks of reasons")
		var texts []string
		for _, c := range reason.All() {
			if slices.Contains(reasons, c.String()) {
				texts = append(texts, c.Text().ZH)
			}
		}
		require.Equal(t, []string{strings.Join(texts, "；")}, text)
	case p.issuer:
		require.Empty(t, text)
	case len(text) == 0:
		require.True(t, row.silent, "the row promises a text")
	default:
		require.True(t, row.says(text[0]), "%s is not promised", text[0])
	}
}

// What the code can answer by itself stands in the table: every code and every fixed text.
func TestDocumentListsEveryCodeAndTextOfTheSwitch(t *testing.T) {
	rows := map[string]*codeRow{}
	for _, row := range codeRows(t) {
		for _, code := range row.codes {
			require.NotContains(t, rows, code, "%s stands twice", code)
			rows[code] = &row
		}
	}
	for _, list := range append(slices.Collect(maps.Values(kindTexts)), codeTexts) {
		for code, text := range list {
			row := rows[string(code[:])]
			require.NotNil(t, row, "%s", code)
			require.True(t, row.says(text), "%s: %s is missing", code, text)
		}
	}
	for _, text := range slices.Collect(maps.Values(notTaken)) {
		require.True(t, rows["40"].says(text), text)
	}
	found := literalsOf(t, "../engine")
	own := literalsOf(t, ".")
	require.Greater(t, len(found.codes), 15, "the engine's codes are found")
	require.Greater(t, len(own.codes), 15, "the front's codes are found")
	for code, where := range found.codes {
		require.NotNil(t, rows[code], "%s of %s is missing", code, where)
	}
	for code, where := range own.codes {
		require.NotNil(t, rows[code], "%s of %s is missing", code, where)
	}
	for text, where := range found.texts {
		require.True(t, slices.ContainsFunc(slices.Collect(maps.Values(rows)), func(r *codeRow) bool { return r.says(text) }),
			"%s of %s is missing", text, where)
	}
}

// literals are the answer codes and the cashier's texts that a package is written with, and where.
type literals struct{ codes, texts map[string]string }

// literalsOf reads the sources of a package: rc("98"), Response: "91", [2]byte{'9', '1'}, and Text: "…" or a format of it.
func literalsOf(t *testing.T, dir string) literals {
	out := literals{map[string]string{}, map[string]string{}}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	set := token.NewFileSet()
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, path, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			if f, ok := n.(*ast.FuncDecl); ok && f.Name.Name == "cause" {
				return false // DE39 of a reversal is no answer
			}
			out.look(n, func(n ast.Node) string { return set.Position(n.Pos()).String() })
			return true
		})
	}
	return out
}

func (l *literals) look(n ast.Node, where func(ast.Node) string) {
	switch n := n.(type) {
	case *ast.CallExpr:
		if name, ok := n.Fun.(*ast.Ident); ok && name.Name == "rc" {
			if code, ok := text(n.Args[0]); ok {
				l.codes[code] = where(n)
			}
		}
	case *ast.KeyValueExpr:
		key, _ := n.Key.(*ast.Ident)
		if key == nil {
			return
		}
		value, ok := text(n.Value)
		if call, formatted := n.Value.(*ast.CallExpr); formatted && len(call.Args) > 0 {
			value, ok = text(call.Args[0])
			value = regexp.MustCompile(`%[0-9]*[a-z]`).ReplaceAllString(value, "7")
		}
		if ok && key.Name == "Response" && len(value) == 2 {
			l.codes[value] = where(n)
		}
		if ok && key.Name == "Text" {
			l.texts[value] = where(n)
		}
	case *ast.CompositeLit:
		if len(n.Elts) == 2 {
			a, first := character(n.Elts[0])
			b, second := character(n.Elts[1])
			if first && second {
				l.codes[a+b] = where(n)
			}
		}
	}
}

// text is the value of a string literal.
func text(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	value, err := strconv.Unquote(lit.Value)
	return value, err == nil
}

// character is the value of a rune literal.
func character(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.CHAR {
		return "", false
	}
	value, err := strconv.Unquote(lit.Value)
	return value, err == nil
}
