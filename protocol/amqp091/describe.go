package amqp091

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// showTx lets operators see how much the open transaction holds.
func (ch *channel) showTx() {
	ch.seen.txMessages.Store(int32(ch.tx.tx.Len()))
	ch.seen.txSettles.Store(int32(len(ch.tx.acks)))
}

// CompatVersion is the version of RabbitMQ whose dialect is spoken.
const CompatVersion = compatVersion

// traffic counts what a connection read and wrote: one addition for each call
// of the socket, none for a message.
type traffic struct {
	readBytes, reads, wroteBytes, writes atomic.Uint64
}

func (t *traffic) read(n int) {
	t.readBytes.Add(uint64(n))
	t.reads.Add(1)
}

func (t *traffic) wrote(n int64) {
	t.wroteBytes.Add(uint64(n))
	t.writes.Add(1)
}

// seen is what of a connection others than its reader look at. The reader alone
// changes the list of channels, so it reads it without the lock.
type seen struct {
	traffic
	mu        sync.Mutex // over changes of conn.channels, and over others reading it
	mechanism string
	props     message.Table // of the client; not changed once shown
	leaving   atomic.Bool   // a close was sent or answered
	held      atomic.Bool   // a publish waits
	blocked   atomic.Bool   // for what the node is short of
}

// channelSeen is what of a channel others than its reader look at.
type channelSeen struct {
	consumers broker.ConsumerCount
	// published is the tag given last, as of the last flush.
	published   atomic.Uint64
	confirm, tx atomic.Bool
	// messages and settles of the transaction that is open.
	txMessages, txSettles atomic.Int32
	prefetch, global      atomic.Uint32
}

// keepChannel puts a channel into the connection's list.
func (c *conn) keepChannel(ch *channel) {
	c.seen.mu.Lock()
	c.channels[ch.id] = ch
	c.seen.mu.Unlock()
}

// loseChannel takes it out again.
func (c *conn) loseChannel(id uint16) {
	c.seen.mu.Lock()
	delete(c.channels, id)
	c.seen.mu.Unlock()
}

// Inspect implements broker.Inspector.
func (c *conn) Inspect(to *broker.Connection) {
	to.Local, to.Mechanism = c.in.Local.String(), c.seen.mechanism
	to.FrameMax, to.ChannelMax, to.Heartbeat = c.frameMax, c.chanMax, int(c.heartbeat/time.Second)
	to.Properties = c.seen.props
	to.ReceivedBytes, to.Reads = c.seen.readBytes.Load(), c.seen.reads.Load()
	to.SentBytes, to.Writes = c.seen.wroteBytes.Load(), c.seen.writes.Load()
	to.PendingBytes = c.out.backlogBytes.Load()
	c.seen.mu.Lock()
	to.Channels = len(c.channels)
	c.seen.mu.Unlock()
	to.State = c.shownState()
	if t := c.in.TLS; t != nil {
		to.TLS, to.TLSVersion, to.Cipher = true, tls.VersionName(t.Version), tls.CipherSuiteName(t.CipherSuite)
		if len(t.PeerCertificates) > 0 {
			x := t.PeerCertificates[0]
			to.PeerSubject, to.PeerIssuer = distinguished(x.Subject), distinguished(x.Issuer)
			to.PeerValidity = fmt.Sprintf("%s - %s", x.NotBefore.UTC().Format(time.RFC3339), x.NotAfter.UTC().Format(time.RFC3339))
		}
	}
}

// shownState is RabbitMQ's word for what the connection is at.
func (c *conn) shownState() string {
	switch {
	case c.seen.leaving.Load() || c.ctx.Err() != nil:
		return closing.String()
	case c.seen.blocked.Load():
		return "blocked"
	case c.f.o.Broker.Short() != 0:
		return "blocking" // once it publishes
	case c.seen.held.Load():
		return "flow"
	}
	return running.String()
}

func distinguished(n pkix.Name) string { return n.String() }

// Channels implements broker.Inspector.
func (c *conn) Channels(dst []broker.Channel) []broker.Channel {
	c.seen.mu.Lock()
	defer c.seen.mu.Unlock()
	for _, ch := range c.channels {
		dst = append(dst, ch.describe())
	}
	return dst
}

func (ch *channel) describe() broker.Channel {
	d := broker.Channel{
		Number: ch.id, Confirm: ch.seen.confirm.Load(), Transactional: ch.seen.tx.Load(), Consumers: ch.seen.consumers.Len(),
		UncommittedMessages: int(ch.seen.txMessages.Load()), UncommittedAcks: int(ch.seen.txSettles.Load()),
		Prefetch: ch.seen.prefetch.Load(), GlobalPrefetch: ch.seen.global.Load(),
	}
	ch.mu.Lock()
	d.Unacked = ch.mu.unacked.n
	ch.mu.Unlock()
	if d.Confirm {
		o := &ch.c.out
		o.Lock()
		done := ch.confirms.low - 1 + uint64(len(ch.confirms.early))
		o.Unlock()
		d.Unconfirmed = int(max(ch.seen.published.Load(), done) - done)
	}
	return d
}

// Label implements broker.Labelled.
func (k *consumer) Label() broker.ConsumerLabel {
	return broker.ConsumerLabel{Session: k.ch.c.session.Number(), Channel: k.ch.id, Tag: k.tag, Properties: k.args}
}

var (
	_ broker.Inspector = (*conn)(nil)
	_ broker.Labelled  = (*consumer)(nil)
)

// kept returns a table for operators to see, nil for one that is too large.
func kept(t wire.Table) message.Table {
	if kept := table(t); len(kept) <= maxKept {
		return kept
	}
	return nil
}

// maxKept is how many bytes of a table are kept only to be shown.
const maxKept = 4 << 10
