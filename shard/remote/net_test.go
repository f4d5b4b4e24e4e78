package remote

import (
	"errors"
	"math/rand"
	"testing"
	"time"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/shard"
)

// A world is nodes in one goroutine, with streams between them that carry a
// frame when they are told to, and break.
type world struct {
	t     testing.TB
	clock *clock.Manual
	nodes []*node
	pipes []*pipe
}

// A node has a hub, a server and what it hosts.
type node struct {
	w      *world
	id     uint64
	inc    queue.Incarnation
	view   uint64
	hub    *Hub
	server *Server
	hosts  map[Target]shard.Host
}

// A pipe is a data stream: both its ends.
type pipe struct {
	w        *world
	from, to *node // from dialled
	up, down *end
	closed   bool
	told     bool // both nodes know that it is closed
}

// An end is a Stream: what one side sends to the other.
type end struct {
	p    *pipe
	peer uint64
	q    []Frame
	most int // bytes that ever waited
}

var errBroken = errors.New("the stream broke")

func (e *end) Peer() uint64 { return e.peer }

func (e *end) Queued() (n int) {
	for _, f := range e.q {
		n += len(f.Body)
	}
	return n
}

func (e *end) Send(fs ...Frame) bool {
	if e.p.closed {
		return false
	}
	for _, f := range fs {
		b := append(append(make([]byte, 0, len(f.Head)+len(f.Body)), f.Head...), f.Body...)
		e.q = append(e.q, Frame{Type: f.Type, Body: b})
	}
	e.most = max(e.most, e.Queued())
	return true
}

func (e *end) Close(err error) {
	e.p.closed = true
	if errors.Is(err, ErrFrame) {
		e.p.w.t.Errorf("a stream was closed: %v", err)
	}
}

func newWorld(t testing.TB, n int) *world {
	w := &world{t: t, clock: clock.NewManual(time.Unix(1000, 0))}
	for i := range n {
		w.nodes = append(w.nodes, &node{w: w, id: uint64(i + 1), view: 1, hosts: map[Target]shard.Host{}})
		w.nodes[i].start(uint64(i + 1))
	}
	return w
}

// start begins a life of the node.
func (n *node) start(number uint64) {
	n.inc = queue.Incarnation{Node: n.id, Number: number}
	view := func() uint64 { return n.view }
	n.server = NewServer(ServerOptions{
		Incarnation: n.inc, View: view, Clock: n.w.clock, Logger: quiet(),
		Host: func(t Target) shard.Host { return n.hosts[t] },
	})
	n.hub = NewHub(HubOptions{Incarnation: n.inc, View: view, Clock: n.w.clock, Logger: quiet()})
}

// dial opens a stream from one node to another, unless there is one.
func (w *world) dial(from, to *node) *pipe {
	for _, p := range w.pipes {
		if p.from == from && p.to == to && !p.told {
			return p
		}
	}
	p := &pipe{w: w, from: from, to: to}
	// Each end is what its owner sends on: the client's end has the server as its
	// peer.
	p.up, p.down = &end{p: p, peer: to.id}, &end{p: p, peer: from.id}
	w.pipes = append(w.pipes, p)
	to.server.Opened(p.down)
	from.hub.Opened(p.up)
	return p
}

// carry carries up to n frames in one direction.
func (p *pipe) carry(up bool, n int) bool {
	e := p.down
	if up {
		e = p.up
	}
	n = min(n, len(e.q))
	if n == 0 || p.told {
		return false
	}
	fs := append([]Frame(nil), e.q[:n]...)
	e.q = append(e.q[:0:0], e.q[n:]...)
	if up {
		p.to.server.Frames(p.down, fs)
	} else {
		p.from.hub.Frames(p.up, fs)
	}
	return true
}

// tell tells both nodes that the stream is closed; what was on its way is lost.
func (p *pipe) tell(clientFirst bool) {
	if p.told {
		return
	}
	p.closed, p.told = true, true
	if clientFirst {
		p.from.hub.Closed(p.up, errBroken)
	}
	p.to.server.Closed(p.down, errBroken)
	if !clientFirst {
		p.from.hub.Closed(p.up, errBroken)
	}
}

// settle carries everything until nothing moves.
func (w *world) settle() {
	for range 10000 {
		moved := false
		for _, p := range append([]*pipe(nil), w.pipes...) {
			if p.closed && !p.told {
				p.tell(true)
				moved = true
			}
			moved = p.carry(true, 1000) || moved
			moved = p.carry(false, 1000) || moved
		}
		if !moved {
			if before := w.clock.Mono(); before%time.Second != 0 {
				w.clock.Advance(time.Second - before%time.Second)
				continue
			}
			w.clock.Advance(20 * time.Millisecond)
			quiet := true
			for _, p := range w.pipes {
				quiet = quiet && (p.told || len(p.up.q)+len(p.down.q) == 0)
			}
			if quiet {
				return
			}
		}
	}
	w.t.Fatal("the streams never fall silent")
}

// random does one random thing with the streams.
func (w *world) random(r *rand.Rand) {
	if len(w.pipes) == 0 {
		return
	}
	p := w.pipes[r.Intn(len(w.pipes))]
	p.carry(r.Intn(2) == 0, 1+r.Intn(3))
	if p.closed && r.Intn(3) == 0 {
		p.tell(r.Intn(2) == 0)
	}
}
