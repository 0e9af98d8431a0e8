//go:build mutant_answer_before_sync

package mutant

const active = 2 // AnswerBeforeSync
