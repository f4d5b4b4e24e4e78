package remote

import (
	"slices"
	"time"

	"github.com/warrenmq/warren/shard"
)

// lookBit marks the numbers of requests that look and change nothing: an origin
// does not keep them.
const lookBit = 1 << 63

// lookPatience is how long a look waits for its answer.
const lookPatience = 10 * time.Second

// A look is a call of Inspect or Browse without an answer.
type look struct {
	id    uint64
	since time.Duration

	ids       []shard.QueueID
	consumers bool
	seen      func([]shard.QueueInfo)

	browse  *shard.Browse
	reading uint64 // its number
	first   bool
	browsed func(shard.BrowsePart)
}

// Inspect implements shard.Inspector. It may be called in a turn.
func (c *Client) Inspect(ids []shard.QueueID, consumers bool, done func([]shard.QueueInfo)) {
	if l := c.leading(); l != nil {
		l.InspectHere(ids, consumers, done)
		return
	}
	c.look(&look{ids: slices.Clone(ids), consumers: consumers, seen: done})
}

// Browse implements shard.Browser. It may be called in a turn.
func (c *Client) Browse(b *shard.Browse, done func(shard.BrowsePart)) {
	if l := c.leading(); l != nil {
		l.BrowseHere(b, done)
		return
	}
	c.look(&look{browse: b, browsed: done})
}

// A looker answers of itself, whoever leads.
type looker interface {
	InspectHere(ids []shard.QueueID, consumers bool, done func([]shard.QueueInfo))
	BrowseHere(b *shard.Browse, done func(shard.BrowsePart))
}

// leading returns the replica of this node, if that leads.
func (c *Client) leading() looker {
	if l := c.local.Load(); l != nil && c.led.Load() {
		x, _ := l.shard.(looker)
		return x
	}
	return nil
}

func (c *Client) look(l *look) {
	c.mu.Lock()
	here := c.led.Load() // since it was asked: looksHere has been
	if !here {
		c.mu.looks = append(c.mu.looks, l)
	}
	c.mu.Unlock()
	if here {
		c.lookHere(l)
		return
	}
	c.poke()
}

// looksHere has the replica of this node answer what no leader has: it leads, and
// this client takes no turn.
func (c *Client) looksHere() {
	c.mu.Lock()
	ls := c.mu.looks
	c.mu.looks = nil
	c.mu.Unlock()
	for _, l := range append(c.looks, ls...) {
		c.lookHere(l)
	}
	c.looks, c.readings = nil, nil
}

func (c *Client) lookHere(l *look) {
	here := c.leading()
	switch {
	case l.browse == nil && here != nil:
		here.InspectHere(l.ids, l.consumers, l.seen)
	case l.browse == nil:
		l.seen(nil)
	case here != nil && (l.id == 0 || l.first):
		here.BrowseHere(l.browse, l.browsed)
	default: // it has begun elsewhere
		l.browsed(shard.BrowsePart{Err: shard.ErrUnavailable})
	}
}

// takeLooks takes what is to be looked at.
func (c *Client) takeLooks() {
	c.mu.Lock()
	ls := c.mu.looks
	c.mu.looks = nil
	c.mu.Unlock()
	for _, l := range ls {
		c.lookNo++
		l.id, l.since = c.lookNo|lookBit, c.now
		if l.browse != nil {
			l.reading, l.first = c.reading(l.browse, l.id)
		}
		c.looks = append(c.looks, l)
		c.askLook(l)
	}
}

// A reading is a browse that a leader reads for this node.
type reading struct {
	b  *shard.Browse
	id uint64
}

// reading returns the number of a reading, and whether it begins.
func (c *Client) reading(b *shard.Browse, id uint64) (uint64, bool) {
	i := slices.IndexFunc(c.readings, func(r reading) bool { return r.b == b })
	if i >= 0 {
		r := c.readings[i]
		c.readings = append(slices.Delete(c.readings, i, i+1), r)
		return r.id, false // another leader refuses it: nobody has its place
	}
	if len(c.readings) >= mostBrowses {
		c.readings = slices.Delete(c.readings, 0, 1)
	}
	c.readings = append(c.readings, reading{b, id})
	return id, true
}

// askLook sends a look to the leader.
func (c *Client) askLook(l *look) {
	if !c.attached {
		return
	}
	if l.browse == nil {
		c.frame(typeInspect, func(dst []byte) []byte {
			return appendInspect(dst, &inspect{target: c.key.target, req: l.id, consumers: l.consumers, ids: l.ids})
		})
		return
	}
	c.frame(typeBrowse, func(dst []byte) []byte {
		return appendBrowse(dst, &browse{
			target: c.key.target, req: l.id, id: l.reading, first: l.first, queue: l.browse.Queue,
			messages: uint32(min(max(l.browse.Messages, 1), 1<<20)), bytes: uint32(min(max(l.browse.Bytes, 1), mostBrowsed)),
		})
	})
}

// lookAgain looks again at a new leader. A browse that had begun can not go on.
func (c *Client) lookAgain() {
	for _, l := range c.looks {
		c.askLook(l)
	}
}

// expireLooks answers what waits for too long.
func (c *Client) expireLooks() {
	c.looks = slices.DeleteFunc(c.looks, func(l *look) bool {
		if c.now-l.since < lookPatience && !c.over.Load() {
			return false
		}
		if l.browse != nil {
			l.browsed(shard.BrowsePart{Err: shard.ErrUnavailable})
		} else {
			l.seen(nil)
		}
		return true
	})
}

// looked takes the answer to a look.
func (c *Client) looked(p *reply) error {
	i := slices.IndexFunc(c.looks, func(l *look) bool { return l.id == p.req })
	if i < 0 {
		return nil
	}
	l := c.looks[i]
	c.looks = slices.Delete(c.looks, i, i+1)
	err := errorOf(p.code)
	if l.browse != nil {
		var part shard.BrowsePart
		if err == nil {
			part, err = parsePart(p.payload)
		}
		part.Err = err
		if err != nil || part.End {
			c.readings = slices.DeleteFunc(c.readings, func(r reading) bool { return r.b == l.browse })
		}
		l.browsed(part)
		return nil
	}
	if err != nil {
		l.seen(nil)
		return nil
	}
	ss, err := parseSeen(p.payload)
	infos := make([]shard.QueueInfo, len(ss))
	for i := range ss {
		infos[i] = c.info(&ss[i], l.consumers)
	}
	l.seen(infos)
	return err
}

// info is what this node sees of a queue that another leads.
func (c *Client) info(s *seen, consumers bool) shard.QueueInfo {
	in := shard.QueueInfo{ID: s.id, Counts: s.counts, SingleActive: s.single}
	for i := range s.consumers {
		x := &s.consumers[i]
		sc := c.known(x)
		if i == s.only {
			in.Only = sc
		}
		if consumers {
			in.Consumers = append(in.Consumers, sc)
		}
	}
	return in
}

// known returns a consumer of this node, or the picture of another's.
func (c *Client) known(x *seenConsumer) *shard.Consumer {
	if x.of == c.h.o.Incarnation {
		if sc := c.o.Consumer(x.spec.id); sc != nil {
			return sc
		}
	}
	sc := &shard.Consumer{
		Queue: x.spec.queue, NoAck: x.spec.noAck, Exclusive: x.spec.exclusive, Priority: x.spec.priority,
		Prefetch: x.spec.prefetch, Window: x.spec.window, Session: x.spec.session, Incarnation: x.of, ID: x.spec.id,
	}
	if c.h.o.Label != nil {
		sc.User = c.h.o.Label(x.of, x.spec.label)
	}
	return sc
}
