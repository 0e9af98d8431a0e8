package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"huanxin/subsidy/reason"
)

// code names a kind of error. Codes are stable for ever: they stand in other people's programs.
type code string

const (
	codeUnreadable       code = "MALFORMED_REQUEST"
	codeMalformed        code = "MALFORMED_JSON"
	codeUnknownField     code = "UNKNOWN_FIELD"
	codeMissingField     code = "MISSING_FIELD"
	codeInvalidField     code = "INVALID_FIELD"
	codeUnauthenticated  code = "UNAUTHENTICATED"
	codeNoSuchPath       code = "NO_SUCH_PATH"
	codeNotFound         code = "ENTITLEMENT_NOT_FOUND"
	codePurchaseNotFound code = "PURCHASE_NOT_FOUND"
	codeWalletNotFound   code = "WALLET_NOT_FOUND"
	codeMethod           code = "METHOD_NOT_ALLOWED"
	codeSlowBody         code = "REQUEST_TIMEOUT"
	codeConflict         code = "IDEMPOTENCY_CONFLICT"
	codeTooLarge         code = "BODY_TOO_LARGE"
	codeMediaType        code = "UNSUPPORTED_MEDIA_TYPE"
	codePaymentDeclined  code = "PAYMENT_DECLINED"
	codeRefundDeclined   code = "REFUND_DECLINED"
	codeNotification     code = "NOTIFICATION_MALFORMED"
	codeSignature        code = "SIGNATURE_INVALID"
	codeNoWallet         code = "WALLET_NOT_CONNECTED"
	codeRefused          code = "REFUSED"
	codeTooMany          code = "TOO_MANY_REQUESTS"
	codeInternal         code = "INTERNAL_ERROR"
	codeOverloaded       code = "OVERLOADED"
	codeNoAnswer         code = "NO_ANSWER"
)

// problemKinds is the error catalogue; docs/interface/http.md repeats it and a test compares the two.
var problemKinds = map[code]struct {
	status int
	en, zh string
}{
	codeUnreadable:       {http.StatusBadRequest, "this cannot be read as a request", "无法识别的请求"},
	codeMalformed:        {http.StatusBadRequest, "the body is not one JSON object", "请求体不是合法的 JSON 对象"},
	codeUnknownField:     {http.StatusBadRequest, "the body has a field that does not exist here", "请求含有未定义的字段"},
	codeMissingField:     {http.StatusBadRequest, "a required field or header is missing", "缺少必填字段或请求头"},
	codeInvalidField:     {http.StatusBadRequest, "a field or header is not valid", "字段或请求头无效"},
	codeUnauthenticated:  {http.StatusUnauthorized, "a valid bearer token is required", "缺少有效的访问令牌"},
	codeNoSuchPath:       {http.StatusNotFound, "there is nothing at this path", "路径不存在"},
	codeNotFound:         {http.StatusNotFound, "there is no such entitlement", "补贴资格不存在"},
	codePurchaseNotFound: {http.StatusNotFound, "you have no such purchase", "交易不存在"},
	codeWalletNotFound:   {http.StatusNotFound, "there is no such wallet", "钱包不存在"},
	codePaymentDeclined:  {http.StatusPaymentRequired, "the wallet has declined the payment", "钱包支付未成功"},
	codeRefundDeclined:   {http.StatusPaymentRequired, "the wallet has declined the refund", "钱包退款未成功"},
	codeMethod:           {http.StatusMethodNotAllowed, "this path does not take this method", "不支持该请求方法"},
	codeSlowBody:         {http.StatusRequestTimeout, "the request did not arrive in time", "请求接收超时"},
	codeConflict:         {http.StatusConflict, "this idempotency key was used for another request", "该幂等键已用于其他请求"},
	codeTooLarge:         {http.StatusRequestEntityTooLarge, "the body is too large", "请求体过大"},
	codeMediaType:        {http.StatusUnsupportedMediaType, "the body must be application/json in UTF-8", "请求体须为 UTF-8 的 application/json"},
	codeNotification:     {http.StatusBadRequest, "this is no notification of the wallet", "不是有效的钱包通知"},
	codeSignature:        {http.StatusUnauthorized, "not signed by the wallet, or not now", "钱包签名无效或已过时"},
	codeNoWallet:         {http.StatusUnprocessableEntity, "no wallet is connected: collect the payment yourself", "未接入钱包，请自行收款"},
	codeRefused:          {http.StatusUnprocessableEntity, "refused by the programme's rules", "不符合补贴规则"},
	codeTooMany:          {http.StatusTooManyRequests, "too many of your requests at a time", "请求过多，请稍后重试"},
	codeInternal:         {http.StatusInternalServerError, "the switch could not answer", "系统异常，请联系运营方"},
	codeOverloaded:       {http.StatusServiceUnavailable, "the switch is busy: this request was not processed, an earlier one with its key stands", "系统繁忙，请稍后重试"},
	codeNoAnswer:         {http.StatusGatewayTimeout, "no decision in time; it may still be taken", "处理超时，结果未知"},
}

// retryAfter is what Retry-After says, in seconds, with 429 and 503: the queue in front of the engine empties within one.
const retryAfter = "1"

// problem is an RFC 9457 problem, the body of every answer from 400 on.
type problem struct {
	Type      string       `json:"type"`
	Title     string       `json:"title"`
	TitleZH   string       `json:"title_zh"`
	Status    int          `json:"status"`
	Code      code         `json:"code"`
	Detail    string       `json:"detail,omitempty"`    // what to change; never repeats a value
	Field     string       `json:"field,omitempty"`     // which field or header
	Reasons   []reasonText `json:"reasons,omitempty"`   // with REFUSED and, for the rush, OVERLOADED
	Reference string       `json:"reference,omitempty"` // with INTERNAL_ERROR: the number in the log
	Response  string       `json:"response,omitempty"`  // with PAYMENT_DECLINED and REFUND_DECLINED: the wallet's answer code

	allow string // with METHOD_NOT_ALLOWED
	text  []byte // the body, where it is known beforehand
}

// reasonText is one refusal in both languages.
type reasonText struct {
	Code string `json:"code"`
	ZH   string `json:"zh"`
	EN   string `json:"en"`
}

func newProblem(c code) *problem {
	kind := problemKinds[c]
	return &problem{Type: problemTypes[c], Title: kind.en, TitleZH: kind.zh, Status: kind.status, Code: c}
}

// malformed is the problem of a body, unreadable that of a request.
func malformed(detail string, args ...any) *problem { return detailed(codeMalformed, detail, args...) }
func unreadable(detail string, args ...any) *problem {
	return detailed(codeUnreadable, detail, args...)
}

func detailed(c code, detail string, args ...any) *problem {
	p := newProblem(c)
	p.Detail = fmt.Sprintf(detail, args...)
	return p
}

// problemTypes are the URNs of all codes.
var problemTypes = func() map[code]string {
	types := make(map[code]string, len(problemKinds))
	for c := range problemKinds {
		types[c] = "urn:huanxin:problem:" + strings.ReplaceAll(strings.ToLower(string(c)), "_", "-")
	}
	return types
}()

// fieldProblem names the field (or header) and what is wrong with it. detail must not repeat what was sent: it may be
// personal data, and answers are logged by proxies.
func fieldProblem(c code, field, detail string, args ...any) *problem {
	p := newProblem(c)
	p.Field, p.Detail = field, fmt.Sprintf(detail, args...)
	return p
}

// refused is the engine's no. The switch at its high-water mark says so with a reason of its own; that is no refusal of
// this request but a wish to see it again.
func refused(reasons []reason.Code) *problem {
	c := codeRefused
	if slices.Contains(reasons, reason.OverloadRetry) {
		c = codeOverloaded
	}
	p := newProblem(c)
	p.Reasons = reasonTexts(reasons)
	return p
}

// refusals are the problems of every single reason, with their bodies: in a rush one of them is written ten thousand times a
// second. They are shared and never changed.
var refusals = func() map[reason.Code]*problem {
	all := map[reason.Code]*problem{}
	for _, r := range reason.All() {
		p := refused([]reason.Code{r})
		p.text = encode(p)
		all[r] = p
	}
	return all
}()

// refusal is the engine's no, for one reason or several.
func refusal(reasons []reason.Code) *problem {
	if len(reasons) == 1 && refusals[reasons[0]] != nil {
		return refusals[reasons[0]]
	}
	return refused(reasons)
}

// reasonTexts never returns nil: an empty list is [] in JSON.
func reasonTexts(reasons []reason.Code) []reasonText {
	list := make([]reasonText, 0, len(reasons))
	for _, r := range reasons {
		t := r.Text()
		list = append(list, reasonText{t.Name, t.ZH, t.EN})
	}
	return list
}
