package remote

import (
	"encoding/binary"
	"sync"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/shard"
)

// A guest is what one node has at one target, from a report on until the next:
// its consumers and what waits to be sent to it.
type guest struct {
	in     *inbound
	target Target
	host   shard.Host
	term   uint64 // in which the host leads

	// mu guards what follows. It is held while the stream queues frames, so that
	// they leave in the order in which they were made: that calls nobody back.
	mu struct {
		sync.Mutex
		out
		left      bool   // nothing is sent any more
		delivers  bool   // the piece begun last is a deliver frame and open
		revision  uint64 // that it says
		answers   bool   // the same, of answers
		listed    bool   // it is in Server.answers
		consumers map[uint64]*proxy
		settled   uint64 // number of the last settles given to the host
		asked     bool   // it was, or will be, asked when they are committed
		timer     clock.Timer
	}

	browses []*browsing // owned by the stream
}

func newGuest(in *inbound, t Target, host shard.Host, term uint64) *guest {
	g := &guest{in: in, target: t, host: host, term: term}
	g.mu.consumers = map[uint64]*proxy{}
	return g
}

// leave has nothing more sent to the guest.
func (g *guest) leave() {
	g.in.s.exit(g)
	g.mu.Lock()
	g.mu.left = true
	g.discard()
	if g.mu.timer != nil {
		g.mu.timer.Stop()
	}
	g.mu.Unlock()
}

// --- what the guest is sent; with g.mu held ---

// close ends the piece that is open.
func (g *guest) close() {
	if g.mu.delivers || g.mu.answers {
		g.mu.out.end(nil)
		g.mu.delivers, g.mu.answers = false, false
	}
}

// begin begins a piece behind what is there.
func (g *guest) begin(kind uint8) {
	g.close()
	g.mu.out.begin(kind)
}

func (g *guest) flush() {
	g.close()
	if g.mu.left {
		g.discard()
		return
	}
	g.mu.out.send(g.in.st)
}

// discard drops what was not sent.
func (g *guest) discard() {
	g.close()
	n := 0
	for i := range g.mu.pieces {
		if p := &g.mu.pieces[i]; p.kind == typeDeliver {
			n += p.end - p.start + len(p.body)
		}
	}
	g.mu.out.reset()
	g.in.flow.sent.Add(-int64(n))
}

// say sends a frame that is about a consumer.
func (g *guest) say(kind uint8, c ofConsumer) {
	g.begin(kind)
	g.mu.buf = appendOfConsumer(g.mu.buf, c)
	g.mu.out.end(nil)
}

// --- requests ---

// reply answers a request; it is called in the turn. head is the payload, body
// follows it.
func (g *guest) reply(req uint64, err error, payload func(dst []byte) []byte, body []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.left {
		return
	}
	if codeOf(err) == codeOther {
		g.in.s.o.Logger.Warn("a request of another node failed", "node", g.in.inc.Node, "group", uint64(g.target), "err", err)
	}
	g.begin(typeReply)
	g.mu.buf = appendReply(g.mu.buf, &reply{target: g.target, req: req, code: codeOf(err)})
	if err == nil && payload != nil {
		g.mu.buf = payload(g.mu.buf)
	} else {
		body = nil
	}
	g.mu.out.end(body)
	g.flush()
}

// count answers with a number.
func (g *guest) count(req uint64) func(uint64, error) {
	return func(n uint64, err error) {
		g.reply(req, err, func(dst []byte) []byte { return binary.AppendUvarint(dst, n) }, nil)
	}
}

func (g *guest) counts(req uint64) func(shard.Counts, error) {
	return func(c shard.Counts, err error) {
		g.reply(req, err, func(dst []byte) []byte { return appendCounts(dst, &c) }, nil)
	}
}

func (g *guest) done(req uint64) func(error) {
	return func(err error) { g.reply(req, err, nil, nil) }
}

func (g *guest) ask(b []byte) error {
	a, err := parseAsk(b)
	if err != nil {
		return err
	}
	h := g.host
	switch a.op {
	case opGet:
		h.GetFor(a.queue, queue.SessionID{Incarnation: g.in.inc, Number: a.arg}, func(r shard.GetResult, err error) {
			g.reply(a.req, err, func(dst []byte) []byte { return appendGot(binary.AppendUvarint(dst, h.Revision()), &r) }, r.Blob)
		})
	case opPurge:
		h.Purge(a.queue, g.count(a.req))
	case opCounts:
		h.Counts(a.queue, g.counts(a.req))
	case opRenew:
		h.Renew(a.queue, g.counts(a.req))
	case opClose:
		h.Close(a.queue, shard.Conditions{IfEmpty: a.arg&closeIfEmpty != 0, IfUnused: a.arg&closeIfUnused != 0}, g.count(a.req))
	case opReopen:
		h.Reopen(a.queue, g.done(a.req))
	}
	return nil
}

// --- settles and batches ---

func (g *guest) settle(b []byte) error {
	var s settles // its slice is the host's
	if err := parseSettleFrame(b, &s); err != nil {
		return err
	}
	if len(s.ss) > 0 {
		g.host.Settle(s.ss, nil)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.settled = s.upTo
	switch {
	case s.flush:
		g.mu.Unlock()
		g.askSettled()
		g.mu.Lock()
	case !g.mu.asked && !g.mu.left:
		g.mu.asked = true
		g.mu.timer = g.in.s.o.Clock.AfterFunc(settleEvery, g.askSettled)
	}
	return nil
}

// askSettled asks when the settles given so far are committed. If that can not
// be learnt the client settles again, with the next leader.
func (g *guest) askSettled() {
	g.mu.Lock()
	g.mu.asked = false
	upTo, left := g.mu.settled, g.mu.left
	g.mu.Unlock()
	if left {
		return
	}
	g.host.Settle(nil, func(err error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if err != nil || g.mu.left {
			return
		}
		g.begin(typeSettled)
		g.mu.buf = appendNumbered(g.mu.buf, numbered{g.target, upTo})
		g.mu.out.end(nil)
		g.flush()
	})
}

// answer adds what became of a batch; it is called in the turn. It returns true
// if the guest is to be listed for Wake.
func (g *guest) answer(a *shard.Answer) (list bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.left {
		return false
	}
	if !g.mu.answers {
		g.begin(typeAnswer)
		g.mu.buf = appendTarget(g.mu.buf, g.target)
		g.mu.answers = true
	}
	g.mu.buf = appendAnswer(g.mu.buf, &answer{a.Number, uint8(a.What), a.Refused})
	list = !g.mu.listed
	g.mu.listed = true
	return list
}

// Wake sends what waits.
func (g *guest) Wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.listed = false
	g.flush()
}
