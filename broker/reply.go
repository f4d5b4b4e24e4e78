package broker

import (
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
)

// ReplyQueue is the name of the queue that is none: who consumes from it gets
// an address of his own instead, which begins with it, and what is published
// to that address on the default exchange goes straight to him. Nothing is
// stored and the catalog hears nothing of it.
const ReplyQueue = "amq.rabbitmq.reply-to"

const replyPrefix = ReplyQueue + "."

// mostReplies bounds the addresses of a node.
const mostReplies = 1 << 20

// A ReplySink takes replies. It is called from the goroutines of publishers.
type ReplySink interface {
	// Reply takes over a message's blob, which is shared and immutable. It does
	// not block: it reports false when it has no room, and the reply is lost.
	Reply(blob []byte) bool
}

// A Reply is an address for replies. It is known to whom its owner tells it,
// can not be guessed, and reaches only its own vhost.
type Reply struct {
	b     *Broker
	vhost string
	name  string
	sink  ReplySink
	node  uint64 // of another node, where it is; 0: here
}

// Name returns the routing key that leads here.
func (r *Reply) Name() string { return r.name }

// OpenReply makes an address for replies, until Close.
func (s *Session) OpenReply(sink ReplySink) (*Reply, error) {
	t := &s.b.replies
	if t.open.Add(1) > mostReplies {
		t.open.Add(-1)
		return nil, &Error{
			Kind: OverLimit, Resource: QueueResource, Name: ReplyQueue, VHost: s.vhost,
			Detail: "this node has as many direct reply-to consumers as it takes (" + strconv.Itoa(mostReplies) + ")",
		}
	}
	// The node stands behind, for those who answer on another.
	name := replyPrefix + RandomName() + "." + strconv.FormatUint(s.b.o.Node, 36)
	r := &Reply{b: s.b, vhost: s.vhost, name: name, sink: sink}
	p := t.part([]byte(name))
	p.Lock()
	if p.at == nil {
		p.at = map[string]*Reply{}
	}
	p.at[name] = r
	p.Unlock()
	return r, nil
}

// Close ends the address: replies to it are unroutable from now on. A second
// call does nothing.
func (r *Reply) Close() {
	p := r.b.replies.part([]byte(r.name))
	p.Lock()
	_, there := p.at[r.name]
	delete(p.at, r.name)
	if len(p.at) == 0 {
		p.at = nil // a map never gives its memory back
	}
	p.Unlock()
	if there {
		r.b.replies.open.Add(-1)
	}
}

func (r *Reply) deliver(blob []byte) {
	if r.node != 0 && !r.post(blob) || r.node == 0 && !r.sink.Reply(blob) {
		r.b.replies.dropped.Add(1)
	}
}

// replies are the addresses of a node. Every reply looks one up, so they are
// spread over parts with a lock each.
type replies struct {
	seed    maphash.Seed
	open    atomic.Int64
	dropped atomic.Uint64
	parts   [64]repliesPart
}

type repliesPart struct {
	sync.RWMutex
	at map[string]*Reply // by name
}

func (t *replies) part(name []byte) *repliesPart {
	return &t.parts[maphash.Bytes(t.seed, name)%uint64(len(t.parts))]
}

// find returns the address of that name in a vhost, or nil.
func (t *replies) find(vhost string, name []byte) *Reply {
	p := t.part(name)
	p.RLock()
	r := p.at[string(name)]
	p.RUnlock()
	if r == nil || r.vhost != vhost {
		return nil
	}
	return r
}

// ReplyCounts are of the addresses for replies on this node.
type ReplyCounts struct {
	Open    int64
	Dropped uint64 // replies for which their consumer had no room
}

// Replies counts the addresses for replies.
func (b *Broker) Replies() ReplyCounts {
	return ReplyCounts{b.replies.open.Load(), b.replies.dropped.Load()}
}

// isReply reports whether a routing key is an address for replies.
func isReply(key []byte) bool {
	return len(key) > len(replyPrefix) && string(key[:len(replyPrefix)]) == replyPrefix
}

// isReplyQueue reports whether a queue's name is the pseudo-queue or an
// address: no queue can have it.
func isReplyQueue(name string) bool {
	return strings.HasPrefix(name, ReplyQueue) && (len(name) == len(ReplyQueue) || name[len(ReplyQueue)] == '.')
}

// declareReply answers whether an address is still there.
func (s *Session) declareReply(name string) (QueueInfo, error) {
	if name != ReplyQueue && s.b.replyAt(s.vhost, []byte(name)) == nil {
		return QueueInfo{}, &Error{Kind: NotFound, Resource: QueueResource, Name: name, VHost: s.vhost}
	}
	return QueueInfo{Name: name, Consumers: 1}, nil
}

// reply routes what is published to an address. The route is the publisher's
// own: addresses are many and used once, the cache is not for them.
func (p *Publisher) reply(view *catalog.View, m *message.Message) (*route, error) {
	if p.mayReply != view {
		if _, err := p.s.target(view, nil); err != nil {
			return nil, err
		}
		p.mayReply = view
	}
	r := &p.replyRoute
	r.replies = r.replies[:0]
	r.addReply(p.s.b.replyAt(p.s.vhost, m.RoutingKey))
	return r, nil
}

// addReplies adds the addresses that a publication to the default exchange
// names among other keys.
func (r *route) addReplies(s *Session, pub *Publication) {
	if key := pub.Message.RoutingKey; isReply(key) {
		r.addReply(s.b.replyAt(s.vhost, key))
	}
	for _, key := range pub.Keys {
		if isReply(key) {
			r.addReply(s.b.replyAt(s.vhost, key))
		}
	}
}

// addReply adds an address that may be nil or there already.
func (r *route) addReply(x *Reply) {
	if x == nil {
		return
	}
	for _, have := range r.replies {
		if have == x || have.node != 0 && have.name == x.name {
			return
		}
	}
	r.replies = append(r.replies, x)
}

// replied delivers a message to the addresses of its route.
func (r *route) replied(m *message.Message) {
	blob := message.AppendTo(make([]byte, 0, message.Size(m)), m)
	for i, x := range r.replies {
		x.deliver(blob)
		r.replies[i] = nil
	}
	r.replies = r.replies[:0]
}
