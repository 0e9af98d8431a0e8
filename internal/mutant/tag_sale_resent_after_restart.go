//go:build mutant_sale_resent_after_restart

package mutant

const active = 10 // SaleResentAfterRestart
