//go:build mutant_partial_taken_as_full

package mutant

const active = 8 // PartialTakenAsFull
