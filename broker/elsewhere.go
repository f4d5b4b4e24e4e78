package broker

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/memory"
)

// memoryOf returns the memory of another node, where a queue is; nil if there is
// no way to it.
func (b *Broker) memoryOf(q *catalog.Queue) shard.Shard {
	if b.o.Memory == nil {
		return nil
	}
	inc := b.View().Incarnation(q.Incarnation)
	if inc == nil {
		return nil // it ended: the queue ends with it
	}
	return b.o.Memory(queue.Incarnation{Node: inc.Node, Number: inc.Number})
}

// MemoryQueue returns a queue in the memory of this node, nil if there is none.
func (b *Broker) MemoryQueue(id shard.QueueID) *memory.Queue {
	b.mu.RLock()
	m := b.mu.queues[id]
	b.mu.RUnlock()
	if m != nil {
		return m
	}
	if q := b.View().QueueByID(id); q != nil && q.Shard == 0 && q.Incarnation == b.o.Incarnation {
		return b.begin(q) // the view is ahead of Changed
	}
	return nil
}

// MemoryQueues lists the queues in the memory of this node, in no order.
func (b *Broker) MemoryQueues() []*memory.Queue {
	b.mu.RLock()
	defer b.mu.RUnlock()
	all := make([]*memory.Queue, 0, len(b.mu.queues))
	for _, m := range b.mu.queues {
		all = append(all, m)
	}
	return all
}

// --- replies to addresses of other nodes ---

// replyAt returns the address of that name in a vhost, here or on another node;
// nil if it is not here. Whether one of another node is still there nobody says.
func (b *Broker) replyAt(vhost string, name []byte) *Reply {
	if r := b.replies.find(vhost, name); r != nil || b.o.Post == nil || len(name) > maxReplyName {
		return r
	}
	node, err := strconv.ParseUint(string(name[bytes.LastIndexByte(name, '.')+1:]), 36, 64)
	if err != nil || node == b.o.Node || b.View().Node(node) == nil {
		return nil
	}
	return &Reply{b: b, vhost: vhost, name: string(name), node: node}
}

// maxReplyName bounds what is taken for an address of another node.
const maxReplyName = 255

// post sends a message to an address of another node:
//
//	vhost length | vhost | name length | name | message
//
// Nobody answers: a reply whose address is gone is lost, as one that was sent
// just before its end.
func (r *Reply) post(blob []byte) bool {
	data := make([]byte, 0, 2*binary.MaxVarintLen16+len(r.vhost)+len(r.name)+len(blob))
	data = append(binary.AppendUvarint(data, uint64(len(r.vhost))), r.vhost...)
	data = append(binary.AppendUvarint(data, uint64(len(r.name))), r.name...)
	return r.b.o.Post(r.node, append(data, blob...))
}

// Posted takes what another node sent for an address of this one. It owns data,
// and does not block.
func (b *Broker) Posted(data []byte) {
	vhost, rest, ok := cutBytes(data)
	name, blob, fine := cutBytes(rest)
	if !ok || !fine {
		return
	}
	if _, err := message.Parse(blob); err != nil {
		return
	}
	if r := b.replies.find(string(vhost), name); r != nil {
		r.deliver(blob)
	}
}

// cutBytes reads a length and so many bytes.
func cutBytes(b []byte) (x, rest []byte, ok bool) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)-k) {
		return nil, nil, false
	}
	return b[k : k+int(n)], b[k+int(n):], true
}

// --- consumers, as operators of other nodes see them ---

// Tell returns what operators of other nodes are to see of a consumer; nil if
// its protocol says nothing.
func (b *Broker) Tell(c *shard.Consumer) []byte {
	x, ok := c.User.(Labelled)
	if !ok {
		return nil
	}
	l := x.Label()
	d := binary.AppendUvarint(nil, l.Session)
	d = binary.AppendUvarint(d, uint64(l.Channel))
	d = append(binary.AppendUvarint(d, uint64(len(l.Tag))), l.Tag...)
	return append(d, l.Properties...)
}

// A farLabel is the label of a consumer of another node.
type farLabel struct{ label ConsumerLabel }

// Label implements Labelled.
func (l farLabel) Label() ConsumerLabel { return l.label }

// Label returns what Tell said at another node, as a Consumer.User; nil if it
// said nothing.
func (b *Broker) Label(_ queue.Incarnation, data []byte) any {
	session, k := binary.Uvarint(data)
	if k <= 0 {
		return nil
	}
	data = data[k:]
	channel, k := binary.Uvarint(data)
	if k <= 0 || channel > 1<<16-1 {
		return nil
	}
	tag, properties, ok := cutBytes(data[k:])
	if !ok {
		return nil
	}
	t := message.Table(append([]byte(nil), properties...))
	if t.Check() != nil {
		return nil
	}
	return farLabel{ConsumerLabel{Session: session, Channel: uint16(channel), Tag: string(tag), Properties: t}}
}
