// Package broker is what every protocol talks to: sessions that publish,
// declare, consume and settle. It routes over the catalog's View, asks the one
// authoriser, hands messages to shards and bounds what the node takes.
//
// It knows no protocol: what happens comes back through the sinks that
// protocols hand down. It owns the node's memory queues and no goroutine but
// the one of Run, which expires messages in them.
package broker

import (
	"context"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/secret"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/memory"
)

// A Catalog is what the broker needs of the cluster's metadata.
type Catalog interface {
	View() *catalog.View
	// Do performs a command and waits until it is applied here; Start calls
	// done, in the catalog's turn, instead of waiting.
	Do(ctx context.Context, cmd catalog.Command) (catalog.Result, error)
	Start(cmd catalog.Command, done func(catalog.Result, error))
	// Barrier returns when the View holds all that anybody in the cluster was
	// told before the call; at once on a node that is alone.
	Barrier(ctx context.Context) error
	// Pass is Barrier without waiting: done is called in the catalog's turn, and
	// must not block. It returns false, and calls nobody, on a node that is alone.
	Pass(done func(error)) bool
	// Governing returns the policies that would govern a queue declared now.
	Governing(vhost, name string, kind catalog.QueueKind) (catalog.Governed, error)
}

// Auth decides who may do what.
type Auth interface {
	// Login checks credentials. Its error says nothing to the client.
	Login(ctx context.Context, c Credentials) (Identity, error)
	// Access reports whether a user may use a vhost at all.
	Access(user, vhost string) error
	// Check reports whether a user may do op (configure, write, read) with a
	// resource of that name.
	Check(user, vhost, op string, r Resource, name string) error
	// CheckTopic reports whether a user may do op (write, read) with a routing
	// key of a topic exchange on which op itself is allowed. It is asked only
	// where the catalog has a topic permission.
	CheckTopic(user, vhost, op, exchange, key string) error
}

// Credentials are what a client logs in with.
type Credentials struct {
	User     string
	Password secret.String
	Peer     netip.AddrPort
	// Mechanism is the SASL mechanism.
	Mechanism string
	// Proven says that no password is asked for: User is whom the listener says
	// the peer is, by its certificate (EXTERNAL), or lets anybody be (ANONYMOUS).
	Proven bool
}

// An Identity is a user that logged in.
type Identity struct {
	User string
	Tags []string
}

// Options of New.
type Options struct {
	Catalog Catalog
	Auth    Auth
	// Shard returns a shard, wherever it is led, nil if there is no way to it.
	Shard func(id uint64) shard.Shard
	// Memory returns the queues in the memory of another node's incarnation; nil:
	// there are no other nodes.
	Memory func(of queue.Incarnation) shard.Shard
	// Post sends a message for a session to another node, whose Posted takes it;
	// false: it is not sent. It owns data. Nil: there are no other nodes.
	Post func(node uint64, data []byte) bool
	// Place names the shard for a new queue, which is made if there is none of its
	// wish.
	Place       func(ctx context.Context, p Placing) (uint64, error)
	Node        uint64
	Incarnation uint64
	// QueueMemory bounds what memory queues hold; default 256 MiB.
	QueueMemory int64
	Limits      NodeLimits
	// Go runs a function on a goroutine of its own, that the node waits for.
	Go func(func(context.Context))
	// StrictType has a declaration fail if the queue exists with another
	// x-queue-type.
	StrictType bool
	// Mail is told of the letters of memory queues.
	Mail shard.Mail
	// Describe names a message's properties, as the protocol that it came by
	// has them, for who traces it; may be nil.
	Describe func(*message.Message) message.Table
	// Now returns the wall clock in milliseconds.
	Now    func() int64
	Logger *slog.Logger
}

// A Broker is the messaging of one node.
type Broker struct {
	o       Options
	memory  budget // the node's
	waiters waiters
	alarms  alarms

	sessions atomic.Uint64 // number given last
	census   census
	limiting sync.Mutex   // a change of a user's limits is under way
	seed     maphash.Seed // of route caches
	replies  replies
	traces   traces
	expires  chan struct{} // one token: a queue has what expires
	over     context.CancelFunc
	life     func() context.Context // ends with Over

	mu struct {
		sync.RWMutex
		queues   map[uint64]*memory.Queue
		open     map[*Session]struct{}
		expiring map[*memory.Queue]struct{}
		fronts   map[uint64]*front   // of queues that are, or were, in memory
		ending   map[uint64]struct{} // what the catalog has yet to delete
		numbers  map[uint64]*Session // those in open, by their number
		budgets  budgets
	}
}

// New returns a broker.
func New(o Options) *Broker {
	if o.QueueMemory == 0 {
		o.QueueMemory = 256 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	b := &Broker{o: o, seed: maphash.MakeSeed()}
	b.replies.seed = b.seed
	b.traces.queue = make(chan traced, mostTraces)
	life, over := context.WithCancel(context.Background())
	b.life, b.over = func() context.Context { return life }, over
	b.memory.what, b.memory.limit = "the node", o.QueueMemory
	b.expires = make(chan struct{}, 1)
	b.mu.numbers = map[uint64]*Session{}
	b.mu.queues = map[uint64]*memory.Queue{}
	b.mu.open = map[*Session]struct{}{}
	b.mu.fronts = map[uint64]*front{}
	b.mu.expiring = map[*memory.Queue]struct{}{}
	b.mu.ending = map[uint64]struct{}{}
	return b
}

// Over says that this incarnation of the node is over: what its sessions have goes
// with it, and nothing is waited for to end them.
func (b *Broker) Over() { b.over() }

// View returns the catalog as this node knows it.
func (b *Broker) View() *catalog.View { return b.o.Catalog.View() }

// Run expires messages of memory queues and traces messages until ctx ends.
func (b *Broker) Run(ctx context.Context) {
	b.wakeExpiring()
	t := time.NewTicker(expireEvery)
	ticking := true
	defer t.Stop()
	again := time.NewTicker(retryEndings)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if ticking = b.tick(); !ticking {
				t.Stop() // until a queue has what expires
			}
		case <-b.expires:
			if !ticking {
				ticking = true
				t.Reset(expireEvery)
			}
		case <-again.C:
			b.endAgain()
		case x := <-b.traces.queue:
			b.copyTraced(x)
		}
	}
}

// expireEvery is how often messages in memory are looked at that expire.
const expireEvery = 50 * time.Millisecond

// tick reports whether there is still something to wait for.
func (b *Broker) tick() bool {
	b.mu.RLock()
	qs := make([]*memory.Queue, 0, len(b.mu.expiring))
	for q := range b.mu.expiring {
		qs = append(qs, q)
	}
	b.mu.RUnlock()
	for _, q := range qs {
		if !q.Tick() {
			b.mu.Lock()
			delete(b.mu.expiring, q)
			b.mu.Unlock()
		}
	}
	return len(qs) > 0
}

// Changed follows the catalog, in its turn: queues that were made in this
// node's memory begin, shards hear of queues that changed or ended.
func (b *Broker) Changed(_ *catalog.View, results []catalog.Result) {
	for i := range results {
		r := &results[i]
		if r.Code != catalog.Done {
			continue
		}
		if q := r.Queue; q != nil {
			if q.Shard == 0 && q.Incarnation == b.o.Incarnation {
				b.begin(q)
			}
			if q.Revision != q.Made {
				b.tell(q)
			}
			if q.Epoch > 0 {
				b.followed(q.ID)
			}
		}
		for _, q := range r.Governed.Queues {
			b.tell(q)
		}
		for _, q := range r.Removed.Queues {
			b.tell(q)
			b.followed(q.ID)
		}
		b.evict(&r.Removed)
	}
}

// tell has the queue's shard look at the catalog again.
func (b *Broker) tell(q *catalog.Queue) {
	if q.Shard != 0 {
		if s := b.o.Shard(q.Shard); s != nil {
			s.Changed(q.ID)
		}
		if q.Epoch == 0 {
			return
		}
	}
	b.mu.Lock()
	m := b.mu.queues[q.ID]
	if b.View().QueueByID(q.ID) == nil {
		delete(b.mu.queues, q.ID)
		delete(b.mu.expiring, m)
		b.undraw(q.ID)
	}
	b.mu.Unlock()
	if m != nil {
		m.Changed(q.ID)
	}
}

// begin makes a memory queue, unless it is there or was deleted meanwhile.
func (b *Broker) begin(q *catalog.Queue) *memory.Queue {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := b.mu.queues[q.ID]; m != nil || b.View().QueueByID(q.ID) == nil {
		return m
	}
	id := q.ID
	m := memory.New(memory.Options{
		ID: id, Settings: Settings(q), Now: b.o.Now,
		Incarnation: queue.Incarnation{Node: b.o.Node, Number: b.o.Incarnation},
		Lookup: func() (shard.Settings, bool) {
			q := b.View().QueueByID(id)
			if q == nil {
				return shard.Settings{}, false
			}
			return Settings(q), true
		},
		Memory: b.draw(q).add,
		Mail:   b.o.Mail,
		Ended:  b.Ended,
		Expiring: func(m *memory.Queue) {
			b.mu.Lock()
			b.mu.expiring[m] = struct{}{}
			b.mu.Unlock()
			select {
			case b.expires <- struct{}{}:
			default:
			}
		},
	})
	b.mu.queues[id] = m
	return m
}

// shardOf returns the shard that holds a queue.
func (b *Broker) shardOf(q *catalog.Queue) (shard.Shard, error) {
	if q.Epoch > 0 || q.Shard == 0 && !q.Exclusive {
		if f := b.frontOf(q.ID); f != nil {
			return f, nil
		}
	}
	if q.Shard != 0 {
		if s := b.o.Shard(q.Shard); s != nil {
			return s, nil
		}
	} else {
		b.mu.RLock()
		m := b.mu.queues[q.ID]
		b.mu.RUnlock()
		if m == nil && q.Incarnation == b.o.Incarnation {
			m = b.begin(q) // the view is ahead of Changed
		}
		switch {
		case m != nil && q.Exclusive: // never moves
			return m, nil
		case m != nil:
			return b.inFront(q, m, true), nil
		}
		if s := b.memoryOf(q); s != nil {
			return b.inFront(q, s, false), nil
		}
	}
	return nil, &Error{Kind: Unavailable, Resource: QueueResource, Name: q.Name, Detail: "its shard is not served by this node"}
}

// Await returns when everything settled at a shard before is committed.
func (b *Broker) Await(ctx context.Context, s shard.Shard) error {
	return await(ctx, func(done func(error)) { s.Settle(nil, done) })
}

// Login checks credentials.
func (b *Broker) Login(ctx context.Context, c Credentials) (Identity, error) {
	return b.o.Auth.Login(ctx, c)
}

// Counts are the sums over this node's sessions and memory.
type Counts struct {
	Sessions     int
	QueueMemory  int64
	MemoryLimit  int64
	MemoryQueues int
}

// Counts returns what the broker holds now.
func (b *Broker) Counts() Counts {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return Counts{len(b.mu.open), b.memory.used.Load(), b.memory.limit, len(b.mu.queues)}
}
