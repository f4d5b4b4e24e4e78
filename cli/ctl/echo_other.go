//go:build !linux

package ctl

import "io"

// hideTyping does nothing here.
func hideTyping(io.Reader) (restore func()) { return func() {} }
