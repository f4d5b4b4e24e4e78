package broker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/shard"
)

// Operations that the authoriser knows.
const (
	opConfigure = "configure"
	opWrite     = "write"
	opRead      = "read"
)

// SessionInfo describes a session's connection to operators.
type SessionInfo struct {
	Peer     netip.AddrPort
	Protocol string
	Name     string // as the client calls itself
	Listener string
	// End asks the connection to end: its client is told why, where the
	// protocol can. It is called from any goroutine, also more than once, and
	// must not block. It may be nil.
	End func(reason string)
}

// A Session is one authenticated connection. Its methods may be used by one
// goroutine at a time.
type Session struct {
	b      *Broker
	ident  Identity
	info   SessionInfo
	number uint64
	vhost  string
	owner  catalog.Session

	// seat is the id of the vhost under which the session is counted, 0 if it
	// is not, channels how many it opened; the census guards both.
	seat, channels uint64

	shown   atomic.Pointer[shown]
	system  bool // see Broker.System
	closed  bool
	orphans []orphan
	ends    pendingEnds
}

// pendingEnds counts the consumers that were told to end and have not.
type pendingEnds struct {
	left atomic.Int64
	none chan struct{} // gets a value when left becomes 0
}

func (p *pendingEnds) begin() { p.left.Add(1) }

func (p *pendingEnds) done() {
	if p.left.Add(-1) == 0 {
		select {
		case p.none <- struct{}{}:
		default:
		}
	}
}

// wait returns when no consumer is left, or ctx ended.
func (p *pendingEnds) wait(ctx context.Context) error {
	for p.left.Load() > 0 {
		select {
		case <-p.none:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// NewSession returns a session of a user that logged in. It can do nothing
// before Open.
func (b *Broker) NewSession(ident Identity, info SessionInfo) *Session {
	s := &Session{b: b, ident: ident, info: info, number: b.sessions.Add(1)}
	s.ends.none = make(chan struct{}, 1)
	s.owner = catalog.Session{Incarnation: b.o.Incarnation, Number: s.number}
	b.mu.Lock()
	b.mu.open[s] = struct{}{}
	b.mu.numbers[s.number] = s
	b.mu.Unlock()
	return s
}

// Open has the session use a vhost.
func (s *Session) Open(_ context.Context, vhost string) error {
	e := &Error{Resource: VHostResource, Name: vhost, VHost: vhost, User: s.ident.User}
	v := s.b.View()
	h := v.VHost(vhost)
	if h == nil {
		e.Kind = NotFound
		return e
	}
	var limits catalog.Limits
	if u := v.User(s.ident.User); u != nil {
		limits = u.Limits
	}
	if err := s.b.enter(s, h, limits); err != nil {
		return err
	}
	if err := s.b.o.Auth.Access(s.ident.User, vhost); err != nil {
		s.b.leave(s)
		e.Kind, e.Err = Denied, err
		return e
	}
	if s.b.View().VHostByID(h.ID) == nil { // deleted before this session could be told
		s.b.leave(s)
		e.Kind = NotFound
		return e
	}
	s.vhost = vhost
	return nil
}

// User returns the name of the session's user.
func (s *Session) User() string { return s.ident.User }

// VHost returns the name of the session's vhost.
func (s *Session) VHost() string { return s.vhost }

// Info returns what describes the session.
func (s *Session) Info() SessionInfo { return s.info }

// MayImpersonate reports whether the user may publish in another's name.
func (s *Session) MayImpersonate() bool { return slices.Contains(s.ident.Tags, "impersonator") }

// endTimeout bounds how long the end of a session waits for the catalog: its
// exclusive queues end in any case, with the incarnation at the latest.
const endTimeout = 30 * time.Second

// Close ends the session: when it returns its consumers get nothing any more,
// what nobody waited for is given back and its exclusive queues are gone. Its
// consumers must have been ended before. A second call does nothing.
func (s *Session) Close() {
	if s.closed {
		return
	}
	s.closed = true
	s.b.leave(s)
	s.b.mu.Lock()
	delete(s.b.mu.open, s)
	delete(s.b.mu.numbers, s.number)
	s.b.mu.Unlock()
	life := s.b.life()
	ctx, cancel := context.WithTimeout(life, endTimeout)
	defer cancel()
	if err := s.ends.wait(ctx); err != nil && life.Err() == nil {
		s.b.o.Logger.Warn("consumers of an ended session remain", "session", s.number, "err", err)
	}
	s.releaseOrphans(ctx)
	if life.Err() != nil {
		return // its exclusive queues end with the incarnation
	}
	for range s.b.View().OwnedBy(s.owner) {
		if _, err := s.b.o.Catalog.Do(ctx, &catalog.EndSession{Session: s.owner}); err != nil && life.Err() == nil {
			s.b.o.Logger.Warn("exclusive queues of an ended session remain", "session", s.number, "err", err)
		}
		return
	}
}

// releaseOrphans gives back what gets took that nobody waited for.
func (s *Session) releaseOrphans(ctx context.Context) {
	for _, o := range s.orphans {
		select {
		case t := <-o.ch:
			if t.err == nil && !t.r.Empty {
				o.to.Settle([]shard.Settle{{Queue: o.queue, Seq: t.r.Seq, Holding: t.r.Holding, Outcome: shard.Release}}, nil)
			}
		case <-ctx.Done():
			if s.b.life().Err() != nil {
				return
			}
			s.b.o.Logger.Warn("a get of an ended session is not answered", "session", s.number)
		}
	}
	s.orphans = nil
}

// check asks the authoriser. The default exchange is known to it by the name
// that users know it by.
func (s *Session) check(op string, r Resource, name string) error {
	if s.system {
		return nil
	}
	asked := name
	if r == ExchangeResource && name == "" {
		asked = "amq.default"
	}
	if err := s.b.o.Auth.Check(s.ident.User, s.vhost, op, r, asked); err != nil {
		return &Error{Kind: Denied, Resource: r, Name: asked, VHost: s.vhost, User: s.ident.User, Op: op, Err: err}
	}
	return nil
}

// checkAny asks whether the user may do anything at all with a resource: who may
// not is not told whether it is there.
func (s *Session) checkAny(r Resource, name string) error {
	if s.check(opRead, r, name) == nil || s.check(opWrite, r, name) == nil {
		return nil
	}
	return s.check(opConfigure, r, name)
}

// checkTopic asks about a routing key, or a binding's, of a topic exchange.
func (s *Session) checkTopic(v *catalog.View, op string, x *catalog.Exchange, key []byte) error {
	if x.Type != exchange.Topic || v.TopicPermission(s.ident.User, x) == nil {
		return nil
	}
	topic := string(key)
	if err := s.b.o.Auth.CheckTopic(s.ident.User, s.vhost, op, x.Name, topic); err != nil {
		return &Error{
			Kind: Denied, Resource: ExchangeResource, Name: x.Name, VHost: s.vhost, User: s.ident.User,
			Op: op, OnTopic: true, Topic: topic, Err: err,
		}
	}
	return nil
}

// queue finds a queue that the session may use.
func (s *Session) queue(name string) (*catalog.Queue, error) {
	q := s.b.View().Queue(s.vhost, name)
	if q == nil {
		return nil, &Error{Kind: NotFound, Resource: QueueResource, Name: name, VHost: s.vhost}
	}
	if !q.MayUse(s.owner) {
		return nil, &Error{Kind: Locked, Resource: QueueResource, Name: name, VHost: s.vhost}
	}
	return q, nil
}

// current makes sure that what is answered from the View is not behind what
// another node has answered: that an object is there, or is not, or differs.
func (s *Session) current(ctx context.Context, r Resource, name string) error {
	if err := s.b.o.Catalog.Barrier(ctx); err != nil {
		return &Error{Kind: Unavailable, Resource: r, Name: name, VHost: s.vhost, Err: err}
	}
	return nil
}

// queueNow is queue behind a barrier: what it does not find is not there.
func (s *Session) queueNow(ctx context.Context, name string) (*catalog.Queue, error) {
	if err := s.current(ctx, QueueResource, name); err != nil {
		return nil, err
	}
	return s.queue(name)
}

// do performs a command of the catalog.
func (s *Session) do(ctx context.Context, cmd catalog.Command, r Resource, name string) (catalog.Result, error) {
	res, err := s.b.o.Catalog.Do(ctx, cmd)
	if errors.Is(err, cluster.ErrPolicy) {
		return res, &Error{Kind: Invalid, Resource: r, Name: name, VHost: s.vhost, Detail: err.Error()}
	}
	if err != nil {
		return res, &Error{Kind: Unavailable, Resource: r, Name: name, VHost: s.vhost, Err: err}
	}
	return res, s.resultError(&res, r, name)
}

// resultError says what a command's result means to its caller.
func (s *Session) resultError(res *catalog.Result, r Resource, name string) error {
	e := &Error{Resource: r, Name: name, VHost: s.vhost}
	switch res.Code {
	case catalog.Done, catalog.Existed:
		return nil
	case catalog.NotFound:
		e.Kind = NotFound
	case catalog.Different:
		e.Kind = Mismatch
		e.mismatch(res.Mismatch)
	case catalog.Locked:
		e.Kind = Locked
	case catalog.InUse:
		e.Kind = InUse
	case catalog.OverLimit:
		e.Kind = OverLimit
		where := "vhost '" + s.vhost + "'"
		if res.Overall {
			where = "cluster"
		}
		e.Detail = fmt.Sprintf("cannot declare queue '%s': queue limit in %s (%d) is reached", name, where, res.Limit)
	case catalog.Refused:
		e.Kind, e.Detail = Reserved, "operation not permitted on "+string(r)+" '"+name+"' in vhost '"+s.vhost+"'"
	default:
		e.Kind, e.Detail = Internal, "the catalog says "+res.Code.String()
	}
	return e
}
