package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// load writes text to a file and loads it with the given environment.
func load(t *testing.T, text string, environ ...string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "huanxin.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	cfg, origin, err := Load(path, environ)
	if err == nil {
		require.Equal(t, path, origin)
	}
	return cfg, err
}

func TestManualStatesEveryDefault(t *testing.T) {
	want := Defaults()
	fromManual, err := load(t, string(Manual))
	require.NoError(t, err)
	require.Equal(t, want, *fromManual)

	fromNothing, err := load(t, "")
	require.NoError(t, err)
	require.Equal(t, want, *fromNothing)
}

func TestManualHasEveryKeyOnce(t *testing.T) {
	for _, key := range []string{"security", "frame-limit", "reversal-retry-max", "reversal-work-item", "clearing-cut-off",
		"reversal-least-life", "remember", "batch-events", "drain"} {
		require.Contains(t, string(Manual), key+":")
	}
}

func TestFileIsSearchedByFlagThenWorkingDirectoryThenBuiltIn(t *testing.T) {
	t.Chdir(t.TempDir())
	_, origin, err := Load("", nil)
	require.NoError(t, err)
	require.Equal(t, "built-in config/huanxin.yaml", origin)

	require.NoError(t, os.Mkdir("config", 0o700))
	require.NoError(t, os.WriteFile(DefaultFile, []byte("state: elsewhere\n"), 0o600))
	cfg, origin, err := Load("", nil)
	require.NoError(t, err)
	require.Equal(t, DefaultFile, origin)
	require.Equal(t, "elsewhere", cfg.State)

	_, _, err = Load("missing.yaml", nil)
	require.ErrorIs(t, err, ErrInvalid)
	require.ErrorContains(t, err, "--config")
}

func TestNamedEntriesReplaceTheDefaultOnesAndKeepEntryDefaults(t *testing.T) {
	cfg, err := load(t, "listeners:\n  street:\n    address: 127.0.0.1:9000\n    framing: raw2\n")
	require.NoError(t, err)
	want := DefaultListener()
	want.Address, want.Framing = "127.0.0.1:9000", "raw2"
	require.Equal(t, map[string]Listener{"street": want}, cfg.Listeners)
	require.Contains(t, cfg.Hosts, "unionpay")
}

func TestEnvironmentOverridesTheFile(t *testing.T) {
	cfg, err := load(t, "http:\n  address: 127.0.0.1:9999\n",
		"HUANXIN_HTTP_ADDRESS=127.0.0.1:8181",
		"HUANXIN_LISTENERS_CUP_ADDRESS=127.0.0.1:0",
		"HUANXIN_HOSTS_UNIONPAY_TIMEOUT=3s",
		"HUANXIN_HOSTS_UNIONPAY_REVERSAL_DONE=00,25",
		"HUANXIN_HOSTS_UNIONPAY_REVERSAL_WORK_ITEM=22,64",
		"HUANXIN_HOSTS_UNIONPAY_CLEARING_CUT_OFF=22:30",
		"HUANXIN_HOSTS_UNIONPAY_ACQUIRER=00048022",
		"HUANXIN_HOSTS_UNIONPAY_MATCH_KEY=7,11",
		"HUANXIN_HOSTS_UNIONPAY_SIGN_ON=false",
		"HUANXIN_SNAPSHOT_EVENTS=7500",
		"HUANXIN_JOURNAL_HIGH_WATER=1GiB",
		"HUANXIN_TEST_POSTGRES=postgres://x", "PATH=/bin")
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:8181", cfg.HTTP.Address)
	require.Equal(t, "127.0.0.1:0", cfg.Listeners["cup"].Address)
	require.Equal(t, 3*time.Second, cfg.Hosts["unionpay"].Timeout)
	require.Equal(t, []string{"00", "25"}, cfg.Hosts["unionpay"].Done)
	require.Equal(t, []string{"22", "64"}, cfg.Hosts["unionpay"].WorkItem)
	require.Equal(t, TimeOfDay(22*time.Hour+30*time.Minute), cfg.Hosts["unionpay"].CutOff)
	require.Equal(t, "00048022", cfg.Hosts["unionpay"].Acquirer)
	require.Equal(t, []int{7, 11}, cfg.Hosts["unionpay"].MatchKey)
	require.False(t, cfg.Hosts["unionpay"].SignOn)
	require.Equal(t, 7500, cfg.Snapshot.Events)
	require.Equal(t, Size(1<<30), cfg.Journal.HighWater)
}

func TestRefusalNamesTheKey(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		environ []string
		want    []string
	}{
		"unknown key":              {text: "http:\n  adress: 127.0.0.1:1\n", want: []string{"http.adress: unknown key"}},
		"unknown section":          {text: "htpp:\n  address: 127.0.0.1:1\n", want: []string{"htpp.address: unknown key"}},
		"unknown scalar":           {text: "speed: 1\n", want: []string{"speed: unknown key"}},
		"unknown empty key":        {text: "http:\n  adress:\n", want: []string{"http.adress: unknown key"}},
		"unknown key of an entry":  {text: "hosts:\n  unionpay:\n    addresses: [127.0.0.1:1]\n    timeot: 3s\n", want: []string{"hosts.unionpay.timeot: unknown key"}},
		"two unknown keys":         {text: "a: 1\nb: 2\n", want: []string{"a: unknown key", "b: unknown key"}},
		"duplicate key":            {text: "state: a\nstate: b\n", want: []string{"state"}},
		"not YAML":                 {text: "state: [\n", want: []string{"yaml"}},
		"section is a value":       {text: "http: 8080\n", want: []string{"http"}},
		"entries are a list":       {text: "listeners: [cup]\n", want: []string{"listeners"}},
		"entry without settings":   {text: "listeners:\n  cup: 7001\n", want: []string{"listeners.cup"}},
		"entry name":               {text: "listeners:\n  \"c p\":\n    address: 127.0.0.1:1\n", want: []string{"listeners.c p"}},
		"number as duration":       {text: "snapshot:\n  every: 30\n", want: []string{"snapshot.every", "not a duration"}},
		"text as duration":         {text: "snapshot:\n  every: soon\n", want: []string{"snapshot.every"}},
		"number as time of day":    {text: "hosts:\n  unionpay:\n    addresses: [127.0.0.1:1]\n    clearing-cut-off: 23\n", want: []string{"hosts.unionpay.clearing-cut-off", "not a time of day"}},
		"no time of day":           {text: "hosts:\n  unionpay:\n    addresses: [127.0.0.1:1]\n    clearing-cut-off: \"25:00\"\n", want: []string{"hosts.unionpay.clearing-cut-off", "not a time of day"}},
		"number as size":           {text: "journal:\n  high-water: 1000\n", want: []string{"journal.high-water", "not a size"}},
		"text as number":           {text: "engine:\n  queue: many\n", want: []string{"engine.queue"}},
		"number as text":           {text: "state: 5\n", want: []string{"state"}},
		"number as response code":  {text: "hosts:\n  unionpay:\n    addresses: [127.0.0.1:1]\n    reversal-done: [00]\n", want: []string{"hosts.unionpay.reversal-done"}},
		"unknown variable":         {environ: []string{"HUANXIN_HTTP_ADRESS=x"}, want: []string{"HUANXIN_HTTP_ADRESS: names no setting"}},
		"variable with bad number": {environ: []string{"HUANXIN_ENGINE_QUEUE=12x"}, want: []string{"HUANXIN_ENGINE_QUEUE", "engine.queue"}},
		"variable with bad size":   {environ: []string{"HUANXIN_JOURNAL_HIGH_WATER=7"}, want: []string{"journal.high-water"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, c.text, c.environ...)
			require.ErrorIs(t, err, ErrInvalid)
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestCrossChecksNameTheKey(t *testing.T) {
	for name, c := range map[string]struct {
		environ string
		want    string
	}{
		"host time-out too near the terminal's": {"HUANXIN_HOSTS_UNIONPAY_TIMEOUT=25001ms", "hosts.unionpay.timeout: "},
		"listener beyond loopback":              {"HUANXIN_LISTENERS_NAC_ADDRESS=0.0.0.0:7002", "listeners.nac.address: "},
		"HTTP beyond loopback":                  {"HUANXIN_HTTP_ADDRESS=:8080", "http.address: "},
		"host beyond loopback":                  {"HUANXIN_HOSTS_UNIONPAY_ADDRESSES=192.0.2.1:7101", "hosts.unionpay.addresses: "},
		"same port twice":                       {"HUANXIN_HTTP_ADDRESS=127.0.0.1:7001", "http.address: port 7001 is taken by listeners.cup.address"},
		"host is this process":                  {"HUANXIN_HOSTS_UNIONPAY_ADDRESSES=127.0.0.1:7002", "hosts.unionpay.addresses: port 7002 is taken by listeners.nac.address"},
		"port out of range":                     {"HUANXIN_HTTP_ADDRESS=127.0.0.1:70000", "http.address: "},
		"no port":                               {"HUANXIN_HTTP_ADDRESS=127.0.0.1", "http.address: "},
		"security":                              {"HUANXIN_LISTENERS_CUP_SECURITY=none", "listeners.cup.security: "},
		"cipher of keys":                        {"HUANXIN_LISTENERS_SECURE_KEYS_CIPHER=aes", "listeners.secure.keys.cipher: "},
		"length of keys":                        {"HUANXIN_LISTENERS_SECURE_KEYS_MAC_LENGTH=7", "listeners.secure.keys.mac-length: "},
		"proof":                                 {"HUANXIN_LISTENERS_SECURE_KEYS_SETTLEMENT=yes", "listeners.secure.keys.settlement: "},
		"PIN format":                            {"HUANXIN_LISTENERS_SM_KEYS_PIN_FORMATS=iso-0", "listeners.sm.keys.pin-formats: "},
		"log level":                             {"HUANXIN_LOG_LEVEL=loud", "log.level: "},
		"framing":                               {"HUANXIN_LISTENERS_CUP_FRAMING=cpu", "listeners.cup.framing: "},
		"tpdu":                                  {"HUANXIN_LISTENERS_CUP_TPDU=turn", "listeners.cup.tpdu: "},
		"certificate without key":               {"HUANXIN_LISTENERS_CUP_TLS_CERTIFICATE=a.pem", "listeners.cup.tls.certificate: "},
		"zero queue":                            {"HUANXIN_ENGINE_QUEUE=0", "engine.queue: "},
		"negative limit":                        {"HUANXIN_LISTENERS_CUP_CONNECTIONS=-1", "listeners.cup.connections: "},
		"frame beyond its length":               {"HUANXIN_LISTENERS_CUP_FRAME_LIMIT=65KiB", "listeners.cup.frame-limit: "},
		"route to nowhere":                      {"HUANXIN_ROUTES_QR=purse", "routes.qr: "},
		"code both done and retry":              {"HUANXIN_HOSTS_UNIONPAY_REVERSAL_RETRY=00,91", "hosts.unionpay.reversal-retry: "},
		"code both done and work item":          {"HUANXIN_HOSTS_UNIONPAY_REVERSAL_WORK_ITEM=58,12", "hosts.unionpay.reversal-work-item: \"12\" is in reversal-done too"},
		"code both retry and work item":         {"HUANXIN_HOSTS_UNIONPAY_REVERSAL_WORK_ITEM=96", "hosts.unionpay.reversal-work-item: \"96\" is in reversal-retry too"},
		"work item that is no code":             {"HUANXIN_HOSTS_UNIONPAY_REVERSAL_WORK_ITEM=5", "hosts.unionpay.reversal-work-item: "},
		"cut-over that is no time of day":       {"HUANXIN_HOSTS_UNIONPAY_CLEARING_CUT_OFF=late", "hosts.unionpay.clearing-cut-off: "},
		"reversal without a life":               {"HUANXIN_HOSTS_UNIONPAY_REVERSAL_LEAST_LIFE=0s", "hosts.unionpay.reversal-least-life: "},
		"empty list":                            {"HUANXIN_HOSTS_UNIONPAY_REVERSAL_DONE=", "hosts.unionpay.reversal-done: "},
		"match key by the second alone":         {"HUANXIN_HOSTS_UNIONPAY_MATCH_KEY=7", "hosts.unionpay.match-key: "},
		"sign-on neither yes nor no":            {"HUANXIN_HOSTS_UNIONPAY_SIGN_ON=perhaps", "HUANXIN_HOSTS_UNIONPAY_SIGN_ON"},
		"replicas without a cluster":            {"HUANXIN_JOURNAL_REPLICAS=3", "journal.replicas: "},
		"number of replicas":                    {"HUANXIN_JOURNAL_REPLICAS=2", "journal.replicas: "},
		"header":                                {"HUANXIN_HOSTS_UNIONPAY_HEADER=60", "hosts.unionpay.header: "},
		"back-off upside down":                  {"HUANXIN_DATABASE_RETRY_MAX=10ms", "database.retry-max: "},
		"database URL":                          {"HUANXIN_DATABASE_URL=mysql://x", "database.url: "},
		"binaries missing":                      {"HUANXIN_DATABASE_BINARIES=/nonexistent", "database.binaries: "},
		"high water":                            {"HUANXIN_JOURNAL_HIGH_WATER=1KiB", "journal.high-water: "},
		"no programme":                          {"HUANXIN_PROGRAMME=", "programme: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, "", c.environ)
			require.ErrorIs(t, err, ErrInvalid)
			require.ErrorContains(t, err, c.want)
		})
	}
}

// aWallet is a file with a card network and a wallet that has the given settings.
func aWallet(settings string) string {
	return "hosts:\n  unionpay:\n    addresses: [127.0.0.1:7101]\n  purse:\n    kind: wallet\n" + settings
}

func TestWhatIsSecuredMayLieAnywhere(t *testing.T) {
	cfg, err := load(t, "", "HUANXIN_LISTENERS_SECURE_ADDRESS=0.0.0.0:7003", "HUANXIN_HOSTS_UNIONPAY_ADDRESSES=192.0.2.1:7101",
		"HUANXIN_HOSTS_UNIONPAY_MAC=3des-cbc")
	require.NoError(t, err)
	require.Equal(t, "0.0.0.0:7003", cfg.Listeners["secure"].Address)
	_, err = load(t, "", "HUANXIN_HOSTS_UNIONPAY_ADDRESSES=192.0.2.1:7101", "HUANXIN_HOSTS_UNIONPAY_TLS_ENABLED=true",
		"HUANXIN_HOSTS_WALLET_URL=https://wallet.example")
	require.NoError(t, err)
}

// A network's two machines listen on one port, which may also be one of ours.
func TestPortsOfOtherMachinesAreTheirs(t *testing.T) {
	_, err := load(t, "", "HUANXIN_HOSTS_UNIONPAY_ADDRESSES=192.0.2.1:7101,192.0.2.2:7101,192.0.2.3:7001", "HUANXIN_HOSTS_UNIONPAY_MAC=3des-cbc")
	require.NoError(t, err)
	for _, here := range []string{"127.0.0.1:7001", "[::1]:7001", "localhost:7001", "127.8.0.1:7001"} {
		_, err := load(t, "", "HUANXIN_HOSTS_UNIONPAY_ADDRESSES=192.0.2.1:7101,"+here, "HUANXIN_HOSTS_UNIONPAY_MAC=3des-cbc")
		require.ErrorContains(t, err, "hosts.unionpay.addresses: port 7001 is taken by listeners.cup.address", here)
	}
}

func TestWalletHasSettingsOfItsOwn(t *testing.T) {
	cfg, err := load(t, aWallet("    url: http://127.0.0.1:9102/pay\n    key-file: purse.key\n    query-every: 3s\nroutes:\n  qr: purse\n"),
		"HUANXIN_HOSTS_PURSE_CANCEL_AFTER=40s")
	require.NoError(t, err)
	want := DefaultWallet()
	want.URL, want.KeyFile, want.QueryEvery, want.CancelAfter = "http://127.0.0.1:9102/pay", "purse.key", 3*time.Second, 40*time.Second
	want.MatchKey, want.Addresses = cfg.Hosts["purse"].MatchKey, cfg.Hosts["purse"].Addresses
	want.Done, want.Retry, want.WorkItem = cfg.Hosts["purse"].Done, cfg.Hosts["purse"].Retry, cfg.Hosts["purse"].WorkItem
	require.Equal(t, want, cfg.Hosts["purse"])
	require.Empty(t, want.MatchKey)
	require.Empty(t, want.Done)
	require.Equal(t, CardHost, cfg.Hosts["unionpay"].Kind)
}

func TestWalletIsRefusedWithItsKey(t *testing.T) {
	const good = "    url: http://127.0.0.1:9102\n    key-file: purse.key\n"
	for name, c := range map[string]struct{ text, want string }{
		"no URL":             {"    key-file: a\n", "hosts.purse.url: "},
		"URL of no web":      {"    url: ftp://127.0.0.1\n    key-file: a\n", "hosts.purse.url: "},
		"URL with password":  {"    url: http://u:hunter2@127.0.0.1\n    key-file: a\n", "hosts.purse.url: "},
		"beyond loopback":    {"    url: http://192.0.2.1\n    key-file: a\n", "hosts.purse.url: "},
		"this process":       {"    url: http://127.0.0.1:8080\n    key-file: a\n", "hosts.purse.url: port 8080 is taken by http.address"},
		"no key":             {"    url: http://127.0.0.1:9102\n", "hosts.purse.key-file: "},
		"asked too often":    {good + "    query-every: 2900ms\n", "hosts.purse.query-every: "},
		"asked too seldom":   {good + "    query-every: 5100ms\n", "hosts.purse.query-every: "},
		"cancelled too soon": {good + "    cancel-after: 14s\n", "hosts.purse.cancel-after: "},
		"a card's setting":   {good + "    framing: nac\n", "hosts.purse.framing: a host of kind wallet"},
		"a card's list":      {good + "    reversal-done: [\"00\"]\n", "hosts.purse.reversal-done: a host of kind wallet"},
		"takes no cards":     {good + "routes:\n  default: purse\n", "routes.default: "},
		"time-out":           {good + "    timeout: 26s\n    cancel-after: 60s\n", "hosts.purse.timeout: "},
	} {
		_, err := load(t, aWallet(c.text)+"\n")
		require.ErrorIs(t, err, ErrInvalid, name)
		require.ErrorContains(t, err, c.want, name)
		require.NotContains(t, err.Error(), "hunter2")
	}
	_, err := load(t, "", "HUANXIN_HOSTS_UNIONPAY_URL=http://127.0.0.1:9102")
	require.ErrorContains(t, err, "hosts.unionpay.url: a host of kind card has no such setting")
	_, err = load(t, "hosts:\n  x:\n    kind: shop\n    addresses: [127.0.0.1:1]\n")
	require.ErrorContains(t, err, "hosts.x.kind: ")
}

func TestEverySettingOfAHostIsOfOneKindOrBoth(t *testing.T) {
	card, wallet := settings("", reflect.ValueOf(DefaultHost())), settings("", reflect.ValueOf(DefaultWallet()))
	for _, name := range append(append([]string{}, ofCards...), ofWallets...) {
		require.Contains(t, card, name)
	}
	for name := range card {
		of := []bool{slices.Contains(ofCards, name), slices.Contains(ofWallets, name)}
		require.NotEqual(t, []bool{true, true}, of, name)
		if of[0] {
			require.True(t, reflect.ValueOf(wallet[name]).IsZero(), name)
		}
		if of[1] {
			require.True(t, reflect.ValueOf(card[name]).IsZero(), name)
		}
	}
}

func TestMissingCertificateIsRefusedWithItsKey(t *testing.T) {
	_, err := load(t, "", "HUANXIN_LISTENERS_CUP_TLS_CERTIFICATE=a.pem", "HUANXIN_LISTENERS_CUP_TLS_KEY=b.pem")
	require.ErrorContains(t, err, "listeners.cup.tls.certificate: ")
	require.ErrorContains(t, err, "listeners.cup.tls.key: ")
}

func TestDatabasePasswordIsNotRepeated(t *testing.T) {
	_, err := load(t, "", "HUANXIN_DATABASE_URL=mysql://user:hunter2@x/y")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
}

func TestHostTimeoutMayTouchTheMargin(t *testing.T) {
	_, err := load(t, "", "HUANXIN_HOSTS_UNIONPAY_TIMEOUT=25s")
	require.NoError(t, err)
}

func TestPathsLieBelowState(t *testing.T) {
	cfg := Config{State: "var"}
	require.Equal(t, filepath.Join("var", "token"), cfg.Path("token"))
	require.Equal(t, "/etc/token", cfg.Path("/etc/token"))
	require.Empty(t, cfg.Path(""))
}

func TestSizeReadsWhatItWrites(t *testing.T) {
	for text, want := range map[string]Size{"0B": 0, "1B": 1, "64KiB": 65536, "1 MiB": 1 << 20, "3GiB": 3 << 30} {
		got, err := ParseSize(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
		again, err := ParseSize(got.String())
		require.NoError(t, err)
		require.Equal(t, want, again)
	}
	for _, text := range []string{"", "7", "KiB", "-1B", "1.5MiB", "9999999999GiB", "1KB"} {
		_, err := ParseSize(text)
		require.Error(t, err, text)
	}
}

func FuzzParseSize(f *testing.F) {
	f.Add("64KiB")
	f.Add("8GiB")
	f.Add("-1 B")
	f.Fuzz(func(t *testing.T, text string) {
		size, err := ParseSize(text)
		if err != nil {
			return
		}
		require.GreaterOrEqual(t, size, Size(0))
		again, err := ParseSize(size.String())
		require.NoError(t, err)
		require.Equal(t, size, again)
	})
}

// FuzzParse: a file of settings and an environment are refused line by line, with the keys, or they are settings that have
// passed every check.
func FuzzParse(f *testing.F) {
	f.Add(Manual, "HUANXIN_LOG_LEVEL=debug")
	for _, text := range []string{
		"", "state: elsewhere\n", "listeners:\n  a:\n    listen: 127.0.0.1:0\n    dialect: cup\n    framing: cup\n",
		"hosts:\n  w:\n    kind: wallet\n    url: http://127.0.0.1:1\n", "log:\n", "listeners: [a]\n", "a: &a [*a, *a]\n", "? {a: b}\n: c\n",
		"snapshot: {events: 10, keep: 2}\nremember: 1h\nframe-limit: 64KiB\n",
	} {
		f.Add([]byte(text), "HUANXIN_STATE=x")
	}
	f.Fuzz(func(t *testing.T, text []byte, variable string) {
		cfg, problems := parse(text, []string{variable})
		if len(problems) == 0 {
			require.NotNil(t, cfg)
			problems = cfg.check()
		} else {
			require.Nil(t, cfg)
		}
		for _, problem := range problems {
			require.NotEmpty(t, problem)
		}
	})
}
