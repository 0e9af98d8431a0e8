package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"huanxin/config"
	"huanxin/config/dialects"
	"huanxin/config/programmes"
	"huanxin/internal/money"
	"huanxin/internal/simulator/issuer"
	"huanxin/internal/simulator/till"
	"huanxin/switch/iso8583"
	"huanxin/switch/journal"
	"huanxin/switch/keys/store"
	"huanxin/switch/projection"
	"huanxin/switch/projection/projectiontest"
	"huanxin/switch/wire"
)

const (
	testTerminal = "21010001"
	testMerchant = "898210157220001"
)

// testSwitch is a running Switch on ports that the system chose.
type testSwitch struct {
	*Switch
	stop  context.CancelFunc
	ended chan error
}

// testConfig is the built-in configuration on free ports, with its state in dir, the card network at address, and a wallet
// of its own.
func testConfig(t *testing.T, dir, network string, more ...string) *config.Config {
	t.Helper()
	t.Chdir(t.TempDir()) // no config/ of the working directory
	cfg, _, err := config.Load("", append([]string{
		"HUANXIN_STATE=" + dir, "HUANXIN_LOG_LEVEL=error",
		"HUANXIN_LISTENERS_CUP_ADDRESS=127.0.0.1:0", "HUANXIN_LISTENERS_NAC_ADDRESS=127.0.0.1:0",
		"HUANXIN_LISTENERS_SECURE_ADDRESS=127.0.0.1:0", "HUANXIN_LISTENERS_SM_ADDRESS=127.0.0.1:0",
		"HUANXIN_HTTP_ADDRESS=127.0.0.1:0", "HUANXIN_HOSTS_UNIONPAY_ADDRESSES=" + network,
		"HUANXIN_HOSTS_WALLET_URL=" + startWallet(t, dir).url,
		"HUANXIN_HOSTS_UNIONPAY_RECONNECT_MAX=200ms",
	}, more...))
	require.NoError(t, err)
	return cfg
}

func startSwitch(t *testing.T, cfg *config.Config) *testSwitch {
	t.Helper()
	log, err := newLogger(cfg.Log)
	require.NoError(t, err)
	sw, err := newSwitch(t.Context(), cfg, "", log)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	s := &testSwitch{Switch: sw, stop: cancel, ended: make(chan error, 1)}
	go func() { s.ended <- sw.Run(ctx) }()
	t.Cleanup(func() { cancel() })
	return s
}

// end stops the switch in good order.
func (s *testSwitch) end(t *testing.T) {
	t.Helper()
	s.stop()
	require.NoError(t, <-s.ended)
	require.NoError(t, s.Close())
}

// ready asks /readyz until the predicate holds.
func (s *testSwitch) ready(t *testing.T, wanted func(status int, parts map[string]bool) bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		res, err := http.Get("http://" + s.listener.Addr().String() + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		var body struct {
			Parts []struct {
				Name  string `json:"name"`
				Ready bool   `json:"ready"`
			} `json:"parts"`
		}
		text, err := io.ReadAll(res.Body)
		if err != nil || json.Unmarshal(text, &body) != nil {
			return false
		}
		parts := map[string]bool{}
		for _, p := range body.Parts {
			parts[p.Name] = p.Ready
		}
		return wanted(res.StatusCode, parts)
	}, time.Minute, 20*time.Millisecond)
}

func everythingReady(status int, _ map[string]bool) bool { return status == http.StatusOK }

func (s *testSwitch) api(t *testing.T) *till.API {
	t.Helper()
	tokens, err := readTokens(s.cfg.Path(s.cfg.HTTP.TokenFile))
	require.NoError(t, err)
	return till.NewAPI("http://"+s.listener.Addr().String(), tokens[0].Secret, 2, 30*time.Second)
}

func (s *testSwitch) dial(t *testing.T) *till.Line {
	t.Helper()
	line, err := till.DialLine(t.Context(), till.LineConfig{Address: s.front.Addr("cup").String(), Framing: wire.CUP, Codec: cupCodec(t)})
	require.NoError(t, err)
	t.Cleanup(line.Close)
	return line
}

func cupCodec(t *testing.T) *iso8583.Codec {
	t.Helper()
	spec, _, err := dialects.Load("", "cup")
	require.NoError(t, err)
	codec, err := iso8583.Compile(spec)
	require.NoError(t, err)
	return codec
}

// startNetwork is a card network in this process.
func startNetwork(t *testing.T) (address string, ledger *issuer.Ledger) {
	t.Helper()
	ledger = issuer.NewLedger(nil)
	network, err := issuer.New(issuer.Config{
		Framing: wire.CUP, Codec: cupCodec(t), Rules: issuer.DefaultRules(), Ledger: ledger, Logger: zap.NewNop(), Now: time.Now,
	})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- network.Serve(listener) }()
	t.Cleanup(func() {
		network.Close()
		require.NoError(t, <-served)
	})
	return listener.Addr().String(), ledger
}

func ask(t *testing.T, line *till.Line, r *till.Request) *till.Answer {
	t.Helper()
	answer, err := line.Ask(t.Context(), r)
	require.NoError(t, err)
	return answer
}

func TestOneSubsidisedPurchaseEndToEnd(t *testing.T) {
	network, ledger := startNetwork(t)
	dir := t.TempDir()
	cfg := testConfig(t, dir, network)
	sw := startSwitch(t, cfg)
	sw.ready(t, everythingReady)
	line, api := sw.dial(t), sw.api(t)

	signOn := ask(t, line, &till.Request{MTI: 0x0800, Net: till.NetSignOn, Terminal: testTerminal, Merchant: testMerchant, STAN: 1})
	require.Equal(t, "00", signOn.Response)

	person := till.NewPerson(1)
	claim, err := api.Claim(t.Context(), "key-1", person, "A01", "210100", "store")
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, claim.Status)
	code, err := api.ShowCode(t.Context(), claim.Entitlement, person, &till.Position{CRS: "WGS84", Lon: 123.4294, Lat: 41.7964, AgeSeconds: 1})
	require.NoError(t, err)
	require.NotEmpty(t, code.Code)

	hold := ask(t, line, &till.Request{
		MTI: 0x0100, Kind: till.KindReserve, Terminal: testTerminal, Merchant: testMerchant, Batch: signOn.Batch, STAN: 2, Amount: 599900,
		Tags: []till.Tag{{Name: "S1", Value: code.Code}, {Name: "S2", Value: "6901234567892"}, {Name: "S3", Value: till.NewSerial(1)}},
	})
	require.Equal(t, "00", hold.Response, "%v %s", hold.Reasons, hold.Text)
	require.Equal(t, money.Amount(119980), hold.Subsidy)
	require.Equal(t, money.Amount(479920), hold.Payable)

	sale := till.Request{
		MTI: 0x0200, Kind: till.KindSale, Terminal: testTerminal, Merchant: testMerchant, Batch: signOn.Batch, STAN: 3, Amount: hold.Payable,
		Card: &till.Card{PAN: till.NewPAN(1), Expiry: "3012"}, Tags: []till.Tag{{Name: "S7", Value: fmt.Sprintf("%012d", hold.Hold)}},
	}
	paid := ask(t, line, &sale)
	require.Equal(t, "00", paid.Response)
	entry, ok := ledger.Find(paid.RRN)
	require.True(t, ok)
	require.Equal(t, hold.Payable, entry.Line.Amount)

	require.NoError(t, sw.projector.Wait(t.Context(), sw.journal.Position()))
	rows, err := sw.database.Purchases(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Equal(t, projection.Captured, rows[0].State)
	require.Equal(t, hold.Subsidy, rows[0].Subsidy)
	require.Equal(t, hold.Payable, rows[0].Amount)
	require.Equal(t, paid.RRN, rows[0].RRN)
	sw.end(t)
	snapshots, err := os.ReadDir(filepath.Join(dir, "journal", "snapshots"))
	require.NoError(t, err)
	require.NotEmpty(t, snapshots, "a graceful stop writes a snapshot")

	// A second start continues: the terminal's resend gets the original answer, and the network is not asked again.
	again := startSwitch(t, cfg)
	again.ready(t, everythingReady)
	repeated := ask(t, again.dial(t), &sale)
	require.Equal(t, paid.Response, repeated.Response)
	require.Equal(t, paid.RRN, repeated.RRN)
	require.Equal(t, 1, ledger.Summary().Charges)
	require.Zero(t, ledger.Summary().Repeats)
	again.end(t)
}

func TestReadinessNamesThePartThatIsNotReady(t *testing.T) {
	unused, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, unused.Close())
	sw := startSwitch(t, testConfig(t, t.TempDir(), unused.Addr().String()))
	sw.ready(t, func(status int, parts map[string]bool) bool {
		return status == http.StatusServiceUnavailable && parts["engine"] && parts["programme"] && parts["database"] && !parts["host unionpay"]
	})
	sw.end(t)
}

func TestSwitchServesWhileTheDatabaseIsNotThere(t *testing.T) {
	network, _ := startNetwork(t)
	cfg := testConfig(t, t.TempDir(), network, "HUANXIN_DATABASE_URL=postgres://nobody@127.0.0.1:1/nothing")
	sw := startSwitch(t, cfg)
	sw.ready(t, func(_ int, parts map[string]bool) bool {
		return parts["programme"] && parts["host unionpay"] && !parts["database"]
	})
	paid := ask(t, sw.dial(t), &till.Request{
		MTI: 0x0200, Kind: till.KindSale, Terminal: testTerminal, Merchant: testMerchant, Batch: 1, STAN: 1, Amount: 10000,
		Card: &till.Card{PAN: till.NewPAN(1), Expiry: "3012"},
	})
	require.Equal(t, "00", paid.Response)
	sw.end(t)
}

// The database has not answered while the journal was opened: what it holds is compared as soon as it does.
func TestDatabaseWithRowsOfAnotherHistoryEndsTheProcess(t *testing.T) {
	sw, err := newSwitch(t.Context(), testConfig(t, t.TempDir(), "127.0.0.1:1"), "", zap.NewNop())
	require.NoError(t, err)
	other := projectiontest.NewJournal(projectiontest.NewHistory(1, 20).Batches...)
	p, err := projection.New(projection.Config{Journal: other, Store: sw.database.Projection()})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	require.NoError(t, p.Wait(t.Context(), other.Position()))
	cancel()
	require.NoError(t, <-ended)

	require.ErrorContains(t, sw.Run(t.Context()), "the rows come from another journal than this: ")
	require.NoError(t, sw.Close())
}

func TestSwitchServesWithoutADatabase(t *testing.T) {
	network, _ := startNetwork(t)
	dir := t.TempDir()
	sw := startSwitch(t, testConfig(t, dir, network, "HUANXIN_DATABASE_ENABLED=false"))
	sw.ready(t, func(status int, parts map[string]bool) bool {
		_, named := parts["database"]
		return status == http.StatusOK && !named
	})
	paid := ask(t, sw.dial(t), &till.Request{
		MTI: 0x0200, Kind: till.KindSale, Terminal: testTerminal, Merchant: testMerchant, Batch: 1, STAN: 1, Amount: 10000,
		Card: &till.Card{PAN: till.NewPAN(1), Expiry: "3012"},
	})
	require.Equal(t, "00", paid.Response)
	_, err := purchaseIndex{sw.Switch}.Projected(t.Context())
	require.ErrorIs(t, err, errDatabaseOff, "a search reads the journal then")
	sw.end(t)
	require.NoDirExists(t, filepath.Join(dir, "postgres"))
}

func TestLostKeysAreNotReplacedBesideAJournal(t *testing.T) {
	cfg := testConfig(t, t.TempDir(), "127.0.0.1:1", "HUANXIN_DATABASE_ENABLED=false")
	runOnce(t, cfg)
	file := cfg.Path(cfg.Keys.File)
	require.NoError(t, os.Rename(file, file+".copy"))
	_, err := newSwitch(t.Context(), cfg, "", zap.NewNop())
	require.ErrorContains(t, err, "keys.file: ")
	require.ErrorContains(t, err, "restore the file")
	require.NoFileExists(t, file)
	require.NoError(t, os.Rename(file+".copy", file))
	runOnce(t, cfg)

	lmk := cfg.Path(cfg.Keys.LMKFile)
	require.NoError(t, os.Rename(lmk, lmk+".copy"))
	_, err = newSwitch(t.Context(), cfg, "", zap.NewNop())
	require.ErrorIs(t, err, store.ErrNoLMK)
	require.NoFileExists(t, lmk)
	require.NoError(t, os.Rename(lmk+".copy", lmk))
	runOnce(t, cfg)
}

func TestAStartThatOpensNoJournalLeavesNoKeys(t *testing.T) {
	cfg := testConfig(t, t.TempDir(), "127.0.0.1:1", "HUANXIN_DATABASE_ENABLED=false", "HUANXIN_JOURNAL_URL=nats://127.0.0.1:1")
	_, err := newSwitch(t.Context(), cfg, "", zap.NewNop())
	require.ErrorContains(t, err, "the journal's server")
	require.NoFileExists(t, cfg.Path(cfg.Keys.File))
	cfg.Journal.URL = ""
	runOnce(t, cfg) // which may still begin one
}

func TestAJournalWithoutABatchTakesAnyKeys(t *testing.T) {
	cfg := testConfig(t, t.TempDir(), "127.0.0.1:1", "HUANXIN_DATABASE_ENABLED=false")
	sw, err := newSwitch(t.Context(), cfg, "", zap.NewNop())
	require.NoError(t, err)
	require.Zero(t, sw.journal.Position())
	require.NoError(t, sw.Close())
	require.NoError(t, os.Remove(cfg.Path(cfg.Keys.File))) // as if it had ended before it made them
	runOnce(t, cfg)
}

func TestAnEmptyJournalBesideOlderKeysIsRefusedUnlessItIsWanted(t *testing.T) {
	cfg := testConfig(t, t.TempDir(), "127.0.0.1:1", "HUANXIN_DATABASE_ENABLED=false")
	sw := startSwitch(t, cfg)
	sw.ready(t, func(_ int, parts map[string]bool) bool { return parts["programme"] })
	sw.end(t)
	folder := cfg.Path(cfg.Journal.Folder)
	require.NoError(t, os.Rename(folder, folder+".unmounted"))
	require.NoError(t, os.Mkdir(folder, 0o700)) // the place where it would be mounted

	_, err := newSwitch(t.Context(), cfg, "", zap.NewNop())
	require.ErrorIs(t, err, journal.ErrAbsent)
	require.ErrorContains(t, err, "journal.folder: ")
	require.ErrorContains(t, err, "HUANXIN_JOURNAL_NEW=true")
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, left, "nothing is written where the journal belongs")

	cfg.Journal.New = true
	startSwitch(t, cfg).end(t)
	cfg.Journal.New = false
	startSwitch(t, cfg).end(t)
}

func TestANewJournalIsBegunOnlyBesideADatabaseThatShowsNoOlderRows(t *testing.T) {
	cfg := testConfig(t, t.TempDir(), "127.0.0.1:1")
	cfg.Journal.New = true
	runOnce(t, cfg) // the private database is empty
	folder := cfg.Path(cfg.Journal.Folder)
	require.NoError(t, os.Rename(folder, folder+".older"))
	_, err := newSwitch(t.Context(), cfg, "", zap.NewNop())
	require.ErrorIs(t, err, journal.ErrShort)
	require.ErrorContains(t, err, "PostgreSQL")
	require.NoError(t, os.RemoveAll(folder))

	// What it holds is not known.
	cfg.Database.URL = "postgres://nobody@127.0.0.1:1/nothing"
	_, err = newSwitch(t.Context(), cfg, "", zap.NewNop())
	require.ErrorIs(t, err, journal.ErrAbsent)
	require.ErrorContains(t, err, "journal.new: ")
	require.ErrorContains(t, err, "the database cannot be reached")
	require.NoDirExists(t, folder)

	// A journal that is there does not wait for its database, nor one for a database that is off.
	require.NoError(t, os.Rename(folder+".older", folder))
	runOnce(t, cfg)
	require.NoError(t, os.RemoveAll(folder))
	cfg.Database.Enabled = false
	runOnce(t, cfg)
}

func TestTokenIsCreatedOnceAndMustBeTheOwnersOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	first, err := openTokens(path, zap.NewNop())
	require.NoError(t, err)
	again, err := openTokens(path, zap.NewNop())
	require.NoError(t, err)
	require.Equal(t, first, again)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	require.NoError(t, os.Chmod(path, 0o644))
	_, err = openTokens(path, zap.NewNop())
	require.ErrorContains(t, err, "http.token-file: ")
}

func TestSecondSwitchOnTheSameStateIsRefused(t *testing.T) {
	dir := t.TempDir()
	sw := startSwitch(t, testConfig(t, dir, "127.0.0.1:1"))
	_, err := newSwitch(t.Context(), testConfig(t, dir, "127.0.0.1:1"), "", zap.NewNop())
	require.ErrorContains(t, err, "in use by another process")
	sw.end(t)
}

func TestUnknownDialectIsRefusedWithItsKey(t *testing.T) {
	cfg := testConfig(t, t.TempDir(), "127.0.0.1:1", "HUANXIN_LISTENERS_NAC_DIALECT=cpu")
	_, err := terminalPorts(cfg, &codecs{}, &credentials{cfg: cfg})
	require.ErrorContains(t, err, "listeners.nac.dialect: ")
}

func TestJournalOfAnotherProgrammeIsRefused(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(t, dir, "127.0.0.1:1")
	sw := startSwitch(t, cfg)
	sw.ready(t, func(_ int, parts map[string]bool) bool { return parts["programme"] })
	sw.end(t)

	folder, err := programmes.Open("liaoning-2025")
	require.NoError(t, err)
	files, err := programmes.Load(folder)
	require.NoError(t, err)
	cfg.Programme = filepath.Join(dir, "next")
	require.NoError(t, os.Mkdir(cfg.Programme, 0o700))
	for name, data := range files {
		data = bytes.ReplaceAll(data, []byte("id: liaoning-2025"), []byte("id: liaoning-2026"))
		require.NoError(t, os.WriteFile(filepath.Join(cfg.Programme, name), data, 0o600))
	}
	_, err = newSwitch(t.Context(), cfg, "", zap.NewNop())
	require.ErrorContains(t, err, "liaoning-2026")
}

func TestOneFlippedByteInTheJournalIsRefusedAtStart(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(t, dir, "127.0.0.1:1")
	sw := startSwitch(t, cfg)
	sw.ready(t, func(_ int, parts map[string]bool) bool { return parts["programme"] })
	sw.end(t)

	files, err := journal.FilesOf(cfg.Path(cfg.Journal.Folder))
	require.NoError(t, err)
	segment, err := os.ReadFile(files.Open)
	require.NoError(t, err)
	segment[len(bytes.TrimRight(segment, "\x00"))/2] ^= 1
	require.NoError(t, os.WriteFile(files.Open, segment, 0o600))

	_, err = newSwitch(t.Context(), cfg, "", zap.NewNop())
	require.ErrorContains(t, err, "position")
}

func TestRefusedSettingsEndWithTheirKeyAndCodeTwo(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("bad.yaml", []byte("http:\n  adress: x\n"), 0o600))
	for name, args := range map[string][]string{
		"http.adress: unknown key": {"serve", "--config", "bad.yaml"},
		"--config":                 {"serve", "--config", "missing.yaml"},
		"no such programme":        {"serve", "--programme", "liaoning-1949"},
	} {
		var errs strings.Builder
		require.Equal(t, 2, run(t.Context(), args, strings.NewReader(""), io.Discard, &errs), name)
		require.Contains(t, errs.String(), name)
	}
}

func TestSignalDuringTheStartIsAGracefulStop(t *testing.T) {
	cfg := testConfig(t, t.TempDir(), "127.0.0.1:1")
	sw, err := newSwitch(t.Context(), cfg, "", zap.NewNop())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, sw.Run(ctx))
	require.NoError(t, sw.Close())
}

func TestSignalWhileTheJournalIsBeingOpenedIsAStopInGoodOrder(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(t, dir, "127.0.0.1:1", "HUANXIN_DATABASE_ENABLED=false")
	runOnce(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	core, logs := observer.New(zap.InfoLevel)
	_, err := newSwitch(ctx, cfg, "", zap.New(core))
	require.Equal(t, errStopped, err)
	said := logs.FilterMessage("stopped while opening").All()
	require.Len(t, said, 1)
	require.Contains(t, said[0].ContextMap()["at"], "open journal of liaoning-2025")

	t.Setenv("HUANXIN_STATE", dir)
	t.Setenv("HUANXIN_DATABASE_ENABLED", "false")
	t.Setenv("HUANXIN_LOG_LEVEL", "error")
	var errs strings.Builder
	require.Zero(t, run(ctx, []string{"serve"}, strings.NewReader(""), io.Discard, &errs))
	require.Empty(t, errs.String())
	runOnce(t, cfg)
}

func TestAStopDoesNotHideWhatWasFoundWrong(t *testing.T) {
	cfg := testConfig(t, t.TempDir(), "127.0.0.1:1", "HUANXIN_DATABASE_ENABLED=false")
	cfg.Programme = "liaoning-1949"
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newSwitch(ctx, cfg, "", zap.NewNop())
	require.ErrorContains(t, err, "no such programme")
	require.NotErrorIs(t, err, errStopped)
}

// brokenJournal takes the first append, which is the take-over, and fails from then on.
type brokenJournal struct {
	*journal.Journal
	appends atomic.Int32
}

var errBrokenDisk = errors.New("disk is broken")

func (j *brokenJournal) Append(ctx context.Context, draft *journal.Draft) (journal.Mark, error) {
	if j.appends.Add(1) > 1 {
		return journal.Mark{}, errBrokenDisk
	}
	return j.Journal.Append(ctx, draft)
}

func TestEngineThatEndsWhileTheProgrammeIsAppliedEndsTheProcess(t *testing.T) {
	cfg := testConfig(t, t.TempDir(), "127.0.0.1:1")
	sw, err := newSwitch(t.Context(), cfg, "", zap.NewNop())
	require.NoError(t, err)
	sw.metrics = prometheus.NewRegistry()
	require.NoError(t, sw.openLoop(sw.set, &brokenJournal{Journal: sw.journal}))
	require.ErrorIs(t, sw.Run(t.Context()), errBrokenDisk)
	require.NoError(t, sw.Close())
}

func TestCrashPointIsCheckedAtStartAndNamesItsKey(t *testing.T) {
	log := zap.NewNop()
	cfg := testConfig(t, t.TempDir(), "127.0.0.1:1")
	point, err := newCrashPoint(cfg, log)
	require.NoError(t, err)
	require.Nil(t, point.batches, "unset it costs nothing")
	require.Nil(t, point.places, "unset it costs nothing")
	cfg.Drill.CrashAt = "appended SaleSent 2"
	point, err = newCrashPoint(cfg, log)
	require.NoError(t, err)
	require.NotNil(t, point.batches)
	require.Nil(t, point.places)
	for _, place := range crashPlaces {
		cfg.Drill.CrashAt = place + " 2"
		point, err = newCrashPoint(cfg, log)
		require.NoError(t, err)
		require.Nil(t, point.batches)
		require.NotNil(t, point.places)
	}
	for _, wrong := range []string{"appended SaleSend 2", "nowhere 1", "snapshot-named 0"} {
		cfg.Drill.CrashAt = wrong
		_, err = newCrashPoint(cfg, log)
		require.ErrorContains(t, err, "drill.crash-at: ")
	}
}
