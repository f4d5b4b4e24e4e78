package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/warrenmq/warren/admin/client"
	"github.com/warrenmq/warren/node"
)

// Exit codes, where they exist those of sysexits.h. docs/cli.md explains them.
const (
	exitOK          = 0
	exitFailed      = 1   // it ran, and what it found or did was not right
	exitUsage       = 2   // the command line is wrong
	exitConfig      = 64  // the configuration is wrong
	exitUnavailable = 69  // a broker or an address cannot be reached or opened
	exitDataDir     = 73  // the data directory is in use, or cannot be made
	exitIO          = 74  // reading or writing the data failed
	exitDenied      = 77  // the broker refuses the user
	exitRemoved     = 78  // the node was removed from its cluster
	exitInterrupted = 130 // ended at once by a second signal
)

// A coded error has an exit code.
type coded struct {
	code int
	err  error
}

func (e *coded) Error() string { return e.err.Error() }
func (e *coded) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &coded{exitUsage, fmt.Errorf(format, args...)}
}

// exitCode returns the code for what a verb returned.
func exitCode(err error) int {
	var c *coded
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &c):
		return c.code
	case errors.Is(err, node.ErrForgotten):
		return exitRemoved
	case errors.Is(err, node.ErrLocked), errors.Is(err, node.ErrDataDir):
		return exitDataDir
	case errors.Is(err, node.ErrIO):
		return exitIO
	case errors.Is(err, node.ErrAddress), errors.Is(err, client.ErrNotRunning):
		return exitUnavailable
	case errors.Is(err, errDenied):
		return exitDenied
	case errors.Is(err, errUnreachable):
		return exitUnavailable
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}
