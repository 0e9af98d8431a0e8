// Package receipt lays out the slip that a till prints on 58 mm paper: 32 half-width columns, Chinese characters taking
// two.
//
// It does not print, knows no message format and decides no amount. Card numbers and serial numbers are masked here, at
// the last step, so that a caller cannot put one on paper in clear by mistake.
//
// The contract: every line of the text is at most Columns wide as Width counts, ends with one newline, and holds no
// control character; a text too long for its line goes on in the next one, never cut off. Amounts are fen.
package receipt

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"huanxin/internal/money"
)

// Columns is the width of 58 mm paper in half-width characters (12 dots each of 384).
const Columns = 32

// shanghai is the zone of every time on a slip.
var shanghai = time.FixedZone("+08:00", 8*3600)

// Kind is what a slip is about.
type Kind uint8

const (
	// SubsidisedSale is a charged sale on a hold.
	SubsidisedSale Kind = iota + 1
	// OrdinarySale is a charged sale without subsidy.
	OrdinarySale
	// Reversal says that a sale was taken back.
	Reversal
	// Refusal says why a subsidy, a sale, or with Back a void or refund was refused. Nothing was charged or given back, but
	// when the answer code says that nobody knows yet.
	Refusal
	// Void says that a sale was taken back on its day.
	Void
	// VoidReversal says that a void was undone: the sale stands.
	VoidReversal
	// Refund says what was given back, and what of the subsidy went back to the budget.
	Refund
	// Reprint is the slip of an earlier purchase as it stands now.
	Reprint
	// Preauth and its void, Completion and its void are the family of pre-authorisation, without subsidy.
	Preauth
	PreauthVoid
	Completion
	CompletionVoid
)

// Slip is what a receipt says. Empty fields leave their line out.
type Slip struct {
	Kind     Kind
	Merchant string // name
	DE42     string // merchant number
	Terminal string // DE41
	Operator string
	Batch    uint32 // DE60.2
	STAN     uint32 // DE11
	RRN      string // DE37
	Approval string // DE38
	Card     string // number in clear or masked; printed 6+4
	QR       bool   // Card is a payment code
	At       time.Time

	Product string
	Serial  string // in clear or masked; printed masked
	Hold    uint64

	Price   money.Amount // 商品成交价: after all discounts, before the subsidy
	Subsidy money.Amount // 国家补贴
	Paid    money.Amount // 实付金额: what the payer is charged, or given back by a reversal

	// What a void, refund or reprint is about.
	OriginalBatch uint32
	OriginalSTAN  uint32
	OriginalRRN   string

	Returned money.Amount // refund: of the subsidy, to the budget
	Kept     money.Amount // refund: subsidy that stays with what is kept
	Refunded money.Amount // reprint: given back to the payer so far
	State    string       // reprint: how the purchase stands, such as captured

	Response string   // DE39
	Reasons  []string // Chinese texts of a refusal
	Back     bool     // refusal: of a void or refund
}

// AppendText appends the slip to dst.
func (s *Slip) AppendText(dst []byte) []byte {
	l := layout{dst: dst}
	l.rule('=')
	l.centre("焕新补贴 签购单")
	l.centre(s.title())
	l.rule('-')
	s.party(&l)
	s.transaction(&l)
	s.goods(&l)
	s.amounts(&l)
	s.remarks(&l)
	l.rule('=')
	return l.dst
}

var titles = map[Kind]string{
	SubsidisedSale: "消费（国家补贴）", OrdinarySale: "消费", Reversal: "冲正", Refusal: "交易未成功", Void: "消费撤销",
	VoidReversal: "撤销冲正", Refund: "退货", Reprint: "交易查询（重印）", Preauth: "预授权", PreauthVoid: "预授权撤销",
	Completion: "预授权完成", CompletionVoid: "预授权完成撤销",
}

func (s *Slip) title() string { return titles[s.Kind] }

// states are the words for how a purchase stands.
var states = map[string]string{
	"reserved": "已预占", "expired": "预占过期", "cancelled": "已取消", "sent": "处理中", "captured": "已付款", "declined": "未成功",
	"unknown": "结果待确认", "reversing": "冲正中", "reversed": "已冲正", "charged": "已扣款，另行退还", "voiding": "撤销中", "voided": "已撤销",
	"refunding": "退货中", "refunded": "已退货",
}

// StateText is the Chinese word for the state of a purchase; a state that it does not know stays as it is.
func StateText(state string) string {
	if text, known := states[state]; known {
		return text
	}
	return state
}

func (s *Slip) party(l *layout) {
	l.pair("商户名称", s.Merchant)
	l.pair("商户编号", s.DE42)
	l.pair("终端编号", s.Terminal)
	l.pair("操作员", s.Operator)
}

func (s *Slip) transaction(l *layout) {
	label := "卡号"
	if s.QR {
		label = "付款码"
	}
	l.pair(label, MaskCard(s.Card))
	if s.Batch != 0 {
		l.pair("批次号", fmt.Sprintf("%06d", s.Batch))
	}
	if s.STAN != 0 {
		l.pair("凭证号", fmt.Sprintf("%06d", s.STAN))
	}
	l.pair("授权码", s.Approval)
	l.pair("参考号", s.RRN)
	if s.OriginalBatch != 0 {
		l.pair("原批次号", fmt.Sprintf("%06d", s.OriginalBatch))
	}
	if s.OriginalSTAN != 0 {
		l.pair("原凭证号", fmt.Sprintf("%06d", s.OriginalSTAN))
	}
	l.pair("原参考号", s.OriginalRRN)
	if !s.At.IsZero() {
		l.pair("日期时间", s.At.In(shanghai).Format("2006/01/02 15:04:05"))
	}
}

func (s *Slip) goods(l *layout) {
	if s.Product == "" && s.Serial == "" && s.Hold == 0 {
		return
	}
	l.rule('-')
	l.pair("商品", s.Product)
	l.pair("序列号", MaskSerial(s.Serial))
	if s.Hold != 0 {
		l.pair("补贴预占号", fmt.Sprintf("%012d", s.Hold))
	}
}

func (s *Slip) amounts(l *layout) {
	if s.Kind == Refusal && s.Price == 0 {
		return
	}
	l.rule('-')
	switch s.Kind {
	case SubsidisedSale:
		l.pair("商品成交价", Yuan(s.Price))
		l.pair("国家补贴", Yuan(-s.Subsidy))
		l.pair("实付金额", Yuan(s.Paid))
	case OrdinarySale, VoidReversal:
		l.pair("实付金额", Yuan(s.Paid))
	case Preauth:
		l.pair("授权金额", Yuan(s.Paid))
	case PreauthVoid:
		l.pair("解除金额", Yuan(s.Paid))
	case Completion:
		l.pair("完成金额", Yuan(s.Paid))
	case CompletionVoid:
		l.pair("退回金额", Yuan(s.Paid))
	case Reversal, Void:
		l.pair("退回金额", Yuan(s.Paid))
		if s.Subsidy != 0 {
			l.pair("补贴已撤销", Yuan(s.Subsidy))
		}
	case Refund:
		l.pair("退款金额", Yuan(s.Paid))
		if s.Returned != 0 || s.Kept != 0 {
			l.pair("收回补贴", Yuan(s.Returned))
			l.pair("保留补贴", Yuan(s.Kept))
		}
	case Reprint:
		s.standing(l)
	case Refusal:
		l.pair("商品成交价", Yuan(s.Price))
	}
}

// standing prints what a purchase comes to now.
func (s *Slip) standing(l *layout) {
	if s.Subsidy != 0 {
		l.pair("商品成交价", Yuan(s.Price))
		l.pair("国家补贴", Yuan(-s.Subsidy))
	}
	l.pair("交易金额", Yuan(s.Paid))
	if s.Refunded != 0 {
		l.pair("已退金额", Yuan(s.Refunded))
	}
	l.pair("当前状态", StateText(s.State))
}

func (s *Slip) remarks(l *layout) {
	switch s.Kind {
	case Refusal:
		l.rule('-')
		l.pair("应答码", s.Response)
		for _, reason := range s.Reasons {
			l.text(reason)
		}
		l.text(s.outcome())
	case Reversal, Void:
		l.rule('-')
		l.text("原交易已撤销，款项原路退回")
	case VoidReversal:
		l.rule('-')
		l.text("撤销未成立，原消费有效")
	case Refund:
		l.rule('-')
		if s.Returned != 0 || s.Kept != 0 {
			l.text("款项原路退回；收回的补贴退还补贴资金，不退现金")
		} else {
			l.text("款项原路退回")
		}
	case SubsidisedSale:
		l.rule('-')
		l.text("国家补贴由商户先行垫付，退货时补贴不退现金")
	}
}

// outcome says what an answer that is no approval means for the payer's money.
func (s *Slip) outcome() string {
	unknown := s.Response == "98" || s.Response == "68"
	switch {
	case unknown && s.Back:
		return "退款结果待确认，请勿重复操作"
	case unknown:
		return "如已扣款，将自动原路退回"
	case s.Back:
		return "未退款"
	}
	return "未扣款"
}

// Yuan prints an amount as ￥1234.56, a negative one as -￥1234.56.
func Yuan(a money.Amount) string {
	sign := ""
	magnitude := uint64(a)
	if a < 0 {
		sign, magnitude = "-", -magnitude
	}
	return fmt.Sprintf("%s￥%d.%02d", sign, magnitude/100, magnitude%100)
}

// MaskCard keeps the first 6 and last 4 characters of a card number or payment code; one that is too short to hide
// anything between them is hidden as a whole. A number that is masked already stays as it is.
func MaskCard(number string) string { return mask(number, 6, 4) }

// MaskSerial keeps at most half of a serial number or IMEI: the first 3 and last 4 characters of a long one, less of a
// short one, the same as the switch's own answers show.
func MaskSerial(serial string) string {
	switch n := utf8.RuneCountInString(serial); {
	case n < 6:
		return mask(serial, 0, 0)
	case n < 10:
		return mask(serial, 1, 2)
	case n < 14:
		return mask(serial, 2, 3)
	}
	return mask(serial, 3, 4)
}

// mask hides everything but the ends; a text of which less than three characters would be hidden is hidden as a whole.
func mask(text string, first, last int) string {
	runes := []rune(text)
	if len(runes) < first+last+3 {
		return strings.Repeat("*", len(runes))
	}
	for i := first; i < len(runes)-last; i++ {
		runes[i] = '*'
	}
	return string(runes)
}
