package amqp091

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// A delivery that is not settled for too long closes its channel, so that a
// consumer that hangs does not keep messages for ever. How long that is says the
// consumer, else its queue, else the node.
//
// The deliveries of a channel lie in the order in which they were made: only
// those older than the shortest of these times are looked at, by the reader, now
// and then.
type overdue struct {
	timer *time.Timer // nil while nothing can become overdue
	due   atomic.Bool
	least time.Duration // the shortest time of any consumer so far
}

// Bounds of how often the reader looks.
const (
	leastLook = 100 * time.Millisecond
	mostLook  = time.Minute
)

// clock is the time since the front-end began, in milliseconds; it wraps.
func (c *conn) clock() uint32 { return uint32(time.Since(c.f.began) / time.Millisecond) }

// consumerTimeout reads a consumer's argument.
func consumerTimeout(args wire.Table) (d time.Duration, set bool, err error) {
	v, ok := args.Get("x-consumer-timeout")
	if !ok {
		return 0, false, nil
	}
	n, ok := v.Int()
	if !ok || n < 0 || n > 1<<32-1 {
		return 0, false, errorf(wire.CodePreconditionFailed, wire.IDBasicConsume, "invalid arg 'x-consumer-timeout': expected milliseconds")
	}
	return time.Duration(n) * time.Millisecond, true, nil
}

// watch begins to look after what a consumer, or a getter, does not settle.
func (c *conn) watch(k *consumer) {
	if k.noAck {
		return
	}
	c.refresh(k)
	o := &c.overdue
	if k.patience == 0 || o.timer != nil && o.least <= k.patience {
		return
	}
	o.least = k.patience
	if o.timer == nil {
		o.timer = time.AfterFunc(o.every(), func() {
			o.due.Store(true)
			c.wakeReader()
		})
		return
	}
	o.timer.Reset(o.every())
}

func (o *overdue) every() time.Duration { return min(max(o.least/8, leastLook), mostLook) }

// refresh asks how long a consumer may take: a policy may have changed.
func (c *conn) refresh(k *consumer) {
	if k.ownPatience {
		return
	}
	var ok bool
	if k.patience, ok = c.session.ConsumerTimeout(k.queue); !ok {
		k.patience = c.f.o.ConsumerTimeout
	}
}

// lookOverdue closes the channels that hold what they should have settled.
func (c *conn) lookOverdue() error {
	o := &c.overdue
	if !o.due.Swap(false) || c.state != running {
		return nil
	}
	now, watch := c.clock(), false
	for _, ch := range c.channels {
		for _, k := range ch.consumers {
			watch = watch || !k.noAck
			if k.reply == nil {
				c.refresh(k)
			}
		}
		late, left := ch.overdue(now, o.least)
		watch = watch || left
		if late == nil {
			continue
		}
		err := ch.close(&wire.Error{Code: wire.CodePreconditionFailed, Text: fmt.Sprintf(
			"delivery acknowledgement on channel %d timed out. Timeout value used: %d ms. This timeout value can be configured, see consumers doc guide to learn more",
			ch.id, late.patience/time.Millisecond)})
		if err != nil {
			return err
		}
	}
	c.out.wake(c)
	if watch {
		o.timer.Reset(o.every())
	} else {
		o.timer = nil
	}
	return nil
}

// overdue returns the consumer of a delivery that should have been settled, and
// whether there are others.
func (ch *channel) overdue(now uint32, least time.Duration) (late *consumer, left bool) {
	if ch.closing {
		return nil, false
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	u := &ch.mu.unacked
	for i := u.head; i < len(u.list); i++ {
		h := &u.list[i]
		age := time.Duration(now-h.at) * time.Millisecond
		if age < least {
			break
		}
		if h.to != nil && h.to.patience > 0 && age >= h.to.patience {
			return h.to, true
		}
	}
	return nil, u.n > 0
}

// stopLooking forgets the timer of a connection that ends.
func (c *conn) stopLooking() {
	if c.overdue.timer != nil {
		c.overdue.timer.Stop()
	}
}
