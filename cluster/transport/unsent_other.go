//go:build !linux

package transport

import "net"

// keepUnsentShort does nothing where the kernel's queue cannot be bounded so.
func keepUnsentShort(net.Conn) {}
