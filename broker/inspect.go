package broker

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/shard"
)

// mostLooks is how many queues of one shard are looked at in one of its turns.
const mostLooks = 1024

// Look asks the shards what queues hold, and returns what was answered before
// ctx ended. With consumers, they are listed.
func (b *Broker) Look(ctx context.Context, qs []*catalog.Queue, consumers bool) map[QueueID]shard.QueueInfo {
	groups := map[shard.Inspector][]QueueID{}
	for _, q := range qs {
		to, err := b.shardOf(q)
		if err != nil {
			continue
		}
		if in, ok := to.(shard.Inspector); ok {
			groups[in] = append(groups[in], q.ID)
		}
	}
	asked := 0
	answers := make(chan []shard.QueueInfo, len(qs)) // nobody waits who answers late
	for in, ids := range groups {
		for len(ids) > 0 {
			n := min(len(ids), mostLooks)
			in.Inspect(ids[:n], consumers, func(a []shard.QueueInfo) { answers <- a })
			ids = ids[n:]
			asked++
		}
	}
	out := make(map[QueueID]shard.QueueInfo, len(qs))
	for ; asked > 0; asked-- {
		select {
		case infos := <-answers:
			for i := range infos {
				out[infos[i].ID] = infos[i]
			}
		case <-ctx.Done():
			return out
		}
	}
	return out
}

// operator is a session of nobody: what an operator orders is asked of no
// authoriser.
func (b *Broker) operator(vhost string) *Session { return &Session{b: b, vhost: vhost} }

// PurgeQueue removes every ready message of a queue, whoever owns it.
func (b *Broker) PurgeQueue(ctx context.Context, vhost, name string) (n uint64, err error) {
	s := b.operator(vhost)
	q := b.View().Queue(vhost, name)
	if q == nil {
		return 0, s.shardError(shard.ErrGone, QueueResource, name)
	}
	to, err := b.shardOf(q)
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

// RemoveQueue deletes a queue, whoever owns it, and returns how many messages
// were ready in it.
func (b *Broker) RemoveQueue(ctx context.Context, vhost, name string, o DeleteOptions) (uint64, error) {
	s := b.operator(vhost)
	q := b.View().Queue(vhost, name)
	if q == nil {
		return 0, s.shardError(shard.ErrGone, QueueResource, name)
	}
	info := b.Look(ctx, []*catalog.Queue{q}, false)[q.ID]
	switch {
	case ctx.Err() != nil:
		return 0, s.shardError(ctx.Err(), QueueResource, name)
	case o.IfUnused && info.Counts.Consumers > 0:
		return 0, &Error{Kind: InUse, Resource: QueueResource, Name: name, VHost: vhost}
	case o.IfEmpty && info.Ready > 0:
		return 0, &Error{Kind: NotEmpty, Resource: QueueResource, Name: name, VHost: vhost}
	}
	_, err := s.do(ctx, &catalog.DeleteQueue{VHost: vhost, Name: name, ID: q.ID, Force: true}, QueueResource, name)
	return info.Ready, err
}

// A Connection describes an open connection to operators. Its protocol fills in
// what only it knows.
type Connection struct {
	Number                  uint64 // of the session
	User, VHost, Name       string
	Protocol, Mechanism     string
	Listener                string
	Local, Peer             string // host:port
	ConnectedAt             int64  // milliseconds
	State                   string // running, blocked, blocking, flow, closing
	TLS                     bool
	TLSVersion, Cipher      string
	PeerSubject, PeerIssuer string
	PeerValidity            string
	Channels                int
	FrameMax                uint32
	ChannelMax              uint16
	Heartbeat               int // seconds, 0 is none
	Properties              message.Table
	ReceivedBytes, Reads    uint64
	SentBytes, Writes       uint64
	PendingBytes            int64
}

// Label names the connection by its two ends, as RabbitMQ does.
func (c *Connection) Label() string { return c.Peer + " -> " + c.Local }

// A Channel describes a channel of a connection.
type Channel struct {
	Session                  uint64 // of the connection
	Number                   uint16
	Confirm, Transactional   bool
	Consumers                int
	Unacked, Unconfirmed     int
	UncommittedMessages      int
	UncommittedAcks          int
	Prefetch, GlobalPrefetch uint32
	User, VHost, Name        string
}

// A ConsumerLabel is what a protocol says of a consumer of its own.
type ConsumerLabel struct {
	Session    uint64
	Channel    uint16
	Tag        string
	Properties message.Table // the arguments, as the client gave them
}

// Labelled is what ConsumeOptions.User implements if operators are to see the
// consumer.
type Labelled interface{ Label() ConsumerLabel }

// An Inspector is an open connection as its protocol lets operators see it. Its
// methods are called by any goroutine, take no lock that traffic holds for long,
// and wait for no peer.
type Inspector interface {
	// Inspect fills in what the protocol knows of the connection.
	Inspect(c *Connection)
	// Channels appends the channels to dst.
	Channels(dst []Channel) []Channel
}

// shown is a session that operators may see.
type shown struct {
	at        int64 // milliseconds
	inspector Inspector
}

// Show lets operators see the session from now on, and what in says of it. It is
// called once, when the connection is open.
func (s *Session) Show(in Inspector) { s.shown.Store(&shown{s.b.o.Now(), in}) }

// Number returns the session's number, unique in this life of the node.
func (s *Session) Number() uint64 { return s.number }

// A Seen is an open session.
type Seen struct {
	s  *Session
	in *shown
}

// Sessions returns the open sessions in no order.
func (b *Broker) Sessions() []Seen {
	b.mu.RLock()
	defer b.mu.RUnlock()
	all := make([]Seen, 0, len(b.mu.open))
	for s := range b.mu.open {
		if in := s.shown.Load(); in != nil {
			all = append(all, Seen{s, in})
		}
	}
	return all
}

// Number returns the session's number, unique in this life of the node.
func (s Seen) Number() uint64 { return s.s.number }

// User returns the name of the session's user.
func (s Seen) User() string { return s.s.ident.User }

// VHost returns the name of the session's vhost.
func (s Seen) VHost() string { return s.s.vhost }

// Connection describes the session's connection.
func (s Seen) Connection() Connection {
	i := &s.s.info
	c := Connection{
		Number: s.s.number, User: s.s.ident.User, VHost: s.s.vhost, Name: i.Name, Protocol: i.Protocol,
		Listener: i.Listener, Peer: i.Peer.String(), ConnectedAt: s.in.at,
	}
	s.in.inspector.Inspect(&c)
	return c
}

// Channels describes the session's channels.
func (s Seen) Channels() []Channel {
	chs := s.in.inspector.Channels(nil)
	c := s.Connection()
	label := c.Label()
	for i := range chs {
		ch := &chs[i]
		ch.Session, ch.User, ch.VHost = c.Number, c.User, c.VHost
		ch.Name = fmt.Sprintf("%s (%d)", label, ch.Number)
	}
	return chs
}

// Force ends the session's connection, telling the client why. It does
// not wait.
func (s Seen) Force(reason string) {
	if end := s.s.info.End; end != nil {
		end(reason)
	}
}

// A ConsumerCount counts the consumers that live; several may share it.
type ConsumerCount struct{ n atomic.Int32 }

func (c *ConsumerCount) add(n int32) {
	if c != nil {
		c.n.Add(n)
	}
}

// Len returns the number of consumers.
func (c *ConsumerCount) Len() int { return int(c.n.Load()) }
