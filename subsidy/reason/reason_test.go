package reason

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/simplifiedchinese"
)

func TestEveryReasonHasAUniqueNameAndBothLanguages(t *testing.T) {
	names := map[string]Code{}
	for _, c := range All() {
		text := c.Text()
		require.NotEmpty(t, text.ZH, c)
		require.NotEmpty(t, text.EN, c)
		require.NotContains(t, names, text.Name)
		names[text.Name] = c
	}
}

func TestEveryReasonFitsTheCashiersDisplayInGBK(t *testing.T) {
	for _, c := range All() {
		text := c.Text()
		require.LessOrEqual(t, utf8.RuneCountInString(text.ZH), 40)
		_, err := simplifiedchinese.GBK.NewEncoder().String(text.ZH)
		require.NoError(t, err, text.Name)
	}
}
