package main

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"huanxin/config"
)

func TestEveryLineThatLeavesTheMachineInClearIsNamed(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, c := range map[string]struct {
		environ []string
		want    []clearLine
	}{
		"as shipped": {},
		"ports on every address": {
			[]string{"HUANXIN_LISTENERS_SECURE_ADDRESS=0.0.0.0:7003", "HUANXIN_LISTENERS_SM_ADDRESS=:7004"},
			[]clearLine{{"listeners.secure", "0.0.0.0:7003", "listeners.secure.tls.certificate, key"}, {"listeners.sm", ":7004", "listeners.sm.tls.certificate, key"}},
		},
		"all of IPv6, and loopback of it": {
			[]string{"HUANXIN_LISTENERS_SECURE_ADDRESS=[::]:7003", "HUANXIN_LISTENERS_SM_ADDRESS=[::1]:7004"},
			[]clearLine{{"listeners.secure", "[::]:7003", "listeners.secure.tls.certificate, key"}},
		},
		"loopback by another number and by name": {
			[]string{"HUANXIN_LISTENERS_SECURE_ADDRESS=127.8.9.10:7003", "HUANXIN_LISTENERS_SM_ADDRESS=localhost:7004"}, nil,
		},
		"links to networks": {
			[]string{"HUANXIN_HOSTS_UNIONPAY_ADDRESSES=192.0.2.1:7101,127.0.0.1:7101,bank.example:7101", "HUANXIN_HOSTS_UNIONPAY_MAC=3des-cbc"},
			[]clearLine{{"hosts.unionpay", "192.0.2.1:7101", "hosts.unionpay.tls.enabled: true"}, {"hosts.unionpay", "bank.example:7101", "hosts.unionpay.tls.enabled: true"}},
		},
		"a link with TLS, a wallet by https": {
			[]string{"HUANXIN_HOSTS_UNIONPAY_ADDRESSES=192.0.2.1:7101", "HUANXIN_HOSTS_UNIONPAY_TLS_ENABLED=true", "HUANXIN_HOSTS_WALLET_URL=https://wallet.example"},
			nil,
		},
		"a journal on a cluster": {
			[]string{"HUANXIN_JOURNAL_URL=nats://user:hunter2@192.0.2.7:4222,tls://192.0.2.8:4222,nats://127.0.0.1:4222,nats://[::1],nats://two.example"},
			[]clearLine{{"journal", "192.0.2.7:4222", "journal.url: tls://…"}, {"journal", "two.example", "journal.url: tls://…"}},
		},
		"a database elsewhere": {
			[]string{"HUANXIN_DATABASE_URL=postgres://user:hunter2@db.example:5433/huanxin"},
			[]clearLine{{"database", "db.example:5433", "database.url: …?sslmode=verify-full"}},
		},
		"a database elsewhere that may fall back": {
			[]string{"HUANXIN_DATABASE_URL=postgres://u@db.example/h?sslmode=allow"},
			[]clearLine{{"database", "db.example:5432", "database.url: …?sslmode=verify-full"}},
		},
		"a database elsewhere with TLS":   {[]string{"HUANXIN_DATABASE_URL=postgres://u@db.example/h?sslmode=require"}, nil},
		"a database here":                 {[]string{"HUANXIN_DATABASE_URL=postgres://u@127.0.0.1/h?sslmode=disable"}, nil},
		"a database at a socket":          {[]string{"HUANXIN_DATABASE_URL=postgres://u@/h?host=/run/postgresql&sslmode=disable"}, nil},
		"a database that is switched off": {[]string{"HUANXIN_DATABASE_URL=postgres://u@db.example/h", "HUANXIN_DATABASE_ENABLED=false"}, nil},
	} {
		cfg, _, err := config.Load("", c.environ)
		require.NoError(t, err, name)
		require.Equal(t, c.want, linesInClear(cfg), name)
	}
	// These two are refused before they come so far. Should that change, they are named.
	cfg := config.Defaults()
	cfg.HTTP.Address = "0.0.0.0:8080"
	wallet := cfg.Hosts["wallet"]
	wallet.URL = "http://wallet.example/pay"
	cfg.Hosts["wallet"] = wallet
	require.Equal(t, []clearLine{
		{"http", "0.0.0.0:8080", "http.tls.certificate, key"}, {"hosts.wallet", "wallet.example", "hosts.wallet.url: https://…"},
	}, linesInClear(&cfg))
}

// A start says what is in clear and whose keys there are before it does anything else, also where warnings are not logged.
func TestAStartSaysWhatIsInClearAndWhoseKeysThereAre(t *testing.T) {
	for _, level := range []zapcore.Level{zap.InfoLevel, zap.ErrorLevel} {
		core, logs := observer.New(level)
		cfg := testConfig(t, t.TempDir(), "127.0.0.1:1", "HUANXIN_DATABASE_ENABLED=false", "HUANXIN_LISTENERS_SECURE_ADDRESS=0.0.0.0:0")
		sw, err := newSwitch(t.Context(), cfg, "", zap.New(core))
		require.NoError(t, err)
		require.NoError(t, sw.Close())
		said := logs.FilterMessageSnippet("without TLS").All()
		require.Len(t, said, 1)
		require.Equal(t, map[string]any{
			"line": "listeners.secure", "address": "0.0.0.0:0", "set": "listeners.secure.tls.certificate, key",
		}, said[0].ContextMap())
		require.GreaterOrEqual(t, said[0].Level, zap.WarnLevel)
		require.Equal(t, 1, logs.FilterMessageSnippet("the production default is a certified HSM").Len())
	}
}
