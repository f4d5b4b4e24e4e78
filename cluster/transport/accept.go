package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
)

// begin gives a connection a goroutine, and makes room for it among those whose
// other side is not known.
func (t *Transport) begin(nc net.Conn) {
	c := t.accept(nc)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		nc.Close()
		return
	}
	if len(t.mu.unknown) >= maxHalfOpen {
		i := crowd(t.mu.unknown)
		t.mu.unknown[i].fail(errBudget)
		t.mu.unknown = slices.Delete(t.mu.unknown, i, i+1)
	}
	t.mu.unknown = append(t.mu.unknown, c.sock)
	t.wg.Go(func() { t.serve(c) })
}

// crowd returns the oldest connection of the address that has the most: a node
// has few, and needs milliseconds to say who it is.
func crowd(all []*socket) (oldest int) {
	counts := make(map[string]int)
	for _, s := range all {
		counts[hostOf(s.RemoteAddr())]++
	}
	most := 0
	for i, s := range all {
		if n := counts[hostOf(s.RemoteAddr())]; n > most {
			most, oldest = n, i
		}
	}
	return oldest
}

// known takes a connection out of those whose other side is not known.
func (t *Transport) known(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.mu.unknown, c.sock); i >= 0 {
		t.mu.unknown = slices.Delete(t.mu.unknown, i, i+1)
	}
}

// serve finds out who is there, and why.
func (t *Transport) serve(c *conn) {
	expiry := c.sock.expire(handshakeTime)
	defer expiry.Stop()
	defer c.fail(errEnded)
	defer t.known(c)
	err := c.HandshakeContext(t.life())
	if err != nil {
		t.rejected(c, fmt.Errorf("tls: %w", err))
		var garbage tls.RecordHeaderError
		if !errors.As(err, &garbage) {
			c.linger()
		}
		return
	}
	if c.ConnectionState().NegotiatedProtocol == alpnJoin {
		t.admit(c, expiry)
		return
	}
	p, class, err := t.meet(c)
	if err != nil {
		t.rejected(c, err)
		c.reject(err)
		return
	}
	if !t.enter(c, p, class) {
		return
	}
	defer t.leave(c, p, class)
	expiry.Stop()
	c.sock.stand(t.opts.Idle, t.opts.Stall)
	t.run(c, p, class)
}

// meet reads a hello and answers it.
func (t *Transport) meet(c *conn) (*peer, Class, error) {
	cs := c.ConnectionState()
	proved, err := t.opts.Trust.identify(&cs, t.opts.Clock.Now())
	if err != nil {
		return nil, 0, err
	}
	b, err := readOne(c, typeHello, maxHandshake)
	if err != nil {
		return nil, 0, fmt.Errorf("wait for a hello: %w", err)
	}
	h, err := parseHello(b)
	if err != nil {
		return nil, 0, err
	}
	p, err := t.judge(h, proved)
	if err != nil {
		return nil, 0, err
	}
	if !t.takes(h.class) {
		return nil, 0, refuse(RefusedClass, "this node takes no %s connection", h.class)
	}
	if h.class == ClassBulk && !p.enterBulk() {
		return nil, 0, refuse(RefusedBusy, "%d transfers at once are enough", maxBulk)
	}
	if err := writeOne(c, typeWelcome, t.ownHello(h.class, h.from).marshal()); err != nil {
		if h.class == ClassBulk {
			p.leaveBulk()
		}
		return nil, 0, fmt.Errorf("say welcome: %w", err)
	}
	return p, h.class, nil
}

func (t *Transport) takes(c Class) bool {
	switch c {
	case ClassRaft, ClassTrust:
		return true
	case ClassData:
		return t.opts.Data != nil
	case ClassBulk:
		return t.opts.Bulk != nil
	}
	return false
}

// enter registers a connection of a peer. Of raft and data the newest counts:
// the peer has given up the one before. It returns false if the peer is none
// any more.
func (t *Transport) enter(c *conn, p *peer, class Class) bool {
	t.known(c)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed || t.peer(p.id) != p {
		if class == ClassBulk {
			p.leaveBulk()
		}
		return false
	}
	t.mu.accepted[c] = p
	if class == ClassRaft || class == ClassData {
		p.mu.Lock()
		old := p.mu.accepted[class]
		p.mu.accepted[class] = c
		p.mu.Unlock()
		if old != nil {
			old.fail(ErrClosed)
		}
		p.nudge()
	}
	return true
}

func (t *Transport) leave(c *conn, p *peer, class Class) {
	t.mu.Lock()
	delete(t.mu.accepted, c)
	t.mu.Unlock()
	switch class {
	case ClassRaft, ClassData:
		p.mu.Lock()
		if p.mu.accepted[class] == c {
			p.mu.accepted[class] = nil
		}
		last := !p.stillConnected()
		p.mu.Unlock()
		if last {
			p.nudge() // is its process gone?
		}
	case ClassBulk:
		p.leaveBulk()
	}
}

func (t *Transport) run(c *conn, p *peer, class Class) {
	var err error
	switch class {
	case ClassRaft:
		err = t.takeRaft(c, p)
	case ClassData:
		err = t.runStream(&Stream{peer: p.id, limit: t.opts.DataQueueBytes, c: c, out: newOutbox(&t.chunks)})
	case ClassBulk:
		err = t.takeBulk(c, p)
	case ClassTrust:
		err = t.takeTrust(c, p)
	}
	t.log.Debug("a node's connection ended", "from", p.info().Name, "class", class.String(), "err", err)
}

// takeRaft feeds what a peer sends to the groups, and says that it is there.
func (t *Transport) takeRaft(c *conn, p *peer) error {
	ended := make(chan struct{})
	silence := newOutbox(&t.chunks)
	go func() {
		defer close(ended)
		c.fail(c.pump(silence, t.opts.Idle/5, nil))
	}()
	err := t.readRaft(c, p)
	c.fail(err)
	<-ended
	return c.err(err)
}

func (t *Transport) readRaft(c *conn, p *peer) error {
	r := newFrameReader(c, maxFrame)
	b := raftBatch{to: t.opts.Raft, from: p.id}
	self := t.opts.Trust.Node()
	var fs []Frame
	for {
		var err error
		if fs, err = r.read(fs[:0]); err != nil {
			return err
		}
		lent := false
		for _, f := range fs {
			switch f.Type {
			case typeRaft:
				group, m, shares, err := getRaft(f.Body, p.id, self)
				if err != nil {
					return err
				}
				lent = lent || shares
				b.add(group, m)
			case typeBeat:
				t.opts.Beat(p.id, f.Body)
			case typePing:
			default:
				return fmt.Errorf("%w: type %d on a raft connection", errFrame, f.Type)
			}
		}
		b.flush()
		p.raft.soon() // what was answered meanwhile
		clear(fs)
		if lent {
			r.lend()
		}
	}
}

// raftBatch gathers messages of one group that came in a row.
type raftBatch struct {
	to    func(from, group uint64, msgs []*raftpb.Message)
	from  uint64
	group uint64
	msgs  []*raftpb.Message
}

func (b *raftBatch) add(group uint64, m *raftpb.Message) {
	if group != b.group {
		b.flush()
		b.group = group
	}
	b.msgs = append(b.msgs, m)
}

func (b *raftBatch) flush() {
	if len(b.msgs) == 0 {
		return
	}
	b.to(b.from, b.group, b.msgs)
	clear(b.msgs)
	b.msgs = b.msgs[:0]
}

// rejected tells of a connection that did not become one. Anybody can cause
// these, so they are few.
func (t *Transport) rejected(c *conn, err error) {
	if c.sock.cause.Load() != nil && errors.Is(c.err(nil), ErrClosed) {
		return
	}
	if n, ok := t.noise.allow(); ok {
		t.log.Warn("a connection between nodes was refused", "peer", c.RemoteAddr().String(), "err", c.err(err), "suppressed", n)
	}
}

// reject sends the reason, if there is one for the other side, and waits until
// it was read.
func (c *conn) reject(err error) {
	var r *Refusal
	if !errors.As(err, &r) {
		return
	}
	if writeOne(c, typeRefusal, r.marshal()) == nil {
		c.linger()
	}
}

// linger lets the other side read what it was told: closing at once could throw
// that away. The budget and the time of an unknown bound it.
func (c *conn) linger() {
	_ = c.CloseWrite()
	if half, ok := c.sock.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, c.sock)
}
