package transport

import (
	"net"
	"syscall"
	"testing"
)

// A kernel that takes megabytes puts them before the next heartbeat.
func TestKernelTakesLittleOfRaft(t *testing.T) {
	founder := testTrust(t, testCluster)
	r := &refuser{}
	oa := options(t, founder)
	oa.Dial = r.dial
	a, b := start(t, oa), start(t, options(t, member(t, founder, 2, birth)))
	mesh(a, b)
	a.up(ClassRaft)
	a.up(ClassData)
	r.mu.Lock()
	defer r.mu.Unlock()
	bounded := 0
	for _, c := range r.conns {
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.Control(func(fd uintptr) {
			if v, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowat); err == nil && v == chunkBytes {
				bounded++
			}
		})
	}
	if bounded != 1 || len(r.conns) != 2 {
		t.Fatalf("%d of %d connections are bounded, want that of the raft class", bounded, len(r.conns))
	}
}
