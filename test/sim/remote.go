package sim

import (
	"bytes"
	"slices"
	"time"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// What goes between the sessions of one node and the leader on another: a stream
// that keeps order, takes time and breaks, and at its ends the least that drives
// an origin and a host. Streams break when the network is cut, when one end dies,
// and now and then by themselves.

// A stream is from a client's node to the leader's.
type stream struct {
	client, server *shardMachine
	inc            queue.Incarnation // of the client
	up, down       lane              // to the server, to the client
	broken         bool

	// The server's.
	consumers map[uint64]*shard.Consumer
}

// A lane is one direction.
type lane struct {
	queue []func()
	at    time.Duration
}

// send has f run at the other end, behind what was sent before.
func (s *stream) send(l *lane, from, to *shardMachine, f func()) {
	if s.broken {
		return
	}
	l.queue = append(l.queue, f)
	l.at = max(l.at+1, from.env.Now()+from.env.Delay())
	to.env.After(l.at-from.env.Now(), func() {
		if s.broken || from.env.Cut(to.env.Node) {
			s.breaks()
			return
		}
		next := l.queue[0]
		l.queue = l.queue[1:]
		next()
	})
}

func (s *stream) toServer(f func(h shard.Host)) {
	s.send(&s.up, s.client, s.server, func() { f(s.server.shard.Host()) })
}

// toClient has f run in a turn of the client's replica.
func (s *stream) toClient(f func()) {
	s.send(&s.down, s.server, s.client, func() {
		c := s.client
		c.inbound = append(c.inbound, func() {
			if c.out == s {
				f()
			}
		})
		c.env.Wake()
	})
}

// dead reports whether an end of the stream is not there any more, or can not
// be reached.
func (s *stream) dead() bool {
	return !s.client.lives() || !s.server.lives() || s.client.env.Cut(s.server.env.Node) || s.server.env.Cut(s.client.env.Node)
}

// breaks ends the stream, which both ends learn.
func (s *stream) breaks() {
	if s.broken {
		return
	}
	s.broken = true
	if s.server.lives() {
		s.server.env.After(s.server.env.Delay(), func() {
			if s.server.in[s.inc] == s {
				delete(s.server.in, s.inc)
				s.server.shard.Host().Detach(s.inc)
			}
		})
	}
	if s.client.lives() {
		s.client.env.Wake()
	}
}

// --- the client's end: shard.Elsewhere ---

// elsewhere drives the origin of a node while another node leads.
type elsewhere struct{ m *shardMachine }

// Follow implements shard.Elsewhere.
func (e elsewhere) Follow(leader uint64) { e.m.leader = leader }

// Lead implements shard.Elsewhere.
func (e elsewhere) Lead() {
	m := e.m
	m.inbound, m.leader = nil, 0
	if m.out != nil {
		m.out.breaks()
		m.out = nil
	}
}

// Turn implements shard.Elsewhere.
func (e elsewhere) Turn(now time.Duration) {
	m := e.m
	for len(m.inbound) > 0 {
		f := m.inbound[0]
		m.inbound = m.inbound[1:]
		f()
	}
	if s := m.out; s != nil && (s.broken || s.dead() || s.server.env.Node != m.leader || m.env.Chance(0.001)) {
		s.breaks()
		m.out, m.attached = nil, 0
	}
	if m.out == nil {
		m.dial()
	}
	rs, ss := m.org.In.TakeRequests(nil, nil)
	if n, live := m.org.Settle(ss); n > 0 {
		m.sendSettles(n, live)
	}
	for i := range rs {
		m.ask(now, rs[i])
	}
	if m.attached == 0 {
		m.org.Unpark(now)
		m.org.Expire(now)
		return
	}
	m.org.Led()
	m.sendBatches()
}

// dial opens a stream to the leader, if it is known and there.
func (m *shardMachine) dial() {
	to := m.truth.live[[2]uint64{m.env.Group, m.leader}]
	if m.leader == 0 || to == nil || to == m || !to.lives() {
		return
	}
	s := &stream{client: m, server: to, inc: m.incarnation(), consumers: map[uint64]*shard.Consumer{}}
	if s.dead() {
		return
	}
	m.out, m.attached = s, 0
	s.toServer(func(h shard.Host) {
		if old := to.in[s.inc]; old != nil {
			old.broken = true
			h.Detach(s.inc)
		}
		to.in[s.inc] = s
		if term, ok := h.Serving(); ok {
			s.toClient(func() { m.attach(term) })
		}
	})
}

// attach reports to the leader of a term, and sends again what has no answer.
func (m *shardMachine) attach(term uint64) {
	if term < m.org.Term() {
		return
	}
	m.env.Count("attached")
	m.attached = term
	s := m.out
	for _, a := range m.org.Report(term) {
		a := a
		s.toServer(func(h shard.Host) {
			for i, c := range a.Consumers {
				a.Consumers[i] = s.guest(c)
			}
			h.Attach(a, func(out shard.Attached, err error) {
				if err != nil {
					return
				}
				s.server.reset()
				s.toClient(func() { m.org.Attached(&out, a.End) })
			})
		})
	}
	m.org.Unsettled(m.sendSettles)
	m.org.Asked(m.sendAsked)
	m.org.Rewind()
	m.sendBatches()
}

// guest is a consumer as the server knows it.
func (s *stream) guest(c *shard.Consumer) *shard.Consumer {
	g := *c
	g.Sink, g.Incarnation, g.User = sink{s}, s.inc, nil
	s.consumers[c.ID] = &g
	return &g
}

func (m *shardMachine) sendBatches() {
	for b := m.org.Next(1); b != nil; b = m.org.Next(1) {
		data := bytes.Clone(b.Bytes())
		m.env.Trace("offer %d by inc%d", b.ID.Number, m.inc)
		m.out.toServer(func(h shard.Host) { h.Offer(data) })
		m.org.Sent()
	}
}

func (m *shardMachine) sendSettles(n uint64, ss []shard.Settle) {
	if m.attached == 0 {
		return
	}
	s, ss := m.out, slices.Clone(ss)
	s.toServer(func(h shard.Host) {
		s.server.comesLater(n, ss)
		h.Settle(ss, func(err error) {
			if err == nil {
				s.toClient(func() { m.org.Settled(n) })
			}
		})
	})
}

// ask takes what a session asked for.
func (m *shardMachine) ask(now time.Duration, r shard.Request) {
	switch r.Kind {
	case shard.ReqSettle:
		m.org.Committed(r.Done)
	case shard.ReqCancel:
		id, n, ss := m.org.Cancel(now, r)
		if n > 0 {
			m.sendSettles(n, ss)
		}
		if id > 0 {
			m.sendAsked(id, &r)
		}
	case shard.ReqRun:
		r.Run()
	case shard.ReqKick:
	default:
		m.sendAsked(m.org.Ask(now, r), &r)
	}
}

func (m *shardMachine) sendAsked(id uint64, r *shard.Request) {
	if m.attached == 0 {
		return
	}
	s, x := m.out, *r
	s.toServer(func(h shard.Host) {
		switch x.Kind {
		case shard.ReqConsume:
			h.Consume(s.guest(x.Consumer), func(err error) {
				if err == shard.ErrUnavailable {
					return
				}
				s.toClient(func() {
					if !m.org.Consumed(id, err) {
						s.toServer(func(h shard.Host) { h.Cancel(s.consumers[x.Consumer.ID], false, func(error) {}) })
					}
				})
			})
		case shard.ReqCancel:
			s.server.cancelled[x.Consumer.Queue] = true
			if c := s.consumers[x.Consumer.ID]; c != nil {
				h.Cancel(c, false, func(err error) { s.toClient(func() { m.org.Told(id, err) }) })
			}
		case shard.ReqGet:
			h.GetFor(x.Queue, queue.SessionID{Incarnation: s.inc, Number: x.Session}, func(g shard.GetResult, err error) {
				if err == shard.ErrUnavailable {
					return
				}
				term, _ := h.Serving()
				s.toClient(func() { m.org.Taken(id, term, g, err) })
			})
		}
	})
}

// --- the server's end ---

// A sink sends what a consumer of another node gets.
type sink struct{ s *stream }

// Deliver implements shard.Sink.
func (k sink) Deliver(c *shard.Consumer, ds []shard.Delivery) {
	s := k.s
	s.server.inOrder(c, ds)
	term, _ := s.server.shard.Host().Serving()
	id, q, ds := c.ID, c.Queue, slices.Clone(ds)
	s.toClient(func() {
		m := s.client
		if own := m.org.Consumer(id); own != nil {
			m.org.Deliver(own, term, ds)
		} else if term >= m.org.Term() {
			m.sendSettles(m.org.Stray(q, ds))
		}
	})
}

// Cancelled implements shard.Sink.
func (k sink) Cancelled(c *shard.Consumer) {
	id := c.ID
	k.s.toClient(func() { k.s.client.org.Cancelled(id) })
}

// Wake implements shard.Sink.
func (k sink) Wake() {}

// Answer implements shard.Answers.
func (m *shardMachine) Answer(a shard.Answer) {
	s := m.in[a.To]
	m.env.Trace("answer %d to inc%d what=%d", a.Number, a.To.Number, a.What)
	if s == nil {
		return
	}
	a.Refused = slices.Clone(a.Refused)
	s.toClient(func() { s.client.org.Answer(a.Number, a.Refused, a.What) })
}

// leads tells the streams of other nodes that this one leads.
func (m *shardMachine) leads(term uint64) {
	for _, s := range m.streams() {
		s.toClient(func() { s.client.attach(term) })
	}
}

func (m *shardMachine) streams() (out []*stream) {
	for _, s := range m.in {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b *stream) int { return int(a.inc.Number) - int(b.inc.Number) })
	return out
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
			m.env.After(m.env.Delay(), func() { m.shard.EndIncarnation(i) })
		}
	}
}

// maxNodes is more than a run has.
const maxNodes = 16
