package node

import (
	"context"
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// What is bound at one node, and answered, is known to a publish at another that
// comes at once: it is never lost, and what really has nowhere to go comes back
// (design section 7).
func TestBoundElsewhere(t *testing.T) {
	rs := startCluster(t, 2)
	a, b := rs[0].channel(), rs[1].channel()
	must(t, b.Confirm(false))
	returns := b.NotifyReturn(make(chan amqp.Return, 1000))
	const rounds = 150
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for k := range rounds {
		q, x := fmt.Sprint("q", k), fmt.Sprint("x", k)
		_, err := a.QueueDeclare(q, k%2 == 0, false, false, false, nil)
		must(t, err)
		must(t, a.ExchangeDeclare(x, "fanout", false, false, false, false, nil))
		must(t, a.QueueBind(q, "", x, false, nil))
		var acks []*amqp.DeferredConfirmation
		for _, to := range [][2]string{{x, ""}, {"", "nobody"}, {"", q}, {x, "again"}} {
			c, err := b.PublishWithDeferredConfirm(to[0], to[1], true, false, amqp.Publishing{Body: []byte(to[0] + to[1])})
			must(t, err)
			acks = append(acks, c)
		}
		for i, c := range acks {
			if ok, err := c.WaitContext(ctx); !ok || err != nil {
				t.Fatalf("round %d: publish %d: %v %v\n%s", k, i, ok, err, rs[1].log)
			}
		}
		for _, want := range []string{x, q, x + "again"} { // in the order in which they were published
			d, ok, err := a.Get(q, true)
			if err != nil || !ok || string(d.Body) != want {
				t.Fatalf("round %d: %v %v %s, want %s", k, err, ok, d.Body, want)
			}
		}
	}
	for k := range rounds {
		select {
		case r := <-returns:
			if r.RoutingKey != "nobody" {
				t.Fatalf("%s %s came back", r.Exchange, r.RoutingKey)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%d of %d came back", k, rounds)
		}
	}

	// In a transaction, too; and an exchange that is nowhere is said to be missing.
	must(t, b.Close())
	tx := rs[1].channel()
	must(t, tx.Tx())
	for k := range 20 {
		q := fmt.Sprint("tx", k)
		declare(t, a, q)
		must(t, tx.PublishWithContext(t.Context(), "", q, true, false, amqp.Publishing{}))
		must(t, tx.TxCommit())
		if _, ok, err := a.Get(q, true); !ok || err != nil {
			t.Fatalf("%s: %v %v", q, ok, err)
		}
	}
	none := rs[1].channel()
	closed := none.NotifyClose(make(chan *amqp.Error, 1))
	must(t, none.PublishWithContext(t.Context(), "none", "", false, false, amqp.Publishing{}))
	if err := <-closed; err == nil || err.Code != amqp.NotFound {
		t.Fatalf("the channel closed with %v", err)
	}
}
