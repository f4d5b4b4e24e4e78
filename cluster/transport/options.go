package transport

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/internal/clock"
)

// A Peer is another node and where it is.
type Peer struct {
	ID   uint64
	Name string // for people
	Addr string // host:port of its Serve
}

// Self is what a node says of itself on every connection. The functions are
// called for each connection, from any goroutine.
type Self struct {
	Name string
	// Incarnation is this life of the process, zero before it has one. A
	// connection of an older one than was seen is refused.
	Incarnation func() uint64
	// Generation counts the cluster's restarts without majority. Nodes of
	// different ones refuse each other.
	Generation func() uint64
}

// Options of a Transport. The fields without a default named are required.
type Options struct {
	Self  Self
	Trust *Trust

	// Dial connects to an address; net.Dialer's DialContext if nil. A refusal
	// must be recognisable: errors.Is(err, syscall.ECONNREFUSED).
	Dial   func(ctx context.Context, addr string) (net.Conn, error)
	Clock  clock.Clock  // the machine's if nil
	Rand   io.Reader    // crypto/rand's if nil; used under a lock
	Logger *slog.Logger // discards if nil

	// Raft takes what a peer sent to one group. The slice is reused, the
	// messages are the receiver's; their entries share the read buffer.
	Raft func(from, group uint64, msgs []*raftpb.Message)
	// Beat takes a beat; the bytes are only lent.
	Beat func(from uint64, b []byte)
	Data DataHandler // nil: no data connections are made or taken
	Bulk BulkHandler // nil: transfers are refused

	// Lost is called on proof that a peer's process is gone: a connection that
	// stood was closed by the other side, no other one with it stands, and its
	// address refused the next one. Once for each break. The proof is of the
	// process that was there when the connection broke, on Clock's Mono; by now
	// another one may be starting.
	Lost func(peer uint64, broke time.Duration)
	// NoProof says that a refused connection proves nothing (behind NAT): Lost
	// is never called.
	NoProof bool
	// Unreachable is called when messages to a peer were dropped.
	Unreachable func(peer uint64)

	// Cookie admits new nodes; nil: none are.
	Cookie *Cookie
	// Admit is asked for each node that proved the cookie, before it gets a
	// certificate. It makes the node known to the cluster. It refuses ids that
	// were forgotten, and known ones that ever had an incarnation; a known one
	// without may not have heard the answer, and is let in again. An error's
	// text is sent to the node.
	Admit func(ctx context.Context, r JoinRequest) (Admission, error)
	// Probe returns what who has the cookie may know of this node before it is
	// of a cluster, at most 4 KiB; nil: nothing.
	Probe func() []byte
	// Forgotten reports that a node was removed for good.
	Forgotten func(id uint64) bool
	// Voter reports whether a node holds the authority's key; see Renew. Nil: none.
	Voter func(id uint64) bool

	RaftQueueBytes int // to one peer: 64 MiB
	DataQueueBytes int // of one stream: 64 MiB
	// BulkBytesPerSecond is shared by all transfers this node sends; 0: not paced.
	BulkBytesPerSecond int
	// Idle is how long a peer may say nothing before its connection is
	// closed (10 s). It says something at least every fifth of it.
	Idle time.Duration
	// Stall is how long the socket may take nothing before its connection is
	// closed (30 s).
	Stall time.Duration
}

const (
	handshakeBytes = 64 << 10 // that an unknown may send
	handshakeTime  = 10 * time.Second
	maxHalfOpen    = 128 // connections whose other side is not known yet
	// A dial is given up early: while a partition lasts each try lasts as long,
	// and the one under way when it ends should not be an old one.
	dialTime  = 3 * time.Second // to connect
	greetTime = 5 * time.Second // to be known
	// acceptPause lies between tries while accepting fails for want of something.
	acceptPause = 100 * time.Millisecond
	maxBulk     = 16 // transfers a peer may have open at once

	backoffMin = 50 * time.Millisecond
	backoffMax = time.Second
)

func (o Options) withDefaults() Options {
	if o.Dial == nil {
		var d net.Dialer
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
	}
	if o.Clock == nil {
		o.Clock = clock.NewReal()
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	zero := func() uint64 { return 0 }
	if o.Self.Incarnation == nil {
		o.Self.Incarnation = zero
	}
	if o.Self.Generation == nil {
		o.Self.Generation = zero
	}
	if o.Raft == nil {
		o.Raft = func(uint64, uint64, []*raftpb.Message) {}
	}
	if o.Beat == nil {
		o.Beat = func(uint64, []byte) {}
	}
	if o.Lost == nil {
		o.Lost = func(uint64, time.Duration) {}
	}
	if o.Unreachable == nil {
		o.Unreachable = func(uint64) {}
	}
	if o.Forgotten == nil {
		o.Forgotten = func(uint64) bool { return false }
	}
	if o.Voter == nil {
		o.Voter = func(uint64) bool { return false }
	}
	setDefault(&o.RaftQueueBytes, 64<<20)
	setDefault(&o.DataQueueBytes, 64<<20)
	setDefault(&o.Idle, 10*time.Second)
	setDefault(&o.Stall, 30*time.Second)
	return o
}

func setDefault[T int | time.Duration](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}

func (o Options) validate() error {
	var errs []error
	if o.Trust == nil {
		errs = append(errs, errors.New("Trust is missing"))
	}
	if o.Cookie != nil && o.Admit == nil {
		errs = append(errs, errors.New("a Cookie without Admit"))
	}
	if o.RaftQueueBytes < 0 || o.DataQueueBytes < 0 || o.BulkBytesPerSecond < 0 || o.Idle < 0 || o.Stall < 0 {
		errs = append(errs, errors.New("a bound is negative"))
	}
	return errors.Join(errs...)
}
