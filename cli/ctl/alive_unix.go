//go:build unix

package ctl

import (
	"errors"
	"syscall"
)

// Alive reports whether there is a process with an id.
func Alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
