package transport

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/internal/clock"
)

// A wire is a network in memory: pipes instead of sockets.
type wire struct {
	mu        sync.Mutex
	listeners map[string]*pipeListener
	writes    atomic.Int64
}

// counted counts the writes of a wire.
type counted struct {
	net.Conn
	w *wire
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.w.writes.Add(1)
	return n, err
}

type pipeListener struct {
	w     *wire
	name  string
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (w *wire) listen(name string) *pipeListener {
	l := &pipeListener{w: w, name: name, conns: make(chan net.Conn), done: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listeners[name] = l
	return l
}

func (w *wire) dial(ctx context.Context, name string) (net.Conn, error) {
	w.mu.Lock()
	l := w.listeners[name]
	w.mu.Unlock()
	if l == nil {
		return nil, syscall.ECONNREFUSED
	}
	near, far := net.Pipe()
	select {
	case l.conns <- counted{far, w}:
		return counted{near, w}, nil
	case <-l.done:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() {
		l.w.mu.Lock()
		delete(l.w.listeners, l.name)
		l.w.mu.Unlock()
		close(l.done)
	})
	return nil
}

func (l *pipeListener) Addr() net.Addr { return addr(l.name) }

// On pipes, and on a clock that stands still unless it is moved, everything is
// as on sockets: nothing asks the operating system.
func TestNothingButWhatIsHandedIn(t *testing.T) {
	w := &wire{listeners: map[string]*pipeListener{}}
	manual := clock.NewManual(birth)
	founder := testTrust(t, testCluster)
	boot := func(trust *Trust) *node {
		o := options(t, trust)
		o.Dial, o.Clock = w.dial, manual
		n := startOn(t, o, w.listen(idText(trust.Node())))
		n.addr = idText(trust.Node())
		return n
	}
	a, b := boot(founder), boot(member(t, founder, 2, birth))
	mesh(a, b)
	a.up(ClassRaft)
	a.up(ClassData)
	a.Send(2, one(1, message(raftpb.MsgHeartbeat, 1, 2)))
	a.Flush()
	receive(t, b.raft)
	b.up(ClassRaft)
	b.up(ClassData)
	manual.BlockUntil(16) // both ends of four connections, each with a ticker and a watch
	// Half a minute of nothing to say, but that both ends of four connections
	// are there.
	for range 15 {
		before := w.writes.Load()
		manual.Advance(a.opts.Idle / 5)
		eventually(t, func() bool { return w.writes.Load() >= before+8 })
	}
	a.Send(2, one(2, message(raftpb.MsgHeartbeat, 1, 2)))
	a.Flush()
	if got := receive(t, b.raft); got.group != 2 {
		t.Fatal(got.group)
	}
	b.stop()
	if id := receive(t, a.lost); id != 2 {
		t.Fatal(id)
	}
	back := boot(b.opts.Trust)
	back.SetPeers([]Peer{a.peer()})
	eventually(t, func() bool {
		manual.Advance(backoffMax)
		return a.Links()[0].Up
	})
}
