package shard_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	rig "github.com/warrenmq/warren/test/shard"
)

// A world is what clients know of a node over all its lives: what they asked
// for, what they were told. It is the measure for what a node holds.
type world struct {
	mu     sync.Mutex // the file system's hook looks in from other goroutines
	next   uint64
	queues []*wqueue // in the order they were declared
	txs    []*wtx
}

type wqueue struct {
	name     string
	shard    uint64
	id       shard.QueueID
	declared bool // confirmed
	deleting bool
	deleted  bool // confirmed
	closed   bool // it is confirmed that it ends
	msgs     []*wmessage
}

// A wmessage is one message in one queue.
type wmessage struct {
	id        uint64
	confirmed bool
	refused   bool // and by no other queue taken
	answered  bool
	alone     bool // published to this queue only
	delivered bool // handed to a client at least once
	acking    bool
	acked     bool // confirmed
}

// snapshot copies the world.
func (w *world) snapshot() *world {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &world{next: w.next}
	for _, x := range w.txs {
		n := *x
		c.txs = append(c.txs, &n)
	}
	for _, q := range w.queues {
		n := *q
		n.msgs = make([]*wmessage, len(q.msgs))
		for i, m := range q.msgs {
			x := *m
			n.msgs[i] = &x
		}
		c.queues = append(c.queues, &n)
	}
	return c
}

func (w *world) queue(name string) *wqueue {
	for _, q := range w.queues {
		if q.name == name {
			return q
		}
	}
	return nil
}

func (q *wqueue) message(id uint64) *wmessage {
	i, ok := slices.BinarySearchFunc(q.msgs, id, func(m *wmessage, id uint64) int {
		switch {
		case m.id < id:
			return -1
		case m.id > id:
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	return q.msgs[i]
}

// body is the content of a message: its length and bytes follow from the id.
func body(id uint64) []byte {
	rng := rand.New(rand.NewPCG(id, 7))
	n := 8 + rng.IntN(60)
	if rng.IntN(8) == 0 {
		n += rng.IntN(6000)
	}
	b := make([]byte, n)
	binary.BigEndian.PutUint64(b, id)
	for i := 8; i < n; i++ {
		b[i] = byte(uint64(i) * (id + 3))
	}
	return b
}

// A found is a message as a client received it.
type found struct {
	id          uint64
	redelivered bool
	queue       shard.QueueID
	d           shard.Delivery
	by          *shard.Consumer // nil for a get
}

func parse(q shard.QueueID, d *shard.Delivery) (found, error) {
	m, err := message.Parse(d.Blob)
	if err != nil {
		return found{}, err
	}
	if len(m.Body) < 8 {
		return found{}, fmt.Errorf("a body of %d bytes", len(m.Body))
	}
	id := binary.BigEndian.Uint64(m.Body)
	if !bytes.Equal(m.Body, body(id)) {
		return found{}, fmt.Errorf("message %d has the wrong bytes", id)
	}
	x := *d
	x.Blob = nil
	return found{id: id, redelivered: d.Redelivered, queue: q, d: x}, nil
}

// check holds what a node delivers after a crash against the world: before and
// after are the world as it was just before and after the crash.
func check(before, after *world, got map[string][]found) error {
	for _, q := range after.queues {
		b := before.queue(q.name)
		if b == nil {
			b = &wqueue{}
		}
		fs, there := got[q.name]
		switch {
		case !there && b.declared && !q.deleting:
			return fmt.Errorf("queue %s is lost", q.name)
		case there && (b.deleted || b.closed && q.closed):
			return fmt.Errorf("queue %s is back", q.name)
		case !there:
			continue
		}
		if err := checkQueue(b, q, fs); err != nil {
			return fmt.Errorf("queue %s: %w", q.name, err)
		}
	}
	for _, x := range after.txs {
		if err := x.check(after, got); err != nil {
			return err
		}
	}
	for name := range got {
		if after.queue(name) == nil {
			return fmt.Errorf("queue %s came from nowhere", name)
		}
	}
	return nil
}

func checkQueue(before, after *wqueue, fs []found) error {
	seen := map[uint64]bool{}
	last := uint64(0)
	for _, f := range fs {
		m := after.message(f.id)
		switch {
		case m == nil:
			return fmt.Errorf("message %d was never published", f.id)
		case seen[f.id]:
			return fmt.Errorf("message %d is there twice", f.id)
		case m.refused:
			return fmt.Errorf("message %d was refused", f.id)
		case f.id < last:
			return fmt.Errorf("message %d comes behind %d", f.id, last)
		}
		seen[f.id], last = true, f.id
		if b := before.message(f.id); b != nil {
			if b.acked {
				return fmt.Errorf("message %d was acknowledged, and that was confirmed", f.id)
			}
			if b.delivered && !f.redelivered {
				return fmt.Errorf("message %d was delivered before and is not flagged", f.id)
			}
		}
	}
	for _, m := range before.msgs {
		if m.confirmed && !seen[m.id] && !after.message(m.id).acking {
			return fmt.Errorf("message %d is lost", m.id)
		}
	}
	return nil
}

// settings gives some queues, by their names, what must not lose a message.
func settings(name string) (s shard.Settings) {
	switch name[len(name)-1] {
	case '2', '5':
		s.MaxLength, s.Overflow = queue.AtMost(6), queue.RejectPublish
	case '3', '6':
		s.TTL, s.HasTTL = 1<<31, true
	}
	return s
}

// A client uses one life of a node.
type client struct {
	w    *world
	r    *rig.Rig
	errs []error

	held      []found
	consumers map[shard.QueueID][]*shard.Consumer
	began     map[*shard.Consumer]bool
	dead      bool // what comes now was not to be
}

func newClient(w *world, r *rig.Rig) *client {
	return &client{w: w, r: r, consumers: map[shard.QueueID][]*shard.Consumer{}, began: map[*shard.Consumer]bool{}}
}

func (c *client) failf(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

// Confirmed implements shard.Confirms: tags are message ids.
func (c *client) Confirmed(first uint64, n uint32, refused bool) {
	if c.dead {
		c.failf("message %d confirmed by the dead", first)
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	for id := first; id < first+uint64(n); id++ {
		for _, q := range c.w.queues {
			if m := q.message(id); m != nil {
				if m.answered {
					c.failf("message %d confirmed twice", id)
				}
				m.answered = true
				m.confirmed = !refused
				m.refused = refused && m.alone
			}
		}
	}
}

// Unknown implements shard.Confirms.
func (c *client) Unknown(uint64, uint32) {}

// Wake implements shard.Confirms and shard.Sink.
func (c *client) Wake() {}

// Cancelled implements shard.Sink.
func (c *client) Cancelled(sc *shard.Consumer) { c.drop(sc) }

func (c *client) drop(sc *shard.Consumer) {
	cs := c.consumers[sc.Queue]
	if i := slices.Index(cs, sc); i >= 0 {
		c.consumers[sc.Queue] = slices.Delete(cs, i, i+1)
	}
	c.held = slices.DeleteFunc(c.held, func(f found) bool { return f.by == sc }) // it goes back
}

// Deliver implements shard.Sink.
func (c *client) Deliver(sc *shard.Consumer, ds []shard.Delivery) {
	for i := range ds {
		c.received(sc.Queue, sc, &ds[i])
	}
}

func (c *client) received(id shard.QueueID, by *shard.Consumer, d *shard.Delivery) {
	f, err := parse(id, d)
	if err != nil {
		c.errs = append(c.errs, err)
		return
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	for _, q := range c.w.queues {
		if q.id != id {
			continue
		}
		m := q.message(f.id)
		switch {
		case m == nil:
			c.failf("message %d was never published to %s", f.id, q.name)
			return
		case m.acked:
			c.failf("message %d comes again after its acknowledgement", f.id)
		case m.delivered && !f.redelivered:
			c.failf("message %d comes again unflagged", f.id)
		}
		m.delivered = true
	}
	f.by = by
	c.held = append(c.held, f)
}

// publish sends one message to queues of one shard.
func (c *client) publish(in uint64, qs ...*wqueue) {
	c.w.mu.Lock()
	c.w.next++
	id := c.w.next
	p := shard.Publish{Message: &message.Message{Body: body(id), RoutingKey: []byte("k")}, To: c, Tag: id}
	for _, q := range qs {
		q.msgs = append(q.msgs, &wmessage{id: id, alone: len(qs) == 1})
		p.Queues = append(p.Queues, q.id)
	}
	c.w.mu.Unlock()
	c.r.Shards[in].Publish([]shard.Publish{p})
}

func (c *client) consume(q *wqueue, prefetch uint32) {
	sc := &shard.Consumer{Queue: q.id, Sink: c, Prefetch: prefetch, Session: 1}
	c.consumers[q.id] = append(c.consumers[q.id], sc)
	c.r.Shards[q.shard].Consume(sc, func(err error) {
		if err != nil {
			c.drop(sc)
		}
		c.began[sc] = err == nil
	})
}

// settle ends the i-th of what is held. done says whether to ask for an answer.
func (c *client) settle(i int, o shard.Outcome, done bool) {
	f := c.held[i]
	c.held = slices.Delete(c.held, i, i+1)
	var m *wmessage
	var in uint64
	c.w.mu.Lock()
	for _, q := range c.w.queues {
		if q.id == f.queue {
			m, in = q.message(f.id), q.shard
		}
	}
	m.acking = m.acking || o == shard.Accept || o == shard.Reject
	c.w.mu.Unlock()
	var answer func(error)
	if done && (o == shard.Accept || o == shard.Reject) {
		answer = func(err error) {
			c.w.mu.Lock()
			m.acked = m.acked || err == nil
			c.w.mu.Unlock()
		}
	}
	c.r.Shards[in].Settle([]shard.Settle{{Queue: f.queue, Seq: f.d.Seq, Holding: f.d.Holding, Outcome: o}}, answer)
}

// contents takes everything there is out of all queues of a node, as one
// consumer of each sees it.
func contents(r *rig.Rig) (map[string][]found, error) {
	got := map[string][]found{}
	var err error
	for _, in := range r.IDs {
		for q := range r.Catalog.View().QueuesIn(in) {
			s := &collector{}
			gone := false
			r.Shards[in].Consume(&shard.Consumer{Queue: q.ID, Sink: s, Session: 1}, func(e error) {
				if gone = errors.Is(e, shard.ErrGone); e != nil && !gone {
					err = e
				}
			})
			r.Settle()
			if gone {
				if r.Catalog.View().QueueByID(q.ID) != nil {
					err = fmt.Errorf("queue %s is closed and nobody deletes it", q.Name)
				}
				continue // it ended
			}
			if s.err != nil {
				err = s.err
			}
			got[q.Name] = s.fs
		}
	}
	return got, err
}

type collector struct {
	fs  []found
	err error
}

func (s *collector) Deliver(c *shard.Consumer, ds []shard.Delivery) {
	for i := range ds {
		f, err := parse(c.Queue, &ds[i])
		if err != nil {
			s.err = err
		}
		s.fs = append(s.fs, f)
	}
}
func (s *collector) Cancelled(*shard.Consumer) {}
func (s *collector) Wake()                     {}
