package transport

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/cluster/raftgroup"
)

// maxBeats bounds the bytes of beats that wait.
const maxBeats = 64 << 10

// A peer is another node and the connections kept to it.
type peer struct {
	t      *Transport
	id     uint64
	ctx    func() context.Context // ends when the peer is no longer one
	cancel context.CancelFunc

	raft    *outbox          // lives across connections
	down    atomic.Bool      // the last dial of the raft class failed: messages are dropped
	dropped atomic.Bool      // some were, and Unreachable was not told yet
	nudges  [3]chan struct{} // by class; cuts a pause between dials short
	lives   [3]chan struct{} // the same, for a pause behind what the peer closed

	mu struct {
		sync.Mutex
		Peer
		incarnation uint64 // the highest seen
		process     uint64 // whose that is
		told        bool   // Lost was called since a connection stood
		up          [3]bool
		errs        [3]error
		accepted    [3]*conn // the one in use; by class
		bulks       int
	}
}

func (t *Transport) newPeer(info Peer) *peer {
	ctx, cancel := context.WithCancel(t.life())
	p := &peer{t: t, id: info.ID, ctx: func() context.Context { return ctx }, cancel: cancel, raft: newOutbox(&t.chunks)}
	for i := range p.nudges {
		p.nudges[i], p.lives[i] = make(chan struct{}, 1), make(chan struct{}, 1)
	}
	p.mu.Peer = info
	return p
}

func (p *peer) info() Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.Peer
}

func (p *peer) addr() string { return p.info().Addr }

// rename takes what SetPeers says anew.
func (p *peer) rename(info Peer) {
	p.mu.Lock()
	moved := p.mu.Addr != info.Addr
	p.mu.Peer = info
	p.mu.Unlock()
	if moved {
		p.nudge()
	}
}

// nudge lets the links dial at once: there is reason to believe it works now.
func (p *peer) nudge() { signal(p.nudges[:]) }

// signal leaves a token in each channel that has none.
func signal(cs []chan struct{}) {
	for _, c := range cs {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// seen notes the incarnation of a hello. It returns the highest one seen, and
// false if the hello is of an older process. A process may have said its hello
// with an older number than one that came sooner: it has many lives, and one hello
// overtakes another.
func (p *peer) seen(h hello) (newest uint64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case h.incarnation == 0: // it has none yet
	case h.incarnation >= p.mu.incarnation:
		p.mu.incarnation, p.mu.process = h.incarnation, h.process
	case h.process != p.mu.process:
		return p.mu.incarnation, false
	}
	return p.mu.incarnation, true
}

func (p *peer) links(out []Link, data bool) []Link {
	p.mu.Lock()
	defer p.mu.Unlock()
	out = append(out, Link{
		Peer: p.mu.Peer, Class: ClassRaft, Up: p.mu.up[ClassRaft], Err: p.mu.errs[ClassRaft], Queued: int(p.raft.queued.Load()),
	})
	if data {
		out = append(out, Link{Peer: p.mu.Peer, Class: ClassData, Up: p.mu.up[ClassData], Err: p.mu.errs[ClassData]})
	}
	return out
}

// sendRaft queues messages, each in its lane, as far as there is room.
func (p *peer) sendRaft(from uint64, msgs []raftgroup.Message) {
	if p.down.Load() {
		return
	}
	o := p.raft
	haste := false
	o.mu.Lock()
	for i := range msgs {
		m := msgs[i].Raft
		if m.GetFrom() != from || m.GetTo() != p.id || !betweenNodes(m.GetType()) {
			continue
		}
		l := laneBulky
		if isUrgent(m.GetType()) {
			l = laneUrgent
		}
		size := raftSize(m)
		if waits := o.mu.lanes[l].bytes; size > maxFrame-frameHead-maxHead || waits > 0 && waits+size > p.t.opts.RaftQueueBytes {
			p.dropped.Store(true)
			continue
		}
		o.count(l, putRaft(o.last(l), msgs[i].Group, m))
		haste = haste || !lingers(m)
	}
	if !haste {
		o.later(p.t.opts.Clock)
	}
	o.mu.Unlock()
	if haste {
		o.signal()
	}
}

// raftSize is about how much a message takes.
func raftSize(m *raftpb.Message) int {
	n := 64 + len(m.Context)
	for _, e := range m.Entries {
		n += 16 + len(e.Data)
	}
	return n
}

func (p *peer) sendBeat(b []byte) {
	if p.down.Load() {
		return
	}
	o := p.raft
	o.mu.Lock()
	if o.mu.lanes[laneBeat].bytes+len(b) <= maxBeats {
		c := o.last(laneBeat)
		at, refs := c.begin(typeBeat), len(c.refs)
		c.text = append(c.text, b...)
		o.count(laneBeat, c.end(at, refs))
	}
	o.mu.Unlock()
	o.signal()
}

func (p *peer) keepRaft() { p.keep(ClassRaft, p.useRaft) }
func (p *peer) keepData() { p.keep(ClassData, p.useData) }

// keep dials, uses the connection until it ends, and dials again, until the
// peer is no longer one.
func (p *peer) keep(class Class, use func(*conn) error) {
	ctx, clock := p.ctx(), p.t.opts.Clock
	var broken broken
	pause := backoffMin
	for ctx.Err() == nil {
		addr := p.addr()
		if addr == "" {
			p.await(ctx, class)
			continue
		}
		c, err := p.t.dial(ctx, p, addr, class)
		if err != nil {
			p.failed(class, err, broken.at(addr))
			p.t.sleep(ctx, p.t.jitter(pause), p.nudges[class])
			pause = min(2*pause, backoffMax)
			continue
		}
		p.stands(class)
		since := clock.Mono()
		stop := context.AfterFunc(ctx, func() { c.fail(ErrClosed) })
		err = use(c)
		stop()
		broken = breakOf(addr, err, clock.Mono())
		p.broke(class, err)
		if clock.Mono()-since >= backoffMax {
			pause = backoffMin // and the next dial is now: does its address still answer?
			continue
		}
		// Who closed it is starting, perhaps, and so may this node be: that the other
		// dials as well is no reason to dial sooner, or two would without end.
		lives := p.t.sleep(ctx, p.t.jitter(pause), p.lives[class])
		if pause = min(2*pause, backoffMax); lives {
			pause = backoffMin
		}
	}
}

func (p *peer) await(ctx context.Context, class Class) {
	select {
	case <-p.nudges[class]:
	case <-ctx.Done():
	}
}

func (p *peer) stands(class Class) {
	p.mu.Lock()
	p.mu.up[class], p.mu.errs[class], p.mu.told = true, nil, false
	name := p.mu.Name
	p.mu.Unlock()
	if class == ClassRaft {
		p.down.Store(false)
	}
	p.t.log.Debug("connected to a node", "to", name, "class", class.String())
}

// broke notes the end of a connection that stood. What was on its way is lost.
func (p *peer) broke(class Class, err error) {
	p.mu.Lock()
	p.mu.up[class], p.mu.errs[class] = false, err
	name := p.mu.Name
	p.mu.Unlock()
	if p.ctx().Err() != nil {
		return
	}
	p.t.log.Info("a connection to a node ended", "to", name, "class", class.String(), "err", err)
	if class == ClassRaft {
		p.t.opts.Unreachable(p.id)
	}
}

// failed notes a dial that failed. A refusal by the address of a connection
// that the other side broke is proof that its process is gone, unless another
// connection with it stands: those end with a process, all of them.
func (p *peer) failed(class Class, err error, broken *broken) {
	if p.ctx().Err() != nil {
		return
	}
	p.mu.Lock()
	news := p.mu.errs[class] == nil || p.mu.errs[class].Error() != err.Error()
	p.mu.errs[class] = err
	lost := broken != nil && errors.Is(err, syscall.ECONNREFUSED) && !p.mu.told && !p.stillConnected() && !p.t.opts.NoProof
	p.mu.told = p.mu.told || lost
	name := p.mu.Name
	p.mu.Unlock()
	if class == ClassRaft {
		p.down.Store(true)
		p.raft.drop()
	}
	if lost {
		p.t.log.Info("a node's process is gone", "to", name)
		p.t.opts.Lost(p.id, broken.when)
	}
	if news {
		p.t.complain(name, class, err)
	}
	if class == ClassRaft {
		p.t.opts.Unreachable(p.id)
	}
}

// complain tells of a failed dial: loudly if the other side refused, for that
// does not mend itself.
func (t *Transport) complain(name string, class Class, err error) {
	var refused *Refusal
	switch {
	case class != ClassRaft: // the raft class tells for all
	case errors.As(err, &refused) && refused.Reason != RefusedUnknown, errors.Is(err, ErrNotTrusted):
		t.log.Warn("a node does not connect with another", "to", name, "class", class.String(), "err", err)
	default:
		t.log.Debug("a node cannot be reached", "to", name, "class", class.String(), "err", err)
	}
}

// useRaft writes what is queued; the other side only says that it is there.
func (p *peer) useRaft(c *conn) error {
	ended := make(chan error, 1)
	go func() {
		err := c.readPings()
		c.fail(err)
		ended <- err
	}()
	err := c.pump(p.raft, p.t.opts.Idle/5, p.tellDropped)
	c.fail(err)
	return c.err(<-ended)
}

// tellDropped says that messages were dropped since the last time.
func (p *peer) tellDropped() {
	if p.dropped.Swap(false) {
		p.t.opts.Unreachable(p.id)
	}
}

func (c *conn) readPings() error {
	r := newFrameReader(c, maxHandshake)
	var fs []Frame
	for {
		var err error
		if fs, err = r.read(fs[:0]); err != nil {
			return err
		}
		for _, f := range fs {
			if f.Type != typePing {
				return fmt.Errorf("%w: type %d to the sending side", errFrame, f.Type)
			}
		}
	}
}

func (p *peer) useData(c *conn) error {
	return p.t.runStream(&Stream{peer: p.id, dialled: true, limit: p.t.opts.DataQueueBytes, c: c, out: newOutbox(&p.t.chunks)})
}

// runStream feeds a stream's handler and its socket until it ends.
func (t *Transport) runStream(s *Stream) error {
	h := t.opts.Data
	ended := make(chan error, 1)
	go func() {
		h.Opened(s)
		err := s.read(h)
		s.out.close()
		s.c.fail(err)
		err = s.c.err(err)
		h.Closed(s, err)
		ended <- err
	}()
	err := s.c.pump(s.out, t.opts.Idle/5, nil)
	s.out.close()
	s.c.fail(err)
	return <-ended
}

// isReset reports an error that only the other side's machine gives.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// A limiter lets through one line of a kind a second.
type limiter struct {
	clock interface{ Mono() time.Duration }
	mu    struct {
		sync.Mutex
		next       time.Duration
		suppressed int
	}
}

// allow reports whether the line may be written, and how many were not.
func (l *limiter) allow() (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Mono()
	if now < l.mu.next {
		l.mu.suppressed++
		return 0, false
	}
	suppressed, l.mu.suppressed = l.mu.suppressed, 0
	l.mu.next = now + time.Second
	return suppressed, true
}
