package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/internal/secret"
)

// refused wants an error of a client with a code and a text in it.
func refused(t *testing.T, err error, code int, text string) {
	t.Helper()
	var ae *amqp.Error
	if !errors.As(err, &ae) || ae.Code != code || !strings.Contains(ae.Reason, text) {
		t.Errorf("%v, want %d %q", err, code, text)
	}
}

// eventually polls until a queue holds n ready messages.
func eventually(t *testing.T, ch *amqp.Channel, queue string, n int) {
	t.Helper()
	have := -1
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if have = q.Messages; have == n {
			return
		}
	}
	t.Fatalf("queue %s has %d messages, want %d", queue, have, n)
}

// TestPolicyOnLiveQueues: a policy reaches durable queues and queues in memory
// that hold messages, those declared later, and survives a restart.
// (estate R16).
func TestPolicyOnLiveQueues(t *testing.T) {
	o := testOptions(t, t.TempDir(), vfs.NewMem())
	r := start(t, o)
	ch := r.channel()
	ctx := context.Background()
	b := r.broker.Load()
	names := []string{"live.durable", "live.memory", "other"}
	for i, name := range names {
		if _, err := ch.QueueDeclare(name, i != 1, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		publish(t, ch, name, 0, 10)
	}
	set := func(priority int64, operator bool, def string) {
		t.Helper()
		p := broker.Policy{
			VHost: "/", Name: fmt.Sprint("p", priority), Pattern: `^live(?!.*memo$)`, ApplyTo: "queues", Priority: priority,
			Operator: operator, Definition: []byte(def),
		}
		if _, err := b.SetPolicy(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	set(1, false, `{"max-length":5}`)
	eventually(t, ch, "live.durable", 5)
	eventually(t, ch, "live.memory", 5)
	eventually(t, ch, "other", 10)
	set(2, false, `{"max-length":7}`) // wins over the first
	publish(t, ch, "live.durable", 10, 20)
	eventually(t, ch, "live.durable", 7)
	set(0, true, `{"max-length":3}`)
	eventually(t, ch, "live.durable", 3)
	eventually(t, ch, "live.memory", 3)
	if _, err := ch.QueueDeclare("live.later", true, false, false, false, amqp.Table{"x-max-length": 2}); err != nil {
		t.Fatal(err)
	}
	publish(t, ch, "live.later", 0, 10)
	eventually(t, ch, "live.later", 2)

	r.stop()
	r = start(t, o)
	ch, b = r.channel(), r.broker.Load()
	eventually(t, ch, "live.durable", 3)
	publish(t, ch, "live.durable", 20, 30)
	eventually(t, ch, "live.durable", 3)
	q := r.catalog.View().Queue("/", "live.durable")
	if g := broker.GoverningOf(q.Governed); g.Policy != "p2" || g.OperatorPolicy != "p0" || string(broker.AppendJSON(nil, g.Definition)) != `{"max-length":3}` {
		t.Errorf("%+v", g)
	}
	for _, clear := range []struct {
		name     string
		operator bool
	}{{"p0", true}, {"p2", false}, {"p1", false}} {
		if err := b.ClearPolicy(ctx, "/", clear.name, clear.operator); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, ch, "live.durable", 30, 40)
	eventually(t, ch, "live.durable", 13)
}

// TestAlternateByPolicy: an exchange's unroutable messages go where its policy
// says, until it says so no more.
func TestAlternateByPolicy(t *testing.T) {
	r := start(t, testOptions(t, t.TempDir(), vfs.NewMem()))
	ch := r.channel()
	b := r.broker.Load()
	ctx := context.Background()
	if err := errors.Join(
		ch.ExchangeDeclare("orders", "direct", true, false, false, false, nil),
		ch.ExchangeDeclare("lost", "fanout", true, false, false, false, nil),
	); err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare("lost", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := ch.QueueBind("lost", "", "lost", false, nil); err != nil {
		t.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	send := func() {
		t.Helper()
		c, err := ch.PublishWithDeferredConfirm("orders", "nobody", false, false, amqpMessage("x"))
		if err != nil || !c.Wait() {
			t.Fatal(err)
		}
	}
	send() // and the route is cached
	p := broker.Policy{VHost: "/", Name: "ae", Pattern: "^orders$", ApplyTo: "exchanges", Definition: []byte(`{"alternate-exchange":"lost"}`)}
	if _, err := b.SetPolicy(ctx, p); err != nil {
		t.Fatal(err)
	}
	send()
	eventually(t, ch, "lost", 1)
	if err := b.ClearPolicy(ctx, "/", "ae", false); err != nil {
		t.Fatal(err)
	}
	send()
	eventually(t, ch, "lost", 1)
}

// user makes a user with all permissions in vhosts and returns a dialler.
func (r *running) user(name string, vhosts ...string) func(vhost string) (*amqp.Connection, error) {
	r.t.Helper()
	ctx := context.Background()
	record, err := r.auth.verifier.NewRecord(ctx, secret.New("pw"))
	if err != nil {
		r.t.Fatal(err)
	}
	cmds := []catalog.Command{&catalog.SetUser{Name: name, Password: []byte(record.Reveal())}}
	for _, h := range vhosts {
		cmds = append(cmds, &catalog.AddVHost{Name: h}, &catalog.SetPermission{User: name, VHost: h, Configure: ".*", Write: ".*", Read: ".*"})
	}
	for _, cmd := range cmds {
		if _, err := r.do(ctx, cmd); err != nil {
			r.t.Fatal(err)
		}
	}
	return func(vhost string) (*amqp.Connection, error) {
		c, err := amqp.DialConfig("amqp://"+name+":pw@"+r.Addrs()["amqp"]+"/", amqp.Config{Vhost: vhost})
		if err == nil {
			r.t.Cleanup(func() { _ = c.CloseDeadline(time.Now().Add(time.Second)) })
		}
		return c, err
	}
}

// TestVHostGoes deletes a vhost under its clients: they are told, its queues in
// shards and in memory are gone, and a vhost of the same name begins empty.
func TestVHostGoes(t *testing.T) {
	r := start(t, testOptions(t, t.TempDir(), vfs.NewMem()))
	dial := r.user("u", "x", "y")
	c, err := dial("x")
	if err != nil {
		t.Fatal(err)
	}
	stays, err := dial("y")
	if err != nil {
		t.Fatal(err)
	}
	ch, err := c.Channel()
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"durable", "memory"} {
		if _, err := ch.QueueDeclare(name, i == 0, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	publish(t, ch, "durable", 0, 10)
	closed := c.NotifyClose(make(chan *amqp.Error, 1))
	if _, err := r.do(context.Background(), &catalog.RemoveVHost{Name: "x"}); err != nil {
		t.Fatal(err)
	}
	refused(t, <-closed, 320, "vhost 'x' is deleted")
	if n := r.broker.Load().Counts().MemoryQueues; n != 0 {
		t.Errorf("%d queues in memory", n)
	}
	if stays.IsClosed() {
		t.Error("a connection to another vhost was closed")
	}
	if _, err := dial("x"); err == nil {
		t.Error("a client got in")
	}
	dial = r.user("u", "x")
	if c, err = dial("x"); err != nil {
		t.Fatal(err)
	}
	if ch, err = c.Channel(); err != nil {
		t.Fatal(err)
	}
	if q, err := ch.QueueDeclare("durable", true, false, false, false, nil); err != nil || q.Messages != 0 {
		t.Errorf("%+v, %v", q, err)
	}
	for end := time.Now().Add(10 * time.Second); r.status().Counts.Ready != 0; {
		if time.Now().After(end) {
			t.Fatal("messages of the vhost are left")
		}
	}
}

// X18: TestLimitsOverTheWire: what a client that is one too many is told.
func TestLimitsOverTheWire(t *testing.T) {
	o := testOptions(t, t.TempDir(), vfs.NewMem())
	o.Limits.MaxChannels = 3
	r := start(t, o)
	dial := r.user("u", "x")
	b := r.broker.Load()
	ctx := context.Background()
	if err := errors.Join(
		b.SetVHostLimits(ctx, "x", []byte(`{"max-connections":1,"max-queues":1}`)),
		b.SetUserLimits(ctx, "u", []byte(`{"max-channels":2}`)),
	); err != nil {
		t.Fatal(err)
	}
	c, err := dial("x")
	if err != nil {
		t.Fatal(err)
	}
	_, err = dial("x")
	refused(t, err, 530, "access to vhost 'x' refused for user 'u': connection limit (1) is reached")
	ch, err := c.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare("a", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	_, err = ch.QueueDeclare("b", true, false, false, false, nil)
	refused(t, err, 406, "cannot declare queue 'b': queue limit in vhost 'x' (1) is reached")
	for range 2 { // the first one was closed
		if _, err = c.Channel(); err != nil {
			t.Fatal(err)
		}
	}
	_, err = c.Channel()
	refused(t, err, 530, "number of channels opened for user 'u' has reached the maximum allowed user limit of (2)")
}

// TestTopicPermissions: keys that a permission does not match are refused, at a
// publish with 403 and at a binding, and a name in it is never a pattern.
func TestTopicPermissions(t *testing.T) {
	r := start(t, testOptions(t, t.TempDir(), vfs.NewMem()))
	dial := r.user("a.c", "x")
	if _, err := r.do(context.Background(), &catalog.SetTopicPermission{
		User: "a.c", VHost: "x", Exchange: "amq.topic", Write: `^{username}\.`, Read: `^({vhost}|{username})\.`,
	}); err != nil {
		t.Fatal(err)
	}
	c, err := dial("x")
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan *amqp.Error, 1)
	open := func() *amqp.Channel {
		t.Helper()
		ch, err := c.Channel()
		if err != nil {
			t.Fatal(err)
		}
		closed = ch.NotifyClose(make(chan *amqp.Error, 1))
		return ch
	}
	ch := open()
	if _, err := ch.QueueDeclare("q", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(ch.QueueBind("q", "x.#", "amq.topic", false, nil), ch.QueueBind("q", "a.c.#", "amq.topic", false, nil)); err != nil {
		t.Fatal(err)
	}
	refused(t, ch.QueueBind("q", "#", "amq.topic", false, nil), 403, "read access to topic '#' in exchange 'amq.topic' in vhost 'x' refused for user 'a.c'")
	ch = open()
	publish := func(exchange, key string) error {
		return ch.PublishWithContext(context.Background(), exchange, key, false, false, amqpMessage("m"))
	}
	for range 2 { // the second time from the cache
		if err := errors.Join(publish("amq.topic", "a.c.d"), publish("amq.direct", "abc.d")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, ch, "q", 2)
	if err := publish("amq.topic", "abc.d"); err != nil { // "." is no pattern
		t.Fatal(err)
	}
	refused(t, <-closed, 403, "write access to topic 'abc.d' in exchange 'amq.topic' in vhost 'x' refused for user 'a.c'")
}
