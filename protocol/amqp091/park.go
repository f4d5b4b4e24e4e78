package amqp091

import (
	"errors"
	"os"
	"time"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// What a channel publishes while its publisher is held is parked, frame by
// frame, with everything else that the channel is sent: its order stays. The
// reader reads on, so acknowledgements, heartbeats and other channels do.
// When the parking is full it stops reading until some of it was taken.

// Bounds of the parking.
const (
	maxParked    = 1 << 20  // bytes of a connection; what one read brings may come on top
	maxParkedAll = 32 << 20 // bytes of all connections, beyond which none parks more
)

// A parking is what a connection has parked. It belongs to the reader.
type parking struct {
	held    []*channel
	bytes   int
	blocked bool          // the client was told connection.blocked
	why     broker.Alarms // what for
	watch   *broker.Watch // has the reader woken when that is over
}

// mustWait reports whether a publish has to wait, and holds its channel then.
func (ch *channel) mustWait() bool {
	if ch.publisher == nil {
		ch.publisher = ch.c.session.NewPublisher(ch)
		ch.publisher.Channel = ch.id
	}
	held, why := ch.publisher.Held()
	if held {
		ch.hold(why)
	}
	return held
}

// hold has what the channel is sent parked from now on.
func (ch *channel) hold(why broker.Alarms) {
	p := &ch.c.parking
	ch.held = true
	p.held = append(p.held, ch)
	ch.c.seen.held.Store(true)
	if why == 0 {
		return
	}
	p.why |= why
	if !p.blocked {
		p.blocked = true
		ch.c.seen.blocked.Store(true)
		if ch.c.caps.blocked {
			ch.c.send(&wire.ConnectionBlocked{Reason: why.String()})
		}
		ch.c.watchRelief()
	}
}

// park keeps a frame.
func (ch *channel) park(f wire.Frame) {
	before := len(ch.parked)
	ch.parked = wire.AppendFrame(ch.parked, f)
	ch.c.addParked(len(ch.parked) - before)
}

func (c *conn) addParked(n int) {
	c.parking.bytes += n
	c.f.parked.Add(int64(n))
}

// waiting handles a frame of a channel that is held. Acknowledgements do not
// wait for publishes: what they free may be what the node is short of. One
// that is wrong is told so in its turn.
func (ch *channel) waiting(f wire.Frame) {
	if f.Type == wire.FrameMethod && ch.tx == nil {
		switch id, _, _ := wire.SplitMethod(f.Payload); id {
		case wire.IDBasicAck, wire.IDBasicNack, wire.IDBasicReject:
			if ch.method(f) == nil {
				return
			}
		}
	}
	ch.park(f)
}

// unhold forgets what the channel has parked: it ends.
func (ch *channel) unhold() {
	if !ch.held {
		return
	}
	ch.held = false
	ch.c.addParked(-len(ch.parked))
	ch.parked = nil
	ch.dropLate()
	p := &ch.c.parking
	for i, x := range p.held {
		if x == ch {
			p.held = append(p.held[:i], p.held[i+1:]...)
			return
		}
	}
}

// Ready implements broker.PublisherSink.
func (ch *channel) Ready() { ch.c.wakeReader() }

// wakeReader has the reader look at what is parked, wherever it waits.
func (c *conn) wakeReader() {
	o := &c.out
	o.Lock()
	o.due.Store(true)
	o.drained.Broadcast()
	o.Unlock()
	_ = c.nc.SetReadDeadline(past())
}

// interrupted reports whether a read ended only because wakeReader did that.
func (c *conn) interrupted(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || c.ctx.Err() != nil {
		return false
	}
	switch c.state {
	case running:
		c.readOn()
		c.rest()
		return true
	case closing:
		// It came late: the wait for the client's answer goes on.
		_ = c.nc.SetReadDeadline(c.closeAt)
		return time.Now().Before(c.closeAt) //nolint:forbidigo // a socket's deadline
	default:
		return false
	}
}

// readOn lifts the deadline of reads, unless the connection ends.
func (c *conn) readOn() {
	_ = c.nc.SetReadDeadline(time.Time{})
	if c.ctx.Err() != nil {
		_ = c.nc.SetReadDeadline(past()) // it ended just now
	}
}

// full reports whether nothing more can be parked.
func (c *conn) full() bool {
	n := c.parking.bytes
	return n >= maxParked || n > 0 && c.f.parked.Load() >= maxParkedAll
}

// resume publishes what was parked and has not to wait any more.
func (c *conn) resume() error {
	p := &c.parking
	if !c.out.due.Load() {
		return nil
	}
	c.out.due.Store(false)
	if len(p.held) == 0 && !p.blocked || c.state != running {
		return nil
	}
	held := p.held
	p.held = nil
	var short broker.Alarms // what channels still wait for
	for _, ch := range held {
		if !ch.held {
			continue // it ended with what was parked before it
		}
		if still, why := ch.publisher.Held(); still {
			short |= why
			ch.hold(why)
			continue
		}
		frames := ch.parked
		c.addParked(-len(frames))
		ch.held, ch.parked = false, nil
		if err := ch.publishLate(); err != nil {
			return err
		}
		if ch.held { // some are late again
			ch.parked = frames
			c.addParked(len(frames))
			continue
		}
		if err := c.replay(frames); err != nil {
			return err
		}
		if c.state != running {
			return nil
		}
	}
	c.seen.held.Store(len(p.held) > 0)
	if short == 0 {
		c.relieved()
	}
	c.out.wake(c)
	return nil
}

// replay handles parked frames as if they were read now. What has to wait
// again is parked again.
func (c *conn) replay(frames []byte) error {
	for len(frames) > 0 && c.state == running {
		f, n, err := wire.ScanFrame(frames, c.frameMax)
		if err == nil {
			frames = frames[n:]
			err = c.frame(f)
		}
		if err != nil {
			if err = c.fail(err); err != nil {
				return err
			}
		}
	}
	return c.handled(nil)
}

// watchRelief has the reader woken when what the connection is blocked for may
// be over.
func (c *conn) watchRelief() {
	if c.parking.watch = c.f.o.Broker.Watch(c.wakeReader); c.parking.watch == nil {
		c.wakeReader() // it is over
	}
}

// relieved tells the client that it is not blocked any more, if that is so.
func (c *conn) relieved() {
	p, b := &c.parking, c.f.o.Broker
	if !p.blocked {
		return
	}
	c.unwatch()
	if b.Alarms()&^broker.LowLog != 0 || b.Short()&p.why != 0 {
		c.watchRelief()
		return
	}
	p.blocked, p.why = false, 0
	c.seen.blocked.Store(false)
	if c.caps.blocked {
		c.send(&wire.ConnectionUnblocked{})
	}
}

func (c *conn) unwatch() {
	if w := c.parking.watch; w != nil {
		w.Stop()
		c.parking.watch = nil
	}
}

// unpark returns when nothing is parked any more: the client wants to close,
// and what it published before has to be in its queues. What it holds goes back
// meanwhile, for others may need that to make room.
func (c *conn) unpark() error {
	if len(c.parking.held) == 0 {
		return nil
	}
	for _, ch := range c.channels {
		ch.giveBack()
	}
	for len(c.parking.held) > 0 && c.state == running {
		if !c.out.waitDue(c.ctx) {
			return errPeerGone
		}
		if err := c.resume(); err != nil {
			return err
		}
	}
	return nil
}
