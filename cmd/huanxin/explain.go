package main

import (
	"fmt"
	"strings"
	"time"

	"huanxin/subsidy/catalogue"
	"huanxin/subsidy/policy"
)

// explanation is the readable form of one decision: numbered steps, each with the rule it rests on.
type explanation struct {
	dst  []byte
	step int
}

func (e *explanation) line(format string, args ...any) {
	e.dst = fmt.Appendf(e.dst, format+"\n", args...)
}

// rule adds a numbered step and, under it, where the value was written and what it rests on.
func (e *explanation) rule(o policy.Origin, format string, args ...any) {
	e.step++
	e.line("%2d. %s", e.step, fmt.Sprintf(format, args...))
	if o.Line > 0 {
		status := "假设"
		if o.Status == policy.Verified {
			status = "已核实"
		}
		e.line("    依据 %s:%d〔%s〕%s", o.File, o.Line, status, o.Source)
	}
}

// appendExplanation appends how a decision came about, in Chinese.
func appendExplanation(dst []byte, p *policy.Programme, r *policy.Request, d *policy.Decision) []byte {
	e := &explanation{dst: dst}
	e.line("方案 %s（%s）", p.Name.ZH, p.ID)
	e.line("购买 %s", describe(p, r))
	v := p.Version(d.Version)
	if v == nil {
		e.rule(policy.Origin{}, "该时间没有生效的政策版本")
	} else {
		e.rule(v.Origin, "政策版本 %s，有效期 %s 至 %s", v.ID, chinaTime(v.From), chinaTime(v.To))
	}
	if d.Rule != nil {
		e.rules(p, r, d)
	}
	if len(d.Refused) > 0 {
		e.line("结论 不予补贴：")
		for _, code := range d.Refused {
			t := code.Text()
			e.line("    %s %s", t.Name, t.ZH)
		}
	} else {
		e.line("结论 予以补贴")
	}
	e.line("    商品成交价 %s 元", r.Price)
	e.line("    国家补贴   %s 元", d.Subsidy)
	e.line("    实付金额   %s 元", d.Payable)
	return e.dst
}

func (e *explanation) rules(p *policy.Programme, r *policy.Request, d *policy.Decision) {
	rule := d.Rule
	if o := rule.Origin(policy.SetOpen); o.Line > 0 {
		e.rule(o, "开放时间另有规定")
	}
	if o := rule.Origin(policy.SetPauses); o.Line > 0 {
		e.rule(o, "有暂停安排")
	}
	mode := "购买时立减"
	if rule.Mode == policy.Application {
		mode = "购后申领，不支持立减"
	}
	e.rule(rule.Origin(policy.SetMode), "方式：%s", mode)
	e.rule(rule.Origin(policy.SetQuota), "件数：每人 %d 件，已享受 %d 件", rule.Quota.Items, usedItems(r))
	if rule.OldItem.Required {
		kind := "未交售"
		if r.OldItem != "" {
			kind = nameOf(p.OldItems, r.OldItem)
		}
		e.rule(rule.Origin(policy.SetOldItem), "须交售旧品：%s", kind)
	}
	if rule.Ceiling.Amount > 0 {
		e.rule(rule.Origin(policy.SetCeiling), "限价：%s 元（%s）", rule.Ceiling.Amount, ceilingName(rule.Ceiling.On))
	}
	if d.Rate == nil {
		e.rule(rule.Origin(policy.SetRates), "补贴标准：没有适用的一行")
	} else if d.Base > 0 {
		e.rule(rule.Origin(policy.SetComponents), "补贴基数：%s 元", d.Base)
		band := d.Rate.BandFor(d.Base)
		e.rule(d.Rate.Origin, "补贴标准：%s，得 %s 元", bandName(band), d.Raw)
		if band.Flat == 0 {
			e.rule(rule.Origin(policy.SetRounding), "不足一分：%s", []string{"舍去", "四舍五入", "四舍六入五取偶"}[rule.Rounding])
		}
		e.caps(d)
	}
	for i := range d.Parts {
		if i == 0 {
			parts := make([]string, len(d.Parts))
			for j, part := range d.Parts {
				parts[j] = fmt.Sprintf("%s %s 元", part.Payer, part.Amount)
			}
			e.rule(rule.Origin(policy.SetFunding), "出资：%s", strings.Join(parts, "，"))
		}
	}
}

func (e *explanation) caps(d *policy.Decision) {
	rule := d.Rule
	mark := func(l policy.Limit) string {
		if d.Limited == l {
			return "（按此封顶）"
		}
		return ""
	}
	if rule.ItemCap > 0 {
		e.rule(rule.Origin(policy.SetItemCap), "每件上限：%s 元%s", rule.ItemCap, mark(policy.LimitItem))
	}
	if rule.OrderCap > 0 {
		e.rule(rule.Origin(policy.SetOrderCap), "每单上限：%s 元%s", rule.OrderCap, mark(policy.LimitOrder))
	}
	for _, c := range rule.PersonCaps {
		e.rule(rule.Origin(policy.SetPersonCaps), "每人累计上限 %s：%s 元%s", c.ID, c.Amount, mark(policy.LimitPerson))
	}
}

func describe(p *policy.Programme, r *policy.Request) string {
	city, _ := p.CityIndex(r.City)
	channel, _ := p.ChannelIndex(r.Channel)
	category, _ := p.CategoryIndex(r.Category)
	text := fmt.Sprintf("%s %s %s %s %s，成交价 %s 元，%s", p.Cities[city].Name.ZH, p.Channels[channel].Name.ZH, r.Category,
		p.Categories[category].Name.ZH, gradeName(r), r.Price, chinaTime(r.At))
	if r.Merchant != "" {
		text += "，商户 " + r.Merchant
	}
	for _, a := range r.Attributes {
		text += "，" + a.Key + "=" + a.Value
	}
	return text
}

func gradeName(r *policy.Request) string {
	if r.Grade == 0 {
		return "无等级"
	}
	kind := "能效"
	if r.Label == catalogue.LabelWater {
		kind = "水效"
	}
	return fmt.Sprintf("%s%d级", kind, r.Grade)
}

func bandName(b policy.Band) string {
	if b.Flat > 0 {
		return fmt.Sprintf("定额 %s 元", b.Flat)
	}
	if b.BasisPoints%100 == 0 {
		return fmt.Sprintf("%d%%", b.BasisPoints/100)
	}
	return fmt.Sprintf("%d.%02d%%", b.BasisPoints/100, b.BasisPoints%100)
}

func ceilingName(on policy.CeilingPrice) string {
	return []string{"按最终成交价", "按补贴基数", "按优惠前标价", "按部分优惠后价格"}[on]
}

func usedItems(r *policy.Request) (n int) {
	for i := range r.Usage {
		n += r.Usage[i].Items
	}
	return n
}

func chinaTime(at int64) string {
	return time.Unix(0, at).In(policy.China()).Format("2006-01-02 15:04:05")
}
