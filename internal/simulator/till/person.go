package till

import (
	"fmt"
	"time"
)

// Person is a synthetic buyer. Every number has a valid checksum and belongs to nobody in particular.
type Person struct {
	IDKind   string `json:"id_kind"`
	IDNumber string `json:"id_number"`
	Name     string `json:"name"`
	Phone    string `json:"phone"`
}

var (
	districts = []string{"210102", "210103", "210104", "210202", "210203", "210204", "210302", "210402", "210502", "210602", "210702", "210802"}
	surnames  = []string{"王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴", "徐", "孙", "马", "朱", "胡", "林"}
	givens    = []string{"伟", "芳", "娜", "敏", "静", "丽", "强", "磊", "军", "洋", "勇", "艳", "杰", "娟", "涛", "明"}
)

// birthdays is the number of days persons are spread over: 1950 to 2004.
const birthdays = 20000

// People is how many different persons NewPerson makes; above it they repeat.
const People = birthdays * 999 * 12

// NewPerson makes the n-th person: different n below People give different identity numbers.
func NewPerson(n uint64) Person {
	// A stride that shares no factor with People spreads neighbours over districts and years.
	k := n % People * 104729 % People
	district := districts[k%uint64(len(districts))]
	k /= uint64(len(districts))
	born := time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(k%birthdays))
	sequence := k/birthdays%999 + 1
	number := fmt.Sprintf("%s%s%03d", district, born.Format("20060102"), sequence)
	return Person{
		IDKind:   "ID",
		IDNumber: number + string(idCheck(number)),
		Name:     surnames[n%uint64(len(surnames))] + givens[n/uint64(len(surnames))%uint64(len(givens))],
		Phone:    fmt.Sprintf("139%08d", n%100_000_000),
	}
}

// idCheck is the check character of the first 17 digits (GB 11643, ISO 7064 MOD 11-2).
func idCheck(number string) byte {
	weights := [17]int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2}
	sum := 0
	for i, w := range weights {
		sum += int(number[i]-'0') * w
	}
	return "10X98765432"[sum%11]
}

// NewIMEI makes the n-th IMEI: 15 digits with a valid check digit, different for n below 10^12.
func NewIMEI(n uint64) string {
	body := fmt.Sprintf("86%012d", n%1_000_000_000_000)
	return body + string(luhn(body))
}

// NewSerial makes the n-th serial number of an appliance.
func NewSerial(n uint64) string { return fmt.Sprintf("SN%012d", n%1_000_000_000_000) }

// NewPAN makes the n-th card number of the test range 622424, with a valid check digit.
func NewPAN(n uint64) string {
	body := fmt.Sprintf("622424%09d", n%1_000_000_000)
	return body + string(luhn(body))
}

// luhn is the check digit that makes body valid (ISO/IEC 7812-1 annex B).
func luhn(body string) byte {
	sum, double := 0, true
	for i := len(body) - 1; i >= 0; i-- {
		d := int(body[i] - '0')
		if double {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
		double = !double
	}
	return byte('0' + (10-sum%10)%10)
}
