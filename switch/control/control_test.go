package control

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/internal/money"
	"huanxin/subsidy"
	"huanxin/subsidy/policy"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/trail"
)

func me(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	require.NoError(t, err)
	return u.Username
}

func act(a Act) *OperateRequest {
	return &OperateRequest{By: "王敏", Reason: "测试", Document: "LN-1", Act: a}
}

// ---- Acts -----------------------------------------------------------------------------------------------------------

func TestEveryActReachesTheEngineAsItsOwnWithNameReasonDocumentAndAccount(t *testing.T) {
	r := newRig(t, history(), nil)
	serial := fakeHasher{}.Serial([]byte("SN12345678"))
	for _, c := range []struct {
		act  Act
		want any
	}{
		{Act{ApplyPolicy: &ApplyPolicy{Files: map[string][]byte{"policy.yaml": []byte("x: 1")}}},
			engine.ApplyPolicy{Files: map[string][]byte{"policy.yaml": []byte("x: 1")}}},
		{Act{ReleaseBudget: &BudgetAmount{Path: "210100", Amount: 100}}, engine.ReleaseBudget{Path: "210100", Amount: 100}},
		{Act{TransferBudget: &BudgetTransfer{From: "a", To: "b", Amount: 7}}, engine.TransferBudget{From: "a", To: "b",
			Amount: 7}},
		{Act{LowerBudget: &BudgetAmount{Amount: 8}}, engine.LowerBudget{Amount: 8}},
		{Act{Pause: &Pausing{City: "210100", Category: "A01", Channel: "store", From: 1_750_000_000_000_000_000}},
			engine.Pause{City: "210100", Category: "A01", Channel: "store", FromAt: 1_750_000_000_000_000_000}},
		{Act{Resume: &Pausing{City: "210100"}}, engine.Resume{City: "210100"}},
		{Act{Stop: &Party{Merchant: "m"}}, engine.Kill{Merchant: "m"}},
		{Act{Start: &Party{Terminal: "t"}}, engine.Kill{Terminal: "t", Off: true}},
		{Act{ChangeRows: &ChangeRows{Merchants: [][]string{{"m"}}, AddOnly: true}},
			engine.ChangeRows{Merchants: [][]string{{"m"}}, AddOnly: true}},
		{Act{SetState: &SetState{Terminal: "t", State: "suspended"}}, engine.SetState{Terminal: "t", State: "suspended"}},
		{Act{ReleaseHold: &PurchaseID{Purchase: 7}}, engine.ReleaseHold{Purchase: 7}},
		{Act{RetryItem: &ItemID{ID: "R4"}}, engine.RetryItem{ID: "R4"}},
		{Act{ResolveItem: &Resolution{ID: "F4", Outcome: "failed"}}, engine.ResolveItem{ID: "F4", Outcome: "failed"}},
		{
			Act{Supplement: &Supplement{Purchase: 1, Entitlement: 2, Barcode: "69", Serial: "sn-123.456/78", OldItem: "x",
				CaseID: "C", Evidence: "E"}},
			engine.Supplement{
				Purchase: 1, Entitlement: 2, Barcode: "69", Serial: serial, SerialMask: "SN********/78", SerialOK: true, OldItem: "x", CaseID: "C", Evidence: "E",
			},
		},
	} {
		answer, err := r.client.Operate(t.Context(), act(c.act))
		require.NoError(t, err)
		require.True(t, answer.Done)
		got := r.engine.last().(*engine.Operate)
		if s, ok := c.want.(engine.Supplement); ok {
			s.SerialMask = got.Act.(engine.Supplement).SerialMask
			require.NotContains(t, s.SerialMask, "345")
			c.want = s
		}
		require.Equal(t, c.want, got.Act)
		require.Equal(t, []string{"王敏", "测试", "LN-1", me(t)}, []string{got.By.Actor, got.By.Reason, got.By.Document, got.By.Account})
		require.False(t, got.DryRun)
	}
}

func TestADryRunSaysWhatWouldHappenAndARefusedActWhatStandsAgainstIt(t *testing.T) {
	r := newRig(t, history(), nil)
	r.engine.answer = func(any) *engine.AdminReply {
		return &engine.AdminReply{Events: []*event.Event{{Body: &event.Event_PauseSet{PauseSet: &event.PauseSet{Pause: 3,
			City: "210100"}}}}}
	}
	request := act(Act{Pause: &Pausing{City: "210100"}})
	request.DryRun = true
	answer, err := r.client.Operate(t.Context(), request)
	require.NoError(t, err)
	require.True(t, r.engine.last().(*engine.Operate).DryRun)
	require.False(t, answer.Done)
	require.True(t, answer.DryRun)
	require.Len(t, answer.Events, 1)
	require.Contains(t, string(answer.Events[0]), `"type":"PauseSet"`)

	r.engine.answer = func(any) *engine.AdminReply { return &engine.AdminReply{Problems: []string{"no such city"}} }
	answer, err = r.client.Operate(t.Context(), act(Act{Pause: &Pausing{City: "219900"}}))
	require.NoError(t, err, "a refusal is an answer")
	require.False(t, answer.Done)
	require.Equal(t, []string{"no such city"}, answer.Problems)
}

func TestSerialsStandInNoLog(t *testing.T) {
	r := newRig(t, history(), nil)
	_, err := r.client.Operate(t.Context(), act(Act{Supplement: &Supplement{Serial: "SECRET12345", CaseID: "C",
		Evidence: "E"}}))
	require.NoError(t, err)
	_, err = r.client.Find(t.Context(), &FindRequest{Serial: "SECRET12345"})
	require.NoError(t, err)
	r.engine.refuse = errors.New("queue full")
	_, err = r.client.Operate(t.Context(), act(Act{Supplement: &Supplement{Serial: "SECRET12345", CaseID: "C",
		Evidence: "E"}}))
	require.Equal(t, http.StatusServiceUnavailable, status(err))
	require.NotZero(t, r.logs.Len())
	for _, line := range r.logs.All() {
		text, err := json.Marshal(line.ContextMap())
		require.NoError(t, err)
		require.NotContains(t, line.Message+string(text), "SECRET")
	}
}

func TestWhatPeopleWriteIsOneLineAndHoldsNoNumberOfAPerson(t *testing.T) {
	r := newRig(t, history(), nil)
	for _, personal := range []string{"payer of 6222 0212 3456 7890 128 complains", "身份证 11010519491231002X", "回电138-0013-8000"} {
		for field, request := range map[string]*OperateRequest{
			"by":       {By: personal, Reason: "b", Document: "c", Act: Act{Pause: &Pausing{}}},
			"reason":   {By: "a", Reason: personal, Document: "c", Act: Act{Pause: &Pausing{}}},
			"document": {By: "a", Reason: "b", Document: personal, Act: Act{Pause: &Pausing{}}},
			"case_id":  act(Act{Supplement: &Supplement{CaseID: personal, Evidence: "E"}}),
			"evidence": act(Act{Supplement: &Supplement{CaseID: "C", Evidence: personal}}),
		} {
			_, err := r.client.Operate(t.Context(), request)
			require.Equal(t, http.StatusBadRequest, status(err), "%s %s", field, personal)
			require.ErrorContains(t, err, field+": 含有疑似")
			require.NotContains(t, err.Error(), personal, "not shown again either")
		}
	}
	require.Nil(t, r.engine.last(), "nothing of it reached the engine")
	request := act(Act{Pause: &Pausing{}})
	request.Document = "LN6222021234567890128"
	_, err := r.client.Operate(t.Context(), request)
	require.NoError(t, err)
	require.Equal(t, request.Document, r.engine.last().(*engine.Operate).By.Document, "a document number, and as it was given")
	for _, bad := range []string{"two\nlines", "\x1b[2J", strings.Repeat("x", longestText+1)} {
		request.Reason = bad
		_, err = r.client.Operate(t.Context(), request)
		require.Equal(t, http.StatusBadRequest, status(err), bad)
	}
	_, err = r.client.Operate(t.Context(), act(Act{Supplement: &Supplement{CaseID: "a\tb", Evidence: "E"}}))
	require.Equal(t, http.StatusBadRequest, status(err))
}

// What the operator has read is not what stands any more: the act would undo what somebody else has done meanwhile.
func TestAnActThatExpectsWhatDoesNotStandAnyMoreDoesNothing(t *testing.T) {
	r := newRig(t, history(), nil)
	files := map[string][]byte{"policy.yaml": []byte("x")}
	sum := policy.DigestOf(files)
	read, none := hex.EncodeToString(sum[:]), ""
	rows := &engine.RowsView{Merchants: [][]string{{"m", "active"}}, Terminals: [][]string{{"t", "active"}}}
	r.engine.answer = func(body any) *engine.AdminReply {
		look, ok := body.(*engine.Look)
		if !ok {
			return &engine.AdminReply{}
		}
		switch what := look.What.(type) {
		case engine.LookPolicy:
			return &engine.AdminReply{Result: &engine.PolicyView{Files: files}}
		case engine.LookRows:
			if what.Merchant == "m" || what.Terminal == "t" {
				return &engine.AdminReply{Result: rows}
			}
		}
		return &engine.AdminReply{Result: &engine.RowsView{}}
	}
	merchant := func(row ...string) Act {
		return Act{ChangeRows: &ChangeRows{Merchants: [][]string{{"m", "x"}}, Expected: &Registry{Merchants: [][]string{row}}}}
	}
	terminal := func(row ...string) Act {
		return Act{ChangeRows: &ChangeRows{Terminals: [][]string{{"t", "x"}}, Expected: &Registry{Terminals: [][]string{row}}}}
	}
	for _, good := range []Act{
		merchant("m", "active"), terminal("t", "active"), {ApplyPolicy: &ApplyPolicy{Files: files, InForce: &read}},
		{ApplyPolicy: &ApplyPolicy{Files: files}},
	} {
		answer, err := r.client.Operate(t.Context(), act(good))
		require.NoError(t, err)
		require.True(t, answer.Done)
		require.IsType(t, &engine.Operate{}, r.engine.last())
	}
	for _, stale := range []Act{
		merchant("m", "suspended"), merchant("m2", "active"), terminal("t", "suspended"),
		{ApplyPolicy: &ApplyPolicy{Files: files, InForce: &none}},
	} {
		_, err := r.client.Operate(t.Context(), act(stale))
		require.Equal(t, http.StatusConflict, status(err), "%+v", stale)
		require.IsType(t, &engine.Look{}, r.engine.last(), "the act did not reach the engine")
	}
	many := &ChangeRows{Expected: &Registry{Merchants: make([][]string, mostExpected+1)}}
	_, err := r.client.Operate(t.Context(), act(Act{ChangeRows: many}))
	require.Equal(t, http.StatusBadRequest, status(err))
	_, err = r.client.Operate(t.Context(), act(merchant()))
	require.Equal(t, http.StatusBadRequest, status(err))
}

// post sends a body as it is.
func post(t *testing.T, place, path, body string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", place) },

		DisableKeepAlives: true,
	}}
	res, err := client.Post("http://switch"+path, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer res.Body.Close()
	var p Problem
	require.NoError(t, json.NewDecoder(res.Body).Decode(&p))
	return res.StatusCode, p.Problem
}

func TestARequestThatIsNotPlainIsRefused(t *testing.T) {
	r := newRig(t, history(), nil)
	for body, want := range map[string]string{
		``:                                                      "EOF",
		`[]`:                                                    "cannot unmarshal",
		`{"by":"a","act":{}}`:                                   "exactly one",
		`{"by":"a","reason":"b"}`:                               "exactly one",
		`{"act":{"pause":{},"resume":{}}}`:                      "exactly one",
		`{"act":{"pause":{}},"who":"x"}`:                        `unknown field "who"`,
		`{"act":{"pause":{"town":"x"}}}`:                        `unknown field "town"`,
		`{"by":"a","by":"b","act":{"pause":{}}}`:                `"by" stands twice`,
		`{"by":"a","BY":"b","act":{"pause":{}}}`:                `"by" stands twice`,
		`{"act":{"pause":{"city":"1","city":"2"}}}`:             `"city" stands twice`,
		`{"act":{"pause":{}}} {}`:                               "more than one",
		`{"act":{"pause":{"from":"tomorrow"}}}`:                 "want RFC 3339",
		`{"act":{"release_budget":{"amount_fen":"1"}}}`:         "cannot unmarshal",
		`{"act":{"release_budget":{"amount_fen":1.5}}}`:         "cannot unmarshal",
		strings.Repeat(`{"act":`, 20) + strings.Repeat(`}`, 20): "nested too deeply",
	} {
		code, problem := post(t, r.place, "/v1/acts", body)
		require.Equal(t, http.StatusBadRequest, code, body)
		require.Contains(t, problem, want, body)
	}
	require.Nil(t, r.engine.last(), "nothing of it reached the engine")
	code, _ := post(t, r.place, "/v1/nothing", `{}`)
	require.Equal(t, http.StatusNotFound, code)
}

// ---- Waiting --------------------------------------------------------------------------------------------------------

func TestWithoutAnAnswerInTimeItIsNotKnownWhetherAnythingWasDone(t *testing.T) {
	r := newRig(t, history(), func(c *Config) { c.AnswerTimeout = 50 * time.Millisecond })
	r.engine.answer = nil
	_, err := r.client.Operate(t.Context(), act(Act{Pause: &Pausing{}}))
	require.Equal(t, http.StatusGatewayTimeout, status(err))
	require.ErrorContains(t, err, "not known whether")
	require.Empty(t, r.desk.waiting, "nobody waits any more")
	r.desk.Deliver(&engine.AdminReply{Token: 1}) // the answer comes after all, and is dropped
}

func TestBeforeAndAfterServingNothingReachesTheEngine(t *testing.T) {
	r := newRig(t, history(), nil)
	r.ready = errors.New("starting")
	_, err := r.client.Operate(t.Context(), act(Act{Pause: &Pausing{}}))
	require.Equal(t, http.StatusServiceUnavailable, status(err))
	require.ErrorContains(t, err, "starting")
	_, err = r.client.Pauses(t.Context())
	require.Equal(t, http.StatusServiceUnavailable, status(err))
	require.Nil(t, r.engine.last())
}

func TestDeskGivesEachItsAnswerAndHasRoomForSoMany(t *testing.T) {
	d := NewDesk(2, func(any) error { return nil })
	type got struct {
		r   *engine.AdminReply
		err error
	}
	entered := make(chan engine.Token, 2)
	ask := func() chan got {
		answer := make(chan got, 1)
		go func() {
			r, err := d.Ask(context.Background(), func(t engine.Token) any { entered <- t; return t })
			answer <- got{r, err}
		}()
		return answer
	}
	a := ask()
	first := <-entered
	b := ask()
	second := <-entered
	require.NotEqual(t, first, second)
	require.NotZero(t, first)
	_, err := d.Ask(context.Background(), func(t engine.Token) any { return t })
	require.ErrorIs(t, err, ErrBusy)
	d.Deliver(&engine.AdminReply{Token: 99})
	d.Deliver(&engine.AdminReply{Token: second, Changed: 2})
	d.Deliver(&engine.AdminReply{Token: second, Changed: 3}) // a second answer is dropped
	d.Deliver(&engine.AdminReply{Token: first, Changed: 1})
	require.Equal(t, 1, (<-a).r.Changed)
	require.Equal(t, 2, (<-b).r.Changed)
	require.Empty(t, d.waiting)

	refused := errors.New("queue full")
	d = NewDesk(1, func(any) error { return refused })
	for range 3 { // a refusal leaves nobody waiting
		_, err = d.Ask(context.Background(), func(t engine.Token) any { return t })
		require.ErrorIs(t, err, refused)
	}
	d = NewDesk(1, func(any) error { return nil })
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(refused)
	_, err = d.Ask(ctx, func(t engine.Token) any { return t })
	require.ErrorIs(t, err, refused)
}

// ---- Looks ----------------------------------------------------------------------------------------------------------

func TestViewsAreShownWithTheirUnitsAndStates(t *testing.T) {
	r := newRig(t, history(), nil)
	by := &event.Authority{Actor: "李雷"}
	at := int64(1_750_212_000_000_000_000)
	results := map[string]any{
		"engine.LookSAF": []engine.SAFView{{ID: "R4", Kind: "reversal", State: "dead", Purchase: 12, Amount: 479920,
			Attempts: 3, QueuedAt: at}},
		"engine.LookBudget": []subsidy.NodeView{{Path: "210100", Allocated: 5, Held: 1, Spent: 2, Free: 2}},
		"engine.LookHolds": []engine.HoldView{{Purchase: 12, State: engine.Reversing, Subsidy: 119980, Since: at,
			Proposed: by}},
		"engine.LookPauses": []engine.PauseView{{ID: 1, City: "210100", FromAt: at, By: by}},
		"engine.LookKills":  []engine.KillView{{Terminal: "21010001", Since: at, By: by}},
		"engine.LookRows":   &engine.RowsView{Merchants: [][]string{{"m"}}},
		"engine.LookPolicy": &engine.PolicyView{Programme: "p", Versions: []string{"v1"},
			Files: map[string][]byte{"policy.yaml": []byte("x")}},
	}
	r.engine.answer = func(body any) *engine.AdminReply {
		return &engine.AdminReply{Result: results[typeName(body.(*engine.Look).What)]}
	}
	saf, err := r.client.SAF(t.Context(), "R4", 7)
	require.NoError(t, err)
	require.Equal(t, []SAFItem{{ID: "R4", Kind: "reversal", State: "dead", Purchase: 12, Amount: 479920, Attempts: 3,
		QueuedAt: trail.Instant(at)}}, saf)
	require.Equal(t, engine.LookSAF{ID: "R4", Limit: 7}, r.engine.last().(*engine.Look).What)
	_, err = r.client.SAFIn(t.Context(), "dead", MostListed+1)
	require.NoError(t, err)
	require.Equal(t, engine.LookSAF{State: "dead", Limit: MostListed + 1}, r.engine.last().(*engine.Look).What,
		"the state is looked for before the limit cuts")
	nodes, err := r.client.Budget(t.Context(), "210100")
	require.NoError(t, err)
	require.Equal(t, money.Amount(2), nodes[0].Free)
	holds, err := r.client.Holds(t.Context(), 30*time.Minute, 0)
	require.NoError(t, err)
	require.Equal(t, "reversing", holds[0].State)
	require.Equal(t, "李雷", holds[0].Proposed.Actor)
	require.Equal(t, engine.LookHolds{OlderThan: int64(30 * time.Minute)}, r.engine.last().(*engine.Look).What)
	pauses, err := r.client.Pauses(t.Context())
	require.NoError(t, err)
	require.Equal(t, "2025-06-18T10:00:00.000+08:00", pauses[0].From.String())
	require.Zero(t, pauses[0].To)
	stops, err := r.client.Stops(t.Context())
	require.NoError(t, err)
	require.Equal(t, "21010001", stops[0].Terminal)
	rows, err := r.client.Registry(t.Context(), "m", "")
	require.NoError(t, err)
	require.Equal(t, Registry{Merchants: [][]string{{"m"}}, Terminals: [][]string{}}, rows)
	p, err := r.client.Policy(t.Context())
	require.NoError(t, err)
	sum := policy.DigestOf(map[string][]byte{"policy.yaml": []byte("x")})
	require.Equal(t, Policy{Programme: "p", Digest: hex.EncodeToString(sum[:]), Versions: []string{"v1"},
		Files: map[string][]byte{"policy.yaml": []byte("x")}}, p)
}

func typeName(v any) string {
	switch v.(type) {
	case engine.LookSAF:
		return "engine.LookSAF"
	case engine.LookBudget:
		return "engine.LookBudget"
	case engine.LookHolds:
		return "engine.LookHolds"
	case engine.LookPauses:
		return "engine.LookPauses"
	case engine.LookKills:
		return "engine.LookKills"
	case engine.LookRows:
		return "engine.LookRows"
	case engine.LookPolicy:
		return "engine.LookPolicy"
	}
	return ""
}

func TestALookThatFindsNothingOrIsMalformedSaysSo(t *testing.T) {
	r := newRig(t, history(), nil)
	r.engine.answer = func(any) *engine.AdminReply { return &engine.AdminReply{Problems: []string{`no budget node "x"`}} }
	_, err := r.client.Budget(t.Context(), "x")
	require.Equal(t, http.StatusNotFound, status(err))
	_, err = r.client.SAF(t.Context(), "", -1)
	require.Equal(t, http.StatusBadRequest, status(err))
	_, err = r.client.Holds(t.Context(), -time.Second, 0)
	require.Equal(t, http.StatusBadRequest, status(err))
	r.engine.answer = func(any) *engine.AdminReply { return &engine.AdminReply{Result: 7} }
	_, err = r.client.Pauses(t.Context())
	require.Equal(t, http.StatusInternalServerError, status(err))
	require.NotContains(t, err.Error(), "int", "what nobody expected is for the log")
}

// ---- The socket -----------------------------------------------------------------------------------------------------

func TestTheSocketIsForItsOwnerAndGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	l, err := Listen(path)
	require.NoError(t, err)
	info, err := os.Lstat(path)
	require.NoError(t, err)
	require.Equal(t, os.ModeSocket|0o660, info.Mode())
	require.Equal(t, path, l.Addr().String())
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "the nest is gone")
	require.NoError(t, l.Close())
	_, err = os.Lstat(path)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestAStaleSocketIsReplacedAndALiveOneIsNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	dead.SetUnlinkOnClose(false)
	require.NoError(t, dead.Close())

	live, err := Listen(path)
	require.NoError(t, err)
	_, err = Listen(path)
	require.ErrorIs(t, err, ErrInUse)
	require.NoError(t, live.Close())

	require.NoError(t, os.WriteFile(path, []byte("precious"), 0o600))
	_, err = Listen(path)
	require.ErrorContains(t, err, "is no socket")
}

func TestASocketOfALongPathLiesWhereServerAndClientBothFindIt(t *testing.T) {
	temporary, err := os.MkdirTemp("/tmp", "hx")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(temporary)) })
	t.Setenv("TMPDIR", temporary)
	state := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	require.NoError(t, os.MkdirAll(state, 0o700))
	path := filepath.Join(state, "control.sock")
	place, err := Place(path)
	require.NoError(t, err)
	require.NotEqual(t, path, place)
	require.Less(t, len(filepath.Base(filepath.Dir(place))), 30)
	l, err := Listen(path)
	require.NoError(t, err)
	defer l.Close()
	require.Equal(t, place, l.Addr().String())
	folder, err := os.Stat(filepath.Dir(place))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o750), folder.Mode().Perm())
	_, err = NewClient(path)
	require.NoError(t, err)

	require.NoError(t, os.Chmod(filepath.Dir(place), 0o777))
	_, err = NewClient(path)
	require.ErrorContains(t, err, "nobody else can write")
	_, err = Listen(path)
	require.ErrorContains(t, err, "nobody else can write")

	t.Setenv("TMPDIR", "/tmp/"+strings.Repeat("x", 90))
	_, err = Place(path)
	require.ErrorContains(t, err, "TMPDIR")
}

func TestPlaceLeavesRoomForTheNest(t *testing.T) {
	for n := 1; n < 140; n++ {
		place, err := Place("/" + strings.Repeat("d", n) + "/s")
		require.NoError(t, err)
		require.LessOrEqual(t, len(filepath.Dir(place))+nestLength, 107)
		require.LessOrEqual(t, len(place), 107)
	}
}

func TestAClientWithoutASwitchSaysSo(t *testing.T) {
	c, err := NewClient(filepath.Join(t.TempDir(), "control.sock"))
	require.NoError(t, err)
	_, err = c.Pauses(t.Context())
	require.ErrorIs(t, err, ErrUnreachable)
}

func TestConnectionsBeyondTheBoundWaitAndAreThenServed(t *testing.T) {
	r := newRig(t, history(), func(c *Config) { c.Connections = 1 })
	r.engine.answer = func(any) *engine.AdminReply { return &engine.AdminReply{Result: []engine.PauseView{}} }
	idle, err := net.Dial("unix", r.place)
	require.NoError(t, err)
	answered := make(chan error, 1)
	go func() {
		_, err := r.client.Pauses(context.Background())
		answered <- err
	}()
	require.NoError(t, idle.Close())
	require.NoError(t, <-answered)
}

// The decoder of the standard library takes reaſon for reason, and the last of two wins.
func TestANameInOtherLettersIsTheSameName(t *testing.T) {
	for text, want := range map[string]string{
		`{"reason":"a","reaſon":"b"}`:                    `"reason" stands twice`,
		`{"act":{"pauſe":{},"pause":{}}}`:                `"pause" stands twice`,
		"{\"document\":\"a\",\"by\":\"a\",\"BY\":\"b\"}": `"by" stands twice`,
		"{\"likes\":1,\"li\u212aes\":2}":                 `"likes" stands twice`,
	} {
		var o OperateRequest
		require.ErrorContains(t, decode([]byte(text), &o), want)
	}
	var o OperateRequest
	require.NoError(t, decode([]byte(`{"reaſon":"b"}`), &o))
	require.Equal(t, "b", o.Reason)
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"by":"a","reason":"b","document":"c","dry_run":true,"act":{"pause":{"city":"210100","from":"2025-06-18T10:00:00+08:00"}}}`,
		`{"act":{"change_rows":{"merchants":[["a","b"]],"add_only":true}}}`, `{"act":{"supplement":{"serial":"SN123456","case_id":"C"}}}`,
		`{"terminal":"21010001","stan":3,"card":"000102030405060708090a0b0c0d0e0f"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var o OperateRequest
		if decode(text, &o) == nil {
			if in, err := o.operate(fakeHasher{}); err == nil && in.Act == nil {
				t.Fatal("accepted without an act")
			}
		}
		var q FindRequest
		if decode(text, &q) == nil {
			if query, err := q.query(fakeHasher{}); err == nil && query.Check() != nil {
				t.Fatal("accepted a search for nothing")
			}
		}
	})
}
