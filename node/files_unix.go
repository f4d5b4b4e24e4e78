//go:build unix

package node

import (
	"math"
	"os"
	"syscall"

	"github.com/warrenmq/warren/admin"
)

// openFiles counts the descriptors of the process.
func openFiles() admin.Files {
	f := admin.Files{Used: -1, Limit: -1}
	if names, err := os.ReadDir("/proc/self/fd"); err == nil {
		f.Used = len(names)
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		f.Limit = int(min(uint64(limit.Cur), math.MaxInt32)) //nolint:unconvert // it is signed on other systems
	}
	return f
}
