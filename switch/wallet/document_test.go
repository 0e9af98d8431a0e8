package wallet

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func document(t *testing.T) string {
	text, err := os.ReadFile("../../docs/interface/wallet.md")
	require.NoError(t, err)
	return string(text)
}

var example = regexp.MustCompile("(?s)```json type=([a-z-]+)\n(.*?)```")

// Every example of the document has the members of its type and no other, and can be used.
func TestExamplesOfTheDocumentAreWhatTheTypesSay(t *testing.T) {
	examples := example.FindAllStringSubmatch(document(t), -1)
	require.GreaterOrEqual(t, len(examples), 7)
	for _, found := range examples {
		var into any
		check := func() error { return nil }
		switch found[1] {
		case "payment-order":
			into = &PaymentOrder{}
		case "refund-order":
			into = &RefundOrder{}
		case "payment":
			p := &Payment{}
			into, check = p, func() error { return p.check("") }
		case "refund":
			r := &Refund{}
			into, check = r, func() error { return r.check("") }
		case "notification":
			into, check = &Notification{}, func() error {
				in, err := readNotification([]byte(found[2]))
				require.NotNil(t, in)
				return err
			}
		}
		require.NotNil(t, into, found[1])
		d := json.NewDecoder(strings.NewReader(found[2]))
		d.DisallowUnknownFields()
		require.NoError(t, d.Decode(into), found[2])
		require.NoError(t, check())
	}
}

var reasonRow = regexp.MustCompile("(?m)^\\| ((?:`[A-Z_]+`(?:, )?)+) \\| ([0-9]{2}) \\|")

func TestReasonsOfTheDocumentAreTheOnesThatAreKnown(t *testing.T) {
	documented := map[string]string{}
	for _, row := range reasonRow.FindAllStringSubmatch(document(t), -1) {
		for name := range strings.SplitSeq(row[1], ", ") {
			documented[strings.Trim(name, "`")] = row[2]
		}
	}
	require.Equal(t, reasons, documented)
	require.Contains(t, document(t), "| anything else | "+responseOf("SOMETHING_NEW")+" |")
}

func TestNoReasonReadsAsAnApprovalOrAsNothingCharged(t *testing.T) {
	for name, code := range reasons {
		require.NotContains(t, []string{"00", "10", "11", "12", "68", "98", "A2", "A4", "A5", "A6"}, code, name)
	}
}
