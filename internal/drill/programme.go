package drill

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"huanxin/config/programmes"
	"huanxin/subsidy/policy"
)

// The times of the drill's programme: long enough for a busy machine, short enough to wait for.
const (
	codeLife = 20 * time.Second
	holdLife = 20 * time.Second
)

// drillTerminals are added to the sample's, so that many purchases can be in flight: a terminal does one at a time.
const drillTerminals = 64

// WriteProgramme writes the sample programme into dir with the drill's times for codes and holds and with more terminals.
// Everything else is as shipped.
func WriteProgramme(dir string) error {
	folder, err := programmes.Open("liaoning-2025")
	if err != nil {
		return err
	}
	files, err := programmes.Load(folder)
	if err != nil {
		return fmt.Errorf("read the sample programme: %w", err)
	}
	for setting, life := range map[string]time.Duration{"hold_seconds: 180": holdLife, "code_seconds: 60": codeLife} {
		if bytes.Count(files[policy.FilePolicy], []byte(setting)) != 1 {
			return fmt.Errorf("the sample programme does not say %q once", setting)
		}
		name, _, _ := bytes.Cut([]byte(setting), []byte(":"))
		files[policy.FilePolicy] = bytes.Replace(files[policy.FilePolicy], []byte(setting), fmt.Appendf(nil, "%s: %d", name, int(life.Seconds())), 1)
	}
	for n := range drillTerminals {
		files[policy.FileTerminals] = fmt.Appendf(files[policy.FileTerminals], "2101%04d,%s,%s,store,123.429400,41.796400,active,1\n",
			9000+n, applianceMerchant, shenyang)
	}
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
