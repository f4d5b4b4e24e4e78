package amqp091_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// A full node: its memory for queues is used up by one connection, which is
// blocked and has parked a message.
type fullNode struct {
	*running
	p     *peer // the publisher: channel 1 publishes to queue "m", numbered bodies
	n     int   // messages it published
	taker *peer // another connection, which takes from "m"
}

func fill(t *testing.T, heartbeat uint16) *fullNode {
	t.Helper()
	r := own(t, small)
	f := &fullNode{running: r, p: dial(t, r.addr()), taker: session(t, r.addr())}
	f.p.login(args(field("connection.blocked", wire.Bool(true))))
	f.p.send(0, &wire.ConnectionTuneOK{ChannelMax: 2, FrameMax: f.p.max, Heartbeat: heartbeat}, &wire.ConnectionOpen{VirtualHost: "/"})
	expect[*wire.ConnectionOpenOK](f.p, 0)
	f.p.channel(1)
	f.p.channel(2)
	f.taker.send(1, &wire.QueueDeclare{Queue: "m"})
	expect[*wire.QueueDeclareOK](f.taker, 1)
	for blocked := false; !blocked; {
		f.publish(256 << 10)
		f.p.send(2, &wire.ChannelFlow{Active: true})
		_, m := f.p.next()
		if b, ok := m.(*wire.ConnectionBlocked); ok {
			if b.Reason != "low on memory" {
				t.Errorf("%+v", b)
			}
			blocked = true
			expect[*wire.ChannelFlowOK](f.p, 2)
		}
	}
	return f
}

func (f *fullNode) publish(size int) {
	f.p.publish(1, message{key: "m", body: fmt.Sprint(f.n, strings.Repeat(" ", size))})
	f.n++
}

// all checks deliveries up to the last message that was published.
func (f *fullNode) all(p *peer, channel uint16, from int) {
	p.t.Helper()
	for i := from; i < f.n; i++ {
		if d := p.deliver(channel); strings.TrimSpace(d.body) != fmt.Sprint(i) {
			p.t.Fatalf("message %d: %.10q", i, d.body)
		}
	}
}

// behaviour 16: while publishes wait, the acknowledgements and the other
// channels of their connection go on, and so it can make room itself.
func TestBlockedConnectionConsumes(t *testing.T) {
	t.Parallel()
	f := fill(t, 0)
	// What the channel is sent waits in its order.
	f.p.send(1, &wire.QueueDeclare{Queue: "m", Passive: true})
	f.p.idle(2)
	f.p.qos(2, 1, false)
	f.p.consume(2, wire.BasicConsume{Queue: "m", ConsumerTag: "c"})
	for i, unblocked := 0, false; i < f.n || !unblocked; {
		ch, m := f.p.next()
		switch m := m.(type) {
		case *wire.BasicDeliver:
			if _, body := f.p.content(ch); strings.TrimSpace(body) != fmt.Sprint(i) {
				t.Fatalf("message %d: %.10q", i, body)
			}
			i++
			f.p.send(2, &wire.BasicAck{DeliveryTag: m.DeliveryTag})
		case *wire.ConnectionUnblocked:
			if i == 0 {
				t.Error("unblocked before anything was taken")
			}
			unblocked = true
		case *wire.QueueDeclareOK:
			// The parked message was in the queue by then.
			if !unblocked && i == 0 || m.ConsumerCount != 1 {
				t.Errorf("%+v after %d messages", m, i)
			}
		default:
			t.Fatalf("channel %d: %+v", ch, m)
		}
	}
	f.p.idle(2)
	f.publish(10) // the channel serves on
	f.all(f.p, 2, f.n-1)
}

// Acknowledgements on the publishing channel itself do not wait either; a wrong
// one is told so in its turn.
func TestBlockedChannelAcknowledges(t *testing.T) {
	t.Parallel()
	f := fill(t, 0)
	p := dial(t, f.addr())
	p.open(args(field("connection.blocked", wire.Bool(true))))
	p.channel(1)
	p.qos(1, 1, false)
	p.consume(1, wire.BasicConsume{Queue: "m", ConsumerTag: "c"})
	first := p.deliver(1)
	p.publish(1, message{key: "m", body: "into memory before it is known where it goes"})
	p.idle(1)
	p.publish(1, message{key: "m", body: "parked"})
	expect[*wire.ConnectionBlocked](p, 0)
	p.send(1, &wire.BasicAck{DeliveryTag: first.DeliveryTag}, &wire.BasicAck{DeliveryTag: 77})
	if second := p.deliver(1); strings.TrimSpace(second.body) != "1" {
		t.Fatalf("%.10q", second.body)
	}
	f.taker.send(1, &wire.QueuePurge{Queue: "m"})
	expect[*wire.QueuePurgeOK](f.taker, 1)
	for {
		ch, m := p.next()
		switch m := m.(type) {
		case *wire.BasicDeliver:
			p.content(ch)
		case *wire.ConnectionUnblocked:
		case *wire.ChannelClose:
			if m.ReplyText != "PRECONDITION_FAILED - unknown delivery tag 77" {
				t.Errorf("%+v", m)
			}
			return
		default:
			t.Fatalf("%+v", m)
		}
	}
}

// A connection that only consumes is never told that it is blocked.
func TestConsumersAreNotBlocked(t *testing.T) {
	t.Parallel()
	f := fill(t, 0)
	p := dial(t, f.addr())
	p.open(args(field("connection.blocked", wire.Bool(true))))
	p.channel(1)
	p.idle(1)
	p.consume(1, wire.BasicConsume{Queue: "m", ConsumerTag: "c", NoAck: true})
	f.all(p, 1, 0) // the parked one, too
	expect[*wire.ConnectionUnblocked](f.p, 0)
	p.idle(1)
}

// What was published before connection.close arrives, however long it waits.
func TestCloseWhileBlocked(t *testing.T) {
	t.Parallel()
	f := fill(t, 0)
	f.p.send(0, &wire.ConnectionClose{ReplyCode: 200})
	f.taker.consume(1, wire.BasicConsume{Queue: "m", ConsumerTag: "c", NoAck: true})
	f.all(f.taker, 1, 0)
	if _, m := f.p.next(); m.ID() == wire.IDConnectionUnblocked {
		expect[*wire.ConnectionCloseOK](f.p, 0)
	} else if m.ID() != wire.IDConnectionCloseOK {
		t.Errorf("%+v", m)
	}
	f.p.eof()
}

// The parking is bounded: then the broker stops reading.
func TestParkingIsBounded(t *testing.T) {
	t.Parallel()
	f := fill(t, 0)
	const n = 64
	before := f.n
	written := make(chan struct{})
	go func() { // ends when all is written: the deliveries below make room
		defer close(written)
		for i := range n {
			_ = f.p.nc.SetWriteDeadline(time.Now().Add(3 * patience))
			if _, err := f.p.nc.Write(message{key: "m", body: fmt.Sprint(before+i, strings.Repeat(" ", 512<<10))}.frames(1, f.p.max)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	select {
	case <-written:
		t.Error("all was read")
	case <-time.After(500 * time.Millisecond):
	}
	f.taker.consume(1, wire.BasicConsume{Queue: "m", ConsumerTag: "c", NoAck: true})
	f.n += n
	f.all(f.taker, 1, 0)
	<-written
	f.p.settled(2)
}

// settled is idle for a connection that is told more than once whether it is
// blocked.
func (p *peer) settled(channel uint16) {
	p.t.Helper()
	p.send(channel, &wire.ChannelFlow{Active: true})
	for {
		_, m := p.next()
		switch m.(type) {
		case *wire.ConnectionBlocked, *wire.ConnectionUnblocked:
		case *wire.ChannelFlowOK:
			return
		default:
			p.t.Fatalf("%+v", m)
		}
	}
}

// A client that goes while it is blocked leaves nothing that waits.
func TestGoneWhileBlocked(t *testing.T) {
	t.Parallel()
	f := fill(t, 0)
	taken := f.n - 1
	_ = f.p.nc.Close()
	f.taker.consume(1, wire.BasicConsume{Queue: "m", ConsumerTag: "c", NoAck: true})
	f.n = taken
	f.all(f.taker, 1, 0)
	// What waits is the last. It may get in before the broker knows that its
	// client has gone.
	f.taker.send(1, &wire.ChannelFlow{Active: true})
	ch, m := f.taker.next()
	if _, ok := m.(*wire.BasicDeliver); ok {
		if _, body := f.taker.content(ch); strings.TrimSpace(body) != fmt.Sprint(taken) {
			t.Fatalf("after %d messages: %.10q", taken, body)
		}
		_, m = f.taker.next()
	}
	if _, ok := m.(*wire.ChannelFlowOK); !ok {
		t.Fatalf("%T %+v", m, m)
	}
}

// A broker that has stopped reading does not take the silence for the client's
// death, and shows that it lives itself (behaviour 5).
func TestHeartbeatWhileBlocked(t *testing.T) {
	t.Parallel()
	f := fill(t, 1)
	body := message{key: "m", body: strings.Repeat(" ", 512<<10)}.frames(1, f.p.max)
	_ = f.p.nc.SetWriteDeadline(time.Now().Add(3 * time.Second)) // more than two intervals
	for n := 0; ; n++ {
		if _, err := f.p.nc.Write(body); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("after %d messages: %v", n, err)
			}
			break
		}
	}
	var b [4096]byte
	_ = f.p.nc.SetReadDeadline(time.Now().Add(patience))
	n, err := f.p.nc.Read(b[:])
	if err != nil || string(b[:8]) != string(wire.AppendHeartbeat(nil)) {
		t.Errorf("read %q, %v", b[:n], err)
	}
}
