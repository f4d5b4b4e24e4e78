package remote

import (
	"errors"
	"slices"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// errLook says that a host can not be looked into.
var errLook = errors.New("remote: the target can not be looked into")

func (g *guest) inspect(b []byte) error {
	x, err := parseInspect(b)
	if err != nil {
		return err
	}
	in, ok := g.host.(shard.Inspector)
	if !ok {
		g.reply(x.req, errLook, nil, nil)
		return nil
	}
	in.Inspect(x.ids, x.consumers, func(infos []shard.QueueInfo) {
		g.reply(x.req, nil, func(dst []byte) []byte {
			for i := range infos {
				s := g.seen(&infos[i])
				dst = appendSeen(dst, &s)
			}
			return dst
		}, nil)
	})
	return nil
}

// seen is what another node is told of a queue.
func (g *guest) seen(in *shard.QueueInfo) seen {
	s := seen{id: in.ID, counts: in.Counts, single: in.SingleActive, only: -1}
	cs := in.Consumers
	if in.Only != nil {
		if s.only = slices.Index(cs, in.Only); s.only < 0 {
			cs, s.only = []*shard.Consumer{in.Only}, 0
		}
	}
	for _, c := range cs {
		s.consumers = append(s.consumers, g.in.s.seenConsumer(c))
	}
	return s
}

func (s *Server) seenConsumer(c *shard.Consumer) seenConsumer {
	x := seenConsumer{c.Incarnation, spec{
		id: c.ID, queue: c.Queue, session: c.Session, noAck: c.NoAck, exclusive: c.Exclusive,
		priority: c.Priority, prefetch: c.Prefetch, window: c.Window,
	}}
	if x.of == (queue.Incarnation{}) {
		x.of = s.o.Incarnation
	}
	if s.o.Tell != nil {
		x.spec.label = s.o.Tell(c)
	}
	return x
}

// A browsing is a reading of a queue that goes on.
type browsing struct {
	id uint64
	b  shard.Browse
}

// mostBrowses bounds the readings of a guest that go on; the one that did
// nothing for longest ends.
const mostBrowses = 16

func (g *guest) browse(b []byte) error {
	x, err := parseBrowse(b)
	if err != nil {
		return err
	}
	in, ok := g.host.(shard.Browser)
	if !ok {
		g.reply(x.req, errLook, nil, nil)
		return nil
	}
	r := g.browsing(&x)
	if r == nil {
		g.reply(x.req, shard.ErrUnavailable, nil, nil)
		return nil
	}
	r.b.Messages, r.b.Bytes = int(x.messages), int(min(x.bytes, mostBrowsed))
	in.Browse(&r.b, func(p shard.BrowsePart) {
		g.reply(x.req, p.Err, func(dst []byte) []byte { return appendPart(dst, &p) }, nil)
	})
	return nil
}

// mostBrowsed bounds the bytes of a part.
const mostBrowsed = 4 << 20

// browsing returns the reading that a frame goes on with, the last of the list
// from now on; nil if it has ended.
func (g *guest) browsing(x *browse) *browsing {
	i := slices.IndexFunc(g.browses, func(r *browsing) bool { return r.id == x.id })
	var r *browsing
	switch {
	case i >= 0:
		r = g.browses[i]
		g.browses = slices.Delete(g.browses, i, i+1)
	case !x.first:
		return nil
	}
	if x.first {
		r = &browsing{id: x.id, b: shard.Browse{Queue: x.queue}}
	}
	if len(g.browses) >= mostBrowses {
		g.browses = slices.Delete(g.browses, 0, 1)
	}
	g.browses = append(g.browses, r)
	return r
}
