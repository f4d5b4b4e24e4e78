package broker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/shard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fakeCatalog applies commands at once.
type fakeCatalog struct {
	mu   sync.Mutex
	m    *catalog.Machine
	view atomic.Pointer[catalog.View]
	b    *Broker
	// before is called with a command before it is applied.
	before func(catalog.Command)
	// instead answers for the catalog if it returns true.
	instead func(catalog.Command) (catalog.Result, error, bool)
	barrier func() error
	pass    func(done func(error))
}

func (c *fakeCatalog) View() *catalog.View { return c.view.Load() }

// Governing takes the policy of which the name begins with a queue's.
func (c *fakeCatalog) Governing(vhost, name string, _ catalog.QueueKind) (g catalog.Governed, err error) {
	v := c.View()
	for p := range v.Policies(v.VHost(vhost)) {
		if strings.HasPrefix(name, p.Name) {
			g.Policy = p
		}
	}
	return g, nil
}

// Barrier lets a test show what another node has answered before.
func (c *fakeCatalog) Barrier(context.Context) error {
	if c.barrier != nil {
		return c.barrier()
	}
	return nil
}

// Pass lets a test show the same, and decide when.
func (c *fakeCatalog) Pass(done func(error)) bool {
	if c.pass == nil {
		return false
	}
	c.pass(done)
	return true
}

func (c *fakeCatalog) Do(_ context.Context, cmd catalog.Command) (catalog.Result, error) {
	if c.before != nil {
		c.before(cmd)
	}
	if c.instead != nil {
		if r, err, ok := c.instead(cmd); ok {
			return r, err
		}
	}
	c.mu.Lock()
	rs, err := c.m.ApplyEntry(1, catalog.AppendCommand(nil, 1, cmd), nil)
	c.view.Store(c.m.View())
	c.mu.Unlock()
	if err != nil {
		return catalog.Result{}, err
	}
	if c.b != nil {
		c.b.Changed(c.View(), rs)
	}
	return rs[0], nil
}

func (c *fakeCatalog) Start(cmd catalog.Command, done func(catalog.Result, error)) {
	done(c.Do(context.Background(), cmd))
}

// A fakeAuth refuses what deny names: "write exchange logs", "vhost /".
type fakeAuth struct{ deny map[string]bool }

func (a *fakeAuth) Login(_ context.Context, c Credentials) (Identity, error) {
	if a.deny["login "+c.User] {
		return Identity{}, errors.New("no")
	}
	return Identity{User: c.User}, nil
}

func (a *fakeAuth) Access(_, vhost string) error {
	if a.deny["vhost "+vhost] {
		return errors.New("no")
	}
	return nil
}

func (a *fakeAuth) Check(_, _, op string, r Resource, name string) error {
	if a.deny[op+" "+string(r)+" "+name] {
		return errors.New("no")
	}
	return nil
}

func (a *fakeAuth) CheckTopic(_, _, op, exchange, key string) error {
	if a.deny[op+" topic "+exchange+" "+key] {
		return errors.New("no")
	}
	return nil
}

// A fakeShard keeps what it is given. Its answers come when the test says so.
type fakeShard struct {
	shard.Shard // what a test does not need
	id          uint64

	mu       sync.Mutex
	got      []string // "queue:body"
	keys     []string // routing keys of messages that the broker made, with their headers
	confirms []func() // not given yet
	full     bool
	ready    []func()
	settles  []shard.Settle
	gets     []func(shard.GetResult, error)
	cancels  []func(error)
	kicks    int
	reopened int
	txs      chan func(error)
	closing  func(done func(uint64, error))
	counts   shard.Counts
	gone     bool // queues are about to be deleted
}

func (s *fakeShard) Publish(ps []shard.Publish) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range ps {
		for _, q := range p.Queues {
			s.got = append(s.got, fmt.Sprintf("%d:%s", q, p.Message.Body))
		}
		if p.Message.Protocol == message.Internal {
			s.keys = append(s.keys, string(p.Message.RoutingKey)+" "+fields(p.Message.Properties))
		}
		to, tag := p.To, p.Tag
		s.confirms = append(s.confirms, func() { to.Confirmed(tag, 1, false); to.Wake() })
	}
	return !s.full
}

func (s *fakeShard) Ready(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = append(s.ready, f)
}

// drained says that publishes are taken again.
func (s *fakeShard) drained() bool {
	s.mu.Lock()
	fs := s.ready
	s.ready, s.full = nil, s.full && len(fs) == 0
	s.mu.Unlock()
	for _, f := range fs {
		f()
	}
	return len(fs) > 0
}

// confirm gives the confirms that are due.
func (s *fakeShard) confirm() {
	s.mu.Lock()
	fs := s.confirms
	s.confirms = nil
	s.mu.Unlock()
	for _, f := range fs {
		f()
	}
}

func (s *fakeShard) taken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := strings.Join(s.got, " ")
	s.got = nil
	return out
}

func (s *fakeShard) Settle(ss []shard.Settle, done func(error)) {
	s.mu.Lock()
	s.settles = append(s.settles, ss...)
	s.mu.Unlock()
	if done != nil {
		done(nil)
	}
}

func (s *fakeShard) Get(_ shard.QueueID, _ uint64, done func(shard.GetResult, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets = append(s.gets, done)
}

func (s *fakeShard) Consume(_ *shard.Consumer, done func(error)) { done(nil) }

func (s *fakeShard) Cancel(_ *shard.Consumer, _ bool, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancels = append(s.cancels, done)
}

func (s *fakeShard) Kick(*shard.Consumer) {
	s.mu.Lock()
	s.kicks++
	s.mu.Unlock()
}

func (s *fakeShard) Counts(_ shard.QueueID, done func(shard.Counts, error)) {
	if s.gone {
		done(shard.Counts{}, shard.ErrGone)
		return
	}
	done(s.counts, nil)
}

func (s *fakeShard) Renew(q shard.QueueID, done func(shard.Counts, error)) { s.Counts(q, done) }

func (s *fakeShard) Close(_ shard.QueueID, c shard.Conditions, done func(uint64, error)) {
	switch {
	case s.closing != nil:
		s.closing(done)
	case s.gone:
		done(0, shard.ErrGone)
	case c.IfUnused && s.counts.Consumers > 0:
		done(0, shard.ErrInUse)
	case c.IfEmpty && s.counts.Ready > 0:
		done(0, shard.ErrNotEmpty)
	default:
		done(s.counts.Ready, nil)
	}
}

func (s *fakeShard) Reopen(_ shard.QueueID, done func(error)) {
	s.mu.Lock()
	s.reopened++
	s.mu.Unlock()
	done(nil)
}

func (s *fakeShard) Changed(shard.QueueID) {}

// A fakeSink writes down what it is told.
type fakeSink struct {
	mu     sync.Mutex
	events []string
}

func (s *fakeSink) note(format string, args ...any) {
	s.mu.Lock()
	s.events = append(s.events, fmt.Sprintf(format, args...))
	s.mu.Unlock()
}

func (s *fakeSink) told() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := strings.Join(s.events, ", ")
	s.events = nil
	return out
}

func (s *fakeSink) Confirmed(first uint64, n uint32, refused bool) {
	what := "ack"
	if refused {
		what = "nack"
	}
	s.note("%s %d+%d", what, first, n)
}
func (s *fakeSink) Unknown(first uint64, n uint32) { s.note("unknown %d+%d", first, n) }
func (s *fakeSink) Wake()                          {}
func (s *fakeSink) Unroutable(i int)               { s.note("unroutable #%d", i) }
func (s *fakeSink) Ready()                         { s.note("ready") }

// A bench is a broker on fakes: two shards, vhost "/", user "u". Durable queues
// whose names end in 2 are in the second shard.
type bench struct {
	t        testing.TB
	b        *Broker
	c        *fakeCatalog
	auth     *fakeAuth
	one, two *fakeShard
	s        *Session
	placed   []Placing
	going    sync.WaitGroup
}

func newBench(t testing.TB, queueMemory int64) *bench {
	t.Helper()
	x := &bench{t: t, auth: &fakeAuth{deny: map[string]bool{}}, one: &fakeShard{}, two: &fakeShard{}}
	x.c = &fakeCatalog{m: catalog.New()}
	x.c.view.Store(x.c.m.View())
	node := x.do(&catalog.AddNode{ID: 1, Name: "n"}).ID
	x.do(&catalog.AddVHost{Name: "/"})
	inc := x.do(&catalog.Register{Node: node, Nonce: 1}).ID
	x.one.id = x.do(&catalog.AddShard{Replicas: []uint64{node}}).ID
	x.two.id = x.do(&catalog.AddShard{Replicas: []uint64{node}}).ID
	x.b = New(Options{
		Catalog: x.c, Auth: x.auth, Node: node, Incarnation: x.c.View().Incarnation(inc).Number,
		Now: func() int64 { return 1 }, QueueMemory: queueMemory,
		Go: func(f func(context.Context)) { x.going.Go(func() { f(context.Background()) }) },
		Shard: func(id uint64) shard.Shard {
			switch id {
			case x.one.id:
				return x.one
			case x.two.id:
				return x.two
			}
			return nil
		},
		Place: func(_ context.Context, p Placing) (uint64, error) {
			x.placed = append(x.placed, p)
			if strings.HasSuffix(p.Name, "2") {
				return x.two.id, nil
			}
			return x.one.id, nil
		},
	})
	x.c.b = x.b
	x.s = x.session()
	return x
}

func (x *bench) do(cmd catalog.Command) catalog.Result {
	x.t.Helper()
	r, err := x.c.Do(context.Background(), cmd)
	if err != nil || r.Code != catalog.Done {
		x.t.Fatalf("%T: %v, %v", cmd, r.Code, err)
	}
	return r
}

func (x *bench) session() *Session {
	x.t.Helper()
	s := x.b.NewSession(Identity{User: "u"}, SessionInfo{Peer: netip.AddrPort{}})
	if err := s.Open(context.Background(), "/"); err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(s.Close)
	return s
}

func (x *bench) queue(name string, durable bool) uint64 {
	x.t.Helper()
	if _, err := x.s.DeclareQueue(context.Background(), QueueOptions{Name: name, Durable: durable}); err != nil {
		x.t.Fatal(err)
	}
	return x.b.View().Queue("/", name).ID
}

// message returns a publication of a body.
func publication(tag uint64, exchange, key, body string) Publication {
	return Publication{Tag: tag, Message: &message.Message{Protocol: message.AMQP091, Exchange: []byte(exchange), RoutingKey: []byte(key), Body: []byte(body)}}
}
