package year

import (
	"fmt"
	"slices"

	"huanxin/risk/geo"
	"huanxin/subsidy/policy"
	"huanxin/switch/engine"
)

// world is who and what takes part in a year: the programme's own rows and the year's.
type world struct {
	programme *policy.Programme
	cities    []city
	merchants [][]string
	terminals [][]string
	products  [][]string

	tills []post
	goods []article // by index of products
}

type city struct {
	code string
	at   geo.Point
}

// post is one terminal and what it has done since it last settled.
type post struct {
	id       [8]byte
	merchant [15]byte
	city     int
	batch    uint32
	stan     uint32
	totals   engine.Totals
}

type article struct {
	barcode  string
	category string
	price    int64 // fen
}

// left are cities that do not take part in the year: one that joined late and has left, one that was paused, one that is
// open by day only, one whose budget is two purchases. Their rules are measured nowhere, and would only be in the way.
var left = []string{"210500", "210900", "211300", "211400"}

// kinds are the goods of a year: what asks for a serial number and nothing else. They are cheap, because no budget of a
// programme may be more than ten thousand million yuan, and what is measured after the year takes from it too.
var kinds = []struct {
	category, name, label string
	price                 int64 // yuan
}{
	{"A01", "冰箱", "energy", 399}, {"A02", "洗衣机", "energy", 259}, {"A03", "电视", "energy", 429}, {"A04", "空调", "energy", 319},
	{"A06", "热水器", "energy", 189}, {"A07", "家用灶具", "energy", 129}, {"A08", "吸油烟机", "energy", 219}, {"A09", "净水器", "water", 159},
}

func newWorld(cfg Config, files map[string][]byte) (*world, error) {
	p, err := policy.Compile(files)
	if err != nil {
		return nil, err
	}
	w := &world{programme: p}
	w.takeProgramme()
	if len(w.cities) == 0 {
		return nil, fmt.Errorf("programme %s has no terminal in a city that takes part", p.ID)
	}
	merchants := w.addMerchants(cfg.Merchants)
	w.addTerminals(cfg.Terminals, merchants)
	w.addProducts(cfg.Products)
	return w, nil
}

// takeProgramme takes the rows of the programme, and the cities in which it has terminals: where those stand is inside.
func (w *world) takeProgramme() {
	p := w.programme
	for i := range p.Merchants {
		w.merchants = append(w.merchants, p.Merchants[i].Record())
	}
	for i := range p.Terminals {
		t := &p.Terminals[i]
		w.terminals = append(w.terminals, t.Record())
		known := slices.ContainsFunc(w.cities, func(c city) bool { return c.code == t.City })
		if !known && !slices.Contains(left, t.City) {
			w.cities = append(w.cities, city{t.City, geo.Point{Lon: t.Lon, Lat: t.Lat}})
		}
	}
	for i := range p.Products {
		w.products = append(w.products, p.Products[i].Record())
	}
}

func (w *world) addMerchants(n int) (ids [][15]byte) {
	for i := range n {
		c := w.cities[i%len(w.cities)]
		id := fmt.Sprintf("897%s5722%04d", c.code[:4], i/len(w.cities)%10_000)
		w.merchants = append(w.merchants, []string{id, fmt.Sprintf("年度电器商店%05d", i), c.code, c.code, "5722", "@appliance", "store", "active"})
		ids = append(ids, [15]byte([]byte(id)))
	}
	return ids
}

func (w *world) addTerminals(n int, merchants [][15]byte) {
	for i := range n {
		id, m := fmt.Sprintf("Y%07d", i), i%len(merchants)
		at := w.cities[m%len(w.cities)]
		w.terminals = append(w.terminals, []string{id, string(merchants[m][:]), at.code, "store", degrees(at.at.Lon), degrees(at.at.Lat), "active", "1"})
		w.tills = append(w.tills, post{id: [8]byte([]byte(id)), merchant: merchants[m], city: m % len(w.cities), batch: 1})
	}
}

func degrees(micro int32) string { return fmt.Sprintf("%d.%06d", micro/1_000_000, micro%1_000_000) }

func (w *world) addProducts(n int) {
	for i := range n {
		k := kinds[i%len(kinds)]
		a := article{barcode: gtin(i), category: k.category, price: k.price*100 + int64(i%50)*100}
		w.goods = append(w.goods, a)
		w.products = append(w.products, []string{
			a.barcode, k.category, fmt.Sprintf("%s 年度型号%06d", k.name, i), "晨岛", fmt.Sprintf("HX-%s-%06d", k.category, i),
			fmt.Sprint(1 + i%2), k.label, fmt.Sprintf("HX2025%s%06d", k.category, i), fmt.Sprintf("%d.%02d", a.price/100, a.price%100), "", "active", "sn",
		})
	}
}

// gtin is the n-th barcode of 13 digits, with its check digit (GS1 General Specifications 7.9).
func gtin(n int) string {
	body := fmt.Sprintf("699%09d", n)
	sum := 0
	for i := range body {
		weight := 1
		if i%2 == 1 {
			weight = 3
		}
		sum += int(body[i]-'0') * weight
	}
	return body + string(rune('0'+(10-sum%10)%10))
}
