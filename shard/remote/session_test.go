package remote

import (
	"fmt"
	"strings"
	"testing"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/shard"
)

// A history is what happened to messages, as their publishers and consumers saw
// it. What must not happen fails the test at once.
type history struct {
	t    testing.TB
	msgs map[string]*fate
	last map[string]int // number enqueued last, by publisher
}

type fate struct {
	published          bool
	confirmed, unknown int
	refused            bool
	holder             *consumer // nil: nobody
	seen               bool      // somebody may have seen it and gave it back
	accepted           *consumer // who accepted it; may be nil again if he died
	consumed           bool      // it was accepted once
	delivered          int
}

func newHistory(t testing.TB) *history {
	return &history{t: t, msgs: map[string]*fate{}, last: map[string]int{}}
}

func (h *history) of(body string) *fate {
	m := h.msgs[body]
	if m == nil {
		m = &fate{}
		h.msgs[body] = m
	}
	return m
}

// enqueued checks that a publisher's messages come in order, each once.
func (h *history) enqueued(body string) {
	var n int
	name, number, _ := strings.Cut(body, "#")
	if _, err := fmt.Sscan(number, &n); err != nil {
		h.t.Fatal(err)
	}
	if n <= h.last[name] {
		h.t.Errorf("%s is enqueued behind number %d", body, h.last[name])
	}
	h.last[name] = n
}

// A publisher is a channel with confirms.
type publisher struct {
	h    *history
	name string
	to   shard.Shard
	n    int
	pad  int
}

func (p *publisher) body(tag uint64) string {
	return fmt.Sprintf("%s#%d", p.name, tag) + strings.Repeat(" ", p.pad)
}

// publish publishes k messages to a queue.
func (p *publisher) publish(q uint64, k int) bool {
	var ps []shard.Publish
	for range k {
		p.n++
		body := p.body(uint64(p.n))
		p.h.of(body).published = true
		ps = append(ps, shard.Publish{Message: &message.Message{Body: []byte(body)}, Queues: []uint64{q}, To: p, Tag: uint64(p.n)})
	}
	return p.to.Publish(ps)
}

func (p *publisher) Confirmed(first uint64, n uint32, refused bool) {
	for i := range uint64(n) {
		m := p.h.of(p.body(first + i))
		m.confirmed++
		m.refused = refused
		if m.confirmed+m.unknown != 1 {
			p.h.t.Errorf("%s: confirmed %d times, unknown %d times", p.body(first+i), m.confirmed, m.unknown)
		}
	}
}

func (p *publisher) Unknown(first uint64, n uint32) {
	for i := range uint64(n) {
		p.h.of(p.body(first+i)).unknown++
	}
}

func (p *publisher) Wake() {}

// A consumer is a Sink and the Shared credit of one consumer.
type consumer struct {
	h    *history
	to   shard.Shard
	c    *shard.Consumer
	dead bool // its node is gone

	started, ended, refused bool
	hungry                  bool // Take said no
	full                    bool // because of the connection
	room                    int  // deliveries that the connection takes
	limit                   int  // unsettled messages
	pending                 int
	held                    []held
	got                     []string
}

type held struct {
	d    shard.Delivery
	body string
}

// consume begins a consumer.
func (h *history) consume(to shard.Shard, q, session uint64, prefetch uint32, limit int) *consumer {
	k := &consumer{h: h, to: to, limit: limit, room: 1 << 30}
	k.c = &shard.Consumer{Queue: q, Sink: k, Shared: k, Session: session, Prefetch: prefetch, Window: 1 << 20, User: k}
	to.Consume(k.c, func(err error) {
		k.started, k.refused = err == nil, err != nil
	})
	return k
}

func (k *consumer) Take() bool {
	k.full = k.room <= k.pending
	if k.full || len(k.held)+k.pending >= k.limit {
		k.hungry = true
		return false
	}
	k.pending++
	return true
}

func (k *consumer) Backlogged() bool { return k.full }

func (k *consumer) Deliver(c *shard.Consumer, ds []shard.Delivery) {
	k.pending -= len(ds)
	k.room -= len(ds)
	if !k.started || k.ended || k.dead || c != k.c {
		k.h.t.Errorf("a delivery to a consumer that is started=%v ended=%v dead=%v", k.started, k.ended, k.dead)
	}
	for i := range ds {
		k.took(&ds[i])
	}
}

func (k *consumer) took(d *shard.Delivery) {
	m, err := message.Parse(d.Blob)
	if err != nil {
		k.h.t.Fatalf("a delivery that can not be read: %v", err)
	}
	body := string(m.Body)
	f := k.h.of(body)
	switch {
	case f.accepted != nil:
		k.h.t.Errorf("%q is delivered after it was accepted", body)
	case f.holder != nil:
		k.h.t.Errorf("%q is delivered while another holds it", body)
	case f.seen && !d.Redelivered:
		k.h.t.Errorf("%q is delivered again without a flag", body)
	}
	f.holder = k
	f.delivered++
	k.got = append(k.got, body)
	b := *d
	b.Blob = nil
	k.held = append(k.held, held{b, body})
}

func (k *consumer) Cancelled(*shard.Consumer) { k.ended = true }
func (k *consumer) Wake()                     {}

// settle ends the i-th holding.
func (k *consumer) settle(i int, o shard.Outcome) {
	x := k.held[i]
	k.held = append(k.held[:i], k.held[i+1:]...)
	k.let(x.body, o)
	k.to.Settle([]shard.Settle{{Queue: k.c.Queue, Seq: x.d.Seq, Holding: x.d.Holding, Outcome: o}}, nil)
	k.kick()
}

func (k *consumer) let(body string, o shard.Outcome) {
	f := k.h.of(body)
	f.holder = nil
	if o == shard.Accept {
		f.accepted, f.consumed = k, true
	}
	f.seen = f.seen || o == shard.Requeue || o == shard.Abandon
}

func (k *consumer) kick() {
	if k.hungry && !k.dead {
		k.hungry = false
		k.to.Kick(k.c)
	}
}

// cancel ends the consumer; with all it gives back what it holds.
func (k *consumer) cancel(all bool) {
	k.to.Cancel(k.c, all, func(error) { k.ended = true })
	if all {
		for _, x := range k.held {
			k.let(x.body, shard.Abandon)
		}
		k.held = nil
	}
}

// die is the end of the consumer's node. Whether what it accepted was committed
// nobody knows.
func (k *consumer) die() {
	k.dead = true
	for _, f := range k.h.msgs {
		if f.accepted == k {
			f.accepted, f.seen = nil, true
		}
	}
	for _, x := range k.held {
		k.let(x.body, shard.Abandon)
	}
	k.held = nil
}
