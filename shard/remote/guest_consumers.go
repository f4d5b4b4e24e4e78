package remote

import (
	"github.com/warrenmq/warren/shard"
)

// attach hands a chunk of a report to the host. Its end is answered.
func (g *guest) attach(a *attach) {
	x := shard.Attachment{From: g.in.inc, Claims: append([]shard.Claim(nil), a.claims...), Begin: a.first, End: a.end}
	g.mu.Lock()
	for i := range a.specs {
		s := &a.specs[i]
		p := g.newProxy(s)
		g.mu.consumers[s.id] = p
		x.Consumers = append(x.Consumers, &p.Consumer)
	}
	g.mu.Unlock()
	id, end := a.id, a.end
	g.host.Attach(x, func(got shard.Attached, err error) { g.attached(id, end, got, err) })
}

// attached says which consumers could not be kept, and that the report is done.
// It is called in the turn.
func (g *guest) attached(id uint64, end bool, got shard.Attached, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.left {
		return
	}
	if err != nil { // it does not lead any more
		g.begin(typeNotLead)
		g.mu.buf = appendLead(g.mu.buf, lead{g.target, g.term})
		g.mu.out.end(nil)
		g.flush()
		return
	}
	for _, c := range got.Consumers {
		delete(g.mu.consumers, c)
		g.say(typeCancelled, ofConsumer{target: g.target, id: c})
	}
	if end {
		g.begin(typeAttached)
		g.mu.buf = appendNumbered(g.mu.buf, numbered{g.target, id})
		g.mu.out.end(nil)
	}
	g.flush()
}

func (g *guest) consume(b []byte) error {
	c, err := parseConsume(b)
	if err != nil {
		return err
	}
	p := g.newProxy(&c.spec)
	g.mu.Lock()
	g.mu.consumers[p.ID] = p
	g.mu.Unlock()
	g.host.Consume(&p.Consumer, func(err error) {
		if err != nil {
			g.forget(p)
		}
		g.reply(c.req, err, nil, nil)
	})
	return nil
}

func (g *guest) forget(p *proxy) {
	g.mu.Lock()
	if g.mu.consumers[p.ID] == p {
		delete(g.mu.consumers, p.ID)
	}
	g.mu.Unlock()
}

// find returns a consumer, nil if it has ended.
func (g *guest) find(id uint64) *proxy {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.consumers[id]
}

// cancel ends a consumer. What it holds its node settles.
func (g *guest) cancel(b []byte) error {
	c, err := parseOfConsumer(b, "cancel")
	if err != nil {
		return err
	}
	p := g.find(c.id)
	if p == nil {
		g.reply(c.n, nil, nil, nil)
		return nil
	}
	g.host.Cancel(&p.Consumer, false, func(err error) {
		p.gone()
		g.forget(p)
		g.reply(c.n, err, nil, nil)
	})
	return nil
}

func (g *guest) grant(b []byte) error {
	c, err := parseOfConsumer(b, "grant")
	if err != nil {
		return err
	}
	if p := g.find(c.id); p != nil {
		p.grant(c.n)
		g.host.Kick(&p.Consumer)
	}
	return nil
}

func (g *guest) stop(b []byte) error {
	c, err := parseOfConsumer(b, "stop")
	if err != nil {
		return err
	}
	if p := g.find(c.id); p != nil {
		sent := p.stop()
		g.mu.Lock()
		g.say(typeStopped, ofConsumer{target: g.target, id: c.id, n: uint64(sent)})
		g.flush()
		g.mu.Unlock()
	}
	return nil
}
