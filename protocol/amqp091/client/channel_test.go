package client

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// TestCalls: each call sends what it was given and returns the answer.
func TestCalls(t *testing.T) {
	args := wire.Table{{Key: "x-max-length", Value: wire.Int64(5)}}
	var seen []wire.Method
	step := func(s *fake, m wire.Method, answer wire.Method) {
		f := s.frame()
		got, err := wire.DecodeMethod(slices.Clone(f.Payload))
		if err != nil || got.ID() != m.ID() || f.Channel != 1 {
			s.t.Errorf("want %v, got %v, %v", m.ID(), got, err)
		}
		seen = append(seen, got)
		if answer != nil {
			s.send(1, answer)
		}
	}
	c, ch := openChannel(t, Options{}, ChannelOptions{}, func(s *fake) {
		step(s, &wire.QueueDeclare{}, &wire.QueueDeclareOK{Queue: "q", MessageCount: 3, ConsumerCount: 2})
		step(s, &wire.QueueDeclare{}, nil)
		step(s, &wire.QueueBind{}, &wire.QueueBindOK{})
		step(s, &wire.QueueUnbind{}, &wire.QueueUnbindOK{})
		step(s, &wire.QueuePurge{}, &wire.QueuePurgeOK{MessageCount: 7})
		step(s, &wire.QueueDelete{}, &wire.QueueDeleteOK{MessageCount: 8})
		step(s, &wire.ExchangeDeclare{}, &wire.ExchangeDeclareOK{})
		step(s, &wire.ExchangeBind{}, &wire.ExchangeBindOK{})
		step(s, &wire.ExchangeUnbind{}, &wire.ExchangeUnbindOK{})
		step(s, &wire.ExchangeDelete{}, &wire.ExchangeDeleteOK{})
		step(s, &wire.BasicQos{}, &wire.BasicQosOK{})
		step(s, &wire.BasicRecover{}, &wire.BasicRecoverOK{})
		step(s, &wire.TxSelect{}, &wire.TxSelectOK{})
		step(s, &wire.TxCommit{}, &wire.TxCommitOK{})
		step(s, &wire.TxRollback{}, &wire.TxRollbackOK{})
		want[wire.ConnectionUpdateSecret](s, 0)
		s.send(0, &wire.ConnectionUpdateSecretOK{})
		step(s, &wire.ChannelClose{}, &wire.ChannelCloseOK{})
		s.close()
	})
	ctx := within(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	q, err := ch.QueueDeclare(ctx, wire.QueueDeclare{Queue: "q", Durable: true, Arguments: args})
	must(err)
	if q.MessageCount != 3 || q.ConsumerCount != 2 {
		t.Errorf("declare-ok %+v", q)
	}
	_, err = ch.QueueDeclare(ctx, wire.QueueDeclare{Queue: "q", NoWait: true})
	must(err)
	must(ch.QueueBind(ctx, wire.QueueBind{Queue: "q", Exchange: "e", RoutingKey: "k"}))
	must(ch.QueueUnbind(ctx, wire.QueueUnbind{Queue: "q", Exchange: "e", RoutingKey: "k"}))
	n, err := ch.QueuePurge(ctx, wire.QueuePurge{Queue: "q"})
	must(err)
	if n != 7 {
		t.Errorf("purged %d", n)
	}
	n, err = ch.QueueDelete(ctx, wire.QueueDelete{Queue: "q", IfEmpty: true})
	must(err)
	if n != 8 {
		t.Errorf("deleted %d", n)
	}
	must(ch.ExchangeDeclare(ctx, wire.ExchangeDeclare{Exchange: "e", Type: "topic"}))
	must(ch.ExchangeBind(ctx, wire.ExchangeBind{Source: "a", Destination: "b"}))
	must(ch.ExchangeUnbind(ctx, wire.ExchangeUnbind{Source: "a", Destination: "b"}))
	must(ch.ExchangeDelete(ctx, wire.ExchangeDelete{Exchange: "e"}))
	must(ch.Qos(ctx, wire.BasicQos{PrefetchCount: 10}))
	must(ch.Recover(ctx))
	must(ch.TxSelect(ctx))
	must(ch.TxCommit(ctx))
	must(ch.TxRollback(ctx))
	must(c.UpdateSecret(ctx, wire.ConnectionUpdateSecret{NewSecret: "s", Reason: "r"}))
	must(ch.Close(ctx))
	must(ch.Close(ctx)) // once is enough
	if _, err := ch.Publish(&Publishing{}); !errors.Is(err, ErrClosed) {
		t.Errorf("publish on a closed channel: %v", err)
	}
	must(c.Close(ctx))
	if d := seen[0].(*wire.QueueDeclare); d.Queue != "q" || !d.Durable || d.Arguments[0] != args[0] {
		t.Errorf("declared %+v", d)
	}
}

func TestChannelClosedByServer(t *testing.T) {
	c, ch := openChannel(t, Options{}, ChannelOptions{}, func(s *fake) {
		want[wire.QueueDeclare](s, 1)
		s.send(1, &wire.ChannelClose{
			ReplyCode: wire.CodeNotFound, ReplyText: "NOT_FOUND - no queue 'q' in vhost '/'",
			ClassID: wire.IDQueueDeclare.Class(), MethodID: wire.IDQueueDeclare.Method(),
		})
		want[wire.ChannelCloseOK](s, 1)
		s.openChannel(2)
		s.openChannel(1)
		s.close()
	})
	_, err := ch.QueueDeclare(within(t), wire.QueueDeclare{Queue: "q", Passive: true})
	var e *Error
	if !errors.As(err, &e) || e.Code != wire.CodeNotFound || e.Channel != 1 || e.Method != wire.IDQueueDeclare {
		t.Fatalf("error %v", err)
	}
	if wantText := `client: server closed channel 1: 404 "NOT_FOUND - no queue 'q' in vhost '/'" after queue.declare`; err.Error() != wantText {
		t.Errorf("text %s", err)
	}
	receive(t, ch.Done())
	if ch.Err() != err || c.Err() != nil {
		t.Errorf("channel: %v, connection: %v", ch.Err(), c.Err())
	}
	if _, err := ch.Publish(&Publishing{}); !errors.As(err, &e) {
		t.Errorf("publish on it: %v", err)
	}
	// The number comes back after the others had their turn.
	c.channelMax = 2
	for _, number := range []uint16{2, 1} {
		next, err := c.Channel(within(t), ChannelOptions{})
		if err != nil || next.Number() != number {
			t.Fatalf("channel %v, %v; want %d", next, err, number)
		}
	}
	if _, err := c.Channel(within(t), ChannelOptions{}); err == nil || !strings.Contains(err.Error(), "all 2 channels") {
		t.Errorf("a third of two channels: %v", err)
	}
	if err := c.Close(within(t)); err != nil {
		t.Fatal(err)
	}
}

// TestClosesCross: both sides close a channel at once. The number is free when
// both have answered, and not before.
func TestClosesCross(t *testing.T) {
	c, ch := openChannel(t, Options{ChannelMax: 1}, ChannelOptions{}, func(s *fake) {
		want[wire.ChannelClose](s, 1)
		s.send(1, &wire.ChannelClose{ReplyCode: wire.CodePreconditionFailed, ReplyText: "x"})
		want[wire.ChannelCloseOK](s, 1)
		s.send(1, &wire.ChannelCloseOK{})
		s.openChannel(1)
		s.close()
	})
	if err := ch.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	// The number may be taken a moment longer than Close takes.
	for {
		_, err := c.Channel(within(t), ChannelOptions{})
		if err == nil {
			break
		}
		if !strings.Contains(err.Error(), "in use") {
			t.Fatal(err)
		}
	}
	if err := c.Close(within(t)); err != nil {
		t.Fatal(err)
	}
}

// TestGiveUp: a call whose context ends closes the channel; the late answer and
// what else comes is discarded, and the connection lives.
func TestGiveUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c, ch := openChannel(t, Options{}, ChannelOptions{
		OnConfirm: func(Confirmation) { t.Error("a confirm on a channel that was given up") },
	}, func(s *fake) {
		want[wire.BasicGet](s, 1)
		cancel()
		want[wire.ChannelClose](s, 1)
		got := wire.BasicGetOK{DeliveryTag: 1}
		out := wire.AppendHeader(got.AppendFrame(nil, 1), 1, nil, 3)
		out = wire.AppendBodyFrames(out, 1, []byte("one"), 0)
		out = wire.AppendAck(out, 1, 1, false)
		s.write((&wire.ChannelCloseOK{}).AppendFrame(out, 1))
		s.openChannel(2)
		s.close()
	})
	_, err := ch.Get(ctx, wire.BasicGet{Queue: "q"})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	receive(t, ch.Done())
	if _, err := c.Channel(within(t), ChannelOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(within(t)); err != nil {
		t.Fatal(err)
	}
}

// TestCallsTakeTurns: a second call waits for the first, and can give up
// waiting without harm.
func TestCallsTakeTurns(t *testing.T) {
	first := make(chan struct{})
	answer := make(chan struct{})
	c, ch := openChannel(t, Options{}, ChannelOptions{}, func(s *fake) {
		want[wire.QueuePurge](s, 1)
		close(first)
		<-answer
		s.send(1, &wire.QueuePurgeOK{MessageCount: 1})
		s.close()
	})
	purged := make(chan error, 1)
	go func() { // joined by receive below
		_, err := ch.QueuePurge(within(t), wire.QueuePurge{})
		purged <- err
	}()
	receive(t, first)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ch.Confirm(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("second call: %v", err)
	}
	close(answer)
	if err := receive(t, purged); err != nil {
		t.Errorf("first call: %v", err)
	}
	if err := c.Close(within(t)); err != nil {
		t.Fatal(err)
	}
}

// TestTooLongToSend: what does not fit is refused and leaves nothing behind.
func TestTooLongToSend(t *testing.T) {
	c, ch := openChannel(t, Options{}, ChannelOptions{}, func(s *fake) { s.close() })
	long := strings.Repeat("x", 256)
	ctx := within(t)
	if _, err := ch.QueueDeclare(ctx, wire.QueueDeclare{Queue: long}); err == nil {
		t.Error("a queue name of 256 bytes was sent")
	}
	big := wire.Table{{Key: "k", Value: wire.String(strings.Repeat("x", 1<<17))}}
	if _, err := ch.QueueDeclare(ctx, wire.QueueDeclare{Queue: "q", Arguments: big}); err == nil {
		t.Error("a method frame over the limit was sent")
	}
	if _, err := ch.Publish(&Publishing{RoutingKey: long}); err == nil {
		t.Error("a routing key of 256 bytes was sent")
	}
	if _, err := ch.Publish(&Publishing{Props: (&wire.Properties{Headers: big}).Append(nil)}); err == nil {
		t.Error("a header frame over the limit was sent")
	}
	if ch.Err() != nil {
		t.Errorf("the channel: %v", ch.Err())
	}
	if err := c.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestPublishAndConfirm(t *testing.T) {
	const count, size = 300, 1000
	confirms := make(chan Confirmation, count)
	c, ch := openChannel(t, Options{FrameMax: wire.FrameMinSize}, ChannelOptions{
		OnConfirm: func(k Confirmation) { confirms <- k },
	}, func(s *fake) {
		s.message(1) // before confirm
		want[wire.ConfirmSelect](s, 1)
		s.send(1, &wire.ConfirmSelectOK{})
		for i := range count {
			m, props, body := s.message(1)
			if string(m.RoutingKey) != "key" || !m.Mandatory || !props.Persistent() || len(body) != size*(i%20) {
				s.t.Errorf("message %d: %+v, %d bytes", i, m, len(body))
			}
		}
		s.write(wire.AppendNack(wire.AppendAck(nil, 1, count-1, true), 1, count, false, false))
		s.close()
	})
	if tag, err := ch.Publish(&Publishing{}); tag != 0 || err != nil {
		t.Fatalf("before confirm: %d, %v", tag, err)
	}
	if err := ch.Confirm(within(t)); err != nil {
		t.Fatal(err)
	}
	p := Publishing{RoutingKey: "key", Mandatory: true, Props: (&wire.Properties{DeliveryMode: 2}).Append(nil)}
	body := make([]byte, 20*size)
	for i := range count {
		p.Body = body[:size*(i%20)]
		if tag, err := ch.Publish(&p); tag != uint64(i+1) || err != nil {
			t.Fatalf("publish %d: %d, %v", i, tag, err)
		}
	}
	if err := ch.Flush(); err != nil {
		t.Fatal(err)
	}
	if k := receive(t, confirms); k != (Confirmation{Tag: count - 1, Multiple: true, Ack: true}) {
		t.Errorf("first confirm %+v", k)
	}
	if k := receive(t, confirms); k != (Confirmation{Tag: count}) {
		t.Errorf("second confirm %+v", k)
	}
	if err := c.Close(within(t)); err != nil {
		t.Fatal(err)
	}
}
