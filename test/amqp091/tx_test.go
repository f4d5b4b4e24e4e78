package amqp091_test

import (
	"strings"
	"testing"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

func (p *peer) txSelect(channel uint16) {
	p.t.Helper()
	p.send(channel, &wire.TxSelect{})
	expect[*wire.TxSelectOK](p, channel)
}

func (p *peer) commit(channel uint16) {
	p.t.Helper()
	p.send(channel, &wire.TxCommit{})
	expect[*wire.TxCommitOK](p, channel)
}

func (p *peer) rollback(channel uint16) {
	p.t.Helper()
	p.send(channel, &wire.TxRollback{})
	expect[*wire.TxRollbackOK](p, channel)
}

// Nothing is seen of a transaction before its commit, all of it afterwards.
func TestTxCommit(t *testing.T) {
	both(t, func(t *testing.T, p *peer, q string) {
		o := session(t, broker(t))
		p.to(1, q, "1", "2", "3")
		p.txSelect(1)
		p.txSelect(1) // once more changes nothing
		for range 3 {
			p.get(1, q, false)
		}
		p.send(1, &wire.BasicAck{DeliveryTag: 1}, &wire.BasicNack{DeliveryTag: 2, Requeue: true}, &wire.BasicReject{DeliveryTag: 3})
		p.to(1, q, "a", "b")
		if n := p.ready(1, q); n != 0 {
			t.Errorf("%d are ready before the commit", n)
		}
		p.commit(1)
		if got := o.drain(1, q); got != "2* a b" {
			t.Errorf("after the commit: %s", got)
		}
		p.commit(1) // of nothing
		p.to(1, q, "c")
		p.commit(1)
		if got := o.drain(1, q); got != "c" {
			t.Errorf("after the next: %s", got)
		}
	})
}

// After a rollback nothing was published, and what was settled is held again:
// not given back, and open to be settled.
func TestTxRollback(t *testing.T) {
	both(t, func(t *testing.T, p *peer, q string) {
		o := session(t, broker(t))
		p.to(1, q, "1", "2", "3", "4")
		p.txSelect(1)
		for range 4 {
			p.get(1, q, false)
		}
		p.send(1, &wire.BasicAck{DeliveryTag: 3}, &wire.BasicAck{DeliveryTag: 1})
		p.to(1, q, "never")
		p.rollback(1)
		if n := o.ready(1, q); n != 0 {
			t.Errorf("%d are ready", n)
		}
		p.send(1, &wire.BasicAck{DeliveryTag: 2, Multiple: true}, &wire.BasicNack{DeliveryTag: 3, Requeue: true})
		p.commit(1)
		p.send(1, &wire.BasicAck{DeliveryTag: 4}) // not committed
		p.to(1, q, "nor this")
		p.closeChannel(1)
		if got := o.drain(1, q); got != "3* 4*" {
			t.Errorf("left: %s", got)
		}
	})
}

// A tag that is settled in a transaction is settled, until it is rolled back.
func TestTxUnknownTag(t *testing.T) {
	both(t, func(t *testing.T, p *peer, q string) {
		p.to(1, q, "1")
		p.txSelect(1)
		p.get(1, q, false)
		p.send(1, &wire.BasicAck{DeliveryTag: 1})
		p.rollback(1)
		p.send(1, &wire.BasicAck{DeliveryTag: 1}, &wire.BasicAck{DeliveryTag: 1})
		if got := p.closed(); got != "channel 406 60.80 PRECONDITION_FAILED - unknown delivery tag 1" {
			t.Error(got)
		}
		p.channel(1)
		p.eventually(1, q, "1*")
	})
}

// Messages are routed when they are published and returned by the commit;
// an exchange that is not there is a fault of the publish.
func TestTxReturn(t *testing.T) {
	p := session(t, broker(t))
	q := p.queue(1, "")
	p.txSelect(1)
	p.publish(1, message{key: "tx.nowhere", body: "1", mandatory: true}, message{key: q, body: "2", mandatory: true})
	p.idle(1)
	p.send(1, &wire.TxCommit{})
	if r := expect[*wire.BasicReturn](p, 1); r.ReplyCode != wire.CodeNoRoute || string(r.RoutingKey) != "tx.nowhere" {
		t.Errorf("%+v", r)
	}
	if _, body := p.content(1); body != "1" {
		t.Errorf("returned %q", body)
	}
	expect[*wire.TxCommitOK](p, 1)
	if got := p.drain(1, q); got != "2" {
		t.Error(got)
	}
	p.publish(1, message{exchange: "tx.none", body: "x"})
	if got := p.closed(); got != "channel 404 60.40 NOT_FOUND - no exchange 'tx.none' in vhost '/'" {
		t.Error(got)
	}
}

// A queue that is full refuses its part as a whole: the channel hears of it, and
// what it settled in that shard is held, so that it goes back.
func TestTxPartial(t *testing.T) {
	reject := []wire.Field{field("x-max-length", wire.Int32(2)), field("x-overflow", wire.String("reject-publish"))}
	eachKind(t, reject, func(t *testing.T, p *peer, q string) {
		o := session(t, broker(t))
		p.to(1, q, "1")
		p.txSelect(1)
		p.get(1, q, false)
		p.send(1, &wire.BasicAck{DeliveryTag: 1})
		p.to(1, q, "a", "b", "c")
		p.send(1, &wire.TxCommit{})
		if got := p.closed(); got != "channel 406 90.20 PRECONDITION_FAILED - partial tx completion" {
			t.Error(got)
		}
		o.holds(1, q, 1)
		if got := o.drain(1, q); got != "1*" {
			t.Errorf("left: %s", got)
		}
	})
}

// A transaction over queues of all kinds, through an exchange, from a consumer.
func TestTxManyQueues(t *testing.T) {
	p, o := session(t, broker(t)), session(t, broker(t))
	p.send(1, &wire.ExchangeDeclare{Exchange: "tx.fan", Type: "fanout", AutoDelete: true})
	expect[*wire.ExchangeDeclareOK](p, 1)
	var qs []string
	for _, name := range strings.Fields("tx.a tx.b tx.c tx.d") {
		qs = append(qs, p.durable(1, name))
	}
	p.send(1, &wire.QueueDeclare{Queue: "tx.memory", AutoDelete: true})
	qs = append(qs, expect[*wire.QueueDeclareOK](p, 1).Queue)
	for _, q := range qs {
		p.bind(1, q, "tx.fan", "")
	}
	source := p.durable(1, "tx.source")
	p.to(1, source, "1", "2", "3")
	p.qos(1, 2, false)
	p.txSelect(1)
	p.consume(1, wire.BasicConsume{Queue: source})
	if got := p.deliveries(1, 2); got != "1 2" {
		t.Fatal(got)
	}
	p.publish(1, message{exchange: "tx.fan", body: "x"}, message{exchange: "tx.fan", body: "y"})
	p.send(1, &wire.BasicAck{DeliveryTag: 2, Multiple: true})
	p.idle(1) // credit is free with the commit
	p.send(1, &wire.TxCommit{})
	ok := false
	for n := 0; n < 2; n++ {
		switch _, m := p.next(); m.(type) {
		case *wire.TxCommitOK:
			ok = true
		case *wire.BasicDeliver:
			if _, body := p.content(1); body != "3" {
				t.Error(body)
			}
		}
	}
	if !ok {
		t.Error("no commit-ok")
	}
	for _, q := range qs {
		if got := o.drain(1, q); got != "x y" {
			t.Errorf("%s has %s", q, got)
		}
	}
}

// What is committed outlives the node, as a whole.
func TestTxRestart(t *testing.T) {
	dir := t.TempDir()
	r, err := run(options(dir))
	if err != nil {
		t.Fatal(err)
	}
	p := session(t, r.addr())
	p.send(1, &wire.QueueDeclare{Queue: "q", Durable: true})
	expect[*wire.QueueDeclareOK](p, 1)
	p.to(1, "q", "1")
	p.txSelect(1)
	p.get(1, "q", false)
	p.send(1, &wire.BasicAck{DeliveryTag: 1})
	p.to(1, "q", "2", "3")
	p.commit(1)
	p.close()
	if err := r.halt(); err != nil {
		t.Fatal(err)
	}
	if r, err = run(options(dir)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.halt(); err != nil {
			t.Error(err)
		}
	})
	if got := session(t, r.addr()).drain(1, "q"); got != "2* 3*" { // nobody knows how far deliveries went
		t.Errorf("left: %s", got)
	}
}
