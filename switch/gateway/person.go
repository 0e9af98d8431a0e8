package gateway

import (
	"regexp"
	"strings"
	"time"
	"unicode"
)

// The kinds of identity document as the programme's rules name them (programme.yaml, id_kinds). They are part of every
// person's hash: renaming one here would give its holders a fresh quota.
const (
	resident = "id-card"         // 居民身份证, GB 11643
	hkMacao  = "hk-macao-permit" // 港澳居民来往内地通行证
	taiwan   = "taiwan-permit"   // 台湾居民来往大陆通行证
)

// person is what a request says about somebody. It lives as long as the request; only the keyed hash of kind and number
// goes on. Name and phone are checked for form, count as content of a claim, and are dropped.
type person struct {
	kind, number, name, phone string
}

var (
	phoneForm   = regexp.MustCompile(`^(1[3-9][0-9]{9}|\+[1-9][0-9]{7,14})$`)
	hkMacaoForm = regexp.MustCompile(`^[HM][0-9]{8}$`)
	taiwanForm  = regexp.MustCompile(`^[0-9]{8}$`)
)

// readPerson takes id_kind and id_number, with contact also the optional name and phone. today bounds birth dates.
func readPerson(o *object, contact bool, today time.Time) person {
	var p person
	p.kind = readKind(o)
	p.number = strings.ToUpper(o.text("id_number", true, nil, ""))
	if contact {
		p.name = o.text("name", false, nil, "")
		p.phone = o.text("phone", false, phoneForm, "a mainland mobile number or + and 8 to 15 digits")
		if o.problem() == nil && p.name != "" && !plausibleName(p.name) {
			o.invalid("name", "want 1 to 64 printable characters")
		}
	}
	o.end()
	if o.problem() != nil {
		return person{}
	}
	fault := ""
	switch p.kind {
	case resident:
		fault = checkResident(p.number, today)
	case hkMacao:
		if !hkMacaoForm.MatchString(p.number) || p.number[1:] == "00000000" {
			fault = "want H or M and the first 8 digits; the renewal count after them is no part of the number"
		}
	case taiwan:
		if !taiwanForm.MatchString(p.number) || p.number == "00000000" {
			fault = "want the first 8 digits; what follows them is no part of the number"
		}
	}
	if fault != "" {
		o.invalid("id_number", "%s", fault)
	}
	return p
}

// readKind takes id_kind, in the interface's short form or as the programme names it, and returns the latter.
func readKind(o *object) string {
	switch kind := o.text("id_kind", true, nil, ""); kind {
	case "ID", resident:
		return resident
	case "HKMO", hkMacao:
		return hkMacao
	case "TW", taiwan:
		return taiwan
	}
	o.invalid("id_kind", "want ID, HKMO or TW")
	return ""
}

// provinces are the first two digits of resident identity cards (GB/T 2260). 81, 82 and 83 are residence permits, which
// their holders could use beside a travel permit to be two persons; they are not admitted.
const provinces = " 11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 "

// checkResident says what is wrong with a number of GB 11643-1999, or "". Digits: 6 division, 8 birth date, 3 sequence,
// 1 check (ISO 7064 MOD 11-2). It never repeats the number.
func checkResident(number string, today time.Time) string {
	if len(number) != 18 {
		return "want 18 characters"
	}
	for i := range 17 {
		if number[i] < '0' || number[i] > '9' {
			return "want 17 digits and a digit or X"
		}
	}
	if last := number[17]; last != 'X' && (last < '0' || last > '9') {
		return "want 17 digits and a digit or X"
	}
	if !strings.Contains(provinces, " "+number[:2]+" ") || number[2:6] == "0000" {
		return "the first six digits are no division of the mainland"
	}
	born, err := time.ParseInLocation("20060102", number[6:14], china)
	if err != nil || born.Year() < 1900 || born.After(today) {
		return "the birth date does not exist, lies before 1900 or in the future"
	}
	if checkCharacter(number[:17]) != number[17] {
		return "the check character is wrong"
	}
	return ""
}

// checkCharacter is the check character of ISO 7064 MOD 11-2 for a string of digits.
func checkCharacter(digits string) byte {
	sum := 0
	for i := range len(digits) {
		sum = (sum + int(digits[i]-'0')) * 2 % 11
	}
	check := (12 - sum) % 11
	if check == 10 {
		return 'X'
	}
	return byte('0' + check)
}

func plausibleName(name string) bool {
	count := 0
	for _, r := range name {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return false
		}
		count++
	}
	return count <= 64
}
