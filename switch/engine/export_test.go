package engine

// CoolAfter has purchases go cold so long after their beginning, and none wait for the end of a batch.
func (e *Engine) CoolAfter(wait int64) { e.purchases.coolAfter = wait }

// Cold is how many purchases are cold.
func (e *Engine) Cold() int { return e.purchases.at.Len() }
