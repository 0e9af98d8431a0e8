package event

// Ends reports whether a payment of this kind ends or undoes an earlier one, which must not fail for want of room or time. All
// others begin something: whoever is refused them has lost nothing.
func (k SaleKind) Ends() bool {
	switch k {
	case SaleKind_SALE_KIND_PREAUTH_VOID, SaleKind_SALE_KIND_COMPLETION, SaleKind_SALE_KIND_COMPLETION_VOID:
		return true
	}
	return false
}
