//go:build mutant_hold_not_released

package mutant

const active = 1 // HoldNotReleased
