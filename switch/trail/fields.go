package trail

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"huanxin/internal/money"
	"huanxin/subsidy/policy"
	"huanxin/switch/event"
)

// fields are those of one ISO 8583 message, in the order of their numbers.
type fields []Field

func (f *fields) add(name, value string) { *f = appendField(*f, name, value) }

// amount adds n12.
func (f *fields) amount(name string, fen int64) { f.add(name, fmt.Sprintf("%012d", fen)) }

func (f *fields) digits(name string, number uint64, width int) {
	f.add(name, fmt.Sprintf("%0*d", width, number))
}

func yuan(fen int64) string { return money.Amount(fen).String() }

func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// clock writes an instant as a field of a message has it, +08:00.
func clock(at int64, layout string) string {
	if at == 0 {
		return ""
	}
	return time.Unix(0, at).In(policy.China()).Format(layout)
}

const (
	transmission = "0102150405"     // DE7
	fullTime     = "20060102150405" // DE59 SA
)

func moment(at int64) string {
	if at == 0 {
		return ""
	}
	return Instant(at).String()
}

// Peers.
func terminalPeer(k *event.ExchangeKey) string { return "terminal " + k.GetTerminal() }

func callerPeer(caller string) string { return "http " + caller }

func hostPeer(host string) string { return "host " + host }

// request begins the fields of a terminal's request: what names it.
func request(mask, processing string, amount int64, k *event.ExchangeKey, kind, entryMode string) fields {
	var f fields
	f.add("F2", mask)
	f.add("F3", processing)
	f.amount("F4", amount)
	f.digits("F11", uint64(k.GetStan()), 6)
	f.add("F22", entryMode)
	f.add("F41", k.GetTerminal())
	f.add("F42", k.GetMerchant())
	f.add("F60", fmt.Sprintf("%s%06d", kind, k.GetBatch()))
	return f
}

// answer begins the fields of an answer to a terminal: its request's own, then DE39.
func answer(k *event.ExchangeKey, response string) fields {
	var f fields
	f.digits("F11", uint64(k.GetStan()), 6)
	f.add("F39", response)
	f.add("F41", k.GetTerminal())
	f.add("F42", k.GetMerchant())
	return f
}

// hostFields are what the switch says to a host: DE7, DE11 and DE37 are its own.
func hostFields(mask, processing string, amount, transmittedAt int64, stan uint32, rrn string, k *event.ExchangeKey) fields {
	var f fields
	f.add("F2", mask)
	f.add("F3", processing)
	f.amount("F4", amount)
	f.add("F7", clock(transmittedAt, transmission))
	f.digits("F11", uint64(stan), 6)
	f.add("F37", rrn)
	f.add("F41", k.GetTerminal())
	f.add("F42", k.GetMerchant())
	return f
}

// hostAnswer are the fields that were kept of a host's answer.
func hostAnswer(a *event.HostAnswer, stan uint32, rrn string) fields {
	var f fields
	if a.GetAmount() != 0 {
		f.amount("F4", a.GetAmount())
	}
	f.digits("F11", uint64(stan), 6)
	f.add("F12", a.GetLocalTime())
	f.add("F13", a.GetLocalDate())
	f.add("F15", a.GetClearingDate())
	f.add("F32", a.GetAcquirer())
	f.add("F37", rrn)
	f.add("F38", a.GetApproval())
	f.add("F39", a.GetResponse())
	f.add("F44", printable(a.GetInstitutions()))
	f.add("F55", upperHex(a.GetIcc()))
	f.add("F63", printable(a.GetNetwork()))
	return f
}

// tillAnswer is a host's answer as the switch passes it on.
func tillAnswer(k *event.ExchangeKey, a *event.HostAnswer, rrn, response string) fields {
	var f fields
	f.digits("F11", uint64(k.GetStan()), 6)
	f.add("F12", a.GetLocalTime())
	f.add("F13", a.GetLocalDate())
	f.add("F15", a.GetClearingDate())
	f.add("F37", rrn)
	f.add("F38", a.GetApproval())
	f.add("F39", response)
	f.add("F41", k.GetTerminal())
	f.add("F42", k.GetMerchant())
	return f
}

// printable shows text as it is and anything else as hex.
func printable(b []byte) string {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return upperHex(b)
		}
	}
	return string(b)
}

func upperHex(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

// keyText names a terminal's request.
func keyText(k *event.ExchangeKey) string {
	if k == nil {
		return ""
	}
	return fmt.Sprintf("%s/%s batch %06d STAN %06d", k.Terminal, k.Merchant, k.Batch, k.Stan)
}

// original is DE61: batch, STAN, date of the sale.
func original(k *event.ExchangeKey, at int64) string {
	return fmt.Sprintf("%06d%06d%s", k.GetBatch(), k.GetStan(), clock(at, "0102"))
}
