//go:build !(mutant_hold_not_released || mutant_answer_before_sync || mutant_refund_in_flight_not_counted || mutant_double_apply_after_crash || mutant_stale_owner_accepted || mutant_reversed_void_pays_twice || mutant_late_approval_captured || mutant_partial_taken_as_full || mutant_duplicate_across_midnight || mutant_sale_resent_after_restart)

package mutant

const active = 0
