package drill

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/config/programmes"
	"huanxin/internal/money"
	"huanxin/subsidy/catalogue"
	"huanxin/subsidy/policy"
)

// TestCampaignAfterCampaignChangesOneRateForAWhile: the demonstration can be played again on the same state.
func TestCampaignAfterCampaignChangesOneRateForAWhile(t *testing.T) {
	folder, err := programmes.Open("liaoning-2025")
	require.NoError(t, err)
	files, err := programmes.Load(folder)
	require.NoError(t, err)
	before, err := policy.Compile(files)
	require.NoError(t, err)
	begins := time.Date(2026, 6, 18, 10, 0, 0, 0, china)
	for run := range 3 {
		ends := begins.Add(4 * time.Second)
		files[policy.FilePolicy], err = withCampaign(files[policy.FilePolicy], begins, ends)
		require.NoError(t, err)
		after, err := policy.Compile(files)
		require.NoError(t, err)
		require.Len(t, after.Versions, 3+2*run)
		require.Empty(t, policy.Forward(before, after, begins.Add(-time.Second).UnixNano()))
		for at, want := range map[time.Time]money.Amount{
			begins.Add(-time.Second): 34485, begins: 41382, ends.Add(-time.Second): 41382, ends: 34485,
		} {
			var d policy.Decision
			after.Decide(&policy.Request{
				At: at.UnixNano(), City: "210100", Channel: "store", Category: "A01", Merchant: "898210157220001", Price: 229900, Grade: 2,
				Label: catalogue.LabelEnergy,
			}, &d)
			require.Empty(t, d.Refused)
			require.Equal(t, want, d.Subsidy, "at %s", at)
		}
		before, begins = after, begins.Add(time.Hour)
	}
	_, err = withCampaign([]byte("versions: []"), begins, begins)
	require.Error(t, err)
}
