package terminal

import (
	"bytes"

	"huanxin/switch/iso8583"
)

// tags walks DE59 and DE58. Two things that terminals in the field send are read beside the proper form of a tag: a
// Baidu position written bare, BD<lat>,<lon>, before another tag (given out as a tag named BD), and an A2 whose length
// has two digits.
type tags struct {
	rest []byte
}

// next returns the next tag. done is the proper end; neither done nor ok means that the rest is no tag.
func (t *tags) next() (name iso8583.Tag59, value []byte, ok, done bool) {
	if len(t.rest) == 0 {
		return name, nil, false, true
	}
	if n := bareBaidu(t.rest); n > 0 {
		value, t.rest = t.rest[len(tagBaidu):n], t.rest[n:]
		return iso8583.Tag59([]byte(tagBaidu)), value, true, false
	}
	walk := iso8583.WalkTags59(t.rest)
	if name, value, ok = walk.Next(); ok {
		t.rest = t.rest[walk.Offset():]
		return name, value, true, false
	}
	return t.shortTerminalInfo()
}

// shortTerminalInfo reads an A2 with a length of two digits.
func (t *tags) shortTerminalInfo() (name iso8583.Tag59, value []byte, ok, done bool) {
	const head = 4
	b := t.rest
	if len(b) < head || string(b[:2]) != tagTerminalInfo {
		return name, nil, false, false
	}
	n := number(b[2:head])
	if n < 0 || n > len(b)-head {
		return name, nil, false, false
	}
	t.rest = b[head+n:]
	return iso8583.Tag59(b[:2]), b[head : head+n : head+n], true, false
}

// bareBaidu returns the size of BD<lat>,<lon> at the start of b, 0 when it is not that. A tag BD of the proper form has
// three digits after the name; a latitude has at most two before its point or comma.
func bareBaidu(b []byte) int {
	if !bytes.HasPrefix(b, []byte(tagBaidu)) || len(b) >= 5 && number(b[2:5]) >= 0 {
		return 0
	}
	n := 2
	for n < len(b) && (isDigit(b[n]) || b[n] == '.' || b[n] == ',' || b[n] == '-') {
		n++
	}
	if n == 2 {
		return 0
	}
	return n
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// number reads decimal digits, at most 9 of them; −1 when there is anything else or nothing.
func number(b []byte) int {
	if len(b) == 0 || len(b) > 9 {
		return -1
	}
	v := 0
	for _, c := range b {
		if !isDigit(c) {
			return -1
		}
		v = v*10 + int(c-'0')
	}
	return v
}

func allDigits(b []byte) bool {
	for _, c := range b {
		if !isDigit(c) {
			return false
		}
	}
	return len(b) > 0
}

// amount reads an amount of at most 12 digits (n12, fen); −1 when it is none.
func amount(b []byte) int64 {
	if len(b) > 12 || !allDigits(b) {
		return -1
	}
	v := int64(0)
	for _, c := range b {
		v = v*10 + int64(c-'0')
	}
	return v
}

// The tags of DE59 (docs/interface/iso8583.md).
const (
	tagCode         = "S1" // one-time entitlement code
	tagBarcode      = "S2"
	tagSerial       = "S3" // serial number or IMEI
	tagOrder        = "S4"
	tagPosition     = "S5"
	tagComponent    = "S6"
	tagHold         = "S7"
	tagSubsidy      = "S8"
	tagPayable      = "S9"
	tagExpiry       = "SA"
	tagReason       = "SB"
	tagText         = "SC"
	tagDelivery     = "SD"
	tagOldItem      = "SE"
	tagState        = "SF"
	tagPrice        = "SG"
	tagOriginal     = "SH" // batch n6, STAN n6, MMDDhhmmss
	tagAnswered     = "SI" // DE39 of the original
	tagSubsidyCount = "SJ"
	tagSubsidySum   = "SK"
	tagCharged      = "SL"
	tagCard         = "SM" // masked
	tagRefunded     = "SN"
	tagActivated    = "SO" // 1 = the goods were activated
	tagReturned     = "SP" // of the subsidy
	tagPayCode      = "A3"
	tagTerminalInfo = "A2"
	tagBaidu        = "BD"
	tagLongitude    = "GA" // of DE58
	tagLatitude     = "GB"
)
