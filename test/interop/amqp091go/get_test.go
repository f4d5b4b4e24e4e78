//go:build interop

package amqp091go

import "testing"

func TestGetCountsAndEnds(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, nil)
	put(t, ch, q, "a", "b")
	d, ok, err := ch.Get(q, false)
	must(t, err)
	want(t, "got", ok, true)
	want(t, "body", string(d.Body), "a")
	want(t, "left", d.MessageCount, uint32(1))
	want(t, "key", d.RoutingKey, q)
	want(t, "exchange", d.Exchange, "")
	must(t, d.Nack(false, true))
	d, _, err = ch.Get(q, false)
	must(t, err)
	want(t, "body", string(d.Body), "a")
	want(t, "redelivered", d.Redelivered, true)
	must(t, d.Ack(false))
	b, _ := get(t, ch, q)
	want(t, "body", string(b.Body), "b")
	want(t, "left", b.MessageCount, uint32(0))
	_, ok = get(t, ch, q)
	want(t, "get-empty", ok, false)
}

func TestPurgeSparesUnacked(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, nil)
	put(t, ch, q, "a", "b", "c")
	held, _, err := ch.Get(q, false)
	must(t, err)
	n, err := ch.QueuePurge(q, false)
	must(t, err)
	want(t, "purged", n, 2)
	must(t, held.Nack(false, true))
	wantBodies(t, contents(t, ch, q), "a")
}
