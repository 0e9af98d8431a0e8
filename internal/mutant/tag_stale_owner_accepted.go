//go:build mutant_stale_owner_accepted

package mutant

const active = 5 // StaleOwnerAccepted
