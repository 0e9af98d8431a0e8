package engine

// CoolAfter has purchases go cold so long after their beginning, and none wait for the end of a batch.
func (e *Engine) CoolAfter(wait int64) { e.purchases.coolAfter = wait }

// Cold is how many purchases are cold.
func (e *Engine) Cold() int { return e.purchases.at.Len() }

func (e *Engine) ColdLog() ColdLog { return e.purchases.log }

// ColdBytes is what the tables take for cold purchases and their orders.
func (e *Engine) ColdBytes() int {
	s := &e.purchases
	return s.at.Bytes() + s.byNumber.Bytes() + s.byOperation.Bytes() + e.orders.Bytes()
}

func (e *Engine) RRN(id uint64) string { return e.purchase(id).sale.Rrn }
