package drill

import (
	"maps"

	"huanxin/internal/money"
)

// yuan adds amounts up, in fen.
func yuan(amounts ...string) (sum int64) {
	for _, text := range amounts {
		a, err := money.ParseYuan(text)
		if err != nil {
			panic(err) // a constant of this file
		}
		sum += int64(a)
	}
	return sum
}

// demoFigures is what one run of config/simulator/demo.yaml must leave behind, added up here from the prices and rates of
// the script, not from what the switch says. Amounts are fen.
func demoFigures() map[string]int64 {
	d := demonstrated()
	all := map[string]int64{}
	for _, part := range []map[string]int64{d.states(), d.totals(), d.hosts(), d.refused(), d.budgets()} {
		maps.Copy(all, part)
	}
	return all
}

// demoOnce is what the first start alone leaves behind: the acts on the keys of the programme, and of the demonstration's terminals and
// network.
func demoOnce() map[string]int64 { return map[string]int64{"operator acts": 7 + 4} }

// demoSums are the sums that the figures are made of.
type demoSums struct {
	subsidy, charged, ordinary                   int64 // of what stands in the end
	lost, lostSubsidy, part, late, stuck         int64 // what was reversed, or never was
	oven, ovenSubsidy, hood, hoodSubsidy, before int64
	sofaBack, sofaReturned                       int64
	wallet, collected, central                   int64
}

func demonstrated() (d demoSums) {
	// Two refrigerators, laser TV, phone, tablet, two air conditioners, e-bike, sofa, washing machine; after the sale a microwave
	// oven whose void was reversed, a sofa refunded in part, a refrigerator in the campaign, a rice cooker of the online shop; at
	// terminals with keys two more.
	d.subsidy = yuan("1199.80", "344.85", "2000.00", "500.00", "419.85", "599.80", "599.80", "479.80", "749.85", "659.80",
		"119.80", "599.85", "413.82", "79.80", "79.80", "79.80")
	d.charged = yuan("4799.20", "1954.15", "13999.00", "3499.00", "2379.15", "2399.20", "2399.20", "1919.20", "4249.15", "2639.20",
		"479.20", "4249.15", "1885.18", "319.20", "319.20", "319.20")
	// Three in the mall, a completion, one with a script result, a payer who typed a password, and the traffic.
	d.ordinary = yuan("128.00", "50.00", "70.00", "450.00", "35.00", "66.71") + 10*yuan("20.00")
	// The washing machine whose answer was lost: captured, then reversed by the terminal. The sale that was approved in
	// part: 50.06 charged and given back. The rice cooker that was approved too late: charged and given back, never captured.
	// The charge that the network never reversed.
	d.lost, d.lostSubsidy, d.part, d.late, d.stuck = yuan("2639.20"), yuan("659.80"), yuan("50.06"), yuan("318.23"), yuan("100.34")
	// A microwave oven voided; the range hood and a microwave oven of the online shop refunded as a whole, with what was sold
	// before the cut-over; the part of the sofa.
	d.oven, d.ovenSubsidy = yuan("479.20"), yuan("119.80")
	d.hood, d.hoodSubsidy = yuan("1759.20"), yuan("439.80")
	d.before, d.sofaBack, d.sofaReturned = yuan("88.00"), yuan("850.00"), yuan("150.00")
	// At the wallet the tablet, the password, the online shop's microwave oven; collected by the shop itself its rice cooker.
	d.wallet, d.collected = yuan("2379.15", "66.71")+d.oven, yuan("319.20")
	// 85 % of each, to the nearest fen; the rest is the local part. Of the sofa 127.50 of 637.37 went back.
	d.central = yuan("1019.83", "293.12", "1700.00", "425.00", "356.87", "509.83", "509.83", "407.83", "637.37", "560.83",
		"101.83", "509.87", "351.75", "67.83", "67.83", "67.83")
	return d
}

// back is what payers got back by refunds.
func (d *demoSums) back() int64 { return d.hood + d.oven + d.before + d.sofaBack }

// states are the purchases by their states in the end, and who owes their subsidies.
func (d *demoSums) states() map[string]int64 {
	return map[string]int64{
		"advanced by merchants": d.subsidy, "owed by central": d.central, "owed by local": d.subsidy - d.central,

		"captured": 16, "captured subsidy": d.subsidy, "captured amount": d.charged,
		"captured ordinary": 16, "captured ordinary subsidy": 0, "captured ordinary amount": d.ordinary,
		"reversed": 2, "reversed subsidy": d.lostSubsidy + yuan("79.55"), "reversed amount": d.lost + d.late,
		"reversed ordinary": 2, "reversed ordinary subsidy": 0, "reversed ordinary amount": yuan("100.11") + d.stuck,
		"declined": 1, "declined subsidy": yuan("519.87"), "declined amount": yuan("2079.51"),
		// With a wrong PIN.
		"declined ordinary": 2, "declined ordinary subsidy": 0, "declined ordinary amount": yuan("60.00", "60.00"),
		"voided": 1, "voided subsidy": d.ovenSubsidy, "voided amount": d.oven,
		"refunded": 2, "refunded subsidy": 0, "refunded amount": d.hood + d.oven,
		"refunded ordinary": 1, "refunded ordinary subsidy": 0, "refunded ordinary amount": d.before,
		// Range hood, dishwasher, stove, the water purifier whose reserve was reversed; microwave ovens after the void and over
		// HTTP, the refrigerator after the pause, and before and after the campaign.
		"cancelled":         9,
		"cancelled subsidy": yuan("439.80", "999.80", "259.80", "399.80", "119.80", "119.80", "1199.80", "344.85", "344.85"),
		"cancelled amount":  yuan("1759.20", "3999.20", "1039.20", "1599.20", "479.20", "479.20", "4799.20", "1954.15", "1954.15"),
	}
}

// totals are what has happened, in sums.
func (d *demoSums) totals() map[string]int64 {
	return map[string]int64{
		"captures": 37, "captures charged": d.charged + d.ordinary + d.lost + d.oven + d.hood + d.oven + d.before,
		"captures subsidised": d.subsidy + d.sofaReturned + d.lostSubsidy + d.ovenSubsidy + d.hoodSubsidy + d.ovenSubsidy, "passes": 1,
		"refunds": 6, "refunds given back": d.lost + d.oven + d.back(),
		"refunds subsidy restored": d.lostSubsidy + d.ovenSubsidy + d.hoodSubsidy + d.ovenSubsidy + d.sofaReturned,
		"voids":                    1, "payer refunds": 4, "payer refunded": d.back(),
		"payer subsidy returned": d.hoodSubsidy + d.ovenSubsidy + d.sofaReturned,
		"entitlements":           39, "refusals": 20, "open holds": 0, "held": 0, "reversals waiting": 0,
		// What the network must pay back by other means, and the record that the till did not upload. The operator: dead letter and
		// two work items settled, pause, resume, policy.
		"work items": 2, "work items open": 0, "dead letters": 0, "operator acts": 6, "batches": 2, "batches unequal": 1,
	}
}

// hosts are the hosts' own ledgers.
func (d *demoSums) hosts() map[string]int64 {
	return map[string]int64{
		"ledger charges": 36,
		"ledger charged": d.charged + d.ordinary + d.lost + d.part + d.late + d.stuck + d.oven + d.hood + d.oven + d.before - d.wallet - d.collected,
		"ledger returns": 3, "ledger returned": d.lost + d.part + d.late,
		"ledger voids": 2, "ledger voided": 2 * d.oven, "ledger unvoids": 1, "ledger unvoided": d.oven,
		"ledger refunds": 3, "ledger refunded": d.hood + d.before + d.sofaBack,
		"wallet charges": 3, "wallet charged": d.wallet, "wallet refunds": 1, "wallet refunded": d.oven,
	}
}

// refused are the refusals by answer code and reason.
func (d *demoSums) refused() map[string]int64 {
	return map[string]int64{
		"refused 57/PRODUCT_WITHDRAWN": 1, "refused 57/GRADE_NOT_ELIGIBLE": 1, "refused 57/CATEGORY_MISMATCH": 1,
		"refused 57/SERIAL_USED": 1, "refused 57/OLD_ITEM_MISSING": 1, "refused 57/PRICE_ABOVE_CEILING": 1,
		"refused 57/ENTITLEMENT_UNKNOWN": 1, "refused 57/POSITION_MISSING": 1, "refused 57/POSITION_STALE": 1,
		"refused 57/POSITION_OUTSIDE": 1, "refused 57/POSITION_OTHER_CITY": 1, "refused 57/BUDGET_EXHAUSTED": 1,
		"refused 57/PAUSED": 1, "refused 12/VOID_CLOSED": 1, "refused 22/ORIGINAL_UNDONE": 1, "refused 14/NOT_ORIGINAL_CARD": 1,
		"refused 64/REFUND_WHOLE_ONLY": 1, "refused 64/REFUND_EXCEEDS": 1,
		"refused 25": 1, "refused 13/PAYABLE_MISMATCH": 1,
	}
}

// budgets are what is spent of each node.
func (d *demoSums) budgets() map[string]int64 {
	return map[string]int64{
		"budget  spent": d.subsidy, "budget 210100 spent": d.subsidy - yuan("479.80"), "budget 210200 spent": yuan("479.80"),
		"budget 210100/store spent": d.subsidy - yuan("479.80", "419.85", "79.80"), "budget 210100/qr spent": yuan("419.85"),
		"budget 210100/online spent": yuan("79.80"), "budget 210100/online/A11 spent": yuan("79.80"),
		"budget 210100/online/A11/r2 spent": yuan("79.80"),
		"budget 210100/store/A12 spent":     d.ovenSubsidy, "budget 210100/store/A12/r2 spent": d.ovenSubsidy,
		"budget 210100/store/A11 spent": yuan("79.80", "79.80"), "budget 210100/store/A11/r2 spent": yuan("79.80", "79.80"),
		"budget 210200/store spent":        yuan("479.80"),
		"budget 210100/store/A01 spent":    yuan("1199.80", "344.85", "413.82"),
		"budget 210100/store/A02 spent":    yuan("659.80"),
		"budget 210100/store/A03 spent":    yuan("2000.00"),
		"budget 210100/store/A04 spent":    yuan("599.80", "599.80"),
		"budget 210100/store/B01 spent":    yuan("500.00"),
		"budget 210100/store/H13 spent":    yuan("749.85", "599.85"),
		"budget 210100/qr/B02 spent":       yuan("419.85"),
		"budget 210200/store/E01 spent":    yuan("479.80"),
		"budget 210100/store/A01/r2 spent": yuan("1199.80", "344.85", "413.82"),
		"budget 210100/store/A02/r2 spent": yuan("659.80"),
		"budget 210100/store/A03/r2 spent": yuan("2000.00"),
		"budget 210100/store/A04/r2 spent": yuan("599.80", "599.80"),
		"budget 210100/store/B01/r2 spent": yuan("500.00"),
		"budget 210100/store/H13/r2 spent": yuan("749.85", "599.85"),
		"budget 210100/qr/B02/r2 spent":    yuan("419.85"),
		"budget 210200/store/E01/r2 spent": yuan("479.80"),
	}
}
