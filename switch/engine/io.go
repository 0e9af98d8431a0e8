package engine

import (
	"huanxin/internal/money"
	"huanxin/risk/geo"
	"huanxin/subsidy"
	"huanxin/subsidy/policy"
	"huanxin/subsidy/reason"
	"huanxin/switch/event"
)

// Token names a waiting caller of the shell (a terminal connection, an HTTP request). The engine hands it back with the
// answer and never interprets it. Zero means that nobody waits. Tokens are not state: they die with the process.
type Token uint64

// Hash is a keyed hash made by the shell (HMAC-SHA-256 cut to 16 bytes): of a person, a card, a serial number, a
// one-time code, or the content of a request. The engine compares hashes and never sees what is behind them.
type Hash = subsidy.Hash

// Input is everything that can happen to the engine. At is the only clock it sees: Unix nanoseconds, never decreasing
// from one Step to the next (the server clamps a clock that steps back). Body says what happened.
type Input struct {
	At   int64
	Body any // one of the *…Request, *Host…, *Tick … types of this file
}

// Output is what a Step decided.
type Output struct {
	// Events are the facts, in order, already applied. The caller makes them durable before any of Sends leaves.
	// Both slices are valid until the next Step.
	Events []*event.Event
	// Sends are what leaves the process after the sync: answers and host requests.
	Sends []Send
}

// Send is one thing to deliver; exactly one pointer is set.
type Send struct {
	Reply *Reply       // to a terminal
	Host  *HostRequest // to a host link
	API   *APIReply    // to an HTTP caller
	Admin *AdminReply  // to the operator or the server's own start sequence
}

// ---- From terminals -------------------------------------------------------------------------------------------------

// Key is the identity of a terminal's request (a resend carries no date, so none is in it): MTI class + DE41 + DE42 +
// DE60.2 + DE11. A reversal carries the key of its original, class included.
type Key struct {
	Class    byte // '1' reserve family, '2' sale family
	Terminal [8]byte
	Merchant [15]byte
	Batch    uint32
	STAN     uint32
}

// SignOnRequest is 0800 with 60.3 = 001, 003, 004 …; SignOffRequest is 0820 with 60.3 = 002.
type SignOnRequest struct {
	Token    Token
	Terminal [8]byte
	Merchant [15]byte
	STAN     uint32
}

// SignOffRequest ends a terminal's session. Sales after it are answered 77 until it signs on again.
type SignOffRequest SignOnRequest

// EchoRequest is 0820 with 60.3 = 301: it proves the way to the engine and back, and changes nothing.
type EchoRequest SignOnRequest

// ReserveRequest is 0100 / F3 390000 / 60.1 96, or the same question from HTTP.
type ReserveRequest struct {
	Token   Token
	Key     Key
	Content Hash

	Price      money.Amount // DE4: final price after all discounts, before the subsidy
	Code       Hash         // one-time code shown at the till
	Barcode    string
	Serial     Hash   // zero when the request has none
	SerialMask string // what receipts show
	SerialOK   bool   // the shell checked the form (length, characters)
	SerialIMEI bool   // it is an IMEI: 15 digits with a right check digit, not all zero
	Order      string
	Components []policy.Component
	OldItem    string // kind of the old item handed in, "" = none
	Delivery   string // division code of the delivery address, "" = none
	Position   Position
	Channel    string // store, qr, online
}

// Position is where the sender says it is. The zero Position is "none given".
type Position struct {
	Given     bool
	Malformed bool // something was given that is no position
	At        geo.Point
	CRS       geo.CRS
	Age       uint32 // seconds since the fix
}

// CancelRequest is 0100 / F3 390000 / 60.1 97: the till gives a hold back.
type CancelRequest struct {
	Token   Token
	Key     Key
	Content Hash
	Hold    uint64
}

// SaleRequest is 0200 / F3 000000. With Hold it is the second exchange of a subsidised purchase, without it an ordinary
// sale that passes to the host.
type SaleRequest struct {
	Token   Token
	Key     Key
	Content Hash

	Hold      uint64 // 0 = ordinary sale
	Amount    money.Amount
	ICCAmount money.Amount // 9F02 of DE55; -1 when absent
	Host      string       // host profile chosen by the shell's routing table
	EntryMode [3]byte      // DE22
	QR        bool
	Card      *event.Card // sealed by the shell
}

// ReversalRequest is 0400. Original is the key of the message to be reversed.
type ReversalRequest struct {
	Token    Token
	Original Key
	Content  Hash
	Amount   money.Amount
	Cause    [2]byte // DE39: 98, 96, A0, 06
}

// Reply answers a terminal. The terminal package echoes the request's own fields and adds these.
type Reply struct {
	Token    Token
	Response [2]byte // DE39
	At       int64   // DE12 and DE13 when the host gave none

	Batch uint32 // sign-on: DE60.2

	// Reserve, and receipts of a sale on a hold.
	Hold      uint64
	Price     money.Amount
	Subsidy   money.Amount
	Payable   money.Amount
	ExpiresAt int64
	Reasons   []reason.Code // refusals, ascending
	Text      string        // Chinese text where no reason code fits, such as 请先签到

	RRN    string
	Answer *event.HostAnswer // of the issuer, nil when no host was asked
}

// ---- Hosts ----------------------------------------------------------------------------------------------------------

// HostRequest goes to a host link. For a sale the link takes the original message that the shell keeps under Token; a
// reversal is built from the envelope alone, because after a restart nothing else is left.
type HostRequest struct {
	Host     string
	Kind     HostKind
	Token    Token // of the terminal request whose message is to be forwarded (sale only)
	Purchase uint64
	Reversal uint64
	Attempt  uint32

	STAN          uint32 // DE11
	RRN           string // DE37
	TransmittedAt int64  // instant of DE7
	Deadline      int64  // the link need not keep the request longer than this
	Amount        money.Amount

	// Reversal only.
	Reason   string // DE39
	Card     *event.Card
	Key      Key // of the original: DE41, DE42, DE60.2
	Original OriginalData
}

// OriginalData is what DE90 or DE61 of a reversal says about the sale.
type OriginalData struct {
	STAN          uint32
	TransmittedAt int64
	Approval      string // DE38, "" when unknown
}

// HostKind tells a sale from a reversal.
type HostKind uint8

const (
	HostSale HostKind = iota + 1
	HostReversal
)

// HostAnswered is an answer that a link matched or could not match (late). RRN is the switch's own number echoed by
// the host; when the profile does not echo it, the link resolves it by its match key, or leaves it empty and gives STAN
// and TransmittedAt.
type HostAnswered struct {
	Host          string
	Kind          HostKind
	RRN           string
	STAN          uint32
	TransmittedAt string // DE7 as echoed, MMDDhhmmss
	Answer        event.HostAnswer
}

// HostUnsent says that a request certainly never left: the link was down or its queue full. A sale is declined and its
// hold released; a reversal waits for its next attempt.
type HostUnsent struct {
	Kind     HostKind
	Purchase uint64
	Reversal uint64
	Attempt  uint32
}

// HostUp says that a link has signed on: reversals waiting for this host are due at once.
type HostUp struct{ Host string }

// ---- From HTTP ------------------------------------------------------------------------------------------------------

// ClaimRequest asks for an entitlement.
type ClaimRequest struct {
	Token    Token
	Request  Hash // of the idempotency key; zero when none was sent
	Content  Hash // of the request body: same key with other content is a conflict
	Person   Hash
	IDKind   string
	Category string
	City     string
	Channel  string
}

// EntitlementRequest reads one entitlement; Person must match when it is not zero.
type EntitlementRequest struct {
	Token       Token
	Entitlement uint64
	Person      Hash
}

// ReturnRequest gives an unused entitlement back.
type ReturnRequest EntitlementRequest

// ShowCodeRequest binds a fresh one-time code (made by the shell) to the entitlement and to the phone's position.
type ShowCodeRequest struct {
	Token       Token
	Entitlement uint64
	Person      Hash
	Code        Hash
	Position    Position
}

// QuoteRequest asks what a reserve would decide, without holding anything.
type QuoteRequest struct {
	Token       Token
	Entitlement uint64 // 0: policy and budget only, no person
	Person      Hash
	Merchant    [15]byte
	Channel     string
	Barcode     string
	Price       money.Amount
	Components  []policy.Component
	OldItem     string
}

// APIReply answers an HTTP caller.
type APIReply struct {
	Token    Token
	Status   APIStatus
	Reasons  []reason.Code
	View     EntitlementView // claim, get, return, show code
	Quote    QuoteView
	CodeEnds int64 // show code: when it expires
}

// APIStatus says what kind of answer it is; the gateway maps it to an HTTP status.
type APIStatus uint8

const (
	APIDone     APIStatus = iota + 1 // 200 or 201
	APIRefused                       // 422 with Reasons
	APINotFound                      // 404
	APIConflict                      // 409: same idempotency key, other content
	APIRepeated                      // 200: the original answer of an idempotent request
)

// EntitlementView is what an API caller may see of an entitlement.
type EntitlementView struct {
	ID        uint64
	State     subsidy.State
	Category  string
	City      string
	Channel   string
	ClaimedAt int64
	ExpiresAt int64
	Version   string
}

// QuoteView is a decision without a hold.
type QuoteView struct {
	Version string
	Price   money.Amount
	Base    money.Amount
	Subsidy money.Amount
	Payable money.Amount
}

// ---- From the server itself and the operator ------------------------------------------------------------------------

// TakeOwnership is the first input of every process run.
type TakeOwnership struct {
	Owner          string
	Software       string
	Programme      string
	PersonKeyCheck [8]byte
}

// ApplyProgramme makes a rule bundle and its budgets the current ones. Refused as a whole when any part would break an
// invariant (an allocation below held + spent, another programme's id).
type ApplyProgramme struct {
	Token  Token
	Files  map[string][]byte
	Actor  string
	Reason string
}

// SetRows brings registry rows to the given values; rows equal to the current ones make no event. At most 1000 a call.
type SetRows struct {
	Token     Token
	Merchants [][]string
	Terminals [][]string
	Products  [][]string
}

// AdminReply answers TakeOwnership (with Token 0), ApplyProgramme and SetRows. Problems is empty on success; a process
// whose TakeOwnership has problems must stop.
type AdminReply struct {
	Token    Token
	Changed  int
	Problems []string
}

// Tick fires every deadline that lies at or before Input.At. The server sends one when NextDeadline has come.
type Tick struct{}
