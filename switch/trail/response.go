package trail

// responses are the codes of DE39 in few words; the document of the terminal interface has them all.
var responses = map[string]Text{
	"00": {"成功", "approved"},
	"03": {"无效商户", "merchant refused"},
	"05": {"不予承兑", "do not honour"},
	"10": {"部分批准", "approved in part"},
	"11": {"成功，VIP 客户", "approved"},
	"12": {"无效交易", "invalid, or nothing to undo"},
	"13": {"无效金额", "wrong amount"},
	"14": {"无效卡号", "wrong card"},
	"22": {"故障怀疑，操作不当", "cannot be undone any more"},
	"25": {"未找到原交易", "original unknown"},
	"30": {"报文格式错误", "malformed"},
	"40": {"不支持的交易", "not offered"},
	"51": {"余额不足", "insufficient funds"},
	"54": {"过期卡", "expired card"},
	"55": {"密码错", "wrong PIN"},
	"57": {"不允许的交易", "refused with reasons"},
	"58": {"终端不允许的交易", "terminal refused"},
	"64": {"原金额不正确", "not the amount of the original"},
	"68": {"应答超时", "no end yet"},
	"77": {"请重新签到", "sign on again"},
	"91": {"发卡方不可用", "host not reached"},
	"92": {"无法路由", "no route"},
	"94": {"重复交易", "duplicate"},
	"96": {"系统异常", "system fault or overload"},
	"97": {"终端未登记", "terminal unknown"},
	"98": {"未收到应答", "no answer"},
	"A2": {"有缺陷的成功", "approved"},
	"A4": {"有缺陷的成功", "approved"},
	"A5": {"有缺陷的成功", "approved"},
	"A6": {"有缺陷的成功", "approved"},
}

// responseText is a code of DE39 with its meaning.
func responseText(code string) string {
	t, ok := responses[code]
	if !ok {
		return code
	}
	return code + " " + t.ZH + " " + t.EN
}

// causeText is DE39 of a terminal's reversal: why it wants it.
func causeText(code string) string {
	switch code {
	case "98":
		return "98 终端未收到应答 no answer"
	case "96":
		return "96 终端故障 terminal fault"
	case "A0":
		return "A0 应答校验错 MAC of the answer wrong"
	case "06":
		return "06 其他 other"
	}
	return code
}
