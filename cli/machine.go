package cli

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/config"
)

// readMachine describes this machine; what cannot be told stays unknown.
func readMachine(dataDir string) config.Machine {
	m := config.Machine{CPUs: runtime.GOMAXPROCS(0), OpenFiles: openFiles()}
	if host, err := os.Hostname(); err == nil {
		m.Host, _, _ = strings.Cut(host, ".")
	}
	m.ReadMemory(os.DirFS("/"))
	// The directory may not exist yet: its nearest parent lies on the same disk.
	dir, err := filepath.Abs(dataDir)
	for err == nil {
		if _, serr := os.Stat(dir); serr == nil || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	if usage, err := vfs.Default.GetDiskUsage(dir); err == nil {
		m.DiskFree = int64(usage.AvailBytes)
	}
	return m
}
