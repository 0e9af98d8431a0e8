package ledger_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	"huanxin/switch/event"
	"huanxin/switch/ledger"
)

// silent are the facts that move no money, give nothing and end nothing: the ledger does not look at them. Whoever adds a fact to
// the schema decides here or in Ledger.take what it is.
var silent = []string{
	"merchant_set", "terminal_set", "product_set", "terminal_signed_on", "terminal_signed_off", "code_shown", "pause_set", "pause_lifted",
	"kill_switch_set", "terminal_keys_proved", "hold_release_proposed", "batch_uploaded", "batch_upload_ended", "terminal_reported",
}

// A fact that names things that are not there is found, unless it is one of the silent ones: so none is overlooked that was
// meant to be judged. Facts of a programme alone cannot be wrong by themselves.
func TestEveryFactIsJudged(t *testing.T) {
	harmless := []string{
		"programme_pinned", "reserve_refused", "sale_refused", "reversal_answered", "request_kept", "batch_settled", "budget_node_set",
		"work_item_opened",
	}
	bodies := (&event.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
	judged := 0
	for i := range bodies.Len() {
		field := bodies.Get(i)
		name := string(field.Name())
		ev := &event.Event{Seq: 1, At: 1}
		m := ev.ProtoReflect()
		body := m.Mutable(field).Message()
		if facts := body.Descriptor().Fields().ByName("facts"); facts != nil {
			body = body.Mutable(facts).Message()
		}
		for _, field := range []string{"purchase", "operation", "reversal", "entitlement", "epoch", "item"} {
			if f := body.Descriptor().Fields().ByName(protoreflect.Name(field)); f != nil && f.Kind() == protoreflect.Uint64Kind {
				body.Set(f, protoreflect.ValueOfUint64(77))
			}
		}
		l := ledger.New()
		l.Add(1, ev)
		switch {
		case slices.Contains(silent, name):
			require.Empty(t, l.Findings(), name)
		case slices.Contains(harmless, name):
		default:
			require.NotEmpty(t, l.Findings(), "%s is neither judged nor among the silent facts", name)
			judged++
		}
	}
	require.Greater(t, judged, 30)
}
