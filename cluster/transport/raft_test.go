package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/internal/clock"
)

func TestRaftMessagesArrive(t *testing.T) {
	a, b := pair(t)
	a.up(ClassRaft)
	big := bytes.Repeat([]byte("x"), 1<<20)
	sent := appendMessage(1, 2, 4, []byte("one"), big, nil)
	a.Send(2, one(5, sent))
	got := receive(t, b.raft)
	if got.from != 1 || got.group != 5 || !proto.Equal(got.m, filled(sent, 1, 2)) {
		t.Fatalf("%d %d %v", got.from, got.group, got.m.GetIndex())
	}
	a.Beat(2, []byte("alive"))
	if beat := receive(t, b.beats); beat != "alive" {
		t.Fatal(beat)
	}
	b.up(ClassRaft)
	b.Send(1, one(6, message(raftpb.MsgAppResp, 2, 1)))
	if got := receive(t, a.raft); got.from != 2 || got.group != 6 {
		t.Fatal(got)
	}
}

// What a node says in another's name, or to nobody it knows, is not sent.
func TestRaftSpeaksForItselfOnly(t *testing.T) {
	a, b := pair(t)
	a.up(ClassRaft)
	a.Send(99, one(1, message(raftpb.MsgHeartbeat, 1, 99)))
	a.Send(2, []raftgroup.Message{
		{Group: 1, Raft: message(raftpb.MsgHeartbeat, 3, 2)},
		{Group: 2, Raft: message(raftpb.MsgHeartbeat, 1, 3)},
		{Group: 3, Raft: message(raftpb.MsgProp, 1, 2)},
		{Group: 4, Raft: message(raftpb.MsgHeartbeat, 1, 2)},
	})
	if got := receive(t, b.raft); got.group != 4 {
		t.Fatalf("group %d came", got.group)
	}
}

// gated is a connection whose writes wait.
type gated struct {
	net.Conn
	gate *gate
}

type gate struct {
	mu   sync.Mutex
	shut chan struct{}
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.shut)
	g.shut = nil
}

func (g *gate) pass() {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut != nil {
		<-shut
	}
}

func (g gated) Write(p []byte) (int, error) {
	g.gate.pass()
	return g.Conn.Write(p)
}

func dialThrough(g *gate) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		return gated{c, g}, nil
	}
}

// While the socket takes nothing, appends pile up; then the beat is first, the
// vote second, and the appends keep their order.
func TestHeartbeatsDoNotQueueBehindBodies(t *testing.T) {
	founder := testTrust(t, testCluster)
	g := &gate{}
	oa := options(t, founder)
	oa.Dial = dialThrough(g)
	order := make(chan string, 64)
	ob := options(t, member(t, founder, 2, birth))
	ob.Raft = func(_, group uint64, msgs []*raftpb.Message) {
		for _, m := range msgs {
			if m.GetType() == raftpb.MsgApp {
				order <- "append " + string(rune('0'+group))
			} else {
				order <- "vote"
			}
		}
	}
	a, b := start(t, oa), start(t, ob)
	mesh(a, b)
	a.up(ClassRaft)
	g.close()
	body := bytes.Repeat([]byte("x"), chunkBytes)
	a.Send(2, one(0, appendMessage(1, 2, 1, body))) // held in the socket's buffer, or before it
	eventually(t, func() bool { return a.Transport.peer(2).lane(laneBulky) == 0 })
	for i := range 5 {
		a.Send(2, one(uint64(i+1), appendMessage(1, 2, 1, body)))
	}
	a.Send(2, one(9, message(raftpb.MsgVote, 1, 2)))
	a.Beat(2, []byte("b"))
	g.open()
	receive(t, b.beats)
	want := []string{"append 0", "vote", "append 1", "append 2", "append 3", "append 4", "append 5"}
	for _, w := range want {
		if got := receive(t, order); got != w {
			t.Fatalf("%s came before %s", got, w)
		}
	}
}

// lane returns how many bytes wait in a lane.
func (p *peer) lane(l int) int {
	p.raft.mu.Lock()
	defer p.raft.mu.Unlock()
	return p.raft.mu.lanes[l].bytes
}

func TestRaftQueueIsBounded(t *testing.T) {
	founder := testTrust(t, testCluster)
	g := &gate{}
	oa := options(t, founder)
	oa.Dial, oa.RaftQueueBytes = dialThrough(g), 1<<20
	a, b := start(t, oa), start(t, options(t, member(t, founder, 2, birth)))
	mesh(a, b)
	a.up(ClassRaft)
	g.close()
	body := bytes.Repeat([]byte("x"), 100<<10)
	for i := range 100 {
		a.Send(2, one(uint64(i), appendMessage(1, 2, 1, body)))
		if n := a.Transport.peer(2).lane(laneBulky); n > 1<<20+1<<10 {
			t.Fatalf("%d bytes wait", n)
		}
	}
	g.open()
	for receive(t, a.unreach) != 2 { // so that Raft sends again what was dropped
	}
	n := 1
	for receive(t, b.raft); n < 100; n++ {
		select {
		case <-b.raft:
			continue
		default:
		}
		break
	}
	if n == 100 {
		t.Fatal("nothing was dropped")
	}
}

// refuser counts dials and, when told to, refuses or times out.
type refuser struct {
	mode  atomic.Int32 // 0: dial, 1: refuse, 2: unreachable
	dials atomic.Int32
	mu    sync.Mutex
	conns []net.Conn
	addrs map[string]bool
}

func (r *refuser) dial(ctx context.Context, addr string) (net.Conn, error) {
	r.dials.Add(1)
	r.mu.Lock()
	if r.addrs == nil {
		r.addrs = map[string]bool{}
	}
	r.addrs[addr] = true
	r.mu.Unlock()
	switch r.mode.Load() {
	case 1:
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	case 2:
		return nil, &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err == nil {
		r.mu.Lock()
		r.conns = append(r.conns, c)
		r.mu.Unlock()
	}
	return c, err
}

// A process that is gone: what stood is closed, and its address refuses.
func TestLostIsProvedOnce(t *testing.T) {
	a, b := pair(t)
	a.up(ClassRaft)
	a.up(ClassData)
	b.stop()
	if id := receive(t, a.lost); id != 2 {
		t.Fatal(id)
	}
	receive(t, a.unreach)
	a.linkErr(func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) })
	// It comes back, and goes once more.
	l, err := net.Listen("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	again := startOn(t, b.opts, l)
	again.SetPeers([]Peer{a.peer()})
	a.up(ClassRaft)
	a.up(ClassData)
	if len(a.lost) != 0 {
		t.Fatal("lost twice")
	}
	again.stop()
	if id := receive(t, a.lost); id != 2 {
		t.Fatal(id)
	}
}

func TestWhatProvesNothing(t *testing.T) {
	for _, c := range []struct {
		name    string
		mode    int32 // what the redial gets
		noProof bool
		breakBy func(a, b *node, r *refuser)
		redials func(error) bool
	}{
		{"the address does not answer", 2, false, func(_, b *node, _ *refuser) { b.stop() }, is(syscall.EHOSTUNREACH)},
		{"behind NAT", 1, true, func(_, b *node, _ *refuser) { b.stop() }, is(syscall.ECONNREFUSED)},
		{"it is connected with this node", 1, false, func(_, b *node, _ *refuser) { b.drop() }, is(syscall.ECONNREFUSED)},
		{"this side closed it", 1, false, func(_, _ *node, r *refuser) { r.drop() }, is(syscall.ECONNREFUSED)},
		{"it is said to be elsewhere", 1, false, func(a, b *node, _ *refuser) {
			a.SetPeers([]Peer{{ID: 2, Addr: "127.0.0.1:1"}})
			b.stop()
		}, is(syscall.ECONNREFUSED)},
	} {
		t.Run(c.name, func(t *testing.T) {
			founder := testTrust(t, testCluster)
			r := &refuser{}
			oa := options(t, founder)
			oa.Dial, oa.NoProof = r.dial, c.noProof
			a, b := start(t, oa), start(t, options(t, member(t, founder, 2, birth)))
			mesh(a, b)
			a.up(ClassRaft)
			a.up(ClassData)
			r.mode.Store(c.mode)
			c.breakBy(a, b, r)
			a.linkErr(c.redials)
			n := r.dials.Load()
			eventually(t, func() bool { return r.dials.Load() > n+3 })
			if len(a.lost) != 0 {
				t.Fatal("taken for proof")
			}
		})
	}
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

// drop closes the connections that the node accepted from its one peer, raft
// and data, as a reset would.
func (n *node) drop() {
	n.t.Helper()
	eventually(n.t, func() bool {
		n.Transport.mu.Lock()
		defer n.Transport.mu.Unlock()
		if len(n.Transport.mu.accepted) < 2 {
			return false // welcome, and not yet entered
		}
		for c := range n.Transport.mu.accepted {
			c.fail(io.EOF)
		}
		return true
	})
}

// drop makes this node close the connections that it dialled.
func (r *refuser) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
}

// A node whose address refuses is gone when the last connection with it has ended,
// whoever dialled that.
func TestLastConnectionIsTheProof(t *testing.T) {
	founder := testTrust(t, testCluster)
	r := &refuser{}
	oa := options(t, founder)
	oa.Dial = r.dial
	clock := oa.Clock
	a, b := start(t, oa), start(t, options(t, member(t, founder, 2, birth)))
	mesh(a, b)
	a.up(ClassRaft)
	a.up(ClassData)
	b.up(ClassRaft)
	r.mode.Store(1)
	before := clock.Mono()
	b.drop()
	a.linkErr(is(syscall.ECONNREFUSED))
	after := clock.Mono()
	b.stop()
	if id := receive(t, a.lost); id != 2 {
		t.Fatal(id)
	}
	if broke := time.Duration(a.broke.Load()); broke < before || broke > after {
		t.Fatalf("it broke between %v and %v, not at %v", before, after, broke)
	}
}

// A node that never stood is not lost, it was never there.
func TestNeverConnectedIsNotLost(t *testing.T) {
	founder := testTrust(t, testCluster)
	r := &refuser{}
	r.mode.Store(1)
	oa := options(t, founder)
	oa.Dial = r.dial
	a := start(t, oa)
	a.SetPeers([]Peer{{ID: 2, Addr: "127.0.0.1:1"}})
	eventually(t, func() bool { return r.dials.Load() > 5 })
	if len(a.lost) != 0 {
		t.Fatal("lost")
	}
}

func TestPeersChange(t *testing.T) {
	a, b := pair(t)
	a.up(ClassRaft)
	b.up(ClassRaft)
	// Taken out: both directions close, and what is sent goes nowhere.
	a.SetPeers(nil)
	b.linkErr(reason(RefusedUnknown))
	if len(a.Links()) != 0 || len(a.Peers()) != 0 {
		t.Fatal(a.Links())
	}
	// Named with an address at which nobody is, and then with the right one.
	a.SetPeers([]Peer{{ID: 2, Name: "b", Addr: "127.0.0.1:1"}})
	a.linkErr(is(syscall.ECONNREFUSED))
	a.SetPeers([]Peer{b.peer()})
	a.up(ClassRaft)
	b.up(ClassRaft)
	a.Send(2, one(1, message(raftpb.MsgHeartbeat, 1, 2)))
	receive(t, b.raft)
}

// A peer that has no address yet is waited for: its own connection works.
func TestPeerWithoutAddress(t *testing.T) {
	founder := testTrust(t, testCluster)
	r := &refuser{}
	oa := options(t, founder)
	oa.Dial = r.dial
	a, b := start(t, oa), start(t, options(t, member(t, founder, 2, birth)))
	a.SetPeers([]Peer{{ID: 2}})
	b.SetPeers([]Peer{a.peer()})
	b.up(ClassRaft)
	b.Send(1, one(1, message(raftpb.MsgHeartbeat, 2, 1)))
	receive(t, a.raft)
	if r.dials.Load() != 0 {
		t.Fatal("dialled nowhere")
	}
}

// A peer that stops moving without closing anything is given up. (That one with
// nothing to say is not, a standing clock shows: sim_test.go.)
func TestSilence(t *testing.T) {
	founder := testTrust(t, testCluster)
	g, manual := &gate{}, clock.NewManual(birth)
	oa, ob := options(t, founder), options(t, member(t, founder, 2, birth))
	oa.Clock, ob.Clock, oa.Dial = manual, manual, dialThrough(g)
	a, b := start(t, oa), start(t, ob)
	mesh(a, b)
	a.up(ClassRaft)
	a.up(ClassData)
	b.up(ClassRaft)
	g.close()
	defer g.open()
	var begun time.Duration
	eventually(t, func() bool {
		manual.Advance(100 * time.Millisecond)
		b.Transport.mu.Lock()
		defer b.Transport.mu.Unlock()
		if begun == 0 {
			begun = manual.Mono()
		}
		return len(b.Transport.mu.accepted) == 0
	})
	if d := manual.Mono() - begun; d < ob.Idle/2 {
		t.Fatalf("given up after %v", d)
	}
}

// Heartbeats wait for those of other groups: the writer is woken once for all, by
// whoever calls soon, or after a moment.
func TestHeartbeatsLeaveTogether(t *testing.T) {
	c := clock.NewManual(birth)
	o := newOutbox(new(chunkPool))
	later := func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.later(c)
	}
	woken := func() bool {
		select {
		case <-o.wake:
			return true
		default:
			return false
		}
	}
	later()
	later()
	if woken() {
		t.Error("a heartbeat does not wait")
	}
	if o.soon(); !woken() {
		t.Error("they do not leave when somebody says so")
	}
	c.Advance(time.Second)
	if o.soon(); woken() {
		t.Error("the writer is woken for nothing")
	}
	later()
	if c.Advance(lingerFor); !woken() {
		t.Error("they do not leave by themselves")
	}
	read := message(raftpb.MsgHeartbeat, 1, 2)
	read.Context = []byte("read")
	if lingers(read) || lingers(message(raftpb.MsgAppResp, 1, 2)) || !lingers(message(raftpb.MsgHeartbeat, 1, 2)) {
		t.Error("what somebody waits for lingers")
	}
}
