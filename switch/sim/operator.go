package sim

import (
	"maps"
	"strconv"
	"strings"
	"time"

	"huanxin/internal/money"
	"huanxin/switch/engine"
	"huanxin/switch/event"
)

// act has an operator do something; done may be nil.
func (w *world) act(actor string, act any, done func(problems []string)) {
	w.ask(&call{body: func(token engine.Token) any {
		return &engine.Operate{Token: token, By: event.Authority{Actor: actor, Reason: "because", Document: "D-1"}, Act: act}
	}, done: func(a any) {
		r := a.(*engine.AdminReply)
		w.write("   operator %T: %q", act, r.Problems)
		if done != nil {
			done(r.Problems)
		}
	}})
}

var leaves = []string{"210100/A01/r1", "210100/A01/r2", "210100/A04/r1", "210100/A04/r2", "210200/A02/r1"}

// operate is one act on budget, policy, stops or purchases.
func (w *world) operate() {
	amount := money.Amount(1+w.rng.IntN(30)) * 10_000
	switch w.rng.IntN(12) {
	case 0:
		w.act("wang", engine.ReleaseBudget{Path: "210200/A02/r1", Amount: amount / 4}, nil)
	case 1:
		w.act("wang", engine.TransferBudget{From: oneOf(w, leaves...), To: oneOf(w, leaves...), Amount: amount}, nil)
	case 2:
		w.act("wang", engine.LowerBudget{Path: oneOf(w, leaves...), Amount: amount}, nil)
	case 3:
		scope := engine.Pause{City: oneOf(w, "", "210100"), Category: oneOf(w, "A01", "A04"), Channel: oneOf(w, "", "store")}
		w.act("wang", scope, nil)
		w.after(w.between(time.Second, 10*time.Minute), func() { w.act("li", engine.Resume(scope), nil) })
	case 4:
		t := oneOf(w, w.tills...)
		stop := engine.Kill{Terminal: t.id}
		w.act("wang", stop, nil)
		stop.Off = true
		w.after(w.between(time.Second, 5*time.Minute), func() { w.act("li", stop, nil) })
	case 5:
		t := oneOf(w, w.tills...)
		w.act("wang", engine.SetState{Terminal: t.id, State: "suspended"}, nil)
		w.after(w.between(time.Second, 5*time.Minute), func() { w.act("li", engine.SetState{Terminal: t.id, State: "active"}, nil) })
	case 6, 7:
		w.changePolicy()
	case 8, 9:
		w.releaseHold()
	case 10:
		w.supplement()
	default:
		w.settleItems(w.chance(300))
	}
}

// changePolicy brings a bundle with more money for a leaf, or with a version that begins in a while.
func (w *world) changePolicy() {
	files := maps.Clone(w.files)
	if w.chance(500) && !strings.Contains(string(files["policy.yaml"]), "t-2") {
		begins := time.Unix(0, w.now).In(shanghai).Add(10 * time.Minute).Format(time.RFC3339)
		head, version, _ := strings.Cut(string(files["policy.yaml"]), "versions:\n")
		const first, last = "2025-01-01T00:00:00+08:00", "2027-01-01T00:00:00+08:00"
		next := strings.NewReplacer("id: t-1", "id: t-2", first, begins, "percent: 20", "percent: 10").Replace(version)
		files["policy.yaml"] = []byte(head + "versions:\n" + strings.Replace(version, last, begins, 1) + next)
	} else {
		w.bundle++
		more := 20_000 + 100*w.bundle
		files["budget.yaml"] = []byte(strings.Replace(string(programmeFiles()["budget.yaml"]), "A04/r1\", amount: 20000.00", "A04/r1\", amount: "+strconv.Itoa(more)+".00", 1))
	}
	w.act("wang", engine.ApplyPolicy{Files: files}, func(problems []string) {
		if len(problems) == 0 {
			w.files = files
		}
	})
}

// releaseHold has two persons let go of a purchase that holds something.
func (w *world) releaseHold() {
	var open []uint64
	for _, p := range w.model.sorted() {
		if p.held {
			open = append(open, p.id)
		}
	}
	if len(open) == 0 {
		return
	}
	act := engine.ReleaseHold{Purchase: open[w.rng.IntN(len(open))]}
	w.act("wang", act, func([]string) { w.act("li", act, nil) })
}

func (w *world) supplement() {
	var plain []uint64
	for _, p := range w.model.sorted() {
		if p.captured && p.person == "" && p.kind == event.SaleKind_SALE_KIND_UNSPECIFIED {
			plain = append(plain, p.id)
		}
	}
	buyer := oneOf(w, w.persons...)
	category := oneOf(w, "A01", "A04")
	if len(plain) == 0 || buyer.entitlements[category] == 0 {
		return
	}
	w.act("wang", engine.Supplement{
		Purchase: plain[w.rng.IntN(len(plain))], Entitlement: buyer.entitlements[category], Barcode: products[category].barcode,
		Serial: w.serial(), SerialMask: "***", SerialOK: true, CaseID: "C-1", Evidence: "invoice",
	}, nil)
}

// settleItems is a person with the clearing files: they decide how what waits for a person has ended. What is still on a
// line they cannot show, so that is left alone. again has reversals sent once more instead.
func (w *world) settleItems(again bool) {
	w.ask(&call{body: func(token engine.Token) any { return &engine.Look{Token: token, What: engine.LookSAF{}} }, done: func(a any) {
		list, _ := a.(*engine.AdminReply).Result.([]engine.SAFView)
		for _, v := range list {
			w.settleItem(v, again)
		}
	}})
}

func (w *world) settleItem(v engine.SAFView, again bool) {
	h := w.hosts[v.Host]
	var act any
	switch {
	case w.letters[v.RRN] > 0 || v.RRN == "" && v.Kind != "repayment":
		return
	case v.ID[0] == 'F' && v.State != "sent" && !h.wallet:
		outcome := "failed"
		if h.took(v.RRN) {
			outcome = "confirmed"
		}
		act = engine.ResolveItem{ID: v.ID, Outcome: outcome}
	case v.Kind == "repayment":
		act = engine.ResolveItem{ID: v.ID}
	case v.State != "dead" && v.State != "refused":
		return
	case again:
		act = engine.RetryItem{ID: v.ID}
	case v.Kind == "void-reversal" && !h.took(v.RRN) || v.Kind != "void-reversal" && h.charged[v.RRN] != 0:
		act = engine.ResolveItem{ID: v.ID, Outcome: "charged"}
	default:
		act = engine.ResolveItem{ID: v.ID, Outcome: "returned"}
	}
	w.act("zhao", act, func(problems []string) {
		for _, problem := range problems {
			if strings.Contains(problem, "can no longer stand") {
				w.act("zhao", engine.RetryItem{ID: v.ID}, nil)
			}
		}
	})
}
