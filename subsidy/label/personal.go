package label

import (
	"time"
	"unicode/utf8"
)

// Personal is a kind of number that is a person's and does not belong into a text.
type Personal uint8

// What FindPersonal finds.
const (
	NothingPersonal Personal = iota
	CardNumber
	IdentityNumber
	MobileNumber
)

// FindPersonal says what personal number stands in a text that people write, the one that begins first:
//
//	card number      13 to 19 digits with a right check digit (Luhn, ISO/IEC 7812-1)
//	identity number  17 digits and a digit or X with a right check character (GB 11643)
//	mobile number    11 digits that begin with 13 to 19, with +86 before them or not
//
// Digits are read together over blanks and dashes, and in their full width too. What touches Latin letters is a number of a
// document, a terminal or an item and passes (LN2025000118…), unless it is an identity number down to the date of birth.
func FindPersonal(text string) Personal {
	for _, line := range digitLines(text) {
		for from := range line {
			if found := personal(line, from); found != NothingPersonal {
				return found
			}
		}
	}
	return NothingPersonal
}

// digitGroup is some digits that stand together; at the end an X may belong to them. latin says which sides touch a letter.
type digitGroup struct {
	digits      []byte
	x           bool
	plus        bool // a plus sign stands before it
	latinBefore bool
	latinAfter  bool
}

// mostDigits is the length of the longest number that is looked for.
const mostDigits = 19

// personal looks at the numbers that begin with group from.
func personal(line []digitGroup, from int) Personal {
	var digits []byte
	for to := from; to < len(line) && len(digits) <= mostDigits; to++ {
		g := &line[to]
		digits = append(digits, g.digits...)
		alone := !line[from].latinBefore && !g.latinAfter
		n := len(digits)
		switch {
		case n == 18 && !g.x && identity(digits[:17], digits[17]) && (alone || born(digits)):
			return IdentityNumber
		case n == 17 && g.x && identity(digits, 'X') && (alone || born(digits)):
			return IdentityNumber
		case n >= 13 && n <= mostDigits && alone && !g.x && luhn(digits):
			return CardNumber
		case alone && !g.x && mobile(digits) && spacedAsMobile(line, from, to):
			return MobileNumber
		case alone && !g.x && n == 13 && line[from].plus && string(digits[:2]) == "86" && mobile(digits[2:]):
			return MobileNumber
		case g.x:
			return NothingPersonal // an X ends a number
		}
	}
	return NothingPersonal
}

// spacedAsMobile keeps a date with a number behind it from being read as a mobile number: in a longer line of groups, only
// those count that are spaced as people space one.
func spacedAsMobile(line []digitGroup, from, to int) bool {
	if from == to || from == 0 && to == len(line)-1 {
		return true
	}
	first := len(line[from].digits)
	return to-from <= 2 && (first == 3 || first == 4 || first == 7)
}

func mobile(digits []byte) bool {
	return len(digits) == 11 && digits[0] == '1' && digits[1] >= '3'
}

// identity holds the check character against 17 digits: ISO 7064 MOD 11-2.
func identity(digits []byte, check byte) bool {
	sum, weight := 0, 2 // the weights are the powers of 2 modulo 11, from the right
	for i := len(digits) - 1; i >= 0; i-- {
		sum += int(digits[i]-'0') * weight
		weight = weight * 2 % 11
	}
	return "10X98765432"[sum%11] == check
}

// born says whether digits 7 to 14 are a date on which somebody can be born.
func born(digits []byte) bool {
	at, err := time.Parse("20060102", string(digits[6:14]))
	return err == nil && at.Year() >= 1900 && at.Year() < 2100
}

// digitLines takes a text apart into lines of groups between which only blanks and dashes stand.
func digitLines(text string) (lines [][]digitGroup) {
	var line []digitGroup
	runes := []rune(text)
	for i := range runes {
		runes[i] = narrow(runes[i])
	}
	at := func(i int) rune {
		if i < 0 || i >= len(runes) {
			return utf8.RuneError
		}
		return runes[i]
	}
	for i := 0; i < len(runes); {
		if !digitRune(runes[i]) {
			if !spacing(runes[i]) && len(line) > 0 {
				lines, line = append(lines, line), nil
			}
			i++
			continue
		}
		g := digitGroup{plus: at(i-1) == '+', latinBefore: latin(at(i - 1))}
		for ; digitRune(at(i)); i++ {
			g.digits = append(g.digits, byte(at(i)))
		}
		end := i
		for spacing(at(end)) {
			end++
		}
		if c := at(end); (c == 'X' || c == 'x') && !latin(at(end+1)) && !digitRune(at(end+1)) {
			g.x, i = true, end+1
		}
		g.latinAfter = latin(at(i))
		line = append(line, g)
	}
	if len(line) > 0 {
		lines = append(lines, line)
	}
	return lines
}

// narrow gives what is typed in full width its usual form.
func narrow(r rune) rune {
	if r >= '！' && r <= '～' {
		return r - '！' + '!'
	}
	return r
}

func digitRune(r rune) bool { return r >= '0' && r <= '9' }

func latin(r rune) bool { return r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' }

// spacing reports blanks and dashes of any width.
func spacing(r rune) bool {
	switch r {
	case ' ', '\u00a0', '\u3000', '-', '—', '―', '−', '\u200b', '\ufeff':
		return true
	}
	return r >= '\u2000' && r <= '\u200a' || r >= '\u2010' && r <= '\u2014'
}
