package amqp091_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// X13: names that clients think up leave nothing behind when they are gone:
// routing keys, consumer tags, addresses for replies. With FULL=1 there are a
// million of each. Queues have a test of their own.
func TestNamesLeaveNothing(t *testing.T) {
	const most = 2 << 20
	names := 5_000
	if os.Getenv("FULL") != "" {
		names = 1_000_000
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
	for k := 0; k < 5*batch; k += batch {
		use(k)
	}
	heap, stacks := heldBytes()
	for k := 0; k < names; k += batch {
		use(1000 + k)
	}
	heap2, stacks2 := heldBytes()
	grown := heap2 + stacks2 - heap - stacks
	t.Logf("%d names of each kind left %d bytes", names, grown)
	if grown > most {
		t.Errorf("that is more than %d", most)
	}
	if got := p.drain(1, q); got != "" {
		t.Errorf("the queue holds %s", got)
	}
}
