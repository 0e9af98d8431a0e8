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
	// All slices are valid until the next Step.
	Events []*event.Event
	// Packed are the packed bodies of Events that are Reserved, "" for others.
	Packed []string
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

// APIOrigin is who asks over HTTP, and under which idempotency key. A request of a terminal has none.
type APIOrigin struct {
	Caller  string // name of the caller's token; what one caller made no other may see
	Request Hash   // of caller and idempotency key
	Content Hash   // of the request: the same key with other content is a conflict
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

	Serial Hash     // of the serial number that the terminal has named; zero = none
	Keys   *NewKeys // the working keys to deliver, nil on a line without keys
}

// SignOffRequest ends a terminal's session. Sales after it are answered 77 until it signs on again.
type SignOffRequest struct {
	Token Token
	Key   Key // class '8'
}

// EchoRequest is 0820 with 60.3 = 301: it proves the way to the engine and back, and changes nothing.
type EchoRequest SignOnRequest

// ReserveRequest is 0100 / F3 390000 / 60.1 96, or the same question from HTTP: then API is set, Key holds the merchant
// only, and the answer is an APIReply.
type ReserveRequest struct {
	Token   Token
	Key     Key
	Content Hash
	API     *APIOrigin

	Price money.Amount // DE4: final price after all discounts, before the subsidy
	Code  Hash         // one-time code shown at the till
	// Entitlement and Person name the entitlement where there is no code to scan, in an online shop. 0 = by Code.
	Entitlement uint64
	Person      Hash
	Barcode     string
	Serial      Hash   // zero when the request has none
	SerialMask  string // what receipts show
	SerialOK    bool   // the shell checked the form (length, characters)
	SerialIMEI  bool   // it is an IMEI: 15 digits with a right check digit, not all zero
	Order       string
	Components  []policy.Component
	OldItem     string // kind of the old item handed in, "" = none
	Delivery    string // division code of the delivery address, "" = none
	Position    Position
	Channel     string // store, qr, online
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
// sale that passes to the host. The pre-authorisation family is a SaleRequest of another Kind, and always ordinary.
type SaleRequest struct {
	Token   Token
	Key     Key
	Content Hash
	Kind    event.SaleKind

	Hold      uint64 // 0 = ordinary sale
	Amount    money.Amount
	ICCAmount money.Amount // 9F02 of DE55; -1 when absent
	Host      string       // host profile chosen by the shell's routing table
	EntryMode [3]byte      // DE22
	QR        bool
	Card      *event.Card // sealed by the shell
}

// VoidRequest is 0200 / F3 200000 / 60.1 23: the sale of the same day and batch is taken back as a whole.
type VoidRequest struct {
	Token   Token
	Key     Key
	Content Hash

	Amount   money.Amount
	RRN      string // DE37 of the sale, "" when absent
	Original Original
	Card     *event.Card // sealed by the shell
}

// RefundRequest is 0220 / F3 200000 / 60.1 25.
type RefundRequest struct {
	Token   Token
	Key     Key
	Content Hash

	Amount    money.Amount // DE4: what the payer is given back
	RRN       string       // DE37 of the sale
	Original  Original
	Card      *event.Card
	Activated bool // DE59 SO: the goods were activated
}

// Original is DE61: the batch, STAN and date of the message that this one is about. The zero Original is "not given".
type Original struct {
	Batch uint32
	STAN  uint32
	Date  string // MMDD, "" when absent: there is no year, the record has it
}

// InquiryRequest is 0200 / F3 310000 / 60.1 01: the balance of a card. It moves no money and its answer is not kept.
type InquiryRequest struct {
	Token   Token
	Key     Key
	Content Hash
	Host    string
	Card    *event.Card // of a wallet or card, for the link; not journaled
}

// StatusRequest is 0100 / F3 390000 / 60.1 98: how does a purchase stand, and what does its slip say? It is answered from
// memory, changes nothing and makes no event. Named by Hold, RRN or Original, in this order; by none of them it is the
// terminal's last purchase.
type StatusRequest struct {
	Token    Token
	Key      Key
	Hold     uint64
	RRN      string
	Original Original
}

// SettlementRequest is 0500 / 60.3 201: the terminal closes its batch.
type SettlementRequest struct {
	Token   Token
	Key     Key // class '5'; the batch is the one to close
	Content Hash
	Totals  Totals
	Subsidy bool // the message had subsidy totals: they are compared too
}

// Totals are the sums of one batch. Voided and reversed sales count as never made.
type Totals struct {
	Debit, Credit, Subsidy                money.Amount
	DebitCount, CreditCount, SubsidyCount uint32
}

// UploadRequest is 0320 / 60.3 201 with details: the terminal's own records of a closed batch.
type UploadRequest struct {
	Token   Token
	Key     Key // class '3'; the batch is the closed one
	Content Hash
	Records []UploadRecord
}

// UploadRecord is one detail of DE48.
type UploadRecord struct {
	STAN   uint32
	Card   Hash // token of the card number
	Amount money.Amount
}

// UploadEndRequest is 0320 / 60.3 202 (totals differed) or 207 (they were equal): all records were sent.
type UploadEndRequest struct {
	Token   Token
	Key     Key
	Content Hash
	Count   uint32 // records that the terminal says it has sent
	Equal   bool   // 207
}

// ReportRequest is what a terminal tells without asking: a script result (0620), a certificate (0320 / 60.3 203–206), its
// state (0820 / 60.3 362). It is kept and answered 00.
type ReportRequest struct {
	Token    Token
	Key      Key // class '6', '3' or '8'
	Content  Hash
	Kind     string // script, certificate, status
	Original Original
	RRN      string
	ICC      []byte // script result: tags 95 9F1E 9F10 9F36 DF31; certificate: also its cryptogram and what it is over
	Detail   string // status codes, printable
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
	Fresh    bool    // the request was none that the switch had seen, and of the open batch: no recording of an old one

	Batch uint32   // sign-on: DE60.2
	Keys  *KeyPair // sign-on: the working keys to deliver, nil on a line without keys

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

	Balance  []byte        // inquiry: DE54 as received
	Refund   *RefundView   // refund: what was given back
	Purchase *PurchaseView // status query
	Totals   *Totals       // settlement: as the switch has them
	Equal    bool          // settlement: reconciliation code 1, else 2
}

// RefundView is what a refund has done.
type RefundView struct {
	Amount   money.Amount // to the payer
	Returned money.Amount // of the subsidy, to the budget
	Kept     money.Amount // subsidy that stays with what is kept
}

// PurchaseView is a purchase as its terminal, its HTTP caller and operators may see it: no card number, no person.
type PurchaseView struct {
	ID       uint64
	State    PurchaseState
	Ordinary bool
	Kind     event.SaleKind

	Merchant, Terminal string
	Batch, STAN        uint32 // of the sale, else of the reserve
	Caller             string

	Price, Subsidy, Payable money.Amount // Subsidy is what it has now: less after a partial refund
	Amount                  money.Amount // what the payer was charged
	Refunded                money.Amount // given back to the payer so far
	Returned                money.Amount // of the subsidy, given back to the budget
	Refunding               money.Amount // in refunds without an end
	ReservedAt, ExpiresAt   int64
	SentAt                  int64

	Host, RRN, CardMask string
	EntryMode           string
	Reference           string // of a payment collected by the caller itself
	Answer              *event.HostAnswer
	Category, Barcode   string
	SerialMask          string
	Order               string
	PolicyVersion       string
	Marks               []string
	Manual              bool // recorded by hand
	Standing            bool // reversed in vain: the charge stands and is paid back by other means
}

// ---- Hosts ----------------------------------------------------------------------------------------------------------

// HostRequest goes to a host link. For a sale the link takes the original message that the shell keeps under Token; a
// reversal is built from the envelope alone, because after a restart nothing else is left.
type HostRequest struct {
	Host      string
	Kind      HostKind
	Token     Token // of the terminal request whose message is to be forwarded; 0 when there is none
	Purchase  uint64
	Operation uint64 // the void or refund it carries or takes back; 0 = the sale
	Reversal  uint64
	Attempt   uint32

	STAN          uint32 // DE11
	RRN           string // DE37
	TransmittedAt int64  // instant of DE7
	Deadline      int64  // the link need not keep the request longer than this
	Amount        money.Amount

	Card *event.Card
	Key  Key // of the terminal's message: DE41, DE42, DE60.2; of a reversal, that of its original

	// Of a reversal only: DE39, and DE3 of what is reversed.
	Reason     string
	Processing string
	// Of a reversal, void and refund: what they are about. Of a query: what is asked about.
	Original OriginalData
}

// OriginalData is what DE90 or DE61 says about an earlier message to the same host.
type OriginalData struct {
	STAN          uint32
	RRN           string
	TransmittedAt int64
	Amount        money.Amount
	Approval      string // DE38, "" when unknown
}

// HostKind says what a host is asked. The links to card networks know all but HostQuery, those to wallets all but
// HostInquiry.
type HostKind uint8

const (
	HostSale     HostKind = iota + 1 // charge: a sale, or a message of the pre-authorisation family
	HostReversal                     // undo a charge or a void; to a wallet: cancel a payment
	HostVoid                         // take a charge back on the day of the sale
	HostRefund                       // give back a charge or a part of it; never undone
	HostInquiry                      // a question that moves no money
	HostQuery                        // wallets: how did Original end? Operation tells a payment from a refund
)

// HostAnswered is an answer that a link matched or could not match (late). RRN is the switch's own number echoed by
// the host; when the profile does not echo it, the link resolves it by its match key, or leaves it empty and gives STAN
// and TransmittedAt.
//
// Kind is HostReversal for the answer of a reversal or cancellation, HostQuery for that of a query, and HostSale for every
// other: the RRN says which request it answers.
type HostAnswered struct {
	Host          string
	Kind          HostKind
	RRN           string
	STAN          uint32
	TransmittedAt string // DE7 as echoed, MMDDhhmmss
	Answer        event.HostAnswer
	Balance       []byte // DE54, which is passed on and not kept
	// Pending says that a wallet does not know yet: the payer is still typing the password, or the wallet has never heard
	// of the payment, which may still arrive.
	Pending bool
}

// HostUnsent says that a request certainly never left: the link was down or its queue full. A sale, void, refund or
// inquiry is declined; a reversal or query waits for its next attempt.
type HostUnsent struct {
	Kind      HostKind
	Purchase  uint64
	Operation uint64
	Reversal  uint64
	Attempt   uint32
	RRN       string
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

// CommitRequest is the second step over HTTP: the buyer pays. Either the caller has collected the payable itself
// (Reference), or the switch charges the buyer's wallet by its payment code (Host, Card).
type CommitRequest struct {
	Token     Token
	API       APIOrigin
	Purchase  uint64
	Amount    money.Amount // must be the payable
	Reference string       // of the caller's own payment
	Host      string       // wallet profile; "" with Reference
	Card      *event.Card  // the sealed payment code
}

// APICancelRequest gives a reservation back.
type APICancelRequest struct {
	Token    Token
	API      APIOrigin
	Purchase uint64
}

// APIRefundRequest gives a committed purchase back, as a whole or, where the policy allows, in part. Where the caller had
// collected the payment itself, Reference names the refund that it has paid.
type APIRefundRequest struct {
	Token     Token
	API       APIOrigin
	Purchase  uint64
	Amount    money.Amount // to the payer; 0 = all that is left
	Activated bool
	Reference string
}

// PurchaseRequest reads a purchase of the caller's own.
type PurchaseRequest struct {
	Token    Token
	Caller   string
	Purchase uint64
}

// ExternalHost is the host of a payment that an HTTP caller has collected itself: nothing is sent anywhere.
const ExternalHost = "external"

// APIReply answers an HTTP caller.
type APIReply struct {
	Token    Token
	Status   APIStatus
	Reasons  []reason.Code
	View     EntitlementView // claim, get, return, show code
	Quote    QuoteView
	CodeEnds int64 // show code: when it expires

	Purchase *PurchaseView // reserve, commit, cancel, refund, read
	Refund   *RefundView   // refund
	// Response is DE39 of a commit or refund that a wallet has declined, with APIDeclined.
	Response string
}

// APIStatus says what kind of answer it is; the gateway maps it to an HTTP status.
type APIStatus uint8

const (
	APIDone     APIStatus = iota + 1 // 200 or 201
	APIRefused                       // 422 with Reasons
	APINotFound                      // 404
	APIConflict                      // 409: same idempotency key, other content
	APIRepeated                      // 200: the original answer of an idempotent request
	APIDeclined                      // 402: the payer's wallet said no
	APIPending                       // 202: no end yet; ask again
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

// SetRows brings registry rows to the given values when the programme is first put into force; rows equal to the current
// ones make no event. At most 1000 a call. Later changes are acts of an operator; see Operate.
type SetRows struct {
	Token     Token
	Merchants [][]string
	Terminals [][]string
	Products  [][]string
}

// AdminReply answers TakeOwnership (with Token 0), ApplyProgramme, SetRows, Operate and Look. Problems is empty on
// success; a process whose TakeOwnership has problems must stop.
type AdminReply struct {
	Token    Token
	Changed  int
	Problems []string
	Events   []*event.Event // Operate: what has happened, or with DryRun what would
	Result   any            // Look: one of the *…View or []…View types it names
}

// Tick fires every deadline that lies at or before Input.At. The server sends one when NextDeadline has come.
type Tick struct{}
