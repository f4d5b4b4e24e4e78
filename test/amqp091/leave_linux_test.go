package amqp091_test

import (
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/racing"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// remains is what a process holds.
type remains struct {
	heap                int64
	goroutines, sockets int
}

func measure(t *testing.T) (r remains) {
	t.Helper()
	runtime.GC()
	runtime.GC() // what pools held is gone after the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	r.heap, r.goroutines = int64(m.HeapAlloc), runtime.NumGoroutine()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if to, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			r.sockets++ // the log's files come and go with its size
		}
	}
	return r
}

// Ten thousand connections that came and went leave nothing: no goroutine, no
// descriptor, no memory. Half of them say goodbye; half break off, in turn before
// login, with a channel, with a consumer and with an exclusive queue.
//
// X15.
func TestConnectionsLeaveNothing(t *testing.T) {
	count := racing.Less(10_000)
	r := own(t, nil)
	keeper := session(t, r.addr())
	keeper.send(1, &wire.QueueDeclare{Queue: "shared"})
	expect[*wire.QueueDeclareOK](keeper, 1)
	visit := func(i int) {
		nc, err := net.Dial("tcp", r.addr())
		if err != nil {
			t.Error(err)
			return
		}
		if tc, ok := nc.(*net.TCPConn); ok && i%2 == 1 {
			_ = tc.SetLinger(0) // it breaks off, and no port waits for its end
		}
		defer nc.Close()
		p := &peer{t: t, nc: nc, max: wire.DefaultFrameMax}
		if i%8 == 1 {
			p.raw([]byte(wire.Header091))
			return
		}
		p.open(nil)
		p.channel(1)
		switch i % 8 {
		case 3:
			p.consume(1, wire.BasicConsume{Queue: "shared"})
		case 5:
			p.send(1, &wire.QueueDeclare{Exclusive: true})
			expect[*wire.QueueDeclareOK](p, 1)
		}
		if i%2 == 0 {
			p.close()
		}
	}
	for i := range 64 { // what is made once is made now
		visit(i)
	}
	before := measure(t)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < count && !t.Failed(); i += 8 {
				visit(i/8*8 + (i/8+w)%8)
			}
		})
	}
	wg.Wait()
	const slack = 4 << 20 // 400 bytes each would not fit
	var after remains
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); ; {
		if after = measure(t); after.goroutines <= before.goroutines && after.sockets <= before.sockets && after.heap <= before.heap+slack {
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("before %+v, after %d connections %+v", before, count, after)
		}
	}
	st, err := r.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.Counts.Connections != 1 || st.Counts.Queues != 1 || st.Listeners[0].Connections != 1 {
		t.Errorf("left: %+v, %+v", st.Counts, st.Listeners)
	}
}
