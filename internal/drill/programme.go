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

// sampleProgramme is the programme that comes with the product.
const sampleProgramme = "liaoning-2025"

// WriteProgramme writes the sample programme into dir with the drill's times for codes and holds, with more terminals, and
// with refunds in part for everything. All else is as shipped.
func WriteProgramme(dir string) error {
	folder, err := programmes.Open(sampleProgramme)
	if err != nil {
		return err
	}
	files, err := programmes.Load(folder)
	if err != nil {
		return fmt.Errorf("read the sample programme: %w", err)
	}
	for was, is := range map[string]string{
		"hold_seconds: 180": fmt.Sprintf("hold_seconds: %d", int(holdLife.Seconds())),
		"code_seconds: 60":  fmt.Sprintf("code_seconds: %d", int(codeLife.Seconds())),
		"activated: never}": "activated: never, partial: true}", // of the whole programme
	} {
		if bytes.Count(files[policy.FilePolicy], []byte(was)) != 1 {
			return fmt.Errorf("the sample programme does not say %q once", was)
		}
		files[policy.FilePolicy] = bytes.Replace(files[policy.FilePolicy], []byte(was), []byte(is), 1)
	}
	for n := range drillTerminals {
		files[policy.FileTerminals] = fmt.Appendf(files[policy.FileTerminals], "%s,%s,%s,store,123.429400,41.796400,active,1\n",
			terminalNumber(n), applianceMerchant, shenyang)
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
