package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"huanxin/config"
	"huanxin/switch/control"
	"huanxin/switch/engine"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/store"
)

// keyActsOf is how far the journal of a running switch has the acts on its keys.
func keyActsOf(t *testing.T, sw *Switch) engine.KeyActsView {
	t.Helper()
	reply, err := sw.ask(t.Context(), "key acts", func(token engine.Token) any { return &engine.Look{Token: token, What: engine.LookKeyActs{}} })
	require.NoError(t, err)
	return reply.Result.(engine.KeyActsView)
}

var operatorTest = store.Authority{By: "Chen", Second: "Wang", Reason: "new terminals"}

func editKeys(t *testing.T, cfg store.Config, f func(*store.Edit) error) {
	t.Helper()
	s, err := store.Open(cfg)
	require.NoError(t, err)
	require.NoError(t, s.Edit(operatorTest, f))
}

func generateKey(t *testing.T, cfg store.Config, label string) {
	t.Helper()
	editKeys(t, cfg, func(e *store.Edit) error {
		_, err := e.Generate(store.Wanted{Label: label, Algorithm: hsm.TDES, Exportable: true})
		return err
	})
}

func TestActsOnKeysBecomeEventsWhetherTheSwitchRunsOrNot(t *testing.T) {
	cfg := testConfig(t, t.TempDir(), "127.0.0.1:1", "HUANXIN_DATABASE_ENABLED=false")
	sw := startReady(t, cfg)
	first := keyActsOf(t, sw.Switch)
	require.EqualValues(t, 7, first.Number, "the keys of the programme")

	generateKey(t, keyStore(cfg), "tmk/10000001")
	client, err := control.NewClient(cfg.Path(cfg.Control.Socket))
	require.NoError(t, err)
	done, err := client.ReloadKeys(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, done.Acts)
	_, ok := sw.keys.Find("tmk/10000001")
	require.True(t, ok)
	require.EqualValues(t, 8, keyActsOf(t, sw.Switch).Number)
	done, err = client.ReloadKeys(t.Context())
	require.NoError(t, err)
	require.Zero(t, done.Acts)

	editKeys(t, keyStore(cfg), func(e *store.Edit) error { _, err := e.Rotate("card", hsm.SM4, false); return err })
	done, err = client.ReloadKeys(t.Context())
	require.NoError(t, err)
	require.Equal(t, "c2", done.CardKey, "it seals from now on, without a restart")
	older, err := os.ReadFile(cfg.Path(cfg.Keys.File))
	require.NoError(t, err)
	sw.end(t)

	generateKey(t, keyStore(cfg), "tmk/10000002")
	sw = startReady(t, cfg)
	require.EqualValues(t, 10, keyActsOf(t, sw.Switch).Number, "what was done while it was down")
	require.NoError(t, os.WriteFile(cfg.Path(cfg.Keys.File), older, 0o600))
	_, err = client.ReloadKeys(t.Context())
	require.ErrorContains(t, err, "older copy")
	_, ok = sw.keys.Find("tmk/10000002")
	require.True(t, ok, "the keys stay as they were")
	sw.end(t)

	again, err := newSwitch(t.Context(), cfg, "", zap.NewNop())
	require.NoError(t, err)
	require.ErrorIs(t, again.Run(t.Context()), store.ErrRolledBack)
	require.NoError(t, again.Close())

	cfg.Keys.Restored = true
	sw = startReady(t, cfg)
	require.EqualValues(t, 10, keyActsOf(t, sw.Switch).Number, "nine of the copy, and the word of the operator")
	sw.end(t)
	cfg.Keys.Restored = false
	runOnce(t, cfg)
	require.FileExists(t, filepath.Join(cfg.State, "keys", "lmk"))
}

func startReady(t *testing.T, cfg *config.Config) *testSwitch {
	t.Helper()
	sw := startSwitch(t, cfg)
	sw.ready(t, func(_ int, parts map[string]bool) bool { return parts["programme"] })
	return sw
}
