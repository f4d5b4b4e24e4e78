package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/goleak"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testCluster = 0xc1
	patience    = 20 * time.Second // how long a test waits for what must come
)

var birth = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// seeded is a reader that gives the same bytes each time.
func seeded(seed uint64) io.Reader {
	var s [32]byte
	binary.BigEndian.PutUint64(s[:], seed)
	return rand.NewChaCha8(s)
}

// testTrust is one cluster whose founder is node 1.
func testTrust(t testing.TB, cluster uint64) *Trust {
	t.Helper()
	trust, err := Found(Founder{Cluster: cluster, Node: 1, Now: birth, Rand: seeded(cluster)})
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// member makes the trust of another node of a founder's cluster.
func member(t testing.TB, founder *Trust, node uint64, now time.Time) *Trust {
	t.Helper()
	key, err := newKey(seeded(node))
	if err != nil {
		t.Fatal(err)
	}
	return memberWith(t, founder, node, now, identity{key: key})
}

func memberWith(t testing.TB, founder *Trust, node uint64, now time.Time, id identity) *Trust {
	t.Helper()
	cert, err := founder.Issue(node, publicOf(id.key), now, seeded(node))
	if err != nil {
		t.Fatal(err)
	}
	id.authority = founder.now.Load().authority
	trust, err := newTrust(id, cert)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// A node is a Transport that listens, and what its callbacks got.
type node struct {
	*Transport
	t    testing.TB
	id   uint64
	addr string
	l    net.Listener
	done chan struct{} // Serve returned

	raft    chan raftGot
	beats   chan string
	lost    chan uint64
	broke   atomic.Int64 // what Lost said last
	unreach chan uint64
	data    *recorder
}

type raftGot struct {
	from, group uint64
	m           *raftpb.Message
}

// options are what most nodes of these tests begin with.
func options(t testing.TB, trust *Trust) Options {
	t.Helper()
	return Options{
		Trust: trust, Rand: seeded(1000 + trust.Node()), Clock: birthClock(),
		Self: Self{Generation: func() uint64 { return 7 }},
	}
}

// birthClock is the machine's clock, moved to the time of the certificates.
func birthClock() clock.Clock { return shifted{clock.NewReal()} }

type shifted struct{ clock.Clock }

func (s shifted) Now() time.Time { return birth.Add(s.Mono()) }

// start runs a node on a port of its own.
func start(t testing.TB, o Options) *node {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, o, l)
}

func startOn(t testing.TB, o Options, l net.Listener) *node {
	t.Helper()
	n := &node{
		t: t, id: o.Trust.Node(), addr: l.Addr().String(), l: l, done: make(chan struct{}),
		raft: make(chan raftGot, 1<<16), beats: make(chan string, 1<<12),
		lost: make(chan uint64, 16), unreach: make(chan uint64, 1<<12), data: newRecorder(),
	}
	if o.Raft == nil {
		o.Raft = func(from, group uint64, msgs []*raftpb.Message) {
			for _, m := range msgs {
				n.raft <- raftGot{from, group, m}
			}
		}
	}
	if o.Idle == 0 {
		o.Idle = 10 * time.Second
	}
	o.Beat = func(_ uint64, b []byte) { n.beats <- string(b) }
	o.Lost = func(id uint64, broke time.Duration) { n.broke.Store(int64(broke)); n.lost <- id }
	o.Unreachable = func(id uint64) {
		select {
		case n.unreach <- id:
		default:
		}
	}
	if o.Data == nil {
		o.Data = n.data
	}
	tr, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	n.Transport = tr
	go func() {
		defer close(n.done)
		_ = tr.Serve(l)
	}()
	t.Cleanup(n.stop)
	return n
}

// stop ends the node; a second one does nothing.
func (n *node) stop() {
	n.Close()
	n.l.Close()
	<-n.done
}

func (n *node) peer() Peer { return Peer{ID: n.id, Name: idText(n.id), Addr: n.addr} }

// mesh makes all nodes peers.
func mesh(nodes ...*node) {
	var all []Peer
	for _, n := range nodes {
		all = append(all, n.peer())
	}
	for _, n := range nodes {
		n.SetPeers(all)
	}
}

// pair is two nodes that know each other.
func pair(t testing.TB) (*node, *node) {
	t.Helper()
	founder := testTrust(t, testCluster)
	a := start(t, options(t, founder))
	b := start(t, options(t, member(t, founder, 2, birth)))
	mesh(a, b)
	return a, b
}

// up waits until the node's link of a class stands.
func (n *node) up(class Class) {
	n.t.Helper()
	eventually(n.t, func() bool {
		for _, l := range n.Links() {
			if l.Class == class && !l.Up {
				return false
			}
		}
		return true
	})
}

// linkErr waits until the node's raft link to its only peer fails with an error
// that is wanted.
func (n *node) linkErr(want func(error) bool) error {
	n.t.Helper()
	var err error
	eventually(n.t, func() bool {
		for _, l := range n.Links() {
			if l.Class == ClassRaft && l.Err != nil && want(l.Err) {
				err = l.Err
				return true
			}
		}
		return false
	})
	return err
}

func reason(r Reason) func(error) bool {
	return func(err error) bool {
		var no *Refusal
		return errors.As(err, &no) && no.Reason == r
	}
}

// eventually polls: what it waits for has no event of its own.
func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(patience)
	defer end.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatal("it did not happen")
		}
	}
}

// receive takes a value that must come.
func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// recorder is a DataHandler that passes on what it gets.
type recorder struct {
	opened map[bool]chan *Stream // by Dialled
	closed chan error
	frames chan string // type and text
	mu     sync.Mutex
	gate   chan struct{} // when set, Frames waits for it
}

func newRecorder() *recorder {
	return &recorder{opened: map[bool]chan *Stream{true: make(chan *Stream, 64), false: make(chan *Stream, 64)}, closed: make(chan error, 64), frames: make(chan string, 1<<16)}
}

func (r *recorder) Opened(s *Stream)            { r.opened[s.Dialled()] <- s }
func (r *recorder) Closed(_ *Stream, err error) { r.closed <- err }
func (r *recorder) Frames(_ *Stream, fs []Frame) {
	r.mu.Lock()
	gate := r.gate
	r.mu.Unlock()
	if gate != nil {
		<-gate
	}
	for _, f := range fs {
		r.frames <- string(rune(f.Type)) + string(f.Body)
	}
}

// stream waits for a stream that this node dialled, or accepted.
func (r *recorder) stream(t testing.TB, dialled bool) *Stream {
	t.Helper()
	return receive(t, r.opened[dialled])
}

func testCookie(t testing.TB) *Cookie {
	t.Helper()
	c, err := NewCookie(secret.New("ABCDEFGHIJKLMNOPQRST"), false)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ctx(t testing.TB) context.Context {
	t.Helper()
	c, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return c
}

// message makes a message between two nodes.
func message(typ raftpb.MessageType, from, to uint64) *raftpb.Message {
	return &raftpb.Message{Type: &typ, From: &from, To: &to}
}

func appendMessage(from, to, index uint64, data ...[]byte) *raftpb.Message {
	m := message(raftpb.MsgApp, from, to)
	m.Index = new(index)
	for i, d := range data {
		m.Entries = append(m.Entries, &raftpb.Entry{Type: new(raftpb.EntryNormal), Term: new(uint64(3)), Index: new(index + 1 + uint64(i)), Data: d})
	}
	return m
}

func one(group uint64, m *raftpb.Message) []raftgroup.Message {
	return []raftgroup.Message{{Group: group, Raft: m}}
}
