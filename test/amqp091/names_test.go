package amqp091_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// X13: names that clients think up leave nothing behind when they are gone:
// routing keys, consumer tags, addresses for replies, queues. With FULL=1 there
// are a million of the first three; a queue is three commits of the catalog.
func TestNamesLeaveNothing(t *testing.T) {
	names, queues := 5_000, 500
	if os.Getenv("FULL") != "" {
		names, queues = 1_000_000, 20_000
	}
	r := own(t, nil)
	p := session(t, r.addr())
	p.confirms(1)
	q := p.queue(1, "")
	p.send(1, &wire.QueueBind{Queue: q, Exchange: "amq.topic", RoutingKey: "taken.*"})
	expect[*wire.QueueBindOK](p, 1)
	const batch = 100
	published := uint64(0)
	use := func(name int) {
		var b []byte
		var ms []wire.Method
		for k := name; k < name+batch; k++ {
			name := fmt.Sprintf("name.%d", k)
			for _, x := range []string{"", "amq.direct", "amq.topic"} {
				b = append(b, message{exchange: x, key: name}.frames(1, p.max)...)
			}
			ms = append(ms,
				&wire.BasicConsume{Queue: q, ConsumerTag: name, NoWait: true}, &wire.BasicCancel{ConsumerTag: name, NoWait: true},
				&wire.BasicConsume{Queue: replyTo, ConsumerTag: name, NoAck: true, NoWait: true}, &wire.BasicCancel{ConsumerTag: name, NoWait: true})
		}
		p.raw(b)
		for published += 3 * batch; ; {
			if a := expect[*wire.BasicAck](p, 1); a.DeliveryTag == published {
				break
			}
		}
		p.send(1, ms...)
		p.idle(1)
	}
	declare := func(name int) {
		var ms []wire.Method
		for k := name; k < name+batch; k++ {
			name := fmt.Sprintf("name.%d", k)
			ms = append(ms,
				&wire.QueueDeclare{Queue: name, Exclusive: true, NoWait: true},
				&wire.QueueBind{Queue: name, Exchange: "amq.topic", RoutingKey: name, NoWait: true},
				&wire.QueueDelete{Queue: name, NoWait: true})
		}
		p.send(1, ms...)
		p.idle(1)
	}
	// What is left of queues is the tail of the catalog's log, which a round of
	// checkpoints frees.
	for _, kind := range []struct {
		name string
		one  func(int)
		n    int
		most int64
	}{{"keys and tags", use, names, 2 << 20}, {"queues", declare, queues, 4<<20 + int64(queues)*1500}} {
		for k := 0; k < 5*batch; k += batch {
			kind.one(k)
		}
		heap, stacks := heldBytes()
		for k := 0; k < kind.n; k += batch {
			kind.one(1000 + k)
		}
		heap2, stacks2 := heldBytes()
		grown := heap2 + stacks2 - heap - stacks
		t.Logf("%d %s left %d bytes", kind.n, kind.name, grown)
		if grown > kind.most {
			t.Errorf("that is more than %d", kind.most)
		}
	}
	if got := p.drain(1, q); got != "" {
		t.Errorf("the queue holds %s", got)
	}
}
