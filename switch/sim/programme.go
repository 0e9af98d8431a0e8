package sim

import (
	"embed"
	"fmt"
	"hash/crc32"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"huanxin/risk/geo"
	"huanxin/switch/event"
)

const programmeID = "test"

//go:embed programme/*.yaml
var bundle embed.FS

// programmeFiles are the rules of the simulation: two cities, three categories, a leaf that is released by the day.
func programmeFiles() map[string][]byte {
	files := map[string][]byte{}
	for _, name := range []string{"programme.yaml", "policy.yaml", "budget.yaml"} {
		b, err := bundle.ReadFile("programme/" + name)
		if err != nil {
			panic(err)
		}
		files[name] = b
	}
	return files
}

// province is the map that the place rule needs.
var province = sync.OnceValue(func() *geo.Map {
	m, err := geo.Load(geo.LiaoningGeoJSON)
	if err != nil {
		panic(err)
	}
	return m
})

var (
	merchantRows = [][]string{
		{"898210157220001", "沈阳电器", "210100", "210100", "5722", "@appliance", "store", "active"},
		{"898210157220002", "沈阳家电", "210100", "210100", "5722", "@appliance", "store", "active"},
		{"898210257220001", "大连电器", "210200", "210200", "5722", "A02", "store", "active"},
	}
	terminalRows = [][]string{
		{"21010001", "898210157220001", "210100", "store", "123.4294", "41.7964", "active", "1"},
		{"21010002", "898210157220001", "210100", "store", "123.4294", "41.7964", "active", "1"},
		{"21010003", "898210157220002", "210100", "store", "123.4294", "41.7964", "active", "999998"},
		{"21010004", "898210157220002", "210100", "store", "123.4294", "41.7964", "active", "1"},
		{"21020001", "898210257220001", "210200", "store", "121.628", "38.9215", "active", "1"},
	}
	productRows = [][]string{
		{"6901234567892", "A01", "冰箱", "晨岛", "B1", "1", "energy", "HX1", "5999.00", "", "active", "sn"},
		{"6901234101485", "A02", "洗衣机", "松河", "W1", "1", "energy", "HX4", "1000.00", "", "active", "sn"},
		{"6901234102963", "A04", "空调", "凌风", "K1", "1", "energy", "HX5", "3000.00", "", "active", "sn"},
	}
)

// fact enters what has become durable into the history: as bytes, and to be read where that is kept. The bytes are not the
// journal's: there the files of a rule bundle, a map, lie in no order.
func (w *world) fact(ev *event.Event) {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(ev)
	if err != nil {
		panic(err)
	}
	text := ""
	if w.keep {
		text = describe(ev)
	}
	w.write("%d %08x %s", ev.Seq, crc32.ChecksumIEEE(raw), text)
}

// describe is a fact in a line of the history.
func describe(ev *event.Event) string {
	m := ev.ProtoReflect()
	body := m.WhichOneof(m.Descriptor().Oneofs().ByName("body"))
	if body == nil {
		return "nothing"
	}
	var b strings.Builder
	b.WriteString(string(body.Message().Name()))
	fields(&b, m.Get(body).Message())
	return b.String()
}

func fields(b *strings.Builder, m protoreflect.Message) {
	list := m.Descriptor().Fields()
	for i := range list.Len() {
		f := list.Get(i)
		if !m.Has(f) {
			continue
		}
		v := m.Get(f)
		switch {
		case f.IsMap() || f.IsList():
			fmt.Fprintf(b, " %s=[…]", f.Name())
		case f.Kind() == protoreflect.MessageKind:
			fmt.Fprintf(b, " %s={", f.Name())
			fields(b, v.Message())
			b.WriteByte('}')
		case f.Kind() == protoreflect.BytesKind:
			fmt.Fprintf(b, " %s=%x", f.Name(), v.Bytes())
		default:
			fmt.Fprintf(b, " %s=%v", f.Name(), v.Interface())
		}
	}
}
