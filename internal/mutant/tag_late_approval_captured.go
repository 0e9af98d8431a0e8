//go:build mutant_late_approval_captured

package mutant

const active = 7 // LateApprovalCaptured
