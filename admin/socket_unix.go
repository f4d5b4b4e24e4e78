//go:build unix

package admin

import (
	"fmt"
	"syscall"
)

// modeBeforeBind gives the socket its mode before it has a name. Linux hands the
// mode on to the file; elsewhere the chmod that follows does it.
func modeBeforeBind(_, _ string, c syscall.RawConn) error {
	if err := c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), 0o600) }); err != nil {
		return fmt.Errorf("set the mode of the socket: %w", err)
	}
	return nil
}
