package client

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

func (d Delivery) String() string {
	return fmt.Sprintf("%s %d %v %s %s %s %s %x", d.ConsumerTag, d.Tag, d.Redelivered, d.Exchange, d.RoutingKey,
		d.Props.ContentType(), d.Props.MessageID(), d.Body)
}

// TestDeliveries cuts the same deliveries, to two consumers on two channels
// whose frames interleave, into reads of every size: each message arrives whole
// and in order.
func TestDeliveries(t *testing.T) {
	frames, wanted := interleaved()
	for _, step := range []int{1, 2, 3, 7, 8, 19, 50, 61, 100, 1000, len(frames)} {
		t.Run(fmt.Sprintf("read=%d", step), func(t *testing.T) {
			got := map[string][]string{}
			done := make(chan struct{})
			count, batches := 0, 0
			take := func(batch []Delivery) {
				batches++
				for _, d := range batch {
					got[d.ConsumerTag] = append(got[d.ConsumerTag], d.String())
					if count++; count == len(wanted["a"])+len(wanted["b"]) {
						close(done)
					}
				}
			}
			c := open(t, Options{FrameMax: wire.FrameMinSize}, func(s *fake) {
				for number, tag := range []string{1: "a", 2: "b"} {
					if number == 0 {
						continue
					}
					s.openChannel(uint16(number))
					want[wire.BasicConsume](s, uint16(number))
					s.send(uint16(number), &wire.BasicConsumeOK{ConsumerTag: tag})
				}
				for piece := range slices.Chunk(frames, step) {
					s.write(piece)
				}
				s.close()
			})
			for _, tag := range []string{"a", "b"} {
				ch, err := c.Channel(within(t), ChannelOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if got, err := ch.Consume(within(t), wire.BasicConsume{Queue: "q", NoAck: true}, take); err != nil || got != tag {
					t.Fatalf("tag %q, %v", got, err)
				}
			}
			receive(t, done)
			if err := c.Close(within(t)); err != nil {
				t.Fatal(err)
			}
			for tag, list := range wanted {
				if !slices.Equal(got[tag], list) {
					t.Errorf("consumer %s got\n%.300v\nwant\n%.300v", tag, got[tag], list)
				}
			}
			if step == len(frames) && batches > len(frames)/readStart+10 {
				t.Errorf("%d batches of %d messages in one write", batches, count)
			}
		})
	}
}

// interleaved returns the frames of messages on channels 1 and 2 in turn, and
// what each consumer is to get.
func interleaved() (frames []byte, wanted map[string][]string) {
	bodies := [][]byte{nil, []byte("x"), bytes.Repeat([]byte("small"), 20), bytes.Repeat([]byte("large"), 5000), {}, []byte("last")}
	var queues [2][][]byte // frames per channel
	wanted = map[string][]string{}
	for n, body := range bodies {
		for i, tag := range []string{"a", "b"} {
			all := deliver(nil, uint16(i+1), tag, uint64(n+i), body, wire.FrameMinSize)
			wanted[tag] = append(wanted[tag], expected(tag, all))
			for len(all) > 0 {
				size := wire.FrameLen(all)
				queues[i] = append(queues[i], all[:size])
				all = all[size:]
			}
		}
	}
	for len(queues[0])+len(queues[1]) > 0 {
		for i := range queues {
			if len(queues[i]) > 0 {
				frames = append(frames, queues[i][0]...)
				queues[i] = queues[i][1:]
			}
		}
	}
	return frames, wanted
}

// expected decodes a delivery the plain way.
func expected(tag string, frames []byte) string {
	var m wire.BasicDeliver
	d := Delivery{ConsumerTag: tag}
	for i := 0; len(frames) > 0; i++ {
		f, n, err := wire.ScanFrame(frames, wire.FrameMinSize)
		if err != nil {
			panic(err)
		}
		switch i {
		case 0:
			if err := m.Decode(f.Payload[4:]); err != nil {
				panic(err)
			}
		case 1:
			h, err := wire.DecodeHeader(f.Payload)
			if err != nil {
				panic(err)
			}
			d.Props = h.Props
		default:
			d.Body = append(d.Body, f.Payload...)
		}
		frames = frames[n:]
	}
	d.Tag, d.Redelivered, d.Exchange, d.RoutingKey = m.DeliveryTag, m.Redelivered, m.Exchange, m.RoutingKey
	return d.String()
}

// TestSettling: what a callback settles is written when it returns; others
// flush.
func TestSettling(t *testing.T) {
	settled := make(chan struct{})
	c, ch := openChannel(t, Options{}, ChannelOptions{}, func(s *fake) {
		m := want[wire.BasicConsume](s, 1)
		if m.ConsumerTag != "mine" || m.NoWait {
			s.t.Errorf("consume %+v", m)
		}
		// The first messages come with the answer itself.
		out := (&wire.BasicConsumeOK{ConsumerTag: "mine"}).AppendFrame(nil, 1)
		for n := range uint64(3) {
			out = deliver(out, 1, "mine", n+1, []byte("body"), wire.DefaultFrameMax)
		}
		s.write(deliver(out, 1, "unknown", 4, nil, wire.DefaultFrameMax))
		if m := want[wire.BasicAck](s, 1); m.DeliveryTag != 3 || !m.Multiple {
			s.t.Errorf("ack %+v", m)
		}
		close(settled)
		if m := want[wire.BasicNack](s, 1); m.DeliveryTag != 8 || m.Multiple || !m.Requeue {
			s.t.Errorf("nack %+v", m)
		}
		if m := want[wire.BasicReject](s, 1); m.DeliveryTag != 9 || !m.Requeue {
			s.t.Errorf("reject %+v", m)
		}
		want[wire.BasicCancel](s, 1)
		s.write((&wire.BasicCancelOK{ConsumerTag: "mine"}).AppendFrame(deliver(nil, 1, "mine", 10, nil, wire.DefaultFrameMax), 1))
		s.close()
	})
	var got []uint64
	take := func(batch []Delivery) {
		for _, d := range batch {
			got = append(got, d.Tag)
		}
		if len(got) == 3 {
			if err := ch.Ack(wire.BasicAck{DeliveryTag: 3, Multiple: true}); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := ch.Consume(within(t), wire.BasicConsume{Queue: "q", ConsumerTag: "mine", NoWait: true}, take); err != nil {
		t.Fatal(err)
	}
	receive(t, settled)
	if err := ch.Nack(wire.BasicNack{DeliveryTag: 8, Requeue: true}); err != nil {
		t.Fatal(err)
	}
	if err := ch.Reject(wire.BasicReject{DeliveryTag: 9, Requeue: true}); err != nil {
		t.Fatal(err)
	}
	if err := ch.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := ch.Cancel(within(t), "mine"); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, []uint64{1, 2, 3, 10}) {
		t.Errorf("when Cancel returned, the consumer had %v", got)
	}
	if err := c.Close(within(t)); err != nil {
		t.Fatal(err)
	}
}

func TestGet(t *testing.T) {
	body := bytes.Repeat([]byte("b"), 20_000)
	c, ch := openChannel(t, Options{FrameMax: wire.FrameMinSize}, ChannelOptions{}, func(s *fake) {
		want[wire.BasicGet](s, 1)
		m := wire.BasicGetOK{DeliveryTag: 5, Redelivered: true, Exchange: []byte("e"), RoutingKey: []byte("k"), MessageCount: 9}
		out := wire.AppendHeader(m.AppendFrame(nil, 1), 1, (&wire.Properties{Type: "t"}).Append(nil), uint64(len(body)))
		s.write(wire.AppendBodyFrames(out, 1, body, wire.FrameMinSize))
		want[wire.BasicGet](s, 1)
		s.send(1, &wire.BasicGetEmpty{})
		s.close()
	})
	m, err := ch.Get(within(t), wire.BasicGet{Queue: "q"})
	if err != nil {
		t.Fatal(err)
	}
	if m.Tag != 5 || !m.Redelivered || string(m.Exchange)+string(m.RoutingKey) != "ek" || m.Remaining != 9 ||
		string(m.Props.Type()) != "t" || !bytes.Equal(m.Body, body) {
		t.Errorf("message %+v", m)
	}
	if m, err := ch.Get(within(t), wire.BasicGet{Queue: "q"}); m != nil || err != nil {
		t.Errorf("empty queue: %v, %v", m, err)
	}
	if err := c.Close(within(t)); err != nil {
		t.Fatal(err)
	}
}

// TestEvents: what a server says on its own.
func TestEvents(t *testing.T) {
	events := make(chan string, 10)
	c, ch := openChannel(t, Options{
		OnBlocked: func(b Blocked) { events <- fmt.Sprintf("blocked %v %q", b.Active, b.Reason) },
	}, ChannelOptions{
		OnReturn: func(r Return) {
			events <- fmt.Sprintf("return %v %s %s %s %s %q", r.Code, r.Text, r.Exchange, r.RoutingKey, r.Props.MessageID(), r.Body)
		},
		OnCancel: func(tag string) { events <- "cancel " + tag },
	}, func(s *fake) {
		want[wire.BasicConsume](s, 1)
		s.send(1, &wire.BasicConsumeOK{ConsumerTag: "c"})
		s.send(0, &wire.ConnectionBlocked{Reason: "low on memory"})
		s.send(0, &wire.ConnectionUnblocked{})
		m := wire.BasicReturn{ReplyCode: wire.CodeNoRoute, ReplyText: []byte("NO_ROUTE"), Exchange: []byte("e"), RoutingKey: []byte("k")}
		// In three reads, so that its parts have to be kept.
		s.write(m.AppendFrame(nil, 1))
		s.write(wire.AppendHeader(nil, 1, (&wire.Properties{MessageID: "m"}).Append(nil), 4))
		s.write(wire.AppendBodyFrames(nil, 1, []byte("back"), 0))
		s.send(1, &wire.BasicCancel{ConsumerTag: "c", NoWait: true})
		s.send(1, &wire.BasicCancel{ConsumerTag: "d"})
		want[wire.BasicCancelOK](s, 1)
		s.send(1, &wire.ChannelFlow{Active: true})
		if m := want[wire.ChannelFlowOK](s, 1); !m.Active {
			s.t.Error("flow-ok says no")
		}
		events <- "flow"
		s.close()
	})
	if _, err := ch.Consume(within(t), wire.BasicConsume{Queue: "q"}, func([]Delivery) { t.Error("a delivery") }); err != nil {
		t.Fatal(err)
	}
	for _, wanted := range []string{
		`blocked true "low on memory"`, `blocked false ""`, `return NO_ROUTE NO_ROUTE e k m "back"`, "cancel c", "cancel d", "flow",
	} {
		if got := receive(t, events); got != wanted {
			t.Errorf("got %s, want %s", got, wanted)
		}
	}
	if err := c.Close(within(t)); err != nil {
		t.Fatal(err)
	}
}
