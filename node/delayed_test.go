package node

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/admin/client"
)

// declareDelayed makes a delayed exchange with a queue for every key.
func declareDelayed(t *testing.T, ch *amqp.Channel, name, inner string, queues ...string) {
	t.Helper()
	must(t, ch.ExchangeDeclare(name, "x-delayed-message", true, false, false, false, amqp.Table{"x-delayed-type": inner}))
	for _, q := range queues {
		declare(t, ch, q)
		must(t, ch.QueueBind(q, q, name, false, nil))
	}
}

// publishLate publishes a message with a delay and waits for its confirm.
func publishLate(t *testing.T, ch *amqp.Channel, exchange, key, body string, delay any) {
	t.Helper()
	m := amqpMessage(body)
	if delay != nil {
		m.Headers = amqp.Table{"x-delay": delay}
	}
	c, err := ch.PublishWithDeferredConfirm(exchange, key, false, false, m)
	must(t, err)
	if !c.Wait() {
		t.Fatalf("%s: not confirmed", body)
	}
}

// takes consumes from a queue and wants these bodies, in order.
func takes(t *testing.T, ds <-chan amqp.Delivery, want ...string) (out []amqp.Delivery) {
	t.Helper()
	for _, body := range want {
		select {
		case d := <-ds:
			if string(d.Body) != body {
				t.Fatalf("got %s, want %s", d.Body, body)
			}
			out = append(out, d)
		case <-time.After(20 * time.Second):
			t.Fatalf("%s does not come", body)
		}
	}
	return out
}

func consumer(t *testing.T, ch *amqp.Channel, queue string) <-chan amqp.Delivery {
	t.Helper()
	ds, err := ch.Consume(queue, "", true, false, false, false, nil)
	must(t, err)
	return ds
}

func (r *running) delayed(exchange string) int64 {
	r.t.Helper()
	for x, err := range (operations{r.Node}).Exchanges(r.t.Context(), admin.VHostQuery{VHost: "/"}) {
		must(r.t, err)
		if x.Name == exchange {
			if x.Type != "x-delayed-message" || x.Delayed == nil {
				r.t.Fatalf("%+v", x)
			}
			return *x.Delayed
		}
	}
	r.t.Fatalf("no exchange %s", exchange)
	return 0
}

// TestDelayedExchange: messages come when they are due, in that order, with what
// their publisher gave them; what names no delay that RabbitMQ's plug-in takes is
// routed at once.
func TestDelayedExchange(t *testing.T) {
	r := start(t, testOptions(t, t.TempDir(), vfs.NewMem()))
	ch := dialNode(t, r)
	declareDelayed(t, ch, "late", "topic", "a.b", "#")
	ds := consumer(t, ch, "#")
	began := time.Now()
	publishLate(t, ch, "late", "a.b", "third", int32(900))
	publishLate(t, ch, "late", "x", "second", "600")
	publishLate(t, ch, "late", "a.b", "first", 300.9)
	for i, at := range []any{nil, int32(0), int32(-500), "soon", int64(1) << 32, true, -0.5} {
		publishLate(t, ch, "late", "x", fmt.Sprint("at once ", i), at)
		takes(t, ds, fmt.Sprint("at once ", i))
	}
	if n := r.delayed("late"); n != 3 {
		t.Errorf("%d wait", n)
	}
	for i, body := range []string{"first", "second", "third"} {
		d := takes(t, ds, body)[0]
		due := time.Duration(i+1) * 300 * time.Millisecond
		if took := time.Since(began); took < due || took > due+10*time.Second {
			t.Errorf("%s came after %v", body, took)
		}
		if d.Headers["x-delay"] != int64(-due/time.Millisecond) || d.Exchange != "late" || d.DeliveryMode != 2 || d.Redelivered || d.Headers["x-death"] != nil {
			t.Errorf("%s: %+v", body, d)
		}
	}
	if got := drain(t, ch, "a.b"); len(got) != 2 || !strings.HasPrefix(got[0], "first") || !strings.HasPrefix(got[1], "third") {
		t.Errorf("the other queue has %q", got)
	}
	if n := r.delayed("late"); n != 0 {
		t.Errorf("%d wait still", n)
	}
}

// TestDelayedDeclare: what RabbitMQ's plug-in refuses is refused with its words,
// and a schedule is nowhere to be had as a queue.
func TestDelayedDeclare(t *testing.T) {
	r := start(t, testOptions(t, t.TempDir(), vfs.NewMem()))
	for _, c := range []struct {
		args amqp.Table
		want string
	}{
		{nil, "Invalid argument, 'x-delayed-type' must be an existing exchange type"},
		{amqp.Table{"x-delayed-type": int32(1)}, "Invalid argument, 'x-delayed-type' must be an existing exchange type"},
		{amqp.Table{"x-delayed-type": "none"}, "Invalid argument, 'x-delayed-type' must be an existing exchange type"},
		{amqp.Table{"x-delayed-type": "x-delayed-message"}, "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'"},
		{amqp.Table{"x-delayed-type": "x-recent-history"}, "'x-delayed-type' must be an existing exchange type"},
	} {
		refused(t, r.channel().ExchangeDeclare("late", "x-delayed-message", true, false, false, false, c.args), 406, c.want)
	}
	ch := dialNode(t, r)
	declareDelayed(t, ch, "late", "topic")
	declareDelayed(t, ch, "late", "topic")
	refused(t, r.channel().ExchangeDeclare("late", "x-delayed-message", true, false, false, false, amqp.Table{"x-delayed-type": "direct"}), 406, "inequivalent arg 'x-delayed-type'")
	refused(t, r.channel().ExchangeDeclare("late", "topic", true, false, false, false, nil), 406, "inequivalent arg 'type'")
	publishLate(t, ch, "late", "k", "1", int32(3600_000))
	_, err := r.channel().QueueDeclarePassive("late", true, false, false, false, nil)
	refused(t, err, 404, "no queue 'late'")
	publishLate(t, ch, "", "late", "lost", nil)
	if q := declare(t, ch, "late"); q.Messages != 0 || r.status().Counts.Queues != 1 || r.delayed("late") != 1 {
		t.Errorf("%+v, %+v", q, r.status().Counts)
	}
	for q, err := range (operations{r.Node}).Queues(t.Context(), admin.QueueQuery{VHost: "/", Live: true}) {
		if must(t, err); q.Live.Ready != 0 {
			t.Errorf("%+v", q)
		}
	}
	if st := r.status(); st.Counts.Ready != 0 {
		t.Errorf("%+v", st.Counts)
	}
}

// TestDelayedRestart: what waits outlives a restart, and what was due meanwhile
// comes at once.
func TestDelayedRestart(t *testing.T) {
	o := testOptions(t, t.TempDir(), vfs.NewMem())
	r := start(t, o)
	ch := dialNode(t, r)
	declareDelayed(t, ch, "late", "direct", "q")
	began := time.Now()
	for i := range 50 {
		publishLate(t, ch, "late", "q", fmt.Sprint(i), int32(1+i*60%3000))
	}
	publishLate(t, ch, "late", "q", "far", int64(3600_000))
	r.stop()
	r = start(t, o)
	ch = dialNode(t, r)
	ds := consumer(t, ch, "q")
	seen := map[string]bool{}
	last := int64(0)
	for len(seen) < 50 {
		select {
		case d := <-ds:
			at := -d.Headers["x-delay"].(int64)
			// Log time counts whole milliseconds.
			if body := string(d.Body); seen[body] || body == "far" || time.Since(began) < time.Duration(at-1)*time.Millisecond {
				t.Fatalf("%s after %v", body, time.Since(began))
			}
			if len(seen) > 0 && at+500 < last { // they were published within less
				t.Errorf("%d comes behind %d", at, last)
			}
			seen[string(d.Body)], last = true, at
		case <-time.After(20 * time.Second):
			t.Fatalf("%d of 50 came", len(seen))
		}
	}
	if n := r.delayed("late"); n != 1 {
		t.Errorf("%d wait", n)
	}
}

// TestDelayedRoads: a delayed exchange delays what comes to it from another
// exchange, as an alternate, as dead letters, with more keys and in a
// transaction; what was delayed once is not delayed by the next.
func TestDelayedRoads(t *testing.T) {
	r := start(t, testOptions(t, t.TempDir(), vfs.NewMem()))
	ch := dialNode(t, r)
	declareDelayed(t, ch, "late", "direct", "q", "cc", "bcc")
	must(t, ch.ExchangeDeclare("front", "fanout", true, false, false, false, nil))
	must(t, ch.ExchangeDeclare("spare", "direct", true, false, false, false, amqp.Table{"alternate-exchange": "late"}))
	must(t, ch.ExchangeBind("late", "", "front", false, nil))
	declareDelayed(t, ch, "second", "fanout", "end")
	declare(t, ch, "now")
	must(t, ch.QueueBind("now", "", "front", false, nil))
	q, now := consumer(t, ch, "q"), consumer(t, ch, "now")
	has := func(d amqp.Delivery, exchange string, delay int64) {
		t.Helper()
		if d.Exchange != exchange || d.Headers["x-delay"] != delay {
			t.Errorf("%s of exchange %s with %v", d.Body, d.Exchange, d.Headers)
		}
	}
	publishLate(t, ch, "front", "q", "bound", int32(200))
	if d := takes(t, now, "bound")[0]; d.Headers["x-delay"] != int32(200) { // that queue is no delayed exchange
		t.Errorf("%v", d.Headers)
	}
	has(takes(t, q, "bound")[0], "front", -200)
	publishLate(t, ch, "spare", "q", "alternate", int32(100))
	has(takes(t, q, "alternate")[0], "spare", -100)

	_, err := ch.QueueDeclare("dying", true, false, false, false, amqp.Table{"x-dead-letter-exchange": "late", "x-dead-letter-routing-key": "q", "x-message-ttl": int32(1)})
	must(t, err)
	publishLate(t, ch, "", "dying", "dead", int32(150))
	d := takes(t, q, "dead")[0]
	has(d, "late", -150)
	if deaths, _ := d.Headers["x-death"].([]any); len(deaths) != 1 {
		t.Errorf("%v", d.Headers)
	}

	m := amqpMessage("copied")
	m.Headers = amqp.Table{"x-delay": int16(100), "CC": []any{"cc"}, "BCC": []any{"bcc"}}
	m.Expiration = "60000"
	send := func(exchange, key string, m amqp.Publishing) {
		t.Helper()
		c, err := ch.PublishWithDeferredConfirm(exchange, key, true, false, m)
		must(t, err)
		if !c.Wait() {
			t.Fatalf("%s: not confirmed", m.Body)
		}
	}
	send("late", "q", m)
	takes(t, q, "copied")
	for _, name := range []string{"cc", "bcc"} {
		d := takes(t, consumer(t, ch, name), "copied")[0]
		has(d, "late", -100)
		if d.Headers["BCC"] != nil || d.Headers["CC"] == nil || d.Expiration != "60000" {
			t.Errorf("%v %s", d.Headers, d.Expiration)
		}
	}

	must(t, ch.ExchangeBind("second", "", "late", false, nil))
	publishLate(t, ch, "late", "", "once", int32(100))
	has(takes(t, consumer(t, ch, "end"), "once")[0], "late", -100)

	tx := r.channel()
	must(t, tx.Tx())
	m = amqpMessage("tx")
	m.Headers = amqp.Table{"x-delay": int32(100)}
	must(t, tx.PublishWithContext(t.Context(), "late", "q", false, false, m))
	must(t, tx.TxRollback())
	must(t, tx.PublishWithContext(t.Context(), "late", "q", false, false, m))
	must(t, tx.TxCommit())
	has(takes(t, q, "tx")[0], "late", -100)
}

// TestDelayedNowhere: what waits is not returned, what has no queue when it is due
// is dropped, and what waits in an exchange that is deleted goes with it.
func TestDelayedNowhere(t *testing.T) {
	r := start(t, testOptions(t, t.TempDir(), vfs.NewMem()))
	ch := dialNode(t, r)
	declareDelayed(t, ch, "late", "direct", "q")
	returns := ch.NotifyReturn(make(chan amqp.Return, 10))
	m := amqpMessage("nowhere")
	for _, delay := range []int32{0, 150} {
		m.Headers = amqp.Table{"x-delay": delay}
		c, err := ch.PublishWithDeferredConfirm("late", "none", true, false, m)
		must(t, err)
		if !c.Wait() {
			t.Fatal("not confirmed")
		}
	}
	if x := <-returns; x.Headers["x-delay"] != int32(0) {
		t.Errorf("returned %v", x.Headers)
	}
	publishLate(t, ch, "late", "q", "routed", int32(300))
	ds := consumer(t, ch, "q")
	takes(t, ds, "routed")
	if len(returns) != 0 || r.delayed("late") != 0 {
		t.Errorf("%d returns, %d wait", len(returns), r.delayed("late"))
	}

	publishLate(t, ch, "late", "q", "gone", int32(400))
	must(t, ch.ExchangeDelete("late", false, false))
	declareDelayed(t, ch, "late", "direct", "q")
	if n := r.delayed("late"); n != 0 {
		t.Errorf("%d wait in an exchange that is new", n)
	}
	publishLate(t, ch, "late", "q", "new", int32(800))
	takes(t, ds, "new")

	// Those of a vhost go with it.
	publishLate(t, ch, "late", "q", "gone too", int32(3600_000))
	_, err := r.DeleteVHost(t.Context(), admin.VHostName{Name: "/"})
	must(t, err)
	for end := time.Now().Add(10 * time.Second); ; {
		left := int64(0)
		for _, s := range r.status().Shards {
			left += s.Messages
		}
		if left == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d messages are left of a vhost that is gone", left)
		}
	}
}

// TestDelayedFull: a queue that refuses what is due gets it when it has room, each
// once. One that it refused may come behind the next, which tried at the same time.
func TestDelayedFull(t *testing.T) {
	r := start(t, testOptions(t, t.TempDir(), vfs.NewMem()))
	ch := dialNode(t, r)
	declareDelayed(t, ch, "late", "direct")
	_, err := ch.QueueDeclare("small", true, false, false, false, amqp.Table{"x-max-length": int32(1), "x-overflow": "reject-publish"})
	must(t, err)
	must(t, ch.QueueBind("small", "small", "late", false, nil))
	for i := range 5 {
		publishLate(t, ch, "late", "small", fmt.Sprint(i), int32(50+i))
	}
	eventually(t, ch, "small", 1)
	var got []string
	for ds := consumer(t, ch, "small"); len(got) < 5; {
		select {
		case d := <-ds:
			got = append(got, string(d.Body))
		case <-time.After(20 * time.Second):
			t.Fatalf("only %q come", got)
		}
	}
	if slices.Sort(got); !slices.Equal(got, []string{"0", "1", "2", "3", "4"}) {
		t.Errorf("%q", got)
	}
}

// TestDelayedBackup: what waits is in a backup, with what is left of its time.
func TestDelayedBackup(t *testing.T) {
	from := start(t, testOptions(t, t.TempDir(), vfs.NewMem()))
	ch := dialNode(t, from)
	declareDelayed(t, ch, "late", "direct", "q")
	must(t, ch.ExchangeDeclare("fleeting", "x-delayed-message", false, false, false, false, amqp.Table{"x-delayed-type": "direct"}))
	publishLate(t, ch, "late", "q", "far", int32(3600_000))
	publishLate(t, ch, "late", "q", "soon", int32(2000))
	publishLate(t, ch, "fleeting", "q", "not kept", int32(3600_000))
	a, file := backupOf(t, from)
	if a.Totals.Messages != 2 || len(a.Unavailable) != 0 {
		t.Fatalf("%+v %q", a.Totals, a.Unavailable)
	}
	to, c := empty(t)
	x, err := client.Restore(t.Context(), c, bytes.NewReader(file), client.RestoreOptions{})
	must(t, err)
	if x.Messages != 2 || x.Queues != 1 || to.delayed("late") != 2 {
		t.Fatalf("restored %d messages of %d queues, %d wait", x.Messages, x.Queues, to.delayed("late"))
	}
	d := takes(t, consumer(t, dialNode(t, to), "q"), "soon")[0]
	if d.Headers["x-delay"] != int64(-2000) || to.delayed("late") != 1 {
		t.Errorf("%v, %d wait", d.Headers, to.delayed("late"))
	}
	if _, err := client.Restore(t.Context(), c, bytes.NewReader(file), client.RestoreOptions{Force: true}); err != nil || to.delayed("late") != 3 {
		t.Errorf("forced: %v, %d wait", err, to.delayed("late"))
	}
}
