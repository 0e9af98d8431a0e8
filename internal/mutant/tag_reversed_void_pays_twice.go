//go:build mutant_reversed_void_pays_twice

package mutant

const active = 6 // ReversedVoidPaysTwice
