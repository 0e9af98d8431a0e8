package drill

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"huanxin/config/programmes"
	"huanxin/subsidy/policy"
	"huanxin/switch/control"
)

// Campaign is the change of policy that the demonstration makes while tills sell: for a few seconds a refrigerator and its
// like of efficiency grade 2 get 18 per cent instead of 15. It is what an operator would write: the version in force ends
// at an instant ahead, a version with the other rate begins there, and one with the former terms follows it.
type Campaign struct {
	Begins, Ends time.Time
	Folder       string
}

// The rate of the sample programme that a campaign changes.
const (
	usualRate    = "{grade: 2, label: [energy, water], percent: 15}"
	campaignRate = "{grade: 2, label: [energy, water], percent: 18}"
)

var china = time.FixedZone("+08:00", 8*60*60)

// WriteCampaign takes the rules that are in force at the switch whose state is in dir and writes a programme with a campaign
// below it.
func WriteCampaign(ctx context.Context, dir string, begins, ends time.Time) (c Campaign, err error) {
	client, err := control.NewClient(filepath.Join(dir, "control.sock"))
	if err != nil {
		return c, err
	}
	inForce, err := client.Policy(ctx)
	if err != nil {
		return c, err
	}
	folder, err := programmes.Open("liaoning-2025")
	if err != nil {
		return c, err
	}
	files, err := programmes.Load(folder)
	if err != nil {
		return c, fmt.Errorf("read the sample programme: %w", err)
	}
	for name, data := range inForce.Files {
		files[name] = data
	}
	c = Campaign{Begins: begins.Truncate(time.Second), Ends: ends.Truncate(time.Second), Folder: filepath.Join(dir, "campaign")}
	if files[policy.FilePolicy], err = withCampaign(files[policy.FilePolicy], c.Begins, c.Ends); err != nil {
		return c, err
	}
	if err := os.MkdirAll(c.Folder, 0o755); err != nil {
		return c, err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(c.Folder, name), data, 0o644); err != nil {
			return c, err
		}
	}
	return c, nil
}

var (
	versionStart = regexp.MustCompile(`(?m)^  - id: (\S+)$`)
	validFrom    = regexp.MustCompile(`(valid:\s+from: \{value: ")([^"]+)(")`)
	validTo      = regexp.MustCompile(`(\n      to:\s+value: ")([^"]+)(")`)
)

// withCampaign ends the last version of policy.yaml at begins, and adds one with the other rate and one with the former.
func withCampaign(text []byte, begins, ends time.Time) ([]byte, error) {
	starts := versionStart.FindAllSubmatchIndex(text, -1)
	if len(starts) == 0 {
		return nil, fmt.Errorf("%s has no version", policy.FilePolicy)
	}
	last := starts[len(starts)-1][0]
	block := text[last:]
	for what, pattern := range map[string]*regexp.Regexp{"valid.from": validFrom, "valid.to": validTo} {
		if len(pattern.FindAllIndex(block, -1)) != 1 {
			return nil, fmt.Errorf("the last version of %s does not say %s once", policy.FilePolicy, what)
		}
	}
	if bytes.Count(block, []byte(usualRate)) != 1 {
		return nil, fmt.Errorf("the last version of %s does not say %s once", policy.FilePolicy, usualRate)
	}
	put := func(block []byte, pattern *regexp.Regexp, at time.Time) []byte {
		return pattern.ReplaceAll(block, []byte("${1}"+at.In(china).Format(time.RFC3339)+"${3}"))
	}
	name := func(block []byte, id string) []byte { return versionStart.ReplaceAll(block, []byte("  - id: "+id)) }
	n := len(starts)/2 + 1
	campaign := name(put(put(block, validFrom, begins), validTo, ends), fmt.Sprintf("demo-%d", n))
	campaign = bytes.Replace(campaign, []byte(usualRate), []byte(campaignRate), 1)
	after := name(put(block, validFrom, ends), fmt.Sprintf("demo-%d-after", n))

	out := append(bytes.Clone(text[:last]), put(block, validTo, begins)...)
	for _, version := range [][]byte{campaign, after} {
		out = append(append(bytes.TrimRight(out, "\n"), '\n'), version...)
	}
	return out, nil
}

// Print says where the campaign lies and when it is.
func (c *Campaign) Print(w io.Writer) {
	fmt.Fprintf(w, "folder %s\nbegins %s\nends %s\n", c.Folder, c.Begins.In(china).Format(time.RFC3339), c.Ends.In(china).Format(time.RFC3339))
}
