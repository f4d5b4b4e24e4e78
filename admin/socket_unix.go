//go:build unix

package admin

import "syscall"

// modeBeforeBind gives the socket its mode before it has a name. Linux hands the
// mode on to the file; elsewhere the chmod that follows does it.
func modeBeforeBind(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), 0o600) })
}
