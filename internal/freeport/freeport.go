// Package freeport finds ports that a test's servers can have again after a
// restart. It is for tests only.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Addr returns an address of loopback that nobody listens at. It is below the ports
// that the system gives to whoever asks for any, or somebody would have it while the
// server is stopped.
func Addr(t testing.TB) string {
	t.Helper()
	for range 100 {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", fmt.Sprint("127.0.0.1:", 20000+rand.IntN(12000)))
		if err == nil {
			addr := l.Addr().String()
			_ = l.Close() // it was only opened
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}
