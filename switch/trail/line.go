package trail

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

	"huanxin/subsidy/policy"
	"huanxin/switch/event"
)

// ErrBody is returned by AppendLine for an event whose body this program does not know.
var ErrBody = errors.New("event of an unknown kind")

// AppendLine appends one event as a JSON object: seq, position, at, type, then the body as protojson writes it. Sealed
// envelopes, wrapped keys and the files of a rule bundle are shown by their lengths.
func AppendLine(dst []byte, position uint64, ev *event.Event) ([]byte, error) {
	m := ev.ProtoReflect()
	field := m.WhichOneof(m.Descriptor().Oneofs().ByName("body"))
	if field == nil {
		return dst, ErrBody
	}
	body, err := protojson.Marshal(m.Get(field).Message().Interface())
	if err != nil {
		return dst, err
	}
	var masked any
	if err := json.Unmarshal(body, &masked); err != nil {
		return dst, err
	}
	maskSealed(m.Get(field).Message().Descriptor(), masked)
	at := time.Unix(0, ev.At).In(policy.China()).Format(time.RFC3339Nano)
	line := struct {
		Seq      uint64 `json:"seq"`
		Position uint64 `json:"position"`
		At       string `json:"at"`
		Type     string `json:"type"`
		Body     any    `json:"body"`
	}{ev.Seq, position, at, string(field.Message().Name()), masked}
	raw, err := json.Marshal(line)
	return append(dst, raw...), err
}

// maskSealed replaces, wherever they occur, the envelope of a card, a terminal's wrapped keys and the contents of a bundle's files by
// their lengths.
// The ciphertext is safe, but of no use to a reader; rule bundles fill screens.
func maskSealed(d protoreflect.MessageDescriptor, body any) {
	object, ok := body.(map[string]any)
	if !ok {
		return
	}
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		value, present := object[f.JSONName()]
		switch {
		case !present:
		case f.FullName() == "huanxin.event.v1.Card.envelope", f.FullName() == "huanxin.event.v1.WorkingKeys.wrapped":
			object[f.JSONName()] = lengthOf(value)
		case f.IsMap() && f.MapValue().Kind() == protoreflect.BytesKind:
			if files, ok := value.(map[string]any); ok {
				for name := range files {
					files[name] = lengthOf(files[name])
				}
			}
		case f.IsList() && f.Kind() == protoreflect.MessageKind:
			if list, ok := value.([]any); ok {
				for _, item := range list {
					maskSealed(f.Message(), item)
				}
			}
		case f.Kind() == protoreflect.MessageKind:
			maskSealed(f.Message(), value)
		}
	}
}

// lengthOf describes a value that protojson wrote in base64.
func lengthOf(value any) string {
	text, _ := value.(string)
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "masked"
	}
	return fmt.Sprintf("%d bytes", len(raw))
}
