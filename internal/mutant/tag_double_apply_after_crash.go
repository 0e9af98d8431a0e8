//go:build mutant_double_apply_after_crash

package mutant

const active = 4 // DoubleApplyAfterCrash
