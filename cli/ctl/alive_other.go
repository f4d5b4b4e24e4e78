//go:build !unix

package ctl

import "os"

// Alive reports whether there is a process with an id.
func Alive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	_ = p.Release() // it was only looked for
	return true
}
