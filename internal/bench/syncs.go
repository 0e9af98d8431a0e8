package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Syncs counts what the kernel has flushed to a device: an independent witness that answers waited for the disk. Each
// fdatasync to a device with a write cache ends with a flush of that cache, and a flush that began before the bytes were
// written does not count for them; so a process that syncs one batch after the other causes one at least for each batch.
// Others on the machine may cause more, never fewer.
type Syncs struct {
	name   string // of the device
	column int
	what   string // what is counted
}

// Columns of a device's stat (Documentation/block/stat.rst).
const (
	writesColumn  = 4
	flushesColumn = 15
)

// SyncsOf finds the device of the file system that dir is on.
func SyncsOf(dir string) (Syncs, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		return Syncs{}, err
	}
	link := fmt.Sprintf("/sys/dev/block/%d:%d", st.Dev>>8&0xfff, st.Dev&0xff|st.Dev>>12&0xfff00)
	place, err := filepath.EvalSymlinks(link)
	if err != nil {
		return Syncs{}, fmt.Errorf("the file system of %s has no block device: %w", dir, err)
	}
	if _, err := os.Stat(filepath.Join(place, "partition")); err == nil {
		place = filepath.Dir(place) // flushes are counted for the whole device
	}
	s := Syncs{name: place, column: flushesColumn, what: "cache flushes"}
	cache, err := os.ReadFile(filepath.Join(place, "queue", "write_cache"))
	if err == nil && strings.TrimSpace(string(cache)) != "write back" {
		// Without a cache there is nothing to flush: a sync is over when its write is.
		s.column, s.what = writesColumn, "writes"
	}
	_, err = s.Count()
	return s, err
}

// String is what is counted, and where.
func (s Syncs) String() string { return s.what + " of " + filepath.Base(s.name) }

// Count is how many there have been.
func (s Syncs) Count() (uint64, error) {
	text, err := os.ReadFile(filepath.Join(s.name, "stat"))
	if err != nil {
		return 0, err
	}
	return column(string(text), s.column)
}

func column(stat string, n int) (uint64, error) {
	fields := strings.Fields(stat)
	if len(fields) <= n {
		return 0, fmt.Errorf("this kernel does not count flushes: %q", stat)
	}
	return strconv.ParseUint(fields[n], 10, 64)
}
