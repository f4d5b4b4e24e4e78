package amqp091

import (
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// confirms are the publisher confirms of a channel, guarded by its
// connection's outbox. What is confirmed in order coalesces into one frame with
// multiple; what is confirmed before its turn is told by itself.
//
// A frame with multiple never covers a tag of the other outcome: clients take
// such a frame for every tag up to its own that they have not heard of in
// order.
type confirms struct {
	low     uint64           // the lowest tag not confirmed
	runs    []confirmRun     // below low, to be told, in order
	early   map[uint64]early // beyond low
	singles []uint64         // of early, not told
	listed  bool             // the channel is in outbox.confirms
}

// A confirmRun is tags of one outcome. Those between two of its tags that are
// not in it were told before.
type confirmRun struct {
	first, last uint64
	refused     bool
	closed      bool // a told tag of the other outcome follows
}

// early says what is known of a tag that was confirmed before its turn.
type early struct{ refused, told bool }

func (k *confirms) confirmed(first uint64, n uint32, refused bool) {
	next := first + uint64(n)
	if first != k.low {
		if k.early == nil {
			k.early = map[uint64]early{}
		}
		for tag := first; tag < next; tag++ {
			k.early[tag] = early{refused: refused}
			k.singles = append(k.singles, tag)
		}
		return
	}
	k.run(first, next-1, refused)
	for k.low = next; len(k.early) > 0; k.low++ {
		e, ok := k.early[k.low]
		if !ok {
			return
		}
		delete(k.early, k.low)
		switch n := len(k.runs); {
		case !e.told:
			k.run(k.low, k.low, e.refused)
		case n > 0 && k.runs[n-1].refused != e.refused:
			k.runs[n-1].closed = true
		}
	}
}

func (k *confirms) run(first, last uint64, refused bool) {
	if n := len(k.runs); n > 0 && k.runs[n-1].refused == refused && !k.runs[n-1].closed {
		k.runs[n-1].last = last
		return
	}
	k.runs = append(k.runs, confirmRun{first: first, last: last, refused: refused})
}

// append appends the frames that tell the client, and takes them as told.
func (k *confirms) append(dst []byte, channel uint16) []byte {
	for _, r := range k.runs {
		dst = appendConfirm(dst, channel, r.last, r.first < r.last, r.refused)
	}
	for _, tag := range k.singles {
		if e, ok := k.early[tag]; ok && !e.told {
			dst = appendConfirm(dst, channel, tag, false, e.refused)
			k.early[tag] = early{refused: e.refused, told: true}
		}
	}
	k.runs, k.singles = k.runs[:0], k.singles[:0]
	return dst
}

func appendConfirm(dst []byte, channel uint16, tag uint64, multiple, refused bool) []byte {
	if refused {
		return wire.AppendNack(dst, channel, tag, multiple, false)
	}
	return wire.AppendAck(dst, channel, tag, multiple)
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
func (ch *channel) Unknown(uint64, uint32) {
	ch.broke(&wire.Error{Code: wire.CodeInternalError, Text: "the outcome of a publish is unknown", Method: wire.IDBasicPublish})
}

// Wake implements shard.Confirms and shard.Sink.
func (ch *channel) Wake() { ch.c.out.wake(ch.c) }
