package terminal

import (
	"strconv"

	"huanxin/switch/engine"
	"huanxin/switch/iso8583"
)

// refusal is an answer that the front gives by itself; nothing has reached the engine. A zero code means that the
// message cannot even be answered, and its connection is given up.
type refusal struct {
	code [2]byte
	text string // Chinese, for DE59 SC
}

var (
	approved    = [2]byte{'0', '0'}
	malformed   = [2]byte{'3', '0'}
	unsupported = [2]byte{'4', '0'}
	badAmount   = [2]byte{'1', '3'}
	tooLittle   = [2]byte{'5', '1'}
	overloaded  = [2]byte{'9', '6'}
	neverSent   = [2]byte{'9', '1'}

	unregistered = [2]byte{'9', '7'}
)

// overload is the answer to what is not taken because there is too much of it.
var overload = &refusal{overloaded, codeTexts[overloaded]}

func field(n int) string { return "域" + strconv.Itoa(n) }

func missing(what string) *refusal    { return &refusal{malformed, "报文缺少" + what} }
func wrong(what string) *refusal      { return &refusal{malformed, "报文" + what + "格式错误"} }
func tag59(name string) string        { return "域59标签" + name }
func unreadable() *refusal            { return &refusal{} }
func notOffered(text string) *refusal { return &refusal{unsupported, text} }

// misparsed answers a message that the codec refused. Field 1 is the bitmap; what does not belong to any field comes
// from a bitmap that does not fit the body.
func misparsed(e *iso8583.ParseError) *refusal {
	if e == nil || e.Field <= 1 || e.Reason == iso8583.Trailing || e.Reason == iso8583.Undefined {
		return wrong("位图")
	}
	return wrong(field(e.Field))
}

// codeTexts is what a cashier reads when the switch itself answers with a code and gives neither reasons nor a text.
// An issuer's answer is the terminal's own business: it has the card network's table.
var codeTexts = map[[2]byte]string{
	{'0', '3'}: "商户未登记或未准入",
	{'1', '2'}: "原交易未成功，无需冲正",
	{'1', '3'}: "金额无效",
	{'1', '4'}: "须使用原支付卡",
	{'2', '2'}: "原交易状态不允许此操作",
	{'2', '5'}: "未找到原交易",
	{'3', '0'}: "报文格式错误",
	{'4', '0'}: "不支持的交易",
	{'5', '1'}: "部分授权已撤销，请换卡支付",
	{'5', '7'}: "不符合补贴条件",
	{'5', '8'}: "终端已停用",
	{'6', '4'}: "金额与原交易不符",
	{'6', '8'}: "结果待确认，请查询，勿重复操作",
	{'7', '7'}: "批次号不符，请重新签到",
	{'9', '1'}: "支付渠道暂不可用，未扣款",
	{'9', '2'}: "未配置支付渠道，未扣款",
	{'9', '4'}: "流水号重复，请换流水号重试",
	{'9', '6'}: "系统繁忙，请稍后重试",
	{'9', '7'}: "终端未登记",
	{'9', '8'}: "支付渠道应答超时，交易已冲正",
}

// kindTexts stand before codeTexts: what a code of the switch means for money depends on what was asked.
var kindTexts = map[kind]map[[2]byte]string{
	kindBalance: {
		{'9', '1'}: "支付渠道暂不可用",
		{'9', '2'}: "未配置支付渠道",
		{'9', '8'}: "支付渠道应答超时，请重新查询",
	},
	kindVoid: {
		{'9', '1'}: "支付渠道暂不可用，未撤销",
		{'9', '2'}: "未配置支付渠道，未撤销",
		{'9', '8'}: "支付渠道应答超时，撤销未成功",
	},
	kindRefund: {
		{'1', '2'}: "退货未成功",
		{'9', '1'}: "支付渠道暂不可用，未退货",
		{'9', '2'}: "未配置支付渠道，未退货",
		{'9', '8'}: "结果待确认，请查询，勿重复操作",
	},
}

// totalsText is what the cashier reads when the totals of a settlement differ.
const totalsText = "对账不平，请上送明细"

// codeText is the text of an answer's code.
func codeText(k kind, r *engine.Reply) string {
	if k == kindSettlement && r.Response == approved && r.Totals != nil && !r.Equal {
		return totalsText
	}
	if text, ok := kindTexts[k][r.Response]; ok {
		return text
	}
	return codeTexts[r.Response]
}
