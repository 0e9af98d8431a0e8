// Package reason is the catalogue of refusals: why a subsidy was not given, under a code that never changes, in
// Chinese for the till and in English for integrators (P5: "with the concrete reason").
//
// It decides nothing. Codes are stable for ever: they stand in journals, in DE59 tag SB and in other people's
// programs. A code is retired, never renumbered or reused.
package reason

import "slices"

// Code identifies one refusal. The zero Code is "no refusal". Its number is what the journal holds.
type Code uint16

// The numbers are grouped by the question that failed; gaps leave room.
const (
	None Code = 0

	// Programme and policy.
	ProgrammeNotOpen    Code = 100 // outside the validity of every policy version
	CityNotOpen         Code = 101 // the city does not take part at that instant
	CategoryNotOpen     Code = 102 // the category does not take part in that city or channel at that instant
	ChannelNotOpen      Code = 103 // the channel does not take part
	MerchantNotInScheme Code = 104 // the merchant is excluded by a policy override
	ApplicationOnly     Code = 105 // paid on application after the sale, never at the till
	Paused              Code = 106 // the operator paused the city, channel or category

	// Product.
	ProductUnknown     Code = 200 // the barcode is not in the product library
	ProductWithdrawn   Code = 201 // the product is in the library but not admitted now
	GradeNotEligible   Code = 202 // the efficiency grade, label kind or attribute has no rate
	CategoryMismatch   Code = 203 // the product's category is not the entitlement's
	SerialMissing      Code = 204 // the category demands a serial number or IMEI
	SerialMalformed    Code = 205
	SerialUsed         Code = 206 // a live or captured purchase holds this serial
	OldItemMissing     Code = 207 // the category demands a handed-in old item
	MerchantNotAllowed Code = 208 // the merchant may not sell this category

	// Price and amount.
	PriceAboveCeiling     Code = 300
	PriceInvalid          Code = 301 // zero, negative after components, or above what DE4 can carry
	SubsidyTooSmall       Code = 302 // the rate gives less than the minimum, at least one fen
	ComponentNotAllowed   Code = 303 // a discount or payment component the policy does not know
	ComponentsExceedPrice Code = 304
	OrderCapReached       Code = 305
	PersonCapReached      Code = 306
	OrderMissing          Code = 307 // the category has a cap per order and the request names none

	// Person and entitlement.
	EntitlementUnknown     Code = 400 // no such code or entitlement
	EntitlementExpired     Code = 401
	EntitlementUsed        Code = 402 // used up or held by another purchase
	EntitlementReturned    Code = 403
	EntitlementNotYours    Code = 404 // the entitlement belongs to another person
	CodeExpired            Code = 405 // the one-time code is older than its 60 seconds
	CodeUsed               Code = 406 // the one-time code was already spent
	ChannelMismatch        Code = 407 // claimed for another channel
	QuotaUsed              Code = 408 // the person has had all items of this category
	ExclusionGroup         Code = 409 // the person used a category that excludes this one
	ClaimLimit             Code = 410 // claimed as often as the policy allows
	ClaimClosed            Code = 411 // outside the daily claim hours
	ClaimActive            Code = 412 // the person already holds an unused entitlement of this category
	PersonNotEligible      Code = 413 // identity document kind not admitted
	EntitlementUnavailable Code = 414 // frozen while a refund or a host answer is open

	// Place (D6).
	PositionMissing   Code = 500
	PositionStale     Code = 501
	PositionOutside   Code = 502 // outside the province
	PositionOtherCity Code = 503 // inside the province, in a city the policy does not allow
	PositionMalformed Code = 504
	DeliveryOutside   Code = 505 // the delivery address is outside the province
	DeliveryMissing   Code = 506
	PositionUncertain Code = 507 // on a border, in none of the merchant's possible cities

	// Money.
	BudgetExhausted Code = 600
	BudgetUnknown   Code = 601 // no budget leaf exists for city, channel, category and round
	RoundClosed     Code = 602

	// Hold.
	HoldUnknown     Code = 700
	HoldExpired     Code = 701
	HoldCancelled   Code = 702
	HoldOtherParty  Code = 703 // the hold belongs to another terminal or merchant
	HoldConsumed    Code = 704 // a sale on this hold was already sent
	PayableMismatch Code = 705 // DE4 or 9F02 differs from the hold's payable
	PriceBelowPaid  Code = 706

	// After the sale.
	VoidClosed          Code = 710 // another batch or clearing day: only a refund is left
	NotOriginalCard     Code = 711
	RefundClosed        Code = 712 // the refund window of the sale's policy is over
	RefundWholeOnly     Code = 713 // the policy of the sale knows no partial refund
	RefundExceeds       Code = 714 // with refunds in flight more than was paid
	OriginalNotCaptured Code = 715 // the purchase has not been paid, or its end is not known
	OriginalUndone      Code = 716 // voided, reversed or refunded already
	OriginalBusy        Code = 717 // a void, refund or reversal of it is under way
	OriginalMismatch    Code = 718 // batch, STAN, date or amount are not the original's
	RefundNotReversible Code = 719 // a refund is never reversed
	ReversalTooLate     Code = 720 // another batch, clearing day or message came before the 0400
	OutcomePending      Code = 721 // no answer yet; what is done is not undone, ask for the status

	// The operator.
	Stopped Code = 730 // merchant or terminal is stopped by the kill switch

	RiskRefused   Code = 800
	OverloadRetry Code = 900 // the switch is at its high-water mark; nothing was held
	RequestStale  Code = 901 // its turn came when the terminal had given it up; nothing was held or charged
)

// Text is one reason in the two languages of the system.
type Text struct {
	Name string // stable name, such as PRICE_ABOVE_CEILING
	ZH   string // at most 40 characters: it must fit a cashier's display
	EN   string
}

var texts = map[Code]Text{
	ProgrammeNotOpen:    {"PROGRAMME_NOT_OPEN", "补贴活动未开始或已结束", "the programme is not open at this time"},
	CityNotOpen:         {"CITY_NOT_OPEN", "该城市暂未开放补贴", "the city is not open at this time"},
	CategoryNotOpen:     {"CATEGORY_NOT_OPEN", "该品类暂未开放补贴", "the category is not open at this time"},
	ChannelNotOpen:      {"CHANNEL_NOT_OPEN", "该渠道不参与补贴", "the channel does not take part"},
	MerchantNotInScheme: {"MERCHANT_NOT_IN_SCHEME", "该商户不参与此项补贴", "the merchant does not take part"},
	ApplicationOnly:     {"APPLICATION_ONLY", "该品类须购后申领，不支持立减", "this category is paid on application, not at the till"},
	Paused:              {"PAUSED", "补贴已暂停", "the subsidy is paused"},

	ProductUnknown:     {"PRODUCT_UNKNOWN", "商品条码未入库", "the barcode is not in the product library"},
	ProductWithdrawn:   {"PRODUCT_WITHDRAWN", "该商品暂不享受补贴", "the product is not admitted at this time"},
	GradeNotEligible:   {"GRADE_NOT_ELIGIBLE", "能效或水效等级不符合补贴标准", "the efficiency grade is not eligible"},
	CategoryMismatch:   {"CATEGORY_MISMATCH", "商品品类与补贴资格不符", "the product is not in the entitlement's category"},
	SerialMissing:      {"SERIAL_MISSING", "缺少商品序列号", "the serial number is missing"},
	SerialMalformed:    {"SERIAL_MALFORMED", "商品序列号格式错误", "the serial number is malformed"},
	SerialUsed:         {"SERIAL_USED", "该序列号已享受过补贴", "the serial number has been used"},
	OldItemMissing:     {"OLD_ITEM_MISSING", "须交售旧品", "an old item must be handed in"},
	MerchantNotAllowed: {"MERCHANT_CATEGORY", "该商户不可销售此补贴品类", "the merchant is not admitted for this category"},

	PriceAboveCeiling:     {"PRICE_ABOVE_CEILING", "商品成交价超过补贴限价", "the price is above the ceiling"},
	PriceInvalid:          {"PRICE_INVALID", "商品成交价无效", "the price is not valid"},
	SubsidyTooSmall:       {"SUBSIDY_TOO_SMALL", "补贴金额不足最低标准", "the subsidy would be below the minimum"},
	ComponentNotAllowed:   {"COMPONENT_NOT_ALLOWED", "不支持的优惠或支付构成", "a price component is not allowed"},
	ComponentsExceedPrice: {"COMPONENTS_EXCEED_PRICE", "优惠金额超过商品价格", "the price components exceed the price"},
	OrderCapReached:       {"ORDER_CAP_REACHED", "已达单笔订单补贴上限", "the cap per order is reached"},
	PersonCapReached:      {"PERSON_CAP_REACHED", "已达个人补贴上限", "the cap per person is reached"},
	OrderMissing:          {"ORDER_MISSING", "缺少订单号", "the order reference is missing"},

	EntitlementUnknown:     {"ENTITLEMENT_UNKNOWN", "补贴资格不存在", "no such entitlement"},
	EntitlementExpired:     {"ENTITLEMENT_EXPIRED", "补贴资格已过期", "the entitlement has expired"},
	EntitlementUsed:        {"ENTITLEMENT_USED", "补贴资格已使用", "the entitlement is used or held"},
	EntitlementReturned:    {"ENTITLEMENT_RETURNED", "补贴资格已退回", "the entitlement was returned"},
	EntitlementNotYours:    {"ENTITLEMENT_NOT_YOURS", "补贴资格不属于本人", "the entitlement belongs to another person"},
	CodeExpired:            {"CODE_EXPIRED", "资格码已失效，请刷新", "the code has expired"},
	CodeUsed:               {"CODE_USED", "资格码已被使用，请刷新", "the code was already used"},
	ChannelMismatch:        {"CHANNEL_MISMATCH", "资格领取渠道与交易渠道不符", "the entitlement was claimed for another channel"},
	QuotaUsed:              {"QUOTA_USED", "该品类补贴件数已用完", "no items are left in this category"},
	ExclusionGroup:         {"EXCLUSION_GROUP", "已享受互斥品类补贴", "a category that excludes this one was used"},
	ClaimLimit:             {"CLAIM_LIMIT", "领取次数已达上限", "claimed as often as allowed"},
	ClaimClosed:            {"CLAIM_CLOSED", "不在领取时间内", "outside the claim hours"},
	ClaimActive:            {"CLAIM_ACTIVE", "已有未使用的补贴资格", "an unused entitlement is already held"},
	PersonNotEligible:      {"PERSON_NOT_ELIGIBLE", "证件类型不符合要求", "the identity document is not admitted"},
	EntitlementUnavailable: {"ENTITLEMENT_UNAVAILABLE", "补贴资格处理中，请稍后", "the entitlement is being settled"},

	PositionMissing:   {"POSITION_MISSING", "缺少位置信息", "the position is missing"},
	PositionStale:     {"POSITION_STALE", "位置信息已过时", "the position is too old"},
	PositionOutside:   {"POSITION_OUTSIDE", "交易位置不在省内", "the position is outside the province"},
	PositionOtherCity: {"POSITION_OTHER_CITY", "交易位置不在允许的城市", "the position is in a city that is not allowed"},
	PositionMalformed: {"POSITION_MALFORMED", "位置信息格式错误", "the position is malformed"},
	DeliveryOutside:   {"DELIVERY_OUTSIDE", "收货地址不在省内", "the delivery address is outside the province"},
	DeliveryMissing:   {"DELIVERY_MISSING", "缺少收货地址", "the delivery address is missing"},
	PositionUncertain: {"POSITION_UNCERTAIN", "位置处于交界处，无法确认", "the position is on a border"},

	BudgetExhausted: {"BUDGET_EXHAUSTED", "补贴资金已用完", "the budget is exhausted"},
	BudgetUnknown:   {"BUDGET_UNKNOWN", "未安排该项补贴资金", "no budget is assigned"},
	RoundClosed:     {"ROUND_CLOSED", "本轮补贴尚未发放或已结束", "no release round is open"},

	HoldUnknown:         {"HOLD_UNKNOWN", "补贴预占不存在", "no such hold"},
	HoldExpired:         {"HOLD_EXPIRED", "补贴预占已过期，请重新发起", "the hold has expired"},
	HoldCancelled:       {"HOLD_CANCELLED", "补贴预占已取消", "the hold was cancelled"},
	HoldOtherParty:      {"HOLD_OTHER_PARTY", "补贴预占不属于本终端", "the hold belongs to another terminal"},
	HoldConsumed:        {"HOLD_CONSUMED", "补贴预占已使用", "the hold was already used"},
	PayableMismatch:     {"PAYABLE_MISMATCH", "付款金额与应付金额不符", "the amount differs from the payable"},
	PriceBelowPaid:      {"PRICE_BELOW_PAID", "已付金额超过应付金额", "prior payments exceed the payable"},
	VoidClosed:          {"VOID_CLOSED", "已结算或已日切，请办理退货", "the batch or clearing day is over: refund instead"},
	NotOriginalCard:     {"NOT_ORIGINAL_CARD", "须使用原支付卡", "not the card that paid"},
	RefundClosed:        {"REFUND_CLOSED", "已超过退货期限", "the refund window is over"},
	RefundWholeOnly:     {"REFUND_WHOLE_ONLY", "该商品须整件退货", "only the whole item can be refunded"},
	RefundExceeds:       {"REFUND_EXCEEDS", "退货金额超过可退金额", "more than is left to refund"},
	OriginalNotCaptured: {"ORIGINAL_NOT_CAPTURED", "原交易未完成支付", "the original purchase is not paid"},
	OriginalUndone:      {"ORIGINAL_UNDONE", "原交易已撤销、冲正或退货", "the original is voided, reversed or refunded"},
	OriginalBusy:        {"ORIGINAL_BUSY", "原交易处理中，请稍后再试", "the original is being worked on"},
	OriginalMismatch:    {"ORIGINAL_MISMATCH", "原交易信息不符", "the data of the original do not match"},
	RefundNotReversible: {"REFUND_NOT_REVERSIBLE", "退货不可冲正，请查询退货结果", "a refund is never reversed"},
	ReversalTooLate:     {"REVERSAL_TOO_LATE", "已过冲正时限，转人工处理", "too late to reverse, a person will look"},
	OutcomePending:      {"OUTCOME_PENDING", "结果待确认，请查询，勿重复操作", "the outcome is not known yet"},

	Stopped: {"STOPPED", "已被运营方停止交易", "stopped by the operator"},

	RiskRefused:   {"RISK_REFUSED", "交易未通过风险检查", "refused by risk control"},
	OverloadRetry: {"OVERLOAD_RETRY", "系统繁忙，请稍后重试", "the switch is busy, try again"},
	RequestStale:  {"REQUEST_STALE", "系统繁忙，请求已过时未受理", "the request waited too long and was dropped"},
}

// Text returns the texts of c. An unknown code, which only a newer journal can hold, prints as its number.
func (c Code) Text() Text {
	if t, ok := texts[c]; ok {
		return t
	}
	return Text{Name: "UNKNOWN", ZH: "未知原因", EN: "unknown reason"}
}

// String returns the stable name.
func (c Code) String() string { return c.Text().Name }

// All returns every catalogued code in ascending order, for documents and tests.
func All() []Code {
	codes := make([]Code, 0, len(texts))
	for c := range texts {
		codes = append(codes, c)
	}
	slices.Sort(codes)
	return codes
}
