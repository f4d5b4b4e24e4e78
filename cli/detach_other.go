//go:build !unix

package cli

import "syscall"

// apart makes a process one that its starter's terminal does not reach.
func apart() *syscall.SysProcAttr { return nil }
