package sim

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/remote"
)

// What goes between the sessions of one node and the leader on another: the
// hubs, servers and clients of shard/remote, over streams that keep order, take
// time and break. Streams break when the network is cut, when one end dies, and
// now and then by themselves.

var errBroken = errors.New("sim: the stream broke")

// A stream is from one node to another.
type stream struct {
	from, to *shardMachine
	up, down *streamEnd
	broken   bool
}

// A streamEnd is what one side of a stream sends to the other: a remote.Stream.
type streamEnd struct {
	s     *stream
	peer  uint64
	owner *shardMachine // who sends
	other *shardMachine
	queue [][]remote.Frame
	at    time.Duration
}

// Peer implements remote.Stream.
func (e *streamEnd) Peer() uint64 { return e.peer }

// Queued implements remote.Stream.
func (e *streamEnd) Queued() int { return 0 }

// Close implements remote.Stream.
func (e *streamEnd) Close(err error) {
	if errors.Is(err, remote.ErrFrame) {
		e.owner.env.Fail("a stream was closed: %v", err)
	}
	e.s.breaks()
}

// Send implements remote.Stream.
func (e *streamEnd) Send(fs ...remote.Frame) bool {
	if e.s.broken {
		return false
	}
	sent := make([]remote.Frame, len(fs))
	for i, f := range fs {
		sent[i] = remote.Frame{Type: f.Type, Body: slices.Concat(f.Head, f.Body)}
	}
	e.queue = append(e.queue, sent)
	e.at = max(e.at+1, e.owner.env.Now()+e.owner.env.Delay())
	e.other.env.After(e.at-e.owner.env.Now(), e.arrive)
	return true
}

// arrive hands over what was sent first and has not arrived.
func (e *streamEnd) arrive() {
	switch {
	case e.s.broken:
		return
	case e.s.dead():
		e.s.breaks()
		return
	}
	fs := e.queue[0]
	e.queue = e.queue[1:]
	if e == e.s.up {
		e.s.to.server.Frames(e.s.down, fs)
	} else {
		e.s.from.hub.Frames(e.s.up, fs)
	}
}

// dead reports whether an end of the stream is not there any more, or can not
// be reached.
func (s *stream) dead() bool {
	return !s.from.lives() || !s.to.lives() || s.from.env.Cut(s.to.env.Node) || s.to.env.Cut(s.from.env.Node)
}

// breaks ends the stream, which both ends learn.
func (s *stream) breaks() {
	if s.broken {
		return
	}
	s.broken = true
	s.from.env.Trace("stream %d->%d g%d breaks", s.from.env.Node, s.to.env.Node, s.from.env.Group)
	s.from.streams = slices.DeleteFunc(s.from.streams, func(x *stream) bool { return x == s })
	server, hub := s.to.server, s.from.hub // of these lives
	if s.to.lives() {
		s.to.env.After(s.to.env.Delay(), func() { server.Closed(s.down, errBroken) })
	}
	if s.from.lives() {
		s.from.env.After(s.from.env.Delay(), func() { hub.Closed(s.up, errBroken) })
	}
}

// disconnect breaks all streams from and to a machine.
func (m *shardMachine) disconnect() {
	for node := uint64(1); node <= maxNodes; node++ {
		if x := m.truth.live[[2]uint64{m.env.Group, node}]; x != nil {
			for _, s := range slices.Clone(x.streams) {
				if s.from == m || s.to == m {
					s.breaks()
				}
			}
		}
	}
}

// connect makes a node's end of all streams.
func (m *shardMachine) connect() {
	inc := m.incarnation()
	view := func() uint64 { return m.view }
	log := slog.New(slog.DiscardHandler)
	m.server = remote.NewServer(remote.ServerOptions{
		Incarnation: inc, View: view, Clock: simClock{m}, Logger: log,
		Host: func(t remote.Target) shard.Host {
			if uint64(t) != m.env.Group {
				return nil
			}
			return simHost{m.shard.Host(), m}
		},
	})
	credit := 0 // more than consumers here ever take
	if m.env.Chance(0.5) {
		credit = 1
	}
	m.hub = remote.NewHub(remote.HubOptions{Incarnation: inc, View: view, Credit: credit, Clock: simClock{m}, Logger: log})
	m.client = m.hub.Shard(m.env.Group, m.org)
}

// streaming opens streams to all that can be reached, and has some break.
func (m *shardMachine) streaming() {
	for _, s := range slices.Clone(m.streams) {
		if s.dead() || m.env.Chance(0.001) && !(m.draining && m.truth.clients.All) {
			s.breaks()
		}
	}
	for node := uint64(1); node <= maxNodes; node++ {
		to := m.truth.live[[2]uint64{m.env.Group, node}]
		if to == nil || to == m || slices.ContainsFunc(m.streams, func(s *stream) bool { return s.to == to }) {
			continue
		}
		s := &stream{from: m, to: to}
		s.up = &streamEnd{s: s, peer: node, owner: m, other: to}
		s.down = &streamEnd{s: s, peer: m.env.Node, owner: to, other: m}
		if s.dead() {
			continue
		}
		m.streams = append(m.streams, s)
		m.env.Trace("stream %d->%d g%d", m.env.Node, node, m.env.Group)
		to.server.Opened(s.down)
		m.hub.Opened(s.up)
	}
}

// A simHost is a replica's host that notes what the checks have to know.
type simHost struct {
	shard.Host
	m *shardMachine
}

// Attach implements shard.Host.
func (h simHost) Attach(a shard.Attachment, done func(shard.Attached, error)) {
	for _, c := range a.Consumers {
		h.watch(c)
	}
	h.Host.Attach(a, func(out shard.Attached, err error) {
		h.m.env.Trace("attach inc%d end=%v consumers=%d claims=%d refused=%d/%d: %v", a.From.Number, a.End, len(a.Consumers), len(a.Claims), len(out.Consumers), len(out.Refused), err)
		if err == nil {
			h.m.env.Count("attached")
			h.m.reattached()
		}
		done(out, err)
	})
}

// Consume implements shard.Host.
func (h simHost) Consume(c *shard.Consumer, done func(error)) {
	h.watch(c)
	h.Host.Consume(c, done)
}

func (h simHost) watch(c *shard.Consumer) { c.Sink = watched{c.Sink, h.m} }

// A watched sink is one whose order is looked at where it is sent.
type watched struct {
	shard.Sink
	m *shardMachine
}

// Deliver implements shard.Sink.
func (w watched) Deliver(c *shard.Consumer, ds []shard.Delivery) {
	w.m.inOrder(c, ds)
	w.Sink.Deliver(c, ds)
}

// Settle implements shard.Host.
func (h simHost) Settle(ss []shard.Settle, done func(error)) {
	h.m.comesLater(0, ss)
	h.Host.Settle(ss, done)
}

// Cancel implements shard.Host.
func (h simHost) Cancel(c *shard.Consumer, end bool, done func(error)) {
	h.m.orders.behind[c.Queue] = true
	h.Host.Cancel(c, end, done)
}

// A simClock is the clock of a machine's node.
type simClock struct{ m *shardMachine }

// Now implements clock.Clock.
func (c simClock) Now() time.Time { return time.UnixMilli(c.m.wall()) }

// Mono implements clock.Clock.
func (c simClock) Mono() time.Duration { return c.m.env.Now() }

// NewTimer implements clock.Clock. Nobody here waits.
func (c simClock) NewTimer(time.Duration) clock.Timer { panic("sim: nobody waits") }

// NewTicker implements clock.Clock.
func (c simClock) NewTicker(time.Duration) clock.Timer { panic("sim: nobody waits") }

// AfterFunc implements clock.Clock.
func (c simClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	t := &simTimer{}
	c.m.env.After(max(d, 1), func() {
		if !t.stopped && c.m.lives() {
			t.stopped = true
			f()
		}
	})
	return t
}

// A simTimer is one that fires once.
type simTimer struct{ stopped bool }

// C implements clock.Timer.
func (t *simTimer) C() <-chan time.Time { return nil }

// Reset implements clock.Timer.
func (t *simTimer) Reset(time.Duration) bool { panic("sim: nobody resets") }

// Stop implements clock.Timer.
func (t *simTimer) Stop() bool {
	ran := !t.stopped
	t.stopped = true
	return ran
}

// lives reports whether this is still the machine of a node that is up.
func (m *shardMachine) lives() bool {
	return !m.dead && m.env.Up() && m.truth.live[[2]uint64{m.env.Group, m.env.Node}] == m
}

// suspect has the catalog end an incarnation. A process that lives learns that
// before: its lease is over, and it goes.
func (m *shardMachine) suspect(i queue.Incarnation) {
	m.env.After(m.env.Delay(), func() {
		if m.truth.ended[i.Number] {
			return
		}
		m.env.Count("suspected")
		m.env.Kill(i.Node)
		m.truth.end(m.env.Group, i)
	})
}

// end ends an incarnation, which all machines of its group learn.
func (q *queues) end(group uint64, i queue.Incarnation) {
	if i.Number == 0 || q.ended[i.Number] {
		return
	}
	q.ended[i.Number] = true
	for node := uint64(1); node <= maxNodes; node++ {
		if m := q.live[[2]uint64{group, node}]; m != nil && m.lives() {
			m.env.After(m.env.Delay(), func() {
				m.shard.EndIncarnation(i)
				m.server.Ended(i)
			})
		}
	}
}

// maxNodes is more than a run has.
const maxNodes = 16
