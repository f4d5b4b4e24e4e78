package amqp091_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// routed reports whether a publish to a queue finds it. It is no use of the
// queue. The channel has to have confirms.
func (p *peer) routed(channel uint16, queue string) bool {
	p.t.Helper()
	p.publish(channel, message{key: queue, mandatory: true})
	found := true
	for {
		switch ch, m := p.next(); m.(type) {
		case *wire.BasicReturn:
			found = false
			p.content(ch)
		case *wire.BasicAck:
			return found
		default:
			p.t.Fatalf("%+v", m)
		}
	}
}

// vanishes waits until a queue has ended.
func (p *peer) vanishes(channel uint16, queue string) time.Duration {
	p.t.Helper()
	began := time.Now()
	for p.routed(channel, queue) {
		if time.Since(began) > patience {
			p.t.Fatalf("queue %s does not end", queue)
		}
	}
	return time.Since(began)
}

// behaviour 13: a queue that is not used for x-expires ends; declaring it and
// basic.get are uses, a consumer keeps it, a publish does not.
func TestExpires(t *testing.T) {
	t.Parallel()
	for _, durable := range []bool{true, false} {
		t.Run(fmt.Sprintf("durable=%v", durable), func(t *testing.T) {
			const lease = 400 * time.Millisecond
			p := session(t, broker(t))
			p.channel(2)
			p.confirms(2)
			q := "expires." + fmt.Sprint(durable)
			args := wire.Table{{Key: "x-expires", Value: wire.Int32(int32(lease / time.Millisecond))}}
			declare := func() {
				p.send(1, &wire.QueueDeclare{Queue: q, Durable: durable, Arguments: args})
				expect[*wire.QueueDeclareOK](p, 1)
			}
			declare()
			if took := p.vanishes(2, q); took < lease/2 {
				t.Errorf("gone after %v", took)
			}
			declare()
			for end := time.Now().Add(2 * lease); time.Now().Before(end); {
				p.get(1, q, true)
			}
			for end := time.Now().Add(2 * lease); time.Now().Before(end); {
				declare()
			}
			tag := p.consume(1, wire.BasicConsume{Queue: q, NoAck: true})
			for end := time.Now().Add(2 * lease); time.Now().Before(end); {
				p.to(1, q, "x")
				p.deliver(1)
			}
			p.send(1, &wire.BasicCancel{ConsumerTag: tag})
			expect[*wire.BasicCancelOK](p, 1)
			p.vanishes(2, q)
		})
	}
}

// A restart begins the time of every queue anew, also of one that was never used.
func TestExpiresAfterRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, err := run(options(dir))
	if err != nil {
		t.Fatal(err)
	}
	p := session(t, r.addr())
	args := wire.Table{{Key: "x-expires", Value: wire.Int32(1500)}}
	for _, q := range []string{"used", "unused"} {
		p.send(1, &wire.QueueDeclare{Queue: q, Durable: true, Arguments: args})
		expect[*wire.QueueDeclareOK](p, 1)
	}
	p.confirms(1)
	p.to(1, "used", "x")
	p.acked(1, 1)
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
	p = session(t, r.addr())
	p.confirms(1)
	for _, q := range []string{"used", "unused"} {
		if !p.routed(1, q) {
			t.Errorf("%s is gone", q)
		}
	}
	p.vanishes(1, "used")
	p.vanishes(1, "unused")
}

// delete-ok counts what was ready, exactly, whatever is published meanwhile.
func TestDeleteCounts(t *testing.T) {
	both(t, func(t *testing.T, p *peer, q string) {
		p.to(1, q, "1", "2", "3", "4", "5")
		p.get(1, q, false)
		p.send(1, &wire.QueueDelete{Queue: q})
		if ok := expect[*wire.QueueDeleteOK](p, 1); ok.MessageCount != 4 {
			t.Errorf("%d messages", ok.MessageCount)
		}
	})
}

// Publishers, consumers and conditional deletes at the same time: what was
// deleted as empty lost nothing that was confirmed before, what was deleted as
// unused had no consumer.
func TestDeleteRaces(t *testing.T) {
	both(t, func(t *testing.T, p *peer, q string) {
		durable := strings.HasPrefix(t.Name(), "TestDeleteRaces/durable=true")
		o := session(t, broker(t))
		for round := range 40 {
			p.send(1, &wire.QueueDeclare{Queue: q, Durable: durable})
			expect[*wire.QueueDeclareOK](p, 1)
			p.to(1, q, "1")
			if round%2 == 0 {
				p.get(1, q, true)
			}
			p.send(1, &wire.QueueDelete{Queue: q, IfEmpty: true, IfUnused: true})
			o.send(1, &wire.BasicConsume{Queue: q, ConsumerTag: "t", NoAck: true})
			_, answer := p.next()
			_, consuming := o.next()
			_, deleted := answer.(*wire.QueueDeleteOK)
			switch c := consuming.(type) {
			case *wire.BasicConsumeOK:
				if round%2 == 1 {
					if d := o.deliver(1); d.body != "1" || deleted {
						t.Fatalf("round %d: got %q, deleted %v", round, d.body, deleted)
					}
				}
				o.send(1, &wire.BasicCancel{ConsumerTag: "t"})
				expect[*wire.BasicCancelOK](o, 1)
			case *wire.ChannelClose:
				if !deleted || c.ReplyCode != wire.CodeNotFound {
					t.Fatalf("round %d: %d %s, deleted %v", round, c.ReplyCode, c.ReplyText, deleted)
				}
				o.send(1, &wire.ChannelCloseOK{})
				o.channel(1)
			case *wire.BasicCancel:
				t.Fatalf("round %d: a consumer's queue was deleted as unused", round)
			}
			if !deleted {
				p.send(1, &wire.ChannelCloseOK{})
				p.channel(1)
			}
		}
	})
}

// A policy gives a time to be used in to queues that are there, whether their
// shard has heard of them or not; without it they stay.
func TestExpiresByPolicy(t *testing.T) {
	r := own(t, nil)
	p := session(t, r.addr())
	p.channel(2)
	p.confirms(2)
	for _, q := range []string{"x.unused", "x.used", "x.memory"} {
		p.send(1, &wire.QueueDeclare{Queue: q, Durable: q != "x.memory"})
		expect[*wire.QueueDeclareOK](p, 1)
	}
	p.to(1, "x.used", "1")
	p.to(1, "x.memory", "1")
	_, err := r.SetPolicy(t.Context(), admin.NewPolicy{Policy: admin.Policy{
		VHost: "/", Name: "p", Pattern: "^x", ApplyTo: "queues", Definition: json.RawMessage(`{"expires":300}`),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"x.unused", "x.used", "x.memory"} {
		if took := p.vanishes(2, q); q == "x.unused" && took < 150*time.Millisecond {
			t.Errorf("%s is gone after %v", q, took)
		}
	}
}
