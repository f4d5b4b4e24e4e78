// Package amqp091 serves AMQP 0-9-1 as RabbitMQ does: it turns the frames of a
// connection into calls of a broker.Session and what the session's sinks are
// told into frames. It decides nothing about queues.
//
// A connection has one goroutine that reads and one that writes while there is
// something to write. Everything one read returned is handled before anything
// is flushed: publishes go to the broker in one call, settles in one call per
// shard, replies in one write.
package amqp091

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// Options of New. Zero values mean the defaults.
type Options struct {
	Broker *broker.Broker
	Logger *slog.Logger
	// Version of Warren is told to clients, and ClusterName, for each of them anew.
	Version     string
	ClusterName func() string
	// Node is the name of this node, told to clients: behind a load balancer nothing
	// else says where they are. Empty: it is not told.
	Node string
	// FrameMax is proposed to clients; default 131072.
	FrameMax uint32
	// ChannelMax is proposed to clients; default 2047.
	ChannelMax uint16
	// Heartbeat is proposed to clients; default 60 s.
	Heartbeat time.Duration
	// MaxMessage bounds the body of a message; default 16 MiB.
	MaxMessage uint64
	// MaxConsumers bounds the consumers of a channel; 0 is no limit.
	MaxConsumers int
	// ConsumerTimeout is how long a delivery may be held without being settled,
	// if neither its queue nor its consumer says otherwise; 0 is no limit.
	ConsumerTimeout time.Duration
	// CloseTimeout is how long a closing handshake may take; default 5 s.
	CloseTimeout time.Duration
	// RestAfter is how long nothing is read until a connection lets go of the
	// memory that it needed while it was used; default 10 s.
	RestAfter time.Duration
	// SettleTimeout is how long a method waits for queues to answer what its
	// channel published and settled before; default 30 s.
	SettleTimeout time.Duration
}

func (o Options) withDefaults() Options {
	if o.ClusterName == nil {
		o.ClusterName = func() string { return "" }
	}
	if o.FrameMax == 0 {
		o.FrameMax = wire.DefaultFrameMax
	}
	if o.ChannelMax == 0 {
		o.ChannelMax = 2047
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 60 * time.Second
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = 16 << 20
	}
	if o.RestAfter == 0 {
		o.RestAfter = 10 * time.Second
	}
	if o.CloseTimeout == 0 {
		o.CloseTimeout = 5 * time.Second
	}
	if o.SettleTimeout == 0 {
		o.SettleTimeout = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// A Frontend serves connections.
type Frontend struct {
	o       Options
	writers sync.Pool // of *writer
	pages   sync.Pool // of *pages
	batches sync.Pool // of *batch
	parked  atomic.Int64
	began   time.Time // of conn.clock
}

var _ protocol.Frontend = (*Frontend)(nil)

// New returns a frontend.
func New(o Options) *Frontend {
	return &Frontend{o: o.withDefaults(), began: time.Now()} //nolint:forbidigo // only differences of it count
}

// Parked returns the bytes of publishes that wait until the broker takes more.
func (f *Frontend) Parked() int64 { return f.parked.Load() }

// Name implements protocol.Frontend.
func (f *Frontend) Name() string { return "amqp" }

// Sniff implements protocol.Frontend: AMQP of any version is answered here, if
// only with the header of the one that is served.
func (f *Frontend) Sniff(prefix []byte) protocol.Verdict {
	switch wire.ParseProtocol(prefix) {
	case wire.ProtocolPartial:
		return protocol.NeedMore
	case wire.ProtocolUnknown:
		return protocol.No
	default:
		return protocol.Yes
	}
}

// Serve implements protocol.Frontend.
func (f *Frontend) Serve(ctx context.Context, nc net.Conn, in protocol.Info) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c := &conn{f: f, nc: nc, in: in, ctx: ctx, cancel: cancel, frameMax: wire.FrameMinSize, log: f.o.Logger}
	c.out.drained.L = &c.out.Mutex
	c.out.pool = &f.pages
	return c.serve() //nolint:contextcheck // the connection holds ctx: its calls end with it
}
