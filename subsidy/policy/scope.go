package policy

// level is the width of a scope: programme < city < channel < category < merchant.
type level uint8

const (
	levelProgramme level = iota
	levelCity
	levelChannel
	levelCategory
	levelMerchant
	levelCount
)
