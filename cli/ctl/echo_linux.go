package ctl

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// hideTyping has a terminal not show what is typed, until the returned function
// is called.
func hideTyping(r io.Reader) (restore func()) {
	f, ok := r.(*os.File)
	if !ok {
		return func() {}
	}
	fd := int(f.Fd())
	was, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return func() {} // no terminal
	}
	silent := *was
	silent.Lflag &^= unix.ECHO
	_ = unix.IoctlSetTermios(fd, unix.TCSETS, &silent) // it is a convenience
	return func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, was) }
}
