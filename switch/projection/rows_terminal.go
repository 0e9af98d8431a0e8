package projection

import (
	"time"

	"huanxin/internal/money"
)

// BatchKey names a batch of a terminal. The same number comes again after 999999 others: the last one settled is meant.
type BatchKey struct {
	Terminal string
	Merchant string
	Batch    uint32
}

// BatchTotals are the sums of one batch, as a terminal or the switch has them.
type BatchTotals struct {
	Debit        money.Amount // charged; voided and reversed sales count as never made
	DebitCount   uint32
	Credit       money.Amount // refunds
	CreditCount  uint32
	Subsidy      money.Amount // of the sales in Debit
	SubsidyCount uint32
}

// The states of the upload that may follow a settlement.
const (
	UploadNone  = "none"
	UploadOpen  = "open"
	UploadEnded = "ended"
)

// TerminalBatch is a batch that its terminal has closed. ID is the number of the closing event, Month its month.
type TerminalBatch struct {
	ID         uint64
	Month      time.Time
	Key        BatchKey
	STAN       uint32
	NextBatch  uint32
	Claimed    BatchTotals // as the terminal has them
	Kept       BatchTotals // as the switch has them
	Equal      bool
	Upload     string
	Matched    uint32 // uploaded records that the switch has just so
	Differing  uint32 // every other: each has opened a work item
	Sent       uint32 // records that the terminal says it has sent
	Missing    uint32 // records of the switch that it did not send
	SettledAt  Instant
	UploadedAt Instant // of the last message of the upload
	Seq        uint64
}

// TerminalReport is what a terminal told without asking: a script result, a certificate, its state. Rows are never changed.
type TerminalReport struct {
	Seq           uint64
	Month         time.Time
	Terminal      string
	Merchant      string
	TerminalBatch uint32
	STAN          uint32
	Kind          string // script, certificate, status
	Purchase      uint64 // 0 when unknown
	ICC           []byte
	Detail        string
	ReportedAt    Instant
}

// Inquiry is a question that moved no money, such as a balance. What was answered is not kept. ID is the number of the
// event that sent it, Month its month.
type Inquiry struct {
	ID            uint64
	Month         time.Time
	Terminal      string
	Merchant      string
	TerminalBatch uint32
	STAN          uint32
	Host          string
	HostSTAN      uint32
	RRN           string
	Response      string // DE39, "" while open
	SentAt        Instant
	EndedAt       Instant
	Seq           uint64
}
