package engine_test

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/internal/money"
	"huanxin/switch/engine"
	"huanxin/switch/event"
)

// The commands of transcripts for what comes after a sale, over HTTP, and from the operator.

func (s *story) card() *event.Card {
	token := hashOf(s.arg("card", "card"))
	return &event.Card{Token: token[:], Mask: "622424******0017", KeyId: "k1", Envelope: []byte{1, 2, 3}}
}

func (s *story) saleKind() event.SaleKind {
	return map[string]event.SaleKind{
		"": event.SaleKind_SALE_KIND_UNSPECIFIED, "preauth": event.SaleKind_SALE_KIND_PREAUTH,
		"preauth-void": event.SaleKind_SALE_KIND_PREAUTH_VOID, "completion": event.SaleKind_SALE_KIND_COMPLETION,
		"completion-void": event.SaleKind_SALE_KIND_COMPLETION_VOID,
	}[s.arg("kind", "")]
}

// original reads of=BATCH/STAN[/MMDD].
func (s *story) original() (o engine.Original) {
	parts := strings.Split(s.arg("of", ""), "/")
	if len(parts) < 2 {
		return o
	}
	_, err := fmt.Sscan(parts[0]+" "+parts[1], &o.Batch, &o.STAN)
	require.NoError(s.t, err)
	if len(parts) > 2 {
		o.Date = parts[2]
	}
	return o
}

// totals reads debit=AMOUNT/COUNT, credit and subsidy.
func (s *story) totals() (t engine.Totals) {
	for _, f := range []struct {
		name   string
		amount *money.Amount
		count  *uint32
	}{{"debit", &t.Debit, &t.DebitCount}, {"credit", &t.Credit, &t.CreditCount}, {"subsidy", &t.Subsidy, &t.SubsidyCount}} {
		amount, count, _ := strings.Cut(s.arg(f.name, "0/0"), "/")
		*f.amount = fen(s.t, amount)
		_, err := fmt.Sscan(count, f.count)
		require.NoError(s.t, err)
	}
	return t
}

func (s *story) api() engine.APIOrigin {
	request := s.arg("req", fmt.Sprint("key", s.token))
	return engine.APIOrigin{
		Caller: s.arg("caller", "shop"), Request: hashOf(request), Content: hashOf(s.arg("content", "same")),
	}
}

func (s *story) afterSale(verb string) any {
	key, content := s.key('2'), hashOf(s.arg("content", verb+s.arg("amount", "")))
	switch verb {
	case "void":
		return &engine.VoidRequest{Token: s.nextToken(), Key: key, Content: content, Amount: fen(s.t, s.arg("amount", "4000")),
			RRN: s.arg("rrn", ""), Original: s.original(), Card: s.card()}
	case "refund":
		return &engine.RefundRequest{Token: s.nextToken(), Key: key, Content: content, Amount: fen(s.t, s.arg("amount", "4000")),
			RRN: s.arg("rrn", ""), Original: s.original(), Card: s.card(), Activated: s.arg("activated", "") != ""}
	case "inquire":
		return &engine.InquiryRequest{Token: s.nextToken(), Key: key, Content: content, Host: "cup", Card: s.card()}
	case "status":
		return &engine.StatusRequest{Token: s.nextToken(), Key: key, Hold: s.number("hold", 0), RRN: s.arg("rrn", ""), Original: s.original()}
	case "settle":
		return &engine.SettlementRequest{Token: s.nextToken(), Key: s.key('5'), Content: content, Totals: s.totals(), Subsidy: s.arg("subsidy", "") != ""}
	case "upload":
		in := &engine.UploadRequest{Token: s.nextToken(), Key: s.key('3'), Content: hashOf("u" + s.arg("records", ""))}
		for _, text := range strings.Split(s.arg("records", ""), ",") { // STAN:AMOUNT[:CARD]
			parts := strings.Split(text+":card", ":")
			r := engine.UploadRecord{Amount: fen(s.t, parts[1]), Card: hashOf(parts[2])}
			_, err := fmt.Sscan(parts[0], &r.STAN)
			require.NoError(s.t, err)
			in.Records = append(in.Records, r)
		}
		return in
	case "end-upload":
		return &engine.UploadEndRequest{Token: s.nextToken(), Key: s.key('3'), Content: content, Count: uint32(s.number("count", 0)), Equal: s.arg("equal", "") != ""}
	case "report":
		return &engine.ReportRequest{Token: s.nextToken(), Key: s.key('6'), Content: content, Kind: s.arg("kind", "script"), Original: s.original(), ICC: []byte{0x95}}
	}
	return s.overHTTP(verb)
}

func (s *story) overHTTP(verb string) any {
	token := s.nextToken()
	api := s.api()
	switch verb {
	case "try":
		in := s.reserve()
		in.Token, in.API, in.Channel = token, &api, s.arg("chan", "store")
		in.Key = engine.Key{Merchant: in.Key.Merchant}
		if e := s.number("e", 0); e != 0 {
			in.Code, in.Entitlement, in.Person = engine.Hash{}, e, hashOf(s.arg("p", "p1"))
		}
		return in
	case "commit":
		in := &engine.CommitRequest{Token: token, API: api, Purchase: s.number("purchase", 1), Amount: fen(s.t, s.arg("amount", "4000"))}
		if in.Host = s.arg("host", ""); in.Host == "" {
			in.Reference = "PAY-1"
		} else {
			in.Card = s.card()
		}
		return in
	case "http-cancel":
		return &engine.APICancelRequest{Token: token, API: api, Purchase: s.number("purchase", 1)}
	case "http-refund":
		return &engine.APIRefundRequest{Token: token, API: api, Purchase: s.number("purchase", 1), Amount: fen(s.t, s.arg("amount", "0")), Reference: "BACK-1"}
	case "read":
		return &engine.PurchaseRequest{Token: token, Caller: s.arg("caller", "shop"), Purchase: s.number("purchase", 1)}
	}
	return s.operate(verb)
}

// operate is an act of an operator. The hold of a purchase is let go by two of them: by=.
func (s *story) operate(verb string) any {
	in := &engine.Operate{Token: 1, DryRun: s.arg("dry", "") != "", By: event.Authority{
		Actor: s.arg("by", "wang"), Reason: s.arg("reason", "because"), Document: s.arg("doc", "D-1"),
	}}
	scope := engine.Pause{City: s.arg("city", ""), Category: s.arg("cat", ""), Channel: s.arg("chan", "")}
	if from := s.arg("from", ""); from != "" {
		d, err := time.ParseDuration(from)
		require.NoError(s.t, err)
		scope.FromAt = s.now + int64(d)
	}
	path := strings.TrimPrefix(s.arg("path", ""), "/")
	switch verb {
	case "pause":
		in.Act = scope
	case "resume":
		in.Act = engine.Resume(scope)
	case "stop", "start":
		in.Act = engine.Kill{Merchant: s.arg("m", ""), Terminal: s.arg("t", ""), Off: verb == "start"}
	case "suspend", "activate":
		in.Act = engine.SetState{Merchant: s.arg("m", ""), Terminal: s.arg("t", ""), State: map[string]string{"suspend": "suspended", "activate": "active"}[verb]}
	case "register":
		row := slices.Clone(labTerminals[0])
		var serial [16]byte
		copy(serial[:], s.arg("serial", ""))
		in.Act = engine.ChangeRows{Terminals: [][]string{append(row, cmp.Or(s.arg("clear", ""), "#"+hex.EncodeToString(serial[:])))}}
	case "release-hold":
		in.Act = engine.ReleaseHold{Purchase: s.number("purchase", 1)}
	case "supplement":
		in.Act = engine.Supplement{Purchase: s.number("purchase", 1), Entitlement: s.number("e", 1), Barcode: s.arg("barcode", "6901234567892"),
			Serial: hashOf(s.arg("serial", "s1")), SerialMask: "***", SerialOK: true, CaseID: s.arg("case", ""), Evidence: s.arg("evidence", "")}
	case "retry":
		in.Act = engine.RetryItem{ID: s.arg("id", "")}
	case "resolve":
		in.Act = engine.ResolveItem{ID: s.arg("id", ""), Outcome: s.arg("outcome", "")}
	case "budget-release":
		in.Act = engine.ReleaseBudget{Path: path, Amount: fen(s.t, s.arg("amount", "0"))}
	case "budget-transfer":
		in.Act = engine.TransferBudget{From: path, To: strings.TrimPrefix(s.arg("to", ""), "/"), Amount: fen(s.t, s.arg("amount", "0"))}
	case "budget-lower":
		in.Act = engine.LowerBudget{Path: path, Amount: fen(s.t, s.arg("amount", "0"))}
	case "policy":
		in.Act = engine.ApplyPolicy{Files: s.policyFiles()}
	default:
		s.t.Fatalf("no command %q", verb)
	}
	return in
}

// policyFiles are the lab's rules as they are, or with bundle=next: from 10:05 on 10 % instead of 20 % for grade 1; or with
// bundle=past: the same rate from the beginning.
func (s *story) policyFiles() map[string][]byte {
	files := maps.Clone(labFiles(s.t))
	was := string(files["policy.yaml"])
	head, version, _ := strings.Cut(was, "versions:\n")
	lower := strings.Replace(version, "percent: 20", "percent: 10", 1)
	const first, last, change = "2025-01-01T00:00:00+08:00", "2027-01-01T00:00:00+08:00", "2026-03-02T10:05:00+08:00"
	switch s.arg("bundle", "") {
	case "next":
		next := strings.NewReplacer("id: t-1", "id: t-2", first, change).Replace(lower)
		files["policy.yaml"] = []byte(head + "versions:\n" + strings.Replace(version, last, change, 1) + next)
	case "past":
		files["policy.yaml"] = []byte(head + "versions:\n" + lower)
	}
	return files
}

// saf prints everything that is on its way to a host or waits for a person.
func (s *story) saf(b *strings.Builder) {
	for _, send := range s.step(&engine.Look{Token: 1, What: engine.LookSAF{}}).Sends {
		list := send.Admin.Result.([]engine.SAFView)
		slices.SortFunc(list, func(a, b engine.SAFView) int { return strings.Compare(a.ID, b.ID) })
		for _, v := range list {
			fmt.Fprintf(b, "%-4s %s %s purchase=%d amount=%s attempts=%d %s\n", v.ID, v.Kind, v.State, v.Purchase, v.Amount, v.Attempts, v.Response)
		}
	}
}
