package seed

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"huanxin/config/programmes"
	"huanxin/subsidy/policy"
)

// Programme is the bench's variant of the sample programme: money for everybody, positions that hold for a day, and
// as many merchants, terminals and products as are asked for. Everything that is decided is decided by the same rules.
type Programme struct {
	Terminals int           // beside the sample's; Terminal names them
	Products  int           // air conditioners beside the sample's; Barcode names them
	HoldLife  time.Duration // default 180 s, as in the sample
}

// Category, City and Channel are what everybody buys, where and how.
const (
	Category = "A04"
	City     = "210100"
	Channel  = "store"
	// Price in fen; the subsidy is a fifth of it.
	Price = 299_900
	// Barcode of the sample's air conditioner.
	barcode = "6901234102963"
)

// terminalsOfMerchant is how many tills one shop has.
const terminalsOfMerchant = 64

// Terminal is the id of the n-th terminal of the bench, Merchant that of its merchant.
func Terminal(n int) string { return fmt.Sprintf("3%07d", n) }

// Merchant is the id of the merchant of the n-th terminal.
func Merchant(n int) string { return fmt.Sprintf("898219957%06d", n/terminalsOfMerchant) }

// Barcode is the GTIN-13 of the n-th product of the bench.
func Barcode(n int) string {
	body := fmt.Sprintf("699%09d", n)
	sum := 0
	for i := range len(body) {
		sum += int(body[i]-'0') * (1 + i%2*2)
	}
	return fmt.Sprintf("%s%d", body, (10-sum%10)%10)
}

// Barcodes are those that the client buys: the sample's alone, or n of the bench's products, spread evenly.
func (p Programme) Barcodes(n int) []string {
	if p.Products == 0 {
		return []string{barcode}
	}
	n = min(n, p.Products)
	list := make([]string, n)
	for i := range list {
		list[i] = Barcode(i * (p.Products / n))
	}
	return list
}

// Poor is a category for which there is no money left.
const Poor = "A01"

// budget is one leaf with more money than anybody can spend here, and one with none.
const budget = `source: bench
status: assumption
levels: [city, channel, category, round]
claim_reserves: {value: none, source: bench, status: assumption}
paying_city: {default: merchant, online: merchant}
rounds:
  - {id: r1, open: "2025-01-01T00:00:00+08:00", close: "2029-01-01T00:00:00+08:00", carry_over: parent}
nodes:
  - {path: "", amount: 9999999999.00}
  - {path: "210100", amount: 9900000000.00}
  - {path: "210100/store", amount: 9900000000.00}
  - {path: "210100/store/A04", amount: 9900000000.00}
  - {path: "210100/store/A04/r1", amount: 9900000000.00}
  - {path: "210100/store/A01", amount: 0.00}
  - {path: "210100/store/A01/r1", amount: 0.00}
`

// day is how long a code, and the position bound to it, may be used: states are prepared long before they are loaded. No
// policy lets a code live so long; the seeder records the fact without asking one.
const day = 24 * time.Hour

// Files are the programme's files.
func (p Programme) Files() (map[string][]byte, error) {
	folder, err := programmes.Open("liaoning-2025")
	if err != nil {
		return nil, err
	}
	files, err := programmes.Load(folder)
	if err != nil {
		return nil, fmt.Errorf("read the sample programme: %w", err)
	}
	hold := p.HoldLife
	if hold == 0 {
		hold = 180 * time.Second
	}
	for was, is := range map[string]string{
		"hold_seconds: 180":    fmt.Sprintf("hold_seconds: %d", int(hold.Seconds())),
		"max_age_seconds: 300": fmt.Sprintf("max_age_seconds: %d", int(day.Seconds())),
	} {
		if bytes.Count(files[policy.FilePolicy], []byte(was)) != 1 {
			return nil, fmt.Errorf("the sample programme does not say %q once", was)
		}
		files[policy.FilePolicy] = bytes.Replace(files[policy.FilePolicy], []byte(was), []byte(is), 1)
	}
	files[policy.FileBudget] = []byte(budget)
	var merchants, terminals, products strings.Builder
	for n := range p.Terminals {
		if n%terminalsOfMerchant == 0 {
			fmt.Fprintf(&merchants, "%s,商户%d（测量）,%s,%s,5722,@appliance,qr store,active\n", Merchant(n), n/terminalsOfMerchant, City, City)
		}
		fmt.Fprintf(&terminals, "%s,%s,%s,%s,123.429400,41.796400,active,1\n", Terminal(n), Merchant(n), City, Channel)
	}
	for n := range p.Products {
		fmt.Fprintf(&products, "%s,%s,壁挂空调 %d,测量,K%d,1,energy,HX2025A9%07d,2999.00,,active,sn\n", Barcode(n), Category, n, n, n)
	}
	files[policy.FileMerchants] = append(files[policy.FileMerchants], merchants.String()...)
	files[policy.FileTerminals] = append(files[policy.FileTerminals], terminals.String()...)
	files[policy.FileProducts] = append(files[policy.FileProducts], products.String()...)
	return files, nil
}

// write puts the files into dir, where the switch is told to find them.
func write(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
