package node

import (
	"cmp"
	"context"
	"iter"
	"net/netip"
	"slices"
	"strings"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/shard"
)

// sessions returns the open sessions that a question is about, the oldest first.
func (o operations) sessions(q admin.ConnectionQuery) []broker.Seen {
	all := slices.DeleteFunc(o.broker.Load().Sessions(), func(s broker.Seen) bool {
		return q.VHost != "" && s.VHost() != q.VHost || q.User != "" && s.User() != q.User
	})
	slices.SortFunc(all, func(a, b broker.Seen) int { return cmp.Compare(a.Number(), b.Number()) })
	return all
}

// Connections implements admin.Connections.
func (o operations) Connections(_ context.Context, q admin.ConnectionQuery) iter.Seq2[admin.Connection, error] {
	return func(yield func(admin.Connection, error) bool) {
		for _, s := range o.sessions(q) {
			if !yield(o.connection(s.Connection()), nil) {
				return
			}
		}
	}
}

func (o operations) connection(c broker.Connection) admin.Connection {
	local, peer := endpoint(c.Local), endpoint(c.Peer)
	return admin.Connection{
		PID: o.pid(c.Number, 0), Name: c.Label(), ClientName: c.Name, User: c.User, VHost: c.VHost,
		Protocol: c.Protocol, Listener: c.Listener, AuthMechanism: c.Mechanism,
		Host: local.Addr().String(), Port: int(local.Port()), PeerHost: peer.Addr().String(), PeerPort: int(peer.Port()),
		State: c.State, TLS: c.TLS, TLSVersion: c.TLSVersion, TLSCipher: c.Cipher,
		PeerCertSubject: c.PeerSubject, PeerCertIssuer: c.PeerIssuer, PeerCertValidity: c.PeerValidity,
		Channels: c.Channels, HeartbeatSeconds: c.Heartbeat, FrameMax: c.FrameMax, ChannelMax: c.ChannelMax,
		ClientProperties: arguments(c.Properties), ReceivedBytes: c.ReceivedBytes, Reads: c.Reads,
		SentBytes: c.SentBytes, Writes: c.Writes, PendingBytes: c.PendingBytes, ConnectedAt: c.ConnectedAt,
	}
}

func endpoint(s string) netip.AddrPort {
	a, _ := netip.ParseAddrPort(s) // what is no address stays zero
	return a
}

// Channels implements admin.Connections.
func (o operations) Channels(_ context.Context, q admin.ConnectionQuery) iter.Seq2[admin.Channel, error] {
	return func(yield func(admin.Channel, error) bool) {
		for _, s := range o.sessions(q) {
			chs := s.Channels()
			slices.SortFunc(chs, func(a, b broker.Channel) int { return cmp.Compare(a.Number, b.Number) })
			for i := range chs {
				if !yield(o.channel(&chs[i]), nil) {
					return
				}
			}
		}
	}
}

func (o operations) channel(c *broker.Channel) admin.Channel {
	return admin.Channel{
		PID: o.pid(c.Session, uint64(c.Number)), Connection: o.pid(c.Session, 0), Name: c.Name, Number: c.Number,
		User: c.User, VHost: c.VHost, Transactional: c.Transactional, Confirm: c.Confirm, Consumers: c.Consumers,
		Unacked: c.Unacked, Unconfirmed: c.Unconfirmed, UncommittedMessages: c.UncommittedMessages,
		UncommittedAcks: c.UncommittedAcks, Prefetch: c.Prefetch, GlobalPrefetch: c.GlobalPrefetch,
	}
}

// Consumers implements admin.Connections.
func (o operations) Consumers(ctx context.Context, q admin.VHostQuery) iter.Seq2[admin.Consumer, error] {
	return func(yield func(admin.Consumer, error) bool) {
		h := o.catalog.View().VHost(q.VHost)
		if h == nil {
			return
		}
		some := make([]*catalog.Queue, 0, queuesPerLook)
		for x := range h.Queues("") {
			if some = append(some, x); len(some) < queuesPerLook {
				continue
			}
			if !o.consumersOf(ctx, some, yield) {
				return
			}
			some = some[:0]
		}
		o.consumersOf(ctx, some, yield)
	}
}

func (o operations) consumersOf(ctx context.Context, qs []*catalog.Queue, yield func(admin.Consumer, error) bool) bool {
	infos := o.broker.Load().Look(ctx, qs, true)
	if err := ctx.Err(); err != nil {
		yield(admin.Consumer{}, err)
		return false
	}
	for _, q := range qs {
		in := infos[q.ID]
		for _, c := range in.Consumers {
			if x, ok := c.User.(broker.Labelled); ok && !yield(o.consumer(q, &in, c, x.Label()), nil) {
				return false
			}
		}
	}
	return true
}

func (o operations) consumer(q *catalog.Queue, in *shard.QueueInfo, c *shard.Consumer, label broker.ConsumerLabel) admin.Consumer {
	d := admin.Consumer{
		Queue: q.Name, ChannelPID: o.pid(label.Session, uint64(label.Channel)), Tag: label.Tag, AckRequired: !c.NoAck,
		Exclusive: c.Exclusive, Prefetch: c.Prefetch, Active: true, Status: "up", Arguments: arguments(label.Properties),
	}
	if in.SingleActive {
		d.Active, d.Status = in.Only == c, "waiting"
		if d.Active {
			d.Status = "single_active"
		}
	}
	return d
}

// mostReason bounds what a client is told: it has to fit into a short string
// behind the code's own words.
const mostReason = 200

// CloseConnections implements admin.Connections.
func (o operations) CloseConnections(_ context.Context, x admin.CloseConnections) (admin.Closed, error) {
	which := 0
	for _, given := range []bool{x.PID != "", x.VHost != "", x.User != "", x.All} {
		if given {
			which++
		}
	}
	if which != 1 || x.Limit < 0 {
		return admin.Closed{}, admin.Invalidf("name a connection, a vhost or a user, or all, and no limit below 0")
	}
	if len(x.Reason) > mostReason {
		return admin.Closed{}, admin.Invalidf("the reason may have %d bytes", mostReason)
	}
	var number uint64
	if x.PID != "" {
		var err error
		if number, err = o.session(x.PID); err != nil {
			return admin.Closed{}, err
		}
	}
	n := 0
	for _, s := range o.sessions(admin.ConnectionQuery{VHost: x.VHost, User: x.User}) {
		if number != 0 && s.Number() != number {
			continue
		}
		if x.Limit > 0 && n == x.Limit {
			break
		}
		s.Force(strings.ToValidUTF8(x.Reason, "�"))
		n++
	}
	if number != 0 && n == 0 {
		return admin.Closed{}, admin.NotFoundf(admin.ConnectionThing, x.PID)
	}
	return admin.Closed{Connections: n}, nil
}
