package amqp091_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/node"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// Behaviour 12: dead letters. x-death order and counters, first-death headers,
// cycles, expiry in the order of the head, CC and BCC, the routing key in place
// of the message's own.

// yard is a connection of an application with queues that end with the test.
type yard struct {
	t    *testing.T
	addr string
	conn *amqp.Connection
	ch   *amqp.Channel
	name string // of the test, in front of all names
}

func newYard(t *testing.T, addr string) *yard {
	t.Helper()
	y := &yard{t: t, addr: addr, name: strings.ReplaceAll(t.Name(), "/", ".")}
	y.dial()
	return y
}

func (y *yard) dial() {
	y.t.Helper()
	var err error
	if y.conn, err = amqp.Dial("amqp://guest:guest@" + y.addr + "/"); err != nil {
		y.t.Fatal(err)
	}
	conn := y.conn
	y.t.Cleanup(func() { _ = conn.Close() }) // it may be closed
	y.open()
}

func (y *yard) open() {
	y.t.Helper()
	var err error
	if y.ch, err = y.conn.Channel(); err != nil {
		y.t.Fatal(err)
	}
	if err := y.ch.Confirm(false); err != nil {
		y.t.Fatal(err)
	}
}

// homes are the queues that letters leave and come to.
type home struct {
	name    string
	durable bool
}

func homes() []home { return []home{{"durable", true}, {"memory", false}} }

func (y *yard) queue(name string, durable bool, args amqp.Table) string {
	y.t.Helper()
	name = y.name + "." + name
	if _, err := y.ch.QueueDeclare(name, durable, false, false, false, args); err != nil {
		y.t.Fatal(err)
	}
	addr := y.addr
	y.t.Cleanup(func() { drop(y.t, addr, name) })
	return name
}

func (y *yard) exchange(name, kind string, queues ...string) string {
	y.t.Helper()
	name = y.name + "." + name
	if err := y.ch.ExchangeDeclare(name, kind, true, false, false, false, nil); err != nil {
		y.t.Fatal(err)
	}
	for _, q := range queues {
		y.bind(q, name, "#", nil)
	}
	return name
}

func (y *yard) bind(queue, exchange, key string, args amqp.Table) {
	y.t.Helper()
	if err := y.ch.QueueBind(queue, key, exchange, false, args); err != nil {
		y.t.Fatal(err)
	}
}

// publish returns whether the message was taken.
func (y *yard) publish(exchange, key string, m amqp.Publishing) bool {
	y.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d, err := y.ch.PublishWithDeferredConfirmWithContext(ctx, exchange, key, false, false, m)
	if err != nil {
		y.t.Fatal(err)
	}
	ok, err := d.WaitContext(ctx)
	if err != nil {
		y.t.Fatal(err)
	}
	return ok
}

func (y *yard) to(queue string, bodies ...string) {
	y.t.Helper()
	for _, b := range bodies {
		if !y.publish("", queue, amqp.Publishing{Body: []byte(b)}) {
			y.t.Fatalf("%q was refused", b)
		}
	}
}

// get waits for the next message of a queue.
func (y *yard) get(queue string) amqp.Delivery {
	y.t.Helper()
	for end := time.Now().Add(patience); ; {
		d, ok, err := y.ch.Get(queue, false)
		if err != nil {
			y.t.Fatal(err)
		}
		if ok {
			return d
		}
		if time.Now().After(end) {
			y.t.Fatalf("nothing comes to %s", queue)
		}
	}
}

// take gets and acknowledges.
func (y *yard) take(queue string) amqp.Delivery {
	y.t.Helper()
	d := y.get(queue)
	if err := d.Ack(false); err != nil {
		y.t.Fatal(err)
	}
	return d
}

func (y *yard) reject(queue string) {
	y.t.Helper()
	d := y.get(queue)
	if err := d.Reject(false); err != nil {
		y.t.Fatal(err)
	}
}

func (y *yard) ready(queue string) int {
	y.t.Helper()
	q, err := y.ch.QueueDeclarePassive(queue, false, false, false, false, nil)
	if err != nil {
		y.t.Fatal(err)
	}
	return q.Messages
}

// empty requires that nothing more comes to a queue: what was published to
// another since is there.
func (y *yard) empty(queues ...string) {
	y.t.Helper()
	for _, q := range queues {
		if n := y.ready(q); n != 0 {
			y.t.Errorf("%d messages are in %s", n, q)
		}
	}
}

// entry is an expected entry of x-death.
type entry struct {
	count                   int64
	reason, queue, exchange string
	keys                    []string
	expiration              string
}

// deaths checks the headers that tell of a message's deaths.
func (y *yard) deaths(d *amqp.Delivery, want ...entry) {
	y.t.Helper()
	list, _ := d.Headers["x-death"].([]any)
	var got []entry
	for _, x := range list {
		t, _ := x.(amqp.Table)
		e := entry{}
		e.count, _ = t["count"].(int64)
		e.reason, _ = t["reason"].(string)
		e.queue, _ = t["queue"].(string)
		e.exchange, _ = t["exchange"].(string)
		e.expiration, _ = t["original-expiration"].(string)
		keys, _ := t["routing-keys"].([]any)
		for _, k := range keys {
			s, _ := k.(string)
			e.keys = append(e.keys, s)
		}
		if at, ok := t["time"].(time.Time); !ok || time.Since(at).Abs() > time.Minute {
			y.t.Errorf("time of death %v", t["time"])
		}
		got = append(got, e)
	}
	if !reflect.DeepEqual(got, want) {
		y.t.Errorf("x-death\n%+v, want\n%+v", got, want)
	}
	if len(want) == 0 {
		return
	}
	for prefix, e := range map[string]entry{"x-last-death-": want[0]} {
		for k, v := range map[string]string{"reason": e.reason, "queue": e.queue, "exchange": e.exchange} {
			if d.Headers[prefix+k] != v {
				y.t.Errorf("%s%s is %v, want %s", prefix, k, d.Headers[prefix+k], v)
			}
		}
	}
	if d.Expiration != "" {
		y.t.Errorf("expiration %q", d.Expiration)
	}
}

func (y *yard) firstDeath(d *amqp.Delivery, e entry) {
	y.t.Helper()
	for k, v := range map[string]string{"reason": e.reason, "queue": e.queue, "exchange": e.exchange} {
		if got := d.Headers["x-first-death-"+k]; got != v {
			y.t.Errorf("x-first-death-%s is %v, want %s", k, got, v)
		}
	}
}

// Every reason, from and to queues on disk and in memory.
func TestDeadLettersOfEveryReason(t *testing.T) { // behaviour 12
	for _, from := range homes() {
		for _, to := range homes() {
			t.Run("from="+from.name+"/to="+to.name, func(t *testing.T) { everyReason(t, from.durable, to.durable) })
		}
	}
}

func everyReason(t *testing.T, from, to bool) {
	y := newYard(t, broker(t))
	dead := y.queue("dead", to, nil)
	dlx := y.exchange("dlx", "fanout", dead)
	queue := func(name string, args amqp.Table) string {
		args["x-dead-letter-exchange"] = dlx
		return y.queue(name, from, args)
	}
	check := func(q, reason, body, expiration string) {
		t.Helper()
		d := y.take(dead)
		if string(d.Body) != body || d.Exchange != dlx || d.RoutingKey != q || d.Redelivered {
			t.Errorf("got %q from %q by %q, redelivered %v", d.Body, d.Exchange, d.RoutingKey, d.Redelivered)
		}
		e := entry{1, reason, q, "", []string{q}, expiration}
		y.deaths(&d, e)
		y.firstDeath(&d, e)
	}

	q := queue("rejected", amqp.Table{})
	y.to(q, "a", "b")
	y.reject(q)
	if err := y.get(q).Nack(false, false); err != nil {
		t.Fatal(err)
	}
	check(q, "rejected", "a", "")
	check(q, "rejected", "b", "")

	q = queue("ttl", amqp.Table{"x-message-ttl": int32(1)})
	y.to(q, "c")
	check(q, "expired", "c", "")
	q = queue("expiration", amqp.Table{})
	y.publish("", q, amqp.Publishing{Body: []byte("d"), Expiration: "2"})
	check(q, "expired", "d", "2")

	q = queue("full", amqp.Table{"x-max-length": int32(2)})
	y.to(q, "e", "f", "g", "h")
	check(q, "maxlen", "e", "")
	check(q, "maxlen", "f", "")

	q = queue("refusing", amqp.Table{"x-max-length": int32(1), "x-overflow": "reject-publish-dlx"})
	y.to(q, "i")
	if y.publish("", q, amqp.Publishing{Body: []byte("j")}) {
		t.Error("a full queue took a message")
	}
	check(q, "maxlen", "j", "")
	if d := y.take(q); string(d.Body) != "i" {
		t.Errorf("%q is in the queue", d.Body)
	}

	q = queue("limited", amqp.Table{"x-delivery-limit": int32(1)})
	y.to(q, "k")
	for range 2 {
		if err := y.get(q).Reject(true); err != nil {
			t.Fatal(err)
		}
	}
	check(q, "delivery_limit", "k", "")
	y.empty(dead)
}

// The head expires first: what stands behind it waits.
func TestDeadLettersInTheOrderOfTheHead(t *testing.T) { // behaviour 12
	for _, k := range homes() {
		t.Run(k.name, func(t *testing.T) {
			y := newYard(t, broker(t))
			dead := y.queue("dead", true, nil)
			q := y.queue("q", k.durable, amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
			for i, ttl := range []string{"60", "1", "30"} {
				y.publish("", q, amqp.Publishing{Body: []byte{byte('a' + i)}, Expiration: ttl})
			}
			got := ""
			for range 3 {
				d := y.take(dead)
				got += string(d.Body)
			}
			if got != "abc" {
				t.Errorf("died in the order %s", got)
			}
		})
	}
}

// The latest death comes first, a death of the same kind counts one more, and
// what the first was stays.
func TestDeadLettersKeepTheirHistory(t *testing.T) { // behaviour 12
	y := newYard(t, broker(t))
	end := y.queue("end", true, nil)
	b := y.queue("b", false, amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": end, "x-message-ttl": int32(1)})
	dlx := y.exchange("dlx", "fanout", b)
	a := y.queue("a", true, amqp.Table{"x-dead-letter-exchange": dlx})
	y.publish("", a, amqp.Publishing{Body: []byte("m"), Headers: amqp.Table{"x-death": "forged", "mine": "kept"}, MessageId: "id"})
	y.reject(a)
	d := y.take(end)
	first := entry{1, "rejected", a, "", []string{a}, ""}
	y.deaths(&d, entry{1, "expired", b, dlx, []string{a}, ""}, first)
	y.firstDeath(&d, first)
	if d.Headers["mine"] != "kept" || d.MessageId != "id" || d.RoutingKey != end {
		t.Errorf("%+v", d)
	}
	// A client that publishes it again begins anew: a history is the broker's.
	y.publish("", a, amqp.Publishing{Body: []byte("n"), Headers: d.Headers})
	y.reject(a)
	d = y.take(end)
	y.deaths(&d, entry{1, "expired", b, dlx, []string{a}, ""}, first)
}

// A consumer that rejects keeps a cycle alive: work, wait, work again.
func TestDeadLettersRetry(t *testing.T) { // behaviour 12
	for _, k := range homes() {
		t.Run(k.name, func(t *testing.T) {
			y := newYard(t, broker(t))
			work, wait := y.name+".work", y.name+".wait"
			y.queue("work", k.durable, amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": wait})
			y.queue("wait", k.durable, amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": work, "x-message-ttl": int32(1)})
			y.to(work, "m")
			for n := int64(1); n <= 4; n++ {
				y.reject(work)
				d := y.get(work)
				y.deaths(&d, entry{n, "expired", wait, "", []string{wait}, ""}, entry{n, "rejected", work, "", []string{work}, ""})
				y.firstDeath(&d, entry{reason: "rejected", queue: work})
				if err := d.Reject(true); err != nil {
					t.Fatal(err)
				}
			}
			y.take(work)
			y.empty(work, wait)
		})
	}
}

// A cycle that nobody rejected in ends, for the queue where it would close.
func TestDeadLettersOfACycleEnd(t *testing.T) { // behaviour 12
	for _, k := range homes() {
		t.Run(k.name, func(t *testing.T) {
			y := newYard(t, broker(t))
			seen := y.queue("seen", true, nil)
			a, b := y.name+".a", y.name+".b"
			dlx := y.exchange("dlx", "fanout", seen)
			y.queue("a", k.durable, amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": b, "x-message-ttl": int32(1)})
			y.queue("b", k.durable, amqp.Table{"x-dead-letter-exchange": dlx, "x-message-ttl": int32(1)})
			y.bind(a, dlx, "#", nil)
			y.to(a, "m")
			d := y.take(seen) // the other target of the same letter gets it
			y.deaths(&d, entry{1, "expired", b, "", []string{b}, ""}, entry{1, "expired", a, "", []string{a}, ""})
			y.to(a, "n")
			y.take(seen)
			y.empty(a, b, seen)
		})
	}
}

// Without a key of its own a queue keeps all routing keys of a message, hidden
// ones too; with one there is only that.
func TestDeadLettersRouteByTheirKeys(t *testing.T) { // behaviour 12
	y := newYard(t, broker(t))
	topic := y.exchange("topic", "topic")
	var qs []string
	for _, k := range []string{"own", "cc", "bcc", "override"} {
		q := y.queue(k, true, nil)
		y.bind(q, topic, k+".*", nil)
		qs = append(qs, q)
	}
	src := y.exchange("src", "fanout")
	keeps := y.queue("keeps", true, amqp.Table{"x-dead-letter-exchange": topic})
	y.bind(keeps, src, "", nil)
	m := amqp.Publishing{Body: []byte("m"), Headers: amqp.Table{"CC": []any{"cc.1"}, "BCC": []any{"bcc.1"}}}
	y.publish(src, "own.1", m)
	y.reject(keeps)
	for _, q := range qs[:3] {
		d := y.take(q)
		y.deaths(&d, entry{1, "rejected", keeps, src, []string{"own.1", "cc.1"}, ""})
		if _, ok := d.Headers["BCC"]; ok || !reflect.DeepEqual(d.Headers["CC"], []any{"cc.1"}) || d.RoutingKey != "own.1" {
			t.Errorf("%s: %+v", q, d.Headers)
		}
	}
	if err := y.ch.QueueUnbind(keeps, "", src, nil); err != nil {
		t.Fatal(err)
	}
	sets := y.queue("sets", true, amqp.Table{"x-dead-letter-exchange": topic, "x-dead-letter-routing-key": "override.1"})
	y.bind(sets, src, "", nil)
	y.publish(src, "own.1", m)
	y.reject(sets)
	d := y.take(qs[3])
	y.deaths(&d, entry{1, "rejected", sets, src, []string{"own.1", "cc.1"}, ""})
	if _, ok := d.Headers["CC"]; ok || d.RoutingKey != "override.1" {
		t.Errorf("routed by %q with %+v", d.RoutingKey, d.Headers)
	}
	y.empty(qs...)
}

// A headers exchange sees the publisher's headers, and those of the death.
func TestDeadLettersRouteByTheirHeaders(t *testing.T) { // behaviour 12
	y := newYard(t, broker(t))
	x := y.exchange("x", "headers")
	red, expired := y.queue("red", true, nil), y.queue("expired", true, nil)
	y.bind(red, x, "", amqp.Table{"x-match": "all", "colour": "red"})
	y.bind(expired, x, "", amqp.Table{"x-match": "all-with-x", "x-first-death-reason": "expired"})
	q := y.queue("q", true, amqp.Table{"x-dead-letter-exchange": x, "x-message-ttl": int32(1)})
	y.publish("", q, amqp.Publishing{Body: []byte("m"), Headers: amqp.Table{"colour": "red"}})
	y.take(red)
	y.take(expired)
	y.publish("", q, amqp.Publishing{Body: []byte("n"), Headers: amqp.Table{"colour": "blue"}})
	y.take(expired)
	y.empty(red, q)
}

// What can go nowhere is dropped, and the queue goes on.
func TestDeadLettersToNowhere(t *testing.T) {
	y := newYard(t, broker(t))
	lonely := y.exchange("lonely", "direct")
	for i, dlx := range []string{y.name + ".missing", lonely} {
		q := y.queue(fmt.Sprint(i), true, amqp.Table{"x-dead-letter-exchange": dlx})
		y.to(q, "m")
		y.reject(q)
		y.to(q, "n")
		if d := y.take(q); string(d.Body) != "n" {
			t.Errorf("got %q", d.Body)
		}
	}
	// An exchange made later serves what dies later.
	dead := y.queue("dead", true, nil)
	y.exchange("missing", "fanout", dead)
	q := y.name + ".0"
	y.to(q, "o")
	y.reject(q)
	if d := y.take(dead); string(d.Body) != "o" {
		t.Errorf("got %q", d.Body)
	}
}

// jam returns a queue that is full and refuses.
func (y *yard) jam() string {
	y.t.Helper()
	dead := y.queue("dead", true, amqp.Table{"x-max-length": int32(jammed), "x-overflow": "reject-publish"})
	for range jammed - 1 {
		y.publishOnly(dead, "filler")
	}
	y.to(dead, "filler")
	return dead
}

// jammed is how many messages fill the target of a jam.
const jammed = 400

// Letters wait while their target is full, more of them than an outbox holds.
// Consumers of the queue go on, and nothing comes twice.
func TestDeadLettersWaitForAFullTarget(t *testing.T) { // behaviour 12
	y := newYard(t, broker(t))
	dead := y.jam()
	q := y.queue("q", true, amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
	const n = 1500
	for i := range n {
		y.publishOnly(q, fmt.Sprint(i))
	}
	y.to(q, "end")
	for i := range n {
		d := y.get(q)
		if string(d.Body) != fmt.Sprint(i) {
			t.Fatalf("got %q, want %d", d.Body, i)
		}
		if err := d.Reject(false); err != nil {
			t.Fatal(err)
		}
	}
	if d := y.take(q); string(d.Body) != "end" {
		t.Fatalf("got %q", d.Body)
	}
	y.drains(dead, n)
}

// publishOnly publishes without waiting.
func (y *yard) publishOnly(queue, body string) {
	y.t.Helper()
	if err := y.ch.PublishWithContext(context.Background(), "", queue, false, false, amqp.Publishing{Body: []byte(body)}); err != nil {
		y.t.Fatal(err)
	}
}

// drains takes bodies 0 to n-1 from a queue, each once, in any order, and
// fillers.
func (y *yard) drains(queue string, n int) {
	y.t.Helper()
	ds, err := y.ch.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		y.t.Fatal(err)
	}
	seen := map[string]bool{}
	for len(seen) < n {
		select {
		case d := <-ds:
			if string(d.Body) == "filler" {
				if err := d.Ack(false); err != nil {
					y.t.Fatal(err)
				}
				continue
			}
			if seen[string(d.Body)] {
				y.t.Fatalf("%q came twice", d.Body)
			}
			seen[string(d.Body)] = true
			if err := d.Ack(false); err != nil {
				y.t.Fatal(err)
			}
		case <-time.After(3 * patience):
			y.t.Fatalf("%d of %d came", len(seen), n)
		}
	}
	for i := range n {
		if !seen[fmt.Sprint(i)] {
			y.t.Fatalf("%d did not come", i)
		}
	}
}

// With at-most-once what a full target refuses is dropped.
func TestDeadLettersAtMostOnce(t *testing.T) {
	y := newYard(t, broker(t))
	dead, mark := y.jam(), y.queue("mark", true, nil)
	src, dlx := y.exchange("src", "fanout"), y.exchange("dlx", "direct")
	y.bind(dead, dlx, "full", nil)
	y.bind(mark, dlx, "mark", nil)
	q := y.queue("q", true, amqp.Table{"x-dead-letter-exchange": dlx, "x-dead-letter-strategy": "at-most-once"})
	y.bind(q, src, "", nil)
	send := func(key, body string) {
		t.Helper()
		y.publish(src, key, amqp.Publishing{Body: []byte(body)})
		y.reject(q)
	}
	send("full", "lost")
	for range 3 { // sent behind it, and there: it was refused
		send("mark", "mark")
		y.take(mark)
	}
	for range jammed {
		if d := y.take(dead); string(d.Body) != "filler" {
			t.Fatalf("got %q", d.Body)
		}
	}
	send("full", "kept")
	if d := y.take(dead); string(d.Body) != "kept" {
		t.Fatalf("got %q", d.Body)
	}
}

// A node that ends with letters in the outbox sends them in its next life.
func TestDeadLettersSurviveARestart(t *testing.T) { // behaviour 12
	r := own(t, nil)
	y := newYard(t, r.addr())
	dead := y.jam()
	q := y.queue("q", true, amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
	const n = 40
	for i := range n {
		y.publishOnly(q, fmt.Sprint(i))
	}
	y.to(q, "end")
	for range n {
		y.reject(q)
	}
	if err := y.conn.Close(); err != nil {
		t.Fatal(err)
	}
	again := y.restart(r)
	y.addr = again.addr()
	y.dial()
	if got := y.ready(q); got != 1 {
		t.Fatalf("%d messages are ready", got)
	}
	y.drains(dead, n)
	if d := y.take(q); string(d.Body) != "end" || d.Headers["x-death"] != nil {
		t.Errorf("got %q with %v", d.Body, d.Headers)
	}
}

// restart runs another life of a node.
func (y *yard) restart(r *running) *running {
	y.t.Helper()
	if err := r.halt(); err != nil {
		y.t.Fatal(err)
	}
	r.done = nil
	return own(y.t, func(o *node.Options) { o.DataDir = r.dir })
}

// What a declaration is told.
func TestDeadLetterArguments(t *testing.T) {
	y := newYard(t, broker(t))
	for _, c := range []struct {
		args amqp.Table
		want string
	}{
		{amqp.Table{"x-dead-letter-exchange": int32(1)}, "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue '{q}' in vhost '/'"},
		{amqp.Table{"x-dead-letter-routing-key": "k"}, "invalid arg 'x-dead-letter-routing-key' for queue '{q}' in vhost '/': routing_key_but_no_dlx_defined"},
		{amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": int32(1)}, "invalid arg 'x-dead-letter-routing-key' for queue '{q}' in vhost '/': {unacceptable_type,signedint}"},
		{amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": strings.Repeat("k", 256)}, "invalid arg 'x-dead-letter-routing-key' for queue '{q}' in vhost '/': longer than 255 bytes"},
		{amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-strategy": "perhaps"}, "invalid arg 'x-dead-letter-strategy' for queue '{q}' in vhost '/': invalid_dlx_strategy"},
		{amqp.Table{"x-overflow": "drop-tail"}, "invalid arg 'x-overflow' for queue '{q}' in vhost '/': invalid_overflow"},
	} {
		q := y.name + ".q"
		_, err := y.ch.QueueDeclare(q, true, false, false, false, c.args)
		want := "PRECONDITION_FAILED - " + strings.ReplaceAll(c.want, "{q}", q)
		if e, ok := err.(*amqp.Error); !ok || e.Code != 406 || e.Reason != want {
			t.Errorf("%v, want %s", err, want)
		}
		y.open()
	}
	q := y.queue("same", true, amqp.Table{"x-dead-letter-exchange": "x"})
	_, err := y.ch.QueueDeclare(q, true, false, false, false, amqp.Table{"x-dead-letter-exchange": "y"})
	if e, ok := err.(*amqp.Error); !ok || !slices.Contains([]string{
		"PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-exchange' for queue '" + q + "' in vhost '/': received 'y' but current is 'x'",
	}, e.Reason) {
		t.Errorf("%v", err)
	}
	y.open()
}

// BenchmarkLetters measures how fast messages go from a queue that is too short
// for them to the one for dead letters, published and confirmed on the way.
func BenchmarkLetters(b *testing.B) {
	for _, durable := range []bool{true, false} {
		b.Run(fmt.Sprintf("durable=%v/size=100", durable), func(b *testing.B) {
			p := session(b, broker(b))
			from, to := fmt.Sprintf("bench.letters.%v", durable), fmt.Sprintf("bench.dead.%v.%d", durable, b.N)
			for _, m := range []*wire.QueueDeclare{
				{Queue: to, Durable: durable},
				{Queue: from, Durable: durable, Arguments: wire.Table{
					field("x-max-length", wire.Int32(0)), field("x-dead-letter-exchange", wire.String("")), field("x-dead-letter-routing-key", wire.String(to)),
				}},
			} {
				p.send(1, &wire.QueueDelete{Queue: m.Queue})
				expect[*wire.QueueDeleteOK](p, 1)
				p.send(1, m)
				expect[*wire.QueueDeclareOK](p, 1)
			}
			p.confirms(1)
			one := message{key: from, body: string(make([]byte, 100)), props: wire.Properties{DeliveryMode: 2}}.frames(1, p.max)
			b.SetBytes(100)
			b.ReportAllocs()
			b.ResetTimer()
			for sent, acked := 0, 0; sent < b.N; {
				n := min(500, b.N-sent)
				p.raw(slices.Concat(slices.Repeat([][]byte{one}, n)...))
				for sent += n; acked < sent; {
					a := expect[*wire.BasicAck](p, 1)
					if acked++; a.Multiple {
						acked = int(a.DeliveryTag)
					}
				}
			}
			for p.ready(1, to) < b.N {
			}
			b.StopTimer()
			for _, q := range []string{from, to} {
				p.send(1, &wire.QueueDelete{Queue: q})
				expect[*wire.QueueDeleteOK](p, 1)
			}
		})
	}
}

// A policy gives a queue that is there an exchange for its dead letters, and
// takes it away.
func TestDeadLettersByPolicy(t *testing.T) {
	r := own(t, nil)
	y := newYard(t, r.addr())
	dead := y.queue("dead", true, nil)
	q := y.queue("work", true, nil)
	set := admin.NewPolicy{Policy: admin.Policy{
		VHost: "/", Name: "p", Pattern: "work$",
		Definition: []byte(`{"dead-letter-exchange":"","dead-letter-routing-key":"` + dead + `"}`),
	}}
	if _, err := r.SetPolicy(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	y.to(q, "kept", "gone", "here")
	y.reject(q)
	d := y.take(dead)
	y.deaths(&d, entry{1, "rejected", q, "", []string{q}, ""})
	if _, err := r.ClearPolicy(t.Context(), admin.PolicyOf{VHost: "/", Name: "p"}); err != nil {
		t.Fatal(err)
	}
	y.reject(q)
	if d := y.take(q); string(d.Body) != "here" {
		t.Errorf("got %q", d.Body)
	}
	y.empty(dead, q)
}
