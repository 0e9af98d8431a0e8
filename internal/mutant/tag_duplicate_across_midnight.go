//go:build mutant_duplicate_across_midnight

package mutant

const active = 9 // DuplicateAcrossMidnight
