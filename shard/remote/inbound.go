package remote

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/core/queue"
)

// An inbound is a stream that another node opened. What it brings is done in
// order by one goroutine at a time: the stream's reader, unless somebody else
// is at it because frames had to wait for this node's View.
type inbound struct {
	s     *Server
	st    Stream
	token commitlog.Token
	// need is the revision of the View that waits, 0: nothing does.
	need  atomic.Uint64
	ended atomic.Bool // all that its node has here is detached
	flow  flow

	mu struct {
		sync.Mutex
		in     []Frame
		bytes  int
		closed bool
		next   *inbound // the node's next stream, which waits for the end of this
	}

	// Owned by whoever runs.

	inc     queue.Incarnation // zero before the hello; then read by others too
	before  *inbound          // the node's stream before this
	frames  []Frame           // taken from in; those before at are done
	at      int
	guests  map[Target]*guest
	last    *guest
	scratch attach
}

// take queues frames and does them, unless somebody is at it.
func (in *inbound) take(fs []Frame) {
	in.mu.Lock()
	n := 0
	for i := range fs {
		switch f := &fs[i]; f.Type {
		case typePropose, typePost: // these wait for no View: it may come of them
		default:
			in.mu.in = append(in.mu.in, *f)
			n += len(f.Body)
		}
	}
	in.mu.bytes += n
	over := in.mu.bytes > mostBacklog
	in.mu.Unlock()
	if over {
		in.st.Close(ErrBacklog)
		return
	}
	in.aside(fs)
	in.run()
}

// aside hands over what is not for a shard.
func (in *inbound) aside(fs []Frame) {
	for i := range fs {
		f := &fs[i]
		to := in.s.o.Propose
		if f.Type == typePost {
			to = in.s.o.Post
		} else if f.Type != typePropose {
			continue
		}
		if to != nil {
			to(in.st.Peer(), f.Body)
		}
	}
}

// finish ends the stream: what its node has here is detached. next waits for it.
func (in *inbound) finish(next *inbound) {
	in.mu.Lock()
	in.mu.closed = true
	if next != nil {
		in.mu.next = next
	}
	in.mu.Unlock()
	in.run()
}

// run does what there is to do, unless somebody is at it: then he will.
func (in *inbound) run() {
	if !in.token.Take() {
		return
	}
	for {
		in.turn()
		if !in.token.Release() {
			return
		}
	}
}

func (in *inbound) turn() {
	in.mu.Lock()
	closed, next := in.mu.closed, in.mu.next
	in.mu.Unlock()
	if closed {
		in.end(next)
		return
	}
	if in.before != nil {
		if !in.before.ended.Load() {
			return // its end runs this again
		}
		in.before = nil
	}
	for in.more() && in.ready() {
		f := &in.frames[in.at]
		in.at++
		if err := in.frame(f); err != nil {
			in.st.Close(err)
			in.mu.Lock()
			in.mu.closed = true
			in.mu.Unlock()
			in.end(nil)
			return
		}
		*f = Frame{}
		if in.before != nil && !in.before.ended.Load() {
			return
		}
	}
}

// more reports whether there is a frame to be done.
func (in *inbound) more() bool {
	if in.at < len(in.frames) {
		return true
	}
	in.mu.Lock()
	in.frames, in.mu.in = in.mu.in, in.frames[:0]
	in.mu.bytes = 0
	in.mu.Unlock()
	in.at = 0
	return len(in.frames) > 0
}

// ready reports whether this node's View is where that of the client was.
func (in *inbound) ready() bool {
	need := in.need.Load()
	if need == 0 {
		return true
	}
	if in.s.o.View() < need {
		return false // Viewed looks at need after the View moved
	}
	in.need.Store(0)
	return true
}

// end detaches what the node has here.
func (in *inbound) end(next *inbound) {
	if !in.ended.Load() {
		for _, t := range slices.Sorted(maps.Keys(in.guests)) {
			g := in.guests[t]
			g.leave()
			g.host.Detach(in.inc)
		}
		in.s.leave(in)
		in.guests, in.frames, in.last, in.at = nil, nil, nil, 0
		in.ended.Store(true)
	}
	if next != nil {
		next.run()
	}
}

// frame does one frame. An error closes the stream.
func (in *inbound) frame(f *Frame) error {
	if in.inc == (queue.Incarnation{}) {
		return in.hello(f)
	}
	b := f.Body
	switch f.Type {
	case typeRevision:
		return in.revision(b)
	case typeRead:
		n, err := parseNumber(b, "read")
		if err == nil {
			in.flow.free(int64(min(n, uint64(max(in.flow.sent.Load(), 0)))), in.s.o.Window)
		}
		return err
	case typeAttach:
		return in.attach(b)
	}
	r := reader{b: b}
	t := r.target()
	if r.bad {
		return malformed("target")
	}
	g := in.guest(t)
	if g == nil {
		return nil
	}
	switch f.Type {
	case typeBatch:
		g.host.Offer(r.b)
		return nil
	case typeSettle:
		return g.settle(b)
	case typeConsume:
		return g.consume(b)
	case typeCancel:
		return g.cancel(b)
	case typeGrant:
		return g.grant(b)
	case typeStop:
		return g.stop(b)
	case typeAsk:
		return g.ask(b)
	case typeInspect:
		return g.inspect(b)
	case typeBrowse:
		return g.browse(b)
	}
	return fmt.Errorf("%w: type %d", ErrFrame, f.Type)
}

func (in *inbound) hello(f *Frame) error {
	if f.Type != typeHello {
		return fmt.Errorf("%w: type %d before a hello", ErrFrame, f.Type)
	}
	h, err := parseHello(f.Body)
	if err != nil {
		return err
	}
	if h.incarnation.Node != in.st.Peer() || h.incarnation.Number == 0 {
		return fmt.Errorf("%w: node %d says it is %+v", ErrFrame, in.st.Peer(), h.incarnation)
	}
	in.inc = h.incarnation
	if in.before, err = in.s.greet(in); err != nil {
		return err
	}
	if in.before != nil {
		in.before.st.Close(ErrReplaced)
		in.before.finish(in)
	}
	in.await(h.revision)
	return nil
}

func (in *inbound) revision(b []byte) error {
	rev, err := parseNumber(b, "revision")
	if err == nil {
		in.await(rev)
	}
	return err
}

// await has the frames that follow wait for a revision of the View.
func (in *inbound) await(rev uint64) {
	if in.s.o.View() < rev {
		in.need.Store(rev)
	}
}

// guest returns the guest for a target, nil if its frames are to be dropped:
// then the client was told so, and reports again to whoever leads.
func (in *inbound) guest(t Target) *guest {
	g := in.last
	if g == nil || g.target != t {
		if g = in.guests[t]; g == nil {
			return nil
		}
		in.last = g
	}
	if term, ok := g.host.Serving(); !ok || term != g.term {
		in.drop(g)
		in.refuse(t, g.term)
		return nil
	}
	return g
}

// refuse says that a target is not led here any more in a term.
func (in *inbound) refuse(t Target, term uint64) {
	in.st.Send(Frame{Type: typeNotLead, Head: appendLead(nil, lead{t, term})})
}

func (in *inbound) drop(g *guest) {
	g.leave()
	delete(in.guests, g.target)
	if in.last == g {
		in.last = nil
	}
}

// attach takes a chunk of a report.
func (in *inbound) attach(b []byte) error {
	a := &in.scratch
	if err := parseAttach(b, a); err != nil {
		return err
	}
	if a.first {
		if old := in.guests[a.target]; old != nil {
			in.drop(old)
		}
		host := in.s.o.Host(a.target)
		term, ok := uint64(0), false
		if host != nil {
			term, ok = host.Serving()
		}
		if !ok || term != a.term {
			in.refuse(a.target, a.term)
			return nil
		}
		g := newGuest(in, a.target, host, term)
		if in.guests == nil {
			in.guests = map[Target]*guest{}
		}
		in.guests[a.target] = g
		in.s.enter(g)
	}
	if g := in.guest(a.target); g != nil {
		g.attach(a)
	}
	return nil
}
