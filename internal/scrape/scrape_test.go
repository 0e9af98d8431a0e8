package scrape

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSampleIsFoundByNameAndAllLabels(t *testing.T) {
	const page = "# HELP x\nx_total{cause=\"a\",port=\"cup\"} 3\nx_total{cause=\"b\",port=\"cup\"} 1.5e+06\nplain 7\n"
	for want, labels := range map[float64][]string{3: {"cause", "a", "port", "cup"}, 1.5e6: {"cause", "b", "port", "cup"}, 0: {"cause", "c"}} {
		got, err := Sample(page, "x_total", labels...)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	got, err := Sample(page, "plain")
	require.NoError(t, err)
	require.Equal(t, 7.0, got)
}

func TestSumAddsWhatHasTheLabels(t *testing.T) {
	const page = "x_total{cause=\"a\",port=\"cup\"} 3\nx_total{cause=\"b\",port=\"cup\"} 4\nx_total{cause=\"b\",port=\"nac\"} 5\nx_total_other{cause=\"b\"} 9\nplain 7\n"
	for want, labels := range map[float64][]string{7: {"port", "cup"}, 9: {"cause", "b"}, 4: {"cause", "b", "port", "cup"}, 12: nil, 0: {"ause", "b"}} {
		got, err := Sum(page, "x_total", labels...)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	got, err := Sum(page, "plain")
	require.NoError(t, err)
	require.Equal(t, 7.0, got)
}
