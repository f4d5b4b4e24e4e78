package transport

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/warrenmq/warren/cluster/raftgroup"
)

// A Transport is one node's connections to the others. Its methods may be
// called from any goroutine.
type Transport struct {
	opts   Options
	log    *slog.Logger
	tls    *tls.Config
	tries  *turnstile
	pace   *pacer
	noise  limiter
	chunks chunkPool
	cancel context.CancelFunc
	life   func() context.Context // ends with Close
	// process tells this process' hellos from those of the one before.
	process uint64

	peers atomic.Pointer[map[uint64]*peer] // replaced as a whole, under mu
	wg    sync.WaitGroup                   // every goroutine; Add under mu while not closed

	mu struct {
		sync.Mutex
		admitting map[*conn]struct{}
		closed    bool
		listeners map[net.Listener]struct{}
		unknown   []*socket       // whose other side is not known yet, oldest first
		accepted  map[*conn]*peer // those that are
	}
}

var _ raftgroup.Transport = (*Transport)(nil)

// New returns a Transport without peers. It dials nobody before SetPeers and
// takes nothing before Serve.
func New(o Options) (*Transport, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("transport: options: %w", err)
	}
	o.Rand = &lockedReader{r: o.Rand}
	var process [8]byte
	if _, err := o.Rand.Read(process[:]); err != nil {
		return nil, fmt.Errorf("transport: chance for this process: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t := &Transport{
		opts: o, log: o.Logger, cancel: cancel, life: func() context.Context { return ctx },
		tries: newTurnstile(o.Clock), pace: newPacer(o.Clock, o.BulkBytesPerSecond), noise: limiter{clock: o.Clock},
		process: binary.BigEndian.Uint64(process[:]),
	}
	t.tls = t.serverTLS()
	t.peers.Store(&map[uint64]*peer{})
	t.mu.listeners = make(map[net.Listener]struct{})
	t.mu.accepted = make(map[*conn]*peer)
	t.mu.admitting = make(map[*conn]struct{})
	return t, nil
}

func (t *Transport) peer(id uint64) *peer { return (*t.peers.Load())[id] }

// SetPeers says who the other nodes are. Connections to new ones are made and
// kept, those to nodes that are no longer named are closed. This node's own
// entry is passed over; a peer without an address is waited for.
func (t *Transport) SetPeers(list []Peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		return
	}
	old := *t.peers.Load()
	next := make(map[uint64]*peer, len(list))
	for _, want := range list {
		if want.ID == t.opts.Trust.Node() || want.ID == 0 || next[want.ID] != nil {
			continue
		}
		p := old[want.ID]
		if p == nil {
			p = t.newPeer(want)
			t.wg.Go(p.keepRaft)
			if t.opts.Data != nil {
				t.wg.Go(p.keepData)
			}
		}
		p.rename(want)
		next[want.ID] = p
	}
	t.peers.Store(&next)
	for id, p := range old {
		if next[id] == nil {
			p.cancel()
		}
	}
	for c, p := range t.mu.accepted {
		if next[p.id] == nil {
			c.fail(ErrClosed)
		}
	}
}

// Alive says that a peer has begun a life: what it closed before, because it had
// none, is dialled now and not at the end of a pause of up to a second.
func (t *Transport) Alive(id uint64) {
	if p := t.peer(id); p != nil {
		signal(p.lives[:])
	}
}

// Peers returns the other nodes, by id.
func (t *Transport) Peers() []Peer {
	var out []Peer
	for _, p := range *t.peers.Load() {
		out = append(out, p.info())
	}
	slices.SortFunc(out, func(a, b Peer) int { return cmpID(a.ID, b.ID) })
	return out
}

func cmpID(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Send implements raftgroup.Transport. Messages that are not from this node to
// that one are dropped: on the wire a message belongs to its connection's nodes.
func (t *Transport) Send(to uint64, msgs []raftgroup.Message) {
	if p := t.peer(to); p != nil {
		p.sendRaft(t.opts.Trust.Node(), msgs)
	}
}

// Flush has heartbeats leave that wait for those of other groups.
func (t *Transport) Flush() {
	for _, p := range *t.peers.Load() {
		p.raft.soon()
	}
}

// Beat sends a beat ahead of everything else, or drops it. The bytes are copied.
func (t *Transport) Beat(to uint64, b []byte) {
	if p := t.peer(to); p != nil {
		p.sendBeat(b)
	}
}

// Serve takes connections until the listener or the Transport is closed. It
// closes the listener.
func (t *Transport) Serve(l net.Listener) error {
	defer l.Close() //nolint:errcheck // what was listened to is given up either way
	t.mu.Lock()
	if t.mu.closed {
		t.mu.Unlock()
		return ErrClosed
	}
	t.mu.listeners[l] = struct{}{}
	t.mu.Unlock()
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			t.begin(nc)
		case !passing(err):
			return t.acceptFailed(l, err)
		default:
			if n, ok := t.noise.allow(); ok {
				t.log.Warn("accepting a node failed and is tried again", "err", err, "suppressed", n)
			}
			t.sleep(t.life(), acceptPause, nil)
		}
	}
}

// passing tells whether an accept error may go away by itself.
func passing(err error) bool {
	for _, e := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EINTR, syscall.EAGAIN,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (t *Transport) acceptFailed(l net.Listener, err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.mu.listeners, l)
	if t.mu.closed {
		return ErrClosed
	}
	return fmt.Errorf("transport: accept: %w", err)
}

// Close ends all connections and waits for every goroutine, Serve's callers'
// apart. Callbacks may still run until it returns.
func (t *Transport) Close() {
	t.mu.Lock()
	if !t.mu.closed {
		t.mu.closed = true
		t.cancel()
		for l := range t.mu.listeners {
			_ = l.Close()
		}
		for _, s := range t.mu.unknown {
			s.fail(ErrClosed)
		}
		for c := range t.mu.accepted {
			c.fail(ErrClosed)
		}
		for c := range t.mu.admitting {
			c.fail(ErrClosed)
		}
	}
	t.mu.Unlock()
	t.wg.Wait()
}

// jitter returns a duration around d: half of it to one and a half.
func (t *Transport) jitter(d time.Duration) time.Duration {
	var b [4]byte
	if _, err := t.opts.Rand.Read(b[:]); err != nil {
		return d
	}
	return d/2 + time.Duration(binary.BigEndian.Uint32(b[:]))*d>>32
}

// sleep waits for d, for wake, or for the end of ctx. It reports whether it was woken.
func (t *Transport) sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := t.opts.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
	case <-wake:
		return true
	case <-ctx.Done():
	}
	return false
}

// A Link tells about one connection that this node keeps to a peer.
type Link struct {
	Peer  Peer
	Class Class
	Up    bool
	Err   error // why not
	// Queued is how many bytes wait, of the raft class; a Stream tells its own.
	Queued int
}

// Links returns the state of all connections this node keeps, by peer and
// class.
func (t *Transport) Links() []Link {
	var out []Link
	peers := *t.peers.Load()
	for _, id := range slices.Sorted(maps.Keys(peers)) {
		out = peers[id].links(out, t.opts.Data != nil)
	}
	return out
}

// lockedReader lets goroutines share a source of chance.
type lockedReader struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *lockedReader) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return io.ReadFull(l.r, p)
}

var errEnded = errors.New("transport: ended")
