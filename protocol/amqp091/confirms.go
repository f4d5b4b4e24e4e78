package amqp091

import (
	"slices"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// confirms are the publisher confirms of a channel, guarded by its
// connection's outbox. What is confirmed in order coalesces into one basic.ack
// with multiple; what is confirmed before its turn is acknowledged by itself.
type confirms struct {
	low    uint64              // the lowest tag not confirmed
	told   uint64              // up to here all was told to the client
	plain  bool                // there is an acknowledged tag in (told, low)
	early  map[uint64]struct{} // confirmed beyond low
	acks   []uint64            // of early, to be told
	nacks  []uint64            // to be told
	listed bool                // the channel is in outbox.confirms
}

func (k *confirms) confirmed(first uint64, n uint32, refused bool) {
	next := first + uint64(n)
	if refused {
		for tag := first; tag < next; tag++ {
			k.nacks = append(k.nacks, tag)
		}
	}
	if first != k.low {
		if k.early == nil {
			k.early = map[uint64]struct{}{}
		}
		for tag := first; tag < next; tag++ {
			k.early[tag] = struct{}{}
			if !refused {
				k.acks = append(k.acks, tag)
			}
		}
		return
	}
	k.low = next
	k.plain = k.plain || !refused
	for len(k.early) > 0 {
		if _, ok := k.early[k.low]; !ok {
			return
		}
		delete(k.early, k.low)
		k.low++
	}
}

// append appends the frames that tell the client, and takes them as told.
func (k *confirms) append(dst []byte, channel uint16) []byte {
	slices.Sort(k.nacks)
	for _, tag := range k.nacks {
		dst = wire.AppendNack(dst, channel, tag, false, false)
	}
	last := k.low - 1
	if k.plain {
		// A nack told before is not taken back by an ack that covers it, but a
		// client that looks at the tag itself should see one that was acked.
		for last > k.told && slices.Contains(k.nacks, last) {
			last--
		}
		dst = wire.AppendAck(dst, channel, last, last > k.told+1)
	}
	for _, tag := range k.acks {
		if tag >= k.low || !k.plain {
			dst = wire.AppendAck(dst, channel, tag, false)
		}
	}
	k.told, k.plain, k.nacks, k.acks = k.low-1, false, k.nacks[:0], k.acks[:0]
	return dst
}

// confirm appends the frames of all channels that have confirms, with o locked.
func (w *writer) confirm(o *outbox) {
	for i, ch := range o.confirms {
		w.acks = ch.confirms.append(w.acks, ch.id)
		ch.confirms.listed = false
		o.confirms[i] = nil
	}
	o.confirms = o.confirms[:0]
}

// Confirmed implements shard.Confirms.
func (ch *channel) Confirmed(first uint64, n uint32, refused bool) {
	o := &ch.c.out
	o.Lock()
	defer o.Unlock()
	if ch.gone.Load() {
		return
	}
	ch.confirms.confirmed(first, n, refused)
	if !ch.confirms.listed {
		ch.confirms.listed = true
		o.confirms = append(o.confirms, ch)
	}
}

// Unknown implements shard.Confirms: there is no honest answer but to end the
// channel.
func (ch *channel) Unknown(uint64, uint32) { ch.lost.Store(true) }

// Wake implements shard.Confirms and shard.Sink.
func (ch *channel) Wake() { ch.c.out.wake(ch.c) }
