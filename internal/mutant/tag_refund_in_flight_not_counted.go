//go:build mutant_refund_in_flight_not_counted

package mutant

const active = 3 // RefundInFlightNotCounted
