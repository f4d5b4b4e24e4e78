//go:build unix

package cli

import "syscall"

// openFiles returns how many files this process may open.
func openFiles() int64 {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0
	}
	return int64(min(uint64(r.Cur), 1<<40)) //nolint:unconvert // FreeBSD has it signed
}
