package trail

import (
	"fmt"

	"huanxin/switch/event"
)

// AppendText appends the trail as people read it: one block for each event, received messages with an arrow to the left,
// sent ones with one to the right.
func (t *Trail) AppendText(dst []byte) []byte {
	dst = fmt.Appendf(dst, "交易 purchase P%012d\n", t.Purchase)
	for i := range t.Entries {
		dst = t.Entries[i].appendText(dst)
	}
	if t.Incomplete != "" {
		dst = fmt.Appendf(dst, "不完整 incomplete: %s\n", t.Incomplete)
	}
	return dst
}

func (e *Entry) appendText(dst []byte) []byte {
	dst = fmt.Appendf(dst, "#%d @%d  %s  %s\n    %s %s\n", e.Seq, e.Position, e.At, e.Event, e.What.ZH, e.What.EN)
	if len(e.Facts) > 0 {
		dst = append(dst, "    "...)
		for i, f := range e.Facts {
			if i > 0 {
				dst = append(dst, " · "...)
			}
			dst = fmt.Appendf(dst, "%s %s", f.Name, f.Value)
		}
		dst = append(dst, '\n')
	}
	for _, r := range e.Reasons {
		dst = fmt.Appendf(dst, "    原因 reason %d %s %s %s\n", r.Code, r.Name, r.ZH, r.EN)
	}
	if e.By != nil {
		dst = append(append(append(dst, "    "...), AuthorityText(e.By)...), '\n')
	}
	for _, m := range e.Messages {
		arrow := "←"
		if m.Direction == out {
			arrow = "→"
		}
		dst = fmt.Appendf(dst, "    %s %s %s", arrow, m.Peer, m.Type)
		for _, f := range m.Fields {
			dst = fmt.Appendf(dst, " %s=%s", f.Name, f.Value)
		}
		dst = append(dst, '\n')
	}
	return dst
}

// AuthorityText names who ordered something, and why.
func AuthorityText(a *event.Authority) string {
	text := "经办 by " + a.GetActor()
	if a.GetSecond() != "" {
		text += ", " + a.GetSecond()
	}
	if a.GetAccount() != "" {
		text += " (" + a.GetAccount() + ")"
	}
	if a.GetReason() != "" {
		text += " · 事由 reason " + a.GetReason()
	}
	if a.GetDocument() != "" {
		text += " · 文号 document " + a.GetDocument()
	}
	return text
}
