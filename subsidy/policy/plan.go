package policy

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"huanxin/internal/money"
)

// maxNodes bounds the budget tree.
const maxNodes = 200_000

// nodeRule is one item of budget.yaml's nodes: a pattern of paths and what it gives each node it stands for.
type nodeRule struct {
	node     BudgetNode
	specific int // 2 for a segment that is a code, 1 for a group or an alternative, 0 for *
	line     int
	absent   bool // amount: none
}

// readBudget reads budget.yaml.
func (c *compiler) readBudget() {
	n, ok := openDocument(c.r, FileBudget, c.files[FileBudget])
	if !ok {
		return
	}
	top, ok := n.block()
	if !ok {
		return
	}
	b := &c.p.Budget
	b.p = c.p
	before := len(c.r.problems)
	c.readLevels(top)
	if v, ok := top.need("claim_reserves"); ok {
		i, _ := v.choice("none", "cap")
		b.ClaimReserves = ClaimReserve(i)
		if b.ClaimReserves == ReserveCap && c.uncapped {
			v.problem("cap: but category %s has no item_cap, so a claim would have nothing to reserve", c.uncappedExample)
		}
	}
	c.readPayingCity(top)
	c.readRounds(top)
	if nodes, ok := top.need("nodes"); ok && len(c.r.problems) == before {
		c.readNodes(nodes)
	}
	top.end()
}

func (c *compiler) readLevels(top *block) {
	n, ok := top.need("levels")
	if !ok {
		return
	}
	levels := []Level{LevelCity, LevelChannel, LevelGroup, LevelCategory, LevelRound}
	for _, item := range n.sequence() {
		i, ok := item.choice("city", "channel", "group", "category", "round")
		if !ok {
			continue
		}
		if slices.Contains(c.p.Budget.Levels, levels[i]) {
			item.problem("level %s is given twice", levels[i])
		}
		c.p.Budget.Levels = append(c.p.Budget.Levels, levels[i])
	}
	if l := c.p.Budget.Levels; len(l) == 0 || l[len(l)-1] != LevelRound {
		n.problem("the last level must be round: a leaf is money of one release")
	}
}

// readPayingCity reads one word for all channels, or a block of a default and exceptions by channel.
func (c *compiler) readPayingCity(top *block) {
	b := &c.p.Budget
	b.paying = make([]PayingCity, len(c.p.Channels))
	n, ok := top.need("paying_city")
	if !ok {
		return
	}
	words := []string{"merchant", "store", "delivery", "claimant"}
	if !n.isBlock() {
		i, _ := n.choice(words...)
		for channel := range b.paying {
			b.paying[channel] = PayingCity(i)
		}
		c.checkClaimant(n)
		return
	}
	block, ok := n.block()
	if !ok {
		return
	}
	if v, ok := block.need("default"); ok {
		i, _ := v.choice(words...)
		for channel := range b.paying {
			b.paying[channel] = PayingCity(i)
		}
	}
	for i := range c.p.Channels {
		if v, ok := block.take(c.p.Channels[i].Code); ok {
			word, _ := v.choice(words...)
			b.paying[i] = PayingCity(word)
		}
	}
	block.end()
	c.checkClaimant(n)
}

// checkClaimant: money taken by a claim must come from the leaf that the purchase is paid from.
func (c *compiler) checkClaimant(n node) {
	b := &c.p.Budget
	if b.ClaimReserves == ReserveCap && slices.ContainsFunc(b.paying, func(p PayingCity) bool { return p != PaysClaimant }) {
		n.problem("claim_reserves: cap needs paying_city: claimant, because a claim knows no other city")
	}
}

func (c *compiler) readRounds(top *block) {
	n, ok := top.need("rounds")
	if !ok {
		return
	}
	b := &c.p.Budget
	for _, item := range n.sequence() {
		rb, ok := item.block()
		if !ok {
			continue
		}
		r := Round{Origin: rb.origin()}
		if v, ok := rb.need("id"); ok {
			r.ID, _ = v.code()
		}
		if v, ok := rb.need("open"); ok {
			r.Open, _ = v.instant()
		}
		if v, ok := rb.need("close"); ok {
			r.Close, _ = v.instant()
		}
		if v, ok := rb.need("carry_over"); ok {
			i, _ := v.choice("parent", "next")
			r.CarryOver = i == 1
		}
		rb.end()
		if r.Open >= r.Close {
			rb.problem("must open before it closes")
		}
		if slices.ContainsFunc(b.Rounds, func(o Round) bool { return o.ID == r.ID }) {
			rb.problem("round %q is given twice", r.ID)
		}
		b.Rounds = append(b.Rounds, r)
	}
	if len(b.Rounds) == 0 || len(b.Rounds) > 366 {
		n.problem("want 1 to 366 rounds")
	}
	slices.SortStableFunc(b.Rounds, func(x, y Round) int { return cmp.Compare(x.Open, y.Open) })
}

// readNodes expands the patterns and builds the tree.
func (c *compiler) readNodes(n node) {
	rules := map[string]*nodeRule{}
	for _, item := range n.sequence() {
		rule, paths, ok := c.readNode(item)
		if !ok {
			continue
		}
		if len(rules)+len(paths) > maxNodes {
			item.problem("the tree would have more than %d nodes", maxNodes)
			return
		}
		for _, path := range paths {
			was := rules[path]
			switch {
			case was == nil || rule.specific > was.specific:
				rules[path] = rule
			case rule.specific == was.specific:
				item.problem("node %q is given as precisely in line %d", path, was.line)
				return
			}
		}
	}
	for path, rule := range rules {
		if rule.absent {
			delete(rules, path)
		}
	}
	c.buildTree(rules)
}

func (c *compiler) readNode(n node) (rule *nodeRule, paths []string, ok bool) {
	b, ok := n.block()
	if !ok {
		return nil, nil, false
	}
	before := len(c.r.problems)
	rule = &nodeRule{line: n.y.Line}
	rule.node.Origin, rule.node.Round, rule.node.Parent = b.origin(), -1, -1
	depth := 0
	if v, found := b.need("path"); found {
		paths, depth, rule.specific = c.expand(v)
	}
	if v, found := b.need("amount"); found {
		if rule.absent = v.none(); !rule.absent {
			rule.node.Amount, _ = v.yuan(0)
		}
	}
	rule.node.Leaf = depth == len(c.p.Budget.Levels)
	daily, hasDaily := b.take("daily")
	releases, hasReleases := b.take("releases")
	if (hasDaily || hasReleases) && !rule.node.Leaf || hasDaily && hasReleases {
		b.problem("daily and releases belong to leaves, and only one of them")
	}
	if hasDaily {
		rule.node.Daily = readDaily(daily)
	}
	if hasReleases {
		rule.node.Releases = readReleases(releases, rule.node.Amount)
	}
	b.end()
	return rule, paths, len(c.r.problems) == before
}

func readDaily(n node) *DailyRelease {
	b, ok := n.block()
	if !ok {
		return nil
	}
	var d DailyRelease
	if v, ok := b.need("amount"); ok {
		d.Amount, _ = v.yuan(1)
	}
	if v, ok := b.need("at"); ok {
		if text, ok := v.text(); ok {
			d.Second, _ = v.clock(text)
			if d.Second >= 24*3600 {
				v.problem("%q: want a time of day before 24:00", text)
			}
		}
	}
	if v, ok := b.need("carry_over"); ok {
		d.CarryOver, _ = v.boolean()
	}
	b.end()
	return &d
}

func readReleases(n node, amount money.Amount) []Release {
	var releases []Release
	var sum money.Amount
	for _, item := range n.sequence() {
		b, ok := item.block()
		if !ok {
			continue
		}
		var r Release
		if v, ok := b.need("at"); ok {
			r.At, _ = v.instant()
		}
		if v, ok := b.need("amount"); ok {
			r.Amount, _ = v.yuan(1)
		}
		b.end()
		if len(releases) > 0 && r.At <= releases[len(releases)-1].At {
			b.problem("releases must ascend")
		}
		releases = append(releases, r)
		sum += min(r.Amount, math.MaxInt64/1024)
	}
	if len(releases) == 0 || len(releases) > 1000 {
		n.problem("want 1 to 1000 releases")
	} else if sum > amount {
		n.problem("%s are released, more than the node's %s", sum, amount)
	}
	return releases
}

// expand returns the paths that a pattern stands for, its depth and how precise it is. A segment is a code, several
// codes joined by |, @ and a group at the level category, or *.
func (c *compiler) expand(n node) (paths []string, depth, specific int) {
	pattern, ok := n.text()
	if !ok {
		return nil, 0, 0
	}
	paths = []string{""}
	if pattern == "" {
		return paths, 0, 0
	}
	segments := strings.Split(pattern, "/")
	if len(segments) > len(c.p.Budget.Levels) {
		n.problem("%q: %d segments, but the tree has %d levels", pattern, len(segments), len(c.p.Budget.Levels))
		return nil, 0, 0
	}
	for i, segment := range segments {
		codes, precise := c.expandSegment(n, c.p.Budget.Levels[i], segment)
		specific += precise
		if len(paths)*len(codes) > maxNodes {
			n.problem("%q: stands for more than %d nodes", pattern, maxNodes)
			return nil, 0, 0
		}
		longer := make([]string, 0, len(paths)*len(codes))
		for _, path := range paths {
			for _, code := range codes {
				if path == "" {
					longer = append(longer, code)
				} else {
					longer = append(longer, path+"/"+code)
				}
			}
		}
		paths = longer
	}
	return paths, len(segments), specific
}

func (c *compiler) expandSegment(n node, level Level, segment string) (codes []string, precise int) {
	known := c.levelCodes(level)
	if segment == "*" {
		return known, 0
	}
	if group, isGroup := strings.CutPrefix(segment, "@"); isGroup && level == LevelCategory {
		for i := range c.p.Categories {
			if c.p.Categories[i].Group == group {
				codes = append(codes, c.p.Categories[i].Code)
			}
		}
		if len(codes) == 0 {
			n.problem("%q: no category is in this group", segment)
		}
		return codes, 1
	}
	codes = strings.Split(segment, "|")
	for i, code := range codes {
		if !slices.Contains(known, code) {
			n.problem("unknown %s %q", level, code)
		}
		if slices.Contains(codes[:i], code) {
			n.problem("%s %q is given twice", level, code)
		}
	}
	if len(codes) > 1 {
		return codes, 1
	}
	return codes, 2
}

func (c *compiler) levelCodes(level Level) (codes []string) {
	p := c.p
	switch level {
	case LevelCity:
		for i := range p.Cities {
			codes = append(codes, p.Cities[i].Code)
		}
	case LevelChannel:
		for i := range p.Channels {
			codes = append(codes, p.Channels[i].Code)
		}
	case LevelGroup:
		for i := range p.Groups {
			codes = append(codes, p.Groups[i].Code)
		}
	case LevelCategory:
		for i := range p.Categories {
			codes = append(codes, p.Categories[i].Code)
		}
	case LevelRound:
		for i := range p.Budget.Rounds {
			codes = append(codes, p.Budget.Rounds[i].ID)
		}
	}
	return codes
}

// buildTree puts the nodes in order, parents first, and checks that no parent is given away twice.
func (c *compiler) buildTree(rules map[string]*nodeRule) {
	b := &c.p.Budget
	if rules[""] == nil {
		c.r.add(FileBudget, 0, "the root, with path \"\", is missing")
		return
	}
	index := make(map[string]int, len(rules))
	given := make([]money.Amount, 0, len(rules)) // to the children of each node
	orphans := map[int]bool{}
	for _, path := range c.ordered(rules) {
		rule := rules[path]
		node := rule.node
		node.Path = path
		if path != "" {
			parent, ok := index[parentPath(path)]
			if !ok {
				if !orphans[rule.line] {
					c.r.add(FileBudget, rule.line, "node %q has no parent: nothing gives %q", path, parentPath(path))
				}
				orphans[rule.line] = true
				continue
			}
			node.Parent = parent
			given[parent] += node.Amount // at most maxNodes amounts of at most MaxN12
		}
		if node.Leaf {
			last := path[strings.LastIndexByte(path, '/')+1:]
			node.Round = slices.IndexFunc(b.Rounds, func(r Round) bool { return r.ID == last })
		}
		index[path] = len(b.Nodes)
		b.Nodes = append(b.Nodes, node)
		given = append(given, 0)
	}
	for i := range b.Nodes {
		if given[i] > b.Nodes[i].Amount {
			c.r.add(FileBudget, b.Nodes[i].Origin.Line, "node %q has %s, but its children are given %s", b.Nodes[i].Path, b.Nodes[i].Amount, given[i])
		}
	}
	c.findLeaves(index)
}

// ordered returns the paths by depth, then in the order of the codes in programme.yaml and of the rounds.
func (c *compiler) ordered(rules map[string]*nodeRule) []string {
	position := make([]map[string]int, len(c.p.Budget.Levels))
	for i, level := range c.p.Budget.Levels {
		position[i] = map[string]int{}
		for at, code := range c.levelCodes(level) {
			position[i][code] = at
		}
	}
	type keyed struct {
		path string
		key  []int
	}
	list := make([]keyed, 0, len(rules))
	for path := range rules {
		k := keyed{path: path, key: []int{0}}
		if path != "" {
			for i, code := range strings.Split(path, "/") {
				k.key = append(k.key, position[i][code])
			}
		}
		k.key[0] = len(k.key)
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b keyed) int { return slices.Compare(a.key, b.key) })
	paths := make([]string, len(list))
	for i := range list {
		paths[i] = list[i].path
	}
	return paths
}

func parentPath(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return ""
}

// findLeaves lists, for every cell, its leaves by opening, and refuses rounds of one cell that overlap: an instant must
// have one leaf.
func (c *compiler) findLeaves(index map[string]int) {
	b, p := &c.p.Budget, c.p
	b.leaves = make([][]int32, len(p.Cities)*len(p.Channels)*len(p.Categories))
	overlaps := map[[2]int]bool{}
	for city := range p.Cities {
		for channel := range p.Channels {
			for category := range p.Categories {
				prefix := c.leafPrefix(city, channel, category)
				var leaves []int32
				for round := range b.Rounds { // ascending by opening
					i, ok := index[prefix+b.Rounds[round].ID]
					if !ok {
						continue
					}
					if len(leaves) > 0 {
						before := b.Nodes[leaves[len(leaves)-1]].Round
						if b.Rounds[before].Close > b.Rounds[round].Open && !overlaps[[2]int{before, round}] {
							overlaps[[2]int{before, round}] = true
							c.r.add(FileBudget, b.Nodes[i].Origin.Line, "rounds %s and %s overlap and both have a leaf for %s",
								b.Rounds[before].ID, b.Rounds[round].ID, c.cellName(p.cell(city, channel, category)))
						}
					}
					leaves = append(leaves, int32(i))
				}
				b.leaves[p.cell(city, channel, category)] = leaves
			}
		}
	}
}

func (c *compiler) leafPrefix(city, channel, category int) string {
	var prefix strings.Builder
	for _, level := range c.p.Budget.Levels {
		switch level {
		case LevelCity:
			prefix.WriteString(c.p.Cities[city].Code)
		case LevelChannel:
			prefix.WriteString(c.p.Channels[channel].Code)
		case LevelGroup:
			prefix.WriteString(c.p.Categories[category].Group)
		case LevelCategory:
			prefix.WriteString(c.p.Categories[category].Code)
		case LevelRound:
			continue
		}
		prefix.WriteByte('/')
	}
	return prefix.String()
}
