package amqp091_test

import (
	"net"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/warrenmq/warren/internal/racing"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// heldBytes returns the bytes of heap and stacks in use once garbage is gone.
func heldBytes() (heap, stacks int64) {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	debug.FreeOSMemory()
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse), int64(m.StackInuse)
}

// An idle connection with one channel that has published and consumed before
// costs little. What the client's side costs here is in the number.
func TestIdleConnections(t *testing.T) {
	const n, most = 500, 20 << 10
	r := own(t, nil)
	q := session(t, r.addr())
	q.send(1, &wire.QueueDeclare{Queue: "i"})
	expect[*wire.QueueDeclareOK](q, 1)
	one := func() net.Conn {
		nc, err := net.Dial("tcp", r.addr())
		if err != nil {
			t.Fatal(err)
		}
		p := &peer{t: t, nc: nc, max: wire.DefaultFrameMax}
		p.open(nil)
		p.channel(1)
		p.confirms(1)
		p.to(1, "i", "m")
		p.acked(1, 1)
		if body, _ := p.get(1, "i", true); body != "m" {
			t.Fatal(body)
		}
		return nc
	}
	ncs := []net.Conn{one()}
	heap, stacks := heldBytes()
	for range n {
		ncs = append(ncs, one())
	}
	heap2, stacks2 := heldBytes()
	per := (heap2 - heap + stacks2 - stacks) / n
	t.Logf("%d bytes of heap and %d of stacks for a connection", (heap2-heap)/n, (stacks2-stacks)/n)
	// The race detector's own memory is in it.
	if most := most * 10 / int64(racing.Less(10)); per > most {
		t.Errorf("%d bytes for an idle connection, want at most %d", per, most)
	}
	for _, nc := range ncs {
		_ = nc.Close()
	}
}
