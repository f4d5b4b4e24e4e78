package broker

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/shard"
)

// reservedPrefix begins the names that only the broker makes.
const reservedPrefix = "amq."

// ExchangeOptions say what to declare.
type ExchangeOptions struct {
	Name, Type                             string
	Passive, Durable, AutoDelete, Internal bool
	Args                                   message.Table
}

// DeclareExchange makes an exchange, or checks that the one there is equal.
// With Passive it only checks that there is one.
func (s *Session) DeclareExchange(ctx context.Context, o ExchangeOptions) error {
	e := &Error{Resource: ExchangeResource, Name: o.Name, VHost: s.vhost, User: s.ident.User}
	if o.Name == "" {
		e.Kind, e.Detail = Reserved, "operation not permitted on the default exchange"
		return e
	}
	have := s.b.View().Exchange(s.vhost, o.Name)
	if o.Passive || have != nil { // it is answered from the View
		if err := s.current(ctx, ExchangeResource, o.Name); err != nil {
			return err
		}
		have = s.b.View().Exchange(s.vhost, o.Name)
	}
	if o.Passive {
		if err := s.checkAny(ExchangeResource, o.Name); err != nil {
			return err
		}
		if have == nil {
			e.Kind = NotFound
			return e
		}
		return nil
	}
	t, delayed, text := exchangeType(&o)
	if text != "" {
		e.Kind, e.Detail = Invalid, text
		return e
	}
	if err := s.check(opConfigure, ExchangeResource, o.Name); err != nil {
		return err
	}
	spec := catalog.ExchangeSpec{Name: o.Name, Type: t, Durable: o.Durable, AutoDelete: o.AutoDelete, Internal: o.Internal, Delayed: delayed, Args: o.Args}
	if have != nil {
		if m := catalog.EquivalentExchange(have, &spec); m != nil {
			e.Kind = Mismatch
			e.mismatch(m)
			return e
		}
		return nil
	}
	if strings.HasPrefix(o.Name, reservedPrefix) && !s.system {
		e.Kind = Reserved
		e.Detail = fmt.Sprintf("exchange name '%s' contains reserved prefix 'amq.*'", o.Name)
		return e
	}
	if err := s.checkAlternate(&spec); err != nil {
		return err
	}
	cmd := &catalog.DeclareExchange{VHost: s.vhost, ExchangeSpec: spec}
	if delayed {
		home, err := s.b.o.Place(ctx, Placing{VHost: s.vhost})
		if err != nil {
			e.Kind, e.Err = Unavailable, err
			return e
		}
		cmd.Home = home
	}
	_, err := s.do(ctx, cmd, ExchangeResource, o.Name)
	return err
}

// checkAlternate checks whether who makes an exchange may have its messages go to
// another.
func (s *Session) checkAlternate(spec *catalog.ExchangeSpec) error {
	v, ok := spec.Args.Lookup("alternate-exchange")
	if !ok {
		return nil
	}
	to, isText := v.Text()
	if !isText {
		return nil // the catalog says what is wrong with it
	}
	if err := s.check(opRead, ExchangeResource, spec.Name); err != nil {
		return err
	}
	return s.check(opWrite, ExchangeResource, to)
}

// DeleteExchange removes an exchange; one that is not there is no error.
func (s *Session) DeleteExchange(ctx context.Context, name string, ifUnused bool) error {
	e := &Error{Resource: ExchangeResource, Name: name, VHost: s.vhost}
	if name == "" {
		e.Kind, e.Detail = Reserved, "operation not permitted on the default exchange"
		return e
	}
	if err := s.check(opConfigure, ExchangeResource, name); err != nil {
		return err
	}
	if err := s.current(ctx, ExchangeResource, name); err != nil {
		return err
	}
	have := s.b.View().Exchange(s.vhost, name)
	if have == nil {
		return nil
	}
	if have.System {
		e.Kind, e.Detail = Reserved, fmt.Sprintf("deletion of system exchange '%s' in vhost '%s' not allowed", name, s.vhost)
		return e
	}
	_, err := s.do(ctx, &catalog.DeleteExchange{VHost: s.vhost, Name: name, ID: have.ID, IfUnused: ifUnused}, ExchangeResource, name)
	if KindOf(err) == NotFound {
		return nil
	}
	return err
}

// QueueOptions say what to declare.
type QueueOptions struct {
	Name                                    string // empty: the broker names it
	Passive, Durable, Exclusive, AutoDelete bool
	Args                                    message.Table
	NoCounts                                bool // the caller does not need Ready and Consumers
}

// A QueueInfo answers a declaration.
type QueueInfo struct {
	Name      string
	Ready     uint64
	Consumers int
}

// DeclareQueue makes a queue, or checks that the one there is equal. With
// Passive it only checks that there is one that the session may use.
func (s *Session) DeclareQueue(ctx context.Context, o QueueOptions) (QueueInfo, error) {
	if isReplyQueue(o.Name) {
		return s.declareReply(o.Name)
	}
	named := o.Name != "" || o.Passive
	if !named {
		o.Name = "amq.gen-" + RandomName()
	}
	e := &Error{Resource: QueueResource, Name: o.Name, VHost: s.vhost, User: s.ident.User}
	have := s.b.View().Queue(s.vhost, o.Name)
	if o.Passive || have != nil { // it is answered from the View
		if err := s.current(ctx, QueueResource, o.Name); err != nil {
			return QueueInfo{}, err
		}
		have = s.b.View().Queue(s.vhost, o.Name)
	}
	if o.Passive {
		if err := s.checkAny(QueueResource, o.Name); err != nil {
			return QueueInfo{}, err
		}
		q, err := s.queue(o.Name)
		if err != nil {
			return QueueInfo{}, err
		}
		return s.describe(ctx, q, o.NoCounts)
	}
	if err := s.check(opConfigure, QueueResource, o.Name); err != nil {
		return QueueInfo{}, err
	}
	spec := catalog.QueueSpec{
		Name: o.Name, Durable: o.Durable && !o.Exclusive, AutoDelete: o.AutoDelete, Exclusive: o.Exclusive,
		Owner: s.owner, Args: o.Args, Kind: kindOf(o.Args),
	}
	if have != nil {
		if err := s.equivalent(have, &spec); err != nil {
			return QueueInfo{}, err
		}
		info, err := s.describe(ctx, have, o.NoCounts)
		if KindOf(err) != NotFound {
			return info, err
		}
		// Its last consumer went and it is about to be deleted: see to that.
		del := &catalog.DeleteQueue{VHost: s.vhost, Name: o.Name, ID: have.ID, Force: true}
		if _, err := s.do(ctx, del, QueueResource, o.Name); err != nil && KindOf(err) != NotFound {
			return QueueInfo{}, err
		}
	}
	if named && strings.HasPrefix(o.Name, reservedPrefix) && !s.system {
		e.Kind = Reserved
		e.Detail = fmt.Sprintf("queue name '%s' contains reserved prefix 'amq.*'", o.Name)
		return QueueInfo{}, e
	}
	if err := s.checkLetters(&spec); err != nil {
		return QueueInfo{}, err
	}
	if err := checkQueueArgs(s.vhost, &spec); err != nil {
		return QueueInfo{}, err
	}
	if err := s.place(ctx, &spec); err != nil {
		return QueueInfo{}, err
	}
	res, err := s.do(ctx, &catalog.DeclareQueue{VHost: s.vhost, QueueSpec: spec, Most: s.b.o.Limits.Queues, Strict: s.b.o.StrictType}, QueueResource, o.Name)
	if err != nil {
		return QueueInfo{}, err
	}
	if res.Code == catalog.Done {
		if Settings(res.Queue).Expires > 0 {
			_, err = s.renew(ctx, res.Queue) // its shard has to know of it before it is used
		}
		return QueueInfo{Name: o.Name}, err
	}
	return s.describe(ctx, res.Queue, o.NoCounts)
}

// equivalent reports how a redeclaration differs from the queue there is.
func (s *Session) equivalent(have *catalog.Queue, wanted *catalog.QueueSpec) error {
	e := &Error{Resource: QueueResource, Name: have.Name, VHost: s.vhost}
	if have.Exclusive != wanted.Exclusive || !have.MayUse(s.owner) {
		e.Kind = Locked
		return e
	}
	if m := catalog.EquivalentQueue(have, wanted, s.b.o.StrictType); m != nil {
		e.Kind = Mismatch
		e.mismatch(m)
		return e
	}
	return nil
}

// describe counts what a queue holds.
func (s *Session) describe(ctx context.Context, q *catalog.Queue, noCounts bool) (QueueInfo, error) {
	info := QueueInfo{Name: q.Name}
	if noCounts && !q.AutoDelete && Settings(q).Expires == 0 { // which may be about to end
		return info, nil
	}
	c, err := s.renew(ctx, q)
	info.Ready, info.Consumers = c.Ready, c.Consumers
	return info, err
}

// renew counts what a queue holds for whoever declares it.
func (s *Session) renew(ctx context.Context, q *catalog.Queue) (c shard.Counts, err error) {
	to, err := s.b.shardOf(q)
	if err != nil {
		return c, err
	}
	err = await(ctx, func(done func(error)) {
		to.Renew(q.ID, func(got shard.Counts, err error) {
			c = got
			done(err)
		})
	})
	if err != nil {
		return c, s.shardError(err, QueueResource, q.Name)
	}
	return c, nil
}

// DeleteOptions are the conditions of DeleteQueue.
type DeleteOptions struct{ IfUnused, IfEmpty bool }

// DeleteQueue removes a queue and returns how many messages were ready in it;
// one that is not there is no error.
func (s *Session) DeleteQueue(ctx context.Context, name string, o DeleteOptions) (uint64, error) {
	if err := s.check(opConfigure, QueueResource, name); err != nil {
		return 0, err
	}
	q, err := s.queueNow(ctx, name)
	if KindOf(err) == NotFound {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return s.endQueue(ctx, q, shard.Conditions{IfEmpty: o.IfEmpty, IfUnused: o.IfUnused})
}

// Purge removes every ready message of a queue.
func (s *Session) Purge(ctx context.Context, name string) (n uint64, err error) {
	if err := s.check(opRead, QueueResource, name); err != nil {
		return 0, err
	}
	q, err := s.queueNow(ctx, name)
	if err != nil {
		return 0, err
	}
	to, err := s.b.shardOf(q)
	if err != nil {
		return 0, err
	}
	err = await(ctx, func(done func(error)) {
		to.Purge(q.ID, func(got uint64, err error) {
			n = got
			done(err)
		})
	})
	if err != nil {
		return 0, s.shardError(err, QueueResource, name)
	}
	return n, nil
}

// A Binding names a binding from Source to a queue or an exchange.
type Binding struct {
	To          exchange.Kind
	Destination string
	Source      string
	Key         string
	Args        message.Table
}

// Bind makes a binding; one that is there is no error.
func (s *Session) Bind(ctx context.Context, b Binding) error {
	if err := s.mayBindNow(ctx, &b, true); err != nil {
		return err
	}
	_, err := s.do(ctx, &catalog.Bind{Link: s.link(&b)}, ExchangeResource, b.Source)
	return err
}

// Unbind removes a binding; one that is not there is no error.
func (s *Session) Unbind(ctx context.Context, b Binding) error {
	if err := s.mayBindNow(ctx, &b, false); err != nil {
		if KindOf(err) == NotFound {
			return nil
		}
		return err
	}
	_, err := s.do(ctx, &catalog.Unbind{Link: s.link(&b)}, ExchangeResource, b.Source)
	if KindOf(err) == NotFound {
		return nil
	}
	return err
}

func (s *Session) link(b *Binding) catalog.Link {
	return catalog.Link{VHost: s.vhost, Source: b.Source, Kind: b.To, Destination: b.Destination, Key: b.Key, Args: b.Args}
}

// mayBindNow is mayBind; what it says is not there is not there now.
func (s *Session) mayBindNow(ctx context.Context, b *Binding, making bool) error {
	err := s.mayBind(b, making)
	if KindOf(err) != NotFound {
		return err
	}
	if err := s.current(ctx, ExchangeResource, b.Source); err != nil {
		return err
	}
	return s.mayBind(b, making)
}

// mayBind checks names, rights and arguments of a binding.
func (s *Session) mayBind(b *Binding, making bool) error {
	res, kind := QueueResource, b.To
	if kind == exchange.Exchange {
		res = ExchangeResource
	}
	if b.Source == "" || kind == exchange.Exchange && b.Destination == "" {
		return &Error{Kind: Reserved, Resource: ExchangeResource, VHost: s.vhost, Detail: "operation not permitted on the default exchange"}
	}
	if kind == exchange.Queue && isReplyQueue(b.Destination) {
		return &Error{
			Kind: Reserved, Resource: QueueResource, Name: b.Destination, VHost: s.vhost,
			Detail: fmt.Sprintf("operation not permitted on queue '%s' in vhost '%s'", b.Destination, s.vhost),
		}
	}
	if err := s.check(opWrite, res, b.Destination); err != nil {
		return err
	}
	if err := s.check(opRead, ExchangeResource, b.Source); err != nil {
		return err
	}
	if kind == exchange.Queue {
		if _, err := s.queue(b.Destination); err != nil {
			return err
		}
	} else if s.b.View().Exchange(s.vhost, b.Destination) == nil {
		return &Error{Kind: NotFound, Resource: ExchangeResource, Name: b.Destination, VHost: s.vhost}
	}
	x := s.b.View().Exchange(s.vhost, b.Source)
	if x == nil {
		return &Error{Kind: NotFound, Resource: ExchangeResource, Name: b.Source, VHost: s.vhost}
	}
	if err := s.checkTopic(s.b.View(), opRead, x, []byte(b.Key)); err != nil {
		return err
	}
	if making {
		if err := exchange.CheckBinding(x.Type, b.Key, b.Args); err != nil {
			return s.matchError(err, b.Source)
		}
	}
	return nil
}

// matchError translates what a headers exchange says of a binding.
func (s *Session) matchError(err error, source string) error {
	e := &Error{Kind: Invalid, Resource: ExchangeResource, Name: source, VHost: s.vhost, Detail: err.Error()}
	var me *exchange.MatchError
	if errors.As(err, &me) {
		e.Arg, e.HasReceived = "x-match", true
		e.Received, e.ReceivedType = printed(me.Value), typeName(me.Value)
	}
	return e
}

// RandomName returns 22 characters that nobody else has, for the names that the
// broker gives.
func RandomName() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}
