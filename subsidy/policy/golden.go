package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"huanxin/internal/money"
	"huanxin/subsidy/catalogue"
	"huanxin/subsidy/reason"
)

// goldenCase is one case of golden.yaml: a question and the figures it must give. An expectation that is not written is
// not checked, except refused: without it the request must be granted.
type goldenCase struct {
	name    string
	line    int
	reserve *Request
	claim   *ClaimRequest
	expect  expectation
}

type expectation struct {
	refused           []reason.Code
	base, subsidy     *money.Amount
	payable, reserved *money.Amount
	version           *string
	expires           *int64
	parts             []Part
	hasParts          bool
}

// GoldenResult is what one golden case gave.
type GoldenResult struct {
	Name     string
	Line     int
	Failures []string // empty = passed
}

// RunGolden runs the golden cases of the bundle.
func (p *Programme) RunGolden() []GoldenResult {
	results := make([]GoldenResult, len(p.golden))
	var d Decision
	var cd ClaimDecision
	for i := range p.golden {
		g := &p.golden[i]
		results[i] = GoldenResult{Name: g.name, Line: g.line}
		f := &failures{}
		if g.reserve != nil {
			p.Decide(g.reserve, &d)
			f.reserve(&g.expect, &d)
		} else {
			p.DecideClaim(g.claim, &cd)
			f.claim(&g.expect, &cd)
		}
		results[i].Failures = f.list
	}
	return results
}

type failures struct{ list []string }

func (f *failures) add(what string, got, want any) {
	f.list = append(f.list, fmt.Sprintf("%s is %v, want %v", what, got, want))
}

func (f *failures) amount(what string, got money.Amount, want *money.Amount) {
	if want != nil && got != *want {
		f.add(what, got, *want)
	}
}

func (f *failures) common(e *expectation, refused []reason.Code, version string) {
	if !slices.Equal(refused, e.refused) {
		f.add("refused", refused, e.refused)
	}
	if e.version != nil && version != *e.version {
		f.add("version", version, *e.version)
	}
}

func (f *failures) reserve(e *expectation, d *Decision) {
	f.common(e, d.Refused, d.Version)
	f.amount("base", d.Base, e.base)
	f.amount("subsidy", d.Subsidy, e.subsidy)
	f.amount("payable", d.Payable, e.payable)
	if e.hasParts && !slices.Equal(d.Parts, e.parts) {
		f.add("parts", d.Parts, e.parts)
	}
}

func (f *failures) claim(e *expectation, d *ClaimDecision) {
	f.common(e, d.Refused, d.Version)
	f.amount("reserve", d.Reserve, e.reserved)
	if e.expires != nil && d.ExpiresAt != *e.expires {
		f.add("expires", time.Unix(0, d.ExpiresAt).In(China()).Format(time.RFC3339), time.Unix(0, *e.expires).In(China()).Format(time.RFC3339))
	}
}

// readGolden reads golden.yaml, when the bundle has it.
func (c *compiler) readGolden() {
	data, ok := c.files[FileGolden]
	if !ok {
		return
	}
	n, ok := openDocument(c.r, FileGolden, data)
	if !ok {
		return
	}
	top, ok := n.block()
	if !ok {
		return
	}
	defaults := Request{}
	if v, ok := top.take("defaults"); ok {
		if b, ok := v.block(); ok {
			c.readCommon(b, &defaults, nil)
			b.end()
		}
	}
	if v, ok := top.need("cases"); ok {
		for _, item := range v.sequence() {
			c.readCase(item, defaults)
		}
	}
	top.end()
}

func (c *compiler) readCase(n node, defaults Request) {
	b, ok := n.block()
	if !ok {
		return
	}
	g := goldenCase{line: n.y.Line}
	if v, ok := b.need("name"); ok {
		g.name = v.name()
	}
	reserve, hasReserve := b.take("reserve")
	claim, hasClaim := b.take("claim")
	if hasReserve == hasClaim {
		b.problem("want either reserve or claim")
	}
	if hasReserve {
		g.reserve = c.readReserveCase(reserve, defaults)
	}
	if hasClaim {
		g.claim = c.readClaimCase(claim, defaults)
	}
	if v, ok := b.need("expect"); ok {
		readExpect(v, &g.expect, hasClaim)
	}
	b.end()
	c.p.golden = append(c.p.golden, g)
}

// readCommon reads what reserves, claims and the defaults share.
func (c *compiler) readCommon(b *block, r *Request, missing func(key string)) {
	texts := []struct {
		key  string
		into *string
	}{{"city", &r.City}, {"channel", &r.Channel}, {"category", &r.Category}}
	if v, ok := b.take("at"); ok {
		r.At, _ = v.instant()
	} else if r.At == 0 && missing != nil {
		missing("at")
	}
	for _, t := range texts {
		if v, ok := b.take(t.key); ok {
			*t.into, _ = v.text()
		} else if *t.into == "" && missing != nil {
			missing(t.key)
		}
	}
}

func (c *compiler) readReserveCase(n node, defaults Request) *Request {
	r := defaults
	b, ok := n.block()
	if !ok {
		return &r
	}
	c.readCommon(b, &r, func(key string) { b.problem("key %q is missing, here and in defaults", key) })
	if v, ok := b.take("claim_at"); ok {
		r.ClaimAt, _ = v.instant()
	}
	if v, ok := b.take("merchant"); ok {
		r.Merchant, _ = v.text()
	}
	if v, ok := b.take("grade"); ok {
		text, _ := v.text()
		grade, err := catalogue.ParseGrade(text)
		if err != nil {
			v.problem("%v", err)
		}
		r.Grade = grade
	}
	if i, ok := c.p.categoryIndex[r.Category]; ok {
		r.Label = c.p.Categories[i].Label
	}
	if v, ok := b.take("label"); ok {
		if i, ok := v.choice("energy", "water", "none"); ok {
			r.Label = []catalogue.Label{catalogue.LabelEnergy, catalogue.LabelWater, catalogue.LabelNone}[i]
		}
	}
	if v, ok := b.take("attributes"); ok {
		var row Rate
		readAttributes(v, &row)
		r.Attributes = row.Attributes
	}
	if v, ok := b.take("old_item"); ok {
		r.OldItem, _ = v.code()
	}
	if v, ok := b.need("price"); ok {
		r.Price, _ = v.yuan(0)
	}
	if v, ok := b.take("order_subsidy"); ok {
		r.OrderSubsidy, _ = v.yuan(0)
	}
	if v, ok := b.take("components"); ok {
		r.Components = readCaseComponents(v)
	}
	r.Usage = c.readUsage(b)
	b.end()
	return &r
}

func (c *compiler) readClaimCase(n node, defaults Request) *ClaimRequest {
	var r ClaimRequest
	b, ok := n.block()
	if !ok {
		return &r
	}
	common := defaults
	c.readCommon(b, &common, func(key string) { b.problem("key %q is missing, here and in defaults", key) })
	r.At, r.City, r.Channel, r.Category = common.At, common.City, common.Channel, common.Category
	if v, ok := b.need("id_kind"); ok {
		r.IDKind, _ = v.text()
	}
	if v, ok := b.take("claims"); ok {
		i, _ := v.integer(0, 1_000_000)
		r.Claims = int(i)
	}
	if v, ok := b.take("active"); ok {
		i, _ := v.integer(0, 1_000_000)
		r.Active = int(i)
	}
	r.Usage = c.readUsage(b)
	b.end()
	return &r
}

func readCaseComponents(n node) (components []Component) {
	for _, item := range n.sequence() {
		b, ok := item.block()
		if !ok {
			continue
		}
		var part Component
		if v, ok := b.need("kind"); ok {
			part.Kind, _ = v.code()
		}
		if v, ok := b.need("amount"); ok {
			part.Amount, _ = v.yuan(0)
		}
		b.end()
		components = append(components, part)
	}
	return components
}

func (c *compiler) readUsage(b *block) (usage []CategoryUse) {
	n, ok := b.take("used")
	if !ok {
		return nil
	}
	for _, item := range n.sequence() {
		b, ok := item.block()
		if !ok {
			continue
		}
		var u CategoryUse
		if v, ok := b.need("category"); ok {
			u.Category, _ = v.text()
			if _, found := c.p.categoryIndex[u.Category]; !found {
				v.problem("unknown category %q", u.Category)
			}
		}
		if v, ok := b.need("items"); ok {
			i, _ := v.integer(0, 1_000_000)
			u.Items = int(i)
		}
		if v, ok := b.take("subsidy"); ok {
			u.Subsidy, _ = v.yuan(0)
		}
		b.end()
		usage = append(usage, u)
	}
	return usage
}

func readExpect(n node, e *expectation, isClaim bool) {
	b, ok := n.block()
	if !ok {
		return
	}
	amount := func(key string) *money.Amount {
		v, ok := b.take(key)
		if !ok {
			return nil
		}
		a, _ := v.yuan(0)
		return &a
	}
	if isClaim {
		e.reserved = amount("reserve")
		if v, ok := b.take("expires"); ok {
			at, _ := v.instant()
			e.expires = &at
		}
	} else {
		e.base, e.subsidy, e.payable = amount("base"), amount("subsidy"), amount("payable")
	}
	if v, ok := b.take("version"); ok {
		text, _ := v.text()
		e.version = &text
	}
	if v, ok := b.take("refused"); ok {
		e.refused = readReasons(v)
	}
	if v, ok := b.take("parts"); ok && !isClaim {
		e.hasParts = true
		for _, item := range v.sequence() {
			e.parts = append(e.parts, readPart(item))
		}
	}
	b.end()
}

func readPart(n node) (part Part) {
	b, ok := n.block()
	if !ok {
		return part
	}
	if v, ok := b.need("payer"); ok {
		part.Payer, _ = v.code()
	}
	if v, ok := b.need("amount"); ok {
		part.Amount, _ = v.yuan(0)
	}
	b.end()
	return part
}

func readReasons(n node) (codes []reason.Code) {
	for _, item := range n.sequence() {
		name, ok := item.text()
		if !ok {
			continue
		}
		all := reason.All()
		i := slices.IndexFunc(all, func(c reason.Code) bool { return c.String() == strings.TrimSpace(name) })
		if i < 0 {
			item.problem("unknown reason %q", name)
			continue
		}
		codes = append(codes, all[i])
	}
	slices.Sort(codes)
	return codes
}
