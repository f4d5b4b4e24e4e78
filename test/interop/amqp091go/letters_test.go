//go:build interop

package amqp091go

import (
	"context"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// death reads entry i of a message's x-death.
func death(t *testing.T, d amqp.Delivery, i int) amqp.Table {
	t.Helper()
	all, ok := d.Headers["x-death"].([]any)
	if !ok || len(all) <= i {
		t.Fatalf("x-death has no entry %d: %#v", i, d.Headers["x-death"])
	}
	entry, ok := all[i].(amqp.Table)
	if !ok {
		t.Fatalf("x-death %d: %#v", i, all[i])
	}
	return entry
}

func wantDeath(t *testing.T, entry amqp.Table, reason, queue, exchange string, count int64, keys ...any) {
	t.Helper()
	want(t, "reason", entry["reason"], any(reason))
	want(t, "queue", entry["queue"], any(queue))
	want(t, "exchange", entry["exchange"], any(exchange))
	want(t, "count", entry["count"], any(count))
	if got, ok := entry["routing-keys"].([]any); !ok || !slices.Equal(got, keys) {
		t.Fatalf("routing-keys %#v, want %v", entry["routing-keys"], keys)
	}
	at, ok := entry["time"].(time.Time)
	if !ok || time.Since(at).Abs() > time.Minute {
		t.Fatalf("time %#v", entry["time"])
	}
}

func wantFirstDeath(t *testing.T, d amqp.Delivery, reason, queue, exchange string) {
	t.Helper()
	want(t, "x-first-death-reason", d.Headers["x-first-death-reason"], any(reason))
	want(t, "x-first-death-queue", d.Headers["x-first-death-queue"], any(queue))
	want(t, "x-first-death-exchange", d.Headers["x-first-death-exchange"], any(exchange))
}

// arrives waits for the next message of a queue and acknowledges it.
func arrives(t *testing.T, ch *amqp.Channel, queue string) (d amqp.Delivery) {
	t.Helper()
	eventually(t, "a message in "+queue, func() (ok bool) {
		d, ok = get(t, ch, queue)
		return ok
	})
	return d
}

func TestDeadLetterOfARejectedMessage(t *testing.T) {
	for _, how := range []string{"reject", "nack"} {
		t.Run(how, func(t *testing.T) {
			ch := channel(t)
			dlx, in := exchange(t, ch, "topic"), exchange(t, ch, "direct")
			graves := bound(t, ch, dlx, "#", nil)
			q := durable(t, ch, amqp.Table{"x-dead-letter-exchange": dlx})
			must(t, ch.QueueBind(q, "job.red", in, false, nil))
			publish(t, ch, in, "job.red", amqp.Publishing{
				DeliveryMode: amqp.Persistent, MessageId: "m", Headers: amqp.Table{"mine": "kept"}, Body: []byte("x"),
			})
			d := next(t, consume(t, ch, q, false), "delivery")
			if how == "reject" {
				must(t, d.Reject(false))
			} else {
				must(t, d.Nack(false, false))
			}
			dead := arrives(t, ch, graves)
			want(t, "exchange", dead.Exchange, dlx)
			want(t, "routing key", dead.RoutingKey, "job.red")
			want(t, "body", string(dead.Body), "x")
			want(t, "message-id", dead.MessageId, "m")
			want(t, "header", dead.Headers["mine"], any("kept"))
			wantDeath(t, death(t, dead, 0), "rejected", q, in, 1, "job.red")
			wantFirstDeath(t, dead, "rejected", q, in)
		})
	}
}

func TestDeadLetterOfAnExpiredMessage(t *testing.T) {
	ch := channel(t)
	graves := durable(t, ch, nil)
	q := durable(t, ch, amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": graves, "x-message-ttl": int32(60000)})
	publish(t, ch, "", q, amqp.Publishing{Body: []byte("x"), Expiration: "5"})
	dead := arrives(t, ch, graves)
	want(t, "routing key", dead.RoutingKey, graves)
	want(t, "expiration", dead.Expiration, "") // else it would expire again
	wantDeath(t, death(t, dead, 0), "expired", q, "", 1, q)
	want(t, "original-expiration", death(t, dead, 0)["original-expiration"], any("5"))
	wantFirstDeath(t, dead, "expired", q, "")
}

func TestDeadLetterOfAFullQueue(t *testing.T) {
	ch := channel(t)
	graves := durable(t, ch, nil)
	q := durable(t, ch, amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": graves, "x-max-length": int32(1)})
	put(t, ch, q, "old", "new")
	dead := arrives(t, ch, graves)
	want(t, "body", string(dead.Body), "old")
	wantDeath(t, death(t, dead, 0), "maxlen", q, "", 1, q)
	wantBodies(t, contents(t, ch, q), "new")
}

func TestRejectPublishDeadLetters(t *testing.T) {
	ch := channel(t)
	graves := durable(t, ch, nil)
	q := durable(t, ch, amqp.Table{
		"x-dead-letter-exchange": "", "x-dead-letter-routing-key": graves, "x-max-length": int32(1), "x-overflow": "reject-publish-dlx",
	})
	put(t, ch, q, "first")
	eventually(t, "nack of a full queue", func() bool {
		d, err := ch.PublishWithDeferredConfirm("", q, false, false, amqp.Publishing{Body: []byte("late")})
		must(t, err)
		return !d.Wait()
	})
	dead := arrives(t, ch, graves)
	want(t, "body", string(dead.Body), "late")
	wantDeath(t, death(t, dead, 0), "maxlen", q, "", 1, q)
}

// The retry pattern: a work queue whose dead letters wait in a delay queue and come back.
// The same death counts up and moves to the front.
func TestRetriesCountTheirDeaths(t *testing.T) {
	ch := channel(t)
	work, wait := unique(t), unique(t)
	for q, args := range map[string]amqp.Table{
		work: {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": wait},
		wait: {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": work, "x-message-ttl": int32(5)},
	} {
		_, err := ch.QueueDeclare(q, false, false, true, false, args)
		must(t, err)
	}
	publish(t, ch, "", work, amqp.Publishing{Body: []byte("job")})
	deliveries := consume(t, ch, work, false)
	for range 3 {
		must(t, next(t, deliveries, "a try").Reject(false))
	}
	d := next(t, deliveries, "the fourth try")
	want(t, "deaths", len(d.Headers["x-death"].([]any)), 2)
	wantDeath(t, death(t, d, 0), "expired", wait, "", 3, wait)
	wantDeath(t, death(t, d, 1), "rejected", work, "", 3, work)
	wantFirstDeath(t, d, "rejected", work, "")
	must(t, d.Ack(false))
}

// A message that would go round by expiry alone is dropped where it would enter
// a queue again.
func TestACycleOfExpiryEnds(t *testing.T) {
	ch := channel(t)
	q := unique(t)
	_, err := ch.QueueDeclare(q, false, false, true, false, amqp.Table{
		"x-dead-letter-exchange": "", "x-dead-letter-routing-key": q, "x-message-ttl": int32(1),
	})
	must(t, err)
	publish(t, ch, "", q, amqp.Publishing{Body: []byte("x")})
	eventually(t, "dropped", func() bool { return depth(t, ch, q) == 0 })
	quiet(t, ch, q, consume(t, ch, q, true))
}

func TestDeadLetterWithoutAnExchangeIsDropped(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, amqp.Table{"x-dead-letter-exchange": "no.such.exchange"})
	put(t, ch, q, "a", "b")
	d := take(t, consume(t, ch, q, false), "a", "b")
	must(t, d[0].Reject(false))
	must(t, d[1].Ack(false))
	must(t, ch.Close())
	want(t, "left", depth(t, channel(t), q), 0)
}

func TestCopiesByHeader(t *testing.T) {
	ch := channel(t)
	var q [3]string
	for i := range q {
		q[i] = durable(t, ch, nil)
	}
	must(t, ch.Confirm(false))
	d, err := ch.PublishWithDeferredConfirmWithContext(context.Background(), "", q[0], true, false, amqp.Publishing{
		Headers: amqp.Table{"CC": []any{q[1]}, "BCC": []any{q[2]}}, Body: []byte("x"),
	})
	must(t, err)
	want(t, "acked", d.Wait(), true)
	for i := range q {
		got, ok := get(t, ch, q[i])
		want(t, "copy in "+q[i], ok, true)
		want(t, "routing key", got.RoutingKey, q[0])
		_, has := got.Headers["BCC"]
		want(t, "BCC is seen", has, false)
		_, has = got.Headers["CC"]
		want(t, "CC is seen", has, true)
	}
}
