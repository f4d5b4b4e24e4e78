//go:build !unix

package admin

import "syscall"

// modeBeforeBind does nothing where files have no modes.
func modeBeforeBind(_, _ string, _ syscall.RawConn) error { return nil }
