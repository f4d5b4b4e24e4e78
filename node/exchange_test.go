package node

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	amqp "github.com/rabbitmq/amqp091-go"
)

// TestHashExchanges: a consistent hash over a property keeps what belongs
// together together, over a restart too; weights, types and arguments that make
// no sense are refused with RabbitMQ's words.
func TestHashExchanges(t *testing.T) {
	o := testOptions(t, t.TempDir(), vfs.NewMem())
	r := start(t, o)
	ch := r.channel()
	if err := ch.ExchangeDeclare("hash", "x-consistent-hash", true, false, false, false, amqp.Table{"hash-property": "correlation_id"}); err != nil {
		t.Fatal(err)
	}
	const queues, orders, each = 4, 40, 3
	for q := range queues {
		name := fmt.Sprint("q", q)
		if _, err := ch.QueueDeclare(name, true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		if err := ch.QueueBind(name, "10", "hash", false, nil); err != nil {
			t.Fatal(err)
		}
	}
	owner := map[string]string{}
	for round := range 2 {
		if err := ch.Confirm(false); err != nil {
			t.Fatal(err)
		}
		for i := range orders * each {
			m := amqpMessage("m")
			m.CorrelationId = fmt.Sprint("order-", i%orders)
			c, err := ch.PublishWithDeferredConfirm("hash", fmt.Sprint("key-", i), true, false, m)
			if err != nil || !c.Wait() {
				t.Fatal(err)
			}
		}
		total := 0
		for q := range queues {
			name := fmt.Sprint("q", q)
			n := 0
			for {
				m, ok, err := ch.Get(name, true)
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					break
				}
				n++
				if had := owner[m.CorrelationId]; had != "" && had != name {
					t.Fatalf("%s is in %s and in %s", m.CorrelationId, had, name)
				}
				owner[m.CorrelationId] = name
			}
			if total += n; n == 0 {
				t.Errorf("queue %s got nothing", name)
			}
			if _, err := ch.QueuePurge(name, false); err != nil { // what was got is committed with it
				t.Fatal(err)
			}
		}
		if total != orders*each {
			t.Errorf("%d messages of %d", total, orders*each)
		}
		if round == 0 {
			r.stop()
			r = start(t, o)
			ch = r.channel()
		}
	}
	for _, c := range []struct {
		kind string
		args amqp.Table
		want string
	}{
		{"x-consistent-hash", amqp.Table{"hash-property": "user_id"}, "unsupported property: user_id"},
		{"x-consistent-hash", amqp.Table{"hash-property": "message_id", "hash-header": "h"}, "mutually exclusive"},
		{"x-delayed-message", amqp.Table{}, "'x-delayed-type' must be an existing exchange type"},
		{"x-delayed-message", amqp.Table{"x-delayed-type": "none"}, "'x-delayed-type' must be an existing exchange type"},
		{"x-recent-history", nil, "exchanges of type 'x-recent-history' are not offered by Warren"},
		{"x-none", nil, "unknown exchange type 'x-none'"},
	} {
		err := r.channel().ExchangeDeclare("bad", c.kind, true, false, false, false, c.args)
		refused(t, err, 406, c.want)
	}
	for key, want := range map[string]string{"a": "an integer", "0": "greater than 0", strings.Repeat("9", 30): "at most"} {
		refused(t, r.channel().QueueBind("q0", key, "hash", false, nil), 406, "The binding key must be "+want)
	}
}

// TestRandomExchanges: each message goes to one queue, and each queue gets some.
func TestRandomExchanges(t *testing.T) {
	r := start(t, testOptions(t, t.TempDir(), vfs.NewMem()))
	for _, kind := range []string{"x-random", "x-local-random", "x-modulus-hash"} {
		t.Run(kind, func(t *testing.T) {
			ch := r.channel()
			if err := errors.Join(ch.ExchangeDeclare(kind, kind, false, true, false, false, nil), ch.Confirm(false)); err != nil {
				t.Fatal(err)
			}
			var names []string
			for q := range 3 {
				name := fmt.Sprint(kind, q)
				names = append(names, name)
				if _, err := ch.QueueDeclare(name, q == 0, false, false, false, nil); err != nil {
					t.Fatal(err)
				}
				if err := ch.QueueBind(name, "", kind, false, nil); err != nil {
					t.Fatal(err)
				}
			}
			const n = 120
			for i := range n {
				c, err := ch.PublishWithDeferredConfirm(kind, fmt.Sprint(i), true, false, amqpMessage("m"))
				if err != nil || !c.Wait() {
					t.Fatal(err)
				}
			}
			total := 0
			for _, name := range names {
				q, err := ch.QueueDeclarePassive(name, false, false, false, false, nil)
				if err != nil || q.Messages == 0 {
					t.Errorf("queue %s: %d, %v", name, q.Messages, err)
				}
				total += q.Messages
			}
			if total != n {
				t.Errorf("%d messages became %d", n, total)
			}
		})
	}
}

// TestAlternateChain: what an exchange can not route goes from alternate to
// alternate, round a loop once, and counts as unroutable if the last has no
// place for it either.
func TestAlternateChain(t *testing.T) {
	r := start(t, testOptions(t, t.TempDir(), vfs.NewMem()))
	ch := r.channel()
	for name, next := range map[string]string{"a": "b", "b": "c", "c": "a"} {
		if err := ch.ExchangeDeclare(name, "direct", true, false, name == "c", false, amqp.Table{"alternate-exchange": next}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ch.QueueDeclare("q", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(ch.QueueBind("q", "k", "c", false, nil), ch.Confirm(false)); err != nil {
		t.Fatal(err)
	}
	returned := ch.NotifyReturn(make(chan amqp.Return, 10))
	for range 3 { // found, kept, from the cache
		for _, key := range []string{"k", "none"} {
			c, err := ch.PublishWithDeferredConfirm("a", key, true, false, amqpMessage("m"))
			if err != nil || !c.Wait() {
				t.Fatal(err)
			}
		}
		select {
		case m := <-returned:
			if m.RoutingKey != "none" {
				t.Errorf("%s is returned", m.RoutingKey)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("nothing is returned")
		}
	}
	eventually(t, ch, "q", 3)
}
