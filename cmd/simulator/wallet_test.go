package main

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/internal/simulator/wallet"
	link "huanxin/switch/wallet"
)

func TestWalletLedgerIsSummarised(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wallet.jsonl")
	ledger, err := wallet.OpenLedger(path)
	require.NoError(t, err)
	for _, rrn := range []string{"1", "2"} {
		_, err = ledger.Pay(&wallet.Order{RRN: rrn, Merchant: "m", Amount: 12345, Status: link.Paid})
		require.NoError(t, err)
	}
	_, err = ledger.Refund(&wallet.Order{RRN: "3", Payment: "2", Amount: 345, Status: link.Done})
	require.NoError(t, err)
	_, err = ledger.Cancel("", "1")
	require.NoError(t, err)
	require.NoError(t, ledger.Close())

	out, err := simulator(t, "wallet", "ledger", "--file", path, "--json")
	require.NoError(t, err)
	var report walletReport
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.EqualValues(t, 12000, report.OpenFen)
	require.Equal(t, "closed", report.List[0].Status)
	require.EqualValues(t, 12000, report.List[1].Net)
	require.Equal(t, "2", report.Refunds[0].Payment)

	out, err = simulator(t, "wallet", "ledger", "--file", path)
	require.NoError(t, err)
	require.Contains(t, out, "120.00")
}

func TestWalletsBadInputIsRefused(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	for _, args := range [][]string{
		{"wallet"}, {"wallet", "--key-file", key, "--unfriendly", "2"}, {"wallet", "--key-file", key, "--rules", "/nonexistent"},
		{"wallet", "--key-file", key, "--notify", "here"}, {"wallet", "--key-file", "/dev/null/key"}, {"wallet", "--key-file", key, "--listen", "nowhere"},
		{"wallet", "ledger"}, {"wallet", "ledger", "--file", "/nonexistent"},
	} {
		_, err := simulator(t, args...)
		require.Error(t, err, "%v", args)
	}
}
